"""The lab book: what parameters decide, verdicts with their findings, the closing line."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import training
from helpers.course import cards, lab
from helpers.course.lab import Lab
from helpers.data.dataset import DataError
from helpers.evidence import findings
from helpers.evidence.closing import MIME, PROFILES, count_words
from helpers.evidence.registry import ClaimError, Test, registry

MEAN = Test("gain", "It gains a point.", "mean", "accuracy", "above", 0.01)
RATES = Test("solves", "A solves it more often.", "rates", "difference", "above", 0.0)
FACT = Test("shape", "The shape is so.", "assertion")
EFFECTS = {"gain": np.linspace(0.02, 0.03, 10), "shape": True}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository root with one claim, and a display that keeps what it is shown."""
    base = registered()
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "a.py").write_text("")
    monkeypatch.setattr(findings, "ROOT", tmp_path)
    monkeypatch.setattr(claims, "registry", lambda: {"toy": base})
    monkeypatch.setattr(cards, "display", lambda *_, **__: None)
    return tmp_path


def registered() -> claims.Claim:
    known = registry()["cnn.learn-filters"]
    return replace(known, id="toy", notebook="01_toy", seeds=10, test=(MEAN, FACT))


def written(folder) -> dict:
    """The evidence kept on `toy`, read as strictly as any other program would."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (folder / "build" / "evidence" / "toy.json").read_text()
    return json.loads(text, parse_constant=refuse)


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize("profile", ["", "fast", "SMOKE", None])
def test_an_unknown_profile_is_named(profile):
    with pytest.raises(ValueError, match=r"profile is .*: choose one of smoke, standard, full"):
        Lab("01_toy", profile=profile)


@pytest.mark.parametrize(
    "seeds", [0, -1, lab.TUNING_SEEDS[0] - lab.FIRST_SEED + 1, True, 2.0, "8", "", [1]]
)
def test_a_bad_number_of_seeds_is_named(seeds):
    with pytest.raises(
        ValueError, match=r"seeds is .*: give a whole number from 1 to \d+, or None"
    ):
        Lab("01_toy", seeds=seeds)


def test_an_absent_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match="cuda asked for, but this PyTorch sees no CUDA device"):
        Lab("01_toy", device="cuda")


@pytest.mark.parametrize(
    ("profile", "seeds", "tuning", "steps", "picked"),
    [
        ("smoke", 1, 1, 20, "a"),
        ("standard", 8, 2, 200, "b"),
        ("full", 20, 3, 2000, "c"),
    ],
)
def test_the_profile_decides_how_much_is_measured(profile, seeds, tuning, steps, picked):
    book = Lab("01_toy", profile)
    assert book.seeds(8, full=20) == list(range(lab.FIRST_SEED, lab.FIRST_SEED + seeds))
    assert len(book.tuning_seeds(2)) == tuning
    assert book.steps(200, full=2000) == steps
    assert book.pick(smoke="a", standard="b", full="c") == picked


def test_full_defaults_to_standard_and_a_step_is_left_at_smoke():
    assert len(Lab("01_toy", "full").seeds(8)) == 8 and Lab("01_toy", "full").steps(7) == 7
    assert Lab("01_toy", "smoke").steps(7) == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_seeds_on_request_overrule_the_profile(profile):
    assert list(Lab("01_toy", profile, seeds=3).seeds(8, full=20)) == [
        lab.FIRST_SEED + k for k in range(3)
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_no_seed_is_tuned_and_judged_on(profile):
    book = Lab("01_toy", profile, seeds=lab.TUNING_SEEDS[0] - lab.FIRST_SEED)
    spent = {0, 1, 2}
    assert not set(book.seeds(8)) & (set(book.tuning_seeds(2)) | spent)


def test_smoke_takes_the_middle_of_the_grid_and_other_profiles_the_best():
    tuning = pd.DataFrame(
        {"a": [1.0, 0.5, 2, 3, 4]}, index=pd.Index([1e-4, 1e-3, 1e-2, 1e-1, 1], name="lr")
    )
    assert Lab("01_toy").choose(tuning) == {"lr": {"a": 1e-3}}
    assert Lab("01_toy", "smoke").choose(tuning) == {"lr": {"a": 1e-2}}


# ---------------------------------------------------------------- judging


def test_a_verdict_leaves_complete_evidence(folder):
    book = Lab("01_toy")
    book.judge("toy", EFFECTS)
    kept = written(folder)
    assert kept["claim"] == "toy" and kept["verdict"] == "supported" == book.verdicts["toy"].word
    assert kept["profile"] == "standard" and kept["device"] == str(book.device)
    gain, shape = kept["tests"]
    assert gain["effects"] == EFFECTS["gain"].tolist()
    assert (gain["low"], gain["high"]) == pytest.approx(claims.t_interval(EFFECTS["gain"]))
    assert gain["verdict"] == shape["verdict"] == "supported"
    assert gain["test"]["threshold"] == 0.01 and gain["test"]["name"] == "gain"
    assert kept["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert set(kept["versions"]) == {"torch", "numpy", "scipy", "statsmodels"}
    assert re.fullmatch("[0-9a-f]{64}", kept["source"])
    assert 0 <= kept["seconds"] < 60


def test_seeds_can_start_after_those_already_seen():
    book = Lab("01_toy")
    assert book.seeds(3, first=50) == [50, 51, 52]
    assert book.seeds(3, first=98) == [98, 99, max(lab.TUNING_SEEDS) + 1]


def test_the_seeds_of_a_table_are_kept(folder, monkeypatch):
    claim = replace(registry()["toy"], test=(MEAN, RATES))
    monkeypatch.setattr(claims, "registry", lambda: {"toy": claim})
    solved = pd.DataFrame({"LSTM": [1] * 10, "RNN": [0] * 10}, index=range(40, 50))
    gain = pd.Series(EFFECTS["gain"], index=range(40, 50))
    Lab("01_toy").judge("toy", {"gain": gain, "solves": solved})
    kept = written(folder)
    assert kept["seeds"] == {"gain": list(range(40, 50)), "solves": list(range(40, 50))}
    assert kept["tests"][1]["effects"] == [[1, 0]] * 10
    assert kept["tests"][1]["arms"] == ["LSTM", "RNN"]


def test_only_finished_evidence_is_left_and_the_newest_wins(folder):
    for gain in (0.001, 0.02):
        Lab("01_toy").judge("toy", EFFECTS | {"gain": gain + np.linspace(0, 0.001, 10)})
    assert [path.name for path in (folder / "build" / "evidence").iterdir()] == ["toy.json"]
    assert written(folder)["verdict"] == "supported"


def test_an_interrupted_write_spares_the_old_evidence(folder, monkeypatch):
    Lab("01_toy").judge("toy", EFFECTS)
    before = written(folder)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Lab("01_toy").judge("toy", EFFECTS | {"shape": False})
    assert written(folder) == before


def test_smoke_judges_nothing_and_keeps_no_evidence(folder):
    book = Lab("01_toy", "smoke")
    book.judge("toy", {"gain": [0.02], "shape": True})
    assert repr(book.verdicts["toy"]) == "toy: NOT RUN"
    assert not (folder / "build" / "evidence").exists()


def test_the_verdict_is_shown(folder, monkeypatch):
    shown = []
    monkeypatch.setattr(cards, "display", lambda data, raw: shown.append(data["text/plain"]))
    Lab("01_toy").judge("toy", EFFECTS)
    assert shown == ["toy: SUPPORTED (gain supported, shape supported)"]


def test_a_read_only_root_sends_evidence_to_the_working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder / "helpers")
    monkeypatch.setattr(findings.os, "access", lambda path, mode: path != folder)
    Lab("01_toy").judge("toy", EFFECTS)
    assert written(folder / "helpers")["verdict"] == "supported"
    assert not (folder / "build" / "evidence").exists()


def test_a_claim_of_another_notebook_is_refused(folder):
    book = Lab("02_other")
    with pytest.raises(ClaimError, match="toy belongs to notebook 01_toy"):
        book.judge("toy", EFFECTS)
    assert book.verdicts == {} and not (folder / "build" / "evidence").exists()


def test_fewer_seeds_than_registered_are_refused_unless_asked_for(folder):
    few = EFFECTS | {"gain": EFFECTS["gain"][:8]}
    with pytest.raises(ClaimError, match="toy is registered for 10 seeds"):
        Lab("01_toy").judge("toy", few)
    assert not (folder / "build" / "evidence").exists()
    book = Lab("01_toy", seeds=8)
    book.judge("toy", few)
    assert book.verdicts["toy"].word == "supported"


# ---------------------------------------------------------------- the closing line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "0 verdicts"),
        (["refuted"], "1 verdict (1 refuted)"),
        (
            ["refuted", "conditional", "refuted", "conditional", "conditional"],
            "5 verdicts (3 conditional, 2 refuted)",
        ),
    ],
)
def test_words_are_counted(words, line):
    assert count_words(dict(enumerate(words))) == line


def test_the_closing_line_is_stable_and_the_rest_stands_beside_it(folder, monkeypatch):
    book = Lab("01_toy")
    book.judge("toy", EFFECTS)
    trained = training.networks_trained()
    monkeypatch.setattr(training, "networks_trained", lambda: trained + 7)
    closing = book.close()
    assert repr(closing) == "01_toy: 7 networks trained, 1 verdict (1 supported)"
    bundle = closing._repr_mimebundle_()
    assert bundle["text/plain"] == repr(closing)
    assert torch.__version__ in bundle["text/html"] and "profile standard" in bundle["text/html"]
    record = json.loads(json.dumps(bundle[MIME]))
    assert record.pop("seconds") >= 0
    assert record == {"notebook": "01_toy", "networks": 7, "verdicts": {"toy": "supported"}}
