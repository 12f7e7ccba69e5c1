"""Verdict cards: a sentence, its word, what to say instead, and every seed against the threshold.

The stable line is text; the card is HTML that reads well without styles, in the dark and aloud.
"""

import html
import operator
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from IPython.display import display

from helpers.evidence.registry import ClaimError, Test
from helpers.evidence.statistics import rate_interval
from helpers.evidence.verdicts import LEAST_SEEDS, Outcome, Verdict
from helpers.figures import COLOURS, INK, blank, picture, strip, styled
from helpers.figures.style import OWN

WIDTH = 84  # characters of nine points across a card
MOST = 4  # strips on a card; the tests beyond stand in the fold alone
FEW = 3  # conditions that a sentence can list and still be read
# Backgrounds of white text: readable on a light page and on a dark one.
WORD_COLOURS = {
    "true": "#00664B",
    "true if": "#00577F",
    "overstated": "#8A5A00",
    "false": "#A63C00",
    "open": "#555555",
}
CLAIMED = COLOURS[2]
YOURS, EVIDENCE = OWN["yours"], OWN["stored"]
SHORT = {"supported": "true", "refuted": "not", "undecided": "undecided"}
BASES = {"log2": 2.0, "log10": 10.0, "octaves": 2.0}
OUTCOME_MARKS = {"supported": "✓", "refuted": "✗", "undecided": "?"}

Here = Mapping[str, Sequence[bool]]  # by test: which of its effects come from networks trained here


def show_verdict(verdict: Verdict, found: Verdict | None = None, here: Here | None = None) -> None:
    """Show a verdict: its stable line as text, the card as HTML.

    `found` is what was found on the evidence, where the verdict is a reader's own; `here` says
    which effects were measured on networks trained here.
    """
    text = repr(verdict) + (f"; on the evidence: {found!r}" if found else "")
    display({"text/plain": text, "text/html": verdict_card(verdict, found, here)}, raw=True)


def verdict_card(verdict: Verdict, found: Verdict | None = None, here: Here | None = None) -> str:
    """A verdict as HTML: sentence, word, answer, every seed; the rest in a fold.

    A reader's own, which is no verdict, stands beside the one that was found. A claim without a
    quote is an example of ours: it has its question alone.
    """
    claim = verdict.claim
    quote, question = html.escape(claim.quote), html.escape(claim.question)
    quoted = f"The recap: “{quote}”<br>" if quote else ""
    parts = [f'<p id="{html.escape(claim.id)}">{quoted}Asked here: {question}</p>']
    if verdict.provisional:
        note = "<b>Yours.</b> It is not the registered experiment, so it is no verdict: "
        parts.append(f"<p>{note}{coloured(verdict)}</p>")
        parts += [f"<p>On the evidence: {coloured(found)}</p>"] if found else []
    else:
        parts.append(f"<p>{'<br>'.join([coloured(verdict), *_conditions(verdict)])}</p>")
    if not verdict.run:
        return "".join(parts) + "<p>Profile smoke is too short to judge by.</p>"
    said = instead(found or verdict)
    parts += [f"<p>{html.escape(said)}</p>"] if said else []
    parts.append(_picture(verdict, found, here or {}))
    return "".join(parts) + _fine_print(verdict, found)


def _conditions(verdict: Verdict) -> list[str]:
    """How a sentence that is true if ..., or open, came out under its conditions, a line each."""
    shown = {"true if": ("refuted",), "open": tuple(SHORT)}.get(verdict.word, ())
    return [
        f"{OUTCOME_MARKS[kind]} {SHORT[kind]} {listed}"
        for kind in shown
        for listed in _listed(verdict, kind)
    ]


def _listed(verdict: Verdict, kind: str) -> list[str]:
    """'if data are few' for each condition that came out so; more than FEW are counted.

    A condition under which tests disagree is undecided.
    """
    under: dict[str, str] = {}
    for outcome in verdict.outcomes:
        when = outcome.test.when
        if outcome.test.role == "core" and when:
            alike = under.get(when, outcome.verdict) == outcome.verdict
            under[when] = outcome.verdict if alike else "undecided"
    found = [when for when, word in under.items() if word == kind]
    if len(found) > FEW:
        return [f"under {len(found)} conditions"]
    return [f"if {html.escape(when)}" for when in found]


