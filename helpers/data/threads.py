"""How many threads PyTorch computes with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import joblib
import torch


def threads() -> int:
    """The number that the variable THREADS of the environment asks for: one where it is empty.

    More make small networks slower, and one makes runs repeatable; "auto" is all cores.
    Raises ValueError for another text.
    """
    text = os.environ.get("THREADS") or "1"
    if text == "auto":
        return joblib.cpu_count()
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError(f"THREADS is {text!r}: give a whole number above 0, or auto")
    return int(text)


@contextmanager
def computing_with(count: int) -> Iterator[None]:
    """So many threads inside a `with`; afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
