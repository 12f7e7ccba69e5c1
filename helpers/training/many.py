"""Many networks: a sweep, every arm at every setting of a grid on every seed.

Read downwards: plan which networks train together, execute the packs, assemble one table.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from helpers.data.dataset import Dataset
from helpers.data.given import check_real, check_whole
from helpers.data.seeded import Source, drawn
from helpers.nets.starts import Build, initialise
from helpers.training.checks import check_data, check_settings
from helpers.training.engine import plan, workers
from helpers.training.engine.plan import Run as Run
from helpers.training.engine.workers import Job, Measure, Tick
from helpers.training.fit import Train, fit
from helpers.training.sweeps import Runs

Results = dict[tuple, tuple[pd.DataFrame, dict]]  # history and weights, by the run's key
GIVEN_TO_EVERY_RUN = ("model", "data", "seed", "until")


def fit_many(
    arms: Mapping[str, Build],
    data: Source,
    *,
    seeds: Iterable[int] | Mapping[str, Sequence[int]],
    grid: Mapping[str, Sequence | Mapping[str, Any]] | None = None,
    train: Train = fit,
    measure: Measure | None = None,
    verify: int = 0,
    pack: int | None = None,
    memory: float = 0.5,
    n_jobs: int = -1,
    keep_models: bool = True,
    folder: Path | None = None,
    tick: Tick | None = None,
    **settings: Any,
) -> Runs:
    """Train every arm at every setting of the grid on every seed.

    `arms` maps a name to a function that builds the network. `data` is the same for every seed, or
    drawn by a function from the seed (`data.Resplit`). All runs of a seed see the same batches in
    the same order. `settings` are those of `fit`, each one value, or a mapping that gives each arm
    its own (so does one as `seeds`); `grid` maps settings to the values to try, in all
    combinations, or to labelled values: {"lr": [0.01, 0.1], "optimizer": {"SGD": SGD}}.
    `measure(model, data)` names numbers of a trained network, in evaluation mode; they stand in
    the last row of its history.

    Runs that differ only in seed, learning rate, weight decay and clip train as one stack of at
    most `pack` networks; by default of as many as are fast on this device and fit into the share
    `memory` of what is free there. Packs go through joblib: `n_jobs` processes, -1 for all cores
    (one process for data on a GPU), or a cluster under `joblib.parallel_config`. A pack that runs
    out of memory is halved, and networks that cannot be stacked train one by one; a warning says
    so. Another `train`, a function with the signature of `fit`, trains one network at a time.

    With `verify` the first, middle and last network of every stack must equal what `train` makes of
    it after so many updates. `folder` keeps finished packs, so that an interrupted sweep goes on
    there; that it belongs to this sweep is the caller's care. `tick(arm, updates)` hears of
    progress while networks train in this process.

    Raises ValueError for settings that `fit` refuses or does not know, for an empty grid and for
    a value or seed that comes twice, before training starts; UnstackableError where `pack` asks
    for a stack of networks that cannot be stacked; StackError where `verify` finds a difference.
    """
    train, settings = unwrapped(train, settings)
    runs = planned(arms, seeds, dict(grid or {}), train, settings)
    first = drawn(data, runs[0].seed)
    check_data(first)
    check_whole(pack=1 if pack is None else pack)
    check_whole(0, verify=verify)
    check_real(0, 1, memory=memory)
    for run in runs if train is fit else ():
        check_settings(first, seed=run.seed, **run.settings)

    n_jobs = 1 if first.train.y.is_cuda and n_jobs == -1 else n_jobs
    jobs, stacked = joblib.effective_n_jobs(n_jobs), train is fit
    packs = plan.divide(runs, arms, first, stacked=stacked, pack=pack, jobs=jobs, memory=memory)
    job = Job(data, train, measure, bool(pack), keep_models, verify, folder, tick)
    trained: Results = {}
    for done, result in workers.execute(packs, job, n_jobs):
        for note in result.notes:
            warnings.warn(note, stacklevel=2)
        for run, history, state in zip(done.runs, result.histories, result.states, strict=True):
            trained[run.key] = history, state

    models = _models(runs, trained, arms, first) if keep_models else {}
    return Runs(_table(runs, trained, tuple(grid or {})), models, tuple(grid or {}))


def unwrapped(train: Train, settings: Mapping[str, Any]) -> tuple[Train, dict[str, Any]]:
    """`fit` with settings of its own (functools.partial) is `fit`, so that it keeps its stacks."""
    while isinstance(train, partial) and not train.args:
        train, settings = train.func, {**train.keywords, **settings}
    return train, dict(settings)


def planned(
    arms: Mapping[str, Build],
    seeds: Iterable[int] | Mapping[str, Sequence[int]],
    grid: Mapping[str, Sequence | Mapping[str, Any]],
    train: Train,
    settings: Mapping[str, Any],
) -> list[plan.Run]:
    """All runs of a sweep, each with every setting of `fit`; of those given for another `train`.

    Raises ValueError for a setting that `train` does not know or cannot do without.
    """
    known = {n: p for n, p in signature(train).parameters.items() if n not in GIVEN_TO_EVERY_RUN}
    _check_names(known, [*settings, *grid])
    defaults = {n: p.default for n, p in known.items() if p.default is not p.empty}
    defaults = {n: v for n, v in defaults.items() if n not in grid} if train is fit else {}
    return plan.expand(arms, seeds, grid, defaults | dict(settings))


def _check_names(known: Mapping[str, Parameter], given: Iterable[str]) -> None:
    given = list(given)
    needed = [n for n, p in known.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"{', '.join(missing)}: missing, give it as a setting or in the grid")
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"{', '.join(unknown)}: no such setting, there are {', '.join(known)}")


def _table(runs: Sequence[plan.Run], trained: Results, axes: tuple[str, ...]) -> pd.DataFrame:
    """The histories of all runs beneath each other, named by arm, settings of the grid and seed."""
    front = ["arm", *dict.fromkeys(["lr", *axes]), "seed"]
    tables = []
    for run in runs:
        labels = {"lr": run.settings.get("lr")} | dict(zip(axes, run.labels, strict=True))
        tables.append(trained[run.key][0].assign(arm=run.arm, **labels, seed=run.seed))
    table = pd.concat(tables, ignore_index=True)
    return table[front + [column for column in table if column not in front]]


def _models(
    runs: Sequence[plan.Run], trained: Results, arms: Mapping[str, Build], data: Dataset
) -> dict[tuple, Any]:
    models = {run.key: initialise(arms[run.arm], run.seed, data.train.y.device) for run in runs}
    for key, model in models.items():
        model.load_state_dict(trained[key][1])
    return models


def losses(runs: Runs, metric: str = "valid_loss") -> pd.DataFrame:
    """The mean of a validation metric after the last update, at every point of a grid.

    One row per point of the grid, one column per arm; a point at which any seed diverged counts as
    infinite. With metric "valid_error" it is the share of wrong answers, for comparisons of
    accuracy in which a sure mistake costs no more than another. Test data plays no part.
    `sweeps.best` chooses. Raises ValueError for another metric.
    """
    if metric not in ("valid_loss", "valid_error"):
        raise ValueError(f"metric is {metric!r}: tune by valid_loss or valid_error")
    wrong = metric == "valid_error"
    values = 1 - runs.final("valid_accuracy") if wrong else runs.final(metric)
    means = values.mean(skipna=False).fillna(math.inf)
    points = means.index.droplevel("arm").drop_duplicates()
    arms = list(dict.fromkeys(means.index.get_level_values("arm")))
    return means.unstack("arm").loc[points, arms].rename_axis(columns=None)
