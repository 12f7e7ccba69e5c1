"""Figures that show measurements: curves, dots, intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from helpers.evidence.statistics import rate_interval
from helpers.figures.style import (
    ACCENT,
    FEW,
    INK,
    LEAST,
    blank,
    empty,
    guessed,
    looks,
    mean_interval,
    show,
    spread,
    strip,
    styled,
)

LONGEST = 30  # characters of a name beside its line
BESIDE = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}  # a legend to the right of its axes


@styled
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
    guess: float | None = None,
) -> None:
    """Draw one line per entry, the median over seeds, with what the seeds do around it.

    A DataFrame holds the x values as its index and one column per seed. From six seeds on a band
    reaches from the smallest to the largest; fewer are drawn as thin lines. `log` names the
    logarithmic axes ("xy"). A dotted line lies at `threshold`; `mark` says what it is. `guess`
    marks the value that the reader predicted. Names stand at the ends of the lines where there is
    room, else in a legend; `aside` puts that beside the axes. `each` names the columns where they
    are no networks.
    """
    guess = guessed(guess, "y" in log)
    lines = {name: _finite(frame, "y" in log) for name, frame in lines.items()}
    if empty(lines.values(), alt):
        return
    figure, axes = blank(6.4, 3.4)
    axis = axes[0, 0]
    for (name, frame), look in zip(lines.items(), looks(lines).values(), strict=True):
        _seeds_around(axis, frame, look.colour)
        median = frame.median(axis=1)
        axis.plot(median.index, median, color=look.colour, linestyle=look.line, label=_named(name))
    _reference(axis.axhline, threshold, mark, guess)
    axis.margins(x=0.02)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set(**{f"{side}scale": "log" for side in log})
    _places(axis, sorted({float(x) for frame in lines.values() for x in frame.index}), log)
    axis.set_title(_around(lines.values(), each), fontsize=9)
    _name_lines(axis, aside)
    show(figure, alt)


def _finite(frame: pd.DataFrame, positive: bool = False) -> pd.DataFrame:
    """Numbers that can be drawn; on a logarithmic axis positive ones."""
    frame = frame.astype(float)
    return frame.where(np.isfinite(frame) & ((frame > 0) | (not positive)))


def _seeds_around(axis, frame: pd.DataFrame, colour: str) -> None:
    """A band from the smallest to the largest seed, or single lines of a few."""
    count = frame.notna().any().sum()
    if count >= LEAST:
        low, high = frame.min(axis=1), frame.max(axis=1)
        axis.fill_between(frame.index, low, high, color=colour, alpha=0.18, linewidth=0)
    elif count > 1:
        axis.plot(frame.index, frame, color=colour, linewidth=0.7, alpha=0.6)


def _around(frames: Iterable[pd.DataFrame], each: str) -> str:
    """What `_seeds_around` drew, in words."""
    counts = [frame.notna().any().sum() for frame in frames]
    parts = [f"line: median of the {each}"] if max(counts) > 1 else []
    parts += [f"thin: single {each}"] if any(1 < count < LEAST for count in counts) else []
    parts += ["band: smallest to largest"] if max(counts) >= LEAST else []
    return "; ".join(parts)


def _reference(line: Callable, threshold: float | None, mark: str, guess: float | None) -> None:
    """A line at the threshold and one at the reader's guess."""
    if threshold is not None:
        line(threshold, color=INK, linewidth=1, linestyle=":", label=mark)
    if guess is not None:
        line(guess, color=ACCENT, linewidth=2.5, alpha=0.7, label="your guess")


def _places(axis, places: Sequence[float], log: str) -> None:
    """Label few places on a logarithmic axis one by one."""
    if "x" not in log:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    elif len(places) <= FEW:
        axis.set_xticks(places, [f"{x:g}" for x in places])
        axis.set_xticks([], minor=True)
        log = log.replace("x", "")
    _plain_numbers(axis, log)


