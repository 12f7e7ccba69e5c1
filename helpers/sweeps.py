"""What a sweep brings back: one tidy table, and what is read off it."""

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import pandas as pd
from torch import nn


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

    def final(self, metric: str = "test_accuracy", diverged: float = math.nan) -> pd.DataFrame:
        """The metric after the last update: one row per seed, one column per arm (and setting).

        A run that diverged counts as `diverged`, whatever it scored before; in a comparison of
        accuracies that is the accuracy of guessing.
        """
        arms = ["arm", *self.grid]
        last = self.table.groupby([*arms, "seed"], sort=False, dropna=False).tail(1)
        last = last.assign(**{metric: last[metric].where(last.diverged_at == 0, diverged)})
        columns = arms if self.grid else "arm"
        order = last[arms].drop_duplicates().itertuples(index=False, name=None)
        table = last.pivot(index="seed", columns=columns, values=metric)
        return table[list(order) if self.grid else [arm for (arm,) in order]]

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
    that does not get there.
    """
    held = (curves >= mark) & (curves.shift(-1) >= mark)
    return held.idxmax().where(held.any(), never)


def best(tuning: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The settings of the lowest validation loss: {setting: {arm: value}}, as `fit_many` takes it.

    `tuning` is a table of `training.tune`. A setting that was not tried with an arm is NaN there,
    and no part of its grid. Raises ValueError when the best value lies at the end of its grid: the
    true best may lie beyond, and whatever would be measured with it is void. Zero and infinity
    are no such ends, as nothing lies beyond.
    """
    chosen = _by_setting(tuning, {arm: losses.dropna().idxmin() for arm, losses in tuning.items()})
    void = [
        f"{arm}: {name} {value}"
        for name, values in chosen.items()
        for arm, value in values.items()
        if _at_the_end(value, tuning[arm].dropna().index.get_level_values(name))
    ]
    if void:
        raise ValueError(f"void: best value at the edge of its grid, extend it: {', '.join(void)}")
    return chosen


def middle(tuning: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The settings in the middle of each arm's grid, where a choice would mean nothing."""
    grids = {arm: losses.dropna().index for arm, losses in tuning.items()}
    return _by_setting(tuning, {arm: grid[len(grid) // 2] for arm, grid in grids.items()})


def _by_setting(tuning: pd.DataFrame, points: dict[str, Any]) -> dict[str, dict[str, Any]]:
    names = tuning.index.names
    points = points if len(names) > 1 else {arm: (point,) for arm, point in points.items()}
    return {
        name: {arm: _label(point[level]) for arm, point in points.items()}
        for level, name in enumerate(names)
    }


def _label(value: Any) -> Any:
    """A label of a grid as it was given: pandas makes NaN of None."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _at_the_end(value: Any, grid: pd.Index) -> bool:
    if not isinstance(value, Real) or value in (0, math.inf):
        return False
    return value in (grid.min(), grid.max())
