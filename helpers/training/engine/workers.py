"""Packs at work: in processes or on a cluster, stacked or one by one, and kept when done."""

import copyreg
import functools
import hashlib
import json
import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from helpers.data.dataset import Dataset
from helpers.data.rehearsal import in_float64, rehearsal
from helpers.data.seeded import Source, changed, drawn
from helpers.data.threads import computing_with
from helpers.nets.dropout import RandomShift
from helpers.nets.starts import initialise
from helpers.training.engine.plan import PER_NETWORK, Pack, Run
from helpers.training.engine.stacking import UnstackableError, fit_stack, is_out_of_memory

Measure = Callable[[nn.Module, Dataset], Mapping[str, float]]
Tick = Callable[[str, int], None]  # name of the arm, updates that are done
CachedFunction = type(functools.cache(len))

ATTEMPTS = 3  # how often packs are given to new workers when workers die
ALIKE = 1e-6  # relative: a stack beside `fit`, both in float64
SHAKE = 1e-12  # relative

# Initial weights and dropout come from torch's random state, which all threads of a worker share.
_one_at_a_time = threading.Lock()


class StackError(RuntimeError):
    """A stack that trains otherwise than `fit`: what it made must not be used."""


@dataclass(frozen=True)
class Job:
    """What is done with every pack of a sweep."""

    data: Source
    train: Callable[..., pd.DataFrame]
    measure: Measure | None = None
    forced: bool = False  # the caller asked for stacks: do not fall back to one at a time
    keep_models: bool = True
    verify: int = 0  # updates after which places of every stack are compared with `train`; 0: not
    folder: Path | None = None  # where finished packs are kept for an interrupted sweep
    tick: Tick | None = None  # called while a pack trains in this process


@dataclass(frozen=True)
class Trained:
    """What became of a pack: a history and the weights of each network, and what to say about it.

    The last row of a history holds what was measured.
    """

    histories: Sequence[pd.DataFrame]
    states: Sequence[dict[str, torch.Tensor]]  # empty where they are not kept
    notes: Sequence[str] = ()


def execute(packs: Sequence[Pack], job: Job, n_jobs: int) -> Iterator[tuple[Pack, Trained]]:
    """Train packs in any order, each at most once; starts again what a dead worker had.

    On Ray, which hands back all results together, a dead worker costs every pack that the job's
    folder does not keep.
    """
    copyreg.pickle(CachedFunction, _by_value)
    waiting = dict(enumerate(packs))
    task, threads = joblib.delayed(_numbered), _threads(joblib.effective_n_jobs(n_jobs))
    for attempt in range(1, ATTEMPTS + 1):
        try:
            calls = [task(index, pack, job, threads) for index, pack in waiting.items()]
            for index, trained in _parallel(n_jobs)(calls):
                yield waiting.pop(index), trained
            return
        except _signs_of_death() as error:
            if attempt == ATTEMPTS:
                raise
            note = f"a worker process died, {len(waiting)} packs start again: {error}"
            warnings.warn(note.splitlines()[0], stacklevel=3)


def _by_value(cached: Any) -> tuple[Callable, tuple]:
    """How a notebook's cached function reaches other processes, which know nothing of its name."""
    return _cached, (cached.__wrapped__, cached.cache_parameters())


def _cached(function: Callable, parameters: Mapping[str, Any]) -> Callable:
    return functools.lru_cache(**parameters)(function)


def _signs_of_death() -> tuple[type[Exception], ...]:
    """What joblib's processes and the clusters raise when a worker dies.

    Dask goes on by itself, unless the worker takes along the only copy of scattered data.
    """
    ray = sys.modules.get("ray.exceptions")
    known = (TerminatedWorkerError, CancelledError)
    return (*known, ray.RayActorError) if ray else known


def _parallel(n_jobs: int) -> joblib.Parallel:
    """Results as they come where the backend can (Ray cannot), otherwise all at the end."""
    try:
        return joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    except ValueError:
        return joblib.Parallel(n_jobs=n_jobs)


