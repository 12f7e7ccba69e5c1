"""Every figure of the course, in one style: safe for colour-blind readers, small, described.

Each function draws one figure, shows it with its alt text and returns nothing. The alt text states
the finding; it is stored with the picture and stands in for it wherever pictures are not shown.
"""

import base64
import io
import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from helpers.statistics import rate_interval, t_interval

# Okabe and Ito 2008, "Color universal design": eight colours told apart by all readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "figure.dpi": 76,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.cmap": "gray",
}
matplotlib.rcParams.update(STYLE)
DIVERGING = "PuOr_r"  # purple through white to orange
FEW = 6  # so many places on a logarithmic axis are labelled one by one


def show(figure: Figure, alt: str) -> None:
    """Show a figure as a PNG that carries its alt text."""
    data = {"image/png": png(figure), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})


def explore(draw: Callable[..., None], **choices: Sequence) -> None:
    """Call `draw` with its defaults; in a live notebook let the reader choose other arguments.

    `choices` holds the values to choose from. Where outputs are stored or compared, TQDM_DISABLE is
    set and only the figure of the defaults is drawn: a widget is no picture and leaves state.
    """
    if os.environ.get("TQDM_DISABLE"):
        draw()
        return
    from ipywidgets import interact

    interact(draw, **{name: list(values) for name, values in choices.items()})


