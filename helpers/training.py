"""Training: forward, loss, backward, step, for one network or for many.

`fit` trains one network in the open. `fit_many` trains a sweep: every arm at every setting of a
grid on every seed, stacked (helpers/stacking.py) or one network per process, whichever is faster.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import joblib
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from helpers import packs
from helpers.data import IGNORED, Dataset, Split, check_split
from helpers.execution import train_packs
from helpers.streams import Build, Order, batches, initialise, stream, stream_seed
from helpers.sweeps import Runs

# Small networks gain nothing from a second thread, and one thread makes runs repeatable.
torch.set_num_threads(int(os.environ.get("THREADS", 1)))

Watch = Callable[[int, nn.Module], None]
Train = Callable[..., pd.DataFrame]
Schedule = Callable[[float], float]

GIVEN_TO_EVERY_RUN = ("model", "data", "seed")  # by fit_many

ADAM = partial(torch.optim.Adam, fused=True)
SGD = partial(torch.optim.SGD, fused=True)


def constant(progress: float) -> float:
    """The same learning rate throughout."""
    return 1.0


def linear_decay(progress: float) -> float:
    """From the full learning rate to zero, in proportion to the part of the run that is done."""
    return 1.0 - progress


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of logits (batch, classes, ...): `F.cross_entropy`, in half its time for sequences.

    It is fastest where the classes of a step lie side by side in memory.
    """
    return F.cross_entropy(logits.movedim(1, -1).flatten(0, -2), labels.flatten())


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    steps: int,
    lr: float,
    seed: int,
    batch_size: int = 64,
    optimizer: Callable[..., torch.optim.Optimizer] = ADAM,
    schedule: Schedule = constant,
    weight_decay: float | None = None,
    clip: float | None = None,
    loss_function: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    order: Order = batches,
    evaluate_every: int | None = None,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Train `model` in place for `steps` updates and return its history.

    The history has one row per evaluation (every `evaluate_every` updates, and the last):
    step, train_loss and peak_loss (mean and largest over the updates since the row before), loss
    and accuracy on the validation and the test split, diverged_at (the first update whose loss was
    not finite, 0 for none; training stops at the evaluation after it).
    The learning rate of each update is `lr` times `schedule(progress)`, progress from 0 to 1.
    `weight_decay` is the optimizer's (None: as it comes); `clip` is the largest norm a gradient may
    have, longer ones are shortened to it (Pascanu et al. 2013, algorithm 1; None: no clipping).
    `order` says which examples make a batch: shuffled ones, or those of `streams.reading_order`.
    `watch(step, model)` is called before the first update (step 0) and after each.

    Raises ValueError for a run of no steps, a learning rate that is not positive and finite or a
    batch larger than the set, DataError for data that does not fit; all before training starts.
    """
    _check_data(data)
    _check_settings(data, steps, lr, batch_size, weight_decay, clip, evaluate_every)
    evaluation_steps = {*range(0, steps, evaluate_every or steps), steps} - {0}
    device = data.train.y.device
    chosen = order(len(data.train.y), batch_size, steps, stream(seed, "batches"))

    model = model.to(device, memory_format=torch.channels_last).train()
    weights = [p for p in model.parameters() if p.requires_grad]
    decay = {} if weight_decay is None else {"weight_decay": weight_decay}
    update = optimizer(weights, lr=lr, **decay)
    history, losses = [], []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(stream_seed(seed, "dropout"))
        if watch:
            watch(0, model)
        for step, batch in enumerate(chosen, start=1):
            for group in update.param_groups:
                group["lr"] = lr * schedule((step - 1) / steps)
            x, y = data.train.x[batch], data.train.y[batch]

            prediction = model(x)  # 1. forward
            loss = loss_function(prediction, y)  # 2. loss
            update.zero_grad()
            loss.backward()  # 3. backward: a gradient for every weight
            if clip is not None:
                nn.utils.clip_grad_norm_(weights, clip)
            update.step()  # 4. step: every weight moves against its gradient

            losses.append(loss.detach())
            if watch:
                watch(step, model)
            if step in evaluation_steps:
                row = {"step": step} | _loss_report(step, losses)
                row |= _split_report(model, data, loss_function)
                if not math.isfinite(row["valid_loss"]) and row["diverged_at"] == 0:
                    row["diverged_at"] = step
                history.append(row)
                losses.clear()
                if row["diverged_at"] > 0:
                    break
    _add_trained(1)
    return pd.DataFrame(history)


def _check_data(data: Dataset) -> None:
    for name in ("train", "valid", "test"):
        check_split(getattr(data, name), data.classes, name)


def _check_settings(
    data: Dataset,
    steps: int,
    lr: float,
    batch_size: int,
    weight_decay: float | None = None,
    clip: float | None = None,
    evaluate_every: int | None = None,
    **others: Any,
) -> None:
    count = len(data.train.y)
    if steps < 1:
        raise ValueError(f"steps is {steps}: a run needs at least one update")
    if not 0 < lr < math.inf:
        raise ValueError(f"lr is {lr}: a learning rate is positive and finite")
    if not 1 <= batch_size <= count:
        raise ValueError(f"batch_size is {batch_size}, but the training set holds {count} examples")
    if weight_decay is not None and not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay is {weight_decay}: it is zero or positive, and finite")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is {clip}: the largest norm of a gradient is positive")
    if evaluate_every is not None and evaluate_every < 1:
        raise ValueError(f"evaluate_every is {evaluate_every}: use 1 or more, or None")


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


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    split: Split,
    loss_function: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    batch_size: int = 500,
) -> dict[str, float]:
    """Mean loss and accuracy of `model`, in evaluation mode, on one split.

    Where every step has a label, accuracy counts all that are not IGNORED; where y is a number to
    be approached (floating) there is no accuracy.
    """
    was_training, loss, correct = model.training, 0.0, 0
    labelled = not split.y.is_floating_point()
    model.eval()
    for x, y in zip(split.x.split(batch_size), split.y.split(batch_size), strict=True):
        prediction = model(x)
        loss += loss_function(prediction, y).item() * (y != IGNORED).sum().item()
        if labelled:
            correct += (prediction.argmax(1) == y).sum().item()
    model.train(was_training)
    count = (split.y != IGNORED).sum().item()
    return {"loss": loss / count} | ({"accuracy": correct / count} if labelled else {})


def _loss_report(step: int, losses: Sequence[Tensor]) -> dict[str, float]:
    """Mean and peak of the loss since the last report, and the update that broke it (0: none)."""
    values = torch.stack(list(losses)).cpu()
    broken = (~values.isfinite()).nonzero().flatten()
    diverged_at = step - len(values) + 1 + broken[0].item() if len(broken) else 0
    loss = {"train_loss": values.mean().item(), "peak_loss": values.max().item()}
    return loss | {"diverged_at": diverged_at}


def _split_report(model: nn.Module, data: Dataset, loss_function: Callable) -> dict[str, float]:
    splits = {"valid": data.valid, "test": data.test}
    return {
        f"{name}_{metric}": value
        for name, split in splits.items()
        for metric, value in evaluate(model, split, loss_function).items()
    }


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


_trained = 0


def networks_trained() -> int:
    """Number of networks trained since this module was imported."""
    return _trained


def _add_trained(count: int) -> None:
    global _trained
    _trained += count