def _name_lines(axis, aside: bool = False) -> None:
    """Names at the right ends of the lines; a legend where they would stand too far from them."""
    handles, names = axis.get_legend_handles_labels()
    if not names:
        return
    ends = [] if aside else _ends(axis, handles)
    space = axis.get_window_extent().height if ends else 0
    wanted = [axis.transData.transform(end)[1] - axis.get_window_extent().y0 for end in ends]
    heights = _spread(wanted, 15 * axis.figure.dpi / 72, space)
    far = any(abs(a - b) > 0.25 * space for a, b in zip(wanted, heights, strict=False))
    if not heights or far or max(map(len, names)) > LONGEST:
        axis.legend(**(BESIDE if aside or len(names) > 4 else {}))
        return
    for handle, name, end, height in zip(handles, names, ends, heights, strict=True):
        leader = {"arrowstyle": "-", "color": handle.get_color(), "relpos": (0, 0.5)}
        leader |= {"shrinkA": 1, "shrinkB": 1}
        where = {"xytext": (1.03, height / space), "textcoords": "axes fraction", "va": "center"}
        axis.annotate(name, end, arrowprops=leader, fontsize=9, annotation_clip=False, **where)


def _ends(axis, lines: Sequence) -> list[tuple[float, float]]:
    """The last point of every line; none where one ends far from the right edge."""
    axis.figure.draw_without_rendering()  # lays the axes out: now places on the page are known
    right, ends = axis.get_xlim()[1], []
    for line in lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        if line.get_transform() != axis.transData:  # a line all across
            x = np.where(x > 0.5, right, x)
        if not np.isfinite(y).any():
            return []
        last = np.flatnonzero(np.isfinite(y))[-1]
        ends.append((x[last], y[last]))
    places = [axis.transData.transform(end)[0] for end in ends]
    box = axis.get_window_extent()
    return ends if min(places, default=0) > box.x0 + 0.8 * box.width else []


def _spread(wanted: Sequence[float], least: float, space: float) -> list[float]:
    """The wanted heights, moved as little as keeps them `least` apart within `space`, or none."""
    if least * len(wanted) > space + least:
        return []
    order = np.argsort(wanted, kind="stable")
    heights = np.clip(np.asarray(wanted, float)[order], 0, space)
    for _ in range(100):  # push neighbours apart, evenly to both sides
        for i in range(len(heights) - 1):
            short = least - (heights[i + 1] - heights[i])
            if short > 1e-6:
                heights[i] -= short / 2
                heights[i + 1] += short / 2
        heights = np.clip(heights, 0, space)
    if len(heights) > 1 and np.diff(heights).min() < 0.9 * least:
        return []
    return heights[np.argsort(order, kind="stable")].tolist()


@styled
def dots(
    frame: pd.DataFrame,
    alt: str,
    *,
    xlabel: str,
    threshold: float | None = None,
    mark: str = "threshold",
    limits: tuple[float, float] | None = None,
    log: str = "",
    guess: float | None = None,
    dot: str = "one seed",
    paired: bool = False,
) -> None:
    """Draw one dot per seed (rows) for each arm (columns), with mean and 95 % interval.

    There is no interval of fewer than six seeds, of two groups, nor one that would leave
    `limits`, which fix the ends of the axis. `guess` marks what the reader predicted. A dotted line
    lies at `threshold`; `mark` says what it is. `dot` names the rows where they are no seeds.
    `paired` joins the dots of each row by a thin line. `log="x"` is for ratios and rates: the axis
    is logarithmic, the mean geometric.
    Seeds in `frame.attrs["here"]` were trained here and stand out (`Experiment.final`);
    `frame.attrs["own"]` says that the experiment is the reader's own.
    """
    guess = guessed(guess, "x" in log)
    if empty([frame], alt):
        return
    frame = _finite(frame, "x" in log).set_axis([_named(arm) for arm in frame], axis=1)
    marked = threshold is not None or guess is not None
    figure, axes = blank(6.4, 0.45 * frame.shape[1] + 1.0 + 0.25 * marked)
    axis = axes[0, 0]
    if log:
        axis.set_xscale("log")  # before anything is drawn: margins of logarithms stay above 0
    own, trained = frame.attrs.get("own", False), frame.attrs.get("here", [])
    here = np.zeros(len(frame), dtype=bool) if own else frame.index.isin(trained)
    intervals, heights = [], np.full(frame.shape, np.nan)
    forth, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    for k, look in enumerate(looks(frame.columns).values()):
        values = frame.iloc[:, k].to_numpy()
        there = np.isfinite(values)
        interval = mean_interval(forth(values[there]), limits)
        intervals.append(interval and tuple(back(interval)))
        middle = float(back(forth(values[there]).mean())) if interval else None
        strip(axis, k, values[there], look, here[there], intervals[-1], middle)
        heights[there, k] = spread(k, there.sum())
    if paired:
        axis.plot(frame.to_numpy().T, heights.T, color=INK, linewidth=0.7, alpha=0.35, zorder=1)
    _reference(axis.axvline, threshold, mark, guess)
    if marked:  # between title and axes: beside them it would take the room of the dots
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, borderaxespad=0.1)
    said = _dots_said(dot, own, here, intervals, paired)
    said = said.replace("bar: mean", "bar: geometric mean") if log else said
    axis.set_title(said, fontsize=9, pad=24 if marked else None)
    axis.set_yticks(range(frame.shape[1]), frame.columns)
    axis.set(xlabel=xlabel, ylim=(frame.shape[1] - 0.5, -0.5), xlim=limits)
    if log:
        _plain_numbers(axis, log)
    else:
        axis.locator_params(axis="x", nbins=7)  # long names of arms leave little room
    show(figure, alt)


