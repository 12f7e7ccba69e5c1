"""The rule: closed forms, brute force, and calibration by simulation."""

import itertools
import math
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from registered import register, toy
from scipy import stats

from helpers.evidence import statistics, verdicts
from helpers.evidence.registry import ClaimError, Test
from helpers.evidence.verdicts import Outcome, adjusted, combine, decide, judge

NAN = float("nan")
MEAN = Test("gain", "It gains a point.", "mean", "accuracy", "above", 0.01)
LOSS = replace(MEAN, direction="below")
SAME = replace(MEAN, direction="within", threshold=0.5, around=2.0)
COUNT = Test("solved", "Most runs solve it.", "count", "rate of seeds", "above", 0.5)
FEW = replace(COUNT, direction="below")
RATES = Test("solves", "A solves it more often.", "rates", "difference", "above", 0.0)
MORE = replace(RATES, threshold=0.2)
NO_WORSE = replace(RATES, threshold=-0.3)
NOT_MORE = replace(RATES, direction="below", threshold=0.3)
FACT = Test("shape", "The shape is so.", "assertion")


# ---------------------------------------------------------------- the rule, test by test


def arms(a: int, b: int, count: int) -> np.ndarray:
    """Solved or not (count, 2): the first `a` seeds by arm A, the first `b` by arm B."""
    return np.stack([np.arange(count) < a, np.arange(count) < b], axis=1).astype(int)


SPREAD = np.linspace(-0.005, 0.005, 10)
ALIKE = np.zeros(10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "effects", "verdict"),
    [
        (MEAN, 0.03 + SPREAD, "supported"),
        (MEAN, 0.001 + SPREAD, "refuted"),
        (MEAN, -0.03 + SPREAD, "refuted"),
        (MEAN, 0.012 + SPREAD, "undecided"),
        (MEAN, 0.03 + ALIKE, "supported"),
        (MEAN, 0.001 + ALIKE, "refuted"),
        (MEAN, 0.01 + ALIKE, "undecided"),
        (MEAN, [0.97 - 0.96, 0.96 - 0.95] * 5, "undecided"),  # 0.01 but for rounding
        (MEAN, [float(np.float32(0.97) - np.float32(0.96))] * 10, "undecided"),
        (LOSS, 0.001 + SPREAD, "supported"),
        (LOSS, -0.3 + SPREAD, "supported"),
        (LOSS, 0.03 + SPREAD, "refuted"),
        (LOSS, 0.008 + SPREAD, "undecided"),
        (SAME, 2 + SPREAD, "supported"),
        (SAME, 1.6 + SPREAD, "supported"),
        (SAME, 2.6 + SPREAD, "refuted"),
        (SAME, 0 + SPREAD, "refuted"),
        (SAME, 2.5 + SPREAD, "undecided"),
        (SAME, 2 + 1000 * SPREAD, "undecided"),
        (COUNT, [1] * 9 + [0], "supported"),
        (COUNT, [1] * 10, "supported"),
        (COUNT, [0] * 9 + [1], "refuted"),
        (COUNT, [0] * 10, "refuted"),
        (COUNT, [1] * 7 + [0] * 3, "undecided"),
        (FEW, [0] * 9 + [1], "supported"),
        (FEW, [0] * 10, "supported"),
        (FEW, [1] * 10, "refuted"),
        (RATES, arms(8, 1, 8), "supported"),
        (RATES, arms(1, 8, 8), "refuted"),
        (RATES, arms(7, 5, 8), "undecided"),
        (RATES, arms(8, 8, 8), "undecided"),
        (RATES, arms(6, 2, 6), "undecided"),
        (MORE, arms(10, 1, 10), "supported"),
        (MORE, arms(10, 5, 10), "undecided"),
        (MORE, arms(1, 8, 10), "refuted"),
        (MORE, arms(30, 30, 30), "refuted"),
        (NO_WORSE, arms(20, 20, 20), "supported"),
        (NO_WORSE, arms(6, 18, 20), "refuted"),
        (NOT_MORE, arms(20, 20, 20), "supported"),
        (NOT_MORE, arms(20, 2, 20), "refuted"),
        (FACT, True, "supported"),
        (FACT, False, "refuted"),
        (FACT, [True, False, True], "refuted"),
    ],
)
def test_the_rule(test, effects, verdict):
    assert decide(test, effects).verdict == verdict


