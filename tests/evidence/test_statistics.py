"""Intervals and p values: closed forms, brute force, known values."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers.evidence import statistics

# ---------------------------------------------------------------- one number per seed


@pytest.mark.parametrize("count", [2, 6, 10, 20])
def test_t_interval_is_the_closed_form(count):
    values = np.random.default_rng(count).normal(3, 2, count)
    half = stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)
    assert statistics.t_interval(values) == pytest.approx(
        (values.mean() - half, values.mean() + half)
    )


def test_t_interval_of_one_value_is_open_and_of_equal_values_a_point():
    assert all(map(math.isnan, statistics.t_interval(np.array([3.0]))))
    assert statistics.t_interval(np.full(4, 3.0)) == (3, 3)


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
    assert statistics.sign_flip_p(values) == pytest.approx(flipped_p(values), abs=1e-12)


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
    assert statistics.sign_flip_p(np.array(values)) == pytest.approx(p)


# ---------------------------------------------------------------- solved or not for each seed


def wilson(k: int, n: int) -> tuple[float, float]:
    return tuple(stats.binomtest(k, n).proportion_ci(0.95, method="wilson"))


@pytest.mark.parametrize(
    ("a", "b", "n"), [(8, 1, 8), (6, 0, 6), (3, 3, 10), (0, 0, 7), (2, 19, 30)]
)
def test_rates_interval_is_newcombes_closed_form(a, b, n):
    """Newcombe 1998, method 10: the distances to the ends of both Wilson intervals, squared."""
    (low_a, high_a), (low_b, high_b), d = wilson(a, n), wilson(b, n), (a - b) / n
    low = d - math.hypot(a / n - low_a, high_b - b / n)
    high = d + math.hypot(high_a - a / n, b / n - low_b)
    assert statistics.rates_interval(a, b, n) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 6), (3, 8), (8, 8)])
def test_rate_interval_is_the_closed_form(k, n):
    low = stats.beta.ppf(0.025, k, n - k + 1) if k else 0
    high = stats.beta.ppf(0.975, k + 1, n - k) if k < n else 1
    assert statistics.rate_interval(k, n) == pytest.approx((low, high))


def test_fisher_p_of_a_table_worked_by_hand():
    """All of three against none of three: two of the 20 ways to place three successes."""
    assert statistics.fisher_p(3, 0, 3) == pytest.approx(2 / 20)


def test_rates_p_of_the_clearest_outcome_is_known():
    """All against none: p^n (1 - p)^n is largest at p = 1/2, p^n (1.5 - p)^n at 3/4."""
    assert statistics.rates_p(6, 0, 6, 0.0) == pytest.approx(2 * 0.25**6)
    assert statistics.rates_p(6, 0, 6, 0.5) == pytest.approx(2 * 0.5625**6)
    assert statistics.rates_p(6, 0, 6, 0.5) == pytest.approx(statistics.rates_p(0, 6, 6, -0.5))


@pytest.mark.parametrize("threshold", [-0.3, 0.0, 0.2])
def test_rates_p_is_never_small_where_the_threshold_is_the_estimate(threshold):
    assert statistics.rates_p(5 + round(10 * threshold), 5, 10, threshold) > 0.5


@pytest.mark.parametrize("threshold", [-1.5, 1.5, math.nan, True, "0"])
def test_two_rates_differ_by_no_more_than_one(threshold):
    with pytest.raises(ValueError, match=r"^threshold is .*: two rates differ by -1 to 1$"):
        statistics.rates_p(6, 0, 6, threshold)


def test_variance_shares_of_a_full_design():
    table = pd.DataFrame(itertools.product((0, 1), (0, 1, 2)), columns=["a", "b"])
    shares = statistics.variance_shares(table.assign(y=3 * table.a), "y", ["a", "b"])
    assert shares.to_dict() == pytest.approx({"a": 1.0, "b": 0.0})
    both = statistics.variance_shares(
        table.assign(y=table.a + table.b), "y", ["a", "b"]
    )  # 1/4 and 2/3
    assert both.to_dict() == pytest.approx({"a": 3 / 11, "b": 8 / 11})
    crossed = statistics.variance_shares(
        table.assign(y=(2 * table.a - 1) * (table.b - 1)), "y", ["a", "b"]
    )
    assert crossed.sum() == pytest.approx(0)  # nothing but interaction


def test_variance_shares_need_a_full_design_and_finite_values():
    table = pd.DataFrame(itertools.product((0, 1), (0, 1, 2)), columns=["a", "b"]).assign(y=1.0)
    with pytest.raises(ValueError, match="every combination"):
        statistics.variance_shares(table.iloc[1:], "y", ["a", "b"])
    with pytest.raises(ValueError, match="finite"):
        statistics.variance_shares(table.assign(y=[math.nan, 1, 2, 3, 4, 5]), "y", ["a", "b"])
