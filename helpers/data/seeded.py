"""Data that a seed decides: a fresh split of the same examples, or fresh examples of a task.

Wherever networks are trained, `data` is a `Dataset`, the same for every seed, or a function from a
seed to a `Dataset`. Then an interval over seeds holds what a reader would see who draws or splits
these examples anew. Splits of one set overlap: an interval for other examples would be wider
(Nadeau and Bengio 2003, "Inference for the Generalization Error").
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from helpers.data.dataset import SPLITS, DataError, Dataset, Split
from helpers.data.loading import load_public
from helpers.data.streams import stream

Source = Dataset | Callable[[int], Dataset]


def drawn(source: Source, seed: int) -> Dataset:
    """The data that networks of this seed meet."""
    return source if isinstance(source, Dataset) else source(seed)


def changed(source: Source, change: Callable[[Dataset], Dataset]) -> Source:
    """The same data, changed whenever it is drawn."""
    return change(source) if isinstance(source, Dataset) else lambda seed: change(source(seed))


@dataclass(frozen=True)
class Resplit:
    """The examples of `whole`, shared out anew for every seed.

    Each split holds as many examples of each class as in `whole`, chosen among all; pixels stay
    standardised as they were. Call it with a seed. Raises DataError for data without classes or
    with a label for every step.

    >>> from helpers.data import load
    >>> digits = Resplit(load("mnist-5k"))
    >>> digits(0).train.x.shape, bool((digits(0).test.y == digits(1).test.y).all())
    (torch.Size([3500, 1, 28, 28]), False)
    """

    whole: Dataset

    def __post_init__(self):
        if not self.whole.classes or self.whole.train.y.ndim != 1:
            raise DataError(f"{self.whole.name}: only examples with one label each are split anew")

    def __call__(self, seed: int) -> Dataset:
        """The data as the seed splits it."""
        pool, rows = self.pool(), self.rows(seed)
        train, valid, test = (Split(pool.x[rows[name]], pool.y[rows[name]]) for name in SPLITS)
        return replace(self.whole, train=train, valid=valid, test=test)

    def pool(self) -> Split:
        """All examples."""
        return Split(*map(torch.cat, zip(*(getattr(self.whole, s) for s in SPLITS), strict=True)))

    def rows(self, seed: int) -> dict[str, Tensor]:
        """Which examples of the pool are in each split, (n,) each, in random order."""
        labels = [getattr(self.whole, name).y.cpu() for name in SPLITS]
        random = stream(seed, "split")
        order = torch.randperm(sum(map(len, labels)), generator=random)
        of_class = torch.cat(labels)[order]
        shares = [
            order[of_class == label].split([int((y == label).sum()) for y in labels])
            for label in of_class.unique()
        ]
        parts = map(torch.cat, zip(*shares, strict=True))
        mixed = (part[torch.randperm(len(part), generator=random)] for part in parts)
        return dict(zip(SPLITS, mixed, strict=True))


@dataclass(frozen=True)
class Elsewhere:
    """A full public set whose folder nobody named: what was proved on it is shown, not replayed."""

    name: str

    def __call__(self, seed: int) -> Dataset:
        """Raises DataError that says how to name the folder."""
        raise DataError(
            f"the full {self.name} is needed here: name the folder that holds its files, "
            f"{_variable(self.name)}=folder (data/sets/README.md says where to get it)"
        )


def public(name: str, device: str | torch.device = "cpu") -> Resplit | Elsewhere:
    """A full public set, split anew by every seed, from the folder that the environment names.

    "mnist", "fashion-mnist" and "cifar10" are read from the folders MNIST, FASHION_MNIST and
    CIFAR10, as by `load_public`, whose errors they raise.
    """
    folder = os.environ.get(_variable(name))
    return Resplit(load_public(name, folder, device)) if folder else Elsewhere(name)


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


@dataclass(frozen=True)
class Shared:
    """One split of the data of several networks: the examples there are, and whose are which."""

    pool: Split
    rows: Tensor | None  # (networks, n) on the pool's device; None: all are everybody's

    def __len__(self) -> int:
        return len(self.pool.y) if self.rows is None else self.rows.shape[1]

    def take(self, index: Tensor) -> Split:
        """Examples (networks, batch, ...) by their places (networks, batch) in the split."""
        index = index if self.rows is None else self.rows.gather(1, index)
        return Split(self.pool.x[index], self.pool.y[index])

    def batches(self, size: int) -> Iterator[Split]:
        """All in order, (batch, ...) where they are everybody's, else (networks, batch, ...)."""
        if self.rows is None:
            yield from map(Split, self.pool.x.split(size), self.pool.y.split(size))
            return
        for index in self.rows.split(size, dim=1):
            yield Split(self.pool.x[index], self.pool.y[index])


def shared(source: Source, seeds: Sequence[int]) -> dict[str, Shared]:
    """The three splits for a stack of networks, no example kept twice.

    Raises DataError where the splits of two seeds differ in size.
    """
    if isinstance(source, Dataset):
        return {name: Shared(getattr(source, name), None) for name in SPLITS}
    different = list(dict.fromkeys(seeds))
    if isinstance(source, Resplit):
        pool = source.pool()
        pools, rows = dict.fromkeys(SPLITS, pool), [source.rows(seed) for seed in different]
    else:
        sets = [source(seed) for seed in different]
        pools, rows = {}, [{} for _ in sets]
        for name in SPLITS:
            parts = [getattr(data, name) for data in sets]
            pools[name] = Split(*map(torch.cat, zip(*parts, strict=True)))
            places = torch.arange(len(pools[name].y)).split([len(part.y) for part in parts])
            for of_seed, place in zip(rows, places, strict=True):
                of_seed[name] = place
    which = [different.index(seed) for seed in seeds]
    splits = {}
    for name in SPLITS:
        sizes = {len(of_seed[name]) for of_seed in rows}
        if len(sizes) > 1:
            found = ", ".join(map(str, sorted(sizes)))
            cure = "draw equally many for every seed"
            raise DataError(f"the {name} split holds {found} examples, as the seed draws: {cure}")
        table = torch.stack([rows[k][name] for k in which]).to(pools[name].y.device)
        splits[name] = Shared(pools[name], table)
    return splits