def test_the_interval_alone_does_not_support():
    """One seed just short of the threshold: 4 of 64 sign patterns do as well, p = 0.0625."""
    effects = MEAN.threshold + 0.01 * np.array([1, 1, 1.01, 0.99, 1, -0.01])
    assert verdicts.t_interval(effects)[0] > MEAN.threshold
    outcome = decide(MEAN, effects)
    assert outcome.p == 0.0625 and outcome.verdict == "undecided"


def test_an_outcome_carries_its_numbers():
    effects = 0.03 + SPREAD
    outcome = decide(MEAN, effects)
    assert outcome.effects == tuple(effects)
    assert outcome.effect == pytest.approx(0.03)
    assert (outcome.low, outcome.high) == pytest.approx(verdicts.t_interval(effects))
    assert outcome.p == pytest.approx(2 / 2**10)
    low, high = outcome.bootstrap
    assert outcome.low < low < outcome.effect < high < outcome.high


def test_counts_use_the_clopper_pearson_interval():
    outcome = decide(COUNT, [1] * 8 + [0] * 2)
    expected = stats.beta.ppf(0.025, 8, 3), stats.beta.ppf(0.975, 9, 2)
    assert (outcome.low, outcome.high) == pytest.approx(expected)
    assert outcome.p == pytest.approx(stats.binomtest(8, 10, 0.5).pvalue)
    assert outcome.effect == 0.8


def test_rates_carry_their_numbers():
    outcome = decide(RATES, arms(9, 3, 10))
    assert outcome.effect == pytest.approx(0.6)
    assert (outcome.low, outcome.high) == pytest.approx(statistics.rates_interval(9, 3, 10))
    assert outcome.p == pytest.approx(stats.fisher_exact([[9, 1], [3, 7]]).pvalue)
    assert outcome.effects == tuple(map(tuple, arms(9, 3, 10).tolist()))
    assert outcome.arms == ("A", "B")


def test_fisher_is_asked_wherever_the_verdict_says_that_the_rates_differ(monkeypatch):
    monkeypatch.setattr(verdicts, "fisher_p", lambda a, b, count: 0.06)
    different = [(RATES, 8, 1, 8), (RATES, 1, 8, 8), (MORE, 10, 1, 10), (NO_WORSE, 0, 20, 20)]
    for test, a, b, count in different:
        assert decide(test, arms(a, b, count)).verdict == "undecided"
    perhaps_equal = [(MORE, 30, 30, 30, "refuted"), (NO_WORSE, 20, 20, 20, "supported")]
    for test, a, b, count, verdict in perhaps_equal:
        assert decide(test, arms(a, b, count)).verdict == verdict


def test_the_interval_alone_does_not_support_a_difference_of_rates():
    """Newcombe's interval is above -0.5, but some rates 0.5 apart give as much in 3.5 %."""
    assert statistics.rates_interval(0, 1, 8)[0] > -0.5
    outcome = decide(replace(RATES, threshold=-0.5), arms(0, 1, 8))
    assert outcome.p == pytest.approx(0.0703, abs=1e-4) and outcome.verdict == "undecided"


def test_the_bootstrap_is_shown_but_decides_nothing(monkeypatch):
    monkeypatch.setattr(verdicts, "bca_interval", lambda values: (-1000.0, 1000.0))
    outcome = decide(MEAN, 0.03 + SPREAD)
    assert outcome.verdict == "supported" and outcome.bootstrap == (-1000, 1000)


