"""Named random streams: initial weights, order of batches and dropout masks of every run.

Each is drawn from a generator of its own, seeded by the run's seed and the stream's name, so a run
is a function of its own seed and settings and of nothing else.
"""

import zlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

Build = Callable[[], nn.Module]
Order = Callable[[int, int, int, torch.Generator], Iterator[Tensor]]  # as `batches`


def stream_seed(seed: int | str, name: str) -> int:
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


def reading_order(
    count: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield `steps` batches of indices in which every row goes on where it ended one batch before.

    The examples are pieces of one long sequence, in order. They are read as `batch_size` streams
    side by side, each of count // batch_size pieces; what does not fill a batch is left out. Every
    pass begins at a piece drawn anew, and the last piece is followed by the first.
    Raises ValueError for a batch larger than the set.
    """
    if not 1 <= batch_size <= count:
        raise ValueError(f"batch_size is {batch_size}, but the training set holds {count} examples")
    pieces = count // batch_size
    streams = torch.arange(batch_size) * pieces
    for step in range(steps):
        if step % pieces == 0:
            start = torch.randint(count, (1,), generator=generator)
        yield (start + streams + step % pieces) % count
