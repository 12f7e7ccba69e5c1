"""Figures that show measurements: curves, dots, intervals."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from helpers.evidence.statistics import rate_interval
from helpers.figures.style import COLOURS, FEW, LINES, MARKERS, blank, show, strip

CORNERS = (((4, 2), "left"), ((4, -9), "left"), ((-4, 2), "right"), ((-4, -9), "right"))
BESIDE = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}  # a legend to the right of its axes


def curves(
    lines: Mapping[str, pd.DataFrame],
    alt: str,
    *,
    xlabel: str,
    ylabel: str,
    threshold: float | None = None,
    mark: str = "threshold",
    log: str = "",
    aside: bool = False,
    each: str = "networks",
) -> None:
    """Draw one line per entry with its band over seeds.

    A DataFrame holds the x values as its index and one column per seed; the line is the median,
    the band reaches from the smallest to the largest. `log` names the logarithmic axes ("xy").
    A dotted line lies at `threshold`; `mark` says what it is. `aside` puts the legend beside the
    axes, for lines that leave no room among them. `each` names the columns where they are no
    networks.
    """
    figure, axes = blank(6.4, 3.4)
    axis = axes[0, 0]
    for k, (label, frame) in enumerate(lines.items()):
        colour = COLOURS[k % len(COLOURS)]
        axis.plot(
            frame.index,
            frame.median(axis=1),
            color=colour,
            linestyle=LINES[k % len(LINES)],
            label=label,
        )
        if frame.shape[1] > 1:
            low, high = frame.min(axis=1), frame.max(axis=1)
            axis.fill_between(frame.index, low, high, color=colour, alpha=0.18, linewidth=0)
    if threshold is not None:
        axis.axhline(threshold, color="black", linewidth=0.8, linestyle=":", label=mark)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set(**{f"{side}scale": "log" for side in log})
    places = sorted({float(x) for frame in lines.values() for x in frame.index})
    if "x" not in log:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    elif len(places) <= FEW:
        axis.set_xticks(places, [f"{x:g}" for x in places])
        axis.set_xticks([], minor=True)
        log = log.replace("x", "")
    _plain_numbers(axis, log)
    if any(frame.shape[1] > 1 for frame in lines.values()):
        axis.set_title(f"line: median of the {each}; band: smallest to largest", fontsize=9)
    if len(lines) > 1 or threshold is not None:
        axis.legend(**(BESIDE if aside else {}))
    show(figure, alt)


def seeds(
    frame: pd.DataFrame,
    alt: str,
    *,
    xlabel: str,
    threshold: float | None = None,
    mark: str = "threshold",
    limits: tuple[float, float] | None = None,
    guess: float | None = None,
    dot: str = "one seed",
) -> None:
    """Draw one dot per seed (rows) for each arm (columns), with mean and 95 % interval.

    `limits` fixes the ends of the axis; `guess` marks what the reader predicted. A dotted line
    lies at `threshold`; `mark` says what it is. `dot` names the rows where they are no seeds.
    """
    named = threshold is not None or guess is not None
    figure, axes = blank(6.4, 0.45 * frame.shape[1] + 1.0 + 0.25 * named)
    axis = axes[0, 0]
    for k, arm in enumerate(frame):
        strip(axis, k, frame[arm].dropna().to_numpy(), COLOURS[k % len(COLOURS)], MARKERS[k % 7])
    if threshold is not None:
        axis.axvline(threshold, color="black", linewidth=0.8, linestyle=":", label=mark)
    if guess is not None:
        axis.axvline(guess, color=COLOURS[3], linewidth=3, alpha=0.5, label="your guess")
    if named:  # between title and axes: beside them it would take the room of the dots
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, borderaxespad=0.1)
    title = f"dot: {dot}; bar: mean and its 95 % interval"
    axis.set_title(title, fontsize=9, pad=24 if named else None)
    axis.set_yticks(range(frame.shape[1]), frame.columns)
    axis.set(xlabel=xlabel, ylim=(frame.shape[1] - 0.5, -0.5), xlim=limits)
    axis.locator_params(axis="x", nbins=7)  # long names of arms leave little room
    show(figure, alt)


def forest(
    frame: pd.DataFrame,
    alt: str,
    *,
    xlabel: str,
    limits: tuple[float, float] | None = None,
    kinds: Sequence[str] = (),
) -> None:
    """Draw one row per entry: a point with its interval, marked and coloured by kind.

    The columns are middle, low, high and kind; the index holds the names. What lies beyond
    `limits` is drawn as an arrow at the edge. Colours and markers follow the order of `kinds`, so
    that a kind looks the same in several figures.
    """
    figure, axes = blank(8.8, 0.21 * len(frame) + 1.1)
    axis = axes[0, 0]
    low, high = limits or (frame["low"].min(), frame["high"].max())
    names = [" ".join(n) if isinstance(n, tuple) else str(n) for n in frame.index]
    kinds = list(dict.fromkeys([*kinds, *sorted(frame["kind"])]))
    for kind, rows in frame.groupby("kind", sort=True):
        k, heights = kinds.index(kind), np.flatnonzero(frame["kind"] == kind)
        colour = COLOURS[k]
        axis.hlines(
            heights, rows["low"].clip(low, high), rows["high"].clip(low, high), color=colour
        )
        inside = rows["middle"].between(low, high).to_numpy()
        axis.scatter(
            rows["middle"][inside],
            heights[inside],
            s=18,
            color=colour,
            marker=MARKERS[k],
            label=kind,
        )
        for height, middle in zip(heights[~inside], rows["middle"][~inside], strict=True):
            end, way = (high, 1) if middle > high else (low, -1)
            axis.annotate(
                "",
                (end, height),
                (end - way * (high - low) / 25, height),
                arrowprops={"arrowstyle": "->", "color": colour},
            )
            axis.scatter([], [], s=18, color=colour, marker=MARKERS[k], label=kind)
    axis.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set(xlabel=xlabel, xlim=(low, high), ylim=(len(names) - 0.5, -0.5))
    handles, labels = axis.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=len(once))
    show(figure, alt)


def rates(
    lines: Mapping[str, pd.DataFrame], alt: str, *, xlabel: str, ylabel: str = "share of networks"
) -> None:
    """Draw one line of shares per entry, each with its Clopper-Pearson interval of 95 %.

    A DataFrame holds the x values as its index and one column per seed: True where that network
    did it, missing where there was none. The x values stand at equal distances, entries beside
    each other.
    """
    figure, axes = blank(6.4, 3.2)
    axis = axes[0, 0]
    labels = list(dict.fromkeys(x for frame in lines.values() for x in frame.index))
    for k, (name, frame) in enumerate(lines.items()):
        frame = frame.astype(float)  # True beside missing values
        done, count = frame.sum(axis=1).to_numpy(int), frame.notna().sum(axis=1).to_numpy()
        ends = np.array([rate_interval(*pair) for pair in zip(done, count, strict=True)]).T
        at = [labels.index(x) + 0.09 * (k - (len(lines) - 1) / 2) for x in frame.index]
        reach = np.clip([done / count - ends[0], ends[1] - done / count], 0, 1)
        how = {"marker": MARKERS[k % 7], "linestyle": LINES[k % 7], "capsize": 3}
        axis.errorbar(at, done / count, reach, color=COLOURS[k % 7], label=name, **how)
    axis.set_xticks(range(len(labels)), [f"{x:g}" for x in labels])
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.05, 1.05))
    axis.set_title("point: share of the networks; bar: its 95 % interval", fontsize=9)
    axis.legend(**BESIDE)
    show(figure, alt)


def facets(
    table: pd.DataFrame,
    alt: str,
    *,
    x: str,
    y: str,
    rows: str,
    columns: str,
    colour: str,
    xlabel: str,
    ylabel: str,
    log: str = "x",
    kinds: Sequence[str] = (),
) -> None:
    """Draw a grid of small plots of y against x: a dot per line of a tidy table.

    `rows`, `columns` and `colour` name columns of the table: where a dot stands and which colour
    and marker it has, in the order of `kinds`. Behind the dots: their median at each x, and a band
    from the smallest to the largest. What is not finite is left out.
    """
    table = table[np.isfinite(table[y])]
    lines, places = table[rows].unique(), table[columns].unique()
    kinds = list(dict.fromkeys([*kinds, *table[colour]]))
    size = (min(2.3 * len(places) + 0.5, 9.0), 1.4 * len(lines) + 0.6)
    figure, axes = blank(*size, len(lines), len(places), sharey=True)
    for (i, line), (j, place) in itertools.product(enumerate(lines), enumerate(places)):
        part = table[(table[rows] == line) & (table[columns] == place)]
        _facet(axes[i, j], part, x, y, colour, kinds)
        axes[i, j].set(**{f"{side}scale": "log" for side in log})
        axes[0, j].set_title(place)
        axes[-1, j].set_xlabel(xlabel)
        axes[i, 0].set_ylabel(f"{line}\n{ylabel}")
    for k, kind in enumerate(kinds):
        axes[0, 0].plot([], [], MARKERS[k], color=COLOURS[k], label=kind)
    figure.legend(loc="outside upper center", ncols=len(kinds), fontsize=9)
    show(figure, alt)


def _facet(axis, part: pd.DataFrame, x: str, y: str, colour: str, kinds: Sequence[str]) -> None:
    """One small plot of `facets`."""
    at = part.groupby(x)[y]
    axis.fill_between(at.min().index, at.min(), at.max(), color="black", alpha=0.1, linewidth=0)
    axis.plot(at.median().index, at.median(), color="black", linewidth=1)
    for k, kind in enumerate(kinds):
        dots = part[part[colour] == kind]
        axis.plot(dots[x], dots[y], MARKERS[k], color=COLOURS[k], markersize=3)


def descents(
    curve: Callable[[np.ndarray], np.ndarray],
    paths: Mapping[str, Sequence[float]],
    alt: str,
    *,
    domain: tuple[float, float],
    xlabel: str,
    ylabel: str,
) -> None:
    """Draw a strip of small plots of one curve, each with the points that a path visits on it.

    The first point is marked by a square; what leaves `domain` is not shown.
    """
    figure, axes = blank(min(2.3 * len(paths) + 0.4, 9.0), 2.4, 1, len(paths), sharey=True)
    ground = np.linspace(*domain, 200)
    for axis, (title, path) in zip(axes[0], paths.items(), strict=True):
        path = np.asarray(path, dtype=float)
        axis.plot(ground, curve(ground), color="black", linewidth=0.8)
        axis.plot(path, curve(path), "o-", color=COLOURS[1], markersize=4, linewidth=0.9)
        axis.plot(path[:1], curve(path[:1]), "s", color=COLOURS[0], markersize=6)
        axis.set(xlim=domain, ylim=(None, 1.05 * curve(ground).max()), xlabel=xlabel)
        axis.set_title(title)
    axes[0, 0].set_ylabel(ylabel)
    show(figure, alt)


def labelled_points(
    groups: Mapping[str, pd.DataFrame], alt: str, *, xlabel: str, ylabel: str, log: str = ""
) -> None:
    """Draw named points on a map: the index holds the names, two columns their places.

    Each group has its colour and marker. Each name stands beside its point, where it covers no
    other name. `log` names the logarithmic axes ("xy").
    """
    figure, axes = blank(6.4, 4.2)
    axis, names = axes[0, 0], []
    for k, (label, frame) in enumerate(groups.items()):
        colour = COLOURS[k % len(COLOURS)]
        x, y = frame.to_numpy(dtype=float).T
        axis.scatter(x, y, s=18, color=colour, marker=MARKERS[k % len(MARKERS)], label=label)
        how = {"textcoords": "offset points", "fontsize": 8, "color": colour}
        for name, *place in zip(frame.index, x, y, strict=True):
            names.append(axis.annotate(name, place, CORNERS[0][0], **how))
    axis.margins(0.12)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set(**{f"{side}scale": "log" for side in log})
    _plain_numbers(axis, log)
    axis.legend(loc="best")
    _keep_apart(figure, names)
    show(figure, alt)


def _plain_numbers(axis, sides: str) -> None:
    """Label logarithmic sides of few decades with plain numbers, 20, 50, 100, not powers of ten."""
    for side in (getattr(axis, f"{name}axis") for name in sides):
        low, high = side.get_view_interval()
        if low > 1e-4 and high / low < 1e4:
            steps = (1, 2, 5) if high / low < 500 else (1,)
            side.set_major_locator(LogLocator(subs=steps))
            side.set_major_formatter("{x:g}")
            side.set_minor_formatter(NullFormatter())


def _keep_apart(figure, names: Sequence) -> None:
    """Move each name that would cover an earlier one to another corner of its point."""
    figure.draw_without_rendering()  # lays the axes out: now places on the page are known
    taken = []
    for name in names:
        for corner, side in (*CORNERS, CORNERS[0]):  # back to the first where all are taken
            name.xyann = corner
            name.set_ha(side)
            box = name.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
