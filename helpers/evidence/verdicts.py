"""Verdicts: the rule that turns measured effects into a word.

For a test on one number per seed::

    supported    the 95 % interval of the mean lies on the claimed side of the threshold,
                 and a sign-flip test against the threshold has p <= 0.05
    refuted      the same for the other side: too small to matter, or the other way round
    undecided    anything else

Rates, solved or not, are judged by exact tests instead. Core tests combine to the claim's word::

    true         all are supported
    true if ...  they split along their registered conditions
    overstated   all are refuted, and a weaker test is supported
    false        all are refuted, and no weaker one is supported
    open         anything else; with fewer than six seeds there is no verdict at all

Where the true effect lies exactly at the threshold, *supported* comes out at most 2.5 % of the time
for symmetric effects, at six seeds or more. No rule promises that for the mean of every shape, and
a few seeds do not show theirs: notebook 00 says what may go wrong. Steps of rounding as wide as the
effects' standard deviation do harm too. All is simulated in tests/evidence.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from helpers.evidence.registry import REGISTRY, Claim, ClaimError, Test, registry
from helpers.evidence.statistics import (
    CONFIDENCE,
    bca_interval,
    fisher_p,
    rate_interval,
    rates_interval,
    rates_p,
    sign_flip_p,
    t_interval,
)

LEAST_SEEDS = 6  # with fewer, an exact sign-flip test cannot reach p = 0.05
ROUNDING = 1e-5  # relative; accuracies in float32 differ by as much
OUTCOMES = ("supported", "refuted", "undecided")  # of a test


@dataclass(frozen=True)
class Outcome:
    """What the measurement says of one test."""

    test: Test
    verdict: str  # one of OUTCOMES
    effects: tuple  # one number per seed: 0 or 1 for counts and assertions, two of them for rates
    effect: float
    low: float
    high: float
    p: float
    bootstrap: tuple[float, float] = (float("nan"), float("nan"))
    arms: tuple[str, str] = ("A", "B")  # for rates

    def __str__(self) -> str:
        """Name and outcome; effect and interval where there is one."""
        numbers = f" {self.effect:.3g} [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.test.name} {self.verdict}" + numbers * (self.test.kind != "assertion")


@dataclass(frozen=True)
class Verdict:
    """A claim, judged. Prints as one line that is the same on every machine."""

    claim: Claim
    outcomes: tuple[Outcome, ...]
    provisional: bool = False
    run: bool = True  # False at profile smoke, too short to say anything

    @property
    def word(self) -> str:
        """One of `registry.WORDS`; provisional or not run before those."""
        if not self.run:
            return "not run"
        return "provisional" if self.provisional else combine(self.outcomes)[0]

    @property
    def phrase(self) -> str:
        """The word with what completes it: its conditions; how open it is."""
        word, condition = self.word, combine(self.outcomes)[1]
        return f"{word} {condition}" if word in ("true if", "open") else word

    @property
    def answer(self) -> str:
        """What to say instead of the sentence, its numbers filled in; empty where none is written.

        Raises ClaimError for an answer that was written for another word.
        """
        claim = self.claim
        if not claim.answer or not self.run or self.provisional:
            return ""
        if claim.answered != self.word:
            raise ClaimError(
                f"{claim.id}: its answer was written for “{claim.answered}”, it is {self.word}: "
                "write answer and answered anew in data/registry/claims.toml"
            )
        return self.filled(claim.answer)

    def filled(self, sentence: str) -> str:
        """A sentence with its numbers, {test.part:format}, filled in.

        Raises ClaimError for a test or part that there is not.
        """
        try:
            return sentence.format(**{o.test.name: Numbers.of(o) for o in self.outcomes})
        except (KeyError, AttributeError, ValueError) as error:
            raise ClaimError(f"{self.claim.id}: {sentence!r}: {error}") from error

    def __repr__(self) -> str:
        """The stable line: id, verdict, and each test's outcome."""
        if not self.run or self.provisional:
            return f"{self.claim.id}: {self.word.upper()}"
        tests = ", ".join(str(outcome) for outcome in self.outcomes)
        return f"{self.claim.id}: {self.phrase.replace(self.word, self.word.upper(), 1)} ({tests})"


