"""Figures that show things as they are: numbers, images, maps, text."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from torch import Tensor

from helpers.figures.style import ACCENT, DIVERGING, GREY, blank, empty, show, styled

ON_COLOUR = "#1F2328"  # letters on coloured cells: dark on any page


@styled
def matrices(panels: Mapping[str, Tensor], alt: str, decimals: int = 0) -> None:
    """Draw small matrices side by side as grids with their numbers written in the cells."""
    if empty(panels.values(), alt):
        return
    widths = [len(values[0]) for values in panels.values()]
    height = max(len(values) for values in panels.values())
    figure, axes = blank(0.55 * sum(widths) + 0.6, 0.5 * height + 0.4, 1, len(panels))
    axes[0, 0].get_gridspec().set_width_ratios(widths)
    how = {"ha": "center", "va": "center", "fontsize": 10, "color": ON_COLOUR}
    for axis, (title, values) in zip(axes[0], panels.items(), strict=True):
        values = np.asarray(values, dtype=float)
        _, limit = _limits(values, signed=True)
        shown = np.where(np.isfinite(values), values, 0)
        axis.imshow(shown, cmap=DIVERGING, vmin=-1.6 * limit, vmax=1.6 * limit)
        for (i, j), value in np.ndenumerate(values):
            axis.text(j, i, f"{value:.{decimals}f}", **how)
        axis.set_title(title, parse_math=False)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(True)
        axis.spines[:].set_linewidth(0.5)
    show(figure, alt)


@styled
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
    if empty([picture for row in arrays.values() for picture in row], alt):
        return
    columns = max(len(row) for row in arrays.values())
    size = min(size, 8.2 / columns)
    width, height = size * columns, size * len(arrays) + 0.25 * bool(titles) + 0.1
    figure, axes = blank(width + 0.09 * max(map(len, arrays)) + 0.1, height)
    axis = axes[0, 0]
    axis.set_axis_off()
    overall = _limits(_values(p for row in arrays.values() for p in row), signed)
    for i, (label, row) in enumerate(arrays.items()):
        row_limits = _limits(_values(row), signed) if scale == "row" else overall
        for j, picture in enumerate(row):
            _place(axis, picture, j, i, _limits(picture, signed) if scale == "each" else row_limits)
        axis.text(-0.08, i + 0.46, label, ha="right", va="center")
    for j, title in enumerate(titles[:columns]):
        axis.text(j + 0.46, -0.06, title, ha="center", va="bottom", fontsize=9)
    for image in axis.images:
        image.set_cmap(DIVERGING if signed else "gray")
    axis.set(xlim=(-0.02, columns), ylim=(len(arrays) - 0.02, -0.05), aspect="equal")
    show(figure, alt)


def _place(axis, picture: np.ndarray, x: float, y: float, limits: tuple[float, float]) -> None:
    """A picture (h, w) in the middle of the unit cell at (x, y), in a thin frame."""
    height, width = 0.92 * np.array(picture.shape) / max(picture.shape)
    x, y = x + (0.92 - width) / 2, y + (0.92 - height) / 2
    extent = (x, x + width, y + height, y)
    axis.imshow(picture, vmin=limits[0], vmax=limits[1], extent=extent)
    axis.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=GREY, linewidth=0.5))


def _values(pictures: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0), *(picture.ravel() for picture in pictures)])


def _limits(values: np.ndarray, signed: bool) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not values.size:
        return -1.0, 1.0
    if signed:
        limit = abs(values).max() or 1.0
        return -limit, limit
    return values.min(), values.max()


@styled
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
    if empty([values], alt):
        return
    figure, axes = blank(*size)
    axis = axes[0, 0]
    low, high = _limits(np.asarray(values), signed)
    colours = {"cmap": DIVERGING, "vmin": low} if signed else {"cmap": "Oranges", "vmin": 0}
    image = axis.imshow(np.asarray(values), vmax=high, aspect="auto", **colours)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if xticks:
        axis.set_xticks(range(len(xticks)), xticks)
    if yticks:
        axis.set_yticks(range(len(yticks)), yticks)
    axis.grid(False)
    _scale(figure, image, bar)
    show(figure, alt)


def _scale(figure, image, label: str, **how):
    """A colour bar, its colours as one small picture."""
    scale = figure.colorbar(image, label=label, **how)
    scale.solids.set_rasterized(True)
    return scale


@styled
def bars(panels: Mapping[str, pd.Series], alt: str, *, xlabel: str, columns: int = 6) -> None:
    """Draw small bar charts with one scale, at most `columns` side by side.

    Each panel has its title and a Series of bars from the top down, the index their names. A bar
    whose name ends in `" *"` is the one to look at, and has another colour.
    """
    if empty(panels.values(), alt):
        return
    rows = -(-len(panels) // columns)
    across = min(columns, len(panels))
    tall = max(len(series) for series in panels.values())
    height = rows * (0.19 * tall + 0.5) + 0.3
    figure, axes = blank(min(1.5 * across + 0.4, 9), height, rows, across, sharex=True)
    for axis, (title, series) in zip(axes.flat, panels.items(), strict=False):
        names = [str(name) for name in series.index]
        colours = [ACCENT if name.endswith(" *") else GREY for name in names]
        axis.barh(range(len(series)), series.to_numpy(dtype=float), color=colours)
        axis.set_yticks(range(len(series)), names, parse_math=False)
        axis.set(ylim=(tall - 0.4, -0.6))
        axis.set_title(title, parse_math=False)
        axis.grid(visible=False, axis="y")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel(xlabel, fontsize=10)
    show(figure, alt)


@styled
def coloured_text(
    text: str,
    values: Tensor,
    alt: str,
    *,
    bar: str,
    columns: int = 64,
) -> None:
    """Draw a text character by character, each on the colour of its value, with a colour bar.

    `values` has one number per character. Lines break where the text does and at `columns`
    characters. White is zero, and the darker the more.
    Raises ValueError for another number of values than characters, and for an empty text.
    """
    given = np.asarray(values, dtype=float)
    if not text or given.shape != (len(text),):
        raise ValueError(f"{len(text)} characters and values of shape {given.shape}: one each")
    if empty([given], alt):
        return
    shades = np.where(np.isfinite(given), given, 0)
    places, row, column = [], 0, 0
    for character in text:
        if column == columns:
            row, column = row + 1, 0
        places.append((row, column))
        row, column = (row + 1, 0) if character == "\n" else (row, column + 1)
    height = places[-1][0] + 1
    grid = np.full((height, columns), np.nan)
    grid[tuple(zip(*places, strict=True))] = shades
    figure, axes = blank(9.0, 0.21 * height + 0.2)
    axis = axes[0, 0]
    _, high = _limits(shades, signed=False)
    # Letters stay readable on the darkest colour.
    image = axis.imshow(grid, cmap="Oranges", aspect="auto", vmin=0, vmax=1.4 * high)
    how = {"ha": "center", "va": "center", "fontsize": 9, "color": ON_COLOUR}
    for (i, j), character in zip(places, text, strict=True):
        shown = "¶" if character == "\n" else character
        if shown != " ":
            axis.text(j, i, shown, family="monospace", parse_math=False, **how)
    axis.set_axis_off()
    colours = _scale(figure, image, bar, pad=0.01, fraction=0.03)
    colours.ax.set_ylim(0, high)
    show(figure, alt)