@pytest.mark.parametrize("test", [MEAN, SAME, COUNT, FACT])
@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_effects_that_are_not_finite_cannot_be_judged(test, bad):
    with pytest.raises(
        ClaimError, match=rf"{test.name}: 2 of 4 effects are not finite; .*diverged"
    ):
        decide(test, [1.0, bad, 0.0, bad])


def test_seeds_without_an_effect_are_named():
    """Subtracting arms that share only some seeds leaves holes."""
    one, other = pd.Series(0.9, index=range(40, 46)), pd.Series(0.8, index=range(41, 47))
    cause = (
        r"gain: 2 of 7 effects are not finite \(seeds 40, 46\); either a seed was run in one arm"
    )
    with pytest.raises(ClaimError, match=cause):
        decide(MEAN, one - other)
    table = pd.DataFrame({"A": one.round(), "B": other.round()})
    with pytest.raises(ClaimError, match=r"solves: 2 of 7 effects .* \(seeds 40, 46\)"):
        decide(RATES, table)


@pytest.mark.parametrize(
    ("test", "effects"),
    [
        (MEAN, []),
        (FACT, []),
        (MEAN, [[0.1, 0.2]] * 6),
        (COUNT, [0.5] * 6),
        (COUNT, [2, 0, 1, 1, 1, 1]),
        (MEAN, ["a"] * 6),
        (RATES, []),
        (RATES, [1, 0, 1, 1, 1, 1]),
        (RATES, [[1, 0, 1]] * 6),
        (RATES, [[0.9, 0.1]] * 6),
        (RATES, [[1, 0], [1]]),
        (COUNT, arms(6, 1, 6)),
    ],
)
def test_effects_of_the_wrong_kind_cannot_be_judged(test, effects):
    with pytest.raises(ClaimError, match=test.name):
        decide(test, effects)


# ---------------------------------------------------------------- the verdict on a claim


def outcomes(core: str, weaker: str = "", beside: str = "", when: str = "") -> list[Outcome]:
    """Outcomes of core, weaker and beside tests, a letter each; `when` is a letter a core test."""
    words = {"s": "supported", "r": "refuted", "u": "undecided"}
    conditions = when or " " * len(core)
    tests = [(o, "core", w.strip()) for o, w in zip(core, conditions, strict=True)]
    tests += [(o, "weaker", "") for o in weaker] + [(o, "beside", "") for o in beside]
    return [
        Outcome(replace(FACT, role=role, when=w), words[o], (1,), *[NAN] * 4)
        for o, role, w in tests
    ]


@pytest.mark.parametrize(
    ("found", "word", "completed"),
    [
        (outcomes("s"), "true", ""),
        (outcomes("ss", weaker="r", beside="ru"), "true", ""),
        (outcomes("r"), "false", ""),
        (outcomes("rr", beside="s"), "false", ""),
        (outcomes("rr", weaker="ur"), "false", ""),
        (outcomes("rr", weaker="rs"), "overstated", ""),
        (outcomes("ru", weaker="s"), "open", "(2 core tests: 1 refuted, 1 undecided)"),
        (outcomes("u"), "open", "(1 core test: 1 undecided)"),
        (outcomes("sr"), "open", "(2 core tests: 1 supported, 1 refuted)"),
        (outcomes("sr", when="ab"), "true if", "a"),
        (outcomes("srs", when="abc"), "true if", "a or c"),
        (outcomes("ssrr", when="aabb"), "true if", "a"),
        (outcomes("srr", when="aab"), "open", "(3 core tests: 1 supported, 2 refuted)"),
        (
            outcomes("sru", when="abc"),
            "open",
            "(3 core tests: 1 supported, 1 refuted, 1 undecided)",
        ),
        (outcomes("ss", when="ab"), "true", ""),
        (outcomes("rr", when="ab"), "false", ""),
    ],
)
def test_combine(found, word, completed):
    assert combine(found) == (word, completed)


