"""The summary: each line of the recap has its claims; without evidence there is no verdict."""

import html
from dataclasses import replace

import numpy as np
import pytest

from helpers.course import summary
from helpers.evidence import findings
from helpers.evidence.findings import Finding
from helpers.evidence.registry import Test, registry
from helpers.evidence.verdicts import Outcome, Verdict, decide

MEAN = Test("gain", 'x < y & "z"', "mean", "a<b", "above", 0.01)
BELOW = Test("loss", "It loses.", "mean", "nats", "below", 0.5)
NEAR = Test("near", "It is near.", "mean", "ratio", "within", 0.5, around=2.0)
FACT = Test("shape", "The shape is so.", "assertion")


def judged(claim_id: str, *outcomes: Outcome) -> Finding:
    claim = registry()[claim_id]
    if claim_id == "cnn.learn-filters":
        claim = replace(claim, answered="true if", answer="{gain.points:.1f} points for few.")
    return Finding(Verdict(claim, outcomes), seeds={}, made={})


@pytest.fixture
def found():
    nothing = {claim: (None, "not measured") for claim in registry()}
    good = judged("cnn.filter-shape", decide(FACT, True))
    tests = (replace(MEAN, when="many"), replace(FACT, when="few"))
    outcomes = [decide(tests[0], np.linspace(0.0, 0.004, 8)), decide(tests[1], True)]
    bad = judged("cnn.learn-filters", *outcomes)
    return nothing | {
        "cnn.filter-shape": (good, ""),
        "cnn.learn-filters": (bad, ""),
    }


@pytest.fixture
def shown(monkeypatch) -> list[dict]:
    calls = []
    monkeypatch.setattr(summary, "display", lambda data, raw: calls.append(data))
    return calls


def test_a_section_prints_stable_lines_and_shows_the_numbers(found, shown):
    summary.show_section("CNNs", found)
    (data,) = shown
    assert data["text/plain"].splitlines()[:4] == [
        "CNNs",
        "cnn.filters-change: NOT MEASURED",
        "cnn.learn-filters: true if few",
        "cnn.filter-shape: true",
    ]
    card = data["text/html"]
    assert ">gain</span>: 0.002 [" in card and "a&lt;b" in card and "a<b" not in card
    assert "(asked: above 0.01; 8 seeds)" in card and ">shape</span>: exact" in card
    assert (
        f'title="{html.escape(found["cnn.filter-shape"][0].verdict.outcomes[0].test.statement)}"'
        in card
    )
    assert '<a href="01_cnn_filters.ipynb#cnn.learn-filters">' in card
    assert ">no verdict<br>" in card and ">not measured</td>" in card


def test_what_to_say_instead_stands_beside_the_recap(found, shown):
    summary.show_section("CNNs", found)
    card = shown[0]["text/html"]
    assert "0.2 points for few" in card and "By definition: 16 filters" in card


def test_a_claim_without_evidence_has_no_word(found):
    assert summary.words(found) == {
        "cnn.filter-shape": "true",
        "cnn.learn-filters": "true if",
    }
    assert list(summary.instead(found).index) == ["cnn.learn-filters"]


@pytest.mark.parametrize(
    ("test", "values", "sign"),
    [
        (MEAN, np.linspace(0.02, 0.03, 8), 1),
        (MEAN, np.linspace(0.0, 0.004, 8), -1),
        (BELOW, np.linspace(0.1, 0.2, 8), 1),
        (BELOW, np.linspace(0.7, 0.8, 8), -1),
        (NEAR, np.linspace(1.9, 2.2, 8), 1),
        (NEAR, np.linspace(3.0, 3.1, 8), -1),
    ],
)
def test_margins_point_to_the_claimed_side(test, values, sign):
    found = {"cnn.learn-filters": (judged("cnn.learn-filters", decide(test, values)), "")}
    (row,) = summary.margins(found).itertuples()
    assert np.sign(row.middle) == sign
    assert row.low <= row.middle <= row.high
    clear = {1: "supported", -1: "refuted"}[sign]
    assert (abs(row.middle) > 1) and row.kind == clear


def test_margins_leave_out_what_has_no_interval(found):
    assert list(summary.margins(found).index) == [("cnn.learn-filters", "gain")]
    same = judged("cnn.learn-filters", decide(MEAN, [0.02] * 8))
    assert summary.margins({"cnn.learn-filters": (same, "")}).empty


def test_corrections_take_headline_and_core_tests_as_families(found):
    other = judged("rnn.vanishing", decide(MEAN, np.linspace(0.02, 0.03, 8)))
    third = judged("cnn.filters-change", decide(MEAN, np.linspace(0.02, 0.03, 8)))
    more = {"rnn.vanishing": (other, ""), "cnn.filters-change": (third, "")}
    table = summary.corrected(dict(found) | more)
    assert list(table) == ["claim", "test", "verdict", "p", "p_holm", "p_bh"] and len(table) == 3
    assert table.set_index("claim")["p_holm"].isna().to_dict() == {
        "cnn.learn-filters": False,
        "rnn.vanishing": False,
        "cnn.filters-change": True,
    }
    assert table["p_holm"].min() == pytest.approx(2 * table["p"].min())


def test_findings_are_looked_for_on_every_claim(tmp_path):
    nothing = summary.find_all(tmp_path)
    assert list(nothing) == list(registry()) and summary.words(nothing) == {}
    assert len(summary.missing(nothing)) == len(registry())
    assert "rnn.vanishing: not measured: make prove NOTEBOOK=03" in summary.missing(nothing)
    exact = [decide(test, True) for test in registry()["opt.update-rule"].test]
    findings.write(judged("opt.update-rule", *exact).verdict, {}, root=tmp_path)
    found = summary.find_all(tmp_path)
    assert summary.words(found) == {"opt.update-rule": "true"}
    assert len(summary.missing(found)) == len(registry()) - 1
