"""Training many networks: `fit_many` against how it is done elsewhere, side by side in one run.

Prints how many times faster each system is than the plain PyTorch loop, and `fit_many` than each
system. All train the same networks with the same settings; unequal work is an error. The systems
take turns, because the speed of a shared machine drifts. benchmarks/README.md says more.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import joblib
import many_report
import many_worker
import pages
from many_worker import NotInstalledError, Worker

from helpers.evidence.files import write_whole

RUNS = Path(__file__).resolve().parents[1] / "build" / "many.json"
PACKAGES = ("numpy", "joblib", "jax", "jaxlib", "optax", "ray")
TASKS = (
    "simple-cnn",
    "simple-cnn-tensors",
    "cnn1d",
    "rnn-50",
    "lstm-50",
    "gru-50",
    "rnn-100",
    "lstm-100",
    "gru-100",
)
PACKS, LARGE_PACKS = (1, 4, 16, 64), (256, 1024)
FEWEST = 4  # networks in one measurement of a small pack
QUICK = {
    "tasks": ["cnn1d", "rnn-50"],
    "packs": [4],
    "repeats": 1,
    "networks": 4,
    "loop_networks": 2,
    "steps": 8,
}


@dataclass(frozen=True)
class Case:
    """One system at one size; `pack` None: the whole sweep, in the system's own way."""

    system: str
    networks: int
    pack: int | None = None


def cases(systems: Sequence[str], packs: Sequence[int], networks: int, few: int) -> list[Case]:
    """What is measured for a task; plain systems train few networks, their cost is the same."""
    plain = [
        Case(s, few if s == "loop" else few * joblib.cpu_count())
        for s in systems
        if s in many_report.PLAIN
    ]
    whole = [Case("ours", networks)] if "ours" in systems else []
    stacked = [s for s in ("jax", "ours") if s in systems]
    return plain + whole + [Case(s, max(p, FEWEST), p) for p in packs for s in stacked]


def start(
    systems: Sequence[str], device: str, stack: ExitStack
) -> tuple[dict[str, Worker], dict[str, str]]:
    """A worker for each system, closed with the stack, and why others have none."""
    workers, missing = {}, {}
    for system in systems:
        try:
            workers[system] = stack.enter_context(closing(Worker(system, device)))
        except NotInstalledError as error:
            missing[system] = str(error)
    return workers, missing


def measure(task: str, workers: dict[str, Worker], args: argparse.Namespace) -> Iterator[dict]:
    """Every case of a task in turn, `args.repeats` times; each repeat has seeds of its own.

    A case that would take longer than `args.limit` by its smaller pack is left out.
    """
    left_out = set()
    pace: dict[str, float] = {}  # seconds a network, of the last case of each stacked system
    for repeat in range(args.repeats):
        for case in cases(list(workers), args.packs, args.networks, args.loop_networks):
            expected = pace.get(case.system, 0) * case.networks if case.pack else 0
            if case in left_out or (repeat == 0 and expected > args.limit):
                left_out.add(case)
                continue
            first = repeat * 100_000
            seeds = list(range(first, first + case.networks))
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
            done = workers[case.system](
                "measure", task=task, seeds=seeds, steps=args.steps, pack=case.pack
            )
            run = {"task": task, "repeat": repeat, "load": load} | vars(case) | done
            if case.pack:
                pace[case.system] = done["seconds"] / case.networks
            shown = {k: v for k, v in run.items() if k != "losses"}
            print(shown | {"loss": statistics.mean(done["losses"])}, file=sys.stderr, flush=True)
            yield run


def memory(task: str, runs: Sequence[dict], device: str) -> Iterator[dict]:
    """Peak memory a network, each system and pack in a fresh process."""
    sizes = dict.fromkeys((run["system"], run["pack"]) for run in runs if run["pack"])
    for system, pack in [("loop", 1), *sizes]:
        with closing(Worker(system, device)) as worker:
            peak = worker("peak_memory", task=task, pack=pack)
        yield {"task": task, "system": system, "pack": pack, "bytes": peak}


def arguments() -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--packs", nargs="+", type=int, help="default: 1 4 16 64")
    parser.add_argument("--large", action="store_true", help="also packs of 256 and 1024; on CUDA")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--networks", type=int, help="of a whole sweep; default: largest pack")
    parser.add_argument("--loop-networks", type=int, default=3, help="loop: of each repeat")
    parser.add_argument("--steps", type=int, default=100, help="updates of each network")
    parser.add_argument("--limit", type=float, default=90, help="seconds of one measurement")
    parser.add_argument("--skip", nargs="+", choices=list(many_worker.SYSTEMS)[1:-1], default=[])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--quick", action="store_true", help=f"smoke run: {QUICK}")
    parser.add_argument(
        "--page", type=Path, help="write the tables to this file, with their origin"
    )
    parser.add_argument("--json", type=Path, default=RUNS, help="every single run; build/many.json")
    args = parser.parse_args()
    if args.quick:
        vars(args).update(QUICK)
    if args.device == "auto":
        args.device = many_report.best_device()
    large = args.large or args.device == "cuda"
    args.packs = sorted(set(args.packs or PACKS + LARGE_PACKS * large))
    args.networks = args.networks or args.packs[-1]
    counts = [*args.packs, args.repeats, args.networks, args.loop_networks]
    if min(counts) < 1 or args.steps < 4:
        parser.error("packs, repeats and networks must be at least 1, --steps at least 4")
    return args


def main() -> None:
    """Measure task after task; after each, check the work and write what is known so far."""
    many_worker.clean_environment()
    args = arguments()
    args.json.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        systems = [s for s in many_worker.SYSTEMS if s not in args.skip]
        workers, missing = start(systems, args.device, stack)
        report = {
            "machine": pages.machine(args.device, *PACKAGES),
            "settings": {name: str(value) for name, value in vars(args).items()},
            "missing": missing | dict.fromkeys(args.skip, "skipped"),
            "runs": [],
            "memory": [],
        }
        for task in args.tasks:
            runs = list(measure(task, workers, args))
            report["runs"] += runs
            write_whole(args.json, json.dumps(report, indent=1) + "\n")
            many_report.check_equal_work(runs, args.steps)
            report["memory"] += memory(task, runs, args.device)
            write_whole(args.json, json.dumps(report, indent=1) + "\n")
            pages.write(args.page, "Many networks", *many_report.tables(report))


if __name__ == "__main__":
    main()