@pytest.fixture
def claim(monkeypatch) -> str:
    """A registered claim with a test of each kind."""
    register(monkeypatch, toy(MEAN, COUNT, FACT))
    return "toy"


def effects(count: int = 10, gain: float = 0.03, solved: int = 1, fact: bool = True) -> dict:
    spread = np.linspace(-0.005, 0.005, count) if count > 1 else np.zeros(1)
    return {"gain": gain + spread, "solved": [solved] * (count - 1) + [1 - solved], "shape": fact}


def test_a_verdict_prints_as_one_line_with_its_numbers(claim):
    assert repr(judge(claim, effects())) == (
        "toy: TRUE (gain supported 0.03 [0.0276, 0.0324], solved supported 0.9 [0.555, 0.997], "
        "shape supported)"
    )


def test_a_split_along_conditions_is_printed_with_them(monkeypatch):
    tests = (replace(MEAN, when="few"), replace(COUNT, when="many"), replace(FACT, when="few"))
    register(monkeypatch, toy(*tests))
    verdict = judge("toy", effects(solved=0))
    assert (verdict.word, verdict.phrase) == ("true if", "true if few")
    assert repr(verdict).startswith("toy: TRUE IF few (gain supported 0.03 [")


def test_an_answer_is_filled_in_and_belongs_to_its_word(monkeypatch):
    text = "{gain.points:.1f} points; {solved.solved} of {solved.seeds} solved."
    register(monkeypatch, toy(MEAN, COUNT, FACT, answered="true", answer=text))
    assert judge("toy", effects()).answer == "3.0 points; 9 of 10 solved."
    with pytest.raises(ClaimError, match="toy: its answer was written for “true”, it is open"):
        _ = judge("toy", effects(solved=0)).answer
    assert judge("toy", effects(count=3)).answer == "" == judge("toy", effects(), run=False).answer


@pytest.mark.parametrize(("count", "provisional"), [(1, True), (5, True), (6, False), (10, False)])
def test_fewer_than_six_seeds_are_provisional(claim, count, provisional):
    verdict = judge(claim, effects(count))
    assert verdict.provisional == (verdict.word == "provisional") == provisional
    assert (repr(verdict) == "toy: PROVISIONAL") == provisional


def test_the_scarcest_test_decides_whether_a_claim_is_provisional(claim):
    assert judge(claim, effects() | {"solved": [1] * 5}).word == "provisional"


def test_assertions_need_no_seeds(monkeypatch):
    register(monkeypatch, toy(FACT))
    assert judge("toy", {"shape": True}).word == "true"


@pytest.mark.parametrize("count", [1, 10])
def test_a_claim_that_was_not_run_says_so(claim, count):
    verdict = judge(claim, effects(count), run=False)
    assert verdict.word == "not run" and repr(verdict) == "toy: NOT RUN"


def test_an_unknown_claim_is_named():
    with pytest.raises(
        ClaimError, match=r"no claim 'cnn\.filtres' in claims\.toml: cnn\.filters-ch"
    ):
        judge("cnn.filtres", {})


@pytest.mark.parametrize("change", [{"extra": [1.0]}, {"gian": [1.0]}, {}])
def test_effects_must_fit_the_registered_tests(claim, change):
    given = {"gain": effects()["gain"], "shape": True} | change
    with pytest.raises(
        ClaimError, match=r"toy is judged by .*'gain', 'solved', 'shape'.*given for"
    ):
        judge(claim, given)


# ---------------------------------------------------------------- many tests at once


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (
            "holm",
            {"a": 0.03, "b": 0.06, "c": 0.06},
        ),  # p times 3, 2, 1 from the least, never falling
        (
            "fdr_bh",
            {"a": 0.03, "b": 0.04, "c": 0.04},
        ),  # p times 3, 3/2, 3/3, never rising downwards
    ],
)
def test_adjusted_p_values_are_those_of_the_procedure(method, expected):
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "assertion": NAN}
    found = adjusted(p, method)
    assert list(found) == list(p) and math.isnan(found.pop("assertion"))
    assert found == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["holm", "fdr_bh"])
