"""Evidence: what a verdict rests on, kept as one small JSON file a claim.

A run writes into `build/evidence`; `make refresh` copies it to the committed reference,
`data/evidence`. Evidence belongs to the code that produced it: the notebook's cells, every helper
they import, the claim's tests and the tuning results. Evidence of other code is no verdict.
"""

import ast
import hashlib
import json
import math
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.evidence import claims
from helpers.evidence.claims import ROOT, ClaimError, Outcome, Test, Verdict
from helpers.evidence.files import write_whole

NUMBERS = ("effect", "low", "high", "p")  # of each test
PACKAGES = ("torch", "numpy", "scipy", "statsmodels")
SHOWS = (
    "cards",
    "closing",
    "evidence",
    "exercises",
    "figures",
    "lab",
    "predictions",
    "runner",
    "summary",
)  # measure nothing


@dataclass(frozen=True)
class Evidence:
    """A verdict with the circumstances of its measurement."""

    verdict: Verdict
    profile: str
    device: str
    seconds: float  # since its notebook began
    seeds: Mapping[str, Sequence[int]]  # by test
    versions: Mapping[str, str]
    python: str
    source: str

    @property
    def current(self) -> bool:
        """Whether the code that is here produced it."""
        return self.source == source_hash(self.verdict.claim.notebook)


def build_folder() -> Path:
    """Where results go: `build`; in the working folder where the repository is read-only."""
    return (ROOT if os.access(ROOT, os.W_OK) else Path.cwd()) / "build"


def fresh_folder() -> Path:
    """Evidence of the last run here."""
    return build_folder() / "evidence"


def reference_folder() -> Path:
    """Evidence that is committed."""
    return ROOT / "data" / "evidence"


