"""One style for all figures, and how a figure is shown."""

import base64
import io
import os
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from helpers.evidence.statistics import t_interval

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

    `choices` holds the values to choose from. Where outputs are stored or compared, OUTPUTS is
    "stored" and only the figure of the defaults is drawn: a widget is no picture and leaves state.
    """
    if os.environ.get("OUTPUTS") == "stored":
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


def strip(axis, height: float, values: np.ndarray, colour: str, marker: str) -> None:
    """Dots at `height`, slightly spread, and beneath them the mean with its t interval."""
    spread = np.linspace(-0.18, 0.02, len(values)) if len(values) > 1 else np.zeros(len(values))
    axis.scatter(values, height + np.asarray(spread), s=16, color=colour, marker=marker, alpha=0.7)
    if not len(values):
        return
    low, high = t_interval(values)
    axis.plot([low, high], [height + 0.25] * 2, color="black", linewidth=1.5)
    axis.plot(values.mean(), height + 0.25, "|", color="black", markersize=9)