def instead(verdict: Verdict) -> str:
    """What to say instead of the sentence; a note where that was written for another word."""
    try:
        return verdict.answer
    except ClaimError:  # other seeds, another version: the word is new
        return "What to say instead was written for another word."


def coloured(verdict: Verdict) -> str:
    """The verdict's phrase as HTML, its word on a background of its own, a line a condition."""
    word, rest = verdict.word, html.escape(verdict.phrase.removeprefix(verdict.word))
    if word == "true if":
        held = "<br>or ".join(_listed(verdict, "supported"))
        word, rest = "true", f" {held}"
    style = f"background:{WORD_COLOURS.get(verdict.word, '#555555')};color:#FFFFFF"
    return f'<b style="{style};padding:1px 6px;border-radius:3px">{html.escape(word)}</b>{rest}'


@styled
def _picture(verdict: Verdict, found: Verdict | None, here: Here) -> str:
    """Every seed of the core tests against what was claimed, a strip each, with its legend."""
    own = {o.test.name: o for o in verdict.outcomes} if verdict.provisional else {}
    stored = {o.test.name: o for o in (found or verdict).outcomes} if found or not own else {}
    shown = _drawn(found or verdict)
    if not shown:
        return "<p>Checked by counting and calculating: no chance is at play.</p>"
    heights = [1 + bool(own and stored) + 0.5 * (k == 0) for k in range(len(shown))]
    ratios = {"gridspec_kw": {"height_ratios": [height + 0.4 for height in heights]}}
    figure, axes = blank(6.4, 0.62 * sum(heights) + 0.5 * len(shown), len(shown), **ratios)
    strips = [
        _strip(axis, stored.get(test.name), own.get(test.name), here.get(test.name, ()))
        for axis, test in zip(axes[:, 0], shown, strict=True)
    ]
    tests, alts = zip(*strips, strict=True)
    _shade(axes[:, 0], tests)
    bars = any(map(_interval, [*own.values(), *stored.values()]))
    large = any(map(any, here.values())) and not own
    rest = len((found or verdict).outcomes) - len(shown)
    more = f" {rest} more test{'s' * (rest > 1)} in the fold below." if rest > 0 else ""
    legend = f"<p><small>{_legend(large, bars)}{more}</small></p>"
    return f"<p>{picture(figure, '; '.join(alts))}</p>{legend}"


def _drawn(verdict: Verdict) -> list[Test]:
    """The tests that decide by measurement, and those of which the answer speaks; MOST of them.

    Those of which it speaks have precedence; they are drawn in the order of their registration.
    """
    roles = ("core", "weaker") if verdict.word == "overstated" else ("core",)
    tests = [o.test for o in verdict.outcomes if o.test.kind != "assertion"]
    spoken_of = {test.name for test in tests if f"{{{test.name}." in verdict.claim.answer}
    tests = [test for test in tests if test.role in roles or test.name in spoken_of]
    chosen = sorted(tests, key=lambda test: test.name not in spoken_of)[:MOST]
    return [test for test in tests if test in chosen]


def _legend(large: bool, bars: bool) -> str:
    """What the marks of the picture are, in plain words."""
    parts = ["Dot: one seed (of timings, one repetition)"]
    parts += ["large: trained here"] if large else []
    parts += ["bar: average (or rate) and its 95 % interval"] if bars else []
    return "; ".join([*parts, "shaded: where the claim would hold."])


