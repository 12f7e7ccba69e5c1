"""Training: forward, loss, backward, step, for one network or for many.

`fit` trains one network in the open. `fit_many` trains a sweep: every arm at every setting of a
grid on every seed, stacked (`engine.stacking`) or one network per process, whichever is faster.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.dataset import Dataset, Split
from helpers.data.given import check_whole
from helpers.data.streams import stream, stream_seed
from helpers.nets.modes import evaluating
from helpers.nets.starts import check_network, place
from helpers.training.batches import Order, batches
from helpers.training.checks import (
    check_comparison,
    check_data,
    check_prediction,
    check_settings,
    is_scored,
)
from helpers.training.gradients import clip_gradients
from helpers.training.schedules import Schedule, constant

Watch = Callable[[int, nn.Module], None]
Train = Callable[..., pd.DataFrame]

ADAM = partial(torch.optim.Adam, fused=True)
SGD = partial(torch.optim.SGD, fused=True)


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
    until: int | None = None,
) -> pd.DataFrame:
    """Train `model` in place for `steps` updates and return its history.

    The history has one row per evaluation (every `evaluate_every` updates, and the last):
    step, train_loss and peak_loss (mean and largest over the updates since the row before), loss
    and accuracy on the validation and the test split, diverged_at (the first update whose loss was
    not finite, 0 for none; training stops at the evaluation after it).
    The learning rate of each update is `lr` times `schedule(progress)`, progress from 0 to 1.
    `weight_decay` is the optimizer's (None: as it comes); `clip` is the largest norm a gradient may
    have, longer ones are shortened to it (Pascanu et al. 2013, algorithm 1; None: no clipping).
    `order` says which examples make a batch: shuffled ones, or those of `batches.reading_order`.
    `watch(step, model)` is called before the first update (step 0) and after each.
    `until` breaks the run off after so many of its updates, with an evaluation there.

    Raises ValueError for a run of no steps, a learning rate that is not positive and finite, a
    factor of its schedule that is negative or not finite, a batch larger than the set, TypeError
    for what is no network, DataError for data that does not fit, for predictions that cannot be
    compared with it and for a loss that is not a mean over the batch; all before training starts.
    """
    check_data(data)
    check_settings(
        data, steps, lr, batch_size, weight_decay, clip, evaluate_every, until, seed, schedule
    )
    check_network(model)
    steps, batch_size, lr = int(steps), int(batch_size), float(lr)  # NumPy's may overflow
    last = min(steps, until or steps)
    evaluation_steps = {*range(0, last, evaluate_every or steps), last} - {0}
    device = data.train.y.device
    chosen = order(len(data.train.y), batch_size, steps, stream(seed, "batches"))

    model = place(model, device).train()
    weights = [p for p in model.parameters() if p.requires_grad]
    decay = {} if weight_decay is None else {"weight_decay": weight_decay}
    update = optimizer(weights, lr=lr, **decay)
    history, losses = [], []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        check_comparison(model, data, loss_function)
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
            clip_gradients(weights, clip)
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
                if row["diverged_at"] > 0 or step == last:
                    break
    return pd.DataFrame(history)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    split: Split,
    loss_function: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    batch_size: int = 500,
) -> dict[str, float]:
    """Mean loss and accuracy of `model`, in evaluation mode, on one split.

    Where every step has a label, accuracy counts all that are not IGNORED; where y is a number to
    be approached (floating) there is no accuracy. The loss of a batch is a mean over what counts.
    Raises DataError for predictions that cannot be compared with y, and a batch_size below 1.
    """
    check_whole(batch_size=batch_size)
    loss, correct, labelled = 0.0, 0, not split.y.is_floating_point()
    with evaluating(model):
        for x, y in zip(split.x.split(batch_size), split.y.split(batch_size), strict=True):
            prediction = model(x)
            check_prediction(prediction, y, "y")
            loss += loss_function(prediction, y).item() * is_scored(y).sum().item()
            if labelled:
                correct += (prediction.argmax(1) == y).sum().item()
    count = is_scored(split.y).sum().item()
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
