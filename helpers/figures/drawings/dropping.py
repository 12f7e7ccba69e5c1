"""Drawings of dropout: its places in a feed-forward net and in a recurrent one."""

import itertools
from collections.abc import Sequence

from helpers.figures.drawings.grammar import ACCENT, BLUE, INK, Point, Sheet, with_parts

# Of every layer its name, its units, those that this update drops, how often, how they are scaled.
LAYERS = (
    ("inputs", 5, (3,), "p = 0.2", "× 1 / 0.8"),
    ("hidden", 6, (0, 2, 5), "p = 0.5", "× 1 / 0.5"),
    ("hidden", 6, (1, 3, 4), "p = 0.5", "× 1 / 0.5"),
    ("outputs", 3, (), "never", ""),
)


@with_parts("inputs", "hidden", "outputs")
def dropout_feed_forward(*, highlight: str | None = "hidden") -> None:
    """Dropout in a feed-forward net: some units of a layer are left out, anew in every update.

    The probabilities are those of Srivastava et al. 2014, "Dropout".
    Parts: inputs, hidden, outputs.
    """
    sheet = Sheet(8.0, 3.35, highlight)
    titles = {"training": "units drop anew in every update", "evaluation": "every unit takes part"}
    for left, (name, words) in zip((0.7, 4.7), titles.items(), strict=True):
        training = name == "training"
        columns = [
            [(left + 0.87 * n, 1.72 + 0.34 * (k - (units - 1) / 2)) for k in range(units)]
            for n, (_, units, *_) in enumerate(LAYERS)
        ]
        sheet.label(left + 1.3, 3.16, name, size=10, bold=True)
        sheet.label(left + 1.3, 2.94, words, size=8.5)
        for n, (part, _, dropped, often, scale) in enumerate(LAYERS):
            gone = dropped if training else ()
            for k, (x, y) in enumerate(columns[n]):
                _unit(sheet, x, y, part, k in gone)
            if n:
                before = LAYERS[n - 1][2] if training else ()
                _links(sheet, columns[n - 1], columns[n], before, gone)
            sheet.label(columns[n][0][0], 0.5, part, part, size=8.5)
            sheet.label(columns[n][0][0], 0.32, often if training else "as it is", part, size=8)
            sheet.label(columns[n][0][0], 0.15, scale if training else "", part, size=8)
    sheet.show(
        "Dropout in a feed-forward net: in training a fifth of the inputs and half of the "
        "hidden units are left out and the others scaled up; in evaluation all take part, unscaled."
    )


def _unit(sheet: Sheet, x: float, y: float, part: str, gone: bool) -> None:
    """A unit, or, where it is dropped, a cross in its place."""
    sheet.dot(x, y, part="" if gone else part, colour=(INK, 0.4) if gone else BLUE, radius=0.12)
    if gone:
        for a, b in ((-1, -1), (-1, 1)):
            ends = (x + 0.085 * a, y + 0.085 * b), (x - 0.085 * a, y - 0.085 * b)
            sheet.arrow(*ends, part=part, head=False, gap=0, width=0.8)


def _links(
    sheet: Sheet, below: list[Point], above: list[Point], lost: Sequence[int], gone: Sequence[int]
) -> None:
    """A line between every two units that both take part."""
    starts = [place for k, place in enumerate(below) if k not in lost]
    ends = [place for k, place in enumerate(above) if k not in gone]
    sheet.lines(itertools.product(starts, ends), colour=(INK, 0.3), gap=0.13)


PLACES = {
    "between layers": ("a fresh mask at every place", "the memory is never touched"),
    "recurrent path": ("a fresh mask at every step", "kept k steps: chance (1 − p)$^k$"),
    "one mask": ("drawn once for all steps", "a unit is out from start to end"),
}
MASKS = ("1101", "0111", "1011", "1110", "0110", "1001", "1010", "0101", "1100")


@with_parts(*PLACES)
def dropout_recurrent(*, highlight: str | None = "one mask") -> None:
    """Three places of dropout in two recurrent layers: empty cells of a mask are dropped units.

    Between layers: Zaremba et al. 2014, "Recurrent neural network regularization"; one mask for all
    steps: Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent
    neural networks". Parts: between layers, recurrent path, one mask.
    """
    sheet = Sheet(8.3, 3.5, highlight)
    for left, (part, words) in zip((0.55, 3.3, 6.05), PLACES.items(), strict=True):
        upwards, along = {
            "between layers": (iter(MASKS), itertools.repeat("")),
            "recurrent path": (itertools.repeat(""), iter(MASKS)),
            "one mask": (itertools.cycle(MASKS[:3]), itertools.cycle(MASKS[4:6])),
        }[part]
        for t in range(3):
            x = left + 0.82 * t
            for y in (1.35, 2.2):
                sheet.box(x, y, 0.34, 0.3, colour=BLUE)
                if t:
                    _masked(sheet, (x - 0.65, y), (x - 0.17, y), next(along), part)
            for low, high in ((0.82, 1.2), (1.5, 2.05), (2.35, 2.75)):
                _masked(sheet, (x, low), (x, high), next(upwards), part)
        sheet.label(left + 0.82, 3.3, part, part, size=10, bold=True)
        sheet.label(left + 0.82, 3.06, words[0], part, size=8.5)
        sheet.label(left + 0.82, 0.3, words[1], part, size=8.5)
        for t in range(3):
            sheet.label(left + 0.82 * t, 0.66, f"$x_{t + 1}$")
    sheet.show(
        "Dropout in a recurrent net: between layers it leaves the memory alone; on the "
        "recurrent path a fresh mask at each step wears it down; one mask for all steps does not."
    )


def _masked(sheet: Sheet, start: Point, end: Point, mask: str, part: str) -> None:
    """An arrow that a mask may stand across: filled cells are kept units, empty ones dropped."""
    sheet.arrow(start, end, colour=(INK, 0.6), width=0.8, gap=0.02)
    x, y, side = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2, 0.085
    colour = ACCENT if sheet.lit(part) else INK
    for n, bit in enumerate(mask):
        shift = (n - (len(mask) - 1) / 2) * side
        place = (x - 0.03, y + shift) if start[0] != end[0] else (x + shift, y - 0.03)
        kept = 0.85 if bit == "1" else 0
        sheet.box(*place, side, side, colour=colour, square=True, tint=kept)
