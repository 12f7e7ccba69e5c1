"""Verdict cards: a sentence, its word, what to say instead, and every seed against the threshold.

The stable line is text; the card is HTML that reads well without styles, in the dark and aloud.
"""

import html
from collections.abc import Sequence

import numpy as np
from IPython.display import display

from helpers.evidence.registry import ClaimError
from helpers.evidence.statistics import rate_interval
from helpers.evidence.verdicts import Outcome, Verdict
from helpers.figures import COLOURS, blank, png, strip

# Backgrounds of white text: readable on a light page and on a dark one.
WORD_COLOURS = {
    "true": "#00664B",
    "true if": "#00577F",
    "overstated": "#8A5A00",
    "false": "#A63C00",
    "open": "#555555",
}
OUTCOME_MARKS = {"supported": "✓", "refuted": "✗", "undecided": "?"}


def show_verdict(verdict: Verdict, found: Verdict | None = None) -> None:
    """Show a verdict: its stable line as text, the card as HTML.

    `found` is what was found on the evidence, where the verdict is a reader's own.
    """
    text = repr(verdict) + (f"; on the evidence: {found!r}" if found else "")
    display({"text/plain": text, "text/html": verdict_card(verdict, found)}, raw=True)


def verdict_card(verdict: Verdict, found: Verdict | None = None) -> str:
    """A verdict as HTML; a reader's own beside the one that was found."""
    if not verdict.provisional:
        return _card(verdict)
    note = "<p><b>Yours.</b> It is not the registered experiment, so it is no verdict.</p>"
    parts = [note + _card(verdict)] + ([f"<p>On the evidence:</p>{_card(found)}"] if found else [])
    cells = "".join(f'<div style="flex:1;min-width:20em">{part}</div>' for part in parts)
    return f'<div style="display:flex;flex-wrap:wrap;gap:1.5em">{cells}</div>'


def _card(verdict: Verdict) -> str:
    claim = verdict.claim
    head = f'<p id="{html.escape(claim.id)}">The recap: “{html.escape(claim.quote)}”'
    head += f"<br>{coloured(verdict)}</p>"
    if not verdict.run:
        return head + "<p>Profile smoke is too short to judge by.</p>"
    return head + _answer(verdict) + _picture(verdict.outcomes) + _fine_print(verdict)


def _answer(verdict: Verdict) -> str:
    said = instead(verdict)
    return f"<p>{html.escape(said)}</p>" if said else ""


def instead(verdict: Verdict) -> str:
    """What to say instead of the sentence; a note where that was written for another word."""
    try:
        return verdict.answer
    except ClaimError:  # other seeds, another version: the word is new
        return "What to say instead was written for another word."


def coloured(verdict: Verdict) -> str:
    """The verdict's phrase as HTML, its word on a background of its own."""
    word, rest = verdict.word, verdict.phrase.removeprefix(verdict.word)
    style = f"background:{WORD_COLOURS.get(word, '#555555')};color:#FFFFFF"
    badge = f'<b style="{style};padding:1px 6px;border-radius:3px">{html.escape(word)}</b>'
    return f"{badge}{html.escape(rest)}"


def _picture(outcomes: Sequence[Outcome]) -> str:
    """All seeds of the core tests against their thresholds, a row each, as HTML with alt text."""
    shown = [o for o in outcomes if o.test.role == "core" and o.test.kind != "assertion"]
    if not shown:
        return ""
    figure, axes = blank(6.4, 0.35 + 0.75 * len(shown), rows=len(shown))
    alts = [_row(axis, outcome) for axis, outcome in zip(axes[:, 0], shown, strict=True)]
    alt = html.escape("; ".join(alts))
    return f'<img alt="{alt}" style="max-width:100%" src="data:image/png;base64,{png(figure)}">'


def _row(axis, outcome: Outcome) -> str:
    """One test: what was claimed shaded, its seeds as dots or bars; says what is drawn."""
    said = _rate_bars(axis, outcome) if outcome.test.kind == "rates" else _dots(axis, outcome)
    axis.set_title(f"{outcome.test.name}, {outcome.test.unit}", loc="left", fontsize=9)
    axis.tick_params(labelsize=8)
    low, high = axis.get_xlim()
    for start, end in _claimed(outcome, low, high):
        axis.axvspan(start, end, color="#009E73", alpha=0.12, linewidth=0)
    axis.set_xlim(low, high)
    test = outcome.test
    band = f" of {test.around:g}" if test.direction == "within" else ""
    return f"{test.name}: {said}; claimed: {test.direction} {test.threshold:g}{band}"


