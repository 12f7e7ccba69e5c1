"""Packs at work: in processes or on a cluster, stacked or one by one, and kept when done."""

import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from helpers.data.dataset import Dataset
from helpers.nets.starts import Build, initialise
from helpers.training.engine import packs
from helpers.training.engine.stacking import UnstackableError, fit_stack, is_out_of_memory

UNKEPT = "finished packs cannot be kept for an interrupted sweep"
ATTEMPTS = 3  # how often packs are given to new workers when workers die

_memory = joblib.Memory(None, verbose=0)

# Initial weights and dropout come from torch's random state, which all threads of a worker share.
_one_at_a_time = threading.Lock()


def use_cache(folder: Path | None) -> None:
    """Keep every finished pack in `folder`, so that an interrupted sweep goes on; None to stop.

    A pack is found again only by the same source of the helpers, settings, seeds, data, version of
    torch and kind of processor.
    """
    global _memory
    _memory = joblib.Memory(None, verbose=0)
    with _saying_what_cannot_be_kept(stacklevel=4):
        place = folder and Path(folder).resolve()  # workers may stand elsewhere
        # The checksum of a compressed file finds damage.
        _memory = joblib.Memory(place, verbose=0, compress=("zlib", 1))


@contextmanager
def _saying_what_cannot_be_kept(stacklevel: int) -> Iterator[None]:
    """Goes on without a cache, with a warning, where the disk is full or may not be written."""
    try:
        yield
    except OSError as error:
        warnings.warn(f"{UNKEPT}: {error}", stacklevel=stacklevel)


def clear_cache() -> None:
    """Delete all finished packs of the folder that `use_cache` set."""
    _memory.clear(warn=False)


def train_packs(calls: Sequence[tuple], n_jobs: int) -> Iterator[tuple[int, Any]]:
    """Train packs in any order; yields (index, result). Starts again what a dead worker had.

    On Ray, which hands back all results together, a dead worker costs every pack that `use_cache`
    does not keep.
    """
    waiting = dict(enumerate(calls))
    task = joblib.delayed(_numbered)
    train_pack = _train_pack
    with _saying_what_cannot_be_kept(stacklevel=5):
        train_pack = _memory.cache(_train_pack, ignore=["data", "build", "runs", "train"])
    for attempt in range(1, ATTEMPTS + 1):
        try:
            for index, result in _parallel(n_jobs)(
                task(train_pack if call[0] else _train_pack, i, *call)
                for i, call in [*waiting.items()]
            ):
                del waiting[index]
                yield index, result
            return
        except _signs_of_death() as error:
            if attempt == ATTEMPTS:
                raise
            note = f"a worker process died, {len(waiting)} packs start again: {error}"
            warnings.warn(note.splitlines()[0], stacklevel=3)


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


def _numbered(train_pack: Callable, index: int, *call: Any) -> tuple[int, Any]:
    with _one_at_a_time:
        try:
            return index, train_pack(*call)
        except OSError as error:  # a full disk must not stop the training
            trained, notes = _train_pack(*call)
            return index, (trained, [f"{UNKEPT}: {error}", *notes])


def _train_pack(
    key: str | None,
    data: Dataset,
    build: Build,
    runs: Sequence[packs.Run],
    train: Callable,
    pack: int | None,
    keep_models: bool,
) -> tuple[list[tuple[pd.DataFrame, dict | None]], list[str]]:
    """History and weights of every run of a pack, and what should be said about it.

    Cached by `key` alone, which stands for everything else; not at all where it is None.
    """
    try:
        return _train_together(data, build, runs, train, keep_models), []
    except UnstackableError as error:
        if pack:
            raise
        note, parts = f"{runs[0].arm}: one network at a time. {error}", [[run] for run in runs]
    except (RuntimeError, MemoryError) as error:
        if len(runs) == 1 or not is_out_of_memory(error):
            raise
        half = len(runs) // 2
        note = f"{runs[0].arm}: out of memory with {len(runs)} networks, going on with {half}"
        parts = [runs[:half], runs[half:]]
    if data.train.y.is_cuda:
        torch.cuda.empty_cache()
    done = [_train_pack(key, data, build, part, train, pack, keep_models) for part in parts]
    trained, notes = zip(*done, strict=True)
    return list(chain(*trained)), [note, *chain(*notes)]


def _train_together(
    data: Dataset, build: Build, runs: Sequence[packs.Run], train: Callable, keep_models: bool
) -> list[tuple[pd.DataFrame, dict | None]]:
    models = [initialise(build, run.seed, data.train.y.device) for run in runs]
    if len(runs) == 1:
        histories = [train(models[0], data, seed=runs[0].seed, **runs[0].settings)]
    else:
        shared = {k: v for k, v in runs[0].settings.items() if k != "watch"}
        own = {name: [run.settings[name] for run in runs] for name in packs.PER_NETWORK}
        histories = fit_stack(models, data, seeds=[run.seed for run in runs], **shared | own)
    states = [model.cpu().state_dict() if keep_models else None for model in models]
    return list(zip(histories, states, strict=True))
