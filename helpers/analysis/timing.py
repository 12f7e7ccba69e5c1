"""Timing on a machine that does other things as well: arms take turns, ratios are taken per turn.

A clock on the wall says how busy the machine was; the seconds that this process was given are
counted instead. What slows the machine down for a while slows all arms of a round alike, and the
median over rounds forgets the rest.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from torch import Tensor, nn

from helpers.data.given import check_whole
from helpers.data.threads import computing_with


def interleave(arms: Mapping[str, Callable[[], Any]], rounds: int = 7) -> pd.DataFrame:
    """Seconds of every arm (columns) in every round (rows); in a round each arm runs once.

    The order of the arms turns by one from round to round; a first round is not kept. One thread,
    whatever was set before. Raises ValueError for no arms or no rounds.
    """
    check_whole(rounds=rounds, **{"number of arms": len(arms)})
    names, turns = list(arms), []
    with computing_with(1):
        for turn in range(1 + rounds):
            order = names[turn % len(names) :] + names[: turn % len(names)]
            turns.append({name: _seconds(arms[name]) for name in order})
    return pd.DataFrame(turns[1:])[names]


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def ratio(times: pd.DataFrame, numerator: str, denominator: str) -> float:
    """How many times as long one arm takes as another: the median over rounds of the ratio."""
    return (times[numerator] / times[denominator]).median()


def training_pass(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """Forward and backward through `model` on inputs `x`, ready to be timed."""

    def run() -> None:
        model.zero_grad()
        model(x).square().mean().backward()

    return run


def repeat(call: Callable[[], Any], times: int) -> Callable[[], None]:
    """The call so many times in a row: what takes microseconds is too short for a clock."""

    def run() -> None:
        for _ in range(times):
            call()

    return run
