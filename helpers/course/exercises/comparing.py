"""Whether two answers are alike, and in words where they are not."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch

FEW = 6  # numbers that a sentence can show


def differs(answer: Any, right: Any, within: float, relative: float | None = None) -> str:
    """In what an answer differs from the right one, as words that follow "returns"; else empty.

    Numbers may come as tensors, arrays, lists or plainly; `within` is absolute, and relative too
    unless `relative` says otherwise. NaN equals NaN. Objects without numbers, such as
    networks, are not compared.

    >>> differs([1.0, 2.0], torch.tensor([1.0, 2.5]), 1e-4)
    '2 where 2.5 is right, at [1]; 1 of 2 numbers differ'
    """
    if isinstance(right, Mapping) and isinstance(answer, Mapping):
        if set(answer) != set(right):
            return f"the keys {sorted(map(str, answer))} where {sorted(map(str, right))} are right"
        return differs([answer[key] for key in right], list(right.values()), within, relative)
    there = numbers(right)
    if there is None:
        return _unlike_parts(answer, right, within, relative)
    here = numbers(answer)
    if here is None:
        return f"{kind(answer)} where {kind(right)} is asked for"
    if here.shape != there.shape:
        return f"shape {tuple(here.shape)} where {tuple(there.shape)} is right"
    rtol = within if relative is None else relative
    unlike = ~torch.isclose(here, there, rtol=rtol, atol=within, equal_nan=True)
    return _first_of(unlike, here, there) if unlike.any() else ""


def _unlike_parts(answer: Any, right: Any, within: float, relative: float | None) -> str:
    """As `differs`, for what is no block of numbers."""
    if isinstance(right, list | tuple):
        if not isinstance(answer, list | tuple) or len(answer) != len(right):
            return f"{kind(answer)} where {kind(right)} is asked for"
        parts = [differs(a, b, within, relative) for a, b in zip(answer, right, strict=True)]
        return next((f"as part {n} {text}" for n, text in enumerate(parts, 1) if text), "")
    if isinstance(right, str | bool | None) and not (type(answer), answer) == (type(right), right):
        return f"{answer!r:.40} where {right!r} is right"
    return ""


def _first_of(unlike: torch.Tensor, here: torch.Tensor, there: torch.Tensor) -> str:
    """The first numbers that are unlike, their place and how many there are."""
    place = tuple(unlike.nonzero()[0].tolist())
    a, b = here[place].item(), there[place].item()
    if a != a:
        return "NaN, which is no number: look for 0 / 0, inf - inf or the log of less than 0"
    digits = next(d for d in (4, 8, 17) if f"{a:.{d}g}" != f"{b:.{d}g}" or d == 17)
    text = f"{a:.{digits}g} where {b:.{digits}g} is right"
    count = f"; {int(unlike.sum())} of {unlike.numel()} numbers differ"
    return text + (f", at {list(place)}{count}" if place else "")


def numbers(value: Any) -> torch.Tensor | None:
    """A value as a block of float64; None where it is none. Truth values are no numbers."""
    if isinstance(value, bool | str) or value is None:
        return None
    try:
        return torch.as_tensor(value).detach().to_dense().to("cpu", torch.float64)
    except Exception:  # what a reader's object does when asked for its numbers is its own affair
        return None


def kind(value: Any) -> str:
    """What a value is, for a sentence: "a number", "a list of 3", "a tensor of shape (2, 3)"."""
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Real) and not isinstance(value, bool):
        return "a number"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple | set | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing (None)" if value is None else f"a {type(value).__name__}"


def said(value: Any) -> str:
    """An argument in a sentence: few numbers as they are, many as their shape."""
    block = numbers(value)
    if block is None or block.numel() <= FEW:
        return repr(value.tolist() if isinstance(value, torch.Tensor) else value)[:60]
    return f"of shape {tuple(block.shape)}"
