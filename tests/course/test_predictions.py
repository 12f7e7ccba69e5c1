"""Predictions are kept when made, refused when no chances, and scored as Brier did."""

import pytest

from helpers.course import predictions
from helpers.course.lab import Lab
from helpers.evidence.registry import ClaimError

WORDS = {"a": "true", "b": "false", "c": "true if", "d": "true"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "build_folder", lambda: tmp_path / "build")
    return tmp_path / "build" / "predictions"


def test_what_was_predicted_is_found_again(folder):
    predictions.keep("01", {"a": 0.25, "b": None})
    predictions.keep("02", {"c": 1})
    assert predictions.made() == {"a": 0.25, "c": 1.0}
    predictions.keep("01", {"a": 0.5, "b": None})
    assert predictions.made()["a"] == 0.5
    assert sorted(file.name for file in folder.iterdir()) == ["01.json", "02.json"]


def test_a_read_only_disk_is_said_and_the_notebook_goes_on(folder, monkeypatch, capsys):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(predictions, "write_whole", refuse)
    predictions.keep("01", {"a": 0.25})
    assert "cannot be kept here" in capsys.readouterr().out and predictions.made() == {}


def test_defaults_leave_nothing_behind(folder):
    predictions.keep("01", {"a": None})
    assert not folder.exists() and predictions.made() == {}


@pytest.mark.parametrize("chance", [1.5, -0.1, "yes", True, float("nan")])
def test_what_is_no_chance_is_named(folder, chance):
    with pytest.raises(ValueError, match=r"a: .* is no probability, give 0 to 1, or None"):
        predictions.keep("01", {"a": chance})
    assert not folder.exists()


def test_a_spoilt_file_spoils_no_other(folder):
    predictions.keep("01", {"a": 0.25})
    predictions.keep("02", {"c": 1})
    (folder / "01.json").write_text("{")
    assert predictions.made() == {"c": 1.0}


def test_scores_are_mean_squares_over_what_was_predicted():
    scores = predictions.brier({"a": 0.8, "b": 0.4, "z": 0.9}, WORDS)
    assert scores["you"] == pytest.approx((0.2**2 + 0.4**2) / 2)
    assert scores[predictions.BELIEVER] == pytest.approx(2 / 4)
    assert scores[predictions.COIN] == pytest.approx(0.25)
    assert predictions.brier({}, WORDS).isna()["you"]


def test_calibration_compares_what_was_said_with_what_came():
    table = predictions.calibration({"a": 0.9, "b": 0.9, "c": 0.0, "d": 1.0}, WORDS)
    assert table["said"].tolist() == pytest.approx([0.0, 2.8 / 3])
    assert table["came"].tolist() == pytest.approx([0.0, 2 / 3])
    assert table["count"].tolist() == [1, 3]
    assert predictions.calibration({}, WORDS).empty


def test_a_notebook_asks_about_its_own_claims(folder):
    book = Lab("01_cnn_filters")
    book.predict({"cnn.learn-filters": 0.7, "cnn.filter-shape": None})
    assert predictions.made() == {"cnn.learn-filters": 0.7}
    with pytest.raises(ClaimError, match=r"rnn\.vanishing belongs to notebook 03_recurrent"):
        book.predict({"rnn.vanishing": 0.5})
    with pytest.raises(ClaimError, match=r"no\.such is not registered"):
        book.predict({"no.such": 0.5})