@dataclass(frozen=True)
class Numbers:
    """The numbers of an outcome as an answer may say them."""

    effect: float
    low: float
    high: float
    seeds: int
    solved: int

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Those of an outcome."""
        solved = int(np.sum(outcome.effects)) if outcome.test.kind == "count" else 0
        return cls(outcome.effect, outcome.low, outcome.high, len(outcome.effects), solved)

    percent = points = property(lambda self: 100 * self.effect)
    lacks = property(lambda self: -self.effect)
    lacking = property(lambda self: -100 * self.effect)
    times = property(lambda self: 10**self.effect)
    inverse = property(lambda self: 10**-self.effect)
    factor = property(lambda self: 2**self.effect)


def judge(
    claim_id: str, effects: Mapping[str, Sequence[float] | bool], run: bool = True
) -> Verdict:
    """Judge a claim by the effects measured for each of its tests.

    `effects` maps every test's name to one number per seed; for rates to a table (seeds, 2) of 0
    and 1, arm A then arm B; for an assertion to True or False. With run=False the effects are
    checked and the verdict reads NOT RUN.
    Raises ClaimError for an unknown claim, a missing or unknown test and effects that are not
    finite.
    """
    if claim_id not in registry():
        raise ClaimError(f"no claim {claim_id!r} in {REGISTRY.name}: {', '.join(registry())}")
    claim = registry()[claim_id]
    if set(effects) != {test.name for test in claim.test}:
        raise ClaimError(
            f"{claim_id} is judged by the tests {[t.name for t in claim.test]}, "
            f"but effects were given for {list(effects)}"
        )
    outcomes = tuple(decide(test, effects[test.name]) for test in claim.test)
    sampled = [len(o.effects) for o in outcomes if o.test.kind != "assertion"]
    return Verdict(claim, outcomes, min(sampled, default=LEAST_SEEDS) < LEAST_SEEDS, run)


def decide(test: Test, effects: Sequence[float] | bool) -> Outcome:
    """Apply the rule to one test. Raises ClaimError for effects that cannot be judged."""
    values = _checked(test, effects)
    if test.kind == "assertion":
        verdict = "supported" if values.all() else "refuted"
        return Outcome(test, verdict, tuple(values), values.min(), *(float("nan"),) * 3)
    if test.kind == "rates":
        a, b = map(str, effects) if isinstance(effects, pd.DataFrame) else ("A", "B")
        return _decide_rates(test, values.astype(int), (a, b))
    return {"mean": _decide_mean, "count": _decide_count}[test.kind](test, values)


def _checked(test: Test, effects: Sequence[float] | bool) -> np.ndarray:
    """Effects as numbers (seeds,), for rates (seeds, 2)."""
    try:
        values = np.atleast_1d(np.asarray(effects, dtype=float))
    except (TypeError, ValueError) as error:
        raise ClaimError(f"{test.name}: effects are numbers, one per seed ({error})") from error
    shape, expected = ((2,), "0 or 1 for arm A and arm B,") if test.kind == "rates" else ((), "one")
    if values.shape[1:] != shape or not len(values):
        raise ClaimError(f"{test.name}: effects of shape {values.shape}, not {expected} per seed")
    finite = np.isfinite(values)
    if test.kind in ("count", "rates") and not np.isin(values[finite], (0, 1)).all():
        raise ClaimError(f"{test.name}: {test.kind} take 0 or 1 per seed, not {values.tolist()}")
    missing = ~finite.reshape(len(values), -1).all(1)
    if missing.any():
        labelled = isinstance(effects, pd.Series | pd.DataFrame)
        seeds = f" (seeds {', '.join(map(str, effects.index[missing]))})" if labelled else ""
        raise ClaimError(
            f"{test.name}: {missing.sum()} of {len(values)} effects are not finite{seeds}; either "
            "a seed was run in one arm only: run it in both; or a run diverged, a finding of its "
            "own: count it, or say which seeds are left out"
        )
    return values


def _decide_mean(test: Test, values: np.ndarray) -> Outcome:
    low, high = t_interval(values)
    limits = _limits(test)
    finite = [limit for limit in limits if np.isfinite(limit)]
    p = max(sign_flip_p(values - limit) for limit in finite)
    verdict = _compare(low, high, limits) if p <= 1 - CONFIDENCE else "undecided"
    return Outcome(test, verdict, tuple(values), values.mean(), low, high, p, bca_interval(values))


def _limits(test: Test) -> tuple[float, float]:
    """The ends of the claimed side of the threshold."""
    return {
        "above": (test.threshold, float("inf")),
        "below": (-float("inf"), test.threshold),
        "within": (test.around - test.threshold, test.around + test.threshold),
    }[test.direction]


def _decide_count(test: Test, values: np.ndarray) -> Outcome:
    solved = int(values.sum())
    low, high = rate_interval(solved, len(values))
    p = stats.binomtest(solved, len(values), test.threshold).pvalue
    verdict = _compare(low, high, _limits(test))
    return Outcome(test, verdict, tuple(values), values.mean(), low, high, p)


def _decide_rates(test: Test, values: np.ndarray, arms: tuple[str, str]) -> Outcome:
    a, b = values.sum(0).tolist()
    count = len(values)
    effect, (low, high) = (a - b) / count, rates_interval(a, b, count)
    p = rates_p(a, b, count, test.threshold)
    if (effect - test.threshold) * test.threshold >= 0:  # equal rates would lie on the other side
        p = max(p, fisher_p(a, b, count))
    verdict = _compare(low, high, _limits(test)) if p <= 1 - CONFIDENCE else "undecided"
    return Outcome(
        test, verdict, tuple(map(tuple, values.tolist())), effect, low, high, p, arms=arms
    )


def _compare(low: float, high: float, limits: tuple[float, float]) -> str:
    if _less(limits[0], low) and _less(high, limits[1]):
        return "supported"
    return "refuted" if _less(high, limits[0]) or _less(limits[1], low) else "undecided"


def _less(a: float, b: float) -> bool:
    """Whether a < b by more than rounding: equal effects have an interval of no width."""
    return a < b and not math.isclose(a, b, rel_tol=ROUNDING)


def combine(outcomes: Iterable[Outcome]) -> tuple[str, str]:
    """The word on a claim whose tests came out so, and what completes "true if" and "open"."""
    outcomes = list(outcomes)
    core = [outcome for outcome in outcomes if outcome.test.role == "core"]
    found = [outcome.verdict for outcome in core]
    if set(found) == {"supported"}:
        return "true", ""
    if set(found) == {"refuted"}:
        weaker = [o.verdict for o in outcomes if o.test.role == "weaker"]
        return ("overstated" if "supported" in weaker else "false"), ""
    held = _conditions(core)
    if held:
        return "true if", " or ".join(held)
    counts = [f"{found.count(kind)} {kind}" for kind in OUTCOMES if kind in found]
    return "open", f"({len(core)} core test{'s' * (len(core) > 1)}: {', '.join(counts)})"


def _conditions(core: Sequence[Outcome]) -> list[str]:
    """The conditions under which every test is supported; none unless all others are refuted."""
    under: dict[str, set[str]] = {}
    for outcome in core:
        under.setdefault(outcome.test.when, set()).add(outcome.verdict)
    split = all(found in ({"supported"}, {"refuted"}) for found in under.values())
    return [when for when, found in under.items() if found == {"supported"} and when] * split


def adjusted(p_values: Mapping[Hashable, float], method: str) -> dict[Hashable, float]:
    """The p values of a family of tests, adjusted for their number; NaN stays outside the family.

    method "holm" (Holm 1979, "A simple sequentially rejective multiple test procedure"): a wrong
    rejection among all is as rare as said. "fdr_bh" (Benjamini and Hochberg 1995, "Controlling the
    false discovery rate"): so is the share of wrong ones among those rejected.
    Raises ClaimError for a number that is no p value.
    """
    family = {name: p for name, p in p_values.items() if not math.isnan(p)}
    if not all(0 <= p <= 1 for p in family.values()):
        raise ClaimError(f"p values lie between 0 and 1, not so {family}")
    new = multipletests(list(family.values()), method=method)[1] if family else []
    return dict(p_values) | dict(zip(family, map(float, new), strict=True))
