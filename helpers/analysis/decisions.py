"""Choosing between networks that differ in more than one cost.

Costs are a table: one row per network, one column per cost, the lower the better (one minus the
accuracy, seconds, bytes). Nothing here knows what a cost is worth; that is the reader's business.
"""

import numpy as np
import pandas as pd


def pareto_front(costs: pd.DataFrame) -> list[str]:
    """The networks that no other beats: none is as good in every cost and better in one.

    Raises ValueError for costs that are missing.
    """
    values = _checked(costs).to_numpy()
    as_good = (values[:, None] <= values[None]).all(2)  # (network, other)
    better = (values[:, None] < values[None]).any(2)
    undominated = np.flatnonzero(~np.any(as_good & better, axis=0))
    return costs.index[undominated].tolist()


def scaled(costs: pd.DataFrame) -> pd.DataFrame:
    """Costs between 0 (the best) and 1 (the worst), by their logarithm, so that ratios count.

    Raises ValueError for costs that are missing or not positive.
    """
    costs = _checked(costs)
    if not (costs.to_numpy() > 0).all():
        raise ValueError("a cost of zero or less has no logarithm: add what it is measured from")
    logs = np.log(costs)
    width = (logs.max() - logs.min()).replace(0, 1)
    return (logs - logs.min()) / width


def win_shares(costs: pd.DataFrame, draws: int = 10_000, seed: int = 0) -> pd.Series:
    """Share of random weightings, uniform over all that add up to 1, under which each one wins.

    A Dirichlet distribution with all parameters 1.
    """
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.ones(costs.shape[1]), draws)  # (draws, costs)
    winners = (weights @ scaled(costs).to_numpy().T).argmin(1)
    counts = np.bincount(winners, minlength=len(costs))
    return pd.Series(counts / draws, index=costs.index, name="share of weightings")


def _checked(costs: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name, row in costs.iterrows() if row.isna().any()]:
        raise ValueError(f"a cost is missing for {', '.join(map(str, missing))}: measure it first")
    return costs.astype(float)
