"""Proofs: evidence made anew, drawn on for audits, repeated on other seeds, compared."""

import hashlib
import json
import random
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from helpers.commands.course import Choice, NotebookError, alone, run_all
from helpers.evidence import findings, frozen, replication, store
from helpers.evidence.files import ROOT, build_folder, write_whole
from helpers.evidence.machine import commit
from helpers.evidence.registry import registry

LOOK = 2.0  # seconds between two looks for experiments that are finished


def prove(choice: Choice, experiment: str = "", stale: bool = False) -> int:
    """Train every seed of every experiment of the notebooks and write the evidence.

    What an interrupted proof had finished is not trained again; `stale` trains only what is not
    the experiment of its evidence. Returns the exit status.
    Raises NotebookError where another proof is at work here, and for an experiment that is neither
    in the evidence of these notebooks nor frozen.
    """
    _refuse_unknown(choice, experiment)
    how = {"mode": "prove", "only": experiment, "stale": stale}
    return _go_on(choice, how, store.reference())


def _refuse_unknown(choice: Choice, experiments: str) -> None:
    """Raise NotebookError for names that are neither evidence of the notebooks nor frozen.

    In one notebook alone, whose design is not frozen, any name may be a new experiment's.
    """
    known: set[str] = set()
    for path in choice.notebooks:
        design = frozen.read(path.stem)
        if design is None and len(choice.notebooks) == 1:
            return
        known |= set(design["experiments"] if design else ())
        known |= {file.stem for file in (store.reference() / path.stem).glob("*.json")}
    if unknown := sorted(set(experiments.split()) - known):
        there = ", ".join(sorted(known))
        raise NotebookError(f"no experiment {', '.join(unknown)} here: there are {there}")


def register(choice: Choice) -> int:
    """Freeze the designs of the notebooks, in `data/registry/frozen`; returns the exit status."""
    return _one_by_one(choice, {"mode": "register"})


def _one_by_one(choice: Choice, how: Mapping[str, Any]) -> int:
    """The notebooks one after the other: each trains its networks on all cores."""
    given = {"EVIDENCE": json.dumps(how), "LOKY_MAX_CPU_COUNT": str(choice.jobs)}
    in_turn = Choice(choice.notebooks, device=choice.device)
    return run_all(in_turn, build_folder() / str(how["mode"]), given)


def _go_on(choice: Choice, how: Mapping[str, Any], root: Path) -> int:
    """Make evidence below `root`; a proof that was interrupted keeps its name and goes on.

    Evidence holds the name of the proof that made it: no clock says what is finished.
    """
    asked = repr([*(path.stem for path in choice.notebooks), *how.items()])
    name = hashlib.sha256(asked.encode()).hexdigest()[:16]
    with alone(how["mode"]):
        begun = build_folder() / how["mode"] / f"{name}.begun"
        if not begun.exists():
            write_whole(begun, uuid.uuid4().hex)
        with _telling(root):
            more = {"proof": begun.read_text(encoding="utf-8"), "jobs": choice.jobs}
            status = _one_by_one(choice, {**how, **more})
        if status == 0:
            begun.unlink()
    return status


@contextmanager
def _telling(root: Path) -> Iterator[None]:
    """Print a line for every experiment whose evidence is written meanwhile."""
    done = threading.Event()

    def written() -> set[tuple[Path, int]]:
        return {(file, file.stat().st_mtime_ns) for file in root.glob("*/*.json")}

    told = written()

    def look() -> None:
        for file, moment in sorted(written() - told):
            told.add((file, moment))
            seconds = json.loads(file.read_text(encoding="utf-8"))["made"].get("seconds", 0)
            print(f"  {file.parent.name}/{file.stem}: proved in {seconds:.0f} s", flush=True)

    def keep_looking() -> None:
        while not done.wait(LOOK):
            look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        look()