def _claimed(outcome: Outcome, low: float, high: float) -> list[tuple[float, float]]:
    """The claimed side of the threshold, as far as it is in the picture."""
    test = outcome.test
    return {
        "above": [(min(test.threshold, high), high)],
        "below": [(low, max(test.threshold, low))],
        "within": [(test.around - test.threshold, test.around + test.threshold)],
    }[test.direction]


def _dots(axis, outcome: Outcome) -> str:
    """A dot per seed with mean and interval beneath."""
    values, test = np.asarray(outcome.effects, float), outcome.test
    strip(axis, 0, values, COLOURS[0], "o")
    edges = [test.around - test.threshold, test.around + test.threshold]
    for edge in edges if test.direction == "within" else [test.threshold]:
        axis.axvline(edge, color="black", linestyle=":", linewidth=1)
    axis.set(yticks=[], ylim=(0.5, -0.5))
    return f"{len(values)} seeds from {values.min():.3g} to {values.max():.3g}"


def _rate_bars(axis, outcome: Outcome) -> str:
    """A bar for each arm's rate with its Clopper-Pearson interval."""
    axis.barh((0, 1), np.mean(outcome.effects, axis=0), height=0.6, color=COLOURS[:2], alpha=0.7)
    for height, interval in enumerate(_arm_intervals(outcome)):
        axis.plot(interval, (height, height), color="black", linewidth=1.5)
    axis.set_yticks((0, 1), outcome.arms)
    axis.set(ylim=(1.5, -0.5), xlim=(0, 1))
    return ", ".join(_solved(outcome)) + " seeds solved"


def _solved(outcome: Outcome) -> list[str]:
    """'LSTM 7 of 8' for either arm."""
    counts = np.sum(outcome.effects, axis=0)
    return [
        f"{arm} {k} of {len(outcome.effects)}" for arm, k in zip(outcome.arms, counts, strict=True)
    ]


def _arm_intervals(outcome: Outcome) -> list[tuple[float, float]]:
    counts = np.sum(outcome.effects, axis=0).tolist()
    return [rate_interval(count, len(outcome.effects)) for count in counts]


def _fine_print(verdict: Verdict) -> str:
    """What was asked and expected, and every number of every test, in a fold."""
    claim = verdict.claim
    rows = "".join(_test_row(outcome) for outcome in verdict.outcomes)
    titles = "<tr><th>test</th><th>outcome</th><th>measured</th></tr>"
    return (
        "<details><summary>What was registered, every interval, what was expected</summary>"
        f"<p>Question: {html.escape(claim.question)}</p><table>{titles}{rows}</table>"
        f"<p>Expected, before anything was measured: {html.escape(claim.expected)}</p></details>"
    )


def _test_row(outcome: Outcome) -> str:
    test = outcome.test
    role = "" if test.role == "core" else f" ({test.role})"
    when = f" Asked where {html.escape(test.when)}." if test.when else ""
    asked = f"<b>{test.name}</b>{role}: {html.escape(test.statement)}{when}"
    said = f"{OUTCOME_MARKS[outcome.verdict]} {outcome.verdict}"
    cells = [f'<td style="text-align:left;max-width:24em">{asked}</td>', f"<td>{said}</td>"]
    measured = "exact" if test.kind == "assertion" else "<br>".join(_numbers(outcome))
    cells.append(f'<td style="text-align:left;max-width:28em">{measured}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _numbers(outcome: Outcome) -> list[str]:
    """Effect, intervals, what was asked, p, and how often the rule is wrong."""
    test = outcome.test
    band = f" of {test.around:g}" if test.direction == "within" else ""
    return [
        f"{outcome.effect:.3g} {html.escape(test.unit)}",
        f"95 % [{outcome.low:.3g}, {outcome.high:.3g}]; {html.escape(_beside(outcome))}",
        f"asked: {test.direction} {test.threshold:g}{band}; against it p = {outcome.p:.2g}",
        *([f"<i>{html.escape(outcome.caution)}</i>"] if outcome.caution else []),
    ]


def _beside(outcome: Outcome) -> str:
    """What stands beside the deciding interval: both arms' rates, or the bootstrap interval."""
    if outcome.test.kind == "rates":
        rates = [
            f"{text} [{low:.2g}, {high:.2g}]"
            for text, (low, high) in zip(_solved(outcome), _arm_intervals(outcome), strict=True)
        ]
        return ", ".join(rates)
    low, high = outcome.bootstrap
    return f"bootstrap [{low:.3g}, {high:.3g}]" if np.isfinite(low) else "bootstrap –"
