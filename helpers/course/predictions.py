"""The reader's predictions: how sure, before measuring, that a sentence holds; their score."""

import json
from collections.abc import Mapping
from contextlib import suppress
from numbers import Real
from pathlib import Path

import pandas as pd

from helpers.evidence.files import build_folder, write_whole

BELIEVER = "believes every sentence"
COIN = "always says 0.5"


def folder() -> Path:
    """`build/predictions`: one JSON file a notebook."""
    return build_folder() / "predictions"


def keep(notebook: str, given: Mapping[str, float | None]) -> None:
    """Store the predictions that were made; None stands for none.

    Raises ValueError for a prediction that is no probability.
    """
    for claim, chance in given.items():
        number = isinstance(chance, Real) and not isinstance(chance, bool)
        if chance is not None and not (number and 0 <= chance <= 1):
            raise ValueError(f"{claim}: {chance!r} is no probability, give 0 to 1, or None")
    made = {claim: float(chance) for claim, chance in given.items() if chance is not None}
    try:
        if made:
            write_whole(folder() / f"{notebook}.json", json.dumps(made, indent=1) + "\n")
    except OSError as error:
        print(f"Your predictions cannot be kept here ({error}); the notebook goes on without.")


def made() -> dict[str, float]:
    """All predictions by claim; none from a file that cannot be read."""
    found: dict[str, float] = {}
    for file in sorted(folder().glob("*.json")):
        with suppress(ValueError, AttributeError, TypeError):
            kept = json.loads(file.read_text())
            found |= {claim: float(chance) for claim, chance in kept.items()}
    return found


def brier(predicted: Mapping[str, float], words: Mapping[str, str]) -> pd.Series:
    """Brier scores (Brier 1950) of the reader and of two that did not think; lower is better.

    The mean squared difference between the chance given to *true* and what came: 1 where the
    claim was true, 0 where not. Only claims with a prediction and a verdict count for the
    reader (NaN without any), all verdicts for the others.
    """
    came = pd.Series({claim: float(word == "true") for claim, word in words.items()})
    mine = pd.Series(dict(predicted), dtype=float).reindex(came.index)
    return pd.Series(
        {
            "you": ((mine - came) ** 2).mean(),
            BELIEVER: ((1 - came) ** 2).mean(),
            COIN: ((0.5 - came) ** 2).mean(),
        }
    )


def calibration(predicted: Mapping[str, float], words: Mapping[str, str]) -> pd.DataFrame:
    """For five ranges of stated chance: their middle, the share that was true, how many.

    Ranges without a prediction are left out.
    """
    pairs = pd.DataFrame(
        [(predicted[c], word == "true") for c, word in words.items() if c in predicted],
        columns=["said", "came"],
    )
    ranges = pd.cut(pairs["said"], [0, 0.2, 0.4, 0.6, 0.8, 1], include_lowest=True)
    grouped = pairs.groupby(ranges, observed=True)
    return pd.DataFrame(
        {"said": grouped["said"].mean(), "came": grouped["came"].mean(), "count": grouped.size()}
    ).reset_index(drop=True)
