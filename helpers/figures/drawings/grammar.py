"""The grammar of all drawings: boxes, arrows, labels, braces, dots, grids, and one highlight.

A `Sheet` is measured in inches, x to the right and y upwards, so that what is drawn here is what a
reader sees. Lines and text are in ink, which is light on a dark page; fills are tints through
which the page shows.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from matplotlib.patches import (
    Circle,
    FancyArrowPatch,
    FancyBboxPatch,
    PathPatch,
    Polygon,
    Rectangle,
)
from matplotlib.path import Path

from helpers.figures import style

ACCENT, INK = style.ACCENT, style.INK
BLUE, ORANGE, GREEN, PURPLE = style.COLOURS[:4]
TINT = 0.16  # how much of its colour a fill shows

Point = tuple[float, float]
Colour = str | tuple[str, float]  # with a share of the page behind it that does not show through
Part = str | Sequence[str]


def with_parts(*parts: str) -> Callable:
    """Name the parts of a drawing that `highlight` accepts; any other is refused by ValueError.

    The drawing then has them as its attribute `parts`.
    """

    def wrap(draw: Callable[..., None]) -> Callable[..., None]:
        @style.styled
        @functools.wraps(draw)
        def checked(*args, **kwargs) -> None:
            check_part(draw.__name__, kwargs.get("highlight"), parts)
            return draw(*args, **kwargs)

        vars(checked)["parts"] = parts
        return checked

    return wrap


def check_part(drawing: str, part: str | None, parts: Sequence[str]) -> None:
    """Raise ValueError unless the drawing has this part; None and "" stand for no part."""
    if part and part not in parts:
        raise ValueError(f"{drawing} has no part {part!r}: choose one of {', '.join(parts)}")


class Box(NamedTuple):
    """A rectangle by its centre and size; its sides are where arrows begin and end."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def top(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def bottom(self) -> Point:
        return self.x, self.y - self.height / 2