def audit(choice: Choice, networks: int, seed: int | None = None) -> int:
    """Train stored networks, drawn at random, to their end, and compare; returns the exit status.

    Bit for bit on the kind of processor that made them, else within the spread of their arm.
    """
    drawn = _draw([path.stem for path in choice.notebooks], networks, random.Random(seed))
    report, status = build_folder() / "audit.jsonl", 0
    with alone("audit"):
        report.unlink(missing_ok=True)
        for path in choice.notebooks:
            if path.stem in drawn:
                how = {"mode": "audit", "audited": drawn[path.stem], "report": str(report)}
                status |= _one_by_one(Choice([path], device="cpu"), how)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    found = [json.loads(line) for line in lines]
    for one in found:
        print(f"  {one['experiment']}: {one['network']}: {one['found']}")
    alike = [one for one in found if one["found"] != "DIFFERS"]
    print(f"{len(alike)} of {len(found)} networks are those of the evidence")
    return int(status or len(alike) < len(found) or not found)


def _draw(
    notebooks: list[str], count: int, random: random.Random
) -> dict[str, dict[str, list[int]]]:
    """Networks to audit, {notebook: {experiment: their numbers}}; each is equally likely."""
    files = sorted(store.reference().glob("*/*.json"))
    records = [store.read(file) for file in files if file.parent.name in notebooks]
    everything = [
        (record.notebook, record.name, number)
        for record in records
        if record.replay
        for number in range(int(store.numbered(record.table).max()) + 1)
    ]
    drawn: dict[str, dict[str, list[int]]] = {}
    for notebook, name, row in random.sample(everything, min(count, len(everything))):
        drawn.setdefault(notebook, {}).setdefault(name, []).append(row)
    return drawn


def replicate(choice: Choice, first: int, experiments: str = "") -> int:
    """Prove on seeds from `first` on, at the rates of the evidence; print which words agree.

    Where `experiments` names some, with blanks between, the others stay on the evidence's seeds.
    What was found is filed in data/evidence/replicated.csv, of which README and VERDICTS.md tell.
    Raises NotebookError for an experiment that there is not.
    """
    stems = [path.stem for path in choice.notebooks]
    _refuse_unknown(choice, experiments)
    root = build_folder() / "replicate" / "evidence"
    how = {"mode": "replicate", "first_seed": first, "root": str(root), "only": experiments}
    status = _go_on(choice, how, root)
    if status == 0:
        made = {"first_seed": first, "date": date.today().isoformat(), "commit": commit()}
        replication.keep(findings.compare(store.reference(), root), stems, made)
        print("README and VERDICTS.md tell of it after: make recap")
    return status | _print_differences(store.reference(), root, "on other seeds", stems)


def compare() -> int:
    """Print the tests whose outcome differs between the evidence here and the committed one."""
    command = ["git", "archive", "--format=tar", "HEAD", "data/evidence"]
    packed = subprocess.run(command, cwd=ROOT, capture_output=True)
    if packed.returncode:
        said = packed.stderr.decode().strip()
        raise NotebookError(f"git cannot show the committed evidence ({said}): do it in a clone")
    with TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        committed = Path(folder) / "data" / "evidence"
        return _print_differences(committed, store.reference(), "here")


def _print_differences(
    before: Path, after: Path, where: str, notebooks: list[str] | None = None
) -> int:
    both = findings.compare(before, after)
    if notebooks is not None:
        here = {claim.id for claim in registry().values() if claim.notebook in notebooks}
        both = both[both.index.get_level_values("claim").isin(here)]
    for row in both[both.differs].reset_index().to_dict("records"):
        sides = [
            f"{side} {row[f'verdict_{key}']} {row[f'effect_{key}']:.3g} "
            f"[{row[f'low_{key}']:.3g}, {row[f'high_{key}']:.3g}]"
            for key, side in (("before", "committed"), ("after", where))
        ]
        print(f"{row['claim']} {row['test']}: {', '.join(sides)}")
    print(f"{(~both.differs).sum()} of {len(both)} tests have the word of the committed evidence")
    return int(both.differs.any() or both.empty)
