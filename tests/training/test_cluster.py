"""The sweep of benchmarks/cluster.py on every engine: joblib's processes, Dask, Ray."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.training.engine import workers

pytestmark = pytest.mark.nightly

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PACKAGES = {"processes": "joblib", "Dask": "distributed", "Ray": "ray"}


@pytest.mark.parametrize("engine", PACKAGES)
def test_same_table_on_every_engine_though_a_worker_is_killed(engine):
    pytest.importorskip(PACKAGES[engine])
    command = [sys.executable, str(BENCHMARKS / "cluster.py"), "--engines", engine, "--kill"]
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(f"{engine}: same table")]
    assert len(lines) == 2 and "one worker killed" in lines[1], done.stdout


def test_what_a_sweep_knows_of_ray_once_it_is_imported():
    exceptions = pytest.importorskip("ray.exceptions")
    assert exceptions.RayActorError in workers._signs_of_death()
    assert issubclass(exceptions.ActorDiedError, exceptions.RayActorError)
