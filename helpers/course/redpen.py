"""The red pen: the recap's page in our own words, corrected as an editor would, from the evidence.

What stands is left alone or gets a reservation, what holds under a condition gets that, what is
overstated or false is struck out and replaced, what is open gets a question mark. Lines and
corrections are in data/registry/recap.toml. One text serves the page, the print and the picture.
"""

import base64
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from helpers.evidence.files import ROOT
from helpers.evidence.findings import Found
from helpers.evidence.registry import WORDS, Claim, ClaimError, registry, troubles_of_sentence

RECAP = ROOT / "data" / "registry" / "recap.toml"
SHEET = Path(__file__).parent / "sheet"  # styles; Kalam by Indian Type Foundry, OFL
MOST_WORDS = 15  # of a correction
WIDTH, HEIGHT = 794, 1123  # an A4 page at 96 dots an inch
STRUCK = ("overstated", "false")
NO_WORD = "no verdict"
MARKS = {  # in the margin; of a line's claims the last one in this order decides
    "true": "✓",
    "true if": "if",
    "open": "?",
    "overstated": "≈",
    "false": "✗",
    NO_WORD: "–",
}
LEGEND = {
    "true": "true of what was asked",
    "true if": "true if what is written holds",
    "overstated": "overstated",
    "false": "false",
    "open": "open: its tests do not settle it",
}


@dataclass(frozen=True)
class Correction:
    """What the pen writes into a line about one of its claims, and for which verdict."""

    claim: str
    word: str
    say: str
    at: str = ""  # words of the line; empty: all of it


@dataclass(frozen=True)
class Line:
    """A line of the recap, in our own words, the claims that settle it, and their corrections."""

    text: str
    claims: tuple[str, ...]
    corrections: tuple[Correction, ...] = ()


@cache
def recap(path: Path = RECAP) -> dict[str, tuple[Line, ...]]:
    """The recap's lines by section. Raises ClaimError naming a line that is not as it should be.

    >>> recap()["CNNs"][0].text
    'A CNN learns its filters.'
    """
    sections = _read(path)["section"]
    return {one["title"]: tuple(_line(line, path) for line in one["line"]) for one in sections}


def striking(path: Path = RECAP) -> tuple[Claim, ...]:
    """The claims that the front page shows. Raises ClaimError for one that is not registered."""
    names = _read(path).get("striking", [])
    if unknown := set(names) - set(registry()):
        raise ClaimError(f"{path.name}: striking names {unknown}, which no one registered")
    return tuple(registry()[name] for name in names)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClaimError(f"{path} cannot be read ({error}): git checkout data/registry") from error


def _line(entry: Mapping[str, Any], path: Path) -> Line:
    try:
        corrections = tuple(Correction(**one) for one in entry.get("correction", ()))
        line = Line(entry["text"], tuple(entry["claims"]), corrections)
    except (KeyError, TypeError) as error:
        raise ClaimError(f"{path.name}: {entry}: {error}: see the comment at its top") from error
    for trouble in _troubles(line):
        raise ClaimError(f"{path.name}: {line.text!r} {trouble}")
    return line


def _troubles(line: Line) -> Iterator[str]:
    if not line.claims or set(line.claims) - set(registry()):
        yield f"maps to {line.claims}"
    for one in line.corrections:
        if one.claim not in line.claims:
            yield f"is corrected for {one.claim}, which is none of its claims"
            continue
        if one.word not in WORDS:
            yield f"is corrected for the word {one.word!r}: choose from {', '.join(WORDS)}"
        if one.at not in line.text:
            yield f"does not say {one.at!r}"
        tests = registry()[one.claim].test
        names = [test.name for test in tests]
        yield from troubles_of_sentence("has a correction that", one.say, names, MOST_WORDS)
        if "{" not in one.say and any(t.kind != "assertion" and t.role == "core" for t in tests):
            yield "has a correction without a number of the evidence"


def word(claim_id: str, found: Found) -> str:
    """The verdict on a claim, or "no verdict": not measured, or its evidence is malformed."""
    one, _ = found[claim_id]
    return one.verdict.word if one else NO_WORD


