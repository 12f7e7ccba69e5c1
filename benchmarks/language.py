"""Language models on characters: training and sampling speed, side by side in one run.

Training: `fit_many` with the state carried in a stack, against the loop that most people write over
`nn.RNN`, `nn.GRU` and `nn.LSTM`. Both train the same networks on the same batches; if their losses
differ, nothing is printed. The arms take turns, because the speed of a shared machine drifts. On
one core the clock is the processor's time of this process, which others slow down less.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import joblib
import pages
import pandas as pd
import torch
from torch import Tensor, nn

from helpers import data, text, training
from helpers.data.dataset import Dataset, Split
from helpers.data.streams import stream
from helpers.nets import recurrent
from helpers.nets.sequences import LanguageModel
from helpers.nets.starts import initialise
from helpers.text import language, sampling
from helpers.training.batches import reading_order

EMBEDDING, STREAMS, LENGTH, LEARNING_RATE = 32, 16, 64, 3e-3
SAME_LOSS = 0.01  # nats, of the mean over a run: same weights, same batches, other rounding
CELLS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
GOALS = {"RNN": 3.0, "GRU": 3.0, "LSTM": 1.0}  # times the loop's tokens a second
SAMPLING_GOAL = 2_000  # characters a second on one core
SAMPLED = {"hidden": 160, "ways": {"all tokens": {}, "nucleus 0.9": {"top_p": 0.9}}}


@dataclass(frozen=True)
class Case:
    """A cell of some width; `cores` are those of ours, the loop runs on one."""

    cell: str
    hidden: int
    cores: int

    def ours(self, tokens: int, count: int) -> nn.Module:
        """The course's network, which carries its state."""
        cell = getattr(recurrent, self.cell)(EMBEDDING, self.hidden)
        return language.Stateful(LanguageModel(tokens, cell), STREAMS, count)


class Plain(nn.Module):
    """The same network from torch's own layers."""

    def __init__(self, case: Case, tokens: int):
        super().__init__()
        self.embedding = nn.Embedding(tokens, EMBEDDING)
        self.cell = CELLS[case.cell](EMBEDDING, case.hidden, batch_first=True)
        self.head = nn.Linear(case.hidden, tokens)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        h, state = self.cell(self.embedding(x), state)
        return self.head(h), state


def make_data() -> Dataset:
    """The training plays in windows; held-out texts of two windows, as only training is timed."""
    plays = data.load_plays()
    vocabulary = text.Vocabulary.build(text.characters(plays.train))
    ids = (vocabulary.encode(text.characters(part)) for part in plays)
    whole = language.text_data("plays", *ids, vocabulary, LENGTH)
    short = {s: Split(*(part[:2] for part in getattr(whole, s))) for s in ("valid", "test")}
    return replace(whole, **short)


def loop(case: Case, task: Dataset, seeds: Sequence[int], steps: int) -> list[float]:
    """Train network after network the usual way, on one core; the mean loss of each."""
    torch.set_num_threads(1)  # a second thread gains networks so small nothing
    x, y = task.train
    return [_loop_once(case, task, x, y, seed, steps) for seed in seeds]


