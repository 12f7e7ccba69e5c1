"""One style for all figures, who has which colour, and how a figure is shown."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from numbers import Real

import matplotlib
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from helpers.evidence.statistics import t_interval
from helpers.figures.svg import image, svg

# Eight colours of middle lightness: contrast of 3 to 1 on white and on the dark page, and as far
# apart as that allows for readers with and without red-green blindness.
COLOURS = (
    "#5A4BFF",
    "#FF5A0F",
    "#00A569",
    "#874BB4",
    "#C32D0F",
    "#3C96B4",
    "#007869",
    "#7887FF",
)
GREY = "#808080"  # controls
ACCENT = "#D6278C"  # what was changed; the reader's own
INK = "black"  # becomes light where the page is dark
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)), (0, (3, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
STYLE = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": "DejaVu Sans",  # widths as in Verdana; see svg.FONTS
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.cmap": "gray",
    "image.interpolation": "none",  # pixels as they are: small files, sharp edges
    "svg.fonttype": "none",
    "svg.hashsalt": "phase-03",
} | dict.fromkeys(
    ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"],
    INK,
)
DIVERGING = "PuOr_r"  # purple through white to orange
FEW = 6  # so many places on a logarithmic axis are labelled one by one
LEAST = 6  # with fewer seeds there is no interval and no band

FAMILIES = ("CNN", "RNN", "LSTM", "GRU", "dense", "TCN", "tied", "linear")  # in COLOURS' order
ALIASES = {
    "mlp": "dense",
    "logistic": "linear",
    "regression": "linear",
    "conv": "CNN",
    "convolution": "CNN",
    "cifg": "tied",
    **{family.lower(): family for family in FAMILIES},
}
CONTROLS = set(
    "counts count gram control random frozen none reference guessing chance undecided".split()
)
NEW = (5, 4, 6, 7, 3, 2, 1, 0)  # colours of arms that are no architecture: rare families first


@dataclass(frozen=True)
class Look:
    """How an arm is drawn wherever it appears."""

    colour: str
    line: str | tuple
    marker: str


OWN = {  # whose it is; what became of a run
    "yours": Look(ACCENT, "-", "D"),
    "stored": Look(INK, "-", "o"),
    "fine": Look("#007869", "-", "o"),
    "unfinished": Look(GREY, "-", "^"),
    "spiked": Look("#7887FF", "-", "P"),
    "collapsed": Look("#874BB4", "-", "s"),
    "diverged": Look("#C32D0F", "-", "X"),
}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Colour, line style and marker of every arm of a figure, by name.

    An architecture has one look throughout the course: that of the first word of its name, or of
    any other word that names one ("LSTM, forget bias 1", "narrow CNN"). Controls ("counts",
    "random", "none", "no clipping") are grey. Arms of one kind differ by line style and marker.
    "yours, ..." and "stored, ..." look as on cards, and what became of a run ("fine", "diverged")
    has its own look. All other names take the colours that are left, in order.

    >>> looks(["RNN", "RNN, orthogonal"])["RNN, orthogonal"].colour == looks(["RNN"])["RNN"].colour
    True
    """
    names = list(dict.fromkeys(names))
    families = {name: family_of(name) for name in names}
    free = [k for k in NEW if FAMILIES[k] not in families.values()] or list(NEW)
    found, seen = {}, dict.fromkeys(families.values(), 0)
    for name, family in families.items():
        if family in FAMILIES:
            k = FAMILIES.index(family)
            colour, line, marker = COLOURS[k], k + seen[family], k + seen[family]
        elif family:
            colour, line, marker = GREY, seen[family], 5 + seen[family]
        elif (whose := str(name).split(",")[0]) in OWN:
            found[name] = OWN[whose]
            continue
        else:
            colour, line, marker = COLOURS[free[seen[""] % len(free)]], seen[""], seen[""]
        seen[family] += 1
        found[name] = Look(colour, LINES[line % len(LINES)], MARKERS[marker % len(MARKERS)])
    return found


def family_of(name: str) -> str:
    """The architecture that a name names, "control", or "" for anything else."""
    words = "".join(c if c.isalnum() else " " for c in str(name).lower()).split()
    known = [ALIASES[word] for word in words if word in ALIASES]
    if known:
        return known[0]
    control = words[:1] in (["no"], ["without"]) or CONTROLS & set(words)
    return "control" if control else ""


def styled(draw: Callable) -> Callable:
    """`draw` in the house style; a notebook's own figures keep theirs."""
    return matplotlib.rc_context(STYLE)(draw)


@styled
def blank(width: float, height: float, rows: int = 1, columns: int = 1, **layout):
    """A figure outside pyplot, which keeps no state, and its axes (rows, columns); inches.

    Black and white become ink and paper: light on dark where the page is dark.
    """
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **layout)


def show(figure: Figure, alt: str) -> None:
    """Show a figure as SVG, its finding `alt` beneath it and as its alternative text."""
    caption = f"<figcaption>{escape(alt)}</figcaption>"
    framed = f'<figure style="margin:0">{picture(figure, alt)}{caption}</figure>'
    display({"text/html": framed, "text/plain": alt}, raw=True)


