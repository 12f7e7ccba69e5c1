"""The registry: every claim of the recap with the tests that decide it, checked when it is read.

`data/registry/claims.toml` says in its head what each entry means.
"""

import string
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.evidence.files import ROOT

REGISTRY = ROOT / "data" / "registry" / "claims.toml"
DIRECTIONS = {
    "mean": ("above", "below", "within"),
    "count": ("above", "below"),
    "rates": ("above", "below"),
    "assertion": ("",),
}
ROLES = ("core", "weaker", "beside")
WORDS = ("true", "true if", "overstated", "false", "open")
FEWEST = 12  # seeds of a heavy rung
MOST_WORDS = 25  # of an answer: one can say it aloud


class ClaimError(ValueError):
    """An entry of the registry, or effects, that cannot be used; says which and why."""


@dataclass(frozen=True)
class Test:
    """One sentence that can be supported or refuted, with the threshold it was registered with."""

    __test__ = False  # not a pytest class

    name: str
    statement: str
    kind: str  # "mean", "count", "rates" or "assertion"
    unit: str = ""
    direction: str = ""  # "above", "below" or "within" the threshold
    threshold: float = float("nan")
    around: float = 0.0
    role: str = "core"
    when: str = ""  # the condition under which it asks
    seeds: int = 0  # a heavy rung's own number; 0: its claim's

    @property
    def asked(self) -> str:
        """Direction and threshold, to three digits.

        >>> Test("few", "", "mean", direction="within", threshold=0.05, around=0.5).asked
        'within 0.05 of 0.5'
        """
        band = f" of {self.around:g}" if self.direction == "within" else ""
        return f"{self.direction} {float(f'{self.threshold:.3g}'):,g}{band}"


@dataclass(frozen=True)
class Claim:
    """A sentence of the recap with its tests."""

    id: str
    number: int
    section: str
    quote: str
    question: str
    notebook: str
    seeds: int
    expected: str
    test: tuple[Test, ...]
    answered: str = ""
    answer: str = ""
    literature: tuple[dict, ...] = ()
    also: tuple[str, ...] = ()
    headline: bool = False


@cache
def registry(path: Path = REGISTRY) -> dict[str, Claim]:
    """All registered claims by id.

    Raises ClaimError naming the entry when the file is missing, malformed or inconsistent.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
    except FileNotFoundError as error:
        raise ClaimError(f"{path} is missing: restore it with `git checkout data/`") from error
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ClaimError(f"{path} is malformed ({error}): see the comment at its top") from error
    claims = [_claim(entry, path) for entry in entries]
    by_id = {claim.id: claim for claim in claims}
    if len(by_id) < len(claims):
        raise ClaimError(f"{path} registers a claim twice")
    return by_id


def _claim(entry: dict, path: Path) -> Claim:
    """An entry as a claim. Raises ClaimError naming what is wrong with it."""
    name = entry.get("id", "an entry without id")
    try:
        tests = tuple(Test(**test) for test in entry["test"])
        lists = {key: tuple(entry.get(key, ())) for key in ("literature", "also")}
        parts: dict[str, Any] = entry | lists | {"test": tests}
        claim = Claim(**parts)
    except (KeyError, TypeError) as error:
        raise ClaimError(f"{path}, {name}: {error}: see the comment at its top") from error
    for trouble in _troubles(claim):
        raise ClaimError(f"{path}, {name}: {trouble}")
    return claim


def _troubles(claim: Claim) -> Iterator[str]:
    """What is wrong with a claim."""
    names = [test.name for test in claim.test]
    if len(set(names)) < len(names):
        yield "a test is named twice"
    for test in claim.test:
        if test.seeds and not FEWEST <= test.seeds <= claim.seeds:
            yield f"{test.name} has {test.seeds} seeds: use {FEWEST} to {claim.seeds}, or none"
        if test.direction not in DIRECTIONS.get(test.kind, ()):
            yield f"{test.name} has kind {test.kind!r} and direction {test.direction!r}"
        if test.role not in ROLES:
            yield f"{test.name} has role {test.role!r}: choose from {', '.join(ROLES)}"
        if test.when and test.role != "core":
            yield f"{test.name} has a condition, but only core tests ask under one"
    core = [test for test in claim.test if test.role == "core"]
    if not core:
        yield "no test is core, so nothing decides"
    if 0 < sum(bool(test.when) for test in core) < len(core):
        yield "some core tests have a condition (when) and others have none: give all or none"
    yield from _troubles_of_answer(claim, names)


def _troubles_of_answer(claim: Claim, names: list[str]) -> Iterator[str]:
    if not claim.answer:
        return
    if claim.answered not in WORDS:
        yield f"answered is {claim.answered!r}: choose from {', '.join(WORDS)}"
    if claim.answered == "true if" and not any(test.when for test in claim.test):
        yield "its answer says when it is true, but no test has a condition"
    yield from troubles_of_sentence("its answer", claim.answer, names, MOST_WORDS)


def troubles_of_sentence(
    what: str, sentence: str, names: Sequence[str], most: int
) -> Iterator[str]:
    """What is wrong with a sentence whose numbers, {test.part:format}, are filled in later.

    `what` it is, the `names` of the tests it may speak of, the `most` words it may have. E.g.
    "its answer holds no number".
    """
    fields = [field for _, field, _, _ in string.Formatter().parse(sentence) if field]
    for field in fields:
        if field.partition(".")[0] not in names:
            yield f"{what} speaks of {field}, which no test measures"
    plain = sentence
    for field in fields:
        plain = plain.replace("{" + field, "0{")
    count = len(plain.split())
    if count > most:
        yield f"{what} has {count} words, at most {most} can be said aloud"
    if not any(character.isdigit() for character in plain):
        yield f"{what} holds no number"
