"""Openings: what a notebook asks and found, with its numbers filled in; how long it takes.

The sentences are in data/registry/openings.toml. `make refresh` writes them into the notebook:
question, findings and times into its first cell, what to remember under the heading of that name.
"""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from helpers.commands import heads
from helpers.commands.course import closing
from helpers.evidence import findings
from helpers.evidence.files import ROOT, write_whole
from helpers.evidence.registry import ClaimError, registry
from helpers.evidence.verdicts import Numbers

OPENINGS = ROOT / "data" / "registry" / "openings.toml"
REMEMBER = "## Three things to remember"
PLACEHOLDER = re.compile(r"\{([\w.-]+):([\w-]+)\.(\w+)(?::([^{}]*))?\}")
RUNS = re.compile(r"Runs in about (\d+) s")
PICTURES = ("image/png", "image/svg+xml", "text/html")
ANSWER = "with lab.answer("  # what such a cell shows stays closed
WORDS, LINE, PICTURE = 200, 10, 20  # words a minute, seconds a line of code, seconds a picture


@dataclass(frozen=True)
class Opening:
    """The sentences of a notebook; numbers of the evidence stand as {claim:test.part:format}."""

    question: str
    found: tuple[str, ...]
    remember: tuple[str, ...]


@cache
def openings(path: Path = OPENINGS) -> dict[str, Opening]:
    """The openings by notebook. Raises ClaimError for an entry that is not as it should be."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {notebook: _opening(notebook, entry) for notebook, entry in entries.items()}


def _opening(notebook: str, entry: Mapping[str, Any]) -> Opening:
    trouble = f"{OPENINGS.name}, {notebook}"
    try:
        opening = Opening(entry["question"], tuple(entry["found"]), tuple(entry["remember"]))
    except (KeyError, TypeError) as error:
        raise ClaimError(f"{trouble}: {error!r}: see the comment at its top") from error
    if not opening.question.endswith("?"):
        raise ClaimError(f"{trouble}: its question does not end with a question mark")
    if not len(opening.found) == len(opening.remember) == 3:
        raise ClaimError(f"{trouble}: three sentences were found, and three to be remembered")
    return opening


def filled(sentence: str) -> str:
    """A sentence with its numbers from the findings of the committed evidence.

    Raises ClaimError for a claim, test or part that there is not, or that was not measured.

    >>> filled("That is 3 = 3.")
    'That is 3 = 3.'
    """
    text = PLACEHOLDER.sub(_number, sentence)
    if "{" in text:
        raise ClaimError(f"{sentence!r}: a number is written {{claim:test.part:format}}")
    return text


def _number(match: re.Match) -> str:
    claim_id, test, part, form = match.groups()
    if claim_id not in registry():
        raise ClaimError(f"{match[0]}: no claim {claim_id!r} is registered")
    finding, reason = findings.find(registry()[claim_id])
    if finding is None:
        raise ClaimError(f"{match[0]}: {reason}")
    outcomes = {outcome.test.name: outcome for outcome in finding.verdict.outcomes}
    if test not in outcomes:
        raise ClaimError(f"{match[0]}: the tests of {claim_id} are {', '.join(outcomes)}")
    try:
        return format(getattr(Numbers.of(outcomes[test]), part), form or "")
    except (AttributeError, ValueError) as error:
        raise ClaimError(f"{match[0]}: {error}") from error


def write(notebook: NotebookNode, opening: Opening, seconds: float | None = None) -> NotebookNode:
    """Write a notebook's sentences into it, in place of those written before.

    `seconds` is how long it ran, rounded up to tens; the number that stands there stays unless it
    is off by more than half of itself, so that two runs write the same. None keeps it.
    """
    for cell in notebook.cells:  # first, as it is read, too
        if cell.cell_type == "markdown" and re.search(f"^{REMEMBER}$", cell.source, re.M):
            lines = [f"{n}. {filled(one)}" for n, one in enumerate(opening.remember, 1)]
            cell.source = with_block(cell.source, "remember", "\n".join(lines), f"^{REMEMBER}$")
    first = notebook.cells[0]
    time = _time(RUNS.search(first.source), seconds)
    minutes = 0
    for _ in range(2):  # once without the reading time, in order to count it
        lines = [f"**{opening.question}**", "", *(f"- {filled(one)}" for one in opening.found), ""]
        lines += [f"*Runs in about {time} s; reading: about {minutes} minutes.*"]
        first.source = with_block(first.source, "opening", "\n".join(lines), r"^# .*$")
        minutes = reading_minutes(notebook)
    return notebook


def into(path: Path, executed: Path) -> None:
    """Store an executed notebook at its place, with its sentences where it has some."""
    notebook = heads.read(executed)
    if opening := openings().get(path.stem):
        notebook = write(notebook, opening, closing(notebook).get("seconds"))
    write_whole(path, nbformat.writes(notebook) + "\n")


def _time(before: re.Match | None, seconds: float | None) -> int:
    """Seconds to be said, of which 0 means that nothing was measured yet."""
    kept = int(before[1]) if before else 0
    if seconds is None or (kept and abs(seconds - kept) <= kept / 2):
        return kept
    return 10 * math.ceil(seconds / 10)


def with_block(source: str, name: str, text: str, heading: str = "") -> str:
    """`source` with `text` between its markers; where there are none, under the heading.

    Raises ClaimError where there are none and no heading is named.

    >>> with_block("<!-- a -->old<!-- end of a -->", "a", "new").split()
    ['<!--', 'a', '-->', 'new', '<!--', 'end', 'of', 'a', '-->']
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if heading and begin not in source:
        marks = f"{begin}\n{end}"
        source = re.sub(heading, lambda m: f"{m[0]}\n\n{marks}", source, count=1, flags=re.M)
    before, _, rest = source.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ClaimError(f"the lines {begin} and {end} are missing: restore them with git")
    return f"{before}{begin}\n{text}\n{end}{after}"


def reading_minutes(notebook: NotebookNode) -> int:
    """Minutes that reading takes: words, lines of code and pictures that are not folded."""
    return math.ceil(sum(map(_seconds, notebook.cells)) / 60)


def _seconds(cell: NotebookNode) -> float:
    if cell.cell_type == "markdown":
        return 60 * len(list(words(cell.source))) / WORDS
    tags = cell.metadata.get("tags", [])
    lines = [line for line in cell.source.splitlines() if line.strip() and "folded" not in tags]
    pictures = [] if ANSWER in cell.source else list(filter(is_picture, cell.get("outputs", [])))
    return LINE * len(lines) + PICTURE * len(pictures)


def words(markdown: str) -> Iterator[str]:
    """The words of a text, without folds, comments, tags and the addresses of links."""
    text = re.sub(r"<details>.*?</details>", " ", markdown, flags=re.S)
    text = re.sub(r"<!--.*?-->|<[^>]*>|\]\([^)]*\)", " ", text, flags=re.S)
    return (word for word in text.split() if re.search(r"\w", word))


def is_picture(output: NotebookNode) -> bool:
    """Whether an output of a cell is to be looked at: a figure, a drawing, a table or a card."""
    return any(kind in output.get("data", {}) for kind in PICTURES)
