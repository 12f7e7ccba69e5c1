"""The lab book: what parameters decide, experiments, verdicts and findings, the closing line."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from experiments import ARMS, NOTEBOOK, SETTINGS, TASK, gru, sizes
from registered import register, toy

from helpers.course import cards, lab, progress
from helpers.course.lab import Lab
from helpers.data.dataset import DataError
from helpers.evidence import experiment, findings, store
from helpers.evidence.closing import MIME, PROFILES, count_words
from helpers.evidence.registry import ClaimError, Test
from helpers.evidence.store import EvidenceError

MEAN = Test("gain", "It gains a point.", "mean", "accuracy", "above", 0.01)
FACT = Test("shape", "The shape is so.", "assertion")
EFFECTS = {"gain": pd.Series(np.linspace(0.02, 0.03, 10), index=range(40, 50)), "shape": True}


@pytest.fixture
def shown(evidence, monkeypatch) -> list[str]:
    """A repository with one claim, and the texts that are shown."""
    register(monkeypatch, toy(MEAN, FACT, seeds=10))
    texts: list[str] = []
    monkeypatch.setattr(progress, "PAUSE", math.inf)  # the bar has tests of its own
    for module in (cards, progress):
        monkeypatch.setattr(
            module, "display", lambda data, raw, **_: texts.append(data["text/plain"])
        )
    return texts


def book(monkeypatch, evidence: str = "read", **parameters) -> Lab:
    monkeypatch.setenv("EVIDENCE", evidence)
    return Lab(NOTEBOOK, device="cpu", **parameters)


def adding(notes: Lab, seeds: int = 2, name: str = "adding", **changes) -> experiment.Experiment:
    given = {"measure": sizes, "pack": 1, "updates": 4} | SETTINGS | changes
    arms = given.pop("arms", ARMS)
    return notes.experiment(name, arms, TASK, seeds=notes.seeds(seeds), **given)


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize("profile", ["", "fast", "SMOKE", "full", None])
def test_an_unknown_profile_is_named(profile):
    with pytest.raises(ValueError, match=r"profile is .*: choose one of smoke, standard"):
        Lab(NOTEBOOK, profile=profile)


@pytest.mark.parametrize("seeds", [0, -1, lab.MOST + 1, True, 2.0, "8", "", [1]])
def test_a_bad_number_of_seeds_is_named(seeds):
    with pytest.raises(
        ValueError, match=r"seeds is .*: give a whole number from 1 to \d+, or None"
    ):
        Lab(NOTEBOOK, seeds=seeds)


def test_an_absent_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match="cuda asked for, but this PyTorch sees no CUDA device"):
        Lab(NOTEBOOK, device="cuda")


@pytest.mark.parametrize("mode", ["fast", '{"mode": "fast"}', '{"root": "x"}'])
def test_an_unknown_way_to_treat_evidence_is_named(monkeypatch, mode):
    with pytest.raises(ValueError, match=r"EVIDENCE is .*: its mode is one of read, check, ref"):
        book(monkeypatch, mode)


def test_the_environment_says_how_experiments_are_conducted(monkeypatch):
    how = book(monkeypatch, '{"mode": "prove", "root": "x", "jobs": 3, "proof": "a"}').how
    assert (how.mode, how.root, how.jobs, how.proof) == ("prove", Path("x"), 3, "a")
    assert book(monkeypatch, "").how.mode == "read" and book(monkeypatch, seeds=3).how.seeds == 3


@pytest.mark.parametrize(("text", "count"), [("", 1), ("1", 1), ("2", 2), ("auto", None)])
def test_threads_are_those_asked_for(monkeypatch, text, count):
    before = torch.get_num_threads()
    monkeypatch.setenv("THREADS", text)
    try:
        book(monkeypatch)
        assert torch.get_num_threads() == (count or lab.threads())
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("text", ["0", "abc", "-1", "1.5", " ", "²"])
def test_a_bad_number_of_threads_is_named(monkeypatch, text):
    monkeypatch.setenv("THREADS", text)
    with pytest.raises(ValueError, match=r"THREADS is .*: give a whole number above 0, or auto"):
        book(monkeypatch)


@pytest.mark.parametrize(
    ("profile", "seeds", "steps", "picked"), [("smoke", 1, 20, "a"), ("standard", 8, 200, "b")]
)
def test_the_profile_decides_how_much_is_measured(profile, seeds, steps, picked):
    notes = Lab(NOTEBOOK, profile)
    assert notes.seeds(8) == list(range(lab.FIRST_SEED, lab.FIRST_SEED + seeds))
    assert notes.steps(200) == steps and notes.pick(smoke="a", standard="b") == picked


@pytest.mark.parametrize("profile", PROFILES)
def test_seeds_on_request_overrule_the_profile(profile):
    assert Lab(NOTEBOOK, profile, seeds=3).seeds(8) == [lab.FIRST_SEED + k for k in range(3)]


@pytest.mark.parametrize("profile", PROFILES)
def test_no_seed_is_tuned_and_judged_on(profile):
    judged = Lab(NOTEBOOK, profile, seeds=lab.MOST).seeds(8)
    assert not set(judged) & {0, 1, 2, *lab.TUNING_SEEDS}


def test_seeds_can_start_after_those_already_seen(monkeypatch):
    notes = Lab(NOTEBOOK)
    assert notes.seeds(3, first=50) == [50, 51, 52]
    assert notes.seeds(3, first=98) == [98, 99, max(lab.TUNING_SEEDS) + 1]
    replica = book(monkeypatch, '{"mode": "replicate", "first_seed": 5000}')
    assert replica.seeds(2) == replica.seeds(2, first=50) == [5000, 5001]


# ---------------------------------------------------------------- experiments


def test_an_experiment_is_proved_and_brought_back(shown, monkeypatch):
    line = "adding: 4 stored networks, 2 of them replayed here: equal; 2 trained here"
    tables = [adding(book(monkeypatch, mode)).table for mode in ("prove", "check", "read")]
    assert shown == [line] * 3
    assert tables[0].equals(tables[1]) and tables[1].equals(tables[2])


@pytest.mark.slow
def test_a_grid_trains_no_network_here_unless_asked(shown, monkeypatch):
    settings = {"grid": {"clip": [0.1, 1.0]}, "arms": {"GRU": gru}}
    proved = adding(book(monkeypatch, "prove"), **settings)
    assert proved.models == {} and proved.networks == 4
    assert len(adding(book(monkeypatch), here=2, **settings).models) == 4


def test_a_readers_change_is_labelled_and_counted(shown, monkeypatch):
    adding(book(monkeypatch, "prove"))
    notes = book(monkeypatch, seeds=1)
    found = adding(notes, batch_size=5)
    assert found.own and found.stored.networks == 4
    said = "adding: your own experiment, 2 networks trained here (settings batch_size is 5 here, "
    assert shown[-1].startswith(said)
    closing = notes.close()
    assert (closing.networks, closing.here) == (4, 2)


def test_smoke_needs_no_evidence_and_leaves_none(evidence, shown, monkeypatch):
    notes = book(monkeypatch, "check", profile="smoke")
    found = adding(notes, tune={"clip": [0.1, 1.0, 2.0]})
    assert found.networks == 2 and not found.own and not evidence.exists()
    assert "too briefly to say anything" in found.line and shown == []


@pytest.mark.slow
def test_a_cell_may_run_again_but_a_check_takes_a_name_once(shown, monkeypatch):
    adding(book(monkeypatch, "prove"))
    notes = book(monkeypatch)
    adding(notes), adding(notes)
    notes = book(monkeypatch, "check")
    adding(notes)
    for again in (adding, lambda n: n.timings("adding", lambda k: {"a": 1.0}, 2)):
        with pytest.raises(EvidenceError, match=r"two experiments of 01_toy are called 'adding'"):
            again(notes)


@pytest.mark.slow
def test_a_picture_above_its_experiment_is_drawn_from_the_evidence(shown, monkeypatch, capsys):
    proved = adding(book(monkeypatch, "prove"))
    notes = book(monkeypatch, "check")
    assert notes.stored("adding").table.equals(proved.table)
    assert notes.hero("adding", lambda runs: runs.final("test_loss").shape) == (2, 2)
    with pytest.raises(EvidenceError, match=r"not replayed in 01_toy: {'adding'}"):
        notes.close()
    adding(notes)
    assert notes.close().networks == 4


@pytest.mark.slow
def test_a_picture_without_evidence_is_a_sentence_and_an_error_in_a_check(
    shown, monkeypatch, capsys
):
    adding(book(monkeypatch, "prove"))
    for mode in ("read", "prove"):
        notes = book(monkeypatch, mode)
        notes.hero("gone", lambda runs: runs)
        notes.hero("adding", lambda runs: runs.final("no such metric"))
        said = capsys.readouterr().out.splitlines()
        assert len(said) == 2 and "gone.json is missing: restore it with git, or make p" in said[0]
        assert notes.close()
    with pytest.raises(EvidenceError, match=r"gone.json is missing"):
        book(monkeypatch, "check").hero("gone", lambda runs: runs)


def test_timings_come_with_the_evidence(shown, monkeypatch):
    def measure(repetition: int) -> dict[str, float]:
        return {"ratio": 2.0}

    for mode in ("prove", "check"):
        table = book(monkeypatch, mode).timings("speed", measure, 3)
        assert table["ratio"].tolist() == [2.0] * 3 and table.index.name == "repetition"
    assert len(book(monkeypatch, profile="smoke").timings("speed", measure, 3)) == 1


# ---------------------------------------------------------------- judging


@pytest.mark.slow
def test_a_refresh_writes_the_finding_and_a_check_finds_it(evidence, shown, monkeypatch):
    for mode in ("refresh", "check", "read"):
        notes = book(monkeypatch, mode)
        notes.judge("toy", EFFECTS)
        assert notes.verdicts["toy"].word == "true"
    assert len(set(shown)) == 1 and shown[0].startswith("toy: TRUE (gain supported 0.025")
    found = findings.read(evidence / NOTEBOOK / "findings" / "toy.json")
    assert found.seeds == {"gain": list(range(40, 50))}
    assert set(found.made["versions"]) == {"torch", "numpy", "scipy", "statsmodels"}


def test_effects_near_what_was_found_show_the_finding_itself(shown, monkeypatch):
    book(monkeypatch, "refresh").judge("toy", EFFECTS)
    notes = book(monkeypatch, "check")
    notes.judge("toy", EFFECTS | {"gain": EFFECTS["gain"] * 1.004})
    assert shown[0] == shown[1]


@pytest.mark.slow
@pytest.mark.parametrize("gain", [EFFECTS["gain"] - 0.02, EFFECTS["gain"][:4]])
def test_a_readers_own_effects_are_provisional_and_an_error_in_a_check(shown, monkeypatch, gain):
    book(monkeypatch, "refresh").judge("toy", EFFECTS)
    notes = book(monkeypatch)
    notes.judge("toy", EFFECTS | {"gain": gain})
    assert notes.verdicts["toy"].word == "provisional"
    assert shown[1] == f"toy: PROVISIONAL; on the evidence: {shown[0]}"
    with pytest.raises(ClaimError, match=r"toy is not what was found: gain .* make refresh NOTEB"):
        book(monkeypatch, "check").judge("toy", EFFECTS | {"gain": gain})


@pytest.mark.slow
def test_what_a_changed_experiment_lacks_is_left_out_and_a_diverged_run_is_not(shown, monkeypatch):
    """Two experiments are compared, and the reader changed one: it has few of the seeds."""
    adding(book(monkeypatch, "prove"), seeds=4)
    book(monkeypatch, "refresh").judge("toy", EFFECTS)
    notes = book(monkeypatch, seeds=2)
    own = adding(notes, batch_size=5).final("test_loss")
    gain = EFFECTS["gain"].where(EFFECTS["gain"].index.isin(own.index))
    assert 0 < gain.notna().sum() < len(gain)
    notes.judge("toy", EFFECTS | {"gain": gain})
    (outcome, _) = notes.verdicts["toy"].outcomes
    assert list(outcome.effects) == gain.dropna().tolist()
    gain[own.index[0]] = float("nan")
    with pytest.raises(
        ClaimError, match=rf"1 of 2 effects are not finite \(seeds {own.index[0]}\)"
    ):
        notes.judge("toy", EFFECTS | {"gain": gain})


def test_what_was_never_found_is_provisional_and_an_error_in_a_check(shown, monkeypatch):
    notes = book(monkeypatch)
    notes.judge("toy", EFFECTS)
    assert shown == ["toy: PROVISIONAL"]
    with pytest.raises(ClaimError, match=r"toy is not what was found: not measured"):
        book(monkeypatch, "check").judge("toy", EFFECTS)


def test_fewer_seeds_than_registered_are_never_written(evidence, shown, monkeypatch):
    few = EFFECTS | {"gain": EFFECTS["gain"][:8]}
    for mode in ("refresh", "prove"):
        with pytest.raises(ClaimError, match="is registered for 10 seeds"):
            book(monkeypatch, mode).judge("toy", few)
    assert not evidence.exists()


def test_smoke_judges_nothing_and_keeps_nothing(evidence, shown, monkeypatch):
    notes = book(monkeypatch, "refresh", profile="smoke")
    notes.judge("toy", {"gain": [0.02], "shape": True})
    assert shown == ["toy: NOT RUN"] and not evidence.exists()


def test_a_claim_of_another_notebook_is_refused(evidence, shown, monkeypatch):
    monkeypatch.setenv("EVIDENCE", "refresh")
    notes = Lab("02_other")
    with pytest.raises(ClaimError, match="toy belongs to notebook 01_toy"):
        notes.judge("toy", EFFECTS)
    assert notes.verdicts == {} and not evidence.exists()


def test_a_replication_writes_beside_the_evidence(evidence, shown, monkeypatch, tmp_path):
    how = {"mode": "replicate", "first_seed": 5000, "root": str(tmp_path / "replica")}
    book(monkeypatch, json.dumps(how)).judge("toy", EFFECTS)
    assert (tmp_path / "replica" / NOTEBOOK / "findings" / "toy.json").exists()
    assert not evidence.exists()


# ---------------------------------------------------------------- the closing line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "0 verdicts"),
        (["false"], "1 verdict (1 false)"),
        (["open", "true if", "open", "true if", "true if"], "5 verdicts (2 open, 3 true if)"),
    ],
)
def test_words_are_counted(words, line):
    assert count_words(dict(enumerate(words))) == line


@pytest.mark.slow
def test_the_closing_line_is_stable_and_the_rest_stands_beside_it(shown, monkeypatch):
    notes = book(monkeypatch, "prove")
    adding(notes)
    notes.judge("toy", EFFECTS)
    closing = notes.close()
    line = "01_toy: 4 stored networks, 2 trained here, 1 verdict (1 true)"
    assert repr(closing) == line
    bundle = closing._repr_mimebundle_()
    assert bundle["text/plain"] == line
    assert torch.__version__ in bundle["text/html"] and "profile standard" in bundle["text/html"]
    record = json.loads(json.dumps(bundle[MIME]))
    assert record.pop("seconds") >= 0
    verdicts = {"toy": "true"}
    assert record == {"notebook": NOTEBOOK, "networks": 4, "here": 2, "verdicts": verdicts}
    assert store.place(NOTEBOOK, "adding").exists()
