"""The front page: the red pen, what README counts and lists, and VERDICTS.md, from the evidence.

All of it is generated: `make refresh` and `make recap` write it, a test fails where it is stale.
"""

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd

from helpers.commands import course, heads, openings
from helpers.commands.course import NotebookError
from helpers.course import cards, redpen
from helpers.evidence import findings, replication
from helpers.evidence.files import ROOT, build_folder, write_whole
from helpers.evidence.findings import Found, find_all
from helpers.evidence.registry import Claim, registry
from helpers.evidence.verdicts import OUTCOMES

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SETTLED = ("true", "true if", "overstated", "false")
BLOCKS = {
    "README.md": ("red pen", "answers", "correction", "contents", "again"),
    "VERDICTS.md": ("tally", "verdicts", "correction", "replication", "turned"),
}


def pages() -> dict[Path, str]:
    """Every generated file outside of notebooks and evidence, with what belongs into it.

    Raises ClaimError where one lacks the marks of a block.

    >>> [path.name for path in pages()]
    ['README.md', 'VERDICTS.md', 'recap.svg']
    """
    found = find_all()
    written, files = blocks(found), {}
    for file, names in BLOCKS.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in names:
            text = openings.with_block(text, name, written[name])
        files[ROOT / file] = text
    return files | {ROOT / ".github" / "recap.svg": redpen.picture(found)}


def write() -> None:
    """Write all `pages` from the evidence."""
    for path, text in pages().items():
        write_whole(path, text)


def publish() -> list[Path]:
    """The red pen as build/recap.html; as one sheet of paper, build/recap.pdf, with a browser."""
    html = write_whole(build_folder() / "recap.html", redpen.page(find_all()))
    printed = pdf(html, html.with_suffix(".pdf"))
    return [html, printed] if printed else [html]


def pdf(html: Path, target: Path) -> Path | None:
    """Print a page with headless Chromium; None where there is none.

    Raises NotebookError where the browser fails.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return None
    root = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    flags = ["--headless", *root, "--no-pdf-header-footer", f"--print-to-pdf={target}"]
    try:
        call = [browser, *flags, html.as_uri()]
        subprocess.run(call, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotebookError(f"{browser} did not print {html}: print it yourself") from error
    return target


def blocks(found: Found) -> dict[str, str]:
    """What stands between the marks of README and VERDICTS.md, by their name."""
    picture = f'<img src=".github/recap.svg" width="850" alt="{redpen.described(found)}">'
    return {
        "red pen": f'<a href="VERDICTS.md">{picture}</a>',
        "tally": _counted(found),
        "answers": "\n".join(_answer(claim, found) for claim in redpen.striking()),
        "contents": _contents(),
        "verdicts": table(found),
        "correction": _corrected(found),
        "again": _again(replication.read(), core := _core()),
        "replication": _replicated(replication.read(), found, core),
        "turned": _turned(replication.read()),
    }


def _counted(found: Found) -> str:
    tally = redpen.tally(found)
    return _table(list(tally), [tally.values()])


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ((str(cell).replace("|", "\\|") for cell in line) for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _answer(claim: Claim, found: Found) -> str:
    """A claim's question, the answer, and the verdict on the recap's sentence, as an item."""
    word, said = redpen.phrase(claim.id, found), _said(claim, found)
    link = f"[notebook {claim.notebook[:2]}](notebooks/{claim.notebook}.ipynb)"
    quote = claim.quote.rstrip(" .").replace("|", ":")
    return f"1. **{claim.question}** {said} *“{quote}”: {word}, {link}.*"


def _said(claim: Claim, found: Found) -> str:
    """What to say instead of a claim, or why there is nothing to say."""
    one, reason = found[claim.id]
    return cards.instead(one.verdict) if one else reason


def table(found: Found) -> str:
    """One row per claim in the recap's order: number, quote, verdict with its notebook, answer.

    Of claims that share a sentence the later ones show what they ask.
    """
    head, rows, quotes = ("#", "the recap says", "verdict", "what was measured"), [], set()
    for claim in registry().values():
        link = f"[{redpen.phrase(claim.id, found)}](notebooks/{claim.notebook}.ipynb)"
        number = f"**{claim.number}**" if claim.headline else str(claim.number)
        says = f"*{claim.question}*" if claim.quote in quotes else claim.quote
        quotes.add(claim.quote)
        rows.append((number, says, link, _said(claim, found)))
    return _table(head, rows)


def _corrected(found: Found) -> str:
    """What Holm's correction would change among the headline claims."""
    tests = findings.table(findings.read_all()).query("headline and role == 'core' and p == p")
    decided = tests[tests["verdict"].isin(replication.DECIDED)]
    lost = decided[decided["p_holm"] > 0.05]
    headline = [claim.id for claim in registry().values() if claim.headline]
    settled = [claim for claim in headline if redpen.word(claim, found) in SETTLED]
    other = [claim for claim in settled if claim in set(lost["claim"])]
    named = "; ".join(f"{_quoted(claim)} (*{redpen.word(claim, found)}*)" for claim in other)
    return (
        "Verdicts are not corrected for the number of tests. Under Holm’s correction over the core "
        f"tests of the {len(headline)} *headline* claims (bold in VERDICTS.md), named after the "
        f"first edition, before the second measured, {len(decided) - len(lost)} of the "
        f"{len(decided)} decided ones pass, and {len(other)} of the {len(settled)} settled claims "
        "would be *open*"
        f"{': ' * bool(other)}{named}."
    )


def _quoted(claim: str) -> str:
    return f"“{registry()[claim].quote.rstrip(' .')}”"


