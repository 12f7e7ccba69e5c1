"""Findings: what followed from the evidence on each claim, kept for the summary and the README.

One small file a claim, `data/evidence/<notebook>/findings/<claim>.json`, written by `make refresh`
and `make prove`. It is a copy, never the truth: whenever its notebook runs, the effects are
computed from the evidence anew and compared with it.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.evidence.files import write_whole
from helpers.evidence.registry import Claim, ClaimError, Test, registry
from helpers.evidence.store import on_one_line, reference
from helpers.evidence.verdicts import Outcome, Verdict, adjusted

NUMBERS = ("effect", "low", "high", "p")  # of each test
EXACT, ALIKE = 1e-5, 1e-2  # relative: computed from the store; computed anew from networks here


@dataclass(frozen=True)
class Finding:
    """A verdict with the seeds and the circumstances of its measurement."""

    verdict: Verdict
    seeds: Mapping[str, Sequence[int]]  # by test
    made: Mapping[str, Any]


Found = Mapping[str, tuple[Finding | None, str]]  # of every claim; without one, why not


def place(claim: Claim, root: Path | None = None) -> Path:
    """The file of a claim's finding."""
    return (root or reference()) / claim.notebook / "findings" / f"{claim.id}.json"


def write(
    verdict: Verdict,
    made: Mapping[str, Any],
    seeds: Mapping[str, Sequence[int]] | None = None,
    root: Path | None = None,
) -> Path:
    """Store a verdict with its effects, intervals and seeds."""
    record = {
        "claim": verdict.claim.id,
        "verdict": verdict.word,
        "made": dict(made),
        "seeds": seeds or {},
        "tests": [asdict(outcome) for outcome in verdict.outcomes],
    }
    text = on_one_line(json.dumps(_finite(record), indent=1, allow_nan=False))
    return write_whole(place(verdict.claim, root), text + "\n")


def _finite(value: Any) -> Any:
    """`value` with None for every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def read(file: Path) -> Finding:
    """The finding in a file.

    Raises FileNotFoundError where there is none, ClaimError naming a file that is malformed or
    speaks of a claim or test that is not registered so.
    """
    text = file.read_bytes()
    try:
        record = json.loads(text.decode("utf-8"))
        claim = registry()[record["claim"]]
        outcomes = tuple(_outcome(test) for test in record["tests"])
        verdict, word = Verdict(claim, outcomes), record["verdict"]
        if verdict.word != word:
            raise ValueError(f"says {word}, but its tests say {verdict.word}")
        if repr([o.test for o in outcomes]) != repr(list(claim.test)):
            raise ValueError("was judged by other tests than are registered")
        return Finding(verdict, record["seeds"], record["made"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        cure = f"restore it with git, or make refresh NOTEBOOK={file.parent.parent.name[:2]}"
        raise ClaimError(f"{file} is malformed ({error!r}): {cure}") from error


def _outcome(kept: Mapping[str, Any]) -> Outcome:
    """A test's outcome as it was before it became JSON."""
    parts = {part.name: _restored(kept[part.name]) for part in fields(Outcome)}
    parts |= {key: float(parts[key]) for key in NUMBERS}
    if not (math.isnan(parts["p"]) or 0 <= parts["p"] <= 1):
        raise ValueError(f"p is {parts['p']}")
    return Outcome(**parts | {"test": Test(**parts["test"])})


def _restored(value: Any) -> Any:
    """`value` with NaN for None and tuples for the lists of JSON."""
    if isinstance(value, dict):
        return {key: _restored(part) for key, part in value.items()}
    if isinstance(value, list):
        return tuple(map(_restored, value))
    return math.nan if value is None else value


def find(claim: Claim, root: Path | None = None) -> tuple[Finding | None, str]:
    """What was found on a claim, and an empty text; else None, why not, and what to do."""
    try:
        return read(place(claim, root)), ""
    except FileNotFoundError:
        return None, f"not measured: make prove NOTEBOOK={claim.notebook[:2]}"
    except ClaimError as error:
        return None, str(error)


def find_all(root: Path | None = None) -> Found:
    """For every registered claim its finding and an empty text; else None, and why not.

    Looked for in `root`, laid out as the committed evidence, which is the default.
    """
    return {claim.id: find(claim, root) for claim in registry().values()}


def disagreement(verdict: Verdict, finding: Finding, tolerance: float = ALIKE) -> str:
    """In which test and numbers a verdict differs from what was found; empty where it does not."""
    for here, there in zip(verdict.outcomes, finding.verdict.outcomes, strict=True):
        a, b = np.asarray(here.effects, float), np.asarray(there.effects, float)
        if a.shape != b.shape:
            return f"{here.test.name} rests on {len(a)} numbers here, {len(b)} in what was found"
        size = max(np.abs(b).mean(), 1e-9)
        if np.abs(a - b).max() > tolerance * size:
            return f"{here.test.name} is {here.effect:.6g} here, {there.effect:.6g} was found"
    return ""


def table(found: Iterable[Finding]) -> pd.DataFrame:
    """One row per test, with adjusted p; no rows where nothing was found.

    Columns: claim, test, role, headline, seeds, verdict, effect, low, high, p, p_holm, p_bh.
    `p_holm` is Holm's among the core tests of headline claims, `p_bh` that of Benjamini and
    Hochberg among all core tests; others, and assertions, have none.
    """
    columns = ["claim", "test", "role", "headline", "seeds", "verdict", *NUMBERS]
    rows = pd.DataFrame([row for one in found for row in _rows(one)], columns=columns)
    core = rows["p"].where(rows["role"] == "core")
    headline = core.where(rows["headline"].astype(bool))
    families = {"p_holm": (headline, "holm"), "p_bh": (core, "fdr_bh")}
    new = {name: adjusted(p.to_dict(), method) for name, (p, method) in families.items()}
    return rows.assign(**{name: pd.Series(p, dtype=float) for name, p in new.items()})


def _rows(found: Finding) -> Iterator[dict[str, Any]]:
    """A row of `table` for each test."""
    for outcome in found.verdict.outcomes:
        claim, test = found.verdict.claim, outcome.test
        yield {
            "claim": claim.id,
            "test": test.name,
            "role": test.role,
            "headline": claim.headline,
            "seeds": tuple(found.seeds.get(test.name, ())),
            "verdict": outcome.verdict,
            **{key: getattr(outcome, key) for key in NUMBERS},
        }


def read_all(root: Path | None = None) -> list[Finding]:
    """All findings, by name. Raises ClaimError naming a file that is malformed."""
    return [read(file) for file in sorted((root or reference()).glob("*/findings/*.json"))]


def compare(before: Path, after: Path) -> pd.DataFrame:
    """The tests of two roots side by side: verdicts, effects, intervals, seeds; do verdicts differ?

    One row per claim and test that either holds; a test that one of them lacks reads "missing"
    there and differs.
    """
    parts = ["verdict", "effect", "low", "high", "seeds"]
    both = [
        table(read_all(root)).set_index(["claim", "test"])[parts].add_suffix(suffix)
        for root, suffix in ((before, "_before"), (after, "_after"))
    ]
    joined = both[0].join(both[1], how="outer")
    words = ["verdict_before", "verdict_after"]
    joined[words] = joined[words].fillna("missing")
    return joined.assign(differs=joined[words[0]] != joined[words[1]])