def phrase(claim_id: str, found: Found) -> str:
    """The verdict on a claim with its conditions; "no verdict" as `word`."""
    one, _ = found[claim_id]
    return one.verdict.phrase if one else NO_WORD


def shown(word: str) -> str:
    """A word that stands alone: "true if …" where nothing completes it."""
    return f"{word} …" if word == "true if" else word


def tally(found: Found) -> dict[str, int]:
    """How many claims came out with each word; "no verdict" where there are any.

    >>> list(tally({}))[:2]
    ['true', 'true if …']
    """
    words = [word(claim, found) for claim in found]
    return {shown(one): words.count(one) for one in (*WORDS, NO_WORD) if one in {*WORDS, *words}}


def stale(found: Found) -> list[str]:
    """What to write anew in recap.toml, a sentence for each line and claim."""
    said = []
    for line in (line for lines in recap().values() for line in lines):
        written = {one.claim: one.word for one in line.corrections}
        for claim in line.claims:
            now, before = word(claim, found), written.get(claim, "true")
            if now not in (before, NO_WORD):
                said.append(f"{line.text!r}: {claim} is {now}, written for {before}")
    return said


def page(found: Found) -> str:
    """The page as HTML that needs nothing else, to be read in `build`.

    Raises ClaimError for a correction whose numbers cannot be filled in.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>The recap in red pen</title>\n<style>{_styles('page', 'screen')}</style></head>\n"
        f"<body>{_sheet(found, '../notebooks/{}.ipynb'.format)}</body></html>\n"
    )


def fragment(found: Found, notebook: str) -> str:
    """The page as a part of another one; its styles are nested and do not reach beyond it.

    `data-theme`, light or dark, of an element around it goes before what the reader's system says.
    """
    face, sheets = _styles("page", "screen").split("\n", 1)
    light, dark, _ = re.findall(r":root \{([^}]*)\}", sheets)
    themes = {"light": light, "dark": dark}.items()
    chosen = "\n".join(f'[data-theme="{name}"] .recap {{{how}}}' for name, how in themes)
    nested = f".recap {{ {sheets.replace(':root', '&')} }}"
    sheet = re.sub("(</?)main", r"\1div", _sheet(found, notebook.format))
    return f'<style>{face}\n{nested}\n{chosen}</style><div class="recap">{sheet}</div>'


def picture(found: Found) -> str:
    """The page as SVG, its text as text, that follows its reader into the dark."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"<title>The recap in red pen</title><style>{_styles('page')}</style>\n"
        f'<foreignObject width="{WIDTH}" height="{HEIGHT}">'
        f'<div xmlns="http://www.w3.org/1999/xhtml" class="picture">{_sheet(found)}</div>'
        "</foreignObject></svg>\n"
    )


def described(found: Found) -> str:
    """The page in a sentence, for those who do not see the picture."""
    counts = ", ".join(f"{count} {one}" for one, count in tally(found).items())
    return f"The recap, corrected in red by measuring. Of its {len(found)} claims: {counts}."


def _styles(*names: str) -> str:
    font = base64.b64encode((SHEET / "hand.woff2").read_bytes()).decode()
    source = f"url(data:font/woff2;base64,{font})"
    sheets = "".join((SHEET / f"{name}.css").read_text(encoding="utf-8") for name in names)
    return f"@font-face{{font-family:Hand;src:{source}}}\n{sheets}"


