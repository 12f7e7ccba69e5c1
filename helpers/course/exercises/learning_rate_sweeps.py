"""Exercises of notebook 09."""

import torch

from helpers.course.exercises.kinds import Code, Quick, whole_numbers

# --- the largest stable rate of a bowl -----------------------------------------------------------


def limit(hessian, momentum):
    """The rate below which descent is stable on a bowl of this Hessian (n, n), symmetric."""
    return 2 * (1 + momentum) / torch.linalg.eigvalsh(hessian)[-1]


def bowl(generator: torch.Generator) -> tuple:
    """A symmetric matrix, curved upwards in every direction, and a momentum."""
    (n,) = whole_numbers(generator, (2, 6))
    factor = torch.randn(n, n, generator=generator, dtype=torch.float64)
    momentum = round(0.3 + 0.65 * torch.rand((), generator=generator).item(), 2)
    return factor @ factor.mT + 0.1 * torch.eye(n, dtype=torch.float64), momentum


def largest(hessian):
    """The largest curvature."""
    return torch.linalg.eigvalsh(hessian)[-1]


LIMIT = Code(
    limit,
    bowl,
    {
        "That is the limit without momentum. Momentum brakes the zigzag and raises it.": (
            lambda hessian, momentum: 2 / largest(hessian)
        ),
        "1 - momentum belongs to gradients that agree. At the limit they alternate.": (
            lambda hessian, momentum: 2 * (1 - momentum) / largest(hessian)
        ),
        "Dividing by 1 - momentum gives a limit that is too high: at the limit gradients "
        "alternate, so they cancel and do not add up.": (
            lambda hessian, momentum: 2 / (1 - momentum) / largest(hessian)
        ),
        "That is half of the limit: a step may reach the other side, as high as it came from.": (
            lambda hessian, momentum: (1 + momentum) / largest(hessian)
        ),
        "The smallest curvature is used. The steepest direction gives way first.": (
            lambda hessian, momentum: 2 * (1 + momentum) / torch.linalg.eigvalsh(hessian)[0]
        ),
        "The largest number on the diagonal is the curvature along one weight. A slanted direction "
        "may be steeper: take the largest eigenvalue.": (
            lambda hessian, momentum: 2 * (1 + momentum) / hessian.diagonal().max()
        ),
        "The trace adds up the curvatures of all directions. Take the largest alone.": (
            lambda hessian, momentum: 2 * (1 + momentum) / hessian.trace()
        ),
        "The norm of the matrix mixes all curvatures. Take the largest eigenvalue.": (
            lambda hessian, momentum: 2 * (1 + momentum) / torch.linalg.matrix_norm(hessian)
        ),
    },
    "torch.linalg.eigvalsh gives the curvatures of a symmetric matrix in rising order. Which of "
    "them gives way first, and what does momentum do to a zigzag?",
    equals="2 (1 + momentum) over the largest eigenvalue",
)

# --- a grid of rates -----------------------------------------------------------------------------


def rate_grid(low, high, count):
    """Rates (count,) from low to high by equal factors."""
    return low * (high / low) ** (torch.arange(count, dtype=torch.float64) / (count - 1))


def rate_grid_torch(low, high, count):
    """The same by `torch.logspace`."""
    first, last = torch.tensor([low, high], dtype=torch.float64).log10().tolist()
    return torch.logspace(first, last, count, dtype=torch.float64)


def two_ends(generator: torch.Generator) -> tuple:
    """A range of one to four decades, and four to nine rates."""
    first, decades = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    low = round(10 ** (-4 + first), 6)
    (count,) = whole_numbers(generator, (4, 10))
    return low, round(low * 10 ** (1 + 3 * decades), 6), count


RATE_GRID = Code(
    rate_grid_torch,
    two_ends,
    {
        "Those are equal distances: nearly all rates lie in the last decade. Take equal factors.": (
            lambda low, high, count: torch.linspace(low, high, count, dtype=torch.float64)
        ),
        "The last rate is missing: between count rates there are count - 1 steps.": (
            lambda low, high, count: rate_grid(low, high, count + 1)[:-1]
        ),
        "The first rate is missing: begin with low itself.": (
            lambda low, high, count: rate_grid(low, high, count + 1)[1:]
        ),
        "There is one rate too many: count includes both ends.": (
            lambda low, high, count: rate_grid(low, high, count + 1)
        ),
        "The order is reversed: from low to high.": (
            lambda low, high, count: rate_grid(high, low, count)
        ),
        "torch.logspace takes the exponents of ten, not the rates: log10 of low and of high.": (
            lambda low, high, count: torch.logspace(low, high, count, dtype=torch.float64)
        ),
        "Those are exponents. Raise ten (or e) to them.": (
            lambda low, high, count: rate_grid(low, high, count).log10()
        ),
        "Natural logarithms went in, powers of ten came out. Use one base for both.": (
            lambda low, high, count: 10 ** rate_grid(low, high, count).log()
        ),
        "The factor is 2 at every step, wherever that leads. It must lead to high.": (
            lambda low, high, count: low * 2.0 ** torch.arange(count, dtype=torch.float64)
        ),
    },
    "By which factor must low be multiplied, count - 1 times, to arrive at high?",
    rate_grid,
    within=1e-6,
)

EXERCISES = {
    "09.scaled-adam": Quick(
        1,
        "Adam divides the mean of the gradients by the root of the mean of their squares.",
        "Both grow a hundredfold and cancel: the step stays the same, 1 time as long.",
        within=0.01,
    ),
    "09.bounce": Quick(
        -1.4,
        "Each step multiplies by 1 - rate x curvature.",
        "1 - 0.6 x 4 = -1.4: each step lands on the other side, and further out.",
    ),
    "09.momentum-limit": Quick(
        10,
        "If the gradient never changes, the memory m settles where m = 0.9 m + 1.",
        "m = 0.9 m + 1 gives m = 10: momentum 0.9 makes steady steps ten times longer.",
        within=0.01,
    ),
    "09.hessian-product": Quick(
        [6, 2], "Row by row: 4 x 1 + 2 x 1, then 2 x 1 + 0 x 1.", "[4 + 2, 2 + 0] = [6, 2]."
    ),
    "09.largest-rate": Quick(0.25, "Two over the curvature.", "2 / 8 = 0.25."),
    "09.warm-up": Quick(
        0.1,
        "A tenth of 600 updates is 60. How much of the warm-up is over?",
        "30 / 60 = half of the way, so 0.5 x 0.2 = 0.1.",
    ),
    "09.limit": LIMIT,
    "09.rate-grid": RATE_GRID,
}
