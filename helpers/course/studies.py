"""Sweeps kept by Optuna: asked and told in rounds, so that a round trains as one stack.

The study lives in an SQLite file. A round is told at once; a process that is killed in the middle
of one loses that round and nothing else.
"""

import math
import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial, TrialState
from optuna.visualization import matplotlib as plots
from sqlalchemy.exc import SQLAlchemyError

from helpers import figures

Suggest = Callable[[Trial], dict[str, Any]]
Evaluate = Callable[[Sequence[Mapping[str, Any]]], Sequence[float]]

PATIENCE = 5  # seconds to wait for another process that writes


class StudyError(ValueError):
    """A study that cannot be opened or written; the message says what to do."""


def open_study(file: Path, name: str, seed: int = 0) -> optuna.Study:
    """The study `name` in the SQLite file, to be minimised; started where there is none.

    Trials that were asked and never told, because a process died, are closed as failed.
    Raises StudyError for a file that another process has locked, that another version of Optuna
    wrote, or that is no database. The file is left as it is.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": PATIENCE}}
        )
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        # A resumed sampler that began with the same seed would draw the same trials again.
        with warnings.catch_warnings():  # constant_liar is experimental in Optuna 4
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = optuna.samplers.TPESampler(
                seed=seed + len(study.get_trials(deepcopy=False)), constant_liar=True
            )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
    except Exception as error:
        raise _explained(file, error) from error
    return study


def _explained(file: Path, error: Exception) -> Exception:
    """What an error of the storage means, as a StudyError; another error as it is."""
    cause = getattr(error, "orig", None) or error.__cause__ or error
    text = f"{error} {cause}"
    if "locked" in text:
        cure = "another process writes to it: wait for that, or study in another file"
    elif "optuna version" in text or "no such column" in text or "no such table" in text:
        cure = "another version of Optuna wrote it: `optuna storage upgrade`, or use another file"
    elif isinstance(error, SQLAlchemyError | sqlite3.Error):
        cure = "it is no database that can be used: move it away, or use another file"
    else:
        return error
    return StudyError(f"{file}: {cure} ({str(cause).splitlines()[0]})")


def run_rounds(
    study: optuna.Study,
    suggest: Suggest,
    evaluate: Evaluate,
    *,
    trials: int,
    at_once: int,
) -> None:
    """Bring the study to `trials` finished trials, `at_once` in each round.

    `suggest(trial)` draws the settings of a trial, `evaluate(settings)` returns a value for each
    of a round's; one that is not a number, a run that diverged, is told as infinite, so that the
    sampler learns to stay away. Finished trials of the study count and are not run again; those
    of a round that breaks off are closed as failed.
    Raises ValueError for fewer than one at once or another number of values than settings.
    """
    if at_once < 1:
        raise ValueError(f"at_once is {at_once}: evaluate one trial or more in a round")
    while (left := trials - finished(study)) > 0:
        asked = [study.ask() for _ in range(min(at_once, left))]
        try:
            values = evaluate([suggest(trial) for trial in asked])
            for trial, value in zip(asked, values, strict=True):
                study.tell(trial, math.inf if math.isnan(value) else float(value))
        except BaseException:
            for trial in asked:  # those that were told stay told
                study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            raise


def finished(study: optuna.Study) -> int:
    """Number of trials that have a value."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def draw(study: optuna.Study, plot: str, alt: str, **how: Any) -> None:
    """Show one of Optuna's own plots, such as "slice" or "optimization_history", with alt text.

    `how` goes to `optuna.visualization.matplotlib.plot_<plot>`.
    Raises ValueError for a plot that Optuna does not have.
    """
    if not hasattr(plots, f"plot_{plot}"):
        raise ValueError(f"Optuna has no plot {plot!r}")
    from matplotlib import pyplot

    with warnings.catch_warnings():  # its matplotlib plots are experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        axes = getattr(plots, f"plot_{plot}")(study, **how)
    figure = axes.figure
    figure.set_size_inches(6.4, 3.4)
    figures.show(figure, alt)
    pyplot.close(figure)  # pyplot would show it a second time, without alt text
