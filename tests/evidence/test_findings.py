"""Findings: read back as they were judged, compared test by test, never taken for the truth."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from registered import register, toy

from helpers.evidence import findings
from helpers.evidence import registry as registries
from helpers.evidence.registry import ClaimError, Test
from helpers.evidence.verdicts import Verdict, judge

MEAN = Test("gain", "It gains a point.", "mean", "accuracy", "above", 0.01)
RATES = Test("solves", "A solves it more often.", "rates", "difference", "above", 0.0)
FACT = Test("shape", "The shape is so.", "assertion")
EFFECTS = {
    "gain": pd.Series(np.linspace(0.02, 0.03, 10), index=range(40, 50)),
    "solves": pd.DataFrame({"LSTM": [1] * 10, "RNN": [0] * 10}, index=range(40, 50)),
    "shape": True,
}
MADE = {"processor": "a processor"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    own = {"headline": True, "seeds": 10}
    one, two = (toy(MEAN, RATES, FACT, id=name, **own) for name in ("toy", "toy.two"))
    register(monkeypatch, one, two)
    monkeypatch.setattr(findings, "reference", lambda: tmp_path / "evidence")
    return tmp_path / "evidence"


def write(root, claim: str = "toy", **effects) -> Verdict:
    verdict = judge(claim, EFFECTS | effects)
    findings.write(verdict, MADE, {"gain": list(range(40, 50))}, root)
    return verdict


def test_a_verdict_comes_back_as_it_was_judged(root):
    verdict = write(root)
    (found,) = findings.read_all()
    assert repr(found.verdict) == repr(verdict) and found.made == MADE
    assert found.seeds == {"gain": list(range(40, 50))}
    for here, there in zip(verdict.outcomes, found.verdict.outcomes, strict=True):
        assert np.asarray(there.effects) == pytest.approx(np.asarray(here.effects))
        assert there.arms == here.arms
        for number in findings.NUMBERS:
            expected = getattr(here, number)
            assert getattr(there, number) == pytest.approx(expected, rel=1e-8, nan_ok=True)


def test_a_finding_is_strict_json_and_written_anew_the_same(root):
    write(root)
    file = findings.place(registries.registry()["toy"])
    text = file.read_text()
    assert "NaN" not in text and json.loads(text)["verdict"] == "true"
    write(root)
    assert file.read_text() == text and [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_is_not_there_is_said(root):
    found, why = findings.find(registries.registry()["toy"])
    assert found is None and why.startswith("not measured")
    assert findings.read_all() == [] and findings.table([]).empty


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('"verdict": "true",\n "made"', '"verdict": "false",\n "made"', "tests say"),
        ('"threshold": 0.01', '"threshold": 0.02', "other tests than are registered"),
        ('"claim": "toy"', '"claim": "gone"', "gone"),
        ('"p": ', '"p": 3', "p is 3"),
        ("{", "", "JSONDecodeError"),
        ('"bootstrap"', '"boots"', "bootstrap"),
    ],
)
def test_a_finding_that_does_not_hold_together_is_named(root, before, after, reason):
    write(root)
    file = findings.place(registries.registry()["toy"])
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    cure = "make refresh NOTEBOOK=01"
    with pytest.raises(ClaimError, match=rf"toy\.json is malformed .*{reason}.*{cure}"):
        findings.read(file)
    found, why = findings.find(registries.registry()["toy"])
    assert found is None and "toy.json is malformed" in why
    with pytest.raises(ClaimError):
        findings.read_all()


def test_disagreement_names_the_test_and_both_numbers(root):
    verdict = write(root)
    finding = findings.read(findings.place(verdict.claim))
    assert findings.disagreement(verdict, finding, findings.EXACT) == ""
    near = judge("toy", EFFECTS | {"gain": EFFECTS["gain"] * 1.001})
    assert findings.disagreement(near, finding) == ""
    assert findings.disagreement(near, finding, findings.EXACT).startswith("gain is 0.025025 here")
    far = judge("toy", EFFECTS | {"gain": EFFECTS["gain"] + 0.01})
    assert findings.disagreement(far, finding) == "gain is 0.035 here, 0.025 was found"
    few = judge("toy", EFFECTS | {"gain": EFFECTS["gain"][:8]})
    assert findings.disagreement(few, finding).startswith("gain rests on 8 numbers here, 10 in")
    other = judge("toy", EFFECTS | {"shape": False})
    assert findings.disagreement(other, finding).startswith("shape is 0 here, 1 was found")


@pytest.mark.slow
def test_the_table_has_a_row_a_test_and_adjusts_what_has_a_p(root):
    write(root), write(root, "toy.two", gain=EFFECTS["gain"] - 0.015)
    table = findings.table(findings.read_all())
    assert table[["claim", "test"]].to_numpy().tolist() == [
        [claim, test] for claim in ("toy", "toy.two") for test in ("gain", "solves", "shape")
    ]
    for corrected in ("p_holm", "p_bh"):
        assert table["p"].isna().tolist() == table[corrected].isna().tolist()
        assert (table[corrected].dropna() >= table["p"].dropna()).all()
    assert table["p"].isna().tolist() == [False, False, True] * 2
    assert math.isclose(table["p_holm"].min(), 4 * table["p"].min())


@pytest.mark.slow
def test_only_core_tests_are_corrected_and_holm_asks_headlines_alone(root, monkeypatch):
    beside = (replace(MEAN, role="beside"), RATES, FACT)
    one = registries.registry()["toy"]
    register(monkeypatch, replace(one, headline=False), replace(one, id="toy.two", test=beside))
    write(root), write(root, "toy.two")
    table = findings.table(findings.read_all()).set_index(["claim", "test"])
    assert table["p_holm"].dropna().index.tolist() == [("toy.two", "solves")]
    assert table["p_bh"].dropna().index.tolist() == [
        ("toy", "gain"),
        ("toy", "solves"),
        ("toy.two", "solves"),
    ]


@pytest.mark.slow
def test_two_roots_are_compared_test_by_test(root, tmp_path):
    write(root), write(root, "toy.two")
    shutil.copytree(root, tmp_path / "after")
    same = findings.compare(root, tmp_path / "after")
    assert len(same) == 6 and not same.differs.any()
    write(tmp_path / "after", "toy", gain=EFFECTS["gain"] - 0.02)
    findings.place(registries.registry()["toy.two"], tmp_path / "after").unlink()
    both = findings.compare(root, tmp_path / "after")
    assert both.index[both.differs].tolist() == [
        ("toy", "gain"),
        *(("toy.two", test) for test in ("gain", "shape", "solves")),
    ]
    row = both.loc[("toy", "gain")]
    assert (row.verdict_before, row.verdict_after) == ("supported", "refuted")
    assert row.effect_before - row.effect_after == pytest.approx(0.02)
    assert (both.loc["toy.two"].verdict_after == "missing").all()
