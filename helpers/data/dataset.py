"""What a dataset is to the rest of the course: three splits of tensors, checked before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

PAD = 0  # the id that fills up short rows
SPLITS = ("train", "valid", "test")
IGNORED = -100  # a label that is not scored, as in torch.nn.functional.cross_entropy


class DataError(ValueError):
    """Data, a file or a device is not usable; the message names the cause and the cure."""


class Split(NamedTuple):
    """Inputs x and targets y, on one device; `check_split` says what they may be.

    Mostly x is float32 (N, ...) or tokens, int64 (N, time), and y is int64 labels (N,).
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits, the names of the labels, and the mean and std already divided out.

    mean and std are floats, or one float a channel for colour images. No names: a regression.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    classes: tuple[str, ...]
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]

    def to(self, device: str | torch.device) -> Dataset:
        """The same dataset with its tensors on `device`."""
        return self.mapped(lambda split: Split(*(part.to(device) for part in split)))

    def mapped(self, change: Callable[[Split], Split]) -> Dataset:
        """The same dataset with `change` of each split in its place."""
        return replace(self, **{name: change(getattr(self, name)) for name in SPLITS})


def check_split(split: Split, classes: int | Sequence[str], name: str = "split") -> None:
    """Raise DataError unless x and y are what training can use.

    x is finite floating (N, ...), or tokens, int64 (N, ...) of at least 0. y is int64 in
    [0, classes): a label a row, (N,), or one a step, (N, time, ...) with the first dimensions of
    x. Labels equal to IGNORED are not scored; a row of steps holds one that is.
    Without classes it is a regression: y is finite floating (N, ...).
    classes is their number or their names; name is what messages call this split.
    """
    count = len(classes) if isinstance(classes, Sequence) else int(classes)
    for part, value in zip("xy", split, strict=True):
        if isinstance(value, PackedSequence):
            cure = "pad it, torch.nn.utils.rnn.pad_packed_sequence(x, batch_first=True)[0]"
            raise DataError(f"{name}.{part} is a PackedSequence: {cure}")
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise DataError(f"{name}.{part} is a {kind}: make it a tensor (torch.as_tensor)")
    _check_types(split, count, name)
    _check_shapes(split, count, name)
    if count:
        _check_labels(split.y, count, name)
    for part, value in zip("xy", split, strict=True):
        _check_values(value, f"{name}.{part}")


def _check_types(split: Split, count: int, name: str) -> None:
    x, y = split
    if not (x.is_floating_point() or x.dtype == torch.int64):
        cure = "convert it with x.float(), or x.long() if it holds tokens"
        raise DataError(f"{name}.x has dtype {x.dtype}: {cure}")
    if count and y.dtype != torch.int64:
        raise DataError(f"{name}.y has dtype {y.dtype}: class labels must be int64, use y.long()")
    if not count and not y.is_floating_point():
        raise DataError(
            f"{name}.y has dtype {y.dtype}, and there are no classes: name the classes, or use "
            "y.float() for a regression"
        )


def _check_shapes(split: Split, count: int, name: str) -> None:
    x, y = split
    by_step = y.ndim >= 1 and y.shape == x.shape[: y.ndim]  # holds for one label a row too
    fits = by_step if count else y.ndim >= 2 and len(x) == len(y)
    if not fits or x.ndim < 2 or x.numel() == 0 or y.numel() == 0:
        found = f"{name}.x has shape {tuple(x.shape)} and y {tuple(y.shape)}"
        if not count:
            raise DataError(
                f"{found}: a regression expects (N, ...) and (N, outputs) with the same N of at "
                "least 1; give y a dimension of outputs, y[:, None]"
            )
        raise DataError(
            f"{found}: expected (N, ...) and (N,) with the same N of at least 1; give x a "
            "dimension of features, and one y a row, or one a step: (N, time, ...) and (N, time)"
        )


def _check_labels(y: Tensor, count: int, name: str) -> None:
    scored = y != IGNORED
    silent = ~scored.flatten(1).any(1) if y.ndim > 1 else ~scored.any()[None]
    if silent.any():
        where = f"row {int(silent.nonzero()[0])} of {name}.y" if y.ndim > 1 else f"{name}.y"
        raise DataError(f"{where} is all {IGNORED}, so nothing is scored: drop it or give labels")
    low, high = int(y[scored].min()), int(y[scored].max())
    if low < 0 or high >= count:
        raise DataError(
            f"{name}.y runs from {low} to {high}: labels of {count} classes must lie in "
            f"0..{count - 1}; renumber them or correct the number of classes"
        )


def _check_values(value: Tensor, name: str) -> None:
    if name.endswith("x") and not value.is_floating_point() and value.min() < 0:
        raise DataError(
            f"{name} holds the token {int(value.min())}: tokens count from 0 (the pad is 0)"
        )
    if not torch.isfinite(value).all():
        bad = int((~torch.isfinite(value)).sum())
        raise DataError(f"{name} holds {bad} NaN or infinite values: remove or replace them")
