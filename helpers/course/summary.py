"""The phase summary: the red pen with its evidence, all effects on one scale, ladders of size."""

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import display

from helpers.course import cards, redpen
from helpers.course.cards import OUTCOME_MARKS, coloured
from helpers.evidence import findings
from helpers.evidence.findings import Found
from helpers.evidence.registry import Claim, registry
from helpers.evidence.verdicts import Outcome, Verdict
from helpers.figures.svg import image

find_all = findings.find_all
SIZE = re.compile(r"(?<![\w-])\d+(?:,\d{3})*(?![\w-])")  # in a condition: "1,000 images"
NAMED_SIZE = re.compile(r"(?<=-)\d+(?:x\d+)?(?=-|$)")  # in the name of a test: "images-1000", "3x3"


def words(found: Found) -> dict[str, str]:
    """The verdict of every claim that has one, by id."""
    return {claim: one.verdict.word for claim, (one, _) in found.items() if one is not None}


def missing(found: Found) -> list[str]:
    """A line for each claim without a verdict: why, and what to do about it."""
    return [f"{claim}: {reason}" for claim, (one, reason) in found.items() if one is None]


# --- the red pen ---------------------------------------------------------------------------------


def show_page(found: Found) -> None:
    """Show the recap's page, corrected, as a picture whose alternative text holds the tally."""
    said = redpen.described(found)
    page = image(redpen.picture(found), said)
    display({"text/plain": said, "text/html": page}, raw=True)


def show_section(title: str, found: Found) -> None:
    """Show a section of the recap, a fold for each line: the line corrected, then its evidence.

    As text, one stable line per claim.
    """
    lines = redpen.recap()[title]
    named = dict.fromkeys(claim for line in lines for claim in line.claims)
    text = "\n".join([title, *(f"{claim}: {redpen.phrase(claim, found)}" for claim in named)])
    display(
        {"text/plain": text, "text/html": "".join(_fold(line, found) for line in lines)}, raw=True
    )


def _fold(line: redpen.Line, found: Found) -> str:
    mark = redpen.MARKS[redpen.line_word(line, found)]
    evidence = "".join(_evidence(registry()[claim], found) for claim in line.claims)
    head = f"<summary><b>{mark}</b> {redpen.corrected(line, found)}</summary>"
    return f'<details>{head}<div style="margin:0 0 1em 2em">{evidence}</div></details>'


def _evidence(claim: Claim, found: Found) -> str:
    """What was asked, the word, what to say instead, and every test in a line."""
    one, reason = found[claim.id]
    place, name = escape(f"{claim.notebook}.ipynb#{claim.id}"), escape(claim.id)
    asked = f'<a href="{place}">{name}</a> {escape(claim.question)}'
    if one is None:
        return f"<p>{asked}<br>{redpen.NO_WORD}: {escape(reason)}</p>"
    said = escape(cards.instead(one.verdict))
    outcomes = map(cards.readable, one.verdict.outcomes)
    tests = "".join(f"<li>{_measured(outcome)}</li>" for outcome in outcomes)
    return f"<p>{asked}<br>{coloured(one.verdict)}<br>{said}</p><ul>{tests}</ul>"


def _measured(outcome: Outcome) -> str:
    """A test in one line: mark, name, effect with interval, threshold and number of seeds.

    Its registered sentence shows when the pointer rests on the name.
    """
    test, mark = outcome.test, OUTCOME_MARKS[outcome.verdict]
    name = f'<span title="{escape(test.statement)}">{escape(test.name)}</span>'
    beside = f"; {test.role}" if test.role != "core" else ""
    if test.kind == "assertion":
        return f"{mark} {name}: exact{beside}"
    numbers = f"{outcome.effect:.3g} [{outcome.low:.3g}, {outcome.high:.3g}]"
    return (
        f"{mark} {name}: {numbers} {escape(test.unit)} "
        f"(asked: {test.asked}; {len(outcome.effects)} seeds{beside})"
    )


