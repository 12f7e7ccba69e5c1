"""The summary: each line of the recap has its claims; without evidence there is no verdict."""

import html
from dataclasses import replace

import numpy as np
import pytest

from helpers.course import redpen, summary
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


@pytest.fixture(autouse=True)
def short_recap(monkeypatch):
    """A recap of two lines."""
    lines = (
        redpen.Line("A CNN learns its filters.", ("cnn.filters-change", "cnn.learn-filters")),
        redpen.Line("A filter is small.", ("cnn.filter-shape",)),
    )
    monkeypatch.setattr(redpen, "recap", lambda: {"CNNs": lines})


def test_a_section_prints_stable_lines_and_folds_the_evidence(found, shown):
    summary.show_section("CNNs", found)
    (data,) = shown
    assert data["text/plain"].splitlines() == [
        "CNNs",
        "cnn.filters-change: no verdict",
        "cnn.learn-filters: true if few",
        "cnn.filter-shape: true",
    ]
    page = data["text/html"]
    assert page.count("<details>") == 2
    assert "<summary><b>–</b> A CNN learns its filters. <ins>" in page
    assert ">gain</span>: 0.002 [" in page and "a&lt;b" in page and "a<b" not in page
    assert "(asked: above 0.01; 8 seeds)" in page and ">shape</span>: exact" in page
    assert html.escape(FACT.statement) in page and "0.2 points for few" in page
    assert '<a href="01_cnn_filters.ipynb#cnn.learn-filters">' in page
    assert "no verdict: not measured" in page


def test_the_page_is_a_picture_that_says_its_tally(found, shown):
    summary.show_page(found)
    (data,) = shown
    assert data["text/plain"] == redpen.described(found)
    assert f'alt="{html.escape(redpen.described(found))}"' in data["text/html"]


def test_surprises_stand_with_what_was_expected(found, shown):
    summary.show_surprises(["cnn.learn-filters"], found)
    (data,) = shown
    assert data["text/plain"] == "Surprises\ncnn.learn-filters: true if few"
    assert html.escape(registry()["cnn.learn-filters"].expected.strip()) in data["text/html"]


def test_a_claim_without_evidence_has_no_word(found):
    assert summary.words(found) == {"cnn.filter-shape": "true", "cnn.learn-filters": "true if"}


RUNGS = (
    replace(MEAN, name="few-100", when="there are 100 labels"),
    replace(MEAN, name="few-1000", when="there are 1,000 labels"),
    replace(MEAN, name="few-300", role="beside"),
    replace(MEAN, name="window-3x3"),
    replace(MEAN, name="window-5x5"),
    replace(MEAN, name="alone-7", when="MNIST-1D has no size"),
    replace(MEAN, name="beside-1", role="beside"),
    replace(MEAN, name="beside-2", role="beside"),
    replace(FACT, name="few-10", when="there are 10 labels"),
)


def test_ladders_are_read_from_conditions_and_names():
    outcomes = [
        decide(test, [0.02] * 7 + [0.03]) if test.unit else decide(test, True) for test in RUNGS
    ]
    table = summary.ladders({"nlp.padding": (judged("nlp.padding", *outcomes), "")})
    climbed = table.groupby("along", sort=False)["size"].apply(list).to_dict()
    assert climbed == {"there are … labels": [100, 300, 1000], "window-…": [3, 5]}
    assert set(table["claim"]) == {"nlp.padding"} and set(table["verdict"]) == {"supported"}


def test_without_evidence_there_is_no_ladder():
    assert summary.ladders({claim: (None, "not measured") for claim in registry()}).empty


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


@pytest.mark.slow
def test_corrections_take_headline_and_core_tests_as_families(found):
    other = judged("rnn.vanishing", decide(MEAN, np.linspace(0.02, 0.03, 8)))
    third = judged("cnn.filters-change", decide(MEAN, np.linspace(0.02, 0.03, 8)))
    more = {"rnn.vanishing": (other, ""), "cnn.filters-change": (third, "")}
    table = summary.corrected(dict(found) | more)
    assert list(table) == ["claim", "test", "headline", "verdict", "p", "p_holm", "p_bh"]
    assert len(table) == 3
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
