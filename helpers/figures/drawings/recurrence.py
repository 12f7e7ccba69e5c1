"""Drawings of recurrent networks: unrolled in time, inside a cell, and how gradients run back."""

import itertools
from collections.abc import Sequence

from helpers.figures.drawings.grammar import BLUE, GREEN, INK, Box, Sheet, number, with_parts

PAGE = 9.0  # inches: a chain of many steps draws closer together

# --- along time ------------------------------------------------------------------------------


@with_parts("inputs", "states", "chain", "weights")
def unrolled(
    inputs: Sequence[str] = ("$x_1$", "$x_2$", "$x_3$", "$x_4$"),
    states: Sequence[str] = ("$h_1$", "$h_2$", "$h_3$", "$h_4$"),
    alt: str = "",
    *,
    weights: tuple[str, str] = ("$W$", "$U$"),
    cuts: Sequence[int] = (),
    highlight: str | None = "chain",
) -> None:
    """A recurrent net, folded and unrolled in time: above each input the state it leads to.

    `weights` label the arrows from input to state and from state to state: the same at every step.
    No state is handed over before the steps `cuts` (counted from 0), marked by a dotted line.
    Parts: inputs, states, chain, weights. Raises ValueError for unequally many inputs and states.
    """
    if len(inputs) != len(states):
        raise ValueError(f"{len(inputs)} inputs and {len(states)} states: one state for each input")
    wide = max(0.62, *(0.1 * len(text.strip("$")) + 0.1 for text in (*inputs, *states)))
    first, end = 2.2 + wide / 2, wide / 2 + 0.3
    step = min(wide + 0.62, (PAGE - first - end) / max(len(states) - 1, 1))
    sheet = Sheet(first + (len(states) - 1) * step + end, 2.35, highlight)
    x, h = _pair(sheet, 0.75, 0.62, "$x_t$", "$h_t$", weights[0])
    loop = (h.right, (1.35, h.y), (1.35, h.y + 0.5), (h.x, h.y + 0.5), h.top)
    sheet.arrow(*loop, part="chain", colour=BLUE, rounding=0.15, width=1.4)
    sheet.label(1.42, h.y + 0.28, weights[1], "weights", ha="left")
    sheet.label(1.8, (x.y + h.y) / 2, "=", size=16)
    for t, (below, above) in enumerate(zip(inputs, states, strict=True)):
        _, box = _pair(sheet, first + t * step, wide, below, above, weights[0])
        if t in cuts:
            middle = box.x - step / 2
            sheet.arrow((middle, 0.15), (middle, 1.85), head=False, dashed=True, gap=0)
        elif t:
            sheet.arrow(h.right, box.left, part="chain", colour=BLUE, width=1.4)
            sheet.label(box.x - step / 2, box.y + 0.17, weights[1], "weights")
        h = box
    ends = first - wide / 2, h.right[0]
    sheet.brace(*ends, 1.87, "one cell: the same weights at every step", "weights")
    sheet.show(
        alt
        or f"A recurrent net unrolled over {len(states)} steps: one cell, used again and again, "
        "hands its state from each step to the next."
    )


def _pair(sheet: Sheet, x: float, wide: float, below: str, above: str, weight: str) -> list[Box]:
    """An input and, above it, the state it leads to."""
    low = sheet.box(x, 0.4, wide, 0.42, below, "inputs", GREEN)
    high = sheet.box(x, 1.42, wide, 0.42, above, "states", BLUE)
    sheet.arrow(low.top, high.bottom)
    sheet.label(x + 0.08, 0.9, weight, "weights", ha="left")
    return [low, high]


