"""Named random streams: initial weights, order of batches and dropout masks of every run.

Each is drawn from a generator of its own, seeded by the run's seed and the stream's name, so a run
is a function of its own seed and settings and of nothing else.
"""

import zlib

import torch


def stream_seed(seed: int | str, name: str) -> int:
    """Seed of the random stream `name` of run `seed`: streams of one run are unrelated."""
    return zlib.crc32(f"{seed}/{name}".encode())


def stream(seed: int, name: str) -> torch.Generator:
    """A CPU random generator for one purpose ("batches", "weights", ...) of one run."""
    return torch.Generator().manual_seed(stream_seed(seed, name))
