"""What is looked at before the first update, so that no run ends in a wrong number.

Settings, data, and one example of every split on its way through network and loss.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from helpers.data.dataset import IGNORED, SPLITS, DataError, Dataset, Split, check_split
from helpers.data.given import ABOVE_0, check_real, check_whole
from helpers.nets.modes import evaluating
from helpers.training.batches import check_batches
from helpers.training.schedules import Schedule, constant

Loss = Callable[[Tensor, Tensor], Tensor]
TWICE = 1e-3  # how close to twice the loss of one example that of two copies may come


def check_data(data: Dataset) -> None:
    """Raise DataError unless it is a Dataset of which training can use every split."""
    if not isinstance(data, Dataset):
        raise DataError(f"data is a {type(data).__name__}: give a Dataset")
    for name in SPLITS:
        check_split(getattr(data, name), data.classes, name)


def check_settings(
    data: Dataset,
    steps: int,
    lr: float,
    batch_size: int,
    weight_decay: float | None = None,
    clip: float | None = None,
    evaluate_every: int | None = None,
    until: int | None = None,
    seed: int = 0,
    schedule: Schedule = constant,
    **others: Any,
) -> None:
    """Raise ValueError for settings of `fit` that no run can have. NumPy's numbers are numbers."""
    optional = {"evaluate_every": evaluate_every, "until": until}
    optional = {name: value for name, value in optional.items() if value is not None}
    check_whole(steps=steps, **optional)
    check_batches(len(data.train.y), batch_size, steps)
    check_whole(-math.inf, seed=seed)
    check_real(ABOVE_0, lr=lr)
    if weight_decay is not None:
        check_real(0, weight_decay=weight_decay)
    if clip not in (None, math.inf):
        check_real(ABOVE_0, clip=clip)
    for part in range(10):
        check_real(0, **{f"schedule({part / 10})": schedule(part / 10)})


@torch.no_grad()
def check_comparison(model: nn.Module, data: Dataset, loss_function: Loss) -> None:
    """Raise DataError unless predictions and targets can be compared, and the loss is a mean.

    An example of each split, twice, goes through the network in evaluation mode.
    """
    with evaluating(model):
        for name in SPLITS:
            x, y = _example(getattr(data, name))
            prediction = _predict(model, x, f"{name}.x")
            check_prediction(prediction, y, f"{name}.y", len(data.classes))
            if name == "train":
                _check_loss(loss_function, prediction, y)


def _example(split: Split) -> Split:
    """The first example that is scored, twice: (2, ...)."""
    first = 0 if split.y.ndim > 1 else int(is_scored(split.y).nonzero()[0])
    return Split(*(part[[first, first]] for part in split))


def _predict(model: nn.Module, x: Tensor, name: str) -> Tensor:
    try:
        return model(x)
    except RuntimeError as error:
        dtypes = {w.dtype for w in model.parameters()} or {x.dtype}
        if not x.is_floating_point() or x.dtype in dtypes:
            raise
        raise DataError(
            f"{name} is {x.dtype} and the network's weights are {dtypes.pop()}: "
            "convert the data with x.float(), as networks are built in float32"
        ) from error


def check_prediction(prediction: Tensor, y: Tensor, name: str, classes: int = 1) -> None:
    """Raise DataError unless predictions fit the targets y, which messages call `name`.

    Labels (N, ...) want (N, at least `classes`, ...). Numbers (N, ...) want predictions of as
    many dimensions and the same dtype.
    """
    if not isinstance(prediction, Tensor):
        raise DataError(
            f"the network returns a {type(prediction).__name__}, not a tensor: return the "
            "predictions alone (nn.LSTM returns a pair; its outputs are the first part)"
        )
    found = f"the network's predictions have shape {tuple(prediction.shape)}"
    found += f", and {name} {tuple(y.shape)}"
    shape = prediction.shape
    if y.is_floating_point():
        if len(shape) != y.ndim or shape[0] != len(y):
            raise DataError(f"{found}: they would be compared crosswise; give both one shape")
        if prediction.dtype != y.dtype:
            raise DataError(f"{name} is {y.dtype}, predictions {prediction.dtype}: use y.float()")
    elif len(shape) < 2 or (shape[0], *shape[2:]) != y.shape:
        raise DataError(
            f"{found}: labels (N, ...) want predictions (N, classes, ...); "
            "labels that are a column become a row with y[:, 0]"
        )
    elif shape[1] < classes:
        raise DataError(f"{found}: {shape[1]} outputs cannot tell {classes} classes apart")


def _check_loss(loss_function: Loss, prediction: Tensor, y: Tensor) -> None:
    """Of an example that comes twice, a mean is what it is of the example; a sum is twice that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Using a target size")
        try:
            two, one = loss_function(prediction, y), loss_function(prediction[:1], y[:1])
        except UserWarning as error:
            raise DataError(
                f"predictions {tuple(prediction.shape)} and targets {tuple(y.shape)} have "
                "different shapes: give the network as many outputs as there are targets"
            ) from error
    if not isinstance(two, Tensor) or two.ndim:
        what = f"a tensor {tuple(two.shape)}" if isinstance(two, Tensor) else type(two).__name__
        raise DataError(f"the loss of a batch is {what}: one number is needed, reduction='mean'")
    if one != 0 and abs(two / one - 2) < TWICE:
        raise DataError(
            "the loss of an example that comes twice is twice its loss, so it is a sum: use a "
            "mean, reduction='mean', or batches of different size count differently"
        )


def is_scored(y: Tensor) -> Tensor:
    """Which targets count: all numbers, and all labels but IGNORED."""
    return torch.ones_like(y, dtype=torch.bool) if y.is_floating_point() else y != IGNORED
