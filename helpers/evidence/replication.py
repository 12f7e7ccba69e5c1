"""Replication: which tests have the same word on other seeds?

`data/evidence/replicated.csv` keeps what `make replicate` found, a row a test, notebook by
notebook: the committed outcome, the one on other seeds, when, and at which commit.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from helpers.evidence.files import write_whole
from helpers.evidence.findings import Finding
from helpers.evidence.registry import Claim, Test, registry
from helpers.evidence.store import EvidenceError, reference
from helpers.evidence.verdicts import combine

DECIDED = ("supported", "refuted")
SIDES = {"before": "", "after": "_again"}  # the suffixes of `findings.compare` and of the file
PARTS = ("verdict", "effect", "low", "high")
COLUMNS = [
    *("notebook", "claim", "test", "role"),
    *(f"{part}{suffix}" for suffix in SIDES.values() for part in PARTS),
    *("first_seed", "date", "commit"),
]


def place(root: Path | None = None) -> Path:
    """The file, beside the evidence of the notebooks."""
    return (root or reference()) / "replicated.csv"


def read(root: Path | None = None) -> pd.DataFrame:
    """All rows, in the registry's order; none where nothing was replicated.

    A test that has left the registry is left out. Raises EvidenceError for a file with other
    columns.
    """
    file = place(root)
    if not file.exists():
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.read_csv(file, dtype={"commit": str})
    if list(rows.columns) != COLUMNS:
        raise EvidenceError(f"{file}: its columns are not {COLUMNS}: restore it with git")
    order = {(claim.id, test.name): k for k, (claim, test) in enumerate(_tests())}
    keys = [order.get(key, -1) for key in zip(rows["claim"], rows["test"], strict=True)]
    rows = rows.assign(key=keys).query("key >= 0").sort_values("key", kind="stable")
    return rows.drop(columns="key").reset_index(drop=True)


def _tests() -> list[tuple[Claim, Test]]:
    return [(claim, test) for claim in registry().values() for test in claim.test]


def keep(
    both: pd.DataFrame,
    notebooks: Collection[str],
    made: Mapping[str, object],
    root: Path | None = None,
) -> pd.DataFrame:
    """File what `findings.compare` found for the claims of these notebooks; the rows, new and old.

    `made` holds first_seed, date and commit. Exact tests, at which no chance is at play, are left
    out, and so are tests that one of the sides lacks, or that were not asked again: whose seeds and
    effect are the same. Older rows of the tests that were asked give way.
    """
    rows, known = [], both.to_dict("index")
    for claim, test in _tests():
        held = claim.notebook in notebooks and (claim.id, test.name) in known
        if test.kind == "assertion" or not held:
            continue
        one = known[claim.id, test.name]
        alike = all(one[f"{part}_before"] == one[f"{part}_after"] for part in ("seeds", "effect"))
        if alike or "missing" in (one["verdict_before"], one["verdict_after"]):
            continue
        sides = {f"{part}{SIDES[side]}": one[f"{part}_{side}"] for side in SIDES for part in PARTS}
        names = {"notebook": claim.notebook, "claim": claim.id, "test": test.name}
        rows.append({**names, "role": test.role, **sides, **made})
    new = pd.concat([read(root), pd.DataFrame(rows, columns=COLUMNS)], ignore_index=True)
    new = new.drop_duplicates(["claim", "test"], keep="last")
    numbers = {f"{part}{suffix}": 4 for part in PARTS[1:] for suffix in SIDES.values()}
    write_whole(place(root), new.round(numbers).to_csv(index=False, lineterminator="\n"))
    return read(root)


def counted(rows: pd.DataFrame) -> tuple[int, int]:
    """How many core tests were decided on the evidence, and how many have the same word again."""
    decided = rows[(rows["role"] == "core") & rows["verdict"].isin(DECIDED)]
    return len(decided), int((decided["verdict"] == decided["verdict_again"]).sum())


def words(rows: pd.DataFrame, found: Iterable[Finding]) -> dict[str, tuple[str, str]]:
    """The words on the claims that were tried again: of the evidence, and on the other seeds.

    A test that was not tried again keeps its outcome.
    """
    again = rows.set_index(["claim", "test"])["verdict_again"].to_dict()
    both = {}
    for claim, outcomes in ((one.verdict.claim.id, one.verdict.outcomes) for one in found):
        new = [replace(o, verdict=again.get((claim, o.test.name), o.verdict)) for o in outcomes]
        if any((claim, o.test.name) in again and o.test.role == "core" for o in outcomes):
            both[claim] = combine(outcomes)[0], combine(new)[0]
    return both


def turned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of tests that were supported and are refuted, or the reverse."""
    both = rows["verdict"].isin(DECIDED) & rows["verdict_again"].isin(DECIDED)
    return rows[both & (rows["verdict"] != rows["verdict_again"])]
