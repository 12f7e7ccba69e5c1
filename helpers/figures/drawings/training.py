"""Drawings of training and measuring: the circle of an update, an experiment."""

import math
from collections.abc import Sequence

import numpy as np

from helpers.evidence.registry import Test
from helpers.evidence.verdicts import decide
from helpers.figures.drawings.grammar import (
    ACCENT,
    BLUE,
    Box,
    Sheet,
    check_part,
    number,
    with_parts,
)

# --- one update ------------------------------------------------------------------------------

STEPS = {
    "forward": "logits = model(images)",
    "loss": "loss = criterion(logits, labels)",
    "zero_grad": "optimizer.zero_grad()",
    "backward": "loss.backward()",
    "step": "optimizer.step()",
}
WITHOUT = {
    "": "one update",
    "forward": "without it:\nthere is no prediction to judge",
    "loss": "without it:\nnothing says what is better",
    "zero_grad": "without it:\ngradients of all updates add up",
    "backward": "without it:\nthere is no gradient",
    "step": "without it:\nthe weights never move",
}


@with_parts(*STEPS)
def training_circle(*, crossed: str | None = None, highlight: str | None = "backward") -> None:
    """The five steps of an update as a circle, `zero_grad` among them, in the order of a loop.

    `crossed` names a step that is left out: it is crossed out, and the middle says what follows.
    Parts, and what may be crossed: forward, loss, zero_grad, backward, step.
    """
    check_part("training_circle", crossed, tuple(STEPS))
    width, height = 7.2, 3.9
    sheet = Sheet(width, height, highlight)
    radius = (2.35, 1.42)
    centre = (width / 2, height / 2 - 0.08)
    boxes = []
    for n, (name, code) in enumerate(STEPS.items()):
        x, y = _on_ellipse(centre, radius, 90 - 72 * n)
        boxes.append(sheet.box(x, y, 2.35, 0.62, part=name, colour=BLUE, dashed=name == crossed))
        sheet.label(x, y + 0.13, name, name, size=10.5, bold=True)
        sheet.label(x, y - 0.13, code, size=8, family="monospace")
        if name == crossed:
            _cross(sheet, boxes[-1])
    for n, (start, end) in enumerate(zip(boxes, [*boxes[1:], boxes[0]], strict=True)):
        angles = np.linspace(90 - 72 * n, 18 - 72 * n, 200)
        arc = [_on_ellipse(centre, radius, angle) for angle in angles]
        free = [p for p in arc if not _inside(p, start) and not _inside(p, end)]
        sheet.arrow(*free[::4], free[-1], rounding=0, gap=0, width=1.3)
    sheet.label(*centre, WITHOUT[crossed or ""], size=10)
    left_out = f" Without {crossed} {WITHOUT[crossed].splitlines()[1]}." if crossed else ""
    sheet.show(
        "An update of training as a circle: forward, loss, zero_grad, backward, step, and "
        f"round again.{left_out}"
    )