def write(
    verdict: Verdict,
    profile: str,
    device: str,
    seconds: float,
    seeds: Mapping[str, Sequence[int]] | None = None,
) -> Path:
    """Store a verdict with effects, seeds, intervals and versions in `build/evidence/<id>.json`."""
    record = {
        "claim": verdict.claim.id,
        "verdict": verdict.word,
        "profile": profile,
        "device": device,
        "seconds": round(seconds, 1),
        "seeds": seeds or {},
        "tests": [asdict(outcome) for outcome in verdict.outcomes],
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "source": source_hash(verdict.claim.notebook),
    }
    path = fresh_folder() / f"{verdict.claim.id}.json"
    return write_whole(path, json.dumps(_finite(record), indent=1, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """`value` with None for every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(file: Path) -> Evidence:
    """The evidence in a file.

    Raises FileNotFoundError where there is none, ClaimError naming a file that is malformed or
    speaks of a claim that is not registered.
    """
    text = file.read_bytes()
    try:
        record = json.loads(text.decode("utf-8"))
        claim = claims.registry()[record.pop("claim")]
        outcomes = tuple(_outcome(test) for test in record.pop("tests"))
        verdict, word = Verdict(claim, outcomes), record.pop("verdict")
        if verdict.word != word:
            raise ValueError(f"says {word}, but its tests say {verdict.word}")
        return Evidence(verdict, **record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        cure = "delete it and run its notebook again"
        raise ClaimError(f"{file} is malformed ({error!r}): {cure}") from error


def _outcome(kept: Mapping[str, Any]) -> Outcome:
    """A test's outcome as it was before it became JSON."""
    numbers = {key: math.nan if kept[key] is None else float(kept[key]) for key in NUMBERS}
    if not (math.isnan(numbers["p"]) or 0 <= numbers["p"] <= 1):
        raise ValueError(f"p is {numbers['p']}")
    test = {key: math.nan if part is None else part for key, part in kept["test"].items()}
    effects = tuple(tuple(e) if isinstance(e, list) else e for e in kept["effects"])
    bootstrap = tuple(math.nan if end is None else end for end in kept["bootstrap"])
    rest = {"effects": effects, "bootstrap": bootstrap, "arms": tuple(kept["arms"])}
    return Outcome(Test(**test), kept["verdict"], **rest, **numbers)


def places() -> dict[str, Path]:
    """Where evidence is looked for, by name, the best first."""
    return {"this machine": fresh_folder(), "reference": reference_folder()}


def latest(
    claim: claims.Claim, folders: Mapping[str, Path] | None = None
) -> tuple[Evidence | None, str]:
    """The evidence to trust on a claim, and where it comes from; else None, and why not.

    The first of `folders` (`places` unless given) that holds evidence of this code.
    """
    reasons = []
    for name, folder in (folders or places()).items():
        try:
            found = read(folder / f"{claim.id}.json")
        except FileNotFoundError:
            continue
        except ClaimError:
            reasons.append(f"{name}: malformed")
            continue
        if found.profile == "smoke":
            reasons.append(f"{name}: profile smoke")
        elif not found.current:
            reasons.append(f"{name}: other code")
        else:
            return found, name
    return None, "; ".join(reasons) or "not measured"


def read_all(folder: Path) -> list[Evidence]:
    """All evidence in a folder, by name. Raises ClaimError naming a file that is malformed."""
    return [read(file) for file in sorted(folder.glob("*.json"))]


def table(found: Iterable[Evidence]) -> pd.DataFrame:
    """One row per test, with Holm's p; no rows where there is no evidence.

    Columns: claim, test, verdict, effect, low, high, p, p_holm, source. Assertions have no p; all
    other rows are one family. `source` tells evidence of "this code" from that of "other code".
    """
    columns = ["claim", "test", "verdict", *NUMBERS, "source"]
    rows = pd.DataFrame([row for one in found for row in _rows(one)], columns=columns)
    adjusted = pd.Series(claims.holm(rows["p"].to_dict()), dtype=float)
    rows.insert(columns.index("source"), "p_holm", adjusted)
    return rows


def _rows(found: Evidence) -> Iterator[dict[str, Any]]:
    """A row of `table` for each test."""
    source = "this code" if found.current else "other code"
    for outcome in found.verdict.outcomes:
        names = {"claim": found.verdict.claim.id, "test": outcome.test.name}
        numbers = {key: getattr(outcome, key) for key in NUMBERS}
        yield names | {"verdict": outcome.verdict} | numbers | {"source": source}


def compare(reference: Path, fresh: Path) -> pd.DataFrame:
    """Both folders' tests side by side: verdicts, effects and intervals, and whether they differ.

    One row per claim and test that either folder holds; a test that one of them lacks reads
    "missing" there and differs.
    """
    parts = ["verdict", "effect", "low", "high"]
    both = [
        table(read_all(folder)).set_index(["claim", "test"])[parts].add_suffix(suffix)
        for folder, suffix in ((reference, "_reference"), (fresh, "_fresh"))
    ]
    joined = both[0].join(both[1], how="outer")
    words = ["verdict_reference", "verdict_fresh"]
    joined[words] = joined[words].fillna("missing")
    return joined.assign(differs=joined[words[0]] != joined[words[1]])


def adopt(notebook: str) -> list[Path]:
    """Copy what the last run found on a notebook's claims to the committed reference.

    Returns the files written. Raises ClaimError for evidence that is missing, malformed, of other
    code, or not of profile standard.
    """
    written = []
    for claim in claims.registry().values():
        if claim.notebook != notebook or claim.status != "measured":
            continue
        source = fresh_folder() / f"{claim.id}.json"
        if not source.exists():
            raise ClaimError(f"{claim.id}: no evidence in {source.parent}, run {notebook}")
        found = read(source)
        if not found.current or found.profile != "standard":
            raise ClaimError(f"{source} is of other code or profile {found.profile}: run it again")
        text = source.read_text(encoding="utf-8")
        written.append(write_whole(reference_folder() / source.name, text))
    return written


@cache
def source_hash(notebook: str) -> str:
    """SHA-256 over what produces a notebook's evidence; comments, docstrings, layout aside.

    Its code cells as saved, the helpers that they import, directly or not, the tests of its claims
    and its tuning results. Helpers that only show do not count.
    """
    file = ROOT / "notebooks" / f"{notebook}.ipynb"
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"] if file.exists() else []
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    texts = {"": code}
    waiting = _imports(code)
    while waiting:
        name = waiting.pop()
        if name not in texts and name not in SHOWS:
            texts[name] = (ROOT / "helpers" / f"{name}.py").read_text(encoding="utf-8")
            waiting |= _imports(texts[name])
    registered = [c for c in claims.registry().values() if c.notebook == notebook]
    tests = repr([(claim.id, claim.test) for claim in registered])
    tuning = ROOT / "data" / "tuning" / f"{notebook}.json"
    kept = tuning.read_text(encoding="utf-8") if tuning.exists() else ""
    parts = [_essence(texts[name]) for name in sorted(texts)] + [tests, kept]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _imports(code: str) -> set[str]:
    """The helpers that a piece of code imports, by name."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
            names |= {part[1] for part in parts if part[0] == "helpers" and len(part) > 1}
    return names


def _essence(code: str) -> str:
    """Code without comments, docstrings and layout, the same for every version of Python."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(getattr(body[0].value, "value", None), str):
                body[0].value.value = ""
    return re.sub(r"[\s'\"()\\]+", "", ast.unparse(tree))
