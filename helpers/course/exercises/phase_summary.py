"""Exercises of notebook 11."""

import torch

from helpers.course.exercises.kinds import Code, Quick
from helpers.evidence.verdicts import adjusted

# --- Holm's correction ---------------------------------------------------------------------------


def holm(p):
    """Corrected p values (n,), in the order of those given."""
    order = p.argsort()
    left = torch.arange(len(p), 0, -1)  # the smallest times n, the next times n - 1, ...
    risen = (p[order] * left).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).index_put_((order,), risen)


def holm_by_statsmodels(p: torch.Tensor) -> torch.Tensor:
    """The same, by the course's own correction."""
    return torch.tensor(list(adjusted(dict(enumerate(p.tolist())), "holm").values())).to(p.dtype)


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
    holm_by_statsmodels,
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
    equals="the correction of statsmodels",
)

# --- the staircase -------------------------------------------------------------------------------


def front(costs, errors):
    """The numbers of the nets that no other net beats."""
    kept = []
    for i, (cost, error) in enumerate(zip(costs, errors, strict=True)):
        as_good = (costs <= cost) & (errors <= error)
        better = (costs < cost) | (errors < error)
        if not (as_good & better).any():
            kept.append(i)
    return kept


def kept_where(beaten: torch.Tensor) -> list:
    """The numbers of nets (column) that no net (row) beats."""
    return (~beaten.any(0)).nonzero().flatten().tolist()


def pairs(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The values as a column and as a row: of the one that may beat, of the one beaten."""
    return values[:, None], values[None]


def some_nets(generator: torch.Generator) -> tuple:
    """Costs and errors of six to nine nets; two are alike in both, some in one."""
    count = int(torch.randint(5, 9, (), generator=generator))
    costs = torch.randint(1, 8, (count,), generator=generator).double()
    errors = torch.randint(1, 8, (count,), generator=generator).double() / 10
    best = (costs + 10 * errors).argmin()
    costs, errors = torch.cat([costs, costs[best, None]]), torch.cat([errors, errors[best, None]])
    order = torch.randperm(count + 1, generator=generator)
    return costs[order], errors[order]


def beaten_by(costs: torch.Tensor, errors: torch.Tensor, rule: str) -> torch.Tensor:
    """Which net (row) beats which (column) by a rule that is wrong."""
    (a, b), (c, d) = pairs(costs), pairs(errors)
    one = torch.eye(len(costs), dtype=torch.bool)
    return {
        "both": (a < b) & (c < d),
        "either": (a < b) | (c < d),
        "alike": (a <= b) & (c <= d) & ~one,
        "worse": (a >= b) & (c >= d) & ((a > b) | (c > d)),
        "cost": (a < b) & (c <= d),
    }[rule]


FRONT = Code(
    front,
    some_nets,
    {
        "A net that is equal in one and worse in the other is beaten, too: better in one is "
        "enough.": lambda costs, errors: kept_where(beaten_by(costs, errors, "both")),
        "A net is thrown out that is better in one of the two: what beats it must be as good in "
        "both.": (lambda costs, errors: kept_where(beaten_by(costs, errors, "either"))),
        "Two nets that are alike in both throw each other out: neither is better in one.": (
            lambda costs, errors: kept_where(beaten_by(costs, errors, "alike"))
        ),
        "Those are the nets that are the worst: less cost and fewer errors are better.": (
            lambda costs, errors: kept_where(beaten_by(costs, errors, "worse"))
        ),
        "Of two nets that cost the same, the one with more errors is beaten.": (
            lambda costs, errors: kept_where(beaten_by(costs, errors, "cost"))
        ),
        "Those are the beaten ones: return the others.": lambda costs, errors: [
            i for i in range(len(costs)) if i not in front(costs, errors)
        ],
        "Only one net is left, the one with the fewest errors: a cheaper one is not beaten.": (
            lambda costs, errors: [int(errors.argmin())]
        ),
        "The order is that of the costs: give the numbers in rising order.": (
            lambda costs, errors: sorted(front(costs, errors), key=lambda i: costs[i])
        ),
        "Those are costs, not the numbers of the nets.": lambda costs, errors: [
            float(costs[i]) for i in front(costs, errors)
        ],
    },
    "For each net ask of all: at least as cheap and at least as right, and better in one of the "
    "two? If none is, keep it.",
    cases=24,
    equals="what no other net beats",
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
    "11.front": FRONT,
}