@pytest.mark.parametrize("p", [{}, {"a": NAN}, {"a": 0.2}])
def test_a_family_of_one_is_left_alone(p, method):
    assert adjusted(p, method) == pytest.approx(p, nan_ok=True)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("inf")])
def test_what_is_no_p_is_named(bad):
    with pytest.raises(ClaimError, match="between 0 and 1"):
        adjusted({"a": 0.1, "b": bad}, "holm")


# ---------------------------------------------------------------- calibration of kind "mean"

RUNS = 20_000  # Monte-Carlo error of a rate of 2.5 %: 0.11 points
SEED_COUNTS = (6, 8, 10, 15, 20, 30)


def rounded(step: float, offset: float):
    """Ties: normal effects rounded to steps of so many standard deviations.

    The threshold lies on a mark, or so many steps off it; then the effects are not symmetric.
    """

    def draw(rng, size):
        return step * (np.round(rng.standard_normal(size) / step + offset) - offset)

    return draw


def two_point(rng, size):
    return rng.choice([-1.0, 1.0], size)


def bimodal(rng, size):
    """Solved or not: two values, equally likely, blurred a little."""
    return two_point(rng, size) + 0.1 * rng.standard_normal(size)


def collapse(rng, size):
    """One run in ten falls far below the others."""
    return np.where(rng.random(size) < 0.1, -9.0, 1.0) + 0.1 * rng.standard_normal(size)


# All have mean zero.
KEPT = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "uniform": lambda rng, size: rng.uniform(-1, 1, size),
    "heavy-tailed": lambda rng, size: rng.laplace(size=size),
    "two-point": two_point,
    "bimodal": bimodal,
    "rounded": rounded(1, 0),
    "rounded finely": rounded(0.5, 0.3),
}
COARSE = {"rounded to 1 sd": rounded(1, 0.3), "rounded to 2 sd": rounded(2, 0.1)}
TAILED = {
    "exponential": lambda rng, size: 1 - rng.exponential(size=size),
    "log-normal": lambda rng, size: math.exp(0.5) - rng.lognormal(size=size),
}
SHAPES = KEPT | COARSE | TAILED | {"collapse": collapse}


@cache
def sign_patterns(count: int) -> np.ndarray:
    """All 2^n, up to 15 seeds; 2^14 random ones beyond."""
    if count <= 15:
        return np.array(list(itertools.product([1.0, -1.0], repeat=count)))
    return np.random.default_rng(0).choice([-1.0, 1.0], (2**14, count))


def supported(differences: np.ndarray) -> np.ndarray:
    """Whether each row (runs, seeds) of effects minus threshold supports "above", by the rule."""
    count = differences.shape[1]
    half = stats.t.ppf(0.975, count - 1) * differences.std(1, ddof=1) / math.sqrt(count)
    clear = differences.mean(1) - half > 1e-9
    for part in np.array_split(np.flatnonzero(clear), 1 + clear.sum() // 200):
        sums = sign_patterns(count) @ differences[part].T
        clear[part] = 2 * (sums >= differences[part].sum(1) - 1e-9).mean(0) <= 0.05
    return clear


def share_supported(shape: str, count: int, sign: int = 1) -> float:
    draws = SHAPES[shape](np.random.default_rng(count), (RUNS, count))
    return supported(sign * draws).mean()


def tolerated(share: float) -> float:
    """The largest simulated share that a true one explains (99.9 %): 2.85 % for 2.5 %."""
    return stats.binom.ppf(0.999, RUNS, share) / RUNS


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 8, 10])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_simulation_applies_the_rule(shape, count, monkeypatch):
    """On rows that the simulation supports, and on others whose mean is as high."""
    monkeypatch.setattr(verdicts, "bca_interval", lambda values: (NAN, NAN))
    draws = SHAPES[shape](np.random.default_rng(count), (2000, count))
    found = supported(draws)
    high = draws.mean(1) > draws.std(1) / 2
    for kind in (found, high & ~found):
        for row in 0.02 * draws[kind][:5]:
            words = {decide(MEAN, 0.01 + row).verdict, decide(LOSS, 0.01 - row).verdict}
            assert (words == {"supported"}) == (kind is found)