def _threads(jobs: int) -> int:
    """Threads for each of `jobs` workers: as many as here, but no more than there are cores."""
    return max(1, min(torch.get_num_threads(), joblib.cpu_count() // jobs))


def _numbered(index: int, pack: Pack, job: Job, threads: int) -> tuple[int, Trained]:
    with _one_at_a_time, computing_with(threads):
        watched = pack.runs[0].settings.get("watch")  # every time, so it is trained every time
        kept = _kept_at(job.folder, pack) if job.folder and not watched else None
        if kept and (found := _read(kept, len(pack.runs), job.keep_models)):
            if job.tick:
                job.tick(pack.arm, pack.updates)
            return index, found
        trained = _train(pack, job)
        return index, _keep(kept, trained) if kept else trained


# --- finished packs ----------------------------------------------------------------------------


def _kept_at(folder: Path, pack: Pack) -> Path:
    """The file of a pack: named by its runs. Whether they are today's is the folder's business."""
    runs = repr([run.key for run in pack.runs])
    return folder / f"{hashlib.sha256(runs.encode()).hexdigest()[:16]}.json"


def _read(file: Path, networks: int, with_weights: bool) -> Trained | None:
    """A finished pack; None where there is none, or a damaged one."""
    try:
        parts = [pd.DataFrame(part) for part in json.loads(file.read_text(encoding="utf-8"))]
        weights = load_file(file.with_suffix(".safetensors")) if with_weights else {}
    except (OSError, ValueError, TypeError, SafetensorError):
        return None
    if len(parts) != networks:
        return None
    states: list[dict] = [{} for _ in parts]
    for name, weight in weights.items():
        network, _, own_name = name.partition(".")
        states[int(network)][own_name] = weight
    return Trained(parts, states)


def _keep(file: Path, trained: Trained) -> Trained:
    """Keep a pack's histories and weights; a full disk must not stop the training.

    The histories come last: where they are, all is.
    """
    text = json.dumps([history.to_dict("list") for history in trained.histories])
    weights = {
        f"{k}.{name}": weight.clone(memory_format=torch.contiguous_format)
        for k, state in enumerate(trained.states)
        for name, weight in state.items()
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{threading.get_native_id()}.partial")
        if weights:
            save_file(weights, partial)
            partial.replace(file.with_suffix(".safetensors"))
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        note = f"a finished pack cannot be kept for an interrupted sweep: {error}"
        return replace(trained, notes=[*trained.notes, note])
    return trained


# --- one pack ----------------------------------------------------------------------------------


def _train(pack: Pack, job: Job) -> Trained:
    """Train a pack; in halves where memory runs out, one by one where it cannot be stacked."""
    try:
        return _train_together(pack, job)
    except UnstackableError as error:
        if job.forced:
            raise
        note, size = f"{pack.arm}: one network at a time. {error}", 1
    except (RuntimeError, MemoryError) as error:
        if len(pack.runs) == 1 or not is_out_of_memory(error):
            raise
        size = len(pack.runs) // 2
        note = f"{pack.arm}: out of memory with {len(pack.runs)} networks, going on with {size}"
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    starts = range(0, len(pack.runs), size)
    parts = [_train(replace(pack, runs=pack.runs[k : k + size]), job) for k in starts]
    return Trained(
        list(chain(*(part.histories for part in parts))),
        list(chain(*(part.states for part in parts))),
        [note, *chain(*(part.notes for part in parts))],
    )


def _train_together(pack: Pack, job: Job) -> Trained:
    first = drawn(job.data, pack.runs[0].seed)
    models = [initialise(pack.build, run.seed, first.train.y.device) for run in pack.runs]
    if len(models) == 1:
        histories = [_alone(models[0], first, pack, job)]
    else:
        if job.verify:
            with in_float64():
                _compare_with_one(models, pack, job)
        histories = _stacked(models, pack, job.data, tick=_ticking(job, pack, len(models)))
    return Trained(
        [_with_measures(*pair, job) for pair in zip(pack.runs, models, histories, strict=True)],
        [model.cpu().state_dict() if job.keep_models else {} for model in models],
    )


def _alone(model: nn.Module, data: Dataset, pack: Pack, job: Job) -> pd.DataFrame:
    run, tick = pack.runs[0], _ticking(job, pack, 1)
    settings = dict(run.settings)
    if tick and "watch" in settings:
        own = settings["watch"]

        def watch(step: int, model: nn.Module) -> None:
            if own:
                own(step, model)
            if step:
                tick()

        settings["watch"] = watch
    return job.train(model, data, seed=run.seed, **settings)


def _stacked(models: Sequence[nn.Module], pack: Pack, data: Source, **more: Any) -> list:
    shared = {k: v for k, v in pack.runs[0].settings.items() if k not in ("watch", *PER_NETWORK)}
    own: dict[str, Any] = {name: [run.settings[name] for run in pack.runs] for name in PER_NETWORK}
    seeds = [run.seed for run in pack.runs]
    return fit_stack(models, data, seeds=seeds, **shared | own | more)


def _ticking(job: Job, pack: Pack, networks: int) -> Callable[[], None] | None:
    return (lambda: job.tick(pack.arm, networks)) if job.tick else None


def _with_measures(run: Run, model: nn.Module, history: pd.DataFrame, job: Job) -> pd.DataFrame:
    """The history with what `measure` finds in its last row; NaN for a network that diverged."""
    if job.measure is None:
        return history
    model.eval()
    with torch.no_grad():
        found = dict(job.measure(model, drawn(job.data, run.seed)))
    measured = pd.DataFrame(found, index=history.index[-1:], dtype=float)
    return history.join(measured)


def _compare_with_one(models: Sequence[nn.Module], pack: Pack, job: Job) -> None:
    """Raise StackError if the first, middle or last network trains otherwise in the stack.

    Compared after `verify` updates, in float64, without dropout and augmentation, which a stack
    draws in its own way.
    """
    calm = [_without_chance(deepcopy(model)).double() for model in models]
    data = changed(job.data, rehearsal)
    at_once = _stacked([deepcopy(model) for model in calm], pack, data, until=job.verify)
    for place in sorted({0, len(models) // 2, len(models) - 1}):
        run = pack.runs[place]

        def alone(model: nn.Module, run: Run = run) -> pd.Series:
            settings = {"seed": run.seed, "until": job.verify, **run.settings}
            return job.train(deepcopy(model), drawn(data, run.seed), **settings).iloc[-1]

        ends = pd.DataFrame({"stack": at_once[place].iloc[-1], "fit": alone(calm[place])})
        if _alike(ends):
            continue
        ends["rounding"] = alone(_shaken(calm[place]))
        size = ends["fit"].abs().clip(lower=1.0)
        grown = ((ends["rounding"] - ends["fit"]).abs() / size).fillna(math.inf).max()
        if not _alike(ends, 10 * grown * size):
            raise StackError(
                f"{pack.arm}, seed {run.seed}: network {place} of a stack of {len(models)} differs "
                f"from fit after {job.verify} updates: {ends.to_dict('index')}"
            )


def _alike(ends: pd.DataFrame, allowed: pd.Series | float = 0.0) -> bool:
    same = np.isclose(ends["stack"], ends["fit"], rtol=ALIKE, atol=1e-9, equal_nan=True)
    return bool((same | ((ends["stack"] - ends["fit"]).abs() <= allowed)).all())


@torch.no_grad()
def _shaken(model: nn.Module) -> nn.Module:
    """The network with its weights off by a little more than rounding.

    Where learning rates are too large, rounding alone may grow beyond ALIKE; so does this.
    """
    for weight in model.parameters():
        weight.mul_(1 + SHAKE)
    return model


def _without_chance(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(getattr(module, "p", None), float):  # the chance of a mask or a change
            vars(module)["p"] = 0.0
        if isinstance(module, RandomShift):
            module.pixels = 0
    return model