def _sheet(found: Found, address: Callable[[str], str] | None = None) -> str:
    """Heading, two columns of about equal length, and what the marks mean."""
    parts = [_section(title, lines, found, address) for title, lines in recap().items()]
    lengths = [sum(map(_length, lines)) for lines in recap().values()]
    split = min(range(len(parts)), key=lambda k: abs(sum(lengths[:k]) - sum(lengths[k:])))
    columns = "".join(f"<div>{''.join(part)}</div>" for part in (parts[:split], parts[split:]))
    counts = ", ".join(f"<b>{count}</b> {one}" for one, count in tally(found).items())
    there = {word(claim, found) for claim in found}
    legend = " ".join(
        f"<span><i>{MARKS[one]}</i> {what}</span>" for one, what in LEGEND.items() if one in there
    )
    return (
        '<main class="sheet"><header><h1>Phase 3: the recap</h1>'
        "<p>Filters, memory, training. What one takes along, in few words.</p>"
        f'<p class="pen">Measured, claim by claim: {counts}.</p></header>\n'
        f'<div class="columns">{columns}</div>\n'
        f"<footer>{legend} <span><small>04</small> measured in notebook 04</span>"
        "<span>A line of several claims bears the gravest mark. Numbers are averages over seeds, "
        "or counts; a point is a hundredth, of accuracy unless said otherwise.</span></footer>"
        "</main>"
    )


def _section(
    title: str, lines: Sequence[Line], found: Found, address: Callable[[str], str] | None
) -> str:
    items = "".join(_item(line, found, address) for line in lines)
    heading = f"<h2>{escape(title)}</h2>"
    return f'<section style="flex-grow:{len(lines)}">{heading}<ul>{items}</ul></section>\n'


def _length(line: Line) -> int:
    """About how many characters wide, a new line counting half of one."""
    return 30 + len(line.text) + sum(len(one.say) for one in line.corrections)


def _item(line: Line, found: Found, address: Callable[[str], str] | None) -> str:
    """A line with its corrections at their places, and its mark in the margin."""
    worst = line_word(line, found)
    mark = f'<span class="mark" role="img" aria-label="{worst}:">{MARKS[worst]}</span>'
    return f"<li>{mark}<p>{corrected(line, found, address)}</p></li>"


def line_word(line: Line, found: Found) -> str:
    """The word in a line's margin: of its claims' verdicts the last in the order of `MARKS`."""
    return max((word(claim, found) for claim in line.claims), key=list(MARKS).index)


def corrected(line: Line, found: Found, address: Callable[[str], str] | None = None) -> str:
    """A line as HTML: what falls is struck out (`del`), what the pen writes stands in `ins`.

    `address` gives the page of a notebook by its name, for links.
    """
    reserved = {one.claim for one in line.corrections if one.word == "true"}
    pens = [
        _pen(claim, line, found)
        for claim in line.claims
        if claim in reserved or word(claim, found) != "true"
    ]
    text, done = "", 0
    for pen in sorted(pens, key=lambda pen: line.text.index(pen.at) + len(pen.at)):
        start = line.text.index(pen.at)
        end = start + len(pen.at)
        text += escape(line.text[done:start])
        marked = escape(line.text[max(start, done) : end])
        text += f"<del>{marked}</del>" if pen.word in STRUCK else marked
        text += f"{';' * (bool(text) and start < done)} {_written(pen, address)}"
        done = end
    return text + escape(line.text[done:])


def _pen(claim_id: str, line: Line, found: Found) -> Correction:
    """A correction as it stands on the page; where none was written for the word, the verdict."""
    one, _ = found[claim_id]
    if one is None:
        return Correction(claim_id, NO_WORD, NO_WORD, line.text)
    for written in line.corrections:
        if (written.claim, written.word) == (claim_id, one.verdict.word):
            said = one.verdict.filled(written.say)
            return replace(written, say=said, at=written.at or line.text)
    return Correction(claim_id, "", one.verdict.phrase, line.text)


def _written(pen: Correction, address: Callable[[str], str] | None) -> str:
    """What the pen wrote, with the number of the notebook; a link where it has an address."""
    notebook = registry()[pen.claim].notebook
    said = escape(pen.say).replace("× ", "×\u00a0").replace(" %", "\u00a0%")
    said = f"{'open: ' * (pen.word == 'open')}{said}\u00a0<small>{notebook[:2]}</small>"
    place = escape(f"{address(notebook)}#{pen.claim}") if address else ""
    link = f'<a href="{place}">{said}</a>' if place else said
    return f"<ins>{link}</ins>"