@pytest.mark.slow
@pytest.mark.parametrize("count", SEED_COUNTS)
@pytest.mark.parametrize("shape", KEPT)
def test_an_effect_at_the_threshold_is_rarely_supported(shape, count):
    for sign in (1, -1):
        assert share_supported(shape, count, sign) <= tolerated(0.025)


# Largest share of words, in percent, where each of so many core tests, under as many conditions and
# with seeds of their own, has its true effect exactly at the threshold.
AT_THE_THRESHOLD = {1: {"true": 2.7, "false": 2.7}, 2: {"true": 0.2, "false": 0.2, "true if": 0.3}}
AT_THE_THRESHOLD[3] = {"true": 0.1, "false": 0.1, "true if": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize("tests", AT_THE_THRESHOLD)
def test_a_sentence_at_the_threshold_of_its_tests_is_open(tests):
    """The combination keeps what one test promises, and more where several must agree."""
    draws = np.random.default_rng(tests).standard_normal((RUNS * tests, 12))
    letters = np.where(supported(draws), "s", np.where(supported(-draws), "r", "u"))
    counts = Counter("".join(row) for row in letters.reshape(RUNS, tests))
    words = Counter()
    for found, count in counts.items():
        words[combine(outcomes(found, when="abc"[:tests]))[0]] += 100 * count / RUNS
    assert words["open"] > 94
    assert all(words[word] <= most for word, most in AT_THE_THRESHOLD[tests].items())


@pytest.mark.slow
@pytest.mark.parametrize("count", SEED_COUNTS)
@pytest.mark.parametrize("shape", TAILED | {"collapse": collapse})
def test_a_tail_on_the_claimed_side_does_no_harm(shape, count):
    assert share_supported(shape, count, sign=-1) <= tolerated(0.025)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "bounds"), [("rounded to 1 sd", (3.5, 2.5)), ("rounded to 2 sd", (11, 8))]
)
def test_coarse_rounding_breaks_the_promise_at_few_seeds(shape, bounds):
    """Ties look like certainty: at 6 seeds up to 3.2 and 10.3 %, at 8 up to 2.5 and 7.7 %."""
    for count, bound in zip((6, 8), bounds, strict=True):
        worst = max(share_supported(shape, count, sign) for sign in (1, -1))
        assert bound / 100 - 0.03 < worst <= tolerated(bound / 100)


# Percent of wrong *supported* for a true mean at the threshold, from so many seeds up: effects with
# an exponential or log-normal tail away from the claim; one run in ten that collapses.
WRONGLY_SUPPORTED = {
    6: (16, 54),
    8: (16, 44),
    10: (16, 36),
    15: (14, 21),
    20: (13, 13),
    30: (12, 16),
}


@pytest.mark.slow
@pytest.mark.parametrize("least", WRONGLY_SUPPORTED)
def test_the_table_of_worst_rates_is_what_simulation_gives(least):
    """Neither too low for any number of seeds it stands for, nor two points too high for all.

    In percent   6 seeds     8    10    15    20    30
    exponential      6.3   8.6   9.3   7.9   7.5   6.1
    log-normal      11.1  15.0  14.9  13.4  13.0  11.5
    collapse        53.3  44.0  34.9  20.3  12.4   7.4  (15.9 at 32)
    """
    counts = {6: (6, 7), 8: (8, 9), 10: (10, 11), 15: (15, 18), 20: (20, 25), 30: (30, 32, 40)}
    tail, rare = (percent / 100 for percent in WRONGLY_SUPPORTED[least])
    worst_tail = max(share_supported(shape, n) for shape in TAILED for n in counts[least])
    worst_rare = max(share_supported("collapse", n) for n in counts[least])
    assert tail - 0.02 < worst_tail <= tolerated(tail)
    assert rare - 0.02 < worst_rare <= tolerated(rare)


