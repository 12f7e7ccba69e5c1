"""Claims: the registry, the rule fixed beforehand, and the verdict.

`data/claims.toml` holds every claim with the thresholds it was registered with. `judge` compares
measured effects with them. The rule, for a test on one number per seed:

    supported      the 95 % interval of the mean lies on the claimed side of the threshold,
                   and an exact sign-flip test against the threshold has p <= 0.05
    refuted        the same for the other side: too small to matter, or the other way round
    inconclusive   anything else
    provisional    fewer than six seeds: whatever it says, it is not a verdict

A claim whose tests disagree is conditional.

Where the true effect lies exactly at the threshold, *supported* comes out at most 2.5 % of the time
for symmetric effects, at six seeds or more (simulated in tests/test_claims.py). A long tail away
from the claimed side breaks that promise: exponential effects reach 10 %.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
REGISTRY = ROOT / "data" / "claims.toml"
CONFIDENCE = 0.95
LEAST_SEEDS = 6  # with fewer, an exact sign-flip test cannot reach p = 0.05


class ClaimError(ValueError):
    """Effects that cannot be judged, or a claim that is not registered."""


DIRECTIONS = {"mean": ("above", "below", "within"), "count": ("above", "below"), "assertion": ("",)}


@dataclass(frozen=True)
class Test:
    """One sentence that can be supported or refuted, with the threshold it was registered with."""

    __test__ = False  # not a pytest class

    name: str
    statement: str
    kind: str  # "mean", "count" or "assertion"
    unit: str = ""
    direction: str = ""  # "above", "below" or "within" the threshold
    threshold: float = float("nan")
    around: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A sentence of the recap with its tests."""

    id: str
    number: int
    section: str
    quote: str
    question: str
    notebook: str
    status: str  # "registered", or "measured" once a notebook judges it
    seeds: int
    nuance: str
    test: tuple[Test, ...]
    literature: tuple[dict, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What the measurement says of one test."""

    test: Test
    verdict: str  # "supported", "refuted" or "inconclusive"
    effects: tuple[float, ...]  # one per seed; 0 or 1 for counts and assertions
    effect: float
    low: float
    high: float
    p: float
    bootstrap: tuple[float, float] = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Verdict:
    """A claim, judged. Prints as one line that is the same on every machine."""

    claim: Claim
    outcomes: tuple[Outcome, ...]
    provisional: bool = False
    run: bool = True  # False at profile smoke, too short to say anything

    @property
    def word(self) -> str:
        """Supported, refuted, conditional, inconclusive; provisional or not run before those."""
        if not self.run:
            return "not run"
        return "provisional" if self.provisional else combine(o.verdict for o in self.outcomes)

    def __repr__(self) -> str:
        """The stable line: id, verdict, and each test's outcome."""
        if not self.run or self.provisional:
            return f"{self.claim.id}: {self.word.upper()}"
        tests = ", ".join(f"{o.test.name} {o.verdict}" for o in self.outcomes)
        return f"{self.claim.id}: {self.word.upper()} ({tests})"


@cache
def registry(path: Path = REGISTRY) -> dict[str, Claim]:
    """All registered claims by id.

    Raises ClaimError naming the entry when the file is missing, malformed or inconsistent.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
        claims = [_claim(entry) for entry in entries]
    except FileNotFoundError as error:
        raise ClaimError(f"{path} is missing: restore it with `git checkout data/`") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ClaimError(f"{path} is malformed ({error}): see the comment at its top") from error
    by_id = {claim.id: claim for claim in claims}
    if len(by_id) < len(claims):
        raise ClaimError(f"{path} registers a claim twice")
    return by_id


def _claim(entry: dict) -> Claim:
    tests = tuple(Test(**test) for test in entry["test"])
    for test in tests:
        if test.direction not in DIRECTIONS.get(test.kind, ()):
            raise TypeError(f"{entry['id']}, {test.name}: kind {test.kind!r} {test.direction!r}")
    entry = entry | {key: tuple(entry.get(key, ())) for key in ("literature", "also")}
    return Claim(**entry | {"test": tests})


def judge(
    claim_id: str, effects: Mapping[str, Sequence[float] | bool], run: bool = True
) -> Verdict:
    """Judge a claim by the effects measured for each of its tests.

    `effects` maps every test's name to one number per seed (for an assertion: to True or False).
    With run=False the effects are checked and the verdict reads NOT RUN.
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
    try:
        values = np.atleast_1d(np.asarray(effects, dtype=float))
    except (TypeError, ValueError) as error:
        raise ClaimError(f"{test.name}: effects are numbers, one per seed ({error})") from error
    if values.ndim != 1 or not len(values):
        raise ClaimError(f"{test.name}: effects of shape {values.shape}, expected one per seed")
    if test.kind == "count" and not np.isin(values[np.isfinite(values)], (0, 1)).all():
        raise ClaimError(f"{test.name}: a count takes 0 or 1 per seed, not {values.tolist()}")
    if not np.isfinite(values).all():
        raise ClaimError(
            f"{test.name}: {np.sum(~np.isfinite(values))} of {len(values)} effects are not finite; "
            "a diverged run is a finding of its own: count it, or say which seeds are left out"
        )
    if test.kind == "assertion":
        verdict = "supported" if values.all() else "refuted"
        return Outcome(test, verdict, tuple(values), values.min(), *(float("nan"),) * 3)
    return {"mean": _decide_mean, "count": _decide_count}[test.kind](test, values)


def _decide_mean(test: Test, values: np.ndarray) -> Outcome:
    low, high = t_interval(values)
    limits = _limits(test)
    finite = [limit for limit in limits if np.isfinite(limit)]
    p = max(sign_flip_p(values - limit) for limit in finite)
    clear = all(sign_flip_p(values - limit) <= 1 - CONFIDENCE for limit in finite)
    verdict = _compare(low, high, limits) if clear else "inconclusive"
    return Outcome(test, verdict, tuple(values), values.mean(), low, high, p, bca_interval(values))


def _limits(test: Test) -> tuple[float, float]:
    """The ends of the claimed side of the threshold."""
    return {
        "above": (test.threshold, float("inf")),
        "below": (-float("inf"), test.threshold),
        "within": (test.around - test.threshold, test.around + test.threshold),
    }[test.direction]


def _decide_count(test: Test, values: np.ndarray) -> Outcome:
    solved = stats.binomtest(int(values.sum()), len(values), test.threshold)
    low, high = solved.proportion_ci(CONFIDENCE, method="exact")
    verdict = _compare(low, high, _limits(test))
    return Outcome(test, verdict, tuple(values), values.mean(), low, high, solved.pvalue)


def _compare(low: float, high: float, limits: tuple[float, float]) -> str:
    if limits[0] < low and high < limits[1]:
        return "supported"
    return "refuted" if high < limits[0] or limits[1] < low else "inconclusive"


def combine(verdicts: Iterable[str]) -> str:
    """The verdict on a claim whose tests came out as given."""
    found = set(verdicts)
    if {"supported", "refuted"} <= found:
        return "conditional"
    return "inconclusive" if "inconclusive" in found else found.pop()


# --- statistics ------------------------------------------------------------------------------


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Student's t interval of the mean of `values` (n,); (nan, nan) for a single value."""
    if len(values) < 2:
        return float("nan"), float("nan")
    if np.ptp(values) == 0:
        return values[0], values[0]
    return tuple(stats.ttest_1samp(values, 0).confidence_interval(CONFIDENCE))


def sign_flip_p(differences: np.ndarray) -> float:
    """Two-sided p of the sign-flip test that `differences` (n,) are symmetric about zero.

    Exact up to 16 values (2^16 sign patterns), 65,536 random patterns beyond (Fisher 1935, The
    Design of Experiments, section 21).
    """
    if len(differences) < 2:
        return 1.0
    result = stats.permutation_test(
        (differences,),
        lambda d, axis: d.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**16,
        rng=np.random.default_rng(0),
    )
    return result.pvalue


def bca_interval(values: np.ndarray) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval of the mean; too narrow for few seeds.

    Shown beside the t interval, never decisive (Efron 1987, "Better bootstrap confidence
    intervals"); (nan, nan) when all values are equal.
    """
    if len(values) < 2 or np.ptp(values) == 0:
        return float("nan"), float("nan")
    result = stats.bootstrap(
        (values,), np.mean, confidence_level=CONFIDENCE, method="BCa", rng=np.random.default_rng(0)
    )
    return tuple(result.confidence_interval)
