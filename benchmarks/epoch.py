"""An epoch of `fit` against the loop over a DataLoader that most people write.

Same network, initial weights, images, batch size, learning rate, number of updates and threads.
The arms take turns (A B C A B C ...), because the speed of a shared machine drifts. The clock runs
from the start of the loop to the end of the last update: reading the files and testing the
accuracy are left out of every arm.
"""

import argparse
import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import joblib
import pages
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import FashionMNIST

from helpers.data.dataset import DataError, Dataset, Split
from helpers.data.loading import load, load_public, resolve_device
from helpers.nets.cnn import SimpleCNN
from helpers.nets.starts import initialise
from helpers.training.fit import evaluate, fit

BATCH_SIZE = 64
LEARNING_RATE = 1e-3
FALLBACK_EPOCHS = 5  # of the small embedded set, so that a measurement lasts some seconds
SAME_ACCURACY = 0.01  # smaller differences of the means count as equal, whatever their noise


@dataclass(frozen=True)
class Task:
    """What every arm trains on: tensors for `fit`, the same pixels in torchvision's class."""

    data: Dataset
    images: FashionMNIST
    epochs: int

    @property
    def steps(self) -> int:
        """Number of updates; every arm leaves out the batch that an epoch cannot fill."""
        return len(self.data.train.y) // BATCH_SIZE * self.epochs


def dataloader_loop(model: nn.Module, task: Task, seed: int, workers: int) -> None:
    """Train `model` the usual way: torchvision's class and transforms, DataLoader, running loss."""
    torch.manual_seed(seed)
    device = task.data.train.y.device
    loader = DataLoader(task.images, BATCH_SIZE, shuffle=True, num_workers=workers, drop_last=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    criterion = nn.CrossEntropyLoss()

    for _ in range(task.epochs):
        model.train()
        running_loss = 0.0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()


def fit_loop(model: nn.Module, task: Task, seed: int) -> None:
    """Train `model` with the course's `fit`."""
    fit(model, task.data, steps=task.steps, lr=LEARNING_RATE, seed=seed, batch_size=BATCH_SIZE)


ARMS: dict[str, Callable[[nn.Module, Task, int], None]] = {
    "DataLoader, no workers": partial(dataloader_loop, workers=0),
    "DataLoader, 2 workers": partial(dataloader_loop, workers=2),
    "fit": fit_loop,
}


class Stopwatch:
    """Counts updates and training samples of any loop from outside, and times its last update."""

    def __init__(self, model: nn.Module, steps: int):
        self.device = next(model.parameters()).device
        self.updates = self.samples = 0
        self._steps = steps
        self._hooks = [
            model.register_forward_pre_hook(self._see),
            register_optimizer_step_post_hook(self._count),
        ]

    def __enter__(self) -> "Stopwatch":
        self.start = self.end = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def seconds(self) -> float:
        """From entering to the end of the last of `steps` updates, in seconds."""
        return self.end - self.start

    def _see(self, model: nn.Module, inputs: tuple[Tensor]) -> None:
        self.samples += len(inputs[0]) * model.training

    def _count(self, *_: object) -> None:
        self.updates += 1
        if self.updates == self._steps:
            self.end = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def measure(arm: str, task: Task, seed: int, threads: int) -> dict:
    """Train one network once: seconds an epoch, updates, samples, test accuracy; also to stderr."""
    torch.set_num_threads(threads)
    device = task.data.train.y.device
    model = SimpleCNN().to(device)  # in torch's default memory layout, whatever `initialise` uses
    model.load_state_dict(initialise(SimpleCNN, seed, device).state_dict())
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with Stopwatch(model, task.steps) as watch:
        ARMS[arm](model, task, seed)
    run = {
        "threads": threads,
        "arm": arm,
        "seed": seed,
        "seconds": watch.seconds / task.epochs,
        "updates": watch.updates,
        "samples": watch.samples,
        "accuracy": evaluate(model, task.data.test)["accuracy"],
        "load": load_before,
    }
    print(run, file=sys.stderr, flush=True)
    return run


def prepare(folder: Path | None, device: torch.device, root: Path) -> Task:
    """All training images of Fashion-MNIST in `folder`, or the embedded set without a folder.

    root is an empty folder in which torchvision's files are written.
    """
    data = load_public("fashion-mnist", folder, device) if folder else load("fashion-9k", device)
    train = Split(*(torch.cat(pair) for pair in zip(data.train, data.valid, strict=True)))
    _write_idx(root, "train", train, data)
    _write_idx(root, "t10k", data.test, data)
    steps = [transforms.ToTensor(), transforms.Normalize((data.mean,), (data.std,))]
    images = FashionMNIST(root, train=True, transform=transforms.Compose(steps))
    difference = (images[0][0] - train.x[0].cpu()).abs().max().item()
    if difference > 1e-5:
        raise RuntimeError(f"the arms see different pixels (by {difference:.1g}): do not compare")
    return Task(replace(data, train=train), images, 1 if folder else FALLBACK_EPOCHS)


def _write_idx(root: Path, kind: str, split: Split, data: Dataset) -> None:
    """Undo the standardisation and write the bytes in the idx format that torchvision reads."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    pixels = (split.x.cpu() * data.std + data.mean).mul_(255).round_().byte().squeeze(1)
    for name, values in ("images-idx3", pixels), ("labels-idx1", split.y.cpu().byte()):
        header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (folder / f"{kind}-{name}-ubyte").write_bytes(header + values.numpy().tobytes())


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per threads and arm: seconds an epoch, how many times `fit` is faster, accuracy.

    The ratio is paired: the arms of one seed ran one after the other.
    """
    rows = []
    for threads, group in runs.groupby("threads", sort=False):
        seconds = group.pivot(index="seed", columns="arm", values="seconds")
        accuracy = group.pivot(index="seed", columns="arm", values="accuracy") * 100
        for arm in ARMS:
            ratio = seconds[arm] / seconds["fit"]
            rows.append(
                {
                    "threads": threads,
                    "arm": arm,
                    "s/epoch": _spread(seconds[arm]),
                    "times the time of fit": _spread(ratio),
                    "mean test accuracy": f"{accuracy[arm].mean():.1f} %",
                }
            )
    return pd.DataFrame(rows)


def _spread(values: pd.Series) -> str:
    return f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})"


