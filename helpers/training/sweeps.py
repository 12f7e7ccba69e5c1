"""What a sweep brings back: one tidy table, and what is read off it."""

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from helpers.data.given import check_real


@dataclass(frozen=True)
class Runs:
    """One row per run and evaluation, and the trained networks.

    The columns of `table` are arm, lr, any other setting of the grid, seed, then the history of
    `training.fit`. `models` holds the networks by `(arm, seed)`, or by `(arm, *settings, seed)`
    where there was a grid.
    """

    table: pd.DataFrame
    models: dict[tuple, nn.Module] = field(repr=False)
    grid: tuple[str, ...] = ()  # settings that were varied

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs, in order."""
        return list(dict.fromkeys(self.table.seed))

    @property
    def ends(self) -> pd.DataFrame:
        """The last row of every network."""
        return self.table.groupby(["arm", *self.grid, "seed"], sort=False, dropna=False).tail(1)

    @property
    def networks(self) -> int:
        """How many networks there are rows of."""
        return len(self.ends)

    def final(self, metric: str = "test_accuracy", diverged: float = math.nan) -> pd.DataFrame:
        """The metric after the last update: one row per seed, one column per arm (and setting).

        A run that diverged counts as `diverged`, whatever it scored before; in a comparison of
        accuracies that is the accuracy of guessing.
        """
        last = self.ends
        scores = last[metric].where(last.diverged_at == 0, diverged)
        return self.by_seed(last.assign(**{metric: scores}), metric)

    def by_seed(self, rows: pd.DataFrame, values: str) -> pd.DataFrame:
        """A table with a row per run as one with a row per seed, a column per arm (and setting)."""
        arms = ["arm", *self.grid]
        order = list(rows[arms].drop_duplicates().itertuples(index=False, name=None))
        table = rows.pivot(index="seed", columns=arms if self.grid else "arm", values=values)
        return table[order if self.grid else [arm for (arm,) in order]]

    def curves(self, arm: str, metric: str = "test_accuracy", **settings: Any) -> pd.DataFrame:
        """The metric along training for one arm: one row per evaluation, one column per seed.

        Where a grid was run, `settings` say which of its points.
        """
        rows = self.table[self.table.arm == arm]
        for name, value in settings.items():
            rows = rows[rows[name] == value]
        return rows.pivot(index="step", columns="seed", values=metric)


def steps_to(mark: float, curves: pd.DataFrame, never: float = math.nan) -> pd.Series:
    """The first step of each column of `curves` (step, seed) that holds `mark` twice running.

    Two evaluations in a row, so that one lucky measurement does not count; `never` for a column
    that does not get there. Raises ValueError for a mark that is not finite.
    """
    check_real(mark=mark)
    held = (curves >= mark) & (curves.shift(-1) >= mark)
    return held.idxmax().where(held.any(), never)


def best(tuning: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The settings of the lowest validation loss: {setting: {arm: value}}, as `fit_many` takes it.

    `tuning` is a table of losses, a row a point of the grid and a column an arm. A setting that was
    not tried with an arm is NaN there, and no part of its grid. Raises ValueError when the best
    value lies at the end of its grid: the true best may lie beyond, and whatever would be measured
    with it is void. Zero and infinity are no such ends, as nothing lies beyond.
    """
    chosen = lowest(tuning)
    void = [
        f"{arm}: {name} {value}"
        for name, values in chosen.items()
        for arm, value in values.items()
        if _at_the_end(value, tuning[arm].dropna().index.get_level_values(name))
    ]
    if void:
        raise ValueError(f"void: best value at the edge of its grid, extend it: {', '.join(void)}")
    return chosen


def lowest(tuning: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """As `best`, also where the lowest loss lies at the end of a grid."""
    tried = {str(arm): losses.dropna() for arm, losses in tuning.items()}
    return {
        name: {
            arm: _label(losses.index.get_level_values(name)[int(losses.argmin())])
            for arm, losses in tried.items()
        }
        for name in map(str, tuning.index.names)
    }


def parabola_vertex(losses: pd.Series) -> float:
    """Where a parabola through the lowest loss and its two neighbours has its vertex.

    `losses` has positive values of one setting, such as the learning rate, as its index; the
    parabola is one in their logarithm. A neighbour that is not finite is no help: the lowest value
    itself is returned then. NaN, for void, where the lowest lies at an end of the grid.

    >>> round(parabola_vertex(pd.Series({0.01: 0.6, 0.1: 0.2, 1.0: 0.4})), 3)
    0.147
    """
    losses = losses.sort_index()
    at = int(losses.fillna(math.inf).to_numpy().argmin())
    if at in (0, len(losses) - 1):
        return math.nan
    three = losses.iloc[at - 1 : at + 2]
    if not np.isfinite(three).all() or three.nunique() == 1:
        return float(losses.index[at])
    x = np.log(three.index.to_numpy(float))
    square, slope, _ = np.polyfit(x - x[1], three, 2)
    return float(np.exp(x[1] - slope / (2 * square)))


def _label(value: Any) -> Any:
    """A label of a grid as it was given: pandas makes NaN of None, NumPy's numbers of numbers."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _at_the_end(value: Any, grid: pd.Index) -> bool:
    if not isinstance(value, Real) or value in (0, math.inf):
        return False
    return value in (grid.min(), grid.max())
