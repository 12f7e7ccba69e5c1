"""Verdict cards: a verdict's stable line as text; its numbers and a dot per seed as HTML."""

import html

import numpy as np
from IPython.display import display

from helpers.evidence.claims import Outcome, Verdict
from helpers.evidence.statistics import rate_interval
from helpers.figures import COLOURS, blank, png, strip

WORD_COLOURS = {"supported": "#00664B", "refuted": "#A63C00", "inconclusive": "#555555"}


def show_verdict(verdict: Verdict, found: Verdict | None = None) -> None:
    """Show a verdict: its stable line as text, its numbers and strip plots as an HTML card.

    `found` is what was found on the evidence, where the verdict is a reader's own.
    """
    text = repr(verdict) + (f"; on the evidence: {found!r}" if found else "")
    display({"text/plain": text, "text/html": verdict_card(verdict, found)}, raw=True)


def verdict_card(verdict: Verdict, found: Verdict | None = None) -> str:
    """A verdict as HTML: each test with its effect, interval, p and a dot per seed."""
    if not verdict.provisional or not verdict.run:
        return _card(verdict)
    own = "<p><b>Yours</b>: not the registered experiment, so this is no verdict.</p>"
    own += _card(verdict)
    if found:
        own += f"<details><summary>On the evidence</summary>{_card(found)}</details>"
    return own


def _card(verdict: Verdict) -> str:
    claim = verdict.claim
    name = html.escape(claim.id)
    head = (
        f'<p id="{name}"><b>{name}: {verdict.word.upper()}</b><br>'
        f"The recap: “{html.escape(claim.quote)}”<br>"
        f"A careful engineer: <i>{html.escape(claim.nuance)}</i></p>"
    )
    if not verdict.run:
        return head + "<p>Not run: profile smoke is too short to judge by.</p>"
    rows = "".join(_card_row(outcome) for outcome in verdict.outcomes)
    titles = "<tr><th>test</th><th>outcome</th><th>measured</th><th>seeds</th></tr>"
    return f"{head}<table>{titles}{rows}</table>"


def _card_row(outcome: Outcome) -> str:
    test = outcome.test
    word = f'<b style="color:{WORD_COLOURS[outcome.verdict]}">{outcome.verdict}</b>'
    statement = f'<td style="text-align:left;max-width:22em">{html.escape(test.statement)}</td>'
    if test.kind == "assertion":
        return f"<tr>{statement}<td>{word}</td><td>exact</td><td></td></tr>"
    band = f" of {test.around:g}" if test.direction == "within" else ""
    lines = [
        f"{outcome.effect:.3g} {html.escape(test.unit)}",
        f"95 % [{outcome.low:.3g}, {outcome.high:.3g}]; {html.escape(_beside(outcome))}",
        f"registered: {test.direction} {test.threshold:g}{band}; against it p = {outcome.p:.2g}",
        *([f"<i>{html.escape(outcome.caution)}</i>"] if outcome.caution else []),
    ]
    measured = f'<td style="text-align:left;max-width:30em">{"<br>".join(lines)}</td>'
    return f"<tr>{statement}<td>{word}</td>{measured}<td>{_seed_picture(outcome)}</td></tr>"


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


def _solved(outcome: Outcome) -> list[str]:
    """'LSTM 7 of 8' for either arm."""
    counts = np.sum(outcome.effects, axis=0)
    return [
        f"{arm} {k} of {len(outcome.effects)}" for arm, k in zip(outcome.arms, counts, strict=True)
    ]


def _arm_intervals(outcome: Outcome) -> list[tuple[float, float]]:
    counts = np.sum(outcome.effects, axis=0).tolist()
    return [rate_interval(count, len(outcome.effects)) for count in counts]


def _seed_picture(outcome: Outcome) -> str:
    """The effects of all seeds as a small picture with alt text, as HTML."""
    figure, axes = blank(2.4, 0.8)
    draw = _rate_bars if outcome.test.kind == "rates" else _effect_strip
    alt = f"{draw(axes[0, 0], outcome)}, threshold {outcome.test.threshold:g}: {outcome.verdict}"
    axes[0, 0].tick_params(labelsize=8)
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{png(figure)}">'


def _effect_strip(axis, outcome: Outcome) -> str:
    """A dot per seed with mean and interval beneath; says what is drawn."""
    values = np.asarray(outcome.effects)
    strip(axis, 0, values, COLOURS[0], "o")
    axis.axvline(outcome.test.threshold, color="black", linestyle=":", linewidth=1)
    axis.set(yticks=[], ylim=(0.5, -0.5))
    return f"{len(values)} seeds from {values.min():.3g} to {values.max():.3g}"


def _rate_bars(axis, outcome: Outcome) -> str:
    """A bar for each arm's rate with its Clopper-Pearson interval; says what is drawn."""
    axis.barh((0, 1), np.mean(outcome.effects, axis=0), height=0.6, color=COLOURS[:2], alpha=0.7)
    for height, interval in enumerate(_arm_intervals(outcome)):
        axis.plot(interval, (height, height), color="black", linewidth=1.5)
    axis.set_yticks((0, 1), outcome.arms)
    axis.set(ylim=(1.5, -0.5), xlim=(0, 1))
    return ", ".join(_solved(outcome)) + " seeds solved"
