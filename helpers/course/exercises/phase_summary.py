"""Exercises of notebook 11."""

from functools import partial

import torch
from torch.nn import functional as F

from helpers.course.exercises.kinds import Code, Quick

# --- Holm's correction ---------------------------------------------------------------------------


def holm(p):
    """Corrected p values (n,), in the order of those given."""
    order = p.argsort()
    left = torch.arange(len(p), 0, -1)  # the smallest times n, the next times n - 1, ...
    risen = (p[order] * left).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).index_put_((order,), risen)


def holm_by_rank(p: torch.Tensor) -> torch.Tensor:
    """The same from its definition, one p value at a time.

    >>> from helpers.evidence.verdicts import adjusted
    >>> p = torch.tensor([0.03, 0.01, 0.02], dtype=torch.float64)
    >>> holm_by_rank(p).tolist() == list(adjusted(dict(enumerate(p.tolist())), "holm").values())
    True
    """
    multiplied = torch.stack([(len(p) - (p < one).sum()) * one for one in p])
    return torch.stack([multiplied[p <= one].max() for one in p]).clamp(max=1)


def in_order(p: torch.Tensor, corrected_of_sorted: torch.Tensor) -> torch.Tensor:
    """Corrections of the sorted p values, put back in the order of p."""
    return torch.empty_like(p).index_put_((p.argsort(),), corrected_of_sorted)


def left(p: torch.Tensor) -> torch.Tensor:
    """n, n - 1, ..., 1."""
    return torch.arange(len(p), 0, -1)


def some_p(generator: torch.Generator) -> tuple:
    """Five to eight p values in no order, most of them small, one near the next, one large."""
    count = int(torch.randint(4, 7, (), generator=generator))
    p = 0.2 * torch.rand(count, generator=generator, dtype=torch.float64) ** 2 + 0.001
    p = torch.cat([p, p[:1] + 1e-4, torch.tensor([0.97, 0.6], dtype=torch.float64)])
    return (p[torch.randperm(len(p), generator=generator)],)


HOLM = Code(
    holm_by_rank,
    some_p,
    {
        "That is Bonferroni's correction: every p times n. Holm's factor falls by one each time.": (
            lambda p: (p * len(p)).clamp(max=1)
        ),
        "A later value is smaller than one before: each is at least as large as the one before.": (
            lambda p: in_order(p, (p.sort().values * left(p)).clamp(max=1))
        ),
        "Some are larger than 1: no p value is. Cut them off at 1.": (
            lambda p: in_order(p, (p.sort().values * left(p)).cummax(0).values)
        ),
        "The values come back sorted: put them where the p values were.": (
            lambda p: (p.sort().values * left(p)).cummax(0).values.clamp(max=1)
        ),
        "The factors are the wrong way round: the smallest p is multiplied by n.": (
            lambda p: in_order(p, (p.sort().values * left(p).flip(0)).cummax(0).values.clamp(max=1))
        ),
        "The factors begin with n - 1: the smallest p is multiplied by n, the largest by 1.": (
            lambda p: in_order(p, (p.sort().values * (left(p) - 1)).cummax(0).values.clamp(max=1))
        ),
        "That is Benjamini and Hochberg's: n over the rank. Holm's is n less those before it.": (
            lambda p: in_order(
                p, (p.sort().values * len(p) / left(p).flip(0)).flip(0).cummin(0).values.flip(0)
            )
        ),
        "The p values were not sorted before they were multiplied.": (
            lambda p: (p * left(p)).cummax(0).values.clamp(max=1)
        ),
    },
    "Sort, and remember the order. Multiply by n, n - 1, ..., 1; take the running maximum (cummax) "
    "and at most 1; put the values back where they came from.",
    holm,
    within=1e-9,
    equals="the definition",
)

# --- attention that never looks ahead ------------------------------------------------------------


def causal_attention(query, key, value):
    """For each place of (places, width) the average of the values up to it, by agreement."""
    scores = query @ key.T / key.shape[1] ** 0.5
    ahead = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(ahead, -torch.inf).softmax(dim=1) @ value


def some_places(generator: torch.Generator) -> tuple:
    """Queries, keys and values of three to six places, four to seven wide."""
    places, width = (int(torch.randint(a, a + 4, (), generator=generator)) for a in (3, 4))
    return tuple(torch.randn(3, places, width, generator=generator, dtype=torch.float64))


def looking(query, key, value, diagonal=0, divisor=None, dim=1):
    """Attention whose mask, divisor or softmax may be wrong."""
    scores = query @ key.T / (divisor or key.shape[1] ** 0.5)
    seen = torch.ones_like(scores).tril(diagonal).bool()
    return scores.masked_fill(~seen, -torch.inf).softmax(dim=dim).nan_to_num() @ value


def masked_late(query, key, value):
    """The weights of what lies ahead are taken out after the softmax."""
    return (query @ key.T / key.shape[1] ** 0.5).softmax(dim=1).tril() @ value


CAUSAL = Code(
    partial(F.scaled_dot_product_attention, is_causal=True),
    some_places,
    {
        "It looks ahead: a place may see itself and what came before.": partial(
            looking, diagonal=10
        ),
        "A place does not see itself, and the first sees nothing.": partial(looking, diagonal=-1),
        "It sees one place too far ahead.": partial(looking, diagonal=1),
        "It looks the other way: a place may see what came before, not what follows.": (
            lambda query, key, value: looking(*(x.flip(0) for x in (query, key, value))).flip(0)
        ),
        "What lies ahead is taken out after the softmax: the weights left do not add up to 1. Set "
        "their scores to minus infinity before.": masked_late,
        "A score of 0 is no weight of 0. Set the scores ahead to minus infinity.": (
            lambda query, key, value: (
                (query @ key.T / key.shape[1] ** 0.5).tril().softmax(dim=1) @ value
            )
        ),
        "The scores are not divided by the root of the width.": partial(looking, divisor=1),
        "The scores are divided by the width: take its root.": (
            lambda query, key, value: looking(query, key, value, divisor=key.shape[1])
        ),
        "The weights of a query (a row) add up to 1: softmax over the keys, dim=1.": partial(
            looking, dim=0
        ),
    },
    "As in section 6. Before the softmax set each score that lies right of the diagonal to minus "
    "infinity: torch.triu with diagonal=1 marks them.",
    causal_attention,
    within=1e-9,
)

EXERCISES = {
    "11.squared-error": Quick(
        0.81,
        "It came out 0, you said 0.9. Square the difference.",
        "(0.9 - 0)^2 = 0.81, the price of being sure and wrong.",
        mistakes={
            "That is the difference: square it.": 0.9,
            "That is what it costs if the sentence is true.": 0.01,
        },
    ),
    "11.scores": Quick(
        1_000_000,
        "Every token looks at every token.",
        "1,000 x 1,000 = 1,000,000 scores.",
        mistakes={
            "That is one score a token: each looks at all of them.": 1000,
            "A token looks at those behind it and before it, and at itself.": 499_500,
        },
    ),
    "11.by-chance": Quick(
        3,
        "Each is rejected one time in twenty.",
        "60 x 0.05 = 3.",
        mistakes={"A twentieth of 60 is more than that.": 0.05, "That is one in ten.": 6},
    ),
    "11.first-step": Quick(
        0.0005,
        "The level is divided by the number of tests that are still in the race.",
        "0.05 / 100 = 0.0005.",
        within=1e-9,
        mistakes={
            "The first step is the strictest: divide the level by 100.": 0.05,
            "That is the level times the number of tests: divide.": 5,
        },
    ),
    "11.holm": HOLM,
    "11.causal-attention": CAUSAL,
}
