"""Intervals and p values behind the rule of `evidence.verdicts`, from SciPy and statsmodels.

Every interval is of 95 %, every p two-sided.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

CONFIDENCE = 0.95

Counts = int | np.ndarray  # of solved seeds

# --- one number per seed ---------------------------------------------------------------------


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Student's t interval of the mean of `values` (n,); (nan, nan) for a single value.

    Raises ValueError for values that are not finite.
    """
    values = _finite(values)
    if len(values) < 2:
        return float("nan"), float("nan")
    if np.ptp(values) == 0:
        return values[0], values[0]
    return tuple(stats.ttest_1samp(values, 0).confidence_interval(CONFIDENCE))


def sign_flip_p(differences: np.ndarray) -> float:
    """Two-sided p of the sign-flip test that `differences` (n,) are symmetric about zero.

    Exact up to 16 values (2^16 sign patterns), 65,536 random patterns beyond (Fisher 1935, The
    Design of Experiments, section 21). Raises ValueError for values that are not finite.
    """
    differences = _finite(differences)
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
    intervals"); (nan, nan) when all values are equal. Raises ValueError for values that are not
    finite.
    """
    values = _finite(values)
    if len(values) < 2 or np.ptp(values) == 0:
        return float("nan"), float("nan")
    result = stats.bootstrap(
        (values,), np.mean, confidence_level=CONFIDENCE, method="BCa", rng=np.random.default_rng(0)
    )
    return tuple(result.confidence_interval)


def _finite(values: np.ndarray) -> np.ndarray:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or numbers.dtype.kind not in "fiub" or not np.isfinite(numbers).all():
        cure = "a NaN is a run that diverged: count it, or say which seeds are left out"
        raise ValueError(f"give finite numbers (n,), not {values!r:.80}; {cure}")
    return numbers


def variance_shares(table: pd.DataFrame, response: str, factors: Sequence[str]) -> pd.Series:
    """Share of the variance of `response` that each factor of a full design explains by itself.

    `table` has one row for every combination of the factors' values, each equally often. The share
    (eta squared) is the variance of the means at the factor's values over the whole variance; what
    is left to 1 are interactions and noise (Fisher 1925, Statistical Methods for Research Workers).
    Raises ValueError for a design with unequal counts, or a response that is not finite.
    """
    values = table[response].astype(float)
    counts = table.groupby(list(factors), dropna=False).size()
    combinations = math.prod(table[name].nunique(dropna=False) for name in factors)
    if len(counts) < combinations or counts.nunique() > 1 or not np.isfinite(values).all():
        raise ValueError("shares need every combination equally often, and finite values")
    means = {name: values.groupby(table[name]).transform("mean") for name in factors}
    whole = np.var(values, ddof=0)
    return pd.Series({name: np.var(mean, ddof=0) / whole for name, mean in means.items()})


# --- solved or not for each seed -------------------------------------------------------------


def rate_interval(solved: int, count: int) -> tuple[float, float]:
    """Clopper-Pearson interval of the rate at which seeds are solved: exact, hence cautious.

    Raises ValueError unless `solved` is 0 to `count`, as the others do.
    """
    _check_counts(count, solved)
    return tuple(stats.binomtest(solved, count).proportion_ci(CONFIDENCE, method="exact"))


def rates_interval(a: Counts, b: Counts, count: int) -> tuple[Any, Any]:
    """Newcombe's interval of rate A minus rate B when `a` and `b` of `count` seeds are solved.

    Newcombe 1998, "Interval estimation for the difference between independent proportions". Also
    takes arrays of counts.
    """
    _check_counts(count, a, b)
    return confint_proportions_2indep(
        a, count, b, count, compare="diff", method="newcomb", alpha=1 - CONFIDENCE
    )


def rates_p(a: int, b: int, count: int, threshold: float) -> float:
    """Exact two-sided p that rate A minus rate B is `threshold`, arms independent.

    An outcome is as extreme as this one when its Newcombe limit is. The p is the largest over 501
    pairs of rates that differ by the threshold (Chan and Zhang 1999, "Test-based exact confidence
    intervals for the difference of two binomial proportions").
    """
    _check_counts(count, a, b)
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not -1 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}: two rates differ by -1 to 1")
    low, high, chance_a, chance_b = _if_rates_differ_by(threshold, count)
    tails = [
        ((chance_a @ extreme) * chance_b).sum(1).max()
        for extreme in (low >= low[a, b] - 1e-12, high <= high[a, b] + 1e-12)
    ]
    return min(1.0, 2 * min(tails))


@lru_cache(32)
def _if_rates_differ_by(threshold: float, count: int) -> tuple[np.ndarray, ...]:
    """Newcombe's limits of every outcome (A, B); the chances of A's and B's counts, a row a pair.

    Kept, as a comparison asks for them with every pair of counts.
    """
    counts = np.arange(count + 1)
    rates = np.linspace(max(0, threshold), min(1, 1 + threshold), 501)[:, None]
    chances = (stats.binom.pmf(counts, count, p) for p in (rates, np.clip(rates - threshold, 0, 1)))
    return *rates_interval(counts[:, None], counts, count), *chances


def fisher_p(a: int, b: int, count: int) -> float:
    """Fisher's exact p that both arms are solved at the same rate."""
    _check_counts(count, a, b)
    return stats.fisher_exact([[a, count - a], [b, count - b]]).pvalue


def _check_counts(count: int, *solved: Counts) -> None:
    numbers = [n for n in (count, *solved) if isinstance(n, Integral | np.ndarray)]
    whole = len(numbers) > len(solved) and {np.asarray(n).dtype.kind for n in numbers} <= {*"iu"}
    if not whole or count < 1 or any(np.any((n < 0) | (n > count)) for n in numbers):
        raise ValueError(f"{solved} of {count!r} seeds are solved: give whole numbers, 0 to all")
