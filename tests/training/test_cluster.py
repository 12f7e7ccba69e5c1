"""The sweep of benchmarks/cluster.py on every engine, and what holds for packs on all of them."""

import os
import subprocess
import sys
from concurrent.futures import CancelledError, ThreadPoolExecutor
from itertools import count
from pathlib import Path

import joblib
import pytest
from helpers.training.engine.packs import Run
from torch import nn

from helpers.training.engine import execution, packs

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PACKAGES = {"processes": "joblib", "Dask": "distributed", "Ray": "ray"}


@pytest.mark.parametrize("engine", PACKAGES)
def test_same_table_on_every_engine_though_a_worker_is_killed(engine):
    pytest.importorskip(PACKAGES[engine])
    command = [sys.executable, str(BENCHMARKS / "cluster.py"), "--engines", engine, "--kill"]
    environment = os.environ | {"TQDM_DISABLE": "1", "LOKY_MAX_CPU_COUNT": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(f"{engine}: same table")]
    assert len(lines) == 2 and "one worker killed" in lines[1], done.stdout


def test_a_given_pack_size_makes_the_packs_independent_of_the_number_of_workers():
    runs = [Run(arm, seed, {"lr": 0.1}, ()) for arm in ("a", "b") for seed in range(12)]
    layouts = [packs.divide(runs, lambda run: 4, jobs) for jobs in (1, 2, 3, 6)]
    assert all(layout == layouts[0] for layout in layouts)
    assert len(packs.divide(runs, lambda run: 4, 7)) > 6  # more workers than packs: smaller packs


def test_packs_do_not_disturb_each_other_in_threads_of_one_worker():
    busy = []

    def train_pack(number: int) -> int:
        busy.append(number)
        assert len(busy) == 1
        nn.Linear(300, 300)
        return busy.pop()

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda i: execution._numbered(train_pack, i, i), range(200)))
    assert results == [(i, i) for i in range(200)]


class AllAtOnce(joblib.parallel.ThreadingBackend):
    """A backend that, like Ray's, cannot hand back results as they come."""

    supports_return_generator = False


def test_a_backend_without_generators_hands_back_everything(monkeypatch):
    monkeypatch.setattr(execution, "_train_pack", lambda key, number: number**2)
    monkeypatch.setattr(execution._memory, "cache", lambda function, ignore: function)
    joblib.register_parallel_backend("all-at-once", AllAtOnce)
    with joblib.parallel_config("all-at-once"):
        results = dict(execution.train_packs([("key", i) for i in range(5)], n_jobs=2))
    assert results == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}


class Deadly(joblib.parallel.ThreadingBackend):
    """A backend whose second result is lost, as Dask's may be when a worker dies."""

    results = count()

    def retrieve_result_callback(self, result):
        if next(self.results) == 1:
            raise CancelledError
        return super().retrieve_result_callback(result)


def test_what_a_lost_result_had_starts_again(monkeypatch):
    done = []
    monkeypatch.setattr(execution, "_train_pack", lambda key, number: done.append(number))
    monkeypatch.setattr(execution._memory, "cache", lambda function, ignore: function)
    joblib.register_parallel_backend("deadly", Deadly)
    with joblib.parallel_config("deadly"), pytest.warns(UserWarning, match="packs start again"):
        results = dict(execution.train_packs([("key", i) for i in range(5)], n_jobs=2))
    assert set(results) == set(range(5)) == set(done)


def test_the_cache_is_one_folder_wherever_a_worker_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        execution.use_cache(Path("cache"))
        assert Path(execution._memory.location).is_absolute()
    finally:
        execution.use_cache(None)


def test_what_a_sweep_knows_of_ray_once_it_is_imported():
    exceptions = pytest.importorskip("ray.exceptions")
    assert exceptions.RayActorError in execution._signs_of_death()
    assert issubclass(exceptions.ActorDiedError, exceptions.RayActorError)
