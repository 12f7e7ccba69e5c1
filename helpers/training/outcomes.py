"""What became of a run: healthy, spiked, at chance or diverged, by definitions fixed beforehand.

They were registered with claim 39 (`opt.lr-too-large` in data/registry/claims.toml) before any run
was looked at, so that nobody can choose after the fact what counts as a failure.
"""

import math

import pandas as pd

from helpers.training.sweeps import Runs

HEALTHY, SPIKED, AT_CHANCE, DIVERGED = "healthy", "spiked", "at chance", "diverged"
OUTCOMES = (HEALTHY, SPIKED, AT_CHANCE, DIVERGED)

NEAR = 0.05  # of the loss of guessing: at chance
SPIKE = 3.0  # times the initial loss


def outcome(history: pd.DataFrame, guess: float, initial: float | None = None) -> str:
    """One of OUTCOMES for the history of `training.fit`, by its training loss.

    `guess` is the loss of a uniform guess, ln K for K classes; `initial` the loss before the first
    update, by default that of guessing, as networks start close to it. In this order:

    - at chance: the last loss is within 5 % of guessing. Too large a rate ends there, a collapse;
      so does one so small that nothing is learned yet;
    - diverged: a loss was not finite, or the last one is above the initial;
    - spiked: the largest loss was above three times the initial, and yet the last is below;
    - healthy: the rest.

    The last loss is the mean over the updates since the evaluation before.
    Raises ValueError for a guess or an initial loss that is not positive and finite.
    """
    initial = guess if initial is None else initial
    for name, value in (("guess", guess), ("initial", initial)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}: a loss to compare with is positive and finite")
    last = history.iloc[-1]
    if history.diverged_at.any() or not math.isfinite(last.train_loss):
        return DIVERGED
    if abs(last.train_loss / guess - 1) <= NEAR:
        return AT_CHANCE
    if last.train_loss > initial:
        return DIVERGED
    return SPIKED if history.peak_loss.max() > SPIKE * initial else HEALTHY


def classify(runs: Runs, guess: float) -> pd.DataFrame:
    """The `outcome` of every run: one row per seed, one column per arm (and setting).

    Laid out as `runs.final`, so that the two can be read side by side:
    `(classify(runs, guess) == "diverged").mean()` is the share of seeds that diverged.
    """
    keys = ["arm", *runs.grid, "seed"]
    found = [
        dict(zip(keys, key, strict=True), outcome=outcome(history, guess))
        for key, history in runs.table.groupby(keys, sort=False, dropna=False)
    ]
    return runs.by_seed(pd.DataFrame(found), "outcome")
