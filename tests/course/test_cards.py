"""The verdict card: every number of a verdict, quoted safely, with a picture for the eye."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from images import Drawing, contrast

from helpers.course import cards
from helpers.evidence.registry import Test, registry
from helpers.evidence.statistics import t_interval
from helpers.evidence.verdicts import Verdict, decide
from helpers.figures import ACCENT

MEAN = Test("gain", 'x < y & "z" <b>', "mean", "a<b", "above", 0.01)
RATES = Test("solves", "A solves it more often.", "rates", "difference", "above", 0.1)
COUNT = Test("solved", "Most runs solve it.", "count", "rate of seeds", "above", 0.5)
FACT = Test("<u>shape", "The shape is so.", "assertion")


class Tags(HTMLParser):
    """Collects tags with their attributes, text, and any closing tag that does not fit."""

    def __init__(self, source: str):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in {"br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def verdict(run: bool = True, **changes) -> Verdict:
    claim = replace(
        registry()["cnn.learn-filters"], quote="<i>a & b</i>", expected="1 < 2", **changes
    )
    effects = (np.linspace(0.02, 0.03, 8), [1, 1, 1, 1, 1, 0], True)
    pairs = zip((MEAN, COUNT, FACT), effects, strict=True)
    if "answer" not in changes:
        claim = replace(claim, answer="2 < 3 points", answered="open")
    return Verdict(claim, tuple(decide(test, values) for test, values in pairs), run=run)


def test_the_card_escapes_everything_it_quotes():
    card = Tags(cards.verdict_card(verdict(id='"><u>')))
    assert card.open == [] and card.tags[0] == ("p", {"id": '"><u>'})
    known = "p b br i small table tr th td img details summary"
    assert {tag for tag, _ in card.tags} <= set(known.split())
    for quoted in ("<i>a & b</i>", "1 < 2", "2 < 3 points", MEAN.statement, MEAN.unit, FACT.name):
        assert quoted in card.text


def test_the_card_states_effect_interval_and_rule():
    text = Tags(cards.verdict_card(verdict())).text
    low, high = t_interval(np.linspace(0.02, 0.03, 8))
    assert f"0.025 a<b95 % [{low:.3g}, {high:.3g}]; bootstrap [" in text
    assert (
        "asked: above 0.01 (if the truth were exactly that: p = 0.0078)" in text
        and "asked: above 0.5" in text
    )
    assert "exact" in text and text.count("✓ supported") == 2 and "? undecided" in text


def test_the_card_draws_every_seed_against_what_was_claimed():
    card = cards.verdict_card(verdict())
    figure = Drawing(card)
    assert html.unescape(figure.alt) == (
        f"Claimed: {MEAN.statement} Supported: 8 seeds from 0.02 to 0.03, average 0.025, "
        "claimed above 0.01; "
        f"Claimed: {COUNT.statement} Undecided: 5 of 6 seeds, claimed above 0.5"
    )
    assert {f"Claimed: {MEAN.statement}", f"Claimed: {COUNT.statement}"} <= set(figure.texts)
    assert f"Supported: found 0.025, claimed above 0.01 ({MEAN.unit})" in figure.texts
    assert f"Undecided: found 5 of 6, claimed above 0.5 ({COUNT.unit})" in figure.texts
    legend = card[card.index("</p>", card.index("<img")) : card.index("<details>")]
    assert "Dot: one seed" in legend and "shaded: where the claim would hold" in legend
    assert "trained here" not in legend


@pytest.mark.slow
def test_seeds_trained_here_are_said_to_stand_out():
    card = cards.verdict_card(verdict(), here={"gain": [True] + [False] * 7, "solved": []})
    assert "large: trained here" in card
    assert len(Drawing(card).source) > len(Drawing(cards.verdict_card(verdict())).source)


def test_four_strips_at_most_are_drawn():
    tests = [replace(MEAN, name=f"test-{k}", statement=f"it is day {k}") for k in range(6)]
    outcomes = tuple(decide(test, np.linspace(0.02, 0.03, 8)) for test in tests)
    card = cards.verdict_card(replace(verdict(answer=""), outcomes=outcomes))
    assert "Claimed: it is day 3" in Drawing(card).texts
    assert "it is day 4" not in Drawing(card).alt and "2 more tests in the fold below" in card
    assert all(f"<b>test-{k}</b>" in card for k in range(6))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("direction", "side"), [("above", "right"), ("below", "left"), ("within", "middle")]
)
def test_the_claimed_side_is_shaded(direction, side):
    """Whatever the effects are, the threshold and what is claimed lie in the picture."""
    test = replace(MEAN, direction=direction, threshold=0.5, around=2.0)
    outcome = decide(test, np.linspace(7, 8, 8))
    figure = Drawing(cards.verdict_card(replace(verdict(answer=""), outcomes=(outcome,))))
    (band,) = [name[1:] for name, style in figure.styles.items() if "opacity:0.2" in style]
    (patch,) = [element for element in figure.root.iter() if element.get("class") == band]
    xs = [float(x) for x in re.findall(r"[ML] ([\d.]+)", patch.get("d"))]
    left, right = min(xs) < 20, max(xs) > 72 * figure.width - 20
    assert {"right": (False, True), "left": (True, False), "middle": (False, False)}[side] == (
        left,
        right,
    )
    assert max(xs) > min(xs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "effect", "said"),
    [
        ("accuracy", 0.025, "found 2.5, claimed above 1 (points of accuracy)"),
        ("log10 of a ratio", 0.30103, "found 2, claimed above 1.02 (a ratio)"),
        ("log2 of a ratio", 3.0, "found 8, claimed above 1.01 (a ratio)"),
        ("octaves of updates", 2.0, "found 4, claimed above 1.01 (ratio of updates)"),
    ],
)
def test_accuracies_are_drawn_in_points_and_logarithms_as_ratios(unit, effect, said):
    outcome = decide(replace(MEAN, unit=unit), np.full(8, effect))
    card = cards.verdict_card(replace(verdict(answer=""), outcomes=(outcome,)))
    assert f"Supported: {said}" in Drawing(card).texts
    assert said.split(", ")[0].removeprefix("found ") in Tags(card).text.split("measured")[1]


def test_the_bar_marks_the_average_that_is_said(monkeypatch):
    """Of ratios the geometric mean: 1 and 4 have 2, not 2.5."""
    marked, strip = [], cards.strip
    monkeypatch.setattr(cards, "strip", lambda *given: (marked.append(given[-1]), strip(*given)))
    rate = decide(replace(MEAN, unit="log10 of a ratio"), np.log10([1.0, 4.0] * 4))
    card = cards.verdict_card(replace(verdict(answer=""), outcomes=(rate,)))
    assert "Undecided: found 2, claimed above 1.02 (a ratio)" in Drawing(card).texts
    assert marked == pytest.approx([2.0])


TRUE, FALSE, OPEN = (np.linspace(*ends, 8) for ends in ((0.02, 0.03), (-0.03, -0.02), (0, 0.02)))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"it is hot": [TRUE], "<it> rains": [FALSE]}, "true if it is hot✗ not if <it> rains"),
        (
            {"it is hot": [FALSE], "it rains": [OPEN]},
            ")✗ not if it is hot? undecided if it rains",
        ),
        (
            {"it rains": [TRUE, OPEN], "it is dry": [TRUE]},
            ")✓ true if it is dry? undecided if it rains",
        ),
    ],
    ids=["true under one", "open under one", "tests of one disagree"],
)
def test_what_came_out_otherwise_under_a_condition_is_said_with_it(found, said):
    pairs = [(when, effects) for when, several in found.items() for effects in several]
    tests = [replace(MEAN, name=f"{k}", when=when) for k, (when, _) in enumerate(pairs)]
    outcomes = tuple(decide(*pair) for pair in zip(tests, (e for _, e in pairs), strict=True))
    assert said in Tags(cards.verdict_card(replace(verdict(answer=""), outcomes=outcomes))).text


def test_a_test_beside_the_verdict_is_drawn_where_the_answer_speaks_of_it():
    beside = decide(replace(MEAN, role="beside"), np.linspace(0.02, 0.03, 8))
    claim = replace(verdict().claim, answer="{gain.effect:.2f} more", answered="true")
    card = cards.verdict_card(Verdict(claim, (decide(FACT, True), beside)))
    assert html.unescape(Drawing(card).alt).startswith("Beside the verdict: Claimed: x < y")


@pytest.mark.slow
def test_tests_that_the_answer_speaks_of_are_drawn_in_the_order_of_registration():
    tests = [replace(MEAN, name=f"test-{k}", statement=f"it is day {k}") for k in range(6)]
    outcomes = tuple(decide(test, np.linspace(0.02, 0.03, 8)) for test in tests)
    claim = replace(verdict().claim, answer="{test-5.effect:.2f} more", answered="true")
    alt = Drawing(cards.verdict_card(Verdict(claim, outcomes))).alt
    assert re.findall(r"it is day (\d)", alt) == ["0", "1", "2", "5"]


def test_only_core_tests_are_drawn_and_the_others_stand_in_the_fold():
    tests = (replace(MEAN, role="beside"), replace(COUNT, when="it rains"))
    outcomes = tuple(decide(test, [1, 1, 1, 1, 1, 0]) for test in tests)
    card = Tags(cards.verdict_card(replace(verdict(answer=""), outcomes=outcomes)))
    ((_, image),) = [tag for tag in card.tags if tag[0] == "img"]
    assert image["alt"].startswith("Claimed: Most runs solve it. Undecided: 5 of 6 seeds")
    assert MEAN.statement not in image["alt"]
    assert "gain (beside)" in card.text and "Asked where it rains." in card.text


def test_an_answer_for_another_word_is_not_shown():
    other = replace(verdict(), outcomes=(decide(MEAN, np.linspace(0.02, 0.03, 8)),))
    text = Tags(cards.verdict_card(other)).text
    assert "written for another word" in text and "2 < 3 points" not in text


def test_the_head_says_sentence_word_and_answer():
    text = Tags(cards.verdict_card(verdict())).text
    question = registry()["cnn.learn-filters"].question
    head = f"The recap: “<i>a & b</i>”Asked here: {question}"
    assert text.startswith(f"{head}open (3 core tests: 2 supported, 1 undecided)2 < 3 points")


def test_the_card_of_within_says_around_what():
    test = replace(MEAN, direction="within", threshold=0.5, around=2.0)
    outcome = decide(test, np.linspace(1.9, 2.1, 8))
    text = Tags(cards.verdict_card(replace(verdict(), outcomes=(outcome,)))).text
    assert re.search(r"within 0\.5 of 2", text)


def test_the_card_of_rates_shows_both_arms():
    solved = pd.DataFrame({"<LSTM>": [1] * 8, "R&N": [1] + [0] * 7})
    outcome = decide(RATES, solved)
    card = Tags(cards.verdict_card(replace(verdict(), outcomes=(outcome,))))
    low, high = outcome.low, outcome.high
    assert f"0.875 difference95 % [{low:.3g}, {high:.3g}]; <LSTM> 8 of 8 [0.63, 1], " in card.text
    assert "R&N 1 of 8 [0.0032, 0.53]" in card.text
    assert f"asked: above 0.1 (if the truth were exactly that: p = {outcome.p:.2g})" in card.text
    ((_, image),) = [tag for tag in card.tags if tag[0] == "img"]
    said = "Supported: <LSTM> 8 of 8, R&N 1 of 8 seeds, claimed above 0.1"
    assert image["alt"] == f"Claimed: {RATES.statement} {said}"


def test_a_single_seed_can_be_shown():
    outcome = decide(MEAN, [0.02])
    card = cards.verdict_card(replace(verdict(), outcomes=(outcome,), provisional=True))
    assert ">provisional</b>" in card and "1 seeds from 0.02 to 0.02" in card
    assert "<b>Yours.</b> It is not the registered experiment" in card
    assert "interval" not in card[: card.index("<details>")]


@pytest.mark.slow
def test_a_readers_own_has_what_was_found_beside_it():
    own = replace(verdict(), provisional=True)
    page = cards.verdict_card(own, verdict())
    card, figure = Tags(page), Drawing(page)
    assert card.open == [] and card.text.index("Yours") < card.text.index("provisional")
    assert card.text.index("provisional") < card.text.index("open (3 core tests")
    assert "2 < 3 points" in card.text
    assert figure.texts.count("yours") == figure.texts.count("evidence") == 2
    assert figure.count(ACCENT) > 0
    assert "Supported: evidence 8 seeds from 0.02" in figure.alt and "yours 8" in figure.alt
    alone = cards.verdict_card(verdict(), verdict())
    assert "Yours" not in Tags(alone).text and "yours" not in Drawing(alone).texts


def test_an_experiment_without_evidence_stands_alone():
    figure = Drawing(cards.verdict_card(replace(verdict(), provisional=True)))
    assert "yours" in figure.texts and "evidence" not in figure.texts


def test_the_card_of_a_smoke_run_shows_no_numbers():
    card = cards.verdict_card(verdict(run=False))
    assert ">not run</b>" in card and "<table" not in card and "0.025" not in card


@pytest.mark.slow
def test_show_verdict_prints_the_stable_line_beside_the_card(shown):
    cards.show_verdict(verdict())
    (data,) = shown
    assert data == {"text/plain": repr(verdict()), "text/html": cards.verdict_card(verdict())}
    own = replace(verdict(), provisional=True)
    cards.show_verdict(own, verdict())
    line = f"cnn.learn-filters: PROVISIONAL; on the evidence: {verdict()!r}"
    assert shown[1] == {"text/plain": line, "text/html": cards.verdict_card(own, verdict())}


def test_an_example_of_ours_quotes_nobody():
    claim = replace(verdict().claim, quote="")
    text = Tags(cards.verdict_card(replace(verdict(), claim=claim))).text
    assert "The recap" not in text and text.startswith(f"Asked here: {claim.question}")
    assert "What was asked, every" in text and "Expected: 1 < 2" in text


@pytest.mark.parametrize("colour", cards.WORD_COLOURS.values())
def test_words_are_readable_on_white(colour):
    """Contrast of at least 4.5 to 1 (WCAG 2.1, criterion 1.4.3)."""
    assert contrast(colour, "#ffffff") >= 4.5


@pytest.mark.slow
def test_more_conditions_than_a_sentence_can_list_are_counted():
    names = [str(k) for k in range(1 + cards.FEW)]
    open_ = decide(replace(MEAN, name="open", when="data are few"), np.linspace(0, 0.02, 8))
    lost = np.linspace(-0.03, -0.02, 8)
    refuted = [decide(replace(MEAN, name=name, when=name), lost) for name in names]
    card = cards.verdict_card(replace(verdict(answer=""), outcomes=(open_, *refuted)))
    said = f"✗ not under {len(names)} conditions? undecided if data are few"
    assert said in Tags(card).text
