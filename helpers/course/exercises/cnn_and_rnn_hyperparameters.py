"""Exercises of notebook 10."""

import math

import pandas as pd
import torch

from helpers.course.exercises.kinds import Code, Quick
from helpers.training.sweeps import parabola_vertex

# --- the vertex of a parabola -------------------------------------------------------------------


def vertex(rates, losses):
    """The rate at which the parabola through three losses, over the log of the rate, is lowest."""
    x, y = [math.log(rate) for rate in rates], losses
    left, right = x[1] - x[0], x[2] - x[1]
    falls, rises = (y[0] - y[1]) / left, (y[2] - y[1]) / right  # slopes towards the middle
    bend = (falls + rises) / (left + right)
    return math.exp(x[1] - (rises * left - falls * right) / (left + right) / (2 * bend))


def valley(generator: torch.Generator) -> tuple:
    """Three rates, unevenly spaced, and three losses of which the middle one is the lowest."""
    first, *steps = torch.rand(3, generator=generator).tolist()
    rates = [10 ** (-3 + 2 * first)]
    for step in steps:
        rates.append(rates[-1] * 10 ** (0.15 + 0.8 * step))
    low, left, right = torch.rand(3, generator=generator).tolist()
    losses = [0.3 + low + 0.05 + left, 0.3 + low, 0.3 + low + 0.05 + right]
    return [round(rate, 6) for rate in rates], [round(loss, 4) for loss in losses]


def evenly(rates, losses):
    """The formula for rates at equal distances."""
    x = [math.log(rate) for rate in rates]
    step = (x[2] - x[0]) / 2
    shift = (losses[0] - losses[2]) / (losses[0] - 2 * losses[1] + losses[2])
    return math.exp(x[1] + step * shift / 2)


def over_rates(rates, losses):
    """The parabola over the rates themselves."""
    a, b, c = rates
    p, q, r = losses
    above = p * (c**2 - b**2) + q * (a**2 - c**2) + r * (b**2 - a**2)
    return above / (2 * (p * (c - b) + q * (a - c) + r * (b - a)))


def mirrored(rates, losses):
    """As far on the other side of the middle."""
    return rates[1] ** 2 / vertex(rates, losses)


def twice_as_far(rates, losses):
    """Without the half."""
    return rates[1] * (vertex(rates, losses) / rates[1]) ** 2


VERTEX = Code(
    lambda rates, losses: parabola_vertex(pd.Series(losses, index=rates)),
    valley,
    {
        "That is the rate of the lowest loss itself. The vertex lies between the marks of the "
        "grid.": lambda rates, losses: rates[losses.index(min(losses))],
        "The parabola is over the logarithm of the rate, not over the rate.": over_rates,
        "That formula is for rates at equal distances; these are not.": evenly,
        "That is the logarithm of the rate: raise e to it.": (
            lambda rates, losses: math.log(vertex(rates, losses))
        ),
        "log10 went in, and exp came out: use 10 ** there, or log.": (
            lambda rates, losses: math.exp(math.log10(vertex(rates, losses)))
        ),
        "It lies on the wrong side: the vertex is nearer to the lower of the two neighbours.": (
            mirrored
        ),
        "It lies twice as far from the middle as it should: the slope is zero at -b / (2a), not "
        "at -b / a.": twice_as_far,
        "That is the middle of the outer rates; the losses are not used.": (
            lambda rates, losses: math.sqrt(rates[0] * rates[2])
        ),
    },
    "Three points fix a parabola a x^2 + b x + c with x = log(rate): numpy.polyfit(x, losses, 2) "
    "finds it. Where is its slope zero? Then come back from x to the rate.",
    vertex,
    equals="numpy.polyfit",
)

# --- one step of RMSprop ------------------------------------------------------------------------


def step(weight, square, gradient, lr, alpha):
    """The next weight and running mean of squares, as tensors of their own."""
    square = alpha * square + (1 - alpha) * gradient**2
    return weight - lr * gradient / (square.sqrt() + 1e-8), square


def step_torch(weight, square, gradient, lr, alpha):
    """The same by `torch.optim.RMSprop`."""
    parameter = torch.nn.Parameter(weight.clone())
    parameter.grad = torch.zeros_like(weight)
    optimizer = torch.optim.RMSprop([parameter], lr=lr, alpha=alpha)
    optimizer.step()  # makes its state, and moves nothing under a gradient of 0
    parameter.grad = gradient.clone()
    optimizer.state[parameter]["square_avg"] = square.clone()
    optimizer.step()
    return parameter.detach(), optimizer.state[parameter]["square_avg"]


def under_way(generator: torch.Generator) -> tuple:
    """A weight of random shape with a running mean of squares."""
    shape = torch.randint(2, 5, (2,), generator=generator).tolist()
    weight, gradient = (torch.randn(shape, generator=generator) for _ in range(2))
    square = torch.rand(shape, generator=generator) + 0.1
    lr, alpha = torch.rand(2, generator=generator).tolist()
    return weight, square, gradient, round(0.01 + 0.2 * lr, 3), round(0.5 + 0.45 * alpha, 2)


