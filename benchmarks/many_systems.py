"""The systems that `many.py` compares, each in a process of its own.

Every system has `warm_up` (start processes, compile; not timed) and `train`, which trains one
network per seed and says what was done. JAX is in many_jax.py.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial

import joblib
import torch
from many_tasks import Task, count, make_task
from torch import nn
from torch.utils.data import DataLoader

from helpers.data.dataset import Dataset, Split

FEW_STEPS = 3  # of a warm-up


@dataclass(frozen=True)
class Done:
    """What a system did, counted by itself."""

    losses: list[float]  # of each network: mean training loss over the last quarter of the steps
    steps: int
    batch_size: int
    parameters: int
    threads: int | None  # in each process
    seconds: float = 0.0
    compile_seconds: float = 0.0


def last_quarter(steps: int) -> int:
    """Number of steps over which losses are compared."""
    return max(1, steps // 4)


def train_plain(task: Task, steps: int, device: str, seed: int) -> Done:
    """The loop as most people write it."""
    torch.manual_seed(seed)
    model = task.plain().to(device)
    loader = DataLoader(
        task.examples(task.data), batch_size=task.batch_size, shuffle=True, drop_last=True
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=task.lr)
    criterion = nn.CrossEntropyLoss()
    losses, samples = [], 0
    model.train()
    while len(losses) < steps:
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            samples += len(y)
            if len(losses) == steps:
                break
    mean = sum(losses[-last_quarter(steps) :]) / last_quarter(steps)
    batch_size = samples // len(losses)
    return Done([mean], len(losses), batch_size, count(model), torch.get_num_threads())


def merge(parts: Sequence[Done]) -> Done:
    """One record of several networks. Raises RuntimeError when their work differs."""
    work = {(p.steps, p.batch_size, p.parameters, p.threads) for p in parts}
    if len(work) != 1:
        raise RuntimeError(f"networks of one sweep did unequal work: {work}")
    return replace(parts[0], losses=[loss for p in parts for loss in p.losses])


class System:
    """What every system has; `train` and `warm_up` take None for a pack of their own choice."""

    def __init__(self, device: str):
        self.device = device

    def warm_up(self, task: Task, networks: int, steps: int, pack: int | None) -> None:
        """Start processes and compile whatever `train` with these arguments will need."""

    def train(self, task: Task, seeds: Sequence[int], steps: int, pack: int | None) -> Done:
        """Train one network per seed."""
        raise NotImplementedError

    def settle(self, task: Task, steps: int, pack: int) -> None:
        """Take up what memory is needed before the first network of a pack is there."""
        self.train(task, [0], steps, 1)

    def gpu_peak(self, reset: bool = False) -> int:
        """Highest number of bytes allocated on the GPU so far; `reset`: start from now."""
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()


class Loop(System):
    """Network after network in one process, with torch's default number of threads."""

    def warm_up(self, task: Task, networks: int, steps: int, pack: int | None) -> None:
        train_plain(task, FEW_STEPS, self.device, seed=0)

    def train(self, task: Task, seeds: Sequence[int], steps: int, pack: int | None) -> Done:
        return merge([train_plain(task, steps, self.device, seed) for seed in seeds])


def _plain_job(name: str, steps: int, device: str, seed: int) -> Done:
    torch.set_num_threads(1)
    return train_plain(make_task(name), steps, device, seed)


class Joblib(System):
    """The plain loop in as many processes as cores, one thread each."""

    def warm_up(self, task: Task, networks: int, steps: int, pack: int | None) -> None:
        self.train(task, range(networks), FEW_STEPS, pack)

    def train(self, task: Task, seeds: Sequence[int], steps: int, pack: int | None) -> Done:
        job = joblib.delayed(partial(_plain_job, task.name, steps, self.device))
        return merge(joblib.Parallel(n_jobs=-1)(job(seed) for seed in seeds))


@cache
def _warm(name: str, device: str) -> None:
    _plain_job(name, FEW_STEPS, device, seed=0)


def _trial(config: dict, name: str, steps: int, device: str) -> None:
    from ray import tune

    _warm(name, device)  # once a process
    start = time.perf_counter()  # the same clock in all processes of a machine
    done = _plain_job(name, steps, device, config["seed"])
    tune.report({"work": asdict(done), "start": start, "end": time.perf_counter()})


class RayTune(System):
    """The plain loop as a Ray Tune trial per network, one core each, actors used again.

    Timed from the start of the first trial to the end of the last, so without starting Ray's
    processes, which takes some ten seconds a sweep. `_trial` warms up the process it runs in.
    """

    def __init__(self, device: str):
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0"}
        import ray.tune

        super().__init__(device)
        self.tune = ray.tune
        self.cores = joblib.cpu_count()
        gpus = torch.cuda.device_count()
        ray.init(num_cpus=self.cores, num_gpus=gpus, include_dashboard=False, log_to_driver=False)

    def train(self, task: Task, seeds: Sequence[int], steps: int, pack: int | None) -> Done:
        tune, gpu = self.tune, int(self.device != "cpu") / self.cores
        trial = partial(_trial, name=task.name, steps=steps, device=self.device)
        with tempfile.TemporaryDirectory() as folder:
            results = tune.Tuner(
                tune.with_resources(trial, {"cpu": 1, "gpu": gpu}),
                param_space={"seed": tune.grid_search(list(seeds))},
                tune_config=tune.TuneConfig(reuse_actors=True),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            ).fit()
        if results.errors:
            raise RuntimeError(f"Ray Tune: {results.errors[0]}")
        trials = [result.metrics for result in results]
        done = merge([Done(**metrics["work"]) for metrics in trials])
        seconds = max(m["end"] for m in trials) - min(m["start"] for m in trials)
        return replace(done, seconds=seconds)


@cache
def _data_on(device: str, name: str) -> Dataset:
    data = make_task(name).data
    splits = {s: getattr(data, s) for s in ("train", "valid", "test")}
    return replace(data, **{s: Split(x.to(device), y.to(device)) for s, (x, y) in splits.items()})


class Ours(System):
    """`fit_many`: packs chosen by itself on all cores, or of a given size in this process."""

    def __init__(self, device: str):
        from helpers.training.many import fit_many

        super().__init__(device)
        self.fit_many = fit_many

    def warm_up(self, task: Task, networks: int, steps: int, pack: int | None) -> None:
        self.train(task, range(networks), FEW_STEPS, pack)

    def train(self, task: Task, seeds: Sequence[int], steps: int, pack: int | None) -> Done:
        table = self.fit_many(
            {task.name: task.ours},
            _data_on(self.device, task.name),
            seeds=seeds,
            lr=task.lr,
            steps=steps,
            batch_size=task.batch_size,
            pack=pack,
            n_jobs=-1 if pack is None else 1,
            keep_models=False,
            evaluate_every=steps - last_quarter(steps),  # the last row is of the last quarter
        ).table
        last = table.groupby("seed", sort=False).tail(1)
        if set(last.step) != {steps} or list(last.seed) != list(seeds):
            raise RuntimeError(f"{steps} steps of each of {len(seeds)} networks expected:\n{last}")
        parameters, threads = count(task.ours()), torch.get_num_threads()
        return Done(last.train_loss.tolist(), steps, task.batch_size, parameters, threads)
