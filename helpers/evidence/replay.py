"""Replay: is the code that is here the code of the evidence?

The first updates of the first seed of every arm, start included, in float64 on the CPU; then loss,
metrics and measured numbers on a small fixed part of the data. They agree to 1e-6 on every
machine, or, where a network is chaotic, as well as it agrees with itself after a nudge; and they
change with whatever changes the science. Moving code about, renaming and speeding up leave them
alone.
What a few updates cannot show (all data, all batches) is summed up beside them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from inspect import signature
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from helpers.data.dataset import SPLITS, Dataset
from helpers.data.rehearsal import in_float64, rehearsal
from helpers.data.seeded import Source, changed, drawn
from helpers.data.streams import stream
from helpers.nets.starts import initialise
from helpers.training.many import Run

UPDATES = 10
TOLERANCE = 1e-6  # relative
NUDGE = 1e-14  # relative, of every weight: a hundred times the rounding of float64
NUDGE_OF_INPUTS = 1e-7  # the rounding of float32, in which data are made
NUDGES = (1, 2, 3)  # seeds of the nudges
LUCK = 10  # rounding may go so many times farther than the farthest of three nudges


class Nudge(NamedTuple):
    """What moves a replay as rounding may: its weights, and its inputs where those are rounded."""

    seed: int
    inputs: bool


class Difference(NamedTuple):
    """Something that the evidence records otherwise than it is here."""

    what: str
    recorded: Any
    here: Any

    def __str__(self) -> str:
        return f"{self.what} is {_short(self.here)} here, {_short(self.recorded)} in the evidence"


def _short(value: Any) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def differences(recorded: Any, here: Any, what: str = "") -> list[Difference]:
    """All leaves in which two nested records differ, numbers by more than TOLERANCE."""
    if isinstance(recorded, Mapping) and isinstance(here, Mapping):
        keys = [*recorded, *(key for key in here if key not in recorded)]
        return [
            difference
            for key in keys
            for difference in differences(
                recorded.get(key, "missing"), here.get(key, "missing"), f"{what} {key}".strip()
            )
        ]
    if isinstance(recorded, Real) and isinstance(here, Real):
        near_zero = TOLERANCE if "data" in what else 1e-9  # means of standardised data are rounding
        same = math.isclose(recorded, here, rel_tol=TOLERANCE, abs_tol=near_zero)
        return [] if same else [Difference(what, recorded, here)]
    if isinstance(recorded, list) and isinstance(here, list) and len(recorded) == len(here):
        pairs = enumerate(zip(recorded, here, strict=True), start=1)
        found = [differences(*pair, f"{what}[{k}]") for k, pair in pairs]
        return next((difference for difference in found if difference), [])
    return [] if recorded == here else [Difference(what, recorded, here)]


def beyond_rounding(
    found: Iterable[Difference], here: Mapping[str, Any], nudged: Iterable[Mapping[str, Any]]
) -> list[Difference]:
    """Those of the differences that are much larger than what nudges of the starts make of them.

    A chaotic network, such as a recurrent one with large weights, multiplies even the rounding
    of another version of PyTorch within its first updates. `here` is the replay, `nudged` are
    replays whose weights differ by NUDGE, and their inputs by
    NUDGE_OF_INPUTS where the data here are rounded otherwise.
    """
    reach: dict[str, float] = {}
    for one in nudged:
        for what, before, after in differences(here, one):
            if isinstance(before, Real) and isinstance(after, Real):
                reach[what] = max(reach.get(what, 0.0), abs(float(after) - float(before)))
    return [
        one
        for one in found
        if not (one.what in reach and isinstance(one.recorded, Real))
        or abs(one.here - one.recorded) > LUCK * reach[one.what]
    ]


def replay(
    runs: Sequence[Run],
    arms: Mapping[str, Any],
    data: Source,
    train: Any,
    measure: Any = None,
    updates: int = UPDATES,
    nudge: Nudge | None = None,
) -> dict[str, Any]:
    """What the first updates of these runs give, as JSON keeps it; `nudge` moves it a little."""
    small = cache(partial(drawn, changed(data, lambda whole: rehearsal(whole.to("cpu")))))
    networks = {
        _name(run): _rehearse(run, arms, small(run.seed), train, measure, updates, nudge)
        for run in runs
    }
    return {"updates": updates, "data": summary(drawn(data, runs[0].seed)), "networks": networks}


def first_of_each(runs: Iterable[Run], axes: Iterable[str] = ()) -> list[Run]:
    """The runs to replay: of every arm and every setting of the grid `axes` the first seed.

    Of settings that are numbers the middle one stands for all.
    """
    families: dict[tuple, list[Run]] = {}
    for run in runs:
        labels = zip(axes, run.labels, strict=True)
        kind = (label for axis, label in labels if not _is_number(run.settings[axis]))
        families.setdefault((run.arm, *kind), []).append(run)
    firsts = []
    for family in families.values():
        of_first_seed = [run for run in family if run.seed == family[0].seed]
        firsts.append(of_first_seed[len(of_first_seed) // 2])
    return firsts


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _name(run: Run) -> str:
    return ", ".join(map(str, run.key))


def _rehearse(
    run: Run,
    arms: Mapping[str, Any],
    data: Dataset,
    train: Any,
    measure: Any,
    updates: int,
    nudge: Nudge | None,
) -> dict[str, Any]:
    """Losses, metrics and measured numbers of a network after its first updates."""
    with in_float64():  # normal numbers of float32 are rounded otherwise without AVX2
        model = initialise(arms[run.arm], run.seed).double()
    if nudge is not None:
        _nudge(model.parameters(), stream(nudge.seed, "nudge"), NUDGE)
        data = _nudged(data, stream(nudge.seed, "nudge of inputs")) if nudge.inputs else data
    settings = dict(run.settings)
    if "until" in signature(train).parameters:
        settings["until"] = updates
    elif "steps" in settings:
        settings["steps"] = min(settings["steps"], updates)
    with in_float64():
        history = train(model, data, seed=run.seed, **settings)
        model.eval()
        with torch.no_grad():
            measured = dict(measure(model, data)) if measure else {}
    found = {name: _plain(value) for name, value in history.iloc[-1].items()}
    found |= {f"measured {name}": _plain(value) for name, value in measured.items()}
    if order := settings.get("order"):
        found["batches"] = _order(order, len(data.train.y), run)
    return found


@torch.no_grad()
def _nudge(numbers: Iterable[Tensor], random: torch.Generator, size: float) -> None:
    for values in numbers:
        noise = torch.randn(values.shape, generator=random, dtype=values.dtype)
        values.mul_(1 + size * noise)


def _nudged(data: Dataset, random: torch.Generator) -> Dataset:
    """Inputs that are numbers, moved as far as rounding moves them on another processor.

    A normalisation divides by a spread that may be rounding alone, as at a picture's border.
    """
    x = data.train.x
    if not x.is_floating_point():
        return data
    x = x.clone()
    _nudge([x], random, NUDGE_OF_INPUTS)
    return replace(data, train=data.train._replace(x=x))


def _plain(value: Any) -> Any:
    """A number as JSON keeps it to 12 digits; one that is not finite as its name."""
    number = float(value)
    return float(f"{number:.12g}") if math.isfinite(number) else str(number)


def _order(order: Any, count: int, run: Run) -> int:
    """A number that changes with every change in the batches of the whole run."""
    steps, size = run.settings["steps"], run.settings["batch_size"]
    total = 0
    for step, batch in enumerate(order(count, size, steps, stream(run.seed, "batches")), start=1):
        total = (total + step * int(batch[0] + 7 * batch[-1] + 3 * batch.sum())) % 1_000_003
    return total


def summary(data: Dataset) -> dict[str, Any]:
    """Sizes, mean, mean square and a random projection of everything in the three splits."""
    return {
        f"{name}.{part}": _moments(values)
        for name in SPLITS
        for part, values in zip("xy", getattr(data, name), strict=True)
    }


def _moments(values: Tensor) -> list[float]:
    """The projection knows the place of every number: two that change places change it."""
    flat = values.detach().cpu().flatten().double()
    random = torch.rand(len(flat), generator=stream(0, "summary"), dtype=torch.float64) - 0.5
    numbers = (flat.mean(), flat.square().mean(), flat.dot(random) / math.sqrt(len(flat)))
    return [*values.shape, *map(_plain, numbers)]
