"""Many networks: a sweep, every arm at every setting of a grid on every seed."""

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

import joblib
import pandas as pd
from tqdm.auto import tqdm

from helpers.data.dataset import Dataset
from helpers.nets.starts import Build, initialise
from helpers.training.engine import packs
from helpers.training.engine.execution import train_packs
from helpers.training.fit import (
    Train,
    _add_trained,
    _check_data,
    _check_settings,
    fit,
    networks_trained,
)
from helpers.training.sweeps import Runs

GIVEN_TO_EVERY_RUN = ("model", "data", "seed")


def _check_names(train: Train, given: Iterable[str]) -> None:
    """Raise ValueError for a setting that `train` does not know or cannot do without."""
    known = {n: p for n, p in signature(train).parameters.items() if n not in GIVEN_TO_EVERY_RUN}
    needed = [n for n, p in known.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"{', '.join(missing)}: missing, give it as a setting or in the grid")
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"{', '.join(unknown)}: no such setting, there are {', '.join(known)}")


def fit_many(
    arms: Mapping[str, Build],
    data: Dataset,
    *,
    seeds: Iterable[int],
    grid: Mapping[str, Sequence | Mapping[str, Any]] | None = None,
    train: Train = fit,
    pack: int | None = None,
    memory: float = 0.5,
    n_jobs: int = -1,
    keep_models: bool = True,
    **settings: Any,
) -> Runs:
    """Train every arm at every setting of the grid on every seed.

    `arms` maps a name to a function that builds the network; all runs of a seed see the same
    batches in the same order. `settings` are those of `fit`, each one value, or a mapping that
    gives each arm its own; `grid` maps settings to the values to try, in all combinations, or to
    labelled values: {"lr": [0.01, 0.1], "optimizer": {"SGD": SGD, "Adam": ADAM}}.

    Runs that differ only in seed, learning rate, weight decay and clip train as one stack of at
    most `pack` networks; by default of as many as are fast on this device and fit into the share
    `memory` of what is free there. Packs go through joblib: `n_jobs` processes, -1 for all cores
    (one process for data on a GPU), or a cluster under `joblib.parallel_config`. A pack that runs
    out of memory is halved, and networks that cannot be stacked train one by one; a warning says
    so. Finished packs are found again where `execution.use_cache` keeps them. Another `train`, a
    function with the signature of `fit`, trains one network at a time.

    Raises ValueError for settings that `fit` refuses or does not know, for an empty grid and for
    a value or seed that comes twice, before training starts; UnstackableError where `pack` asks
    for a stack of networks that cannot be stacked.
    """
    grid = dict(grid or {})
    _check_names(train, [*settings, *grid])
    if pack is not None and pack < 1:
        raise ValueError(f"pack is {pack}: train one network or more at a time")
    defaults = {name: v for name, v in _defaults(train).items() if name not in grid}
    runs = packs.expand(arms, seeds, grid, defaults | settings)
    _check_data(data)
    for run in runs if train is fit else ():
        _check_settings(data, **run.settings)
    device = data.train.y.device
    if device.type == "cuda" and n_jobs == -1:
        n_jobs = 1
    jobs = joblib.effective_n_jobs(n_jobs)
    bytes_a_job = memory * packs.free_memory(device) / jobs

    def most(run: packs.Run) -> int:
        if train is not fit or run.settings["watch"]:
            return 1
        model = initialise(arms[run.arm], run.seed, device)
        return pack or packs.pack_size(model, data, run.settings, bytes_a_job)

    def cost(run: packs.Run) -> float:
        """Updates x what one of them keeps in memory; only the order of costs matters."""
        if train is not fit or jobs == 1:
            return 0.0
        model = initialise(arms[run.arm], run.seed, device)
        return run.settings["steps"] * packs.training_memory(model, data, run.settings)

    planned = packs.divide(runs, most, jobs, cost)
    surroundings = packs.fingerprint_of_data(data) + packs.fingerprint_of_code(device)
    calls = []
    for together in planned:
        task = (arms[together[0].arm], together, train, pack, keep_models)
        watched = together[0].settings.get("watch")  # who watches wants to see it again
        calls.append((None if watched else packs.fingerprint(surroundings, task), data, *task))
    results = {}
    trained_before = networks_trained()
    quiet = bool(os.environ.get("TQDM_DISABLE"))  # set where outputs are stored or compared
    with tqdm(total=len(runs), unit="network", leave=False, disable=quiet) as bar:
        for index, (trained, notes) in train_packs(calls, n_jobs):
            for note in notes:
                warnings.warn(note, stacklevel=2)
            results |= {run.key: one for run, one in zip(planned[index], trained, strict=True)}
            bar.update(len(trained))
    _add_trained(trained_before + len(runs) - networks_trained())

    axes = tuple(grid)
    front = ["arm", *dict.fromkeys(["lr", *axes]), "seed"]
    tables = []
    for run in runs:
        labels = {"lr": run.settings.get("lr")} | dict(zip(axes, run.labels, strict=True))
        tables.append(results[run.key][0].assign(arm=run.arm, **labels, seed=run.seed))
    table = pd.concat(tables, ignore_index=True)
    models = {}
    for run in runs if keep_models else ():
        models[run.key] = initialise(arms[run.arm], run.seed, device)
        models[run.key].load_state_dict(results[run.key][1])
    return Runs(table[front + [c for c in table if c not in front]], models, axes)


def _defaults(train: Train) -> dict[str, Any]:
    """What `fit` does where nothing is said; another way of training knows its own."""
    if train is not fit:
        return {}
    parameters = signature(fit).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def tune(
    arms: Mapping[str, Build],
    data: Dataset,
    *,
    grid: Mapping[str, Sequence | Mapping[str, Any]],
    seeds: Iterable[int],
    metric: str = "valid_loss",
    **settings: Any,
) -> pd.DataFrame:
    """Train every arm at every point of the grid and tabulate the mean final validation loss.

    Returns one row per point of the grid, one column per arm; a point at which any seed diverged
    counts as infinite. With metric "valid_error" it is the share of wrong answers, for comparisons
    of accuracy in which a sure mistake costs no more than another. Test data plays no part. Use
    `sweeps.best` to choose. Raises ValueError for another metric.
    """
    if metric not in ("valid_loss", "valid_error"):
        raise ValueError(f"metric is {metric!r}: tune by valid_loss or valid_error")
    runs = fit_many(arms, data, seeds=seeds, grid=grid, keep_models=False, **settings)
    wrong = metric == "valid_error"
    values = 1 - runs.final("valid_accuracy") if wrong else runs.final(metric)
    losses = values.mean(skipna=False).fillna(math.inf)
    points = losses.index.droplevel("arm").drop_duplicates()
    return losses.unstack("arm").loc[points, list(arms)].rename_axis(columns=None)