def _strip(
    axis, stored: Outcome | None, own: Outcome | None, here: Sequence[bool]
) -> tuple[Test, str]:
    """One test: a row of dots, two with a reader's own; the test as it is drawn, what it says."""
    both = [(stored, "evidence", EVIDENCE), (own, "yours", YOURS)]
    rows = [(readable(outcome), name, look) for outcome, name, look in both if outcome]
    test = rows[0][0].test
    for height, (outcome, _, look) in enumerate(rows):
        marks = () if own else here
        dots = _of_each_seed(outcome)
        strip(axis, height, dots, look, marks, _interval(outcome), outcome.effect)
    axis.set_yticks(range(len(rows)), [name for _, name, _ in rows] if own else [""] * len(rows))
    axis.tick_params(axis="y", length=0)
    axis.set(ylim=(len(rows) - 0.5, -0.5))
    claimed = "Beside the verdict: " * (test.role == "beside") + f"Claimed: {test.statement}"
    axis.set_title(textwrap.fill(claimed, WIDTH), loc="left", fontsize=9)
    became = rows[0][0].verdict.capitalize()
    numbers = f"{became}: found {_found(rows[0][0])}, claimed {test.asked} ({test.unit})"
    axis.set_xlabel(textwrap.fill(numbers, WIDTH), fontsize=9)
    said = " and ".join(f"{name} {_said(o)}" if own else _said(o) for o, name, _ in rows)
    return test, f"{claimed} {became}: {said}, claimed {test.asked}"


def readable(outcome: Outcome) -> Outcome:
    """Accuracies in points, logarithms as the ratios they stand for."""
    test = outcome.test
    logarithm, _, unit = test.unit.partition(" of ")
    if test.kind == "mean" and test.unit == "accuracy":
        unit, change = "points of accuracy", partial(operator.mul, 100.0)
    elif test.kind == "mean" and logarithm in BASES:
        change = partial(pow, BASES[logarithm])
        unit = unit if unit.endswith("ratio") else f"ratio of {unit}"
    else:
        return outcome
    edges = {name: change(getattr(test, name)) for name in ("threshold", "around")}
    numbers = {name: change(getattr(outcome, name)) for name in ("effect", "low", "high")}
    numbers |= {
        name: tuple(map(change, getattr(outcome, name))) for name in ("effects", "bootstrap")
    }
    return replace(outcome, test=replace(test, unit=unit, **edges), **numbers)


def _of_each_seed(outcome: Outcome) -> np.ndarray:
    """One number a seed: the effect; solved or not; solved by arm A less solved by arm B."""
    values = np.asarray(outcome.effects, float)
    return values[:, 0] - values[:, 1] if outcome.test.kind == "rates" else values


def _interval(outcome: Outcome) -> tuple[float, float] | None:
    few = len(outcome.effects) < LEAST_SEEDS
    return None if few or not np.isfinite(outcome.low) else (outcome.low, outcome.high)


def _shade(axes: Sequence, tests: Sequence[Test]) -> None:
    """The claimed side of each threshold, or the claimed band; every axis reaches past its edges.

    Tests that ask for the same share a range: their dots can be compared by eye.
    """
    asked = [(test.unit, test.direction, _edges(test)) for test in tests]
    for one in dict.fromkeys(asked):
        alike = [axis for axis, other in zip(axes, asked, strict=True) if other == one]
        _, direction, edges = one
        lows, highs = zip(*(axis.get_xlim() for axis in alike), strict=True)
        low, high = min(lows), max(highs)
        low, high = low - 0.02 * (high - low), high + 0.02 * (high - low)  # no dot is cut
        room = 0.06 * max(high - low, *(abs(high - edge) for edge in edges))
        low, high = min(low, min(edges) - room), max(high, max(edges) + room)
        claimed = {"above": (edges[0], high), "below": (low, edges[0])}.get(direction, edges)
        for axis in alike:
            axis.axvspan(*claimed, color=CLAIMED, alpha=0.2, linewidth=0)
            for edge in edges:
                axis.axvline(edge, color=INK, linestyle=":", linewidth=1)
            axis.set_xlim(low, high)


def _edges(test: Test) -> tuple[float, ...]:
    if test.direction == "within":
        return test.around - test.threshold, test.around + test.threshold
    return (test.threshold,)


