"""Training: forward, loss, backward, step, for one network or for many.

The order of batches, the initial weights and dropout masks come from named random streams, so a
run is a function of its own seed and settings and of nothing else.
"""

import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import joblib
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from helpers.data import Dataset, Split, check_split

# Small networks gain nothing from a second thread, and one thread makes runs repeatable.
torch.set_num_threads(1)

Build = Callable[[], nn.Module]
Watch = Callable[[int, nn.Module], None]
Train = Callable[..., pd.DataFrame]
Schedule = Callable[[float], float]

ADAM = partial(torch.optim.Adam, fused=True)
SGD = partial(torch.optim.SGD, fused=True)


def stream_seed(seed: int, name: str) -> int:
    """Seed of the random stream `name` of run `seed`: streams of one run are unrelated."""
    return zlib.crc32(f"{seed}/{name}".encode())


def stream(seed: int, name: str) -> torch.Generator:
    """A CPU random generator for one purpose ("batches", "weights", ...) of one run."""
    return torch.Generator().manual_seed(stream_seed(seed, name))


def initialise(build: Build, seed: int, device: torch.device | str = "cpu") -> nn.Module:
    """Build a network with the initial weights that belong to `seed`.

    Built on the CPU and then moved, so that every device starts from the same weights; laid out
    channels last, which makes convolutions faster.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "weights"))
        return build().to(device, memory_format=torch.channels_last)


def batches(
    count: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield `steps` batches of indices into `count` examples, reshuffled every epoch.

    Every batch is full: what does not fill one at the end of an epoch waits for the next shuffle.
    Raises ValueError for a batch larger than the set.
    """
    if not 1 <= batch_size <= count:
        raise ValueError(f"batch_size is {batch_size}, but the training set holds {count} examples")
    per_epoch = count // batch_size
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(count, generator=generator)
        start = step % per_epoch * batch_size
        yield order[start : start + batch_size]


def constant(progress: float) -> float:
    """The same learning rate throughout."""
    return 1.0


def linear_decay(progress: float) -> float:
    """From the full learning rate to zero, in proportion to the part of the run that is done."""
    return 1.0 - progress


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
    loss_function: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    evaluate_every: int | None = None,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Train `model` in place for `steps` updates and return its history.

    The history has one row per evaluation (every `evaluate_every` updates, and the last):
    step, train_loss (mean over the updates since the row before), loss and accuracy on the
    validation and the test split, diverged_at (the first update whose loss was not
    finite, 0 for none; training stops at the evaluation after it).
    The learning rate of each update is `lr` times `schedule(progress)`, progress from 0 to 1.
    `watch(step, model)` is called before the first update (step 0) and after each.

    Raises ValueError for a run of no steps, a learning rate that is not positive and finite or a
    batch larger than the set, DataError for data that does not fit; all before training starts.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}: a run needs at least one update")
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr is {lr}: a learning rate is positive and finite")
    for name in ("train", "valid", "test"):
        check_split(getattr(data, name), data.classes, name)
    evaluation_steps = {*range(0, steps, evaluate_every or steps), steps} - {0}
    device = data.train.y.device
    order = batches(len(data.train.y), batch_size, steps, stream(seed, "batches"))

    model = model.to(device, memory_format=torch.channels_last).train()
    update = optimizer([p for p in model.parameters() if p.requires_grad], lr=lr)
    history, losses = [], []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(stream_seed(seed, "dropout"))
        if watch:
            watch(0, model)
        for step, batch in enumerate(order, start=1):
            for group in update.param_groups:
                group["lr"] = lr * schedule((step - 1) / steps)
            x, y = data.train.x[batch], data.train.y[batch]

            prediction = model(x)  # 1. forward
            loss = loss_function(prediction, y)  # 2. loss
            update.zero_grad()
            loss.backward()  # 3. backward: a gradient for every weight
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


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    split: Split,
    loss_function: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    batch_size: int = 500,
) -> dict[str, float]:
    """Mean loss and accuracy of `model`, in evaluation mode, on one split."""
    was_training, loss, correct = model.training, 0.0, 0
    model.eval()
    for x, y in zip(split.x.split(batch_size), split.y.split(batch_size), strict=True):
        prediction = model(x)
        loss += loss_function(prediction, y).item() * len(y)
        correct += (prediction.argmax(1) == y).sum().item()
    model.train(was_training)
    return {"loss": loss / len(split.y), "accuracy": correct / len(split.y)}


def _loss_report(step: int, losses: Sequence[Tensor]) -> dict[str, float]:
    """Mean training loss since the last report, and the update that first broke it (0: none)."""
    values = torch.stack(list(losses)).cpu()
    broken = (~values.isfinite()).nonzero().flatten()
    diverged_at = step - len(values) + 1 + broken[0].item() if len(broken) else 0
    return {"train_loss": values.mean().item(), "diverged_at": diverged_at}


def _split_report(model: nn.Module, data: Dataset, loss_function: Callable) -> dict[str, float]:
    splits = {"valid": data.valid, "test": data.test}
    return {
        f"{name}_{metric}": value
        for name, split in splits.items()
        for metric, value in evaluate(model, split, loss_function).items()
    }