def check_equal_work(runs: pd.DataFrame, steps: int) -> None:
    """Raise RuntimeError unless every run made `steps` updates on as many full batches."""
    wrong = runs[(runs.updates != steps) | (runs.samples != steps * BATCH_SIZE)]
    if len(wrong):
        raise RuntimeError(f"{steps} updates of {BATCH_SIZE} samples expected:\n{wrong}")


def compare_accuracy(runs: pd.DataFrame) -> str:
    """Say how far `fit`'s mean test accuracy is from the other loops'.

    Threads change nothing but rounding, so runs of one seed are averaged over them first.
    Raises RuntimeError when the difference exceeds both one point and two standard errors.
    """
    scores = runs.pivot_table(index="seed", columns="arm", values="accuracy")
    difference = scores["fit"] - scores.drop(columns="fit").mean(axis=1)
    error = difference.sem() if len(difference) > 1 else 0.0  # one seed tells nothing of noise
    line = f"accuracy of fit minus DataLoader, points: {100 * difference.mean():+.2f}"
    line += f", standard error {100 * error:.2f} over {len(difference)} seed(s)"
    if abs(difference.mean()) > max(SAME_ACCURACY, 2 * error):
        raise RuntimeError(f"{line}: not equal, so the times must not be compared")
    return line


def arguments() -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of Fashion-MNIST's idx files, .gz or not")
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each arm, one per seed")
    parser.add_argument("--threads", type=int, nargs="+", help="default: all cores, then 1")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--page", type=Path, help="write the table to this file, with its origin")
    parser.add_argument("--json", type=Path, help="write every single run to this file")
    args = parser.parse_args()
    args.threads = args.threads or sorted({joblib.cpu_count(), 1}, reverse=True)
    if args.repeats < 1 or min(args.threads) < 1:
        parser.error("--repeats and --threads must be at least 1")
    if args.json and not args.json.resolve().parent.is_dir():
        parser.error(f"--json {args.json}: its folder does not exist, create it first")
    try:
        args.device = resolve_device(args.device)
    except DataError as error:
        parser.error(str(error))
    return args


def main() -> None:
    """Measure, check and print; with --json also store every run."""
    args = arguments()
    with tempfile.TemporaryDirectory() as root:
        try:
            task = prepare(args.data, args.device, Path(root))
        except DataError as error:
            sys.exit(f"error: {error}")
        if args.data is None:
            print(f"no --data: {task.epochs} epochs of the embedded set, not full Fashion-MNIST")
        fit_loop(SimpleCNN().to(args.device), replace(task, epochs=1), seed=0)  # warm up
        rounds = [(seed, n) for seed in range(args.repeats) for n in args.threads]
        runs = pd.DataFrame([measure(arm, task, seed, n) for seed, n in rounds for arm in ARMS])

    check_equal_work(runs, task.steps)
    notes = [
        f"{len(task.data.train.y):,} images, {task.steps:,} updates of {BATCH_SIZE} in "
        f"{task.epochs} epoch(s), {args.repeats} seeds; median (min to max)",
        compare_accuracy(runs),
        pages.machine(args.device.type),
        f"load average before a run: {runs.load.min():.1f} to {runs.load.max():.1f}",
    ]
    pages.write(args.page, "An epoch", pages.markdown(summarise(runs)), *notes)
    if args.json:
        content = {"notes": notes, "runs": runs.to_dict("records")}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
