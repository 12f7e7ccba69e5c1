"""The registry and the rule: closed forms, brute force, and calibration by simulation."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from helpers import claims
from helpers.claims import Claim, ClaimError, combine, decide, judge, registry

NOTEBOOKS = {
    "01_cnn_filters",
    "02_cnn_training_loop",
    "03_recurrent_memory",
    "04_lstm_and_gru_gates",
    "05_text_to_tensors",
    "06_lstm_sequence_prediction",
    "07_cnn_vs_rnn",
    "08_dropout_and_normalization",
    "09_learning_rate_sweeps",
    "10_cnn_and_rnn_hyperparameters",
    "11_phase_summary",
}
NAN = float("nan")
MEAN = claims.Test("gain", "It gains a point.", "mean", "accuracy", "above", 0.01)
LOSS = replace(MEAN, direction="below")
SAME = replace(MEAN, direction="within", threshold=0.5, around=2.0)
COUNT = claims.Test("solved", "Most runs solve it.", "count", "rate of seeds", "above", 0.5)
FEW = replace(COUNT, direction="below")
FACT = claims.Test("shape", "The shape is so.", "assertion")


# ---------------------------------------------------------------- registry


def test_registry_holds_the_fifty_claims_in_order():
    assert [claim.number for claim in registry().values()] == list(range(1, 51))
    assert all(key == claim.id for key, claim in registry().items())


@pytest.mark.parametrize("claim", registry().values(), ids=lambda claim: claim.id)
def test_every_claim_is_well_formed(claim: Claim):
    assert claim.notebook in NOTEBOOKS
    assert claim.section in {"S1", "S2", "S3", "S4", "S5", "topics", "takeaways"}
    assert claim.status in {"registered", "measured"}
    assert all((claim.quote, claim.question, claim.nuance))
    assert claim.test and len({test.name for test in claim.test}) == len(claim.test)
    sampled = [test for test in claim.test if test.kind != "assertion"]
    assert claim.seeds >= claims.LEAST_SEEDS if sampled else claim.seeds == 0
    for finding in claim.literature:
        assert set(finding) == {"source", "finding", "checked"}


DIRECTIONS = {"mean": {"above", "below", "within"}, "count": {"above", "below"}, "assertion": {""}}


@pytest.mark.parametrize(
    "test", [pytest.param(t, id=f"{c.id}-{t.name}") for c in registry().values() for t in c.test]
)
def test_every_test_is_well_formed(test: claims.Test):
    assert test.name and test.statement
    assert test.direction in DIRECTIONS[test.kind]
    if test.kind == "assertion":
        assert math.isnan(test.threshold) and test.unit == ""
    else:
        assert math.isfinite(test.threshold) and math.isfinite(test.around) and test.unit
    if test.kind == "count":
        assert 0 < test.threshold < 1
    if test.direction == "within":
        assert test.threshold > 0
    else:
        assert test.around == 0


ENTRY = """
[[claim]]
id = "a"
number = 1
section = "S1"
quote = "q"
question = "q?"
notebook = "01_cnn_filters"
status = "registered"
seeds = 10
nuance = "n"
[[claim.test]]
name = "t"
statement = "s"
kind = "assertion"
"""


def test_a_registry_is_read_from_its_file(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(ENTRY)
    assert registry(path)["a"].test == (claims.Test("t", "s", "assertion"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is missing: restore it with `git checkout data/`"),
        ("[[claim]", "is malformed"),
        ("title = 'no claims'", "is malformed.*claim"),
        (ENTRY.replace("[[claim.test]]", "[[claim.tset]]"), "is malformed"),
        (ENTRY.replace("kind =", "kid ="), "is malformed.*kid"),
        (ENTRY.replace("number = 1", "numbre = 1"), "is malformed.*numbre"),
        (ENTRY.replace("seeds = 10\n", ""), "is malformed.*seeds"),
        (ENTRY.replace('"assertion"', '"asertion"'), "is malformed.*asertion"),
        (ENTRY.replace('"assertion"', '"mean"\ndirection = "over"'), "is malformed.*over"),
        (ENTRY + ENTRY, "registers a claim twice"),
    ],
)
def test_a_bad_registry_is_named(tmp_path, content, message):
    path = tmp_path / "claims.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ClaimError, match=rf"claims\.toml.*{message}"):
        registry(path)


# ---------------------------------------------------------------- the rule, test by test

SPREAD = np.linspace(-0.005, 0.005, 10)
ALIKE = np.zeros(10)


@pytest.mark.parametrize(
    ("test", "effects", "verdict"),
    [
        (MEAN, 0.03 + SPREAD, "supported"),
        (MEAN, 0.001 + SPREAD, "refuted"),
        (MEAN, -0.03 + SPREAD, "refuted"),
        (MEAN, 0.012 + SPREAD, "inconclusive"),
        (MEAN, 0.03 + ALIKE, "supported"),
        (MEAN, 0.001 + ALIKE, "refuted"),
        (MEAN, 0.01 + ALIKE, "inconclusive"),
        (LOSS, 0.001 + SPREAD, "supported"),
        (LOSS, -0.3 + SPREAD, "supported"),
        (LOSS, 0.03 + SPREAD, "refuted"),
        (LOSS, 0.008 + SPREAD, "inconclusive"),
        (SAME, 2 + SPREAD, "supported"),
        (SAME, 1.6 + SPREAD, "supported"),
        (SAME, 2.6 + SPREAD, "refuted"),
        (SAME, 0 + SPREAD, "refuted"),
        (SAME, 2.5 + SPREAD, "inconclusive"),
        (SAME, 2 + 1000 * SPREAD, "inconclusive"),
        (COUNT, [1] * 9 + [0], "supported"),
        (COUNT, [1] * 10, "supported"),
        (COUNT, [0] * 9 + [1], "refuted"),
        (COUNT, [0] * 10, "refuted"),
        (COUNT, [1] * 7 + [0] * 3, "inconclusive"),
        (FEW, [0] * 9 + [1], "supported"),
        (FEW, [0] * 10, "supported"),
        (FEW, [1] * 10, "refuted"),
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
    assert claims.t_interval(effects)[0] > MEAN.threshold
    outcome = decide(MEAN, effects)
    assert outcome.p == 0.0625 and outcome.verdict == "inconclusive"


def test_an_outcome_carries_its_numbers():
    effects = 0.03 + SPREAD
    outcome = decide(MEAN, effects)
    assert outcome.effects == tuple(effects)
    assert outcome.effect == pytest.approx(0.03)
    assert (outcome.low, outcome.high) == pytest.approx(claims.t_interval(effects))
    assert outcome.p == pytest.approx(2 / 2**10)
    low, high = outcome.bootstrap
    assert outcome.low < low < outcome.effect < high < outcome.high


def test_counts_use_the_clopper_pearson_interval():
    outcome = decide(COUNT, [1] * 8 + [0] * 2)
    expected = stats.beta.ppf(0.025, 8, 3), stats.beta.ppf(0.975, 9, 2)
    assert (outcome.low, outcome.high) == pytest.approx(expected)
    assert outcome.p == pytest.approx(stats.binomtest(8, 10, 0.5).pvalue)
    assert outcome.effect == 0.8


def test_the_bootstrap_is_shown_but_decides_nothing(monkeypatch):
    monkeypatch.setattr(claims, "bca_interval", lambda values: (-1000.0, 1000.0))
    outcome = decide(MEAN, 0.03 + SPREAD)
    assert outcome.verdict == "supported" and outcome.bootstrap == (-1000, 1000)


@pytest.mark.parametrize("test", [MEAN, SAME, COUNT, FACT])
@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_effects_that_are_not_finite_cannot_be_judged(test, bad):
    with pytest.raises(
        ClaimError, match=rf"{test.name}: 2 of 4 effects are not finite; .*diverged"
    ):
        decide(test, [1.0, bad, 0.0, bad])


@pytest.mark.parametrize(
    ("test", "effects"),
    [
        (MEAN, []),
        (FACT, []),
        (MEAN, [[0.1, 0.2]] * 6),
        (COUNT, [0.5] * 6),
        (COUNT, [2, 0, 1, 1, 1, 1]),
        (MEAN, ["a"] * 6),
    ],
)
def test_effects_of_the_wrong_kind_cannot_be_judged(test, effects):
    with pytest.raises(ClaimError, match=test.name):
        decide(test, effects)


# ---------------------------------------------------------------- the verdict on a claim


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        ("s", "supported"),
        ("r", "refuted"),
        ("i", "inconclusive"),
        ("ss", "supported"),
        ("rr", "refuted"),
        ("sr", "conditional"),
        ("rs", "conditional"),
        ("si", "inconclusive"),
        ("ir", "inconclusive"),
        ("sri", "conditional"),
        ("ssi", "inconclusive"),
    ],
)
def test_combine(verdicts, word):
    words = {"s": "supported", "r": "refuted", "i": "inconclusive"}
    assert combine(words[letter] for letter in verdicts) == word


@pytest.fixture
def claim(monkeypatch) -> str:
    """A registered claim with a test of each kind."""
    known = replace(registry()["cnn.learn-filters"], id="toy", test=(MEAN, COUNT, FACT))
    monkeypatch.setattr(claims, "registry", lambda: {"toy": known})
    return "toy"


def effects(count: int = 10, gain: float = 0.03, solved: int = 1, fact: bool = True) -> dict:
    spread = np.linspace(-0.005, 0.005, count) if count > 1 else np.zeros(1)
    return {"gain": gain + spread, "solved": [solved] * (count - 1) + [1 - solved], "shape": fact}


def test_a_verdict_prints_as_one_line_without_numbers(claim):
    verdict = judge(claim, effects())
    line = "toy: SUPPORTED (gain supported, solved supported, shape supported)"
    assert repr(verdict) == line == repr(judge(claim, effects(gain=0.04)))


def test_disagreeing_tests_make_a_claim_conditional(claim):
    verdict = judge(claim, effects(solved=0))
    assert verdict.word == "conditional"
    assert repr(verdict) == "toy: CONDITIONAL (gain supported, solved refuted, shape supported)"


@pytest.mark.parametrize(("count", "provisional"), [(1, True), (5, True), (6, False), (10, False)])
def test_fewer_than_six_seeds_are_provisional(claim, count, provisional):
    verdict = judge(claim, effects(count))
    assert verdict.provisional == (verdict.word == "provisional") == provisional
    assert (repr(verdict) == "toy: PROVISIONAL") == provisional


def test_the_scarcest_test_decides_whether_a_claim_is_provisional(claim):
    assert judge(claim, effects() | {"solved": [1] * 5}).word == "provisional"


def test_assertions_need_no_seeds(monkeypatch):
    known = replace(registry()["cnn.learn-filters"], id="toy", test=(FACT,))
    monkeypatch.setattr(claims, "registry", lambda: {"toy": known})
    assert judge("toy", {"shape": True}).word == "supported"


def test_a_single_seed_has_no_interval():
    outcome = decide(MEAN, [0.5])
    assert math.isnan(outcome.low) and math.isnan(outcome.high)
    assert outcome.p == 1 and outcome.verdict == "inconclusive"


@pytest.mark.parametrize("count", [1, 10])
def test_a_claim_that_was_not_run_says_so(claim, count):
    verdict = judge(claim, effects(count), run=False)
    assert verdict.word == "not run" and repr(verdict) == "toy: NOT RUN"


def test_effects_are_checked_even_when_not_run(claim):
    with pytest.raises(ClaimError, match="not finite"):
        judge(claim, effects() | {"gain": [NAN] * 10}, run=False)


def test_an_unknown_claim_is_named():
    with pytest.raises(
        ClaimError, match=r"no claim 'cnn\.filtres' in claims\.toml: cnn\.learn-filt"
    ):
        judge("cnn.filtres", {})


@pytest.mark.parametrize("change", [{"extra": [1.0]}, {"gian": [1.0]}, {}])
def test_effects_must_fit_the_registered_tests(claim, change):
    given = {"gain": effects()["gain"], "shape": True} | change
    with pytest.raises(
        ClaimError, match=r"toy is judged by .*'gain', 'solved', 'shape'.*given for"
    ):
        judge(claim, given)


# ---------------------------------------------------------------- statistics


@pytest.mark.parametrize("count", [2, 6, 10, 20])
def test_t_interval_is_the_closed_form(count):
    values = np.random.default_rng(count).normal(3, 2, count)
    half = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)
    assert claims.t_interval(values) == pytest.approx((values.mean() - half, values.mean() + half))


def test_t_interval_of_one_value_is_open_and_of_equal_values_a_point():
    assert all(map(math.isnan, claims.t_interval(np.array([3.0]))))
    assert claims.t_interval(np.full(4, 3.0)) == (3, 3)


def flipped_p(values: np.ndarray) -> float:
    """Two-sided sign-flip p from a list of all sign patterns."""
    signs = np.array(list(itertools.product([1, -1], repeat=len(values))))
    means = signs @ values / len(values)
    tolerance = 1e-12 * abs(values).max()
    tails = [(s * means >= s * values.mean() - tolerance).mean() for s in (1, -1)]
    return min(1.0, 2 * min(tails))


@pytest.mark.parametrize("count", [2, 3, 6, 8, 10])
@pytest.mark.parametrize("seed", range(4))
def test_sign_flip_p_equals_brute_force(count, seed):
    values = np.random.default_rng(seed).normal(0.5, 1, count)
    assert claims.sign_flip_p(values) == pytest.approx(flipped_p(values), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([1.0] * 6, 2 / 64),
        ([1.0] * 5, 2 / 32),
        ([1.0] * 5 + [-1.0], 14 / 64),
        ([0.0] * 6, 1),
        ([3.0], 1),
    ],
)
def test_sign_flip_p_with_ties(values, p):
    assert claims.sign_flip_p(np.array(values)) == pytest.approx(p)


def test_bootstrap_interval_of_equal_values_is_open():
    for values in (np.array([1.0]), np.ones(5)):
        assert all(map(math.isnan, claims.bca_interval(values)))


# ---------------------------------------------------------------- calibration

SEED_COUNTS = (6, 8, 10, 20)


def bimodal(rng, size):
    """Solved or not: two values, equally likely, blurred a little."""
    return rng.choice([-1.0, 1.0], size) + 0.1 * rng.standard_normal(size)


SYMMETRIC = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "uniform": lambda rng, size: rng.uniform(-1, 1, size),
    "bimodal": bimodal,
    "heavy-tailed": lambda rng, size: rng.laplace(size=size),
}


@pytest.fixture
def fast_statistics(monkeypatch):
    """The sign-flip p by one matrix product and no bootstrap, so that thousands can be judged."""
    rng = np.random.default_rng(0)
    patterns = {n: np.array(list(itertools.product([1, -1], repeat=n))) for n in SEED_COUNTS[:3]}
    patterns[20] = rng.choice([-1, 1], (2**14, 20))

    def p(values):
        means = patterns[len(values)] @ values
        return 2 * min(
            (means >= values.sum() - 1e-12).mean(), (means <= values.sum() + 1e-12).mean()
        )

    monkeypatch.setattr(claims, "sign_flip_p", p)
    monkeypatch.setattr(claims, "bca_interval", lambda values: (NAN, NAN))


def share_supported(test: claims.Test, draw, count: int, runs: int = 4000) -> float:
    """Share of `runs` simulated measurements, each of `count` seeds, that support `test`.

    Only those whose t interval clears the threshold go through `decide`: no other can be supported.
    """
    samples = draw(np.random.default_rng(count), (runs, count))
    half = stats.t.ppf(0.975, count - 1) * samples.std(1, ddof=1) / math.sqrt(count)
    sign = {"above": 1, "below": -1}[test.direction]
    clear = sign * (samples.mean(1) - test.threshold) > half * (1 - 1e-9)
    return sum(decide(test, s).verdict == "supported" for s in samples[clear]) / runs


def tolerated(share: float, runs: int = 4000) -> float:
    """The largest observed share that a true one of `share` explains (99.9 % quantile)."""
    return stats.binom.ppf(0.999, runs, share) / runs


@pytest.mark.parametrize("count", SEED_COUNTS)
@pytest.mark.parametrize("shape", SYMMETRIC)
@pytest.mark.parametrize("test", [MEAN, LOSS], ids=["above", "below"])
def test_an_effect_at_the_threshold_is_rarely_supported(fast_statistics, test, shape, count):
    def draw(rng, size):
        return test.threshold + 0.02 * SYMMETRIC[shape](rng, size)

    assert share_supported(test, draw, count) <= tolerated(0.025)


@pytest.mark.parametrize("count", SEED_COUNTS)
@pytest.mark.parametrize(("tail", "bound"), [("away from", 0.10), ("towards", 0.025)])
def test_what_a_skewed_effect_at_the_threshold_is_promised(fast_statistics, tail, bound, count):
    """With an exponential tail, measured: at most 1 % if it lies on the claimed side; else 10 %."""
    sign = -1 if tail == "away from" else 1

    def draw(rng, size):
        return MEAN.threshold + sign * 0.02 * (rng.exponential(size=size) - 1)

    assert share_supported(MEAN, draw, count) <= tolerated(bound)


@pytest.mark.parametrize("count", SEED_COUNTS)
def test_a_clear_effect_is_usually_supported(fast_statistics, count):
    def draw(rng, size):
        return MEAN.threshold + 0.02 * (2 + rng.standard_normal(size))

    assert share_supported(MEAN, draw, count, runs=400) > 0.8


@pytest.mark.parametrize("count", SEED_COUNTS)
@pytest.mark.parametrize("test", [COUNT, FEW], ids=["above", "below"])
def test_a_rate_at_the_threshold_is_rarely_supported(test, count):
    """Exact, no simulation: the binomial probability of all supported counts."""
    chance = sum(
        stats.binom.pmf(k, count, test.threshold)
        for k in range(count + 1)
        if decide(test, [1] * k + [0] * (count - k)).verdict == "supported"
    )
    assert 0 < chance <= 0.025
