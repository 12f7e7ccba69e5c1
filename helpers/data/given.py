"""What a function is given, looked at before any work: a sentence names what is wrong with it."""

import math
from numbers import Integral, Real
from typing import Any

from torch import Tensor

from helpers.data.dataset import DataError

ABOVE_0 = math.ulp(0.0)


def check_whole(least: float = 1, /, **given: Any) -> None:
    """Raise DataError naming what is no whole number (as True and 2.0 are none) or below `least`.

    >>> check_whole(2, length=5, stride=2)
    """
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise DataError(f"{name} is {value!r}: give a whole number, as int(...) makes it")
        if value < least:
            raise DataError(f"{name} is {value}: use {least} or more")


def check_real(low: float = -math.inf, high: float = math.inf, /, **given: Any) -> None:
    """Raise DataError naming what is no finite number from `low` to `high`.

    >>> check_real(0, 1, share=0.5)
    """
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise DataError(f"{name} is {value!r}: give a number, as float(...) makes it")
        if not (low <= float(value) <= high and math.isfinite(value)):
            least = {ABOVE_0: " above 0", -math.inf: ""}.get(low, f" from {low:g} on")
            ends = least if high == math.inf else f" from {low:g} to {high:g}"
            raise DataError(f"{name} is {value}: use a finite number{ends}")


def check_tensor(dims: str, whole: bool = False, /, **given: Any) -> None:
    """Raise DataError naming what is no tensor of floating numbers, or not of these `dims`.

    With `whole` it may hold whole numbers as well.

    >>> import torch
    >>> check_tensor("n, k, k", filters=torch.zeros(4, 3, 3))
    """
    for name, value in given.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise DataError(f"{name} is a {kind}: make it a tensor (torch.as_tensor)")
        shape = tuple(value.shape)
        numbers = value.is_floating_point() or whole
        if not numbers or len(shape) != len(dims.split(",")) or 0 in shape:
            raise DataError(f"{name} is {value.dtype} {shape}: give floating numbers ({dims})")
