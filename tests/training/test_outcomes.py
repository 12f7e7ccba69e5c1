"""What became of a run: the four outcomes, at their borders and on trained networks."""

import math

import pandas as pd
import pytest
from zoo import HUGE, toy, wide

from helpers.training.fit import SGD
from helpers.training.many import fit_many
from helpers.training.outcomes import (
    AT_CHANCE,
    DIVERGED,
    HEALTHY,
    OUTCOMES,
    SPIKED,
    classify,
    outcome,
)

GUESS = math.log(10)


def history(*losses, peaks=None, diverged_at=0):
    peaks = losses if peaks is None else peaks
    columns = {"step": range(1, len(losses) + 1), "train_loss": losses, "peak_loss": peaks}
    return pd.DataFrame(columns | {"diverged_at": diverged_at})


@pytest.mark.parametrize(
    "losses, expected",
    [
        ((2.3, 1.0, 0.1), HEALTHY),
        ((2.3, 7.0, 0.1), SPIKED),
        ((2.3, 6.8, 0.1), HEALTHY),  # 3 x 2.3026 = 6.908
        ((2.3, 2.3, 2.31), AT_CHANCE),  # above the initial loss, but only by the noise of guessing
        ((2.3, 90.0, 2.31), AT_CHANCE),
        ((2.3, 2.3, 0.951 * GUESS), AT_CHANCE),
        ((2.3, 2.3, 0.949 * GUESS), HEALTHY),
        ((2.3, 2.3, 1.049 * GUESS), AT_CHANCE),
        ((2.3, 2.3, 1.051 * GUESS), DIVERGED),
        ((2.3, 28.0, 26.0), DIVERGED),
        ((2.3, math.nan), DIVERGED),
        ((2.3, math.inf), DIVERGED),
    ],
)
def test_outcome_of_a_run(losses, expected):
    assert outcome(history(*losses), GUESS) == expected


def test_a_loss_that_was_once_not_finite_is_divergence_whatever_came_after():
    assert outcome(history(2.3, 0.1, diverged_at=1), GUESS) == DIVERGED


def test_a_spike_between_two_evaluations_counts():
    assert outcome(history(1.0, 0.5, peaks=(2.3, 8.0)), GUESS) == SPIKED


def test_a_start_above_guessing_is_told():
    falling = history(9.0, 4.0)
    assert outcome(falling, GUESS) == DIVERGED
    assert outcome(falling, GUESS, initial=9.0) == HEALTHY
    assert outcome(history(9.0, 28.0, 0.5), GUESS, initial=9.0) == SPIKED


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_losses_to_compare_with_are_positive_and_finite(wrong):
    with pytest.raises(ValueError, match="positive and finite"):
        outcome(history(2.3), wrong)
    with pytest.raises(ValueError, match="positive and finite"):
        outcome(history(2.3), GUESS, initial=wrong)


@pytest.mark.slow
def test_classify_is_laid_out_as_final():
    grid = {"lr": [1e-6, 0.5, HUGE], "clip": [None, 1.0]}
    arms = {"wide": wide, "same": wide}
    runs = fit_many(
        arms, toy(), seeds=(4, 2), grid=grid, steps=60, batch_size=10, optimizer=SGD, n_jobs=1
    )
    found, final = classify(runs, math.log(3)), runs.final()
    assert found.index.equals(final.index) and found.columns.equals(final.columns)
    assert set(found.to_numpy().ravel()) <= set(OUTCOMES)
    assert (found["wide", HUGE, None] == DIVERGED).all()
    assert (found["wide", 0.5, 1.0] == HEALTHY).all()
    assert found["wide"].equals(found["same"])


def test_classify_without_a_grid_has_a_column_per_arm():
    arms = {"wide": wide, "same": wide}
    runs = fit_many(arms, toy(), seeds=(0,), lr=0.1, steps=4, batch_size=10, n_jobs=1)
    found = classify(runs, math.log(3))
    assert list(found) == ["wide", "same"] and found.index.name == "seed"