def table(frame: pd.DataFrame, caption: str) -> None:
    """Show a table under its caption, which says what its numbers are; what is missing stays empty.

    Numbers are shown as they are rounded, headings without the names of their axes. Where pages are
    not shown, in a console and in tests, it is text. Raises ValueError for a table without numbers.
    """
    if not frame.size:
        raise ValueError(f"nothing to show in {caption!r}: the table is empty")
    no_names = {n: [None] * getattr(frame, n).nlevels for n in ("index", "columns")}
    named = frame.rename_axis(**no_names)
    start = f'<caption style="caption-side:top;text-align:left">{escape(caption)}</caption>'
    page = named.to_html(border=0, na_rep="").replace("<thead>", f"{start}<thead>", 1)
    text = f"{caption}\n{named.to_string(na_rep='')}"
    display({"text/html": page, "text/plain": text}, raw=True)


@styled
def picture(figure: Figure, alt: str) -> str:
    """A figure as an HTML image with its alternative text."""
    return image(svg(figure), alt)


def empty(arrays: Iterable, alt: str) -> bool:
    """Whether no number of any of the arrays can be drawn; then says so in a sentence."""
    flat = [np.asarray(array, dtype=float).ravel() for array in arrays]
    numbers = np.concatenate([[], *flat])
    if np.isfinite(numbers).any():
        return False
    why = "no number is finite" if numbers.size else "there are no numbers"
    said = f"Nothing to draw here: {why}. The figure is about this: {alt}"
    display({"text/html": f"<p>{escape(said)}</p>", "text/plain": said}, raw=True)
    return True


def guessed(guess, positive: bool = False) -> float | None:
    """The reader's guess as a number; None where there is none, with a sentence where it is odd.

    `positive`: so must it be, for a logarithmic axis.
    """
    if guess is None:
        return None
    why = "not a number"
    if isinstance(guess, Real) and not isinstance(guess, bool) and isfinite(guess):
        if float(guess) > 0 or not positive:
            return float(guess)
        why = "not above 0"
    print(f"Your guess {guess!r} is {why}, so it is not drawn: write for example 0.5.")
    return None


def explore(draw: Callable[..., None], **choices: Sequence) -> None:
    """Call `draw` with its defaults; in a live notebook let the reader choose other arguments.

    `choices` holds the values to choose from. Where outputs are stored or compared, OUTPUTS is
    "stored" and only the figure of the defaults is drawn: a widget is no picture and leaves state.
    So it is where Kaggle runs a whole notebook, for those who will only look at it.
    """
    kaggle = os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Batch"
    if kaggle or os.environ.get("OUTPUTS") == "stored":
        draw()
        return
    from ipywidgets import interactive

    controls = interactive(draw, **{name: list(values) for name, values in choices.items()})
    for control in controls.children[:-1]:  # their names in full; the last is the figure
        control.style.description_width = f"{max(map(len, choices)) + 1}ch"
    display(controls)


def strip(
    axis,
    height: float,
    values: np.ndarray,
    look: Look,
    here: Sequence[bool] | np.ndarray = (),
    interval: tuple[float, float] | None = None,
    middle: float | None = None,
) -> None:
    """Dots about `height`, a dot a seed; beneath them the mean in its interval, where there is one.

    Dots that `here` marks were trained here and stand out. `middle` stands in the interval where
    the mean does not, as for ratios, whose logarithms were averaged.
    """
    values = np.asarray(values, dtype=float)
    heights = spread(height, len(values))
    large = np.asarray(here, dtype=bool) if len(here) else np.zeros(len(values), dtype=bool)
    how = {"linestyle": "", "marker": look.marker, "color": look.colour}
    axis.plot(values[~large], heights[~large], markersize=4.5, markeredgewidth=0, alpha=0.65, **how)
    axis.plot(values[large], heights[large], markersize=7.5, markeredgecolor=INK, **how)
    if interval:
        axis.plot(interval, [height + 0.3] * 2, color=INK, linewidth=1.5)
        middle = values.mean() if middle is None else middle
        axis.plot(middle, height + 0.3, "|", color=INK, markersize=9)


def spread(height: float, count: int) -> np.ndarray:
    """Heights of `count` dots about `height`, (count,), no two the same."""
    return height - 0.28 + 0.4 * ((np.arange(count) * 0.618 + 0.2) % 1)


def mean_interval(
    values: np.ndarray, limits: tuple[float, float] | None = None
) -> tuple[float, float] | None:
    """The 95 % t interval of the mean; None where it would mislead.

    That is so under six seeds, where the values lie in two groups, and where the interval reaches
    beyond the possible range `limits`.
    """
    values = np.sort(np.asarray(values, dtype=float))
    if len(values) < LEAST:
        return None
    gaps = np.diff(values)[1:-1]  # at least two on either side
    low, high = t_interval(values)
    if gaps.max() > 0.5 * np.ptp(values) > 0:
        return None
    outside = limits is not None and (low < limits[0] or high > limits[1])
    return None if outside else (low, high)