# ---------------------------------------------------------------- calibration of counts and rates


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 8, 10, 20])
@pytest.mark.parametrize("test", [COUNT, FEW], ids=["above", "below"])
def test_a_rate_at_the_threshold_is_rarely_supported(test, count):
    """Exact, no simulation: the binomial probability of all supported counts."""
    chance = sum(
        stats.binom.pmf(k, count, test.threshold)
        for k in range(count + 1)
        if decide(test, [1] * k + [0] * (count - k)).verdict == "supported"
    )
    assert 0 < chance <= 0.025


@cache
def supporting(threshold: float, count: int) -> np.ndarray:
    """Which outcomes (solved by A, solved by B) support that A is above B by the threshold."""
    test, found = replace(RATES, threshold=threshold), np.zeros((count + 1, count + 1))
    for a, b in itertools.product(range(count + 1), repeat=2):
        if a - b > threshold * count:
            found[a, b] = decide(test, arms(a, b, count)).verdict == "supported"
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threshold", "count"),
    [
        *itertools.product([-0.5, -0.3, -0.1, 0.0, 0.1, 0.2, 0.5], [6, 8, 10, 15]),
        (-0.3, 30),
        (0.1, 30),
    ],
)
def test_rates_that_differ_by_the_threshold_are_rarely_supported(threshold, count):
    """Exact, for the worst of 2,000 pairs of rates: 2.5 %. Newcombe's interval alone: 8 %."""
    rate_a = np.linspace(max(0, threshold), min(1, 1 + threshold), 2000)[:, None]
    counts = np.arange(count + 1)
    chance_a = stats.binom.pmf(counts, count, rate_a)
    chance_b = stats.binom.pmf(counts, count, np.clip(rate_a - threshold, 0, 1))
    wrong = ((chance_a @ supporting(threshold, count)) * chance_b).sum(1)
    assert 0 < wrong.max() <= 0.025 or threshold == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 8, 10])
def test_arms_that_exclude_each_other_break_the_promise_as_far_as_stated(count):
    """Exact: every seed solves A only, B only or, all the rest alike, both or neither.

    The worst case is sqrt(0.025): A alone solves every seed, in q^n where two arms give q^(2n).
    """
    worst = 0.0
    for threshold, b_only in itertools.product(
        (-0.1, 0.0, 0.1, 0.2, 0.4), np.linspace(0.1, 0.5, 21)
    ):
        a_only = b_only + threshold
        x, y = np.indices((count + 1, count + 1))
        x, y = x[x + y <= count], y[x + y <= count]
        shares = np.array([a_only, b_only, max(0, 1 - a_only - b_only)])
        if a_only < 0 or shares.sum() > 1 + 1e-9:
            continue
        chance = stats.multinomial.pmf(
            np.stack([x, y, count - x - y], 1), count, shares / shares.sum()
        )
        both = count - x - y
        found = supporting(threshold, count)
        worst = max(worst, chance @ found[x, y], chance @ found[x + both, y + both])
    assert {6: 0.117, 8: 0.10, 10: 0.08}[count] < worst <= math.sqrt(0.025)


@pytest.mark.slow
def test_rates_do_not_care_which_arm_is_called_a():
    below = replace(RATES, direction="below", threshold=-0.2)
    for a, b in itertools.product(range(7), repeat=2):
        one, other = decide(MORE, arms(a, b, 6)), decide(below, arms(b, a, 6))
        assert one.verdict == other.verdict and one.p == pytest.approx(other.p)
