"""Openings: numbers from the findings, reading and running times, blocks written in place."""

import dataclasses

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.commands import openings, runner
from helpers.commands.openings import Opening, filled, reading_minutes, write
from helpers.evidence import findings
from helpers.evidence.closing import MIME
from helpers.evidence.registry import ClaimError

OUTCOME, CLAIM = next(
    (outcome, found.verdict.claim.id)
    for found in findings.read_all()
    for outcome in found.verdict.outcomes
    if outcome.test.kind == "mean"
)
TEST = f"{CLAIM}:{OUTCOME.test.name}"
OPENING = Opening(
    "Must filters be learned?",
    (f"Random filters cost {{{TEST}.points:.1f}} points.", "It took 160 updates.", "Of 8 seeds 8."),
    ("One is 1.", "Two are 2.", f"{{{TEST}.seeds}} seeds."),
)
PNG = new_output("display_data", {"image/png": "", "text/plain": "a line"})


def notebook(*cells):
    first = new_markdown_cell("# 01 · Filters\n\nA link.")
    last = new_markdown_cell(f"It goes on.\n\n{openings.REMEMBER}\n\n## Exercises\n\nDo them.")
    return new_notebook(cells=[first, *cells, last])


def block(source, name="opening"):
    return source.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- end of {name} -->")[0]


def test_sentences_and_times_are_written_into_the_notebook():
    written = write(notebook(), OPENING, seconds=31.2)
    first, last = written.cells[0].source, written.cells[-1].source
    assert first.startswith("# 01 · Filters\n\n<!-- opening -->") and first.endswith("A link.")
    assert block(first).splitlines() == [
        "**Must filters be learned?**",
        "",
        f"- Random filters cost {100 * OUTCOME.effect:.1f} points.",
        "- It took 160 updates.",
        "- Of 8 seeds 8.",
        "",
        "*Runs in about 40 s; reading: about 1 minutes.*",
    ]
    remembered = f"1. One is 1.\n2. Two are 2.\n3. {len(OUTCOME.effects)} seeds."
    assert block(last, "remember") == remembered
    assert last.startswith("It goes on.\n\n## Three") and last.endswith("## Exercises\n\nDo them.")


def test_written_twice_it_is_the_same_and_markers_may_be_moved():
    once = write(notebook(), OPENING, seconds=31.2)
    again = write(nbformat.from_dict(once), OPENING)
    assert again == once
    moved = notebook()
    moved.cells[0].source += "\n\n<!-- opening -->\nold\n<!-- end of opening -->\nend"
    source = write(moved, OPENING, 1).cells[0].source
    assert source.startswith("# 01 · Filters\n\nA link.\n\n<!-- opening -->\n**Must")
    assert source.endswith("\n<!-- end of opening -->\nend") and "old" not in source


@pytest.mark.parametrize(
    ("seconds", "said"), [(21.5, 40), (59, 40), (None, 40), (19, 20), (60.5, 70), (200, 200)]
)
def test_the_stored_time_stays_unless_it_is_off_by_more_than_half(seconds, said):
    written = write(notebook(), OPENING, seconds=38)
    assert f"Runs in about {said} s;" in write(written, OPENING, seconds).cells[0].source


def test_a_longer_thing_to_remember_counts_at_once():
    long = dataclasses.replace(OPENING, remember=("word " * 300 + "1", *OPENING.remember[1:]))
    once = nbformat.from_dict(write(notebook(), long, seconds=31.2))
    assert write(nbformat.from_dict(once), long) == once


def test_reading_time_counts_words_code_and_pictures_that_are_not_folded():
    text = new_markdown_cell(
        "word " * 400 + "[two words](http://x.y/z?q=a) <img alt='no word'> = 1"
        "<details><summary>Fine print</summary>\n\nword\n\n</details>"
    )
    code = new_code_cell("a = 1\n\nb = 2", outputs=[PNG])
    folded = [
        new_code_cell("c\n" * 60, metadata={"tags": ["folded"]}, outputs=[PNG]),
        new_code_cell("with lab.answer(): c", outputs=[PNG]),
    ]
    printed = new_code_cell("d", outputs=[new_output("stream", text="word " * 999)])
    counted = [len(list(openings.words(text.source))) * 60 / 200, 2 * 10 + 20, 20, 10, 10]
    assert counted[0] == 403 * 60 / 200
    cells = [text, code, *folded, printed]
    assert [openings._seconds(cell) for cell in cells] == counted
    assert reading_minutes(new_notebook(cells=cells)) == 4  # 200.9 s, rounded up


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("{cnn.no-claim:a.points}", "no claim 'cnn.no-claim' is registered"),
        (f"{{{CLAIM}:none.points}}", f"the tests of {CLAIM} are .*{OUTCOME.test.name}"),
        (f"{{{TEST}.size}}", "size"),
        (f"{{{TEST}.points:.1q}}", "format"),
        ("{cnn.learn-filters}", r"a number is written \{claim:test.part:format\}"),
    ],
)
def test_a_number_that_there_is_not_is_named(sentence, message):
    with pytest.raises(ClaimError, match=message):
        filled(sentence)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[a]\nquestion = "Why?"\nfound = ["1"]', "a: KeyError.'remember'"),
        ('[a]\nquestion = "Why."\nfound = []\nremember = []', "does not end with a question mark"),
        ('[a]\nquestion = "Why?"\nfound = ["1"]\nremember = []', "three sentences were found"),
    ],
)
def test_an_entry_that_is_not_as_it_should_be_is_named(text, message, tmp_path):
    (tmp_path / "openings.toml").write_text(text)
    with pytest.raises(ClaimError, match=message):
        openings.openings(tmp_path / "openings.toml")


def test_only_a_notebook_with_an_entry_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(openings, "openings", lambda: {"01_toy": OPENING})
    record = {MIME: {"seconds": 12.0}, "text/plain": "done"}
    for name in ("01_toy", "02_toy"):
        cell = new_code_cell("lab.close()", outputs=[new_output("display_data", record)])
        nbformat.write(runner.normalise(notebook(cell)), tmp_path / f"{name}.ipynb")
    before = (tmp_path / "02_toy.ipynb").read_bytes()
    for name in ("01_toy", "02_toy"):
        openings.into(tmp_path / f"{name}.ipynb", tmp_path / f"{name}.ipynb")
    written = nbformat.read(tmp_path / "01_toy.ipynb", as_version=4)
    assert "Runs in about 20 s" in written.cells[0].source
    assert (tmp_path / "02_toy.ipynb").read_bytes() == before