def png(figure: Figure) -> str:
    """A figure as a PNG of 256 colours, a third of the bytes, in base64."""
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    picture = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def blank(width: float, height: float, rows: int = 1, columns: int = 1, **layout):
    """A figure outside pyplot, which keeps no state, and its axes (rows, columns)."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **layout)


# --- pictures --------------------------------------------------------------------------------


def tables(panels: Mapping[str, Tensor], alt: str, decimals: int = 0) -> None:
    """Draw small matrices side by side as grids with their numbers written in the cells."""
    widths = [len(values[0]) for values in panels.values()]
    height = max(len(values) for values in panels.values())
    figure, axes = blank(0.55 * sum(widths) + 0.6, 0.5 * height + 0.4, 1, len(panels))
    axes[0, 0].get_gridspec().set_width_ratios(widths)
    for axis, (title, values) in zip(axes[0], panels.items(), strict=True):
        values = np.asarray(values, dtype=float)
        _, limit = _limits(values, signed=True)
        axis.imshow(values, cmap=DIVERGING, vmin=-1.6 * limit, vmax=1.6 * limit)
        for (i, j), value in np.ndenumerate(values):
            axis.text(j, i, f"{value:.{decimals}f}", ha="center", va="center", fontsize=10)
        axis.set_title(title)
        _bare(axis)
    show(figure, alt)


def pictures(
    rows: Mapping[str, Iterable[Tensor]],
    alt: str,
    *,
    titles: Sequence[str] = (),
    scale: str = "shared",
    signed: bool = False,
    size: float = 0.62,
) -> None:
    """Draw rows of small pictures: images, filters, feature maps or a filter's life.

    Each row, n pictures (h, w), has its label at the left; `titles` head the columns. scale
    "shared" uses one grey scale for all pictures, so that they can be compared; "row" and "each"
    stretch a row's or a picture's own range to black and white. `signed` colours negative values
    purple, positive ones orange and zero white, symmetric about zero.
    """
    arrays = {
        label: [np.asarray(picture.detach().float().cpu()) for picture in row]
        for label, row in rows.items()
    }
    columns = max(len(row) for row in arrays.values())
    size = min(size, 8.2 / columns)
    figure, axes = blank(
        size * columns + 0.9, size * len(arrays) + 0.3 * bool(titles) + 0.1, len(arrays), columns
    )
    overall = _limits(_values(p for row in arrays.values() for p in row), signed)
    for line, (label, row) in zip(axes, arrays.items(), strict=True):
        row_limits = _limits(_values(row), signed) if scale == "row" else overall
        for axis, picture in zip(line, row, strict=False):
            low, high = _limits(picture, signed) if scale == "each" else row_limits
            axis.imshow(picture, vmin=low, vmax=high, cmap=DIVERGING if signed else "gray")
        for axis in line[len(row) :]:
            axis.set_visible(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis in line:
            _bare(axis)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=9)
    show(figure, alt)


def _values(pictures: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([picture.ravel() for picture in pictures])


def _limits(values: np.ndarray, signed: bool) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not values.size:
        return -1.0, 1.0
    if signed:
        limit = abs(values).max() or 1.0
        return -limit, limit
    return values.min(), values.max()


def _bare(axis) -> None:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(True)
    axis.spines[:].set_linewidth(0.5)


def heatmap(
    values: Tensor,
    alt: str,
    *,
    xlabel: str,
    ylabel: str,
    bar: str,
    signed: bool = True,
    xticks: Sequence[str] = (),
    yticks: Sequence[str] = (),
    size: tuple[float, float] = (5, 4),
) -> None:
    """Draw a matrix (rows, columns) as colours, zero white, with a labelled colour bar.

    `signed` colours negative values purple and positive ones orange; without it nothing is
    negative, as with probabilities, and the darker the more.
    """
    figure, axes = blank(*size)
    low, high = _limits(np.asarray(values), signed)
    colours = {"cmap": DIVERGING, "vmin": low} if signed else {"cmap": "Oranges", "vmin": 0}
    image = axes[0, 0].imshow(np.asarray(values), vmax=high, aspect="auto", **colours)
    axes[0, 0].set(xlabel=xlabel, ylabel=ylabel)
    if xticks:
        axes[0, 0].set_xticks(range(len(xticks)), xticks)
    if yticks:
        axes[0, 0].set_yticks(range(len(yticks)), yticks)
    axes[0, 0].grid(False)
    figure.colorbar(image, label=bar)
    show(figure, alt)


def bars(panels: Mapping[str, pd.Series], alt: str, *, xlabel: str, columns: int = 6) -> None:
    """Draw small bar charts with one scale, at most `columns` side by side.

    Each panel has its title and a Series of bars from the top down, the index their names. A bar
    whose name ends in " *" is the one to look at, and has another colour.
    """
    rows = -(-len(panels) // columns)
    across = min(columns, len(panels))
    tall = max(len(series) for series in panels.values())
    height = rows * (0.19 * tall + 0.5) + 0.3
    figure, axes = blank(min(1.5 * across + 0.4, 9), height, rows, across, sharex=True)
    for axis, (title, series) in zip(axes.flat, panels.items(), strict=False):
        names = [str(name) for name in series.index]
        colours = [COLOURS[name.endswith(" *")] for name in names]
        axis.barh(range(len(series)), series.to_numpy(dtype=float), color=colours)
        axis.set_yticks(range(len(series)), names, parse_math=False)
        axis.set(ylim=(tall - 0.4, -0.6))
        axis.set_title(title, parse_math=False)
        axis.grid(visible=False, axis="y")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel(xlabel, fontsize=10)
    show(figure, alt)


def unrolled(
    inputs: Sequence[str],
    states: Sequence[str],
    alt: str,
    *,
    weights: tuple[str, str] = ("", ""),
    cuts: Sequence[int] = (),
) -> None:
    """Draw a recurrent net as a chain in time: a box per input, above it the state it leads to.

    `weights` label the arrows from input to state and from state to state. No state is handed over
    before the steps `cuts` (counted from 0), which are marked by a dotted line.
    """
    figure, axes = blank(min(1.25 * len(states) + 0.6, 9), 2.1)
    axis = axes[0, 0]
    axis.set(xlim=(-0.6, len(states) - 0.2), ylim=(-0.35, 1.35))
    axis.set_axis_off()
    for t, (below, above) in enumerate(zip(inputs, states, strict=True)):
        _box(axis, t, 0, below, COLOURS[1])
        _box(axis, t, 1, above, COLOURS[0])
        _arrow(axis, (t, 0.2), (t, 0.8), weights[0], (0.06, 0))
        if t in cuts:
            axis.plot([t - 0.5] * 2, [-0.2, 1.25], color="black", linestyle=":", linewidth=1)
        elif t > 0:
            _arrow(axis, (t - 0.62, 1), (t - 0.36, 1), weights[1], (-0.08, 0.1))
    show(figure, alt)


def _box(axis, x: float, y: float, label: str, colour: str) -> None:
    frame = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": colour}
    axis.text(x, y, label, ha="center", va="center", bbox=frame)


def _arrow(axis, start: tuple, end: tuple, label: str, shift: tuple[float, float]) -> None:
    """An arrow with its label beside its middle, `shift` away."""
    axis.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "->"})
    middle = [(a + b) / 2 + s for a, b, s in zip(start, end, shift, strict=True)]
    axis.text(*middle, label, fontsize=9, va="center")


def coloured_text(
    text: str,
    values: Tensor,
    alt: str,
    *,
    bar: str,
    signed: bool = False,
    columns: int = 64,
) -> None:
    """Draw a text character by character, each on the colour of its value, with a colour bar.

    `values` has one number per character. Lines break where the text does and at `columns`
    characters. Without `signed` white is zero; with it purple is negative, orange positive.
    Raises ValueError for another number of values than characters, and for an empty text.
    """
    values = np.asarray(values, dtype=float)
    if not text or values.shape != (len(text),):
        raise ValueError(f"{len(text)} characters and values of shape {values.shape}: one each")
    rows, row, column = [], 0, 0
    for character, value in zip(text, values, strict=True):
        if column == columns:
            row, column = row + 1, 0
        rows.append((row, column, character, value))
        row, column = (row + 1, 0) if character == "\n" else (row, column + 1)
    height = rows[-1][0] + 1
    grid = np.full((height, columns), np.nan)
    for i, j, _, value in rows:
        grid[i, j] = value
    figure, axes = blank(9.0, 0.21 * height + 0.2)
    low, high = _limits(values, signed)
    # From white on: letters stay readable on the darkest colour.
    how = {"vmin": 1.6 * low, "vmax": 1.6 * high} if signed else {"vmin": 0, "vmax": 1.4 * high}
    image = axes[0, 0].imshow(grid, cmap=DIVERGING if signed else "Oranges", aspect="auto", **how)
    for i, j, character, _ in rows:
        shown = "¶" if character == "\n" else character
        where = {
            "ha": "center",
            "va": "center",
            "fontsize": 8,
            "family": "monospace",
            "parse_math": False,
        }
        axes[0, 0].text(j, i, shown, **where)
    axes[0, 0].set_axis_off()
    colours = figure.colorbar(image, label=bar, pad=0.01, fraction=0.03)
    colours.ax.set_ylim(low if signed else 0, high)
    colours.ax.tick_params(labelsize=8)
    colours.set_label(bar, fontsize=8)
    show(figure, alt)


# --- measurements ----------------------------------------------------------------------------


def curves(
    lines: Mapping[str, pd.DataFrame],
    alt: str,
    *,
    xlabel: str,
    ylabel: str,
    threshold: float | None = None,
    mark: str = "threshold",
    log: str = "",
) -> None:
    """Draw one line per entry with its band over seeds.

    A DataFrame holds the x values as its index and one column per seed; the line is the median,
    the band reaches from the smallest to the largest. `log` names the logarithmic axes ("xy").
    A dotted line lies at `threshold`; `mark` says what it is.
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
    if any(frame.shape[1] > 1 for frame in lines.values()):
        axis.set_title("line: median of the networks; band: smallest to largest", fontsize=9)
    if len(lines) > 1 or threshold is not None:
        axis.legend()
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
) -> None:
    """Draw one dot per seed (rows) for each arm (columns), with mean and 95 % interval.

    `limits` fixes the ends of the axis; `guess` marks what the reader predicted. A dotted line
    lies at `threshold`; `mark` says what it is.
    """
    figure, axes = blank(6.4, 0.45 * frame.shape[1] + 1.0)
    axis = axes[0, 0]
    for k, arm in enumerate(frame):
        strip(axis, k, frame[arm].dropna().to_numpy(), COLOURS[k % len(COLOURS)], MARKERS[k % 7])
    if threshold is not None:
        axis.axvline(threshold, color="black", linewidth=0.8, linestyle=":", label=mark)
    if guess is not None:
        axis.axvline(guess, color=COLOURS[3], linewidth=3, alpha=0.5, label="your guess")
    if threshold is not None or guess is not None:
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axis.set_title("dot: one network; bar: mean and its 95 % interval", fontsize=9)
    axis.set_yticks(range(frame.shape[1]), frame.columns)
    axis.set(xlabel=xlabel, ylim=(frame.shape[1] - 0.5, -0.5), xlim=limits)
    axis.locator_params(axis="x", nbins=7)  # long names of arms leave little room
    show(figure, alt)


