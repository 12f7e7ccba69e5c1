"""Frozen designs: what `make register` wrote down before anything was proved.

`data/registry/frozen/<notebook>.json` holds the tests of a notebook's claims and the declaration of
each of its experiments. A proof of anything else is refused, with the difference. That the design
was committed before the evidence, git shows:
`git log --format='%h %cI %s' -- data/registry/frozen data/evidence`.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from helpers.evidence.files import ROOT, write_whole
from helpers.evidence.registry import registry
from helpers.evidence.store import EvidenceError, on_one_line

FIRST_JUDGED = 1000  # seeds below explore, those of frozen designs lie from here on


def place(notebook: str) -> Path:
    """The file of a notebook's frozen design."""
    return ROOT / "data" / "registry" / "frozen" / f"{notebook}.json"


def write(notebook: str, experiments: Mapping[str, Any]) -> Path:
    """Freeze the declarations of a notebook's experiments, with the tests of its claims.

    Raises EvidenceError for judged seeds that may have been explored.
    """
    for name, declared in experiments.items():
        early = [seed for seed in all_seeds(declared["seeds"]) if seed < FIRST_JUDGED]
        if early:
            raise EvidenceError(
                f"{name}: seeds {early[:3]} may have been explored: judge on seeds from "
                f"{FIRST_JUDGED} on, as in lab.seeds(24, first={FIRST_JUDGED})"
            )
    frozen = {"notebook": notebook, "claims": _tests(notebook), "experiments": dict(experiments)}
    text = json.dumps(frozen, indent=1, allow_nan=False)
    return write_whole(place(notebook), on_one_line(text) + "\n")


def read(notebook: str) -> dict[str, Any] | None:
    """The frozen design of a notebook; None where nothing was frozen.

    Raises EvidenceError for a file that is malformed.
    """
    file = place(notebook)
    try:
        frozen = json.loads(file.read_text(encoding="utf-8"))
        return {part: frozen[part] for part in ("claims", "experiments")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{file} is malformed ({error!r}): restore it with git") from error


def refusals(notebook: str, name: str, declared: Mapping[str, Any]) -> Iterator[tuple]:
    """In what an experiment, or a test of its notebook, is not what was frozen: (what, then, now).

    Nothing where nothing was frozen: a design of the first edition.
    """
    frozen = read(notebook)
    if frozen is None:
        return
    yield from _differences(frozen["claims"], _tests(notebook), "claim")
    yield from _differences(frozen["experiments"].get(name), json.loads(json.dumps(declared)), name)


def _differences(then: Any, now: Any, what: str) -> Iterator[tuple]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            yield from _differences(then.get(key), now.get(key), f"{what} {key}")
    elif then != now:
        yield what, then, now


def commit(notebook: str) -> str:
    """The commit that froze a notebook's design; empty where there is none, or no git."""
    command = ["git", "log", "-1", "--format=%H", "--", str(place(notebook))]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def _tests(notebook: str) -> dict[str, Any]:
    """The registered tests and seeds of a notebook's claims."""
    return {
        claim.id: {
            "seeds": claim.seeds,
            "tests": {
                test.name: {k: v for k, v in asdict(test).items() if v == v and k != "name"}
                for test in claim.test
            },
        }
        for claim in registry().values()
        if claim.notebook == notebook
    }


def all_seeds(seeds: Sequence[int] | Mapping[str, Sequence[int]]) -> list[int]:
    """The seeds of all arms, which may have some of their own."""
    lists = seeds.values() if isinstance(seeds, Mapping) else [seeds]
    return [seed for some in lists for seed in some]