def show_surprises(claims: Iterable[str], found: Found) -> None:
    """Show, in a fold, what was expected of these claims beside what was found.

    As text, one stable line per claim.
    """
    rows = {}
    for claim in (registry()[name] for name in claims):
        one, _ = found[claim.id]
        if one is not None:
            said = f"{coloured(one.verdict)} {escape(cards.instead(one.verdict))}"
            rows[claim.id] = [escape(claim.quote), escape(claim.expected.strip()), said]
    columns = ["the recap says", "expected", "found"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    page = table.to_html(escape=False, index=False, justify="left")
    head = f"<summary>{len(rows)} surprises</summary>"
    text = "\n".join(["Surprises", *(f"{name}: {redpen.phrase(name, found)}" for name in rows)])
    html = f"<details>{head}{page}</details>"
    display({"text/plain": text, "text/html": html}, raw=True)


# --- all effects ---------------------------------------------------------------------------------


def margins(found: Found) -> pd.DataFrame:
    """Every measured test's distance from its threshold, and its interval, on one scale.

    Index claim, test; columns middle, low, high and kind, the verdict. The scale: distance from the
    threshold towards the claimed side, in half-widths of the test's own interval, so that beyond 1
    the interval is clear of the threshold. Assertions, and intervals of no width, are left out.
    """
    rows = {}
    for claim, (one, _) in found.items():
        for outcome in one.verdict.outcomes if one else ():
            half = (outcome.high - outcome.low) / 2
            if outcome.test.kind != "assertion" and half > 0:
                ends = sorted(_towards_claim(outcome, x) for x in (outcome.low, outcome.high))
                middle = _towards_claim(outcome, outcome.effect)
                scaled = np.array([middle, *ends]) / half
                rows[claim, outcome.test.name] = [*scaled, outcome.verdict]
    index = pd.MultiIndex.from_tuples(rows, names=["claim", "test"]) if rows else None
    return pd.DataFrame(rows.values(), index=index, columns=["middle", "low", "high", "kind"])


def _towards_claim(outcome: Outcome, value: float) -> float:
    """How far `value` lies on the claimed side of the threshold."""
    test = outcome.test
    if test.direction == "within":
        return test.threshold - abs(value - test.around)
    return value - test.threshold if test.direction == "above" else test.threshold - value


def corrected(found: Found) -> pd.DataFrame:
    """Every core test with a p value, before and after correction, smallest first.

    Columns claim, test, headline, verdict, p, p_holm (of headline claims) and p_bh, as
    `findings.table`.
    """
    rows = findings.table(one for one, _ in found.values() if one is not None)
    rows = rows[rows["role"] == "core"].dropna(subset="p").sort_values("p", kind="stable")
    columns = ["claim", "test", "headline", "verdict", "p", "p_holm", "p_bh"]
    return rows[columns].reset_index(drop=True)


# --- ladders -------------------------------------------------------------------------------------


def ladders(found: Found) -> pd.DataFrame:
    """The tests that ask the same thing at several sizes, a row for each rung that was measured.

    Sizes are read from the registry: from a test's condition ("there are 100 labels"), else from
    its name ("images-1000"). Columns claim, along (the condition with … in the size's place), size,
    the outcome's effect, low, high and verdict, and the test's unit, direction, threshold, around.
    Ladders of one rung, and those without a core test, are left out. Accuracies are in points.
    """
    columns = ["claim", "along", "size", "role", "effect", "low", "high", "verdict"]
    columns += ["unit", "direction", "threshold", "around"]
    verdicts = [one.verdict for one, _ in found.values() if one is not None]
    table = pd.DataFrame([rung for one in verdicts for rung in _rungs(one)], columns=columns)
    if table.empty:
        return table
    ladder = table.groupby(["claim", "along"], sort=False)
    climbs = ladder["size"].transform("nunique") > 1
    asked = ladder["role"].transform(lambda roles: "core" in set(roles))
    return table[climbs & asked].sort_values(["claim", "along", "size"]).reset_index(drop=True)


def _rungs(verdict: Verdict) -> Iterator[dict[str, Any]]:
    """A row of `ladders` for each test of a verdict that names a size."""
    along: dict[str, str] = {}  # tests of one kind of name climb together
    for outcome in map(cards.readable, verdict.outcomes):
        test, kind = outcome.test, NAMED_SIZE.sub("…", outcome.test.name)
        said = SIZE.search(test.when)
        size = said or NAMED_SIZE.search(test.name)
        if size and test.kind != "assertion":
            place = along.setdefault(kind, SIZE.sub("…", test.when, count=1) if said else kind)
            number = int(size[0].partition("x")[0].replace(",", ""))
            row = {"claim": verdict.claim.id, "along": place, "size": number}
            yield row | vars(test) | vars(outcome)