@dataclass(frozen=True)
class Runs:
    """What `fit_many` brings back: one row per run and evaluation, and the trained networks."""

    table: pd.DataFrame  # arm, lr, seed, then the history of `fit`
    models: dict[tuple[str, int], nn.Module] = field(repr=False)  # by (arm, seed)

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs, in order."""
        return list(dict.fromkeys(self.table.seed))

    def final(self, metric: str = "test_accuracy", diverged: float = math.nan) -> pd.DataFrame:
        """The metric after the last update: one row per seed, one column per arm.

        A run that diverged counts as `diverged`, whatever it scored before; in a comparison of
        accuracies that is the accuracy of guessing.
        """
        last = self.table.groupby(["arm", "seed"], sort=False).tail(1)
        last = last.assign(**{metric: last[metric].where(last.diverged_at == 0, diverged)})
        table = last.pivot(index="seed", columns="arm", values=metric)
        return table[list(dict.fromkeys(last.arm))]

    def curves(self, arm: str, metric: str = "test_accuracy") -> pd.DataFrame:
        """The metric along training for one arm: one row per evaluation, one column per seed."""
        rows = self.table[self.table.arm == arm]
        return rows.pivot(index="step", columns="seed", values=metric)


def fit_many(
    arms: Mapping[str, Build],
    data: Dataset,
    *,
    seeds: Iterable[int],
    lr: float | Mapping[str, float],
    train: Train = fit,
    n_jobs: int = -1,
    keep_models: bool = True,
    **settings: Any,
) -> Runs:
    """Train every arm on every seed, one network per process.

    `arms` maps a name to a function that builds the network; all arms of a seed see the same
    batches in the same order. `lr` is one learning rate, or one per arm; `settings` go to
    `train`, a function with the signature of `fit`.
    Raises ValueError when there is nothing to train or an arm has no learning rate.
    """
    seeds = tuple(seeds)
    jobs = [(arm, seed) for arm in arms for seed in seeds]
    rates = lr if isinstance(lr, Mapping) else dict.fromkeys(arms, lr)
    if not jobs or not set(arms) <= set(rates):
        raise ValueError(f"nothing to train: arms {list(arms)}, learning rates {dict(rates)}")
    calls = [
        joblib.delayed(_train_one)(
            arms[arm], data, seed, partial(train, lr=rates[arm], **settings), keep_models
        )
        for arm, seed in jobs
    ]
    trained_before = networks_trained()
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    quiet = bool(os.environ.get("TQDM_DISABLE"))  # set where outputs are stored or compared
    bar = tqdm(parallel(calls), total=len(jobs), unit="network", leave=False, disable=quiet)
    results = list(bar)
    _add_trained(trained_before + len(jobs) - networks_trained())

    tables = [
        history.assign(arm=arm, lr=rates[arm], seed=seed)
        for (arm, seed), (history, _) in zip(jobs, results, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    front = ["arm", "lr", "seed"]
    models = {job: model for job, (_, model) in zip(jobs, results, strict=True) if model}
    return Runs(table[front + [c for c in table if c not in front]], models)


def _train_one(build: Build, data: Dataset, seed: int, train: Train, keep_model: bool):
    model = initialise(build, seed, data.train.y.device)
    history = train(model, data, seed=seed)
    return history, model if keep_model else None


def steps_to(mark: float, curves: pd.DataFrame, never: float = math.nan) -> pd.Series:
    """The first step of each column of `curves` (step, seed) that holds `mark` twice running.

    Two evaluations in a row, so that one lucky measurement does not count; `never` for a column
    that does not get there.
    """
    held = (curves >= mark) & (curves.shift(-1) >= mark)
    return held.idxmax().where(held.any(), never)


def tune(
    arms: Mapping[str, Build],
    data: Dataset,
    *,
    learning_rates: Sequence[float],
    seeds: Iterable[int],
    **settings: Any,
) -> pd.DataFrame:
    """Train every arm at every learning rate and tabulate the mean final validation loss.

    Returns one row per learning rate, one column per arm; a rate at which any seed diverged
    counts as infinite. Test data plays no part. Use `best` to choose.
    """
    columns, seeds = {}, tuple(seeds)
    for rate in learning_rates:
        runs = fit_many(arms, data, seeds=seeds, lr=rate, keep_models=False, **settings)
        columns[rate] = runs.final("valid_loss").mean(skipna=False).fillna(float("inf"))
    return pd.DataFrame(columns).T.rename_axis(index="lr")[list(arms)]


def best(tuning: pd.DataFrame) -> dict[str, float]:
    """The learning rate of the lowest validation loss for each arm (column).

    A rate that was not tried with an arm is NaN there, and no part of its grid. Raises ValueError
    when the best lies at the edge of the grid: the true best may lie beyond, and whatever would be
    measured with it is void.
    """
    grids = {arm: losses.dropna() for arm, losses in tuning.items()}
    choice = {arm: losses.idxmin() for arm, losses in grids.items()}
    void = {
        arm: choice[arm]
        for arm, losses in grids.items()
        if choice[arm] in (losses.index.min(), losses.index.max())
    }
    if void:
        raise ValueError(f"void: best learning rate at the edge of its grid, extend it: {void}")
    return choice


_trained = 0


def networks_trained() -> int:
    """Number of networks trained since this module was imported."""
    return _trained


def _add_trained(count: int) -> None:
    global _trained
    _trained += count