def forest(
    frame: pd.DataFrame, alt: str, *, xlabel: str, limits: tuple[float, float] | None = None
) -> None:
    """Draw one row per entry: a point with its interval, marked and coloured by kind.

    The columns are middle, low, high and kind; the index holds the names. What lies beyond
    `limits` is drawn as an arrow at the edge.
    """
    figure, axes = blank(6.8, 0.21 * len(frame) + 1.1)
    axis = axes[0, 0]
    low, high = limits or (frame["low"].min(), frame["high"].max())
    names = [" ".join(n) if isinstance(n, tuple) else str(n) for n in frame.index]
    for k, (kind, rows) in enumerate(frame.groupby("kind", sort=True)):
        colour, heights = COLOURS[k], np.flatnonzero(frame["kind"] == kind)
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
    axis.set_yticks(range(len(names)), names, fontsize=7)
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
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
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

    Each group has its colour and marker. Each name stands beside its point. `log` names the
    logarithmic axes ("xy").
    """
    figure, axes = blank(6.4, 4.2)
    axis = axes[0, 0]
    for k, (label, frame) in enumerate(groups.items()):
        colour = COLOURS[k % len(COLOURS)]
        x, y = frame.to_numpy(dtype=float).T
        axis.scatter(x, y, s=18, color=colour, marker=MARKERS[k % len(MARKERS)], label=label)
        for name, *place in zip(frame.index, x, y, strict=True):
            axis.annotate(name, place, (4, 2), textcoords="offset points", fontsize=8, color=colour)
    axis.margins(0.12)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set(**{f"{side}scale": "log" for side in log})
    axis.legend(loc="best")
    show(figure, alt)


def strip(axis, height: float, values: np.ndarray, colour: str, marker: str) -> None:
    """Dots at `height`, slightly spread, and beneath them the mean with its t interval."""
    spread = np.linspace(-0.18, 0.02, len(values)) if len(values) > 1 else np.zeros(len(values))
    axis.scatter(values, height + np.asarray(spread), s=16, color=colour, marker=marker, alpha=0.7)
    if not len(values):
        return
    low, high = t_interval(values)
    axis.plot([low, high], [height + 0.25] * 2, color="black", linewidth=1.5)
    axis.plot(values.mean(), height + 0.25, "|", color="black", markersize=9)
