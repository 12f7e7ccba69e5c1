"""Frozen designs: what was registered is proved, nothing else; explored seeds are never judged."""

import json
from dataclasses import replace

import pytest
from experiments import DESIGN, NOTEBOOK, TUNED
from registered import register, toy

from helpers.evidence import frozen
from helpers.evidence.experiment import Circumstances, Experiment, conduct
from helpers.evidence.registry import Test
from helpers.evidence.store import EvidenceError

MEAN = Test("gain", "It gains a point.", "mean", "accuracy", "above", 0.01)
FRESH = replace(DESIGN, seeds=(1000, 1001))


def conducted(design, mode: str) -> Experiment:
    return conduct(design, 0, Circumstances(mode=mode))


@pytest.fixture
def claim(tmp_path, monkeypatch, evidence):
    """One claim of the notebook, and a place of one's own for what is frozen."""
    register(monkeypatch, claim := toy(MEAN, seeds=6))
    monkeypatch.setattr(frozen, "place", lambda notebook: tmp_path / f"{notebook}.json")
    return claim


def freeze(design=FRESH) -> None:
    frozen.write(NOTEBOOK, {design.name: conducted(design, "register").declared})


def test_registering_trains_almost_nothing_and_keeps_the_declaration(claim, evidence):
    done = conducted(FRESH, "register")
    assert done.declared == FRESH.declared() and "registered" in done.line
    assert done.table.step.max() == FRESH.updates and done.seeds == [1000]
    assert not evidence.exists()
    tuned = conducted(replace(TUNED, seeds=(1000,)), "register")
    assert tuned.tuning.isna().all().all() and list(tuned.tuning) == list(TUNED.arms)
    assert tuned.tuning.index.tolist() == TUNED.tune["lr"]


def test_trials_are_declared_without_their_data():
    trials = {"batch_size": 4, "data": TUNED.data, "steps": 3}
    assert replace(TUNED, trials=trials).declared()["trials"] == {"batch_size": 4, "steps": 3}


def test_the_claims_of_one_notebook_are_frozen(claim, monkeypatch):
    others = [replace(claim, id=name, notebook=f"{name}_toy") for name in ("00", "02")]
    register(monkeypatch, claim, *others)
    frozen.write(NOTEBOOK, {})
    assert list(json.loads(frozen.place(NOTEBOOK).read_text())["claims"]) == [claim.id]


def test_without_git_no_commit_is_named(claim, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert frozen.commit(NOTEBOOK) == ""


@pytest.mark.slow
def test_what_was_frozen_is_proved_with_its_commit(claim):
    freeze()
    assert conducted(FRESH, "prove").networks == 4
    assert list(frozen.refusals(NOTEBOOK, FRESH.name, FRESH.declared())) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {**DESIGN.settings, "lr": 0.02}}, r"toy settings lr is 0\.02 here"),
        ({"seeds": (1000, 1002)}, r"toy seeds is \[1000, 1002\] here"),
        ({"name": "other"}, "other is .* here, None in the evidence"),
    ],
)
def test_a_proof_of_anything_else_is_refused(claim, change, said):
    freeze()
    with pytest.raises(EvidenceError, match=f"is not what was registered: {said}"):
        conducted(replace(FRESH, **change), "prove")


def test_a_threshold_that_moved_after_it_was_frozen_is_refused(claim, monkeypatch):
    freeze()
    register(monkeypatch, replace(claim, test=(replace(MEAN, threshold=0.005),)))
    with pytest.raises(
        EvidenceError, match=r"claim toy tests gain threshold is 0\.005 here, 0\.01"
    ):
        conducted(FRESH, "prove")


def test_explored_and_judged_seeds_stay_apart(claim):
    with pytest.raises(EvidenceError, match=r"toy: seeds .* may have been explored"):
        freeze(DESIGN)
    with pytest.raises(EvidenceError, match=r"toy: seeds .* are judged, never explored"):
        conducted(FRESH, "explore")
    done = conducted(replace(DESIGN, seeds=(200, 201)), "explore")
    assert done.own and done.seeds == [200, 201]


def test_a_malformed_design_is_named(claim):
    freeze()
    file = frozen.place(NOTEBOOK)
    file.write_text(json.dumps({"claims": {}}))
    with pytest.raises(EvidenceError, match=r"01_toy\.json is malformed .*experiments"):
        conducted(FRESH, "prove")


def test_without_anything_frozen_nothing_is_refused(claim):
    assert list(frozen.refusals(NOTEBOOK, "toy", {})) == [] and frozen.commit("no such") == ""