@with_parts("windows", "state", "gradient", "cut")
def truncated_backpropagation(*, highlight: str | None = "cut") -> None:
    """Truncated backpropagation: the state crosses from window to window, the gradient does not.

    Parts: windows, state, gradient, cut.
    """
    steps, window = 9, 3
    step, left, y = 0.8, 1.3, 1.15
    sheet = Sheet(left + steps * step + 0.05, 2.15, highlight)
    sheet.label(0.85, y, "state", "state", ha="right")
    sheet.label(0.85, y - 0.42, "gradient", "gradient", ha="right")
    boxes = [
        sheet.box(left + 0.25 + t * step, y, 0.46, 0.46, f"$h_{{{t + 1}}}$", colour=BLUE)
        for t in range(steps)
    ]
    sheet.arrow((0.9, y), boxes[0].left, part="state", colour=BLUE, width=1.4)
    for t, (before, box) in enumerate(itertools.pairwise(boxes), 1):
        sheet.arrow(before.right, box.left, part="state", colour=BLUE, width=1.4)
        middle, low = box.x - step / 2, box.bottom[1]
        if t % window:
            ends = (box.x - 0.1, low), (before.x + 0.1, low)
            sheet.arrow(*ends, part="gradient", bend=0.3, dashed=True, width=1.2)
            continue
        for a in (-0.09, 0.09):
            ends = (middle - 0.09, low - 0.19 - a), (middle + 0.09, low - 0.19 + a)
            sheet.arrow(*ends, part="cut", head=False, gap=0, width=1.4)
        for start, end in ((box.x - 0.1, middle + 0.14), (middle - 0.14, before.x + 0.1)):
            heights = (low - 0.02, low - 0.18)[:: 1 if start > middle else -1]
            look = {"colour": (INK, 0.3), "dashed": True, "gap": 0, "head": False}
            sheet.arrow((start, heights[0]), (end, heights[1]), **look)
        sheet.label(middle, 0.3, "detach", "cut", size=8.5)
    for n, start in enumerate(range(0, steps, window), 1):
        last = boxes[start + window - 1]
        sheet.brace(boxes[start].left[0], last.right[0], 1.55, f"window {n}", "windows")
    sheet.show(
        f"{steps} steps in {steps // window} windows of {window}: the state is carried over every "
        f"border, the gradient is cut there, so it reaches back {window - 1} steps at most."
    )


@with_parts("factors", "products", "state")
def gradient_by_lag(
    factor: float = 0.7, lags: int = 7, *, highlight: str | None = "products"
) -> None:
    """How the gradient with respect to earlier states is a product with one factor for each step.

    One unit with the same derivative `factor` at every step: after `lag` steps factor ** lag.
    Parts: factors, products, state. Raises ValueError unless factor > 0 and 1 to 9 lags.
    """
    if factor <= 0 or not 1 <= lags <= 9:
        raise ValueError(f"factor {factor} over {lags} lags: use a positive factor and 1 to 9 lags")
    step, left, tall = 0.86, 0.6, 1.15
    sheet = Sheet(2 * left + lags * step + 0.9, 3.1, highlight)
    sizes = [factor**lag for lag in range(lags, -1, -1)]
    states, y, floor = [], 0.75, 1.35
    for n, (lag, size) in enumerate(zip(range(lags, -1, -1), sizes, strict=True)):
        x = left + n * step
        name = f"$h_{{t-{lag}}}$" if lag else "$h_t$"
        states.append(sheet.box(x, y, 0.5, 0.42, name, "state", BLUE))
        height = max(tall * size / max(sizes), 0.012)
        sheet.box(x, floor + height / 2, 0.34, height, "", "products", BLUE, square=True, tint=0.3)
        sheet.label(x, floor + height + 0.13, number(size, 2), "products")
    for before, state in itertools.pairwise(states):
        sheet.arrow(before.right, state.left, colour=(INK, 0.5))
        ends = (state.x - 0.08, state.bottom[1]), (before.x + 0.08, before.bottom[1])
        sheet.arrow(*ends, part="factors", bend=0.22, dashed=True)
        sheet.label(state.x - step / 2, 0.2, f"× {number(factor)}", "factors")
    loss = sheet.dot(states[-1].x + 0.85, y, "$L$", radius=0.2)
    sheet.arrow(states[-1].right, loss.left, colour=(INK, 0.5))
    sheet.arrow((left - 0.3, floor), (states[-1].x + 0.3, floor), head=False, width=0.7)
    formula = r"$\left|\frac{\partial h_t}{\partial h_{t-k}}\right| = $" + rf"${number(factor)}^k$"
    place = left - 0.2 if factor < 1 else states[-1].x + 0.3
    sheet.label(place, 2.75, formula, "products", size=11, ha="left" if factor < 1 else "right")
    trend = "vanishes" if factor < 1 else "stays as it is" if factor == 1 else "explodes"
    sheet.show(
        f"The gradient is multiplied by {number(factor)} at every step back; {lags} steps back "
        f"{number(sizes[0], 2)} of it is left: it {trend}."
    )


