"""The plan of a sweep: its runs, and which of them are trained together.

A sweep is a list of runs (arm, settings, seed). Runs that differ only in seed, learning rate,
weight decay or clipping can share a pack, one stacked computation. How many do depends on the
network, the device and free memory: on a GPU as many as fit; on a CPU, where 2-D convolutions and
the fused LSTM are faster alone, either one or a pack small enough for the caches.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import nn

from helpers.data.dataset import Dataset
from helpers.nets.recurrent import LSTM, Cell
from helpers.nets.starts import Build, initialise

PER_NETWORK = ("lr", "weight_decay", "clip")  # what may differ within a pack
ALONE_ON_CPU = (nn.Conv2d, nn.Conv3d, nn.RNNBase)  # and LSTM: faster so, by benchmarks/many.py
MOST_ON_CPU = 32  # beyond, a pack outgrows the caches and gains nothing


@dataclass(frozen=True)
class Run:
    """One network to train: its arm, its seed, its settings and the grid labels of those."""

    arm: str
    seed: int
    settings: Mapping[str, Any]
    labels: tuple

    @property
    def key(self) -> tuple:
        """Name of the run within its sweep."""
        return (self.arm, *self.labels, self.seed)


@dataclass(frozen=True)
class Pack:
    """Runs of one arm that are trained together, and the function that builds their networks."""

    build: Build
    runs: Sequence[Run]

    @property
    def arm(self) -> str:
        """Name of the arm."""
        return self.runs[0].arm

    @property
    def updates(self) -> int:
        """Updates of all its networks together."""
        return len(self.runs) * int(self.runs[0].settings.get("steps", 1))


def expand(
    arms: Iterable[str],
    seeds: Iterable[int] | Mapping[str, Sequence[int]],
    grid: Mapping[str, Sequence | Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> list[Run]:
    """All runs of a sweep: every arm, every point of the grid, every seed.

    An axis of the grid is a sequence of values, or a mapping from labels to values. In `settings`
    a mapping gives each arm its own value, and so it does as `seeds`.
    Raises ValueError for an empty axis, a value or seed that comes twice and an arm without value.
    """
    axes = {
        name: dict(a) if isinstance(a, Mapping) else _labelled(name, a) for name, a in grid.items()
    }
    arms = list(arms)
    seeds = seeds if isinstance(seeds, Mapping) else list(seeds)
    by_arm = {arm: list(_of_arm(arm, "seeds", seeds)) for arm in arms}
    empty = [name for name, axis in axes.items() if not axis]
    if empty or not arms or not all(by_arm.values()):
        raise ValueError(f"nothing to train: arms {arms}, seeds {by_arm}, empty axes {empty}")
    for own in by_arm.values():
        if len(set(own)) < len(own):
            raise ValueError(f"seeds {own} hold a seed twice: its runs would be the same")
    both = set(axes) & set(settings)
    if both:
        raise ValueError(f"{sorted(both)} are in the grid and given as a setting: choose one")
    runs = []
    for arm in arms:
        own = {name: _of_arm(arm, name, value) for name, value in settings.items()}
        for point in itertools.product(*axes.values()):
            values = {name: axes[name][label] for name, label in zip(axes, point, strict=True)}
            runs += [Run(arm, seed, own | values, point) for seed in by_arm[arm]]
    return runs


def _labelled(name: str, values: Sequence) -> dict:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name}: the grid is {values!r}, give a list of the values to try")
    values = list(values)
    axis = {value: value for value in values}
    if len(axis) < len(values):
        raise ValueError(f"{name}: the grid {values} holds a value twice")
    return axis


def _of_arm(arm: str, name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if arm not in value:
        raise ValueError(f"{name} is given for the arms {list(value)}, but not for {arm!r}")
    return value[arm]


def training_memory(model: nn.Module, data: Dataset, settings: Mapping[str, Any]) -> int:
    """Bytes that one network takes up while it is trained, estimated from one forward pass.

    What is kept for the backward pass and half as much again for what comes and goes; five times
    the weights (gradients, the optimizer's two averages, the weights before the step).
    """
    saved = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    for module in model.modules():
        if isinstance(module, Cell):
            module.fused = False
    on_gpu = [data.train.y.device] if data.train.y.is_cuda else []
    saving = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with torch.random.fork_rng(devices=on_gpu), saving:
        x, y = (part[: settings["batch_size"]].clone() for part in data.train)
        loss = settings["loss_function"](model(x), y)
    weights = sum(p.nbytes for p in model.parameters())
    del loss
    return int(1.5 * sum(saved.values()) + 5 * weights)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU, or here."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def divide(
    runs: Sequence[Run],
    arms: Mapping[str, Build],
    data: Dataset,
    *,
    stacked: bool,
    pack: int | None,
    jobs: int,
    memory: float,
) -> list[Pack]:
    """Cut runs into packs, and into at least `jobs` packs if possible; the costliest come first.

    Only runs of one arm that differ in nothing but their seed and PER_NETWORK share a pack; it
    holds `pack` networks at most, else as many as are fast and fit into the share `memory` of what
    is free. Were the costliest not first, the last one might keep all other workers waiting.
    """
    families = _families(runs)
    room = memory * free_memory(data.train.y.device) / jobs
    sizes, costs = [], []
    for family in families:
        alone = not stacked or family[0].settings.get("watch")
        size, cost = (1, 0) if alone else _size_and_cost(family[0], arms, data, room)
        sizes.append(1 if alone else pack or size)
        costs.append(cost)
    counts = [math.ceil(len(f) / size) for f, size in zip(families, sizes, strict=True)]
    while sum(counts) < min(jobs, len(runs)):
        lengths = [len(f) / count for f, count in zip(families, counts, strict=True)]
        counts[lengths.index(max(lengths))] += 1
    packs = []
    for family, count, cost in zip(families, counts, costs, strict=True):
        cuts = [len(family) * k // count for k in range(count + 1)]
        build = arms[family[0].arm]
        packs += [(cost * (b - a), Pack(build, family[a:b])) for a, b in itertools.pairwise(cuts)]
    packs.sort(key=lambda pack: pack[0], reverse=True)
    return [pack for _, pack in packs]


def _families(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that may share a pack, together."""
    kin = {}
    for run in runs:
        # By identity: two losses or optimizers may differ in what neither == nor repr shows.
        apart = [(name, id(v)) for name, v in run.settings.items() if name not in PER_NETWORK]
        kin.setdefault((run.arm, *apart), []).append(run)
    return list(kin.values())


def _size_and_cost(
    run: Run, arms: Mapping[str, Build], data: Dataset, room: float
) -> tuple[int, float]:
    """How many networks like this one share a pack within `room` bytes; what one of them costs.

    The cost is updates x what one of them keeps in memory: only the order of costs matters.
    """
    model = initialise(arms[run.arm], run.seed, data.train.y.device)
    on_cpu = data.train.y.device.type == "cpu"
    alone = on_cpu and any(
        isinstance(module, ALONE_ON_CPU) or type(module) is LSTM for module in model.modules()
    )
    try:
        needed = training_memory(model, data, run.settings)  # which turns kernels off
    except Exception:  # where it is trained, it is said in a sentence what does not fit
        return 1, 0.0
    fit_in = 1 if alone else max(1, int(room / needed))
    return min(fit_in, MOST_ON_CPU) if on_cpu else fit_in, int(run.settings["steps"]) * needed