def _loop_once(case: Case, task: Dataset, x: Tensor, y: Tensor, seed: int, steps: int) -> float:
    model = Plain(case, len(task.classes))
    ours = initialise(partial(case.ours, len(task.classes), len(y)), seed)
    model.load_state_dict(ours.model.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    criterion, state, losses = nn.CrossEntropyLoss(), None, []
    order = reading_order(len(y), STREAMS, steps, stream(seed, "batches"))
    for step, batch in enumerate(order):
        if step % (len(y) // STREAMS) == 0:
            state = None
        logits, state = model(x[batch], state)
        state = tuple(s.detach() for s in state) if case.cell == "LSTM" else state.detach()
        loss = criterion(logits.flatten(0, 1), y[batch].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return statistics.mean(losses)


def ours(case: Case, task: Dataset, seeds: Sequence[int], steps: int) -> list[float]:
    """Train all networks with `fit_many`, on as many processes as the case has cores."""
    torch.set_num_threads(1)
    runs = training.fit_many(
        {case.cell: partial(case.ours, len(task.classes), len(task.train.y))},
        task,
        seeds=seeds,
        steps=steps,
        lr=LEARNING_RATE,
        clip=1.0,
        batch_size=STREAMS,
        order=reading_order,
        n_jobs=case.cores,
        keep_models=False,
    )
    return runs.final("train_loss").squeeze(1).tolist()


ARMS: dict[str, Callable[[Case, Dataset, Sequence[int], int], list[float]]] = {
    "loop": loop,
    "ours": ours,
}


def measure(case: Case, task: Dataset, args: argparse.Namespace, repeat: int) -> list[dict]:
    """Both arms once, one after the other; the loop trains fewer networks, each costs the same."""
    seeds = list(range(repeat * 1000, repeat * 1000 + args.networks))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    runs = []
    for arm, own in (("loop", seeds[: args.loop_networks]), ("ours", seeds)):
        clock = time.process_time if case.cores == 1 else time.perf_counter
        start = clock()
        losses = ARMS[arm](case, task, own, args.steps)
        seconds = clock() - start
        tokens = len(own) * args.steps * STREAMS * LENGTH
        run = vars(case) | {"arm": arm, "repeat": repeat, "seconds": seconds, "load": load}
        runs.append(run | {"tokens_a_second": tokens / seconds, "losses": losses})
        print({k: v for k, v in runs[-1].items() if k != "losses"}, file=sys.stderr, flush=True)
    return runs


def check_equal_work(runs: Sequence[dict]) -> None:
    """Raise RuntimeError unless networks of one seed have the same mean loss in both arms."""
    for plain, stacked in zip(runs[::2], runs[1::2], strict=True):
        for a, b in zip(plain["losses"], stacked["losses"], strict=False):
            if not abs(a - b) <= SAME_LOSS:  # NaN is unequal, too
                name = f"{plain['cell']} {plain['hidden']}"
                raise RuntimeError(f"{name}: mean loss {a:.4f} in the loop, {b:.4f} in ours")


def summarise(runs: Sequence[dict]) -> pd.DataFrame:
    """One row per case: tokens a second of both arms, and their ratio within a repeat."""
    table, rows = pd.DataFrame(runs), []
    for (cell, hidden, cores), part in table.groupby(["cell", "hidden", "cores"], sort=False):
        speed = part.pivot(index="repeat", columns="arm", values="tokens_a_second")
        rows.append(
            {
                "cell": f"{cell} {hidden}",
                "cores of ours": cores,
                "loop, characters/s": _spread(speed.loop, ",.0f"),
                "ours, characters/s": _spread(speed.ours, ",.0f"),
                "times the loop": _spread(speed.ours / speed.loop, ".2f"),
                "goal": f"{GOALS[cell]:g}×",
            }
        )
    return pd.DataFrame(rows)


def sample(repeats: int, count: int) -> pd.DataFrame:
    """Characters a second that one text, and sixteen side by side, grow by on one core."""
    torch.set_num_threads(1)
    model = initialise(lambda: LanguageModel(73, recurrent.LSTM(32, SAMPLED["hidden"])), 0).eval()
    cases = [(name, how, batch) for name, how in SAMPLED["ways"].items() for batch in (1, 16)]
    speeds: dict[tuple, list[float]] = {}
    for repeat in range(repeats + 1):  # the first warms up
        for name, how, batch in cases:
            prompt = torch.full((batch, 9), 2)
            start = time.process_time()
            sampling.continue_text(model, prompt, count, generator=stream(repeat, "s"), **how)
            speed = batch * count / (time.process_time() - start)
            speeds.setdefault((name, batch), []).extend([speed] * (repeat > 0))
    rows = [
        {
            "drawn from": name,
            "texts": batch,
            "characters/s": _spread(pd.Series(values), ",.0f"),
            "goal": f"{SAMPLING_GOAL:,}" if batch == 1 else "",
        }
        for (name, batch), values in speeds.items()
    ]
    return pd.DataFrame(rows)


def _spread(values: pd.Series, form: str) -> str:
    return f"{values.median():{form}} ({values.min():{form}} to {values.max():{form}})"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--hidden", type=int, nargs="+", default=[64])
    parser.add_argument("--cores", type=int, nargs="+", help="default: 1 and all")
    parser.add_argument("--networks", type=int, default=16, help="of a sweep of ours")
    parser.add_argument("--loop-networks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--page", type=Path, help="write the tables to this file, with their origin"
    )
    parser.add_argument("--json", type=Path, help="write every single run to this file")
    args = parser.parse_args(given)
    args.cores = args.cores or sorted({1, joblib.cpu_count()})
    sizes = (args.networks, args.loop_networks, args.steps, args.repeats, *args.hidden)
    if min(*sizes, *args.cores) < 1 or args.loop_networks > args.networks:
        parser.error("numbers are at least 1, and --loop-networks is at most --networks")
    if args.json and not args.json.resolve().parent.is_dir():
        parser.error(f"--json {args.json}: its folder does not exist, create it first")
    return args


def main(given: Sequence[str] | None = None) -> None:
    """Measure, check and print; with --json also store every run."""
    args = arguments(given)
    task = make_data()
    cases = [Case(c, h, n) for h in args.hidden for n in args.cores for c in args.cells]
    for case in cases:  # start the processes, choose the kernels
        loop(case, task, [0], 2)
        ours(case, task, range(args.networks), 1)
    runs = [
        r
        for repeat in range(args.repeats)
        for case in cases
        for r in measure(case, task, args, repeat)
    ]
    check_equal_work(runs)
    loads = [run["load"] for run in runs]
    notes = [
        f"{STREAMS} streams of {LENGTH} characters an update, {args.steps} updates; "
        f"{args.networks} networks of ours, {args.loop_networks} of the loop; "
        f"{args.repeats} repeats; median (min to max)",
        pages.machine("cpu"),
        f"load average before a run: {min(loads):.1f} to {max(loads):.1f}",
    ]
    speed = sample(args.repeats, count=400)
    tables = (pages.markdown(table) for table in (summarise(runs), speed))
    pages.write(args.page, "Language models", *tables, *notes)
    if args.json:
        args.json.write_text(json.dumps({"notes": notes, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
