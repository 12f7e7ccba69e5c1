"""Which examples make a batch: shuffled ones, or pieces of a text in reading order."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from helpers.data.given import check_whole

Order = Callable[[int, int, int, torch.Generator], Iterator[Tensor]]  # as `batches`


def batches(
    count: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield `steps` batches of indices into `count` examples, reshuffled every epoch.

    Every batch is full: what does not fill one at the end of an epoch waits for the next shuffle.
    Raises ValueError for a batch larger than the set, and for negative numbers.
    """
    check_batches(count, batch_size, steps)
    per_epoch = count // batch_size
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(count, generator=generator)
        start = step % per_epoch * batch_size
        yield order[start : start + batch_size]


def reading_order(
    count: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield `steps` batches of indices in which every row goes on where it ended one batch before.

    The examples are pieces of one long sequence, in order. They are read as `batch_size` rows
    side by side, each of count // batch_size pieces; what does not fill a batch is left out. Every
    pass begins at a piece drawn anew, and the last piece is followed by the first.
    Raises ValueError for a batch larger than the set, and for negative numbers.
    """
    check_batches(count, batch_size, steps)
    pieces = count // batch_size
    begins = torch.arange(batch_size) * pieces
    for step in range(steps):
        if step % pieces == 0:
            start = torch.randint(count, (1,), generator=generator)
        yield (start + begins + step % pieces) % count


def check_batches(count: int, batch_size: int, steps: int) -> None:
    """Raise ValueError for a batch larger than the set, and for negative numbers."""
    check_whole(count=count, batch_size=batch_size)
    check_whole(0, steps=steps)
    if batch_size > count:
        raise ValueError(f"batch_size is {batch_size}, but the training set holds {count} examples")