def _core() -> pd.DataFrame:
    """The core tests that seeds decided."""
    tests = findings.table(findings.read_all()).query("role == 'core' and p == p")
    return tests[tests["verdict"].isin(replication.DECIDED)]


def _again(rows: pd.DataFrame, core: pd.DataFrame) -> str:
    """How many tests had the same word on other seeds."""
    if rows.empty:
        return "Nothing was proved again on other seeds yet: `make replicate`."
    decided, alike = replication.counted(rows)
    return (
        f"Of {len(core)} core tests that seeds decided {decided} were tried again on other "
        f"seeds (`make replicate`, {rows['date'].max()}; seeds from {rows['first_seed'].min()} "
        f"on, rates as tuning seeds had chosen them): **{alike} have the same word.**"
    )


def _replicated(rows: pd.DataFrame, found: Found, core: pd.DataFrame) -> str:
    """How many tests had the same word on other seeds, which claims another, and what is left."""
    if rows.empty:
        return _again(rows, core)
    stored = findings.read_all()
    tried = set(zip(rows["claim"], rows["test"], strict=True))
    asked = zip(core["claim"], core["test"], strict=True)
    left = ", ".join(dict.fromkeys(f"`{claim}`" for claim, t in asked if (claim, t) not in tried))
    both = pd.crosstab(rows["verdict"], rows["verdict_again"]).reindex(
        index=OUTCOMES, columns=OUTCOMES, fill_value=0
    )
    inside = rows["effect"].between(rows["low_again"], rows["high_again"]).sum()
    words = replication.words(rows, stored)
    settled = [claim for claim, (word, _) in words.items() if word in SETTLED]
    kept = sum(words[claim][0] == words[claim][1] for claim in settled)
    in_all = sum(redpen.word(claim, found) in SETTLED for claim in registry())
    other = [(claim, *pair) for claim, pair in words.items() if len({*pair}) == 2]
    return "\n\n".join(
        [
            f"{_again(rows, core)} All {len(rows)} tests that were tried again, and what became of "
            "them:",
            _table(
                ("here", *(f"{word} on other seeds" for word in both)),
                ((word, *counts) for word, counts in zip(both.index, both.values, strict=True)),
            ),
            f"{inside} of their {len(rows)} effects ({100 * inside / len(rows):.0f} %) lie in the "
            "new intervals; of two intervals that are right and equally wide about 83 % would. Of "
            f"the {in_all} settled claims {len(settled)} could be tried (the others rest on exact "
            f"checks or timings alone): **{kept} keep their word.** With another, those included "
            "that were *open*:",
            _table(
                ("claim", "as asked", "here", "on other seeds"),
                ((_quoted(claim), registry()[claim].question, *pair) for claim, *pair in other),
            ),
            "Generated tasks are drawn anew; of stored sets only splits, starts and order are new."
            f"{f' Not tried: tests that time a machine, of {left}.' if left else ''}",
        ]
    )


def _turned(rows: pd.DataFrame) -> str:
    """A row for every test whose word is another one on other seeds."""
    tests = {(claim.id, test.name): test for claim in registry().values() for test in claim.test}
    lines = []
    for row in rows[rows["verdict"] != rows["verdict_again"]].to_dict("records"):
        test = tests[row["claim"], row["test"]]
        sides = [
            f"{row[f'verdict{side}']} {row[f'effect{side}']:z.3g} "
            f"[{row[f'low{side}']:z.3g}, {row[f'high{side}']:z.3g}]"
            for side in replication.SIDES.values()
        ]
        asked = f"{test.asked}, {test.unit}"
        lines.append((f"{row['claim']}, {row['test']}", row["role"], asked, *sides))
    return _table(("claim, test", "role", "asked", "here", "on other seeds"), lines) * bool(lines)


@dataclass(frozen=True)
class Listed:
    """A notebook as tables of contents list it: what it asks, and how long it takes."""

    path: Path
    notebook: nbformat.NotebookNode
    name: str
    about: str
    minutes: int  # of reading
    seconds: int  # of running


def listed() -> Iterator[Listed]:
    """The notebooks of the course in their order; not a reader's own, which have no opening."""
    for path in course.notebooks():
        if opening := openings.openings().get(path.stem):
            notebook = heads.read(path)
            title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
            name = re.split(r"(?<=[:?]) ", title)[0].strip(": ")
            times = openings.reading_minutes(notebook), _seconds(notebook)
            yield Listed(path, notebook, name, opening.question, *times)


def _contents() -> str:
    """The notebooks: what each asks, how long it takes to read and to run."""
    lines, minutes, seconds = [], 0, 0
    for one in listed():
        link = f"[{one.name}](notebooks/{one.path.name}){_elsewhere(one.path)}"
        lines.append((link, one.about, f"{one.minutes} min", f"{one.seconds} s"))
        minutes, seconds = minutes + one.minutes, seconds + one.seconds
    total = ("all", "", f"{minutes / 60:.1f} hours", f"{seconds / 60:.0f} min")
    return _table(("notebook", "about", "reading", "runs"), [*lines, total])


def _seconds(notebook: nbformat.NotebookNode) -> int:
    """How long it ran: what its opening says, else its closing line, in tens."""
    said = openings.RUNS.search(notebook.cells[0].source)
    return int(said[1]) if said else 10 * math.ceil(course.closing(notebook).get("seconds", 0) / 10)


def address() -> str:
    """The repository's address as pyproject.toml has it; empty while that is a placeholder."""
    known = heads.repository()
    return "" if known == heads.PLACEHOLDER else known


def _elsewhere(path: Path) -> str:
    """Links that open a notebook elsewhere, where the repository has an address."""
    return f"<br>{heads.links(address(), path.name)}" if address() else ""
