"""Exercises of notebook 04."""

import torch
from torch import nn

from helpers.course.exercises.kinds import Code, Quick, whole_numbers

# --- one step of an LSTM with tied gates --------------------------------------------------------


def tied_step(x, h, c, W, U, b):
    """The next h and c (batch, hidden); W, U and b hold the blocks f, g, o in this order."""
    f, g, o = (x @ W.T + h @ U.T + b).chunk(3, dim=-1)
    f, g, o = f.sigmoid(), g.tanh(), o.sigmoid()
    c = f * c + (1 - f) * g
    return o * c.tanh(), c


def by_lstm_cell(x, h, c, W, U, b):
    """The same by `nn.LSTMCell`: 1 - sigmoid(s) = sigmoid(-s), so -f makes the input gate."""
    cell = nn.LSTMCell(W.shape[1], U.shape[1])
    with torch.no_grad():
        for own, given in ((cell.weight_ih, W), (cell.weight_hh, U), (cell.bias_ih, b)):
            f, g, o = given.chunk(3)
            own.copy_(torch.cat([-f, f, g, o]))
        cell.bias_hh.zero_()
        return cell(x, (h, c))


def a_step(generator: torch.Generator) -> tuple:
    """Inputs, state and weights of random sizes."""
    batch, inputs, hidden = whole_numbers(generator, (2, 6), (2, 6), (2, 6))
    shapes = (batch, inputs), (batch, hidden), (batch, hidden)
    shapes += (3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def blocks(x, h, W, U, b):
    """The sums that enter f, g and o."""
    return (x @ W.T + h @ U.T + b).chunk(3, dim=-1)


def tied_with(keep, write):
    """A step in which the shares of old and new are those of `keep(f)` and `write(f)`."""

    def step(x, h, c, W, U, b):
        f, g, o = blocks(x, h, W, U, b)
        c = keep(f.sigmoid()) * c + write(f.sigmoid()) * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return step


def not_squashed(x, h, c, W, U, b):
    """h = o c."""
    _, c = tied_step(x, h, c, W, U, b)
    return blocks(x, h, W, U, b)[2].sigmoid() * c, c


def old_cell_shown(x, h, c, W, U, b):
    """h is made from the cell before the step."""
    return blocks(x, h, W, U, b)[2].sigmoid() * c.tanh(), tied_step(x, h, c, W, U, b)[1]


def candidate_as_gate(x, h, c, W, U, b):
    """Sigmoid for tanh."""
    f, g, o = (part.sigmoid() for part in blocks(x, h, W, U, b))
    c = f * c + (1 - f) * g
    return o * c.tanh(), c


def other_order(x, h, c, W, U, b):
    """The blocks read as f, o, g."""
    swapped = (torch.cat([part.chunk(3)[k] for k in (0, 2, 1)]) for part in (W, U, b))
    return tied_step(x, h, c, *swapped)


TIED = Code(
    by_lstm_cell,
    a_step,
    {
        "The same share f is kept and written. Tied means that what is written is 1 - f.": (
            tied_with(lambda f: f, lambda f: f)
        ),
        "Keeping and writing have changed places: f is the share of the old cell that stays.": (
            tied_with(lambda f: 1 - f, lambda f: f)
        ),
        "Nothing holds the candidate back: it is multiplied by 1 - f.": (
            tied_with(lambda f: f, torch.ones_like)
        ),
        "The cell is shown as it is: h = o x tanh(c).": not_squashed,
        "h is made from the old cell. Renew the cell first.": old_cell_shown,
        "The candidate is no gate: it goes through tanh, from -1 to 1.": candidate_as_gate,
        "The blocks are in the order f, g, o.": other_order,
        "The bias is missing.": lambda x, h, c, W, U, b: tied_step(x, h, c, W, U, 0 * b),
        "h and c have changed places: return (h, c).": lambda *given: tied_step(*given)[::-1],
    },
    "As lstm_step of section 1, with three blocks. Where does the input gate come from?",
    tied_step,
)

# --- a forget bias ------------------------------------------------------------------------------


def forget_bias(b_ih, b_hh, value):
    """New biases (4 hidden,) of nn.LSTM, order i, f, g, o, whose forget gates sum up to `value`."""
    b_ih, b_hh = b_ih.clone(), b_hh.clone()
    hidden = len(b_ih) // 4
    b_ih[hidden : 2 * hidden] = value
    b_hh[hidden : 2 * hidden] = 0
    return b_ih, b_hh


def two_biases(generator: torch.Generator) -> tuple:
    """The biases of an LSTM of random width, and a value."""
    (hidden,) = whole_numbers(generator, (2, 6))
    biases = (torch.randn(4 * hidden, generator=generator) for _ in range(2))
    return *biases, round(0.5 + 3 * torch.rand((), generator=generator).item(), 1)


def set_block(k, first, second):
    """Block k set: `first(value)` in the first bias, `second(value)` in the second or as it is."""

    def change(b_ih, b_hh, value):
        b_ih, b_hh = b_ih.clone(), b_hh.clone()
        b_ih.chunk(4)[k].fill_(first(value))
        if second is not None:
            b_hh.chunk(4)[k].fill_(second(value))
        return b_ih, b_hh

    return change


def added(b_ih, b_hh, value):
    """The value on top of what was there."""
    b_ih = b_ih.clone()
    b_ih.chunk(4)[1].add_(value)
    return b_ih, b_hh.clone()


FORGET_BIAS = Code(
    forget_bias,
    two_biases,
    {
        "PyTorch adds its two biases: both set, the gate gets twice the value.": (
            set_block(1, lambda value: value, lambda value: value)
        ),
        "The second bias still holds its random numbers, and they are added: set it to 0.": (
            set_block(1, lambda value: value, None)
        ),
        "That is the input gate. The order is i, f, g, o: the forget gate is the second block.": (
            set_block(0, lambda value: value, lambda value: 0)
        ),
        "That is the candidate. The order is i, f, g, o: the forget gate is the second block.": (
            set_block(2, lambda value: value, lambda value: 0)
        ),
        "All four blocks are set. Only the forget gate's, a quarter of each bias, may change.": (
            lambda b_ih, b_hh, value: (torch.full_like(b_ih, value), torch.zeros_like(b_hh))
        ),
        "The value is added to the random start. Put it in its place.": added,
        "Half in each bias sums up right. Here the first is to hold the value, the second 0.": (
            set_block(1, lambda value: value / 2, lambda value: value / 2)
        ),
    },
    "A quarter of each bias belongs to the forget gate: which one? Clone before you change.",
    equals="the start that was asked for",
)

EXERCISES = {
    "04.cell-by-hand": Quick(
        0.65,
        "Keep the forget gate's share of the old cell, then add input gate times candidate.",
        "0.9 x 0.5 + 0.5 x 0.4 = 0.65.",
        mistakes={
            "That is the old share alone: add what is written.": 0.45,
            "The candidate is written whole: multiply it by the input gate.": 0.85,
        },
    ),
    "04.gru-step": Quick(
        0.32,
        "In PyTorch the update gate says how much of the old state stays.",
        "0.8 x 0.4 + (1 - 0.8) x 0 = 0.32.",
        mistakes={"In PyTorch z is the share that is kept, not the share that is written.": 0.08},
    ),
    "04.half-open": Quick(
        20,
        "How often can you halve 1 before it is below a millionth?",
        "0.5^20 = 9.5e-7: after 20 steps less than a millionth is left.",
        within=0.5,
    ),
    "04.forget-for-long": Quick(
        4.6,
        "Which share f has f^100 = 0.37, about 1/e? Then take the logarithm of f / (1 - f).",
        "f = 0.99, as 0.99^100 = 0.37, and ln(0.99 / 0.01) = 4.6.",
        within=0.05,
    ),
    "04.tied-step": TIED,
    "04.forget-bias": FORGET_BIAS,
}
