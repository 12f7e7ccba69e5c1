"""Is the course the same with other threads, on other processors, with other versions?

Every notebook is executed once for each setting, its evidence checked: there a replay that is not
equal and a verdict that is another one are errors. Numbers that are computed live may be rounded
otherwise; cells in which a rounded number shows it are named. `make invariance` writes
`benchmarks/INVARIANCE.md`; PYTHONS names interpreters that have the course's packages, too. It goes
on where it was interrupted: `build/invariance.json` has what was found at this commit.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from helpers.evidence import store
from helpers.evidence.files import write_whole
from helpers.evidence.machine import commit, processor

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "benchmarks" / "INVARIANCE.md"
KEPT = ROOT / "build" / "invariance.json"
EXECUTED = "build/standard"  # where `run-all` leaves notebooks
SETTINGS: dict[str, dict[str, str]] = {
    "as it is": {},
    "two threads": {"THREADS": "2"},
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
    },
    "without AVX (SSE4)": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
    },
}
VERSIONS = """
import sys, matplotlib, numpy, pandas, papermill, torch
packages = {"PyTorch": torch, "NumPy": numpy, "pandas": pandas, "Matplotlib": matplotlib}
packages |= {"papermill": papermill}
found = {"Python": sys.version.split()[0]} | {n: p.__version__ for n, p in packages.items()}
print(", ".join(f"{name} {version}" for name, version in found.items()), end="")
"""

Label = tuple[str, str]  # the setting's name; versions


class Found(NamedTuple):
    """What became of the notebooks in one setting."""

    run: int  # notebooks that ran to their end: every replay equal, every verdict the stored one
    of: int
    cells: list[str]  # whose text is not the stored one
    errors: list[str]


def outcome(python: str, environment: Mapping[str, str], arguments: Sequence[str]) -> Found:
    """Execute the notebooks with their evidence checked."""
    for old in (ROOT / EXECUTED).glob("[0-9]*.ipynb"):
        old.unlink()
    given = {**os.environ, **environment, "EVIDENCE": "check", "OUTPUTS": "stored"}
    command = [python, "-m", "helpers", "run-all", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True)
    counted = re.search(r"(\d+) of (\d+) notebooks", done.stdout)
    if not counted:
        return Found(0, 0, [], [done.stderr.strip()[-300:]])
    run, of = map(int, counted.groups())
    executed = sorted((ROOT / EXECUTED).glob("[0-9]*.ipynb"))
    lines = [line.strip()[:300] for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"Error|FAILED", line)]
    if run < of and not errors:
        errors = lines[-3:] or ["a notebook failed and did not say why"]
    if len(executed) < run:
        errors.append(f"{run} notebooks ran, and {len(executed)} are in {EXECUTED}")
    changed = [f"{path.stem[:2]} [{k}]" for path in executed for k in differing(path)]
    return Found(run, of, changed, errors[:5])


def differing(executed: Path) -> list[int]:
    """The cells of an executed notebook that print another text than the stored one."""
    stored = ROOT / "notebooks" / executed.name
    pairs = zip(texts(stored), texts(executed), strict=True)
    return [k for k, (before, now) in enumerate(pairs) if before != now]


def texts(path: Path) -> list[str]:
    """What each cell prints, without timings, which are marked as never the same."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["" if volatile(cell) else "".join(map(text, cell.get("outputs", []))) for cell in cells]


def volatile(cell: Mapping) -> bool:
    """Whether nobody expects its outputs to be the stored ones."""
    return "nbval-ignore-output" in cell["metadata"].get("tags", [])


def text(output: Mapping) -> str:
    """A stream's text, or the plain form of what was displayed; of warnings nothing."""
    if output.get("name") == "stderr":
        return ""
    return "".join(output.get("text", output.get("data", {}).get("text/plain", "")))


def kept() -> dict[Label, Found]:
    """What was found at this commit before."""
    known = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return {(name, made): Found(*found) for name, made, *found in known.get(commit(), [])}


def keep(rows: Mapping[Label, Found]) -> None:
    """Write what was found at this commit, all at once."""
    KEPT.parent.mkdir(exist_ok=True)
    write_whole(KEPT, json.dumps({commit(): [[*label, *found] for label, found in rows.items()]}))


def report(rows: Mapping[Label, Found]) -> str:
    """The table as a page of Markdown."""
    lines = [
        f"| {name} | {versions} | {found.run} of {found.of} | {', '.join(found.cells) or 'none'} | "
        f"{'; '.join(found.errors).replace('|', '/')} |"
        for (name, versions), found in rows.items()
    ]
    return "\n".join(
        [
            "# The same everywhere\n",
            f"{date.today().isoformat()}, commit {commit()}, {processor()}, `make invariance`: in "
            "each setting every notebook is executed. Replays, and the few networks that notebooks "
            "train, are computed anew, verdicts from the stored networks; one that differs is an "
            "error. Instruction sets are limited on one processor; there was no GPU. What is "
            f"replayed was recorded on {recorded()}. *Cells* are those that print a number rounded "
            "otherwise, by notebook and place.\n",
            "| setting | versions | notebooks: all replays and verdicts equal | cells | errors |",
            "|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


def recorded() -> str:
    """The processors on which experiments were proved, and how many on each."""
    files = store.reference().glob("*/*.json")
    made = Counter(str(store.read(file).made["processor"]) for file in files)
    return "; ".join(f"{name} ({count} experiments)" for name, count in made.most_common())


def versions(python: str) -> str:
    """Of an interpreter and the packages that decide."""
    command = [python, "-c", VERSIONS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Try every setting, write the table; the exit status says whether all is the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default="", help="notebooks at once")
    parser.add_argument("--notebook", default="", help="one notebook alone; writes nothing")
    parser.add_argument("--pythons", default="", help="more interpreters, with blanks between")
    given = parser.parse_args()
    arguments = ["--notebook", given.notebook] if given.notebook else []
    tried = [(name, sys.executable, environment) for name, environment in SETTINGS.items()]
    tried += [("other versions", python, {}) for python in given.pythons.split()]
    rows = {} if given.notebook else kept()
    for name, python, environment in tried:
        label, made = (name, versions(python)), [*arguments]
        if given.jobs:  # two busy neighbours with two threads each hinder each other
            made += ["--jobs", "1" if "THREADS" in environment else given.jobs]
        if label not in rows:
            rows[label] = outcome(python, environment, made)
        print(*label, rows[label], sep=": ", flush=True)
        if not given.notebook:
            keep(rows)
            REPORT.write_text(report(rows), encoding="utf-8")
    return int(any(found.run < found.of or not found.of for found in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
