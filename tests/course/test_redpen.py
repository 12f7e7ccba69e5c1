"""The red pen: each line with its claims, each correction for its word, nothing from nowhere."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from helpers.course import redpen
from helpers.course.redpen import Correction, Line
from helpers.evidence import findings
from helpers.evidence.findings import Finding
from helpers.evidence.registry import WORDS, ClaimError, Test, registry
from helpers.evidence.verdicts import Outcome, Verdict, decide

CLAIM, OTHER = "cnn.learn-filters", "cnn.filters-change"
LINE = Line("A & B learn, not once.", (CLAIM,))
SAID = "worth {gain.points:.1f} points"
SEEDS = {"supported": np.linspace(0.02, 0.03, 8), "refuted": np.linspace(0.0, 0.004, 8)}
SEEDS["undecided"] = np.linspace(-0.01, 0.03, 8)


def judged(word: str, claim: str = CLAIM) -> Finding:
    """A claim whose tests come out so that the word on it is this one."""
    test = Test("gain", "It gains.", "mean", "accuracy", "above", 0.01)
    came_out = {"true": ["supported"], "false": ["refuted"], "open": ["undecided"]}
    came_out |= {"true if": ["supported", "refuted"], "overstated": ["refuted", "supported"]}
    outcomes: list[Outcome] = []
    for k, verdict in enumerate(came_out[word]):
        role = "weaker" if word == "overstated" and k else "core"
        when = f"it is <{k}>" if word == "true if" else ""
        changed = replace(test, name="gain" if not k else "more", role=role, when=when)
        outcomes.append(decide(changed, SEEDS[verdict]))
    verdict = Verdict(replace(registry()[claim], test=()), tuple(outcomes))
    assert verdict.word == word
    return Finding(verdict, seeds={}, made={})


def item(line: Line, *words: str | None) -> str:
    """The line as it stands on the page, its claims having come out so."""
    came_out = [
        (judged(word, c), "") if word else (None, "")
        for c, word in zip(line.claims, words, strict=True)
    ]
    return redpen._item(line, dict(zip(line.claims, came_out, strict=True)), "{}.html".format)


def pen(word: str, at: str = "", claim: str = CLAIM) -> tuple[Correction, ...]:
    return (Correction(claim, word, SAID, at),)


def test_every_claim_stands_in_the_recap_and_the_front_page_has_ten():
    named = {c for lines in redpen.recap().values() for line in lines for c in line.claims}
    assert named == set(registry())
    assert len({claim.id for claim in redpen.striking()}) == 10


def test_every_correction_was_written_for_the_word_that_the_evidence_gives():
    assert redpen.stale(findings.find_all()) == []


def test_tests_that_are_counted_in_words_are_that_many():
    claim = registry()["opt.lr-cnn-vs-rnn"]
    lines = [line for lines in redpen.recap().values() for line in lines]
    (say,) = (one.say for line in lines for one in line.corrections if one.claim == claim.id)
    assert "nine of ten tests" in say and "Nine of ten comparisons" in claim.answer
    found, _ = findings.find(claim)
    core = [one.verdict for one in found.verdict.outcomes if one.test.role == "core"]
    assert (core.count("refuted"), core.count("supported"), len(core)) == (9, 0, 10)


def test_as_a_part_of_another_page_it_keeps_to_itself():
    part = redpen.fragment(findings.find_all(), "{}.html")
    assert ":root" not in part and "<main" not in part
    assert 'href="01_cnn_filters.html#cnn.learn-filters"' in part


def test_what_stands_is_left_alone():
    assert item(LINE, "true") == (
        '<li><span class="mark" role="img" aria-label="true:">✓</span>'
        "<p>A &amp; B learn, not once.</p></li>"
    )


def test_what_stands_may_have_a_reservation():
    shown = item(replace(LINE, corrections=pen("true", "learn")), "true")
    assert 'aria-label="true:">✓</span><p>A &amp; B learn <ins>' in shown and "worth" in shown
    assert "worth" not in item(replace(LINE, corrections=pen("true", "learn")), "false")


@pytest.mark.parametrize(
    ("word", "mark", "text"),
    [
        ("true if", "if", "A &amp; B learn {}, not once."),
        ("open", "?", "A &amp; B learn {}, not once."),
        ("overstated", "≈", "A &amp; B <del>learn</del> {}, not once."),
        ("false", "✗", "A &amp; B <del>learn</del> {}, not once."),
    ],
)
def test_each_word_is_written_in_its_way(word, mark, text):
    shown = item(replace(LINE, corrections=pen(word, "learn")), word)
    said = {"true if": "2.5", "open": "1.0", "overstated": "0.2", "false": "0.2"}[word]
    ins = f"{'open: ' * (word == 'open')}worth {said} points\u00a0<small>01</small>"
    link = f'<ins><a href="01_cnn_filters.html#{CLAIM}">{ins}</a></ins>'
    assert f'aria-label="{word}:">{mark}</span><p>{text.format(link)}</p>' in shown


def test_a_correction_without_a_place_belongs_to_the_whole_line():
    struck = item(replace(LINE, corrections=pen("false")), "false")
    assert "<p><del>A &amp; B learn, not once.</del> <ins>" in struck


def test_two_corrections_stand_at_their_places_and_the_worst_mark_in_the_margin():
    both = pen("false", "once") + pen("true if", "A & B", OTHER)
    shown = item(Line(LINE.text, (CLAIM, OTHER), both), "false", "true if")
    plain = re.sub(r"<ins>.*?</ins>", "INS", shown)
    assert plain.endswith(">✗</span><p>A &amp; B INS learn, not <del>once</del> INS.</p></li>")
    over = pen("false") + pen("overstated", "", OTHER)
    shown = item(Line(LINE.text, (CLAIM, OTHER), over), "false", "overstated")
    assert shown.count("A &amp; B") == 1 and shown.count("<ins>") == 2


@pytest.mark.parametrize("word", WORDS[1:])
def test_a_correction_for_another_word_gives_way_to_the_verdict(word):
    for before in {*WORDS[1:]} - {word}:
        shown = item(replace(LINE, corrections=pen(before)), word)
        assert "worth" not in shown and "<del>" not in shown
        assert (">true if it is &lt;0&gt;" if word == "true if" else f">{word}") in shown


def test_stale_corrections_are_named_by_their_lines(monkeypatch):
    lines = (replace(LINE, corrections=pen("false")), Line("It is.", (OTHER,)))
    monkeypatch.setattr(redpen, "recap", lambda: {"A": lines})
    found = {CLAIM: (judged("open"), ""), OTHER: (judged("false", OTHER), "")}
    assert redpen.stale(found) == [
        f"'A & B learn, not once.': {CLAIM} is open, written for false",
        f"'It is.': {OTHER} is false, written for true",
    ]
    found = {CLAIM: (None, ""), OTHER: (judged("true", OTHER), "")}
    assert redpen.stale(found) == []


def test_without_evidence_there_is_no_answer(tmp_path):
    assert ">no verdict\u00a0" in item(replace(LINE, corrections=pen("false")), None)
    nothing = findings.find_all(tmp_path)
    assert redpen.tally(nothing) == dict.fromkeys(map(redpen.shown, WORDS), 0) | {
        "no verdict": len(registry())
    }
    place = findings.place(registry()[CLAIM], tmp_path)
    place.parent.mkdir(parents=True)
    place.write_text('{"claim": 3')
    page = redpen.page(findings.find_all(tmp_path))
    lines = sum(len(line.claims) for lines in redpen.recap().values() for line in lines)
    assert page.count("no verdict\u00a0<small>") == lines and "<del>" not in page


def test_a_number_that_there_is_not_is_named():
    line = replace(LINE, corrections=(Correction(CLAIM, "false", "{gain.weight:.1f}"),))
    with pytest.raises(ClaimError, match=r"cnn.learn-filters: '\{gain.weight:.1f\}'"):
        item(line, "false")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("claims = []", "maps to"),
        ('claims = ["no.such"]', "maps to"),
        ("", "'claims'"),
        ('{} claim = "cnn.not-once"\nword = "false"\nsay = "1"', "none of its claims"),
        ('{} claim = "{c}"\nword = "wrong"\nsay = "{s}"', "the word 'wrong': choose from true, "),
        ('{} claim = "{c}"\nword = "false"\nsay = "{s}"\nat = "C"', "'B' does not say 'C'"),
        ('{} claim = "{c}"\nword = "false"\nsay = "{s}{s}"', "16 words, at most 15"),
        ('{} claim = "{c}"\nword = "false"\nsay = "never"', "holds no number"),
        ('{} claim = "{c}"\nword = "false"\nsay = "never 3"', "without a number of the evidence"),
        ('{} claim = "{c}"\nword = "false"\nsay = "{no.effect}"', "speaks of no.effect"),
        ('{} claim = "{c}"\nword = "false"\nsays = "1"', "unexpected keyword"),
    ],
)
def test_a_line_that_is_not_as_it_should_be_is_named(entry, message, tmp_path):
    file = tmp_path / "recap.toml"
    said = "{both-digits.points:.1f} a b c d e f g "
    head = f'claims = ["{CLAIM}"]\n[[section.line.correction]]\n'
    entry = entry.replace("{} ", head).replace("{c}", CLAIM).replace("{s}", said)
    file.write_text(f'[[section]]\ntitle = "A"\n[[section.line]]\ntext = "B"\n{entry}\n')
    with pytest.raises(ClaimError, match=rf"recap\.toml: .*{message}"):
        redpen.recap(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ClaimError, match=r"recap\.toml cannot be read"):
        redpen.recap(tmp_path / "recap.toml")
    (tmp_path / "odd.toml").write_text('striking = ["no.such"]')
    with pytest.raises(ClaimError, match=r"striking names \{'no.such'\}"):
        redpen.striking(tmp_path / "odd.toml")


def test_the_picture_is_text_and_the_page_fetches_nothing():
    found = findings.find_all()
    drawn = "".join(ET.fromstring(redpen.picture(found)).itertext())
    for line in (line for lines in redpen.recap().values() for line in lines):
        assert all(part in drawn for part in re.findall(r"\w+", line.text)), line
    page = redpen.page(found)
    assert not re.findall(r"(?:src|url|href)\W{1,2}(?:https?:)?//", page) and "<script" not in page
    links = set(re.findall(r'href="\.\./notebooks/(\w+)\.ipynb#', page))
    assert links <= {claim.notebook for claim in registry().values()} and links
