"""Which runs are trained together, and how finished ones are found again.

A sweep is a list of runs (arm, settings, seed). Runs that differ only in seed, learning rate,
weight decay or clipping can share a pack, one stacked computation. How many do depends on the
network, the device and free memory: on a GPU as many as fit; on a CPU, where 2-D convolutions and
the fused LSTM are faster alone, either one or a pack small enough for the caches.
"""

import dis
import functools
import hashlib
import importlib.metadata
import io
import itertools
import math
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import torch
from torch import nn

from helpers.data.dataset import Dataset
from helpers.nets.recurrent import LSTM

PER_NETWORK = ("lr", "weight_decay", "clip")  # what may differ within a pack
ALONE_ON_CPU = (nn.Conv2d, nn.Conv3d, nn.RNNBase)  # faster one by one: benchmarks/many.py
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


def pack_size(model: nn.Module, data: Dataset, settings: Mapping[str, Any], memory: float) -> int:
    """Most networks like `model` that are trained together, within `memory` bytes."""
    on_cpu = data.train.y.device.type == "cpu"
    if on_cpu and any(_faster_alone(module) for module in model.modules()):
        return 1
    fit_in = int(memory / training_memory(model, data, settings))
    return max(1, min(fit_in, MOST_ON_CPU) if on_cpu else fit_in)


def _faster_alone(module: nn.Module) -> bool:
    """Whether a CPU trains it faster one by one, as measured by benchmarks/many.py."""
    return isinstance(module, ALONE_ON_CPU) or (isinstance(module, LSTM) and module.uses_kernel)


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
    size: Callable[[Run], int],
    jobs: int,
    cost: Callable[[Run], float] = lambda run: 0.0,
) -> list[list[Run]]:
    """Cut runs into packs of at most `size` networks, and into at least `jobs` packs if possible.

    Only runs of one arm that differ in nothing but their seed and PER_NETWORK share a pack. The
    costliest packs come first, or the last one might keep all other workers waiting.
    """
    kin = {}
    for run in runs:
        # By identity: two losses or optimizers may differ in what neither == nor repr shows.
        apart = [(name, id(v)) for name, v in run.settings.items() if name not in PER_NETWORK]
        kin.setdefault((run.arm, *apart), []).append(run)
    families = list(kin.values())
    counts = [math.ceil(len(family) / size(family[0])) for family in families]
    while sum(counts) < min(jobs, len(runs)):
        lengths = [len(family) / count for family, count in zip(families, counts, strict=True)]
        counts[lengths.index(max(lengths))] += 1
    packs = []
    for family, count in zip(families, counts, strict=True):
        cuts = [len(family) * k // count for k in range(count + 1)]
        one = cost(family[0])
        packs += [(one * (b - a), family[a:b]) for a, b in itertools.pairwise(cuts)]
    packs.sort(key=lambda pack: pack[0], reverse=True)
    return [pack for _, pack in packs]


# --- finding finished packs again --------------------------------------------------------------


class _Pickler(cloudpickle.CloudPickler):
    """Pickles what code does, never where it stands: without files, lines and memory addresses.

    Installed packages are named only; what a notebook or a module beside it defines is taken apart.
    Only for fingerprints, it cannot be read back.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.CodeType):
            constants = [sorted(c, key=repr) if type(c) is frozenset else c for c in obj.co_consts]
            parts = (obj.co_code, constants, obj.co_names, obj.co_varnames, obj.co_freevars)
            return tuple, (parts,)
        if isinstance(obj, torch.Tensor):
            return str, (_digest([obj]), type(obj), obj.requires_grad)
        if isinstance(obj, types.ModuleType) and _is_own(obj.__name__):
            return bytes, (Path(obj.__file__).read_bytes() if _has_file(obj) else obj.__name__,)
        # The third part is pickled last: a function may refer to itself.
        if isinstance(obj, types.FunctionType) and _is_own(obj.__module__):
            used = {name: obj.__globals__.get(name) for name in _global_names(obj.__code__)}
            how = (obj.__defaults__, obj.__kwdefaults__, obj.__closure__, vars(obj))
            return object, (), (obj.__code__, *how, used)
        if isinstance(obj, type) and _is_own(obj.__module__):
            members = [(k, v) for k, v in vars(obj).items() if k not in NO_MEMBERS]
            members = [(k, v) for k, v in members if not isinstance(v, types.MemberDescriptorType)]
            return object, (), (obj.__bases__, members)
        return super().reducer_override(obj)


NO_MEMBERS = {"__module__", "__qualname__", "__firstlineno__", "__static_attributes__"}
NO_MEMBERS |= {"__dict__", "__weakref__", "_abc_impl"}
LOAD_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def _global_names(code: types.CodeType) -> list[str]:
    """Globals that code reads, that of the functions inside it included."""
    read = [i.argval for i in dis.get_instructions(code) if i.opname in LOAD_GLOBALS]
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return list(dict.fromkeys(itertools.chain(read, *map(_global_names, inner))))


def _has_file(module: types.ModuleType) -> bool:
    return bool(getattr(module, "__file__", None)) and Path(module.__file__).is_file()


@functools.cache
def _is_own(module: str | None) -> bool:
    """Whether a module is neither Python's nor installed nor one of the helpers."""
    top = (module or "").partition(".")[0]
    return not (top in sys.stdlib_module_names or top == HELPERS.name or top in _installed())


@functools.cache
def _installed() -> Mapping[str, Any]:
    return importlib.metadata.packages_distributions()


def fingerprint(*parts: Any) -> str:
    """SHA-256 of anything picklable, functions of a notebook included; not of their place."""
    stream = io.BytesIO()
    _Pickler(stream).dump(parts)
    return hashlib.sha256(stream.getvalue()).hexdigest()


def fingerprint_of_data(data: Dataset) -> str:
    """SHA-256 over all tensors of a dataset."""
    return _digest(part for split in (data.train, data.valid, data.test) for part in split)


def _digest(tensors: Iterable[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for part in tensors:
        digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
        digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def fingerprint_of_code(device: torch.device) -> str:
    """SHA-256 over the helpers' source, torch's version and build, and the kind of processor."""
    source = [path.read_bytes() for path in sorted(HELPERS.glob("*.py"))]
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return fingerprint(source, torch.__version__, torch.__config__.show(), processor)
