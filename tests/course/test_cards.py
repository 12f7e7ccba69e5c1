"""The verdict card: every number of a verdict, quoted safely, with a picture for the eye."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from images import colours_of, picture

from helpers.course import cards
from helpers.evidence.registry import Test, registry
from helpers.evidence.statistics import t_interval
from helpers.evidence.verdicts import Verdict, decide

MEAN = Test("gain", 'x < y & "z" <b>', "mean", "a<b", "above", 0.01)
RATES = Test("solves", "A solves it more often.", "rates", "difference", "above", 0.1)
COUNT = Test("solved", "Most runs solve it.", "count", "rate of seeds", "above", 0.5)
FACT = Test("shape", "The shape is so.", "assertion")


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
    card = Tags(cards.verdict_card(verdict()))
    assert card.open == []
    known = "p b br i table tr th td img details summary"
    assert {tag for tag, _ in card.tags} <= set(known.split())
    for quoted in ("<i>a & b</i>", "1 < 2", "2 < 3 points", MEAN.statement, MEAN.unit):
        assert quoted in card.text


def test_the_card_states_effect_interval_and_rule():
    text = Tags(cards.verdict_card(verdict())).text
    low, high = t_interval(np.linspace(0.02, 0.03, 8))
    assert f"0.025 a<b95 % [{low:.3g}, {high:.3g}]; bootstrap [" in text
    assert "asked: above 0.01; against it p = 0.0078" in text and "asked: above 0.5" in text
    assert "exact" in text and text.count("✓ supported") == 2 and "? undecided" in text


def test_the_card_draws_the_seeds_with_alt_text():
    images = [a for tag, a in Tags(cards.verdict_card(verdict())).tags if tag == "img"]
    assert [image["alt"] for image in images] == [
        "gain: 8 seeds from 0.02 to 0.03; claimed: above 0.01; "
        "solved: 6 seeds from 0 to 1; claimed: above 0.5"
    ]
    drawn = picture(images[0]["src"].removeprefix("data:image/png;base64,"))
    assert 300 < drawn.width < 700 and len(colours_of(drawn)) > 5


def test_only_core_tests_are_drawn_and_the_others_stand_in_the_fold():
    tests = (replace(MEAN, role="beside"), replace(COUNT, when="it rains"))
    outcomes = tuple(decide(test, [1, 1, 1, 1, 1, 0]) for test in tests)
    card = Tags(cards.verdict_card(replace(verdict(answer=""), outcomes=outcomes)))
    ((_, image),) = [tag for tag in card.tags if tag[0] == "img"]
    assert image["alt"].startswith("solved: 6 seeds") and "gain" not in image["alt"]
    assert "gain (beside)" in card.text and "Asked where it rains." in card.text


def test_an_answer_for_another_word_is_not_shown():
    other = replace(verdict(), outcomes=(decide(MEAN, np.linspace(0.02, 0.03, 8)),))
    text = Tags(cards.verdict_card(other)).text
    assert "written for another word" in text and "2 < 3 points" not in text


def test_the_head_says_sentence_word_and_answer():
    text = Tags(cards.verdict_card(verdict())).text
    head = "The recap: “<i>a & b</i>”open (3 core tests: 0 refuted, 1 undecided)2 < 3 points"
    assert text.startswith(head)


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
    assert f"asked: above 0.1; against it p = {outcome.p:.2g}" in card.text
    assert outcome.caution in card.text
    ((_, image),) = [tag for tag in card.tags if tag[0] == "img"]
    said = "solves: <LSTM> 8 of 8, R&N 1 of 8 seeds solved; claimed: above 0.1"
    assert image["alt"] == said
    drawn = picture(image["src"].removeprefix("data:image/png;base64,"))
    assert len(colours_of(drawn)) > 5


def test_the_card_says_what_the_rule_cannot_promise():
    text = Tags(cards.verdict_card(verdict())).text
    assert text.count("a wrong “supported” at the threshold: at most 2.5 %") == 1  # the mean's
    assert verdict().outcomes[0].caution in text


def test_an_image_tag_ends_where_it_should():
    card = cards.verdict_card(verdict())
    assert card.count('"><details>') == card.count("<img") == 1


def test_a_single_seed_can_be_shown():
    outcome = decide(MEAN, [0.02])
    card = cards.verdict_card(replace(verdict(), outcomes=(outcome,), provisional=True))
    assert ">provisional</b>" in card and "1 seeds from 0.02 to 0.02" in card
    assert "<b>Yours.</b> It is not the registered experiment" in card


def test_a_readers_own_card_has_what_was_found_beside_it():
    own = replace(verdict(), provisional=True)
    card = Tags(cards.verdict_card(own, verdict()))
    assert card.open == [] and card.text.index("Yours") < card.text.index("provisional")
    assert card.text.index("provisional") < card.text.index("open (3 core tests")
    assert card.text.count("On the evidence") == 1
    assert "Yours" not in cards.verdict_card(verdict(), verdict())


def test_the_card_of_a_smoke_run_shows_no_numbers():
    card = cards.verdict_card(verdict(run=False))
    assert ">not run</b>" in card and "<table" not in card and "0.025" not in card


def test_show_verdict_prints_the_stable_line_beside_the_card(monkeypatch):
    shown = []
    monkeypatch.setattr(cards, "display", lambda data, raw: shown.append(data))
    cards.show_verdict(verdict())
    (data,) = shown
    assert data == {"text/plain": repr(verdict()), "text/html": cards.verdict_card(verdict())}
    own = replace(verdict(), provisional=True)
    cards.show_verdict(own, verdict())
    line = f"cnn.learn-filters: PROVISIONAL; on the evidence: {verdict()!r}"
    assert shown[1] == {"text/plain": line, "text/html": cards.verdict_card(own, verdict())}


@pytest.mark.parametrize("colour", cards.WORD_COLOURS.values())
def test_words_are_readable_on_white(colour):
    """Contrast of at least 4.5 to 1 (WCAG 2.1, criterion 1.4.3)."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5