def with_size(weight, square, gradient, lr, size):
    """A step divided by `size`."""
    return weight - lr * gradient / (size + 1e-8), square


def old_size(weight, square, gradient, lr, alpha):
    """Divided by the running size before it is renewed."""
    new = alpha * square + (1 - alpha) * gradient**2
    return with_size(weight, new, gradient, lr, square.sqrt())


def without_root(weight, square, gradient, lr, alpha):
    """Divided by the mean of squares itself."""
    square = alpha * square + (1 - alpha) * gradient**2
    return with_size(weight, square, gradient, lr, square)


def summed(weight, square, gradient, lr, alpha):
    """The whole square is added, as in Adagrad."""
    square = alpha * square + gradient**2
    return with_size(weight, square, gradient, lr, square.sqrt())


def exchanged(weight, square, gradient, lr, alpha):
    """alpha and 1 - alpha have changed places."""
    return step(weight, square, gradient, lr, 1 - alpha)


def corrected(weight, square, gradient, lr, alpha):
    """Scaled up at first, as Adam does."""
    square = alpha * square + (1 - alpha) * gradient**2
    return with_size(weight, square, gradient, lr, (square / (1 - alpha)).sqrt())


def uphill(weight, square, gradient, lr, alpha):
    """Plus for minus."""
    return step(weight, square, gradient, -lr, alpha)


def of_sizes(weight, square, gradient, lr, alpha):
    """A running mean of sizes, not of squares."""
    square = alpha * square + (1 - alpha) * gradient.abs()
    return with_size(weight, square, gradient, lr, square)


RMSPROP = Code(
    step_torch,
    under_way,
    {
        "The step is divided by the old running mean. Renew it first, then take its root.": (
            old_size
        ),
        "The root is missing: the gradient is divided by the root of the mean of squares.": (
            without_root
        ),
        "The new square is added whole. A running mean takes 1 - alpha of it.": summed,
        "alpha and 1 - alpha have changed places: alpha is the share of the old mean.": exchanged,
        "That is Adam's correction for a mean that starts at 0. RMSprop has none.": corrected,
        "It goes uphill: the step is subtracted.": uphill,
        "That is a running mean of the sizes. RMSprop keeps the mean of the squares, and takes the "
        "root.": of_sizes,
        "That is plain SGD: the running mean is not used.": (
            lambda weight, square, gradient, lr, alpha: (
                weight - lr * gradient,
                step(weight, square, gradient, lr, alpha)[1],
            )
        ),
        "The mean that comes back is the old one: return the new one, for the next step.": (
            lambda weight, square, gradient, lr, alpha: (
                step(weight, square, gradient, lr, alpha)[0],
                square,
            )
        ),
        "Weight and mean have changed places: return (weight, square).": (
            lambda *given: step(*given)[::-1]
        ),
    },
    "Two lines: a share alpha of the old mean and 1 - alpha of the new square make the new mean; "
    "the weight goes against gradient / (root of the mean + 1e-8). Make new tensors; change none.",
    step,
)

EXERCISES = {
    "10.summed-loss": Quick(
        3,
        "How many times as long is the gradient of the sum? The step is rate times gradient.",
        "The gradient of the mean is a fiftieth, so the rate is 50 times larger: 3.",
        mistakes={"The other way round: the mean's gradient is shorter.": 0.0012},
    ),
    "10.updates-in-three-passes": Quick(
        82,
        "Digits read in all, divided by 128; drop the rest.",
        "10,500 / 128 = 82.03: 82.",
        mistakes={"That is one pass; there are three.": 27},
    ),
    "10.farthest": Quick(
        5,
        "Each step is at most rate times limit long, and all may point the same way.",
        "2 x 0.25 = 0.5 for each update, 10 of them: 5.",
        mistakes={
            "That is one step; there are ten of them.": 0.5,
            "Clipping shortens the gradient; the rate still multiplies it.": 2.5,
            "So far they get with gradients of length 1; none is longer than 0.25.": 20,
        },
    ),
    "10.momentum-in-the-end": Quick(
        10,
        "1 + 0.9 + 0.81 + ... is a geometric series.",
        "1 / (1 - 0.9) = 10: with momentum 0.9 a tenth of the rate goes as far.",
        mistakes={
            "That is what it remembers; the gradient of today comes on top.": 9,
            "That is the second step; the sum goes on.": 1.9,
        },
    ),
    "10.more-momentum": Quick(
        100,
        "Sum the series 1 + 0.99 + 0.99^2 + ...",
        "1 / (1 - 0.99) = 100.",
        mistakes={"That is the sum for momentum 0.9.": 10},
    ),
    "10.linear-scaling": Quick(
        3.2,
        "Linear scaling: k times the batch, k times the rate.",
        "8,192 / 256 = 32, and 0.1 x 32 = 3.2.",
        mistakes={
            "That is k, how many times as large the batch is; multiply the rate by it.": 32,
            "The other way round: a larger batch, a larger rate.": 0.003125,
        },
    ),
    "10.vertex": VERTEX,
    "10.rmsprop-step": RMSPROP,
}