# --- inside a cell ---------------------------------------------------------------------------

TOP, BUS, GATES = 3.05, 0.95, 1.55  # heights of the memory, of what enters the gates, of the gates


@with_parts("memory", "forget", "input", "candidate", "output", "hidden")
def lstm_cell(*, tied: bool = False, highlight: str | None = "memory") -> None:
    """One step of an LSTM; `tied` gates have i = 1 - f. The equations are those of `nets.LSTM`.

    Parts: memory (the additive path), forget, input, candidate, output, hidden.
    """
    sheet = Sheet(7.6, 3.75, highlight)
    _body(sheet, 0.85, 6.75)
    sheet.arrow((0.6, BUS), (5.3, BUS), (5.3, GATES - 0.24), colour=INK)
    sheet.label(0.35, BUS, "$h_{t-1}$", size=12)
    _input(sheet, 1.25)
    f = _gate(sheet, 2.0, "forget", "$f$ = σ(·)")
    i = _gate(sheet, 3.15, "input", "$i$ = 1 − $f$" if tied else "$i$ = σ(·)", fed=not tied)
    g = _gate(sheet, 4.25, "candidate", "$g$ = tanh(·)")
    o = _gate(sheet, 5.3, "output", "$o$ = σ(·)", fed=False)
    keep = sheet.dot(2.0, TOP, "×", ("memory", "forget"))
    add = sheet.dot(4.25, TOP, "+", "memory")
    write = sheet.dot(4.25, 2.35, "×", ("input", "candidate"))
    show = sheet.dot(6.1, 2.1, "×", ("output", "hidden"))
    squash = sheet.box(6.1, 2.62, 0.56, 0.28, "tanh", "hidden", size=9)
    _memory(sheet, (0.6, TOP), keep, add, (7.0, TOP))
    sheet.label(0.35, TOP, "$c_{t-1}$", "memory", size=12)
    sheet.label(7.25, TOP, "$c_t$", "memory", size=12)
    sheet.arrow(f.top, keep.bottom, part="forget")
    if tied:
        sheet.arrow(f.right, i.left, part=("forget", "input"))
    sheet.arrow(i.top, (i.x, write.y), write.left, part="input")
    sheet.arrow(g.top, write.bottom, part="candidate")
    sheet.arrow(write.top, add.bottom, part=("input", "candidate"))
    sheet.arrow((6.1, TOP), squash.top, part="hidden", gap=0)
    sheet.arrow(squash.bottom, show.top, part="hidden")
    sheet.arrow(o.top, (o.x, show.y), show.left, part="output")
    sheet.arrow(show.bottom, (show.x, BUS), (7.0, BUS), part="hidden")
    sheet.label(7.25, BUS, "$h_t$", "hidden", size=12)
    kept = r"(1 - f)" if tied else "i"
    sheet.label(3.1, 0.22, rf"$c_t = f \, c_{{t-1}} + {kept} \, g$", "memory", size=11)
    sheet.label(5.6, 0.22, r"$h_t = o \, \tanh(c_t)$", "hidden", size=11)
    gates = "its input gate is one minus its forget gate" if tied else "three gates steer it"
    sheet.show(
        "An LSTM cell: the memory passes from one step to the next through one product and one "
        f"sum only; {gates}."
    )


