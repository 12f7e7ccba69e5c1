"""A process for one system of `many.py`, which serves measurements until it is closed.

Each system has its own threads, pools and memory, and cannot disturb the others' settings.
"""

import ctypes
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

SYSTEMS = {
    "loop": "many_systems.Loop",
    "joblib": "many_systems.Joblib",
    "ray": "many_systems.RayTune",
    "jax": "many_jax.Jax",
    "ours": "many_systems.Ours",
}
HERE = Path(__file__).resolve().parent
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MEMORY_STEPS = 8  # memory stops growing after the first update or two


class NotInstalledError(Exception):
    """The system, or its support for the device, is absent."""


class Worker:
    """Client of a fresh process that runs one system.

    Raises NotInstalledError when the system cannot be imported, and RuntimeError, here or from
    a call, with the traceback of the process.
    """

    def __init__(self, system: str, device: str):
        self._pipe, theirs = Pipe()
        command = "import many_worker, sys; many_worker.serve(*sys.argv[1:])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", command, system, device, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
        )
        theirs.close()  # so that the death of the process ends our waiting
        self.system = system
        try:
            self._answer()
        except Exception:
            self.close()
            raise

    def __call__(self, function: str, **arguments: Any) -> Any:
        """The result of `measure` or `peak_memory` there."""
        self._pipe.send((function, arguments))
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.wait()

    def _answer(self) -> Any:
        try:
            error, result = self._pipe.recv()
        except EOFError:
            code = self._process.wait()
            raise RuntimeError(f"{self.system}: its process ended with code {code}") from None
        if error:
            raise error
        return result


def clean_environment() -> None:
    """Let every process choose its threads as it does for users, and find the benchmarks."""
    for name in (*THREAD_SETTINGS, "LOKY_MAX_CPU_COUNT"):
        os.environ.pop(name, None)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE)])
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the others use the GPU, too


def serve(name: str, device: str, file: str) -> None:
    """Answer calls of `measure` and `peak_memory` on an open pipe until its other end closes."""
    pipe = Connection(int(file))
    module, _, kind = SYSTEMS[name].partition(".")
    try:
        system = getattr(import_module(module), kind)(device)
    except ImportError as error:
        return pipe.send((NotInstalledError(f"not installed: {error}"), None))
    except Exception:
        return pipe.send((RuntimeError(f"{name}:\n{traceback.format_exc()}"), None))
    pipe.send((None, None))
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return None
        try:
            pipe.send((None, FUNCTIONS[function](system, device, **arguments)))
        except Exception:
            pipe.send((RuntimeError(f"{name}:\n{traceback.format_exc()}"), None))


def measure(
    system: Any, device: str, task: str, seeds: Sequence[int], steps: int, pack: int | None
) -> dict:
    """Warm up, then train one network per seed: what was done and in how many seconds."""
    from many_tasks import make_task

    prepared = make_task(task)
    system.warm_up(prepared, len(seeds), steps, pack)
    start = time.perf_counter()
    done = asdict(system.train(prepared, seeds, steps, pack))
    done["seconds"] = done["seconds"] or time.perf_counter() - start
    return done


def peak_memory(system: Any, device: str, task: str, pack: int) -> float:
    """Bytes a network by which training one pack raises this process's peak; NaN if unknown.

    Measured after training one network (JAX: after compiling): libraries and data do not count.
    To be called in a fresh process: memory that an earlier call left would not be counted.
    """
    from many_tasks import make_task

    prepared = make_task(task)
    system.settle(prepared, MEMORY_STEPS, pack)
    peak = _resident_peak if device == "cpu" else system.gpu_peak
    before = peak(reset=True)
    system.train(prepared, range(pack), MEMORY_STEPS, pack)
    return (peak() - before) / pack


def _resident_peak(reset: bool = False) -> float:
    """Highest resident memory of this process so far, in bytes; `reset`: of now (Linux)."""
    try:
        if reset:
            with suppress(AttributeError):  # glibc: give back what was freed, so that it counts
                ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


FUNCTIONS = {"measure": measure, "peak_memory": peak_memory}
