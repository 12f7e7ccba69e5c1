"""One sweep on local processes, on a Dask cluster and on a Ray cluster: the tables are identical.

Both clusters are started here, with two workers of one thread; SCALE.md tells how to use others.
With --kill one worker of each engine dies by SIGKILL in the middle of the sweep, and the table
must still be the same. An engine that is not installed is left out.
"""

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import joblib
import pandas as pd
from torch import Tensor, nn

import helpers
from helpers.data.dataset import Dataset
from helpers.data.mnist1d import make_mnist1d
from helpers.nets.cnn import CNN1D, MLP
from helpers.nets.recurrent import GRU
from helpers.nets.sequences import LastStep
from helpers.training.many import fit_many

HELPERS = Path(helpers.__file__).parent
WORKERS = 2
PACK = 4  # given, so that the packs, and with them the last digits, do not depend on the machine
GRID = {"lr": [1e-3, 3e-3, 1e-2]}
SEEDS = range(4)


class SignalGRU(LastStep):
    """A GRU that reads signals (batch, 40) as ten steps of four values."""

    def __init__(self):
        super().__init__(GRU(4, 12))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(len(x), 10, 4))


def killed_once(build: Callable[[], nn.Module], death: Path, driver: int) -> nn.Module:
    """Build a network; the first worker that comes here, not the `driver`, kills itself."""
    if os.getpid() != driver and not death.exists():
        death.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return build()


def sweep(data: Dataset, n_jobs: int, death: Path | None = None) -> pd.DataFrame:
    """The table of 36 networks in nine packs; a worker dies on the way if `death` is given."""
    gru = partial(killed_once, SignalGRU, death, os.getpid()) if death else SignalGRU
    arms = {"MLP": partial(MLP, 40, 32), "GRU": gru, "CNN1D": CNN1D}
    settings = {"steps": 60, "pack": PACK, "n_jobs": n_jobs, "keep_models": False}
    return fit_many(arms, data, seeds=SEEDS, grid=GRID, **settings).table


@contextmanager
def on_processes() -> Iterator[None]:
    """Processes of this machine, which joblib takes by itself."""
    yield


@contextmanager
def on_dask() -> Iterator[None]:
    """A Dask cluster on this machine."""
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
        ) as cluster,
        Client(cluster),
        joblib.parallel_config("dask"),
    ):
        yield


@contextmanager
def on_ray() -> Iterator[None]:
    """A Ray cluster on this machine; its workers are sent the source of the helpers."""
    import ray
    from ray.util.joblib import register_ray

    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"py_modules": [str(HELPERS)]},
    )
    try:
        register_ray()
        with joblib.parallel_config("ray"):
            yield
    finally:
        ray.shutdown()


ENGINES = {"processes": on_processes, "Dask": on_dask, "Ray": on_ray}
PACKAGES = {"processes": "joblib", "Dask": "distributed", "Ray": "ray"}


def compare(engine: str, data: Dataset, expected: pd.DataFrame, kill: bool) -> None:
    """Run the sweep on an engine and print how long it took; with `kill`, once more with a death.

    Raises AssertionError where the table is not the `expected` one to the last bit.
    """
    with ENGINES[engine](), tempfile.TemporaryDirectory() as folder:
        for death in [None, Path(folder, "death")] if kill else [None]:
            start = time.perf_counter()
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                table = sweep(data, WORKERS, death)
            pd.testing.assert_frame_equal(table, expected, check_exact=True)
            seconds = f"same table after {time.perf_counter() - start:.1f} s"
            if death:
                assert death.exists(), "no worker was killed"
                notes = [str(w.message) for w in said if "worker" in str(w.message)]
                seconds += f", one worker killed ({'; '.join(notes) or 'the engine went on'})"
            print(f"{engine}: {seconds}", flush=True)


def main() -> None:
    """Parse the command line, run the sweep in this process, then on every engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--kill", action="store_true", help="kill a worker in mid-sweep")
    options = parser.parse_args()
    data = make_mnist1d(size=1000)
    start = time.perf_counter()
    expected = sweep(data, n_jobs=1)
    count = expected.groupby(["arm", "lr", "seed"]).ngroups
    print(f"one process: {count} networks in {time.perf_counter() - start:.1f} s", flush=True)
    for engine in options.engines:
        if importlib.util.find_spec(PACKAGES[engine]):
            compare(engine, data, expected, options.kill)
        else:
            print(f"{engine}: left out; pip install -r benchmarks/requirements.txt")


if __name__ == "__main__":
    main()
