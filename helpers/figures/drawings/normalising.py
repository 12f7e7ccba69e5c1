"""The drawing of what normalisation averages over."""

from collections.abc import Callable

import numpy as np

from helpers.figures.drawings.grammar import BLUE, INK, Sheet, with_parts

SIZES = (4, 6, 5)  # batch, channels, space
GROUPS = 2
NORMS = {
    "BatchNorm": ("one channel\nof all examples", lambda n, c: c == 0),
    "LayerNorm": ("all channels\nof one example", lambda n, c: n == SIZES[0] - 1),
    "GroupNorm": (
        "half the channels\nof one example",
        lambda n, c: n == SIZES[0] - 1 and c < SIZES[1] // GROUPS,
    ),
    "InstanceNorm": ("one channel\nof one example", lambda n, c: n == SIZES[0] - 1 and c == 0),
}


@with_parts(*NORMS)
def normalisation(*, highlight: str | None = "BatchNorm") -> None:
    """What four norms average over, on a cube of batch, channels and space (height times width).

    Parts: BatchNorm, LayerNorm, GroupNorm, InstanceNorm.
    """
    sheet = Sheet(8.2, 2.75, highlight)
    batch, channels, space = SIZES
    for x, (name, (words, chosen)) in zip((0.55, 2.55, 4.55, 6.55), NORMS.items(), strict=True):
        _cube(sheet, x, 0.95, chosen, name)
        count = space * sum(chosen(n, c) for n in range(batch) for c in range(channels))
        means = batch * channels * space // count
        sheet.label(x + 0.6, 2.55, name, name, size=10, bold=True)
        sheet.label(x + 0.6, 0.36, f"{words}\n{means} means of {count} numbers", name, size=8.5)
    sheet.label(0.89, 0.83, "batch", size=7.5, faint=True)
    sheet.label(0.45, 1.37, "space", size=7.5, faint=True, turned=90)
    sheet.label(1.62, 1.05, "channels", size=7.5, faint=True, turned=38)
    sheet.show(
        "Each norm takes its mean over a part of the cube of batch, channels and space: only "
        "BatchNorm mixes examples; LayerNorm, GroupNorm and InstanceNorm stay within one."
    )


def _cube(sheet: Sheet, x: float, y: float, chosen: Callable, part: str) -> None:
    """Batch to the right, channels backwards, space upwards; the chosen cells in colour."""
    batch, channels, space = SIZES
    a, right, up = 0.17, 0.1, 0.075

    def corner(n: float, c: float, s: float) -> tuple[float, float]:
        return x + n * a + c * right, y + s * a + c * up

    faces = [((n, 0, s), (1, 0, 0), (0, 0, 1)) for n in range(batch) for s in range(space)]
    faces += [((batch, c, s), (0, 1, 0), (0, 0, 1)) for c in range(channels) for s in range(space)]
    faces += [((n, c, space), (1, 0, 0), (0, 1, 0)) for n in range(batch) for c in range(channels)]
    for start, one, two in faces:
        if chosen(min(start[0], batch - 1), start[1]):
            steps = [(0, 0, 0), one, np.add(one, two), two]
            sheet.area([corner(*np.add(start, step)) for step in steps], part, BLUE, 0.4)
    ways = [[(n, 0, 0), (n, 0, space), (n, channels, space)] for n in range(batch + 1)]
    ways += [[(0, 0, s), (batch, 0, s), (batch, channels, s)] for s in range(space + 1)]
    ways += [[(0, c, space), (batch, c, space), (batch, c, 0)] for c in range(channels + 1)]
    sheet.lines([[corner(*place) for place in way] for way in ways], colour=(INK, 0.6))