def _named(arm: Any) -> str:
    """The name of an arm as it is drawn: no sign in it is a formula's, and none hides it."""
    name = ", ".join(map(str, arm)) if isinstance(arm, tuple) else str(arm)
    return ("\N{ZERO WIDTH SPACE}" * name.startswith("_") + name).replace("$", r"\$")


def _dots_said(dot: str, own: bool, here: np.ndarray, intervals: Sequence, paired: bool) -> str:
    """What the marks of `dots` are, in words."""
    parts = [f"dot: {dot}" + " of your own experiment" * own]
    parts += ["line: a pair"] if paired else []
    parts += ["large: trained here"] if here.any() else []
    parts += ["bar: mean and its 95 % interval"] if any(intervals) else []
    return "; ".join(parts)


@styled
def rates(
    lines: Mapping[str, pd.DataFrame],
    alt: str,
    *,
    xlabel: str,
    ylabel: str = "share of networks",
    guess: float | None = None,
) -> None:
    """Draw one line of shares per entry, each with its Clopper-Pearson interval of 95 %.

    A DataFrame holds the x values as its index and one column per seed: True where that network
    did it, missing where there was none. The x values stand at equal distances, entries beside
    each other. Fewer than six networks have no interval. `guess` marks what the reader predicted.
    """
    guess = guessed(guess)
    if empty(lines.values(), alt):
        return
    figure, axes = blank(6.4, 3.2)
    axis = axes[0, 0]
    labels = list(dict.fromkeys(x for frame in lines.values() for x in frame.index))
    for k, (name, look) in enumerate(looks(lines).items()):
        frame = _finite(lines[name])  # True beside missing values
        done, count = frame.sum(axis=1).to_numpy(int), frame.notna().sum(axis=1).to_numpy()
        shift = 0.09 * (k - (len(lines) - 1) / 2)
        at = np.array([labels.index(x) + shift for x in frame.index])[count > 0]
        done, count = done[count > 0], count[count > 0]
        how = {"linestyle": look.line, "color": look.colour, "label": _named(name)}
        axis.plot(at, done / count, look.marker, **how)
        for x, solved, all_ in zip(at, done.tolist(), count.tolist(), strict=True):
            if all_ >= LEAST:
                axis.plot([x, x], rate_interval(solved, all_), color=look.colour, linewidth=1)
    _reference(axis.axhline, None, "", guess)
    axis.set_xticks(range(len(labels)), [f"{x:g}" for x in labels])
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.05, 1.05))
    axis.set_title("point: share of the networks; bar: its 95 % interval", fontsize=9)
    _name_lines(axis)
    show(figure, alt)


@styled
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
    if empty(paths.values(), alt):
        return
    figure, axes = blank(min(2.3 * len(paths) + 0.4, 9.0), 2.4, 1, len(paths), sharey=True)
    ground = np.linspace(*domain, 200)
    for axis, (title, path) in zip(axes[0], paths.items(), strict=True):
        path = np.asarray(path, dtype=float)
        path = np.where((path >= domain[0]) & (path <= domain[1]), path, np.nan)
        axis.plot(ground, curve(ground), color=INK, linewidth=0.8)
        axis.plot(path, curve(path), "o-", color=ACCENT, markersize=4, linewidth=0.9)
        axis.plot(path[:1], curve(path[:1]), "s", color=INK, markersize=6)
        axis.set(xlim=domain, ylim=(None, 1.05 * curve(ground).max()), xlabel=xlabel)
        axis.set_title(_named(title))
    axes[0, 0].set_ylabel(ylabel)
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
