"""Optuna studies in rounds: resumed, broken off, locked, of another version."""

import math
import sqlite3

import optuna
import pytest
from matplotlib import pyplot
from optuna.trial import TrialState

from helpers.course import studies
from helpers.course.studies import StudyError, finished, open_study, run_rounds

optuna.logging.set_verbosity(optuna.logging.WARNING)


def suggest(trial):
    return {"lr": trial.suggest_float("lr", 1e-4, 1.0, log=True)}


def evaluate(settings):
    return [abs(math.log10(one["lr"]) + 2) for one in settings]  # best at 0.01


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deep" / "study.db"


def test_rounds_are_evaluated_together_and_the_study_learns(file):
    sizes = []

    def counted(settings):
        sizes.append(len(settings))
        return evaluate(settings)

    study = open_study(file, "a")
    run_rounds(study, suggest, counted, trials=30, at_once=8)
    assert sizes == [8, 8, 8, 6] and finished(study) == 30
    assert study.best_params["lr"] == pytest.approx(0.01, rel=1)


def test_a_study_is_resumed_and_nothing_is_run_twice(file):
    run_rounds(open_study(file, "a"), suggest, evaluate, trials=8, at_once=4)
    values = [t.value for t in open_study(file, "a").trials]
    study = open_study(file, "a")
    run_rounds(study, suggest, evaluate, trials=12, at_once=4)
    assert [t.value for t in study.trials][:8] == values and finished(study) == 12
    run_rounds(study, suggest, lambda settings: 1 / 0, trials=12, at_once=4)  # nothing is left


def test_a_round_that_breaks_off_is_lost_alone(file):
    study = open_study(file, "a")
    run_rounds(study, suggest, evaluate, trials=4, at_once=4)

    def interrupted(settings):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_rounds(study, suggest, interrupted, trials=8, at_once=4)
    states = [t.state for t in open_study(file, "a").trials]
    assert states == [TrialState.COMPLETE] * 4 + [TrialState.FAIL] * 4


def test_trials_of_a_killed_process_are_closed(file):
    open_study(file, "a").ask()
    study = open_study(file, "a")
    assert [t.state for t in study.trials] == [TrialState.FAIL]
    run_rounds(study, suggest, evaluate, trials=3, at_once=3)
    assert finished(study) == 3


def test_a_run_that_diverged_counts_as_infinite(file):
    study = open_study(file, "a")
    run_rounds(study, suggest, lambda settings: [math.nan, 1.0, math.inf], trials=3, at_once=3)
    assert [t.value for t in study.trials] == [math.inf, 1.0, math.inf]
    run_rounds(study, suggest, evaluate, trials=20, at_once=3)
    assert finished(study) == 20


def test_another_number_of_values_is_refused(file):
    with pytest.raises(ValueError):
        run_rounds(open_study(file, "a"), suggest, lambda settings: [1.0], trials=2, at_once=2)
    with pytest.raises(ValueError, match="at_once is 0"):
        run_rounds(open_study(file, "a"), suggest, evaluate, trials=2, at_once=0)


def test_a_locked_file_is_said_to_be(file, monkeypatch):
    monkeypatch.setattr(studies, "PATIENCE", 0.1)
    open_study(file, "a")
    with sqlite3.connect(file) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StudyError, match="another process writes to it"):
            open_study(file, "b")
        other.rollback()
    assert finished(open_study(file, "b")) == 0


def test_a_file_of_another_version_is_said_to_be(file):
    run_rounds(open_study(file, "a"), suggest, evaluate, trials=2, at_once=2)
    with sqlite3.connect(file) as other:
        other.execute("UPDATE version_info SET schema_version = 7, library_version = '9.9.9'")
        other.execute("UPDATE alembic_version SET version_num = 'v9.9.9.a'")
    with pytest.raises(StudyError, match="another version of Optuna"):
        open_study(file, "a")


def test_a_file_that_is_no_database_is_left_alone(file):
    file.parent.mkdir()
    file.write_text("not a database" * 100)
    with pytest.raises(StudyError, match="no database"):
        open_study(file, "a")
    assert file.read_text().startswith("not a database")


def test_a_plot_is_shown_once_with_alt_text_and_left_closed(file, monkeypatch):
    shown = []
    monkeypatch.setattr(studies.figures, "show", lambda figure, alt: shown.append(alt))
    study = open_study(file, "a")
    run_rounds(study, suggest, evaluate, trials=6, at_once=6)
    studies.draw(study, "slice", "what it shows", params=["lr"])
    assert shown == ["what it shows"] and pyplot.get_fignums() == []
    with pytest.raises(ValueError, match="no plot 'nothing'"):
        studies.draw(study, "nothing", "what it shows")
