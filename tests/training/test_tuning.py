"""Tuning results are found for the question they answer, and for no other."""

import json
import math
from functools import partial

import pandas as pd
import pytest
from zoo import dense, toy

from helpers import training
from helpers.course import lab
from helpers.course.lab import Lab
from helpers.evidence import findings, tuning
from helpers.training.fit import ADAM
from helpers.training.schedules import linear_decay

ARMS = {"dense": dense, "other": dense}
GRID = {"lr": [0.01, 0.1, 1.0]}
HOW = {"steps": 4, "batch_size": 8, "schedule": linear_decay, "optimizer": ADAM}


@pytest.fixture
def book(tmp_path, monkeypatch) -> Lab:
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    monkeypatch.setattr(findings, "ROOT", tmp_path)
    monkeypatch.delenv("TUNE", raising=False)
    return Lab("01_toy")


@pytest.fixture
def trained(monkeypatch) -> list:
    """What was tuned by training, as names of arms."""
    calls, tune = [], training.tune
    monkeypatch.setattr(
        training, "tune", lambda arms, *a, **k: calls.append(list(arms)) or tune(arms, *a, **k)
    )
    return calls


def commit(tmp_path) -> None:
    (tmp_path / "data" / "tuning").mkdir(parents=True, exist_ok=True)
    (tmp_path / "build" / "tuning" / "01_toy.json").rename(
        tmp_path / "data" / "tuning" / "01_toy.json"
    )


def test_what_was_tuned_is_found_again(book, tmp_path, trained):
    first = book.tune("rates", ARMS, toy(), grid=GRID, **HOW)
    commit(tmp_path)
    second = book.tune("rates", ARMS, toy(), grid=GRID, **HOW)
    assert len(trained) == 1
    pd.testing.assert_frame_equal(first, second, atol=1e-6, check_index_type=False)
    assert book.choose(first.assign(dense=[1, 0, 1], other=[1, 0, 1])) == book.choose(
        second.assign(dense=[1, 0, 1], other=[1, 0, 1])
    )


def test_how_it_runs_is_no_part_of_the_question(book, tmp_path, trained):
    book.tune("rates", ARMS, toy(), grid=GRID, **HOW)
    commit(tmp_path)
    book.tune("rates", ARMS, toy(), grid=GRID, pack=1, n_jobs=1, **HOW)
    assert len(trained) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"grid": {"lr": [0.01, 0.1]}},
        {"seeds": (100,)},
        {"steps": 5},
        {"schedule": training.constant},
        {"optimizer": partial(ADAM, eps=1e-3)},
        {"weight_decay": 0.1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_question_is_measured_anew(book, tmp_path, trained, changed):
    book.tune("rates", ARMS, toy(), **{"grid": GRID} | HOW)
    commit(tmp_path)
    book.tune("rates", ARMS, toy(), **{"grid": GRID} | HOW | changed)
    assert len(trained) == 2


def test_other_arms_names_or_a_wish_are_measured_anew(book, tmp_path, trained, monkeypatch):
    book.tune("rates", ARMS, toy(), grid=GRID, **HOW)
    commit(tmp_path)
    book.tune("rates", {"dense": dense}, toy(), grid=GRID, **HOW)
    book.tune("others", ARMS, toy(), grid=GRID, **HOW)
    monkeypatch.setenv("TUNE", "again")
    book.tune("rates", ARMS, toy(), grid=GRID, **HOW)
    assert len(trained) == 4
    written = json.loads((tmp_path / "build" / "tuning" / "01_toy.json").read_text())
    assert set(written) == {"rates", "others"}


def test_two_settings_and_divergence_survive_the_file(tmp_path):
    grid = {"lr": [0.01, 10.0], "optimizer": {"SGD": training.SGD, "Adam": ADAM}}
    asked = tuning.question({"dense": dense}, toy(), grid, (100,), {})
    points = pd.MultiIndex.from_product([[0.01, 10.0], ["SGD", "Adam"]], names=list(grid))
    measured = pd.DataFrame({"dense": [0.5, 0.25, math.inf, 2.0]}, index=points)
    tuning.keep(tmp_path / "01_toy.json", "rates", asked, measured)
    found = tuning.find(tmp_path / "01_toy.json", "rates", asked)
    pd.testing.assert_frame_equal(found, measured)


def test_smoke_trains_one_seed_and_keeps_nothing(tmp_path, monkeypatch, trained):
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    monkeypatch.setattr(findings, "ROOT", tmp_path)
    Lab("01_toy", "smoke").tune("rates", ARMS, toy(), grid=GRID, **HOW)
    assert len(trained) == 1 and not (tmp_path / "build" / "tuning").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rates": 1}', '{"rates": {"question": '])
def test_a_malformed_file_is_named(book, tmp_path, text):
    folder = tmp_path / "data" / "tuning"
    folder.mkdir(parents=True)
    (folder / "01_toy.json").write_text(text)
    with pytest.raises(tuning.TuningError, match=r"01_toy\.json is malformed"):
        book.tune("rates", ARMS, toy(), grid=GRID, **HOW)
