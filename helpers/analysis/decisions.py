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
    if missing := [name for name, row in costs.iterrows() if row.isna().any()]:
        raise ValueError(f"a cost is missing for {', '.join(map(str, missing))}: measure it first")
    values = costs.to_numpy(float)
    as_good = (values[:, None] <= values[None]).all(2)  # (network, other)
    better = (values[:, None] < values[None]).any(2)
    undominated = np.flatnonzero(~np.any(as_good & better, axis=0))
    return costs.index[undominated].tolist()