def _short(number: float) -> str:
    """Three digits: '0.0123', '1.68', '1,680'."""
    return f"{float(f'{number:.3g}'):,g}"


def _found(outcome: Outcome) -> str:
    """What was measured, in a few characters."""
    if outcome.test.kind == "rates":
        return ", ".join(_solved(outcome))
    if outcome.test.kind == "count":
        return f"{np.sum(outcome.effects):.0f} of {len(outcome.effects)}"
    return _short(outcome.effect)


def _said(outcome: Outcome) -> str:
    """What the dots show, for those who do not see them."""
    if outcome.test.kind != "mean":
        return f"{_found(outcome)} seeds"
    low, high = min(outcome.effects), max(outcome.effects)
    average = f"average {_found(outcome)}"
    return f"{len(outcome.effects)} seeds from {_short(low)} to {_short(high)}, {average}"


def _solved(outcome: Outcome) -> list[str]:
    """'LSTM 7 of 8' for either arm."""
    counts = np.sum(outcome.effects, axis=0)
    return [
        f"{arm} {k} of {len(outcome.effects)}" for arm, k in zip(outcome.arms, counts, strict=True)
    ]


def _fine_print(verdict: Verdict, found: Verdict | None) -> str:
    """What was asked and expected, and every number of every test, in a fold."""
    claim = verdict.claim
    asked = "registered" if claim.quote else "asked"
    tables = _table(verdict)
    if found and verdict.provisional:
        tables = f"<p>Yours:</p>{tables}<p>On the evidence:</p>{_table(found)}"
    return (
        f"<details><summary>What was {asked}, every interval, what was expected</summary>"
        f"{tables}<p>Expected: {html.escape(claim.expected)}</p></details>"
    )


def _table(verdict: Verdict) -> str:
    rows = "".join(_test_row(outcome) for outcome in verdict.outcomes)
    heads = (f'<th style="text-align:left">{name}</th>' for name in ("test", "outcome", "measured"))
    return f"<table><tr>{''.join(heads)}</tr>{rows}</table>"


def _test_row(outcome: Outcome) -> str:
    outcome = readable(outcome)
    test = outcome.test
    role = "" if test.role == "core" else f" ({test.role})"
    when = f" Asked where {html.escape(test.when)}." if test.when else ""
    asked = f"<b>{html.escape(test.name)}</b>{role}: {html.escape(test.statement)}{when}"
    said = f"{OUTCOME_MARKS[outcome.verdict]} {outcome.verdict}"
    measured = "exact" if test.kind == "assertion" else "<br>".join(_numbers(outcome))
    return (
        f'<tr><td style="text-align:left;max-width:24em">{asked}</td>'
        f'<td style="text-align:left">{said}</td>'
        f'<td style="text-align:left;max-width:28em">{measured}</td></tr>'
    )


def _numbers(outcome: Outcome) -> list[str]:
    """Effect, intervals, what was asked, p."""
    test = outcome.test
    return [
        f"{_short(outcome.effect)} {html.escape(test.unit)}",
        f"95 % {_range(outcome.low, outcome.high)}; {html.escape(_beside(outcome))}",
        f"asked: {test.asked} (if the truth were exactly that: p = {outcome.p:.2g})",
    ]


def _range(low: float, high: float) -> str:
    return f"[{_short(low)}, {_short(high)}]"


def _beside(outcome: Outcome) -> str:
    """What stands beside the deciding interval: both arms' rates, or the bootstrap interval."""
    if outcome.test.kind == "rates":
        counts = np.sum(outcome.effects, axis=0).tolist()
        ends = [rate_interval(count, len(outcome.effects)) for count in counts]
        arms = zip(_solved(outcome), ends, strict=True)
        return ", ".join(f"{text} [{low:.2g}, {high:.2g}]" for text, (low, high) in arms)
    low, high = outcome.bootstrap
    return f"bootstrap {_range(low, high)}" if np.isfinite(low) else "bootstrap –"
