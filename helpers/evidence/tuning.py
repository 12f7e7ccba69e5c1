"""Tuning that is measured once and kept: validation losses of every arm over its grid.

Choosing a learning rate with care costs more than the experiment that it serves, and a choice that
is made anew on every machine can fall differently. So the losses are measured by `make tune`,
committed in `data/tuning/<notebook>.json`, and found again as long as the question is the same:
same arms, grid, seeds, data and settings. A question that changed is measured again.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.data.dataset import Dataset
from helpers.evidence.files import write_whole
from helpers.nets.starts import Build, initialise

HOW_IT_RUNS = ("pack", "memory", "n_jobs")  # changes the time that an answer takes


class TuningError(ValueError):
    """A file of tuning results that cannot be read."""


def question(
    arms: Mapping[str, Build],
    data: Dataset,
    grid: Mapping[str, Sequence | Mapping[str, Any]],
    seeds: Iterable[int],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What is asked, in words and numbers that JSON keeps: the arms by their number of weights."""
    sizes = {arm: sum(p.numel() for p in initialise(arms[arm], 0).parameters()) for arm in arms}
    splits = {"train": data.train, "valid": data.valid}
    asked = {
        "arms": sizes,
        "data": {
            name: [list(split.x.shape), list(split.y.shape)] for name, split in splits.items()
        },
        "grid": {n: dict(v) if isinstance(v, Mapping) else list(v) for n, v in grid.items()},
        "seeds": list(seeds),
        "settings": {name: settings[name] for name in sorted(settings) if name not in HOW_IT_RUNS},
    }
    return json.loads(json.dumps(asked, default=_name))


def _name(value: Any) -> str:
    """A function by its name, with the arguments that are set already."""
    if isinstance(value, partial):
        given = [str(a) for a in value.args] + [f"{k}={v}" for k, v in value.keywords.items()]
        return f"{_name(value.func)}({', '.join(given)})"
    return getattr(value, "__qualname__", None) or repr(value)


def find(file: Path, name: str, asked: Mapping[str, Any]) -> pd.DataFrame | None:
    """The losses kept in `file` under `name`, if they answer the same question.

    Raises TuningError naming a file that is malformed.
    """
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))[name]
        if kept["question"] != asked:
            return None
        table = pd.DataFrame(kept["losses"]).set_index(list(asked["grid"]))[list(asked["arms"])]
        return table.astype(float).fillna(math.inf)
    except (FileNotFoundError, LookupError):
        return None
    except (ValueError, TypeError, AttributeError) as error:
        cure = "restore it with git, or measure it again with make tune"
        raise TuningError(f"{file} is malformed ({error!r}): {cure}") from error


def keep(file: Path, name: str, asked: Mapping[str, Any], table: pd.DataFrame) -> None:
    """Write a table of `training.tune` into `file` under `name`; infinite losses become null."""
    rows = table.round(6).replace(math.inf, None).reset_index().to_dict("records")
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept[name] = {"question": asked, "losses": rows}
    write_whole(file, json.dumps(kept, indent=1, allow_nan=False) + "\n")
