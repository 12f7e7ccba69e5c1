"""What is looked at before the first update, so that no run ends in a wrong number.

Settings, data, and one example of every split on its way through network and loss.
"""

import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from helpers.data.dataset import IGNORED, SPLITS, DataError, Dataset, Split, check_split
from helpers.nets.modes import evaluating

Loss = Callable[[Tensor, Tensor], Tensor]
TWICE = 1e-3  # how close to twice the loss of one example that of two copies may come


def check_data(data: Dataset) -> None:
    """Raise DataError unless every split is what training can use."""
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
    **others: Any,
) -> None:
    """Raise ValueError for settings of `fit` that no run can have. NumPy's numbers are numbers."""
    optional = {"evaluate_every": evaluate_every, "until": until}
    optional = {name: value for name, value in optional.items() if value is not None}
    reals = {"weight_decay": weight_decay, "clip": clip}
    _check_whole(steps=steps, batch_size=batch_size, seed=seed, **optional)
    _check_real(lr=lr, **{name: value for name, value in reals.items() if value is not None})
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
    for name, value in optional.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: use 1 or more, or None")


def _check_whole(**values: Any) -> None:
    """A truth value is no number here: who writes steps=True means something else."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise ValueError(f"{name} is {value!r}: give a whole number, as int(...) makes it")


def _check_real(**values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"{name} is {value!r}: give a number, as float(...) makes it")


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