def _on_ellipse(centre, radius, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return centre[0] + radius[0] * math.cos(angle), centre[1] + radius[1] * math.sin(angle)


def _inside(point, box: Box) -> bool:
    across, up = abs(point[0] - box.x), abs(point[1] - box.y)
    return across < box.width / 2 + 0.05 and up < box.height / 2 + 0.05


def _cross(sheet: Sheet, box: Box) -> None:
    """Two lines from corner to corner."""
    for sign in (-1, 1):
        start = box.left[0], box.y - sign * box.height / 2
        end = box.right[0], box.y + sign * box.height / 2
        sheet.arrow(start, end, colour=ACCENT, width=2, head=False, gap=0)


# --- an experiment ---------------------------------------------------------------------------

POOLED = (96.9, 97.3, 96.5, 97.1, 97.4, 96.8, 97.0, 96.6)
PLAIN = (95.1, 95.2, 94.9, 94.8, 95.9, 95.3, 94.6, 95.2)


@with_parts("arms", "runs", "effects", "interval", "word")
def experiment(
    first: Sequence[float] = POOLED,
    second: Sequence[float] = PLAIN,
    *,
    names: tuple[str, str] = ("arm A", "arm B"),
    threshold: float = 1.0,
    highlight: str | None = "effects",
) -> None:
    """From runs to a word: two arms on the same seeds, paired differences, interval, threshold.

    `first` and `second` hold one number per seed. The word is that of the rule for means, with the
    claim that `first` is better by more than `threshold`.
    Parts: arms, runs, effects, interval, word. Raises ValueError for unpaired or too few runs.
    """
    if len(first) != len(second) or not 6 <= len(first) <= 12:
        raise ValueError(f"{len(first)} and {len(second)} runs: draw 6 to 12 pairs")
    effects = np.round(np.subtract(first, second), 6)
    outcome = decide(Test("A - B", "", "mean", "", "above", threshold), effects.tolist())
    low, high, word = outcome.low, outcome.high, outcome.verdict
    wide, high_cell, left = 0.56, 0.33, 1.2
    end = left + len(first) * wide
    sheet = Sheet(end + 0.35, 3.85, highlight)
    rows = [[f"{value:.1f}" for value in arm] for arm in (first, second)]
    at = sheet.grid(left, 3.3, rows, (wide, high_cell), "runs", fill=lambda i, j: (BLUE, 0.1))
    for i, name in enumerate(names):
        sheet.label(left - 0.15, at(i, 0).y, name, "arms", ha="right")
    for j in range(len(first)):
        sheet.label(at(0, j).x, 3.44, f"seed {j + 1}", size=7.5, faint=True)
    runs = 2 * len(first)
    sheet.label(
        (left + end) / 2, 3.67, f"2 arms × {len(first)} seeds = {runs} runs", "runs", bold=True
    )
    texts = [[f"{value:+.1f}".replace("-", "−") if value else "0.0" for value in effects]]
    row = sheet.grid(left, 2.32, texts, (wide, high_cell), "effects")
    sheet.label(left - 0.15, row(0, 0).y, "effects A − B", "effects", ha="right")
    for j in range(len(first)):
        sheet.arrow(at(1, j).bottom, row(0, j).top, part="effects", width=0.8)
    _strip(sheet, effects, (low, high), threshold, (left, end - 1.5))
    sheet.box(end - 0.5, 1.2, 1.25, 0.46, word, "word", BLUE, size=11)
    sheet.show(
        f"{runs} runs, two arms on {len(first)} seeds: the differences have a mean of "
        f"{effects.mean():.2f}, interval {low:.2f} to {high:.2f}; threshold {threshold:g}: {word}."
    )


def _strip(sheet: Sheet, effects: np.ndarray, interval, threshold: float, ends) -> None:
    """Effects as dots, beneath them the interval of their mean, and the threshold."""
    smallest, largest = min(*effects, 0, threshold), max(*effects, threshold)
    scale = (ends[1] - ends[0]) / (largest - smallest)

    def place(value: float) -> float:
        return ends[0] + (value - smallest) * scale

    base = 0.45
    sheet.arrow((ends[0] - 0.1, base), (ends[1] + 0.2, base), gap=0, width=0.8)
    apart = math.ceil((largest - smallest) / 12)  # ticks at so many points: their numbers fit
    for value in range(math.ceil(smallest / apart) * apart, math.floor(largest) + 1, apart):
        sheet.arrow((place(value), base), (place(value), base - 0.06), head=False, gap=0)
        sheet.label(place(value), base - 0.17, number(value), size=8)
    for n, value in enumerate(effects):
        sheet.dot(place(value), 1.5 + 0.07 * (n % 3), part="effects", colour=BLUE, radius=0.05)
    (low, high), middle = interval, effects.mean()
    sheet.arrow(
        (place(low), 1.15), (place(high), 1.15), part="interval", head=False, gap=0, width=2
    )
    sheet.dot(place(middle), 1.15, part="interval", radius=0.06, filled=True)
    sheet.label(ends[0] - 0.2, 1.15, "mean and\n95 % interval", "interval", ha="right")
    x = place(threshold)
    sheet.arrow((x, base), (x, 1.68), dashed=True, head=False, gap=0, width=1.2)
    sheet.label(x, 1.78, "threshold", size=8.5)
    sheet.arrow((max(place(high), ends[1]) + 0.1, 1.2), (ends[1] + 0.36, 1.2), part="word")
