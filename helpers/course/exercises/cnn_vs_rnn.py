"""Exercises of notebook 07."""

import torch
from torch.nn import functional as F

from helpers.course.exercises.kinds import Code, Quick, whole_numbers

# --- a causal convolution -----------------------------------------------------------------------


def causal(x, weight, gap):
    """Output t is the last weight times x[t], plus the one before times x[t - gap], and so on."""
    reach = (len(weight) - 1) * gap
    padded = torch.cat([x.new_zeros(reach), x])
    taps = (w * padded[k * gap : k * gap + len(x)] for k, w in enumerate(weight))
    return sum(taps, torch.zeros_like(x))


def causal_torch(x, weight, gap):
    """The same by `F.conv1d`, zeros put before the first step."""
    padded = F.pad(x, ((len(weight) - 1) * gap, 0))
    return F.conv1d(padded[None, None], weight[None, None], dilation=gap)[0, 0]


def signal_taps_and_gap(generator: torch.Generator) -> tuple:
    """A signal, two to four taps and a gap of two or three."""
    time, taps, gap = whole_numbers(generator, (12, 17), (2, 5), (2, 4))
    return (
        torch.randn(time, generator=generator),
        torch.randn(taps, generator=generator),
        gap,
    )


def padded_by(before, after):
    """A convolution with so many gaps of zeros before and after the signal."""

    def convolve(x, weight, gap):
        reach = (len(weight) - 1) * gap
        padded = F.pad(x, (round(before * reach), round(after * reach)))
        return F.conv1d(padded[None, None], weight[None, None], dilation=gap)[0, 0]

    return convolve


CAUSAL = Code(
    causal_torch,
    signal_taps_and_gap,
    {
        "It looks ahead: the zeros belong before the first step, not behind the last.": (
            padded_by(0, 1)
        ),
        "It looks ahead by half a window: all zeros belong before the first step.": (
            lambda x, weight, gap: padded_by(0.5, 0.5)(x, weight, gap)[: len(x)]
        ),
        "The output is shorter than the signal: put zeros before the first step.": padded_by(0, 0),
        "The output is longer than the signal: zeros before it are enough.": padded_by(1, 1),
        "The weights are the wrong way round: the last one meets the present.": (
            lambda x, weight, gap: causal(x, weight.flip(0), gap)
        ),
        "The gap is not used: the taps lie side by side.": (
            lambda x, weight, gap: causal(x, weight, 1)
        ),
        "The gap is one too large: a gap of 1 means neighbours.": (
            lambda x, weight, gap: causal(x, weight, gap + 1)
        ),
        "The present is not used: the last weight meets x[t], not the step before.": (
            lambda x, weight, gap: F.pad(causal(x, weight, gap), (1, -1))
        ),
        "Before the first step stands the first value: it should be zero.": (
            lambda x, weight, gap: causal(
                torch.cat([x[:1].expand((len(weight) - 1) * gap), x]), weight, gap
            )[(len(weight) - 1) * gap :]
        ),
    },
    "Put (taps - 1) x gap zeros before x. Then output t is a sum over taps k of weight[k] times "
    "the padded signal at t + k x gap.",
    causal,
)

# --- the staircase ------------------------------------------------------------------------------


def staircase(costs):
    """True for every network (row) that no other equals in both costs and beats in one."""
    as_good = (costs[:, None] >= costs[None]).all(2)  # (network, other): the other is as good
    better = (costs[:, None] > costs[None]).any(2)
    return ~(as_good & better).any(1)


def staircase_step_by_step(costs):
    """The same, network by network."""
    rows = costs.tolist()
    beaten = [
        any(a <= c and b <= d and (a < c or b < d) for a, b in rows)  # by another network
        for c, d in rows
    ]
    return ~torch.tensor(beaten)


def costs_with_ties(generator: torch.Generator) -> tuple:
    """Costs of six to nine networks, whole numbers, so that some are equal."""
    (count,) = whole_numbers(generator, (6, 10))
    costs = torch.randint(0, 5, (count - 1, 2), generator=generator).float()
    return (torch.cat([costs, costs[:1]]),)


STAIRCASE = Code(
    staircase_step_by_step,
    costs_with_ties,
    {
        "Those that are beaten are marked: it is the others that stand on the staircase.": (
            lambda costs: ~staircase(costs)
        ),
        "The higher the better? Both are costs: the lower the better.": (
            lambda costs: staircase(-costs)
        ),
        "Two networks with the same costs do not beat each other: one cost must be lower.": (
            lambda costs: (costs[:, None] >= costs[None]).all(2).sum(1) == 1
        ),
        "A network is beaten, too, by one that equals it in one cost and is lower in the other.": (
            lambda costs: ~(costs[:, None] > costs[None]).all(2).any(1)
        ),
        "Only the best in each cost are marked: those in between can be on the staircase, too.": (
            lambda costs: (costs == costs.min(0).values).any(1)
        ),
        "Only the lowest sum is marked: a staircase does not know what a cost is worth.": (
            lambda costs: costs.sum(1) == costs.sum(1).min()
        ),
        "The numbers of the networks come back: return True or False for each.": (
            lambda costs: staircase(costs).nonzero().flatten()
        ),
    },
    "Compare every network with every other: the other beats it if it is as good in both costs and "
    "better in one. costs[:, None] and costs[None] put all pairs side by side.",
    staircase,
)

EXERCISES = {
    "07.doubling-gaps": Quick(
        63,
        "Each layer adds two gaps. Add up the gaps first.",
        "1 + 2 x (1 + 2 + 4 + 8 + 16) = 1 + 2 x 31 = 63.",
    ),
    "07.waiting": Quick(
        100,
        "Only what must wait for something else counts.",
        "1,000 steps in a row take 10 ms, 10 layers 0.1 ms: 100 times as long.",
    ),
    "07.front": Quick(
        {"A", "B", "D"},
        "Strike out every network that another one equals or beats in both costs.",
        "C is as wrong as B and slower. A, B and D each win against any other in one cost.",
    ),
    "07.causal": CAUSAL,
    "07.staircase": STAIRCASE,
}
