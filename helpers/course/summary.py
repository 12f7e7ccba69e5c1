"""The phase summary: every line of the recap beside its verdicts, or why it has none."""

import html

import numpy as np
import pandas as pd
from IPython.display import display

from helpers.course import cards
from helpers.course.cards import OUTCOME_MARKS, coloured
from helpers.course.redpen import Line, recap
from helpers.evidence import findings
from helpers.evidence.findings import Finding, Found
from helpers.evidence.registry import registry
from helpers.evidence.verdicts import Outcome

find_all = findings.find_all


def words(found: Found) -> dict[str, str]:
    """The verdict of every claim that has one, by id."""
    return {claim: one.verdict.word for claim, (one, _) in found.items() if one is not None}


def missing(found: Found) -> list[str]:
    """A line for each claim without a verdict: why, and what to do about it."""
    return [f"{claim}: {reason}" for claim, (one, reason) in found.items() if one is None]


def show_section(title: str, found: Found) -> None:
    """Show a section of the recap: each line with its verdicts in miniature.

    As text, one stable line per claim; as HTML a table with effects, intervals, seeds, a link to
    the notebook that measured it and, where the recap is not simply right, the careful sentence.
    """
    lines = recap()[title]
    named = dict.fromkeys(claim for line in lines for claim in line.claims)
    text = "\n".join([title, *(f"{claim}: {_word(found[claim][0])}" for claim in named)])
    head = "<tr><th>the recap</th><th>verdict</th><th>measured</th></tr>"
    rows = "".join(_row(line, claim, found) for line in lines for claim in line.claims)
    display({"text/plain": text, "text/html": f"<table>{head}{rows}</table>"}, raw=True)


def _word(one: Finding | None) -> str:
    return "NOT MEASURED" if one is None else one.verdict.phrase


def _row(line: Line, claim_id: str, found: Found) -> str:
    one, reason = found[claim_id]
    claim = registry()[claim_id]
    link = f'{claim.number} · <a href="{claim.notebook}.ipynb#{claim.id}">{claim.id}</a>'
    if one is None:
        word, measured = "no verdict", html.escape(reason)
    else:
        word = coloured(one.verdict)
        measured = html.escape(cards.instead(one.verdict))
        tests = "<br>".join(_measured(outcome) for outcome in one.verdict.outcomes)
        measured += f"<details><summary>tests</summary>{tests}</details>"
    left = 'style="text-align:left;vertical-align:top'
    return (
        f'<tr><td {left};max-width:16em">{html.escape(line.text)}</td>'
        f'<td {left}">{word}<br><small>{link}</small></td>'
        f'<td {left};max-width:34em">{measured}</td></tr>'
    )


def _measured(outcome: Outcome) -> str:
    """A test in one line: mark, name, effect with interval, threshold and number of seeds.

    Its registered sentence shows when the pointer rests on the name.
    """
    test, mark = outcome.test, OUTCOME_MARKS[outcome.verdict]
    name = f'<span title="{html.escape(test.statement)}">{html.escape(test.name)}</span>'
    if test.kind == "assertion":
        return f"{mark} {name}: exact"
    numbers = f"{outcome.effect:.3g} [{outcome.low:.3g}, {outcome.high:.3g}]"
    band = f" of {test.around:g}" if test.direction == "within" else ""
    asked = f"{test.direction} {test.threshold:g}{band}"
    return (
        f"{mark} {name}: {numbers} {html.escape(test.unit)} "
        f"(asked: {asked}; {len(outcome.effects)} seeds)"
    )


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

    Columns claim, test, verdict, p, p_holm (of headline claims) and p_bh, as `findings.table`.
    """
    rows = findings.table(one for one, _ in found.values() if one is not None)
    rows = rows[rows["role"] == "core"].dropna(subset="p").sort_values("p", kind="stable")
    return rows[["claim", "test", "verdict", "p", "p_holm", "p_bh"]].reset_index(drop=True)


def instead(found: Found) -> pd.DataFrame:
    """What the recap says beside what to say instead: claims whose verdict is not *true*.

    Columns: the recap says, verdict, say instead, expected (before anything was measured).
    """
    rows = {}
    for claim in registry().values():
        one, _ = found[claim.id]
        if one is not None and one.verdict.word != "true":
            rows[claim.id] = [
                claim.quote,
                one.verdict.phrase,
                cards.instead(one.verdict),
                claim.expected,
            ]
    columns = ["the recap says", "verdict", "say instead", "expected"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def show_instead(found: Found) -> None:
    """Show `instead` as a table; as text, the claims in it with their verdicts."""
    table = instead(found)
    lines = [f"{claim}: {phrase}" for claim, phrase in table["verdict"].items()]
    shown = table.map(html.escape)
    shown["verdict"] = [coloured(found[claim][0].verdict) for claim in table.index]
    page = shown.to_html(escape=False, index=False, justify="left")
    display({"text/plain": "\n".join(["Say instead", *lines]), "text/html": page}, raw=True)
