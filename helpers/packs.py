"""Which runs are trained together, and how finished ones are found again.

A sweep is a list of runs (arm, settings, seed). Runs that differ only in seed, learning rate,
weight decay or clipping can share a pack, one stacked computation. How many do depends on the
network, the device and free memory: on a GPU as many as fit; on a CPU, where 2-D convolutions and
the fused LSTM are faster alone, either one or a pack small enough for the caches.
"""

import hashlib
import io
import itertools
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import torch
from torch import nn

from helpers.data import Dataset
from helpers.recurrent import LSTM

PER_NETWORK = ("lr", "weight_decay", "clip")  # what may differ within a pack
ALONE_ON_CPU = (
    nn.Conv2d,
    nn.Conv3d,
    nn.RNNBase,
    LSTM,
)  # faster one by one there: benchmarks/many.py
MOST_ON_CPU = 32  # beyond, a pack outgrows the caches and gains nothing
HELPERS = Path(__file__).resolve().parent


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


def expand(
    arms: Iterable[str],
    seeds: Sequence[int],
    grid: Mapping[str, Sequence | Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> list[Run]:
    """All runs of a sweep: every arm, every point of the grid, every seed.

    An axis of the grid is a sequence of values, or a mapping from labels to values. In `settings`
    a mapping gives each arm its own value.
    Raises ValueError for an empty axis, a value or seed that comes twice and an arm without value.
    """
    axes = {
        name: dict(a) if isinstance(a, Mapping) else _labelled(name, a) for name, a in grid.items()
    }
    arms, seeds = list(arms), list(seeds)
    empty = [name for name, axis in axes.items() if not axis]
    if empty or not arms or not seeds:
        raise ValueError(f"nothing to train: arms {arms}, seeds {seeds}, empty axes {empty}")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds {seeds} hold a seed twice: its runs would be the same")
    both = set(axes) & set(settings)
    if both:
        raise ValueError(f"{sorted(both)} are in the grid and given as a setting: choose one")
    runs = []
    for arm in arms:
        own = {name: _of_arm(arm, name, value) for name, value in settings.items()}
        for point in itertools.product(*axes.values()):
            values = {name: axes[name][label] for name, label in zip(axes, point, strict=True)}
            runs += [Run(arm, seed, own | values, point) for seed in seeds]
    return runs


def _labelled(name: str, values: Sequence) -> dict:
    axis = {value: value for value in values}
    if len(axis) < len(list(values)):
        raise ValueError(f"{name}: the grid {list(values)} holds a value twice")
    return axis


def _of_arm(arm: str, name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if arm not in value:
        raise ValueError(f"{name} is given for the arms {list(value)}, but not for {arm!r}")
    return value[arm]


def pack_size(model: nn.Module, data: Dataset, settings: Mapping[str, Any], memory: float) -> int:
    """Most networks like `model` that are trained together, within `memory` bytes."""
    on_cpu = data.train.y.device.type == "cpu"
    if on_cpu and any(isinstance(module, ALONE_ON_CPU) for module in model.modules()):
        return 1
    fit_in = int(memory / training_memory(model, data, settings))
    return max(1, min(fit_in, MOST_ON_CPU) if on_cpu else fit_in)


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
        if hasattr(module, "fused"):
            module.fused = False
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
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


def divide(runs: Sequence[Run], size: Callable[[Run], int], jobs: int) -> list[list[Run]]:
    """Cut runs into packs of at most `size` networks, and into at least `jobs` packs if possible.

    Only runs of one arm that differ in nothing but their seed and PER_NETWORK share a pack.
    """
    kin = {}
    for run in runs:
        apart = [(name, run.settings[name]) for name in run.settings if name not in PER_NETWORK]
        kin.setdefault((run.arm, *(f"{name}={value!r}" for name, value in apart)), []).append(run)
    wanted = math.ceil(jobs / len(kin))
    packs = []
    for family in kin.values():
        count = max(math.ceil(len(family) / size(family[0])), min(wanted, len(family)))
        cuts = [len(family) * k // count for k in range(count + 1)]
        packs += [family[a:b] for a, b in itertools.pairwise(cuts)]
    return packs


# --- finding finished packs again --------------------------------------------------------------


class _Pickler(cloudpickle.CloudPickler):
    """Pickles code by what it does: without the file and the line it was written in."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.CodeType):
            parts = (obj.co_code, obj.co_consts, obj.co_names, obj.co_varnames, obj.co_freevars)
            return tuple, (parts,)
        return super().reducer_override(obj)


def fingerprint(*parts: Any) -> str:
    """SHA-256 of anything picklable, functions of a notebook included; not of their place."""
    stream = io.BytesIO()
    _Pickler(stream).dump(parts)
    return hashlib.sha256(stream.getvalue()).hexdigest()


def fingerprint_of_data(data: Dataset) -> str:
    """SHA-256 over all tensors of a dataset."""
    digest = hashlib.sha256()
    for split in (data.train, data.valid, data.test):
        for part in split:
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(part.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def fingerprint_of_code(device: torch.device) -> str:
    """SHA-256 over the helpers' source, torch's version and build, and the kind of processor."""
    source = [path.read_bytes() for path in sorted(HELPERS.glob("*.py"))]
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return fingerprint(source, torch.__version__, torch.__config__.show(), processor)