class Sheet:
    """A page of `width` by `height` inches; what belongs to the part `highlight` stands out."""

    def __init__(self, width: float, height: float, highlight: str | None = None):
        self.figure, axes = style.blank(width, height)
        self.figure.set_layout_engine("none")
        self.axis, self.highlight = axes[0, 0], highlight
        self.axis.set_position((0, 0, 1, 1))
        self.axis.set(xlim=(0, width), ylim=(0, height))
        self.axis.set_axis_off()

    def lit(self, part: Part) -> bool:
        """Whether one of these parts is highlighted."""
        return bool(self.highlight) and self.highlight in ((part,) if part is str(part) else part)

    def line(self, part: Part, colour: Colour, width: float = 1.0, level: float = 3) -> dict:
        """How a line of this part is drawn; what has a higher `level` lies above."""
        lit = self.lit(part)
        edge = ACCENT if lit else colour
        return {"edgecolor": edge, "linewidth": width + 1.0 * lit, "zorder": level + lit / 2}

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        text: str = "",
        part: Part = "",
        colour: Colour = INK,
        *,
        size: float = 10,
        tint: float | None = None,
        square: bool = False,
        dashed: bool = False,
    ) -> Box:
        """A tinted box about its centre (x, y), with rounded corners unless it is `square`."""
        tint = (0.05 if colour == INK else TINT) if tint is None else tint
        fill = (ACCENT, 0.22) if self.lit(part) else _tinted(colour, tint)
        rounding = 0 if square else min(0.08, height / 3)
        self.axis.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle=f"round,pad=0,rounding_size={rounding}" if rounding else "square,pad=0",
                facecolor=fill,
                linestyle="--" if dashed else "-",
                **self.line(part, colour),
            )
        )
        if text:
            self.label(x, y, text, part, size=size)
        return Box(x, y, width, height)

    def dot(
        self,
        x: float,
        y: float,
        text: str = "",
        part: Part = "",
        colour: Colour = INK,
        *,
        radius: float = 0.14,
        filled: bool = False,
    ) -> Box:
        """A circle: a unit, or an operation such as × with its sign inside."""
        fill = (ACCENT, 0.22) if self.lit(part) else _tinted(colour, 1 if filled else TINT)
        self.axis.add_patch(Circle((x, y), radius, facecolor=fill, **self.line(part, colour)))
        if text:
            self.label(x, y - 0.005, text, part, size=10)
        return Box(x, y, 2 * radius, 2 * radius)

    def label(
        self,
        x: float,
        y: float,
        text: str,
        part: Part = "",
        *,
        size: float = 9,
        ha: str = "center",
        bold: bool = False,
        faint: bool = False,
        turned: float = 0,
        family: str | None = None,
    ) -> None:
        """Text about (x, y), `turned` by so many degrees; bold where its part is highlighted."""
        self.axis.text(
            x,
            y,
            text,
            fontsize=size,
            ha=ha,
            va="center" if turned else "center_baseline",
            rotation=turned,
            family=family,
            color=INK,
            alpha=0.7 if faint and not self.lit(part) else 1,
            fontweight="bold" if bold or self.lit(part) else "normal",
            linespacing=1.35,
            zorder=5,
        )

    def arrow(
        self,
        *points: Point,
        part: Part = "",
        colour: Colour = INK,
        width: float = 1.0,
        bend: float = 0.0,
        gap: float = 0.04,
        head: bool = True,
        dashed: bool = False,
        rounding: float = 0.1,
    ) -> None:
        """An arrow along points, rounded at its corners, that keeps `gap` inches at both ends.

        `bend` curves one of two points to the left, by so much of its length. Without `head` it is
        a line.
        """
        path = _bent(points, bend, gap) if bend else _rounded(points, gap, rounding)
        look = self.line(part, colour, width, level=2) | {"capstyle": "butt"}
        look |= {"linestyle": (0, (3, 2)) if dashed else "-"}
        if not head:
            self.axis.add_patch(PathPatch(path, fill=False, **look))
            return
        self.axis.add_patch(
            FancyArrowPatch(
                path=path,
                arrowstyle="-|>,head_length=0.5,head_width=0.22",
                mutation_scale=10 + 2 * self.lit(part),
                facecolor=look["edgecolor"],
                joinstyle="miter",
                **look,
            )
        )

    def lines(
        self,
        ways: Iterable[Sequence[Point]],
        part: Part = "",
        colour: Colour = (INK, 0.35),
        width: float = 0.7,
        gap: float = 0.0,
    ) -> None:
        """Many thin lines as one, each along its points, that keep `gap` inches at both ends."""
        paths = [_rounded(way, gap, 0) for way in ways]
        look = self.line(part, colour, width, level=1.5)
        if paths:
            self.axis.add_patch(PathPatch(Path.make_compound_path(*paths), fill=False, **look))

    def brace(self, start: float, end: float, y: float, text: str, part: Part) -> None:
        """A curly brace from x = start to end over what it holds together."""
        up, middle = 0.07, (start + end) / 2
        r = min(up, (end - start) / 4)
        half = [(start, y), (start, y + up), (start + r, y + up)]
        half += [(middle - r, y + up), (middle, y + up), (middle, y + 2 * up)]
        bends = [Path.MOVETO, Path.CURVE3, Path.CURVE3, Path.LINETO, Path.CURVE3, Path.CURVE3]
        look = self.line(part, INK, 0.9) | {"zorder": 2, "fill": False}
        for points in (half, [(2 * middle - x, height) for x, height in half]):
            self.axis.add_patch(PathPatch(Path(points, bends), **look))
        self.label(middle, y + 2 * up + 0.12, text, part)

    def area(
        self, points: Sequence[Point], part: Part = "", colour: Colour = BLUE, tint=TINT
    ) -> None:
        """A tinted polygon without an outline."""
        fill = (ACCENT, 0.25) if self.lit(part) else (colour, tint)
        self.axis.add_patch(Polygon(points, facecolor=fill, edgecolor="none", zorder=1))

    def grid(
        self,
        left: float,
        top: float,
        values: Sequence[Sequence[str]],
        cell: float | Point,
        part: Part = "",
        *,
        fill: Callable[[int, int], Colour] = lambda i, j: "none",
        size: float = 9,
    ) -> Callable[[int, int], Box]:
        """Rows of cells with their text; `fill(i, j)` is a cell's face. Returns (i, j) -> Box."""
        wide, high = (cell, cell) if isinstance(cell, float) else cell

        def at(i: int, j: int) -> Box:
            return Box(left + (j + 0.5) * wide, top - (i + 0.5) * high, wide, high)

        look = {"edgecolor": (INK, 0.45), "linewidth": 0.7, "zorder": 1}
        for i, row in enumerate(values):
            for j, text in enumerate(row):
                x, y, *_ = at(i, j)
                corner = (x - wide / 2, y - high / 2)
                self.axis.add_patch(Rectangle(corner, wide, high, facecolor=fill(i, j), **look))
                if text:
                    self.label(x, y, text, size=size)
        self.frame(left, top, len(values[0]) * wide, len(values) * high, part)
        return at

    def frame(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        part: Part = "",
        colour: Colour = INK,
        line: float = 1.0,
    ) -> Box:
        """An outline about what is there already."""
        corner = (left, top - height)
        look = self.line(part, colour, line)
        self.axis.add_patch(Rectangle(corner, width, height, fill=False, **look))
        return Box(left + width / 2, top - height / 2, width, height)

    def show(self, alt: str) -> None:
        """Show the sheet with its alt text."""
        style.show(self.figure, alt)


def _tinted(colour: Colour, share: float) -> Colour:
    return (colour if isinstance(colour, str) else colour[0]), share


def _towards(start: Point, end: Point, distance: float) -> Point:
    """The point `distance` from `start` on the way to `end`."""
    share = distance / (math.dist(start, end) or 1)
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _rounded(points: Sequence[Point], gap: float, radius: float) -> Path:
    """The path along points with rounded corners, shortened by `gap` at both ends."""
    first, last = _towards(points[0], points[1], gap), _towards(points[-1], points[-2], gap)
    places, codes = [first], [Path.MOVETO]
    inner = [first, *points[1:-1], last]
    for before, corner, after in zip(inner, inner[1:], inner[2:], strict=False):
        if not radius:
            places, codes = [*places, corner], [*codes, Path.LINETO]
            continue
        r = min(radius, math.dist(before, corner) / 2, math.dist(corner, after) / 2)
        places += [_towards(corner, before, r), corner, _towards(corner, after, r)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*places, last], [*codes, Path.LINETO])


def _bent(points: Sequence[Point], bend: float, gap: float) -> Path:
    """A curve whose middle lies off the straight line, to the left of its direction."""
    start, end = points
    (a, b), (c, d) = start, end
    control = ((a + c) / 2 - 2 * bend * (d - b), (b + d) / 2 + 2 * bend * (c - a))
    places = [_towards(start, control, gap), control, _towards(end, control, gap)]
    return Path(places, [Path.MOVETO, Path.CURVE3, Path.CURVE3])


def number(value: float, digits: int = 3) -> str:
    """A number as it is written in a drawing: three significant digits, a real minus sign."""
    rounded = f"{value + 0.0:.{digits}g}"
    return rounded.replace("-", "−")