@with_parts("memory", "update", "reset", "new")
def gru_cell(*, highlight: str | None = "memory") -> None:
    """One step of a GRU, whose hidden state is its memory. The equations are those of `nets.GRU`.

    Parts: memory (the additive path), update, reset, new.
    """
    sheet = Sheet(7.0, 3.75, highlight)
    _body(sheet, 0.85, 6.15)
    sheet.arrow((1.25, TOP), (1.25, BUS + 0.01), colour=INK, head=False, gap=0)
    sheet.arrow((1.25, BUS), (5.3, BUS), (5.3, GATES - 0.24), colour=INK, gap=0)
    _input(sheet, 1.25)
    z = _gate(sheet, 2.1, "update", "$z$ = σ(·)")
    r = _gate(sheet, 3.3, "reset", "$r$ = σ(·)")
    n = _gate(sheet, 5.3, "new", "$n$ = tanh(·)", fed=False)
    keep = sheet.dot(2.1, TOP, "×", ("memory", "update"))
    add = sheet.dot(5.3, TOP, "+", "memory")
    write = sheet.dot(5.3, 2.35, "×", ("update", "new"))
    past = sheet.dot(4.3, GATES, "×", "reset")
    rest = sheet.box(3.3, 2.35, 0.66, 0.3, "1 − $z$", "update", size=9.5)
    _memory(sheet, (0.6, TOP), keep, add, (6.4, TOP))
    sheet.label(0.35, TOP, "$h_{t-1}$", "memory", size=12)
    sheet.label(6.65, TOP, "$h_t$", "memory", size=12)
    sheet.arrow(z.top, keep.bottom, part="update")
    sheet.arrow((2.1, 2.35), rest.left, part="update", gap=0)
    sheet.arrow(rest.right, write.left, part="update")
    sheet.arrow(r.right, past.left, part="reset")
    sheet.arrow((4.3, BUS), past.bottom, part="reset", gap=0)
    sheet.label(4.25, 1.2, "$W h_{t-1}$", "reset", ha="right")
    sheet.label(5.25, 1.12, "$W x_t$", "new", ha="right")
    sheet.arrow(past.right, n.left, part="reset")
    sheet.arrow(n.top, write.bottom, part="new")
    sheet.arrow(write.top, add.bottom, part=("update", "new"))
    sheet.label(2.75, 0.22, r"$h_t = z \, h_{t-1} + (1 - z) \, n$", "memory", size=11)
    sheet.label(5.4, 0.22, r"$n = \tanh(W x_t + r \, U h_{t-1})$", "new", size=11)
    sheet.show(
        "A GRU cell: the hidden state is the memory; one update gate keeps a share z of it and "
        "writes a share one minus z of what is new."
    )


def _body(sheet: Sheet, left: float, right: float) -> None:
    """The outline of a cell, within which everything happens in one step."""
    sheet.box((left + right) / 2, 2.06, right - left, 2.94, tint=0.02, colour=(INK, 0.35))


def _input(sheet: Sheet, x: float) -> None:
    """The input x_t, which joins from below what enters the gates."""
    sheet.arrow((x, 0.36), (x, BUS), head=False, gap=0)
    sheet.dot(x, BUS, radius=0.03, colour=INK, filled=True)
    sheet.label(x, 0.22, "$x_t$", size=12)


def _gate(sheet: Sheet, x: float, name: str, text: str, fed: bool = True) -> Box:
    """A gate, and the arrow that feeds it from below."""
    box = sheet.box(x, GATES, 0.86, 0.48, part=name, colour=BLUE)
    sheet.label(x, GATES + 0.1, name, name, size=9)
    sheet.label(x, GATES - 0.11, text, name, size=8.5)
    if fed:
        sheet.arrow((x, BUS), box.bottom, gap=0.0)
    return box


def _memory(sheet: Sheet, start, keep: Box, add: Box, end) -> None:
    """The path on which memory goes from step to step: one product, one sum."""
    look = {"part": "memory", "colour": BLUE, "width": 1.8}
    sheet.arrow(start, keep.left, **look)
    sheet.arrow(keep.right, add.left, **look)
    sheet.arrow(add.right, end, **look)
    sheet.label((keep.x + add.x) / 2, TOP + 0.29, "memory: one product, one sum", "memory")
