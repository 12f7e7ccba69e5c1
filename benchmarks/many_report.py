"""What `many.py` concludes from its measurements: equal work, ratios, tables, the machine."""

import math
import statistics
from collections.abc import Sequence

import pages
import pandas as pd

PLAIN = ("loop", "joblib", "ray")  # systems that train one network at a time
SAME_LOSS = 0.10  # of the loop's mean loss in the last quarter; to this come standard errors
ERRORS = 3  # standard errors of the difference of two means of independent networks
PROMISED = {"rnn": 6, "gru": 6, "lstm": 1.5, "simple-cnn": 3, "cnn1d": 2}  # on two CPU cores


class UnequalWorkError(RuntimeError):
    """The systems did not do the same, so their times must not be compared."""


def check_equal_work(runs: Sequence[dict], steps: int) -> None:
    """Raise UnequalWorkError unless all runs of a task did what the plain loop did.

    That is `steps` updates, its batch size, its number of parameters, and a mean loss in the last
    quarter of the updates within SAME_LOSS of the loop's plus ERRORS standard errors. Networks of
    all repeats are pooled by system and pack.
    """
    loop = [run for run in runs if run["system"] == "loop"]
    expected = {"steps": steps} | {k: loop[0][k] for k in ("batch_size", "parameters")}
    pooled: dict[tuple, list[float]] = {}
    for run in runs:
        name = f"{run['task']}, {run['system']}, pack {run['pack']}"
        wrong = {k: run[k] for k, value in expected.items() if run[k] != value}
        if wrong or len(run["losses"]) != run["networks"]:
            raise UnequalWorkError(f"{name}: {wrong or len(run['losses'])}, expected {expected}")
        pooled.setdefault((run["system"], run["pack"], name), []).extend(run["losses"])
    reference = next(losses for (system, *_), losses in pooled.items() if system == "loop")
    for (*_, name), losses in pooled.items():
        difference = statistics.mean(losses) - statistics.mean(reference)
        error = math.sqrt(_squared_error(losses) + _squared_error(reference))
        tolerance = SAME_LOSS * statistics.mean(reference) + ERRORS * error
        if not abs(difference) <= tolerance:  # NaN is unequal, too
            raise UnequalWorkError(
                f"{name}: mean loss {statistics.mean(losses):.3f} in the last quarter, the loop's "
                f"is {statistics.mean(reference):.3f} and the tolerance {tolerance:.3f}"
            )


def _squared_error(values: Sequence[float]) -> float:
    return statistics.variance(values) / len(values) if len(values) > 1 else 0.0


def costs(runs: Sequence[dict]) -> pd.DataFrame:
    """One row per run, indexed by task, system, pack (0: whole sweep) and repeat.

    `ms`: of each network and step, `loop` that of the plain loop in the same repeat.
    """
    table = pd.DataFrame(runs)
    table["pack"] = table["pack"].fillna(0).astype(int)
    table["ms"] = 1e3 * table.seconds / table.networks / table.steps
    loop = table[table.system == "loop"][["task", "repeat", "ms"]]
    return table.merge(loop.rename(columns={"ms": "loop"}), on=["task", "repeat"])


def sweep_table(table: pd.DataFrame, missing: dict[str, str]) -> pd.DataFrame:
    """Whole sweeps: JAX at its fastest pack, ours as it chooses by itself."""
    rows = []
    for task, group in table.groupby("task", sort=False):
        chosen = {s: group[(group.system == s) & (group.pack == 0)] for s in (*PLAIN, "ours")}
        jax = group[group.system == "jax"]
        if len(jax):
            chosen["jax"] = jax[jax.pack == jax.groupby("pack").ms.median().idxmin()]
        ours = chosen["ours"].set_index("repeat").ms
        for system in ("loop", "joblib", "ray", "jax", "ours"):
            if system in missing:
                rows.append({"task": task, "system": system, "networks": missing[system][:40]})
                continue
            part = chosen[system].set_index("repeat")
            promise = PROMISED.get(task, PROMISED.get(task.split("-")[0]))
            rows.append(
                {
                    "task": task,
                    "system": system + (f", pack {part.pack.iloc[0]}" if system == "jax" else ""),
                    "networks": part.networks.iloc[0],
                    "ms a network and step": spread(part.ms),
                    "times the loop's speed": spread(part.loop / part.ms),
                    "ours is faster by": spread(part.ms / ours) if system != "ours" else "",
                    "goal": f"{promise}×" if promise and system == "ours" else "",
                    "compile, s": f"{part.compile_seconds.max():.1f}" if system == "jax" else "",
                }
            )
    return pd.DataFrame(rows).fillna("")


def pack_table(table: pd.DataFrame, memory: Sequence[dict]) -> pd.DataFrame:
    """How the cost of a network falls with the size of the pack: ours in one process, and JAX."""
    peaks = {(m["task"], m["system"], m["pack"]): m["bytes"] / 2**20 for m in memory}
    rows = []
    for (task, pack, system), part in table[table.pack > 0].groupby(
        ["task", "pack", "system"], sort=False
    ):
        rows.append(
            {
                "task": task,
                "pack": pack,
                "system": system,
                "ms a network and step": spread(part.ms),
                "times the loop's speed": spread(part.loop / part.ms),
                "compile, s": f"{part.compile_seconds.max():.1f}" if system == "jax" else "",
                "MiB a network": _mebibytes(peaks.get((task, system, pack))),
                "MiB, loop": _mebibytes(peaks.get((task, "loop", 1))),
            }
        )
    return pd.DataFrame(rows)


def spread(values: pd.Series) -> str:
    """Median and range; no range of a single value."""
    text = f"{values.median():.3g}"
    return f"{text} ({values.min():.3g} to {values.max():.3g})" if len(values) > 1 else text


def _mebibytes(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def tables(report: dict) -> list[str]:
    """What was found so far, in Markdown."""
    table = costs(report["runs"])
    load = f"load average before a run: {table.load.min():.1f} to {table.load.max():.1f}"
    return [
        "Whole sweeps: median (smallest to largest) over repeats; ratios within a repeat.",
        pages.markdown(sweep_table(table, report["missing"])),
        "By size of pack: ours in one process with one thread, JAX as it comes.",
        pages.markdown(pack_table(table, report["memory"])),
        f"{report['machine']}; {load}",
    ]


def best_device() -> str:
    """Name of the fastest device that torch and JAX can both use: cuda or cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
