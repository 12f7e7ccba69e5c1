"""A dataset to rehearse on: in float64, where rounding does not hide or imitate a difference."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from helpers.data.dataset import Dataset, Split

HELD = 64  # examples to validate and test on


def rehearsal(data: Dataset) -> Dataset:
    """The dataset in float64, with all that is trained on and little of what is only scored.

    x and y of the three splits keep their shapes but for the number of rows; labels and tokens stay
    int64. On the device of `data`.
    """

    def few(split: Split) -> Split:
        return Split(*(part[:HELD] for part in split))

    kept = replace(data, valid=few(data.valid), test=few(data.test))
    return kept.mapped(lambda split: Split(*map(_double, split)))


def _double(values: Tensor) -> Tensor:
    return values.double() if values.is_floating_point() else values


@contextmanager
def in_float64() -> Iterator[None]:
    """Tensors that are made meanwhile are float64 unless they say otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
