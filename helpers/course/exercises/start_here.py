"""Exercises of notebook 00."""

from itertools import product

import torch

from helpers.course.exercises.kinds import Code, Quick, whole_numbers
from helpers.evidence.statistics import sign_flip_p

# --- the sign-flip test -------------------------------------------------------------------------


def flipped(effects):
    """The share of sign patterns whose mean is as far from zero as that of the effects (n,)."""
    seen = abs(sum(effects))
    sums = [
        abs(sum(sign * effect for sign, effect in zip(signs, effects, strict=True)))
        for signs in product((-1, 1), repeat=len(effects))
    ]
    return sum(one >= seen - 1e-9 for one in sums) / len(sums)


def patterns(effects: torch.Tensor) -> torch.Tensor:
    """The sums of the effects (n,) under all 2^n patterns of signs."""
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=len(effects))), dtype=effects.dtype)
    return signs @ effects


def some_effects(generator: torch.Generator) -> tuple:
    """Four to six effects, mostly above zero."""
    (count,) = whole_numbers(generator, (4, 7))
    return (torch.randn(count, generator=generator, dtype=torch.float64) + 0.8,)


FLIP = Code(
    lambda effects: sign_flip_p(effects.numpy()),
    some_effects,
    {
        "Only one side is counted: a mean as far below zero is as extreme, take absolute values.": (
            lambda effects: (patterns(effects) >= effects.sum() - 1e-9).double().mean()
        ),
        "The pattern that was measured is not counted: as far or farther, >= instead of >.": (
            lambda effects: (patterns(effects).abs() > effects.sum().abs() + 1e-9).double().mean()
        ),
        "The share is the other one: count the patterns that are as far from zero or farther.": (
            lambda effects: (patterns(effects).abs() < effects.sum().abs() - 1e-9).double().mean()
        ),
        "That is how many patterns there are, no share: divide by 2^n.": (
            lambda effects: (patterns(effects).abs() >= effects.sum().abs() - 1e-9).sum()
        ),
        "The signs are those that were measured: flip the sign of each effect, in all ways.": (
            lambda effects: (effects <= 0).double().mean()
        ),
        "The patterns are compared with the sum of the absolute effects, which only two reach.": (
            lambda effects: 2 / 2 ** len(effects)
        ),
    },
    "itertools.product((-1, 1), repeat=n) gives all patterns of signs. For each, add up the "
    "effects with these signs; which share of the sums lies as far from zero as the one measured?",
    flipped,
    within=1e-6,
    equals="the course's own test",
)

# --- the rule -----------------------------------------------------------------------------------


def outcome(low, high, threshold):
    """What an interval says of the claim that the mean lies above the threshold."""
    if low > threshold:
        return "supported"
    if high < threshold:
        return "refuted"
    return "undecided"


def an_interval(generator: torch.Generator) -> tuple:
    """An interval about a mean from -2 to 4, and a threshold from 0.5 to 1.5."""
    middle, half, threshold = torch.rand(3, generator=generator).tolist()
    middle, half, threshold = 6 * middle - 2, 0.2 + half, 0.5 + threshold
    return middle - half, middle + half, threshold


def swapped(low, high, threshold):
    """The two sides changed places."""
    return {"supported": "refuted", "refuted": "supported"}.get(
        word := outcome(low, high, threshold), word
    )


OUTCOME = Code(
    outcome,
    an_interval,
    {
        "The interval is compared with zero: the claim is about the threshold.": (
            lambda low, high, threshold: outcome(low, high, 0)
        ),
        "It decides by the middle of the interval: an interval that holds the threshold is "
        "undecided.": lambda low, high, threshold: (
            "supported" if low + high > 2 * threshold else "refuted"
        ),
        "What is not supported is called refuted: there is a third word.": (
            lambda low, high, threshold: "supported" if low > threshold else "refuted"
        ),
        "What is not supported is called undecided: an interval all on the other side refutes.": (
            lambda low, high, threshold: "supported" if low > threshold else "undecided"
        ),
        "The upper end is enough for it: all of the interval must lie beyond the threshold.": (
            lambda low, high, threshold: "supported" if high > threshold else "refuted"
        ),
        "It is refuted too late: an effect above zero that is too small is refuted, too.": (
            lambda low, high, threshold: (
                "supported" if low > threshold else "refuted" if high < 0 else "undecided"
            )
        ),
        "The sides have changed places: the claim is that the mean lies above.": swapped,
    },
    "Three cases: all of the interval above the threshold, all of it below, or the threshold "
    "inside.",
    cases=24,
    equals="the rule",
)

EXERCISES = {
    "00.word": Quick(
        "false",
        "On which side of the threshold does the interval lie, and does it hold the threshold?",
        "False: all of [0.4, 1.6] lies below 2. There is a gain, but smaller than was claimed.",
        mistakes={
            "All of the interval lies above 0, but 2 points were claimed.": "true",
            "The interval does not hold the threshold, so the seeds can tell.": "open",
        },
    ),
    "00.fewest-seeds": Quick(
        6,
        "Halve 1 again and again, count, and double what is left.",
        "2 / 2^6 = 0.031; with five seeds it is 2 / 2^5 = 0.0625.",
        mistakes={"2 / 2^5 = 0.0625: not small enough.": 5, "Fewer will do: 2 / 2^6 = 0.031.": 7},
    ),
    "00.sign-flip": FLIP,
    "00.outcome": OUTCOME,
}
