"""Drawings of sequences: a batch of unequal rows, and how far an input lies from an output."""

import itertools
from collections.abc import Sequence

from helpers.figures.drawings.grammar import ACCENT, BLUE, INK, Sheet, with_parts

# --- unequal rows ----------------------------------------------------------------------------

ROWS = (("the", "cat", "sat", "down"), ("a", "dog"), ("birds", "sing", "here"))
CELL, RADIUS = 0.36, 0.068  # inches: a token, a unit


@with_parts("padding", "mask", "packed")
def padding(*, highlight: str | None = "padding") -> None:
    """A batch of token rows three ways: padded, with its mask, and packed step by step.

    Parts: padding, mask, packed.
    """
    rows, lengths = ROWS, [len(row) for row in ROWS]
    longest, total = max(lengths), sum(lengths)
    wide = 0.085 * max(len(token) for row in rows for token in (*row, "pad")) + 0.2
    order = sorted(range(len(rows)), key=lambda n: -lengths[n])
    middle, packed = 0.9 + longest * wide, 1.75 + longest * (wide + CELL)
    top = 0.62 + len(rows) * CELL
    sheet = Sheet(packed + longest * wide + 0.35, top + 0.55, highlight)
    for n in range(len(rows)):
        for x, row in ((0.4, n), (packed - 0.12, order[n])):
            sheet.label(x, top - (n + 0.5) * CELL, str(row), size=8, ha="right", faint=True)

    def padded(i: int, j: int) -> tuple:
        if j < lengths[i]:
            return BLUE, 0.14
        return (ACCENT, 0.3) if sheet.lit("padding") else (INK, 0.08)

    def masked(i: int, j: int) -> tuple:
        colour = ACCENT if sheet.lit("mask") else BLUE
        return (colour, 0.2) if j < lengths[i] else (INK, 0.08)

    texts = [[*row, *["pad"] * (longest - len(row))] for row in rows]
    sheet.grid(0.5, top, texts, (wide, CELL), fill=padded)
    bits = [["1"] * n + ["0"] * (longest - n) for n in lengths]
    sheet.grid(middle, top, bits, (CELL, CELL), "mask", fill=masked)
    for t in range(longest):
        column = [[rows[n][t]] for n in order if lengths[n] > t]
        colour = ACCENT if sheet.lit("packed") else BLUE
        look = {"fill": lambda i, j, colour=colour: (colour, 0.18)}
        sheet.grid(packed + t * wide, top, column, (wide, CELL), "packed", **look)
        sheet.label(packed + (t + 0.5) * wide, 0.44, str(len(column)), "packed")
    sheet.label(packed - 0.12, 0.44, "sizes", "packed", size=8, ha="right")
    spare = longest * len(rows) - total
    notes = (
        (0.5 + longest * wide / 2, "padded", f"{len(rows)} × {longest} places, {spare} of padding"),
        (middle + longest * CELL / 2, "mask", f"{total} ones"),
        (packed + longest * wide / 2, "packed", f"{total} tokens, longest row first"),
    )
    for x, name, text in notes:
        part = "padding" if name == "padded" else name
        sheet.label(x, top + 0.25, name, part, size=10, bold=True)
        sheet.label(x, 0.18 if name == "packed" else 0.44, text, part, size=8.5)
    sheet.show(
        f"{len(rows)} rows of {', '.join(map(str, lengths))} tokens: padded to {longest} they "
        f"fill {longest * len(rows)} places, of which the mask counts {total}; packed, only those."
    )


# --- how far an input lies from an output ----------------------------------------------------


@with_parts("both", "convolution", "recurrence")
def longest_path(
    dilations: Sequence[int] = (1, 2, 4, 8), *, highlight: str | None = "both"
) -> None:
    """From first input to last output: dilated causal convolutions of two taps, and a chain.

    Parts: convolution, recurrence, both: whose longest path is lit.
    Raises ValueError for dilations below 1, and unless they span 2 to 16 steps.
    """
    steps = 1 + sum(dilations)
    if min(dilations, default=0) < 1 or steps > 16:
        raise ValueError(
            f"dilations {tuple(dilations)} span {steps} steps: draw 2 to 16, each >= 1"
        )
    step, row, left, base = 0.4, 0.6, 1.15, 1.75
    right = left + (steps - 1) * step
    sheet = Sheet(right + 1.55, base + len(dilations) * row + 0.3, highlight)
    xs = [left + n * step for n in range(steps)]
    path = list(itertools.accumulate(dilations, initial=0))  # a place in each layer, from below
    convolution, recurrence = ("both", "convolution"), ("both", "recurrence")
    faint, taken = [], []
    for level in range(len(dilations) + 1):
        y = base + level * row
        name = f"dilation {dilations[level - 1]}" if level else "inputs"
        sheet.label(left - 0.3, y, name, size=8.5, ha="right")
        for n, x in enumerate(xs):
            on = path[level] == n
            colour = BLUE if level else INK
            sheet.dot(x, y, part=convolution if on else "", colour=colour, radius=RADIUS)
            for past in (n, n - dilations[level - 1]) if level else ():
                if past >= 0:
                    lies = taken if on and path[level - 1] == past else faint
                    lies.append([(xs[past], y - row), (x, y)])
    chain, inputs = 0.95, 0.35
    sheet.label(left - 0.3, chain, "recurrent", size=8.5, ha="right")
    sheet.label(left - 0.3, inputs, "inputs", size=8.5, ha="right")
    for n, x in enumerate(xs):
        sheet.dot(x, inputs, part=recurrence if n == 0 else "", radius=RADIUS)
        sheet.dot(x, chain, part=recurrence, colour=BLUE, radius=RADIUS)
    up = [[(x, inputs), (x, chain)] for x in xs]
    along = [[(x, chain), (x + step, chain)] for x in xs[:-1]]
    sheet.lines(faint + up[1:], gap=RADIUS)
    sheet.lines(taken, convolution, gap=RADIUS)
    sheet.lines(up[:1] + along, recurrence, gap=RADIUS)
    layers = len(dilations)
    top = base + layers * row
    counts = ((top - row, f"{layers} layers", convolution), (chain, f"{steps} steps", recurrence))
    for y, text, part in counts:
        sheet.label(right + 0.3, y + 0.1, text, part, size=11, ha="left")
        sheet.label(right + 0.3, y - 0.1, "one after another", size=8, ha="left", faint=True)
    sheet.show(
        f"From the first of {steps} inputs to the last output: {layers} dilated convolutions "
        f"one after another, or {steps} steps of a recurrent net."
    )
