"""Conventional mutants of the helpers, drawn at random: what share of them do the tests notice?

cosmic-ray's operators say what may be changed where: `make mutants SAMPLE=400` plants the first 400
of all these places, in an order that a seed shuffles, one at a time into a copy of the repository.
A mutant meets the tests that execute its line, the quickest first. It writes
`benchmarks/CONVENTIONAL.md`; `conventional.toml` says which survivors no test can catch, and why.
What was found is kept in build/ line by line: a second run goes on there.

It wants `.venv/bin/pip install 'cosmic-ray==8.7.*'`.
"""

import argparse
import ast
import compileall
import difflib
import hashlib
import json
import os
import py_compile
import queue
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mutants import OPTIONS, PROCESSES, ROOT, copy_repository, enter

REPORT, ANSWERS = ROOT / "benchmarks" / "CONVENTIONAL.md", ROOT / "tests" / "conventional.toml"
KEPT = ROOT / "build" / "conventional"
ROOMS = ("analysis", "data", "evidence", "nets", "text", "training")  # that compute
OWN = {path.stem for path in (ROOT / "tests").glob("*.py")}  # modules that the copy has, too
QUICKEST = 25  # tests, before all others: they catch most
PATIENCE = 40  # seconds of tests, by their first run, that a mutant meets at most
TIMES, LEAST = 10, 60  # a mutant that takes so many times as long, and so many seconds, is caught


class Place(NamedTuple):
    """Where an operator may change what: its n-th place in a helper."""

    helper: str  # below helpers/
    operator: str
    occurrence: int
    line: int


class Suite(NamedTuple):
    """The tests of a repository in which nothing is planted."""

    seconds: dict[str, float]  # of each that is green, by its name
    lines: dict[str, dict[str, list[str]]]  # helper, line: who executes it


# --- places ------------------------------------------------------------------------------------


@cache
def operators() -> dict[str, Any]:
    """cosmic-ray's operators that need no arguments."""
    try:
        from cosmic_ray.operators.provider import OperatorProvider
    except ImportError:
        sys.exit("cosmic-ray is missing: .venv/bin/pip install 'cosmic-ray==8.7.*'")
    provider = OperatorProvider()
    return {name: provider[name]() for name in provider if not provider[name].arguments()}


def places(root: Path, helpers: Sequence[str]) -> list[Place]:
    """All places of some helpers, in the order of the text."""
    from cosmic_ray.ast import ast_nodes, get_ast

    found = []
    for helper in helpers:
        count = dict.fromkeys(operators(), 0)
        for node in ast_nodes(get_ast((root / "helpers" / helper).read_text(encoding="utf-8"))):
            if node.type in ("name", "string", "newline", "endmarker"):
                continue
            for name, operator in operators().items():
                for (line, _), _ in operator.mutation_positions(node):
                    found.append(Place(helper, name, count[name], line))
                    count[name] += 1
    return found


def shuffled(everything: Sequence[Place], seed: int) -> list[Place]:
    """The order in which they are drawn: a larger sample begins with the smaller one."""
    order = sorted(everything)
    random.Random(seed).shuffle(order)
    return order


def planted(source: str, place: Place) -> str | None:
    """The mutant; None where it is no Python, or differs in annotations alone."""
    from cosmic_ray.mutating import mutate_code

    mutant = mutate_code(source, operators()[place.operator], place.occurrence)
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(mutant, place.helper, "exec")
            return mutant if _dumped(mutant) != _dumped(source) else None
    except (SyntaxError, ValueError):
        return None


@cache
def _dumped(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in {"annotation", "returns"} & set(node._fields):
            setattr(node, field, None)
    return ast.dump(tree)


def sample(order: Sequence[Place], root: Path, size: int) -> list[tuple[Place, str]]:
    """The first mutants of an order; what is no mutant is passed over."""
    chosen: list[tuple[Place, str]] = []
    for place in order:
        if len(chosen) == size:
            break
        mutant = planted((root / "helpers" / place.helper).read_text(encoding="utf-8"), place)
        if mutant is not None:
            chosen.append((place, mutant))
    return chosen


def scope(source: str, line: int) -> tuple[str, bool]:
    """The function or class that a line is in, and whether it runs when that is called."""
    names, called, body = [], False, ast.parse(source).body
    while body:
        at = [n for n in body if n.lineno <= line <= (n.end_lineno or 0)]
        node = at[0] if at else None
        body = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)] if node else []
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
            called |= isinstance(node, ast.FunctionDef) and line >= node.body[0].lineno
    return ".".join(names), called


# --- tests -------------------------------------------------------------------------------------


def asked(place: Place, called: bool, tests: Suite) -> list[str]:
    """The tests that a mutant meets: those that execute the line, the quickest first.

    What runs on import, or in other processes than a test's own, meets the tests of its room, too.
    """
    room = place.helper.split("/")[0]
    of_room = {t for t in tests.seconds if t.startswith((f"tests/{room}/", f"helpers/{room}/"))}
    executing = set(tests.lines.get(place.helper, {}).get(str(place.line), [""]))
    meets = executing | of_room if "" in executing or not called else executing
    chosen, total = [], 0.0
    for test in sorted(meets - {""}, key=tests.seconds.__getitem__):
        total += tests.seconds[test]
        if total < PATIENCE or not chosen:
            chosen.append(test)
    return chosen


class Chosen:
    """Makes pytest run some tests in the order given, and notes the first that fails."""

    def __init__(self, names: Sequence[str], note: Path):
        self.rank, self.note = {name: k for k, name in enumerate(names)}, note

    def pytest_collection_modifyitems(self, items: list) -> None:
        here = [item for item in items if item.nodeid in self.rank]
        items[:] = sorted(here, key=lambda item: self.rank[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.note.exists():
            self.note.write_text(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.note.write_text("import")


class Watched:
    """Notes how long each green test takes and which lines of the helpers it executes."""

    def __init__(self, folder: Path, note: Path):
        import coverage

        self.folder, self.note, self.seconds, self.red = folder, note, {}, set()
        self.now, self.users = "", {}  # who uses a fixture that is made once for several tests
        self.coverage = coverage.Coverage(data_file=None, source=[str(folder / "helpers")])
        self.coverage.start()

    def pytest_collection_finish(self, session: Any) -> None:
        for item in session.items:
            for fixture in getattr(item, "fixturenames", ()):
                name = f"{item.nodeid.split('::')[0]} {fixture}"
                self.users.setdefault(name, set()).add(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Any:
        file = self.now.split("::")[0]
        once = fixturedef.scope != "function"
        self.coverage.switch_context(f"{file} {fixturedef.argname}" if once else self.now)
        try:
            return (yield)
        finally:
            self.coverage.switch_context(self.now)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        for module in list(sys.modules.values()):
            if (getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                for cached in [v for v in vars(module).values() if isinstance(v, type(operators))]:
                    cached.cache_clear()  # else only the first test that asks would execute it
        self.now = nodeid
        self.coverage.switch_context(nodeid)
        self.seconds[nodeid] = -time.perf_counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if not report.passed:
            self.red.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] += time.perf_counter()

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        green, data = self.seconds.keys() - self.red, self.coverage.get_data()
        lines = {
            Path(file).relative_to(self.folder / "helpers").as_posix(): {
                line: sorted((green | {""}) & set().union(*(self.users.get(n, {n}) for n in names)))
                for line, names in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        seconds = {name: self.seconds[name] for name in sorted(green)}
        self.note.write_text(json.dumps([seconds, lines]))


def run_pytest(
    folder: Path, plugin: Callable, arguments: Sequence[str], limit: float | None
) -> tuple[int | None, str]:
    """Exit status of pytest in a copy of the repository (None: out of time); a plugin's note."""
    note = folder.parent / "note"
    note.unlink(missing_ok=True)
    process = PROCESSES.Process(target=_pytest, args=(folder, plugin, note, arguments))
    process.start()
    process.join(limit)
    status = process.exitcode
    try:
        os.killpg(process.pid, signal.SIGKILL)  # and all that it has started
    except ProcessLookupError:
        pass
    process.join()
    return status, note.read_text() if note.exists() else ""


def _pytest(folder: Path, plugin: Callable, note: Path, arguments: Sequence[str]) -> None:
    os.setsid()
    output = os.open(note.with_name("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1), os.dup2(output, 2)
    enter(folder)
    del os.environ["PYTHONDONTWRITEBYTECODE"]
    for name in OWN & sys.modules.keys():
        del sys.modules[name]
    import hypothesis

    hypothesis.settings.register_profile("same", derandomize=True)
    hypothesis.settings.load_profile("same")
    given = [*OPTIONS, "--doctest-modules", f"--basetemp={note.with_name('tmp')}", *arguments]
    os._exit(pytest.main(given, plugins=[plugin(note)]))


# --- running -----------------------------------------------------------------------------------


def copied(parent: Path) -> Path:
    """A copy of the repository, data too, deep enough for a mutant that goes up a folder."""
    folder = parent / "a" / "b" / "copy"
    copy_repository(folder)
    (folder / "data").unlink()
    shutil.copytree(ROOT / "data", folder / "data")
    hashed = py_compile.PycInvalidationMode.CHECKED_HASH  # a mutant may be as long and as old
    compileall.compile_dir(folder / "helpers", quiet=1, invalidation_mode=hashed)
    return folder


def watch(folder: Path, kept: Path) -> Suite:
    """What each green test of a copy does; those in files that changed are run and watched anew."""
    before, seconds, lines = json.loads(kept.read_text()) if kept.exists() else ({}, {}, {})
    files = [f for f in (folder / "tests").rglob("test_*.py") if f.parent.name != "commands"]
    files += (folder / "helpers").rglob("*.py")  # for what their docstrings promise
    helpers = digest(folder / "helpers")
    now = {f.relative_to(folder).as_posix(): helpers + digest(f) for f in sorted(files)}
    if changed := [file for file in now if now[file] != before.get(file)]:
        arguments = [*changed, "-m", "not nightly", "--maxfail=0"]
        _, note = run_pytest(folder, partial(Watched, folder), arguments, None)
        new_seconds, new_lines = json.loads(note)
        same = now.keys() - changed
        seconds = {t: s for t, s in seconds.items() if t.split("::")[0] in same} | new_seconds
        for helper, executed in lines.items():
            for line, names in executed.items():
                kept_names = {t for t in names if not t or t in seconds}
                into = new_lines.setdefault(helper, {})
                into[line] = sorted(kept_names.union(into.get(line, [])))
        lines = new_lines
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.with_suffix(".partial").write_text(json.dumps([now, seconds, lines]))
        kept.with_suffix(".partial").replace(kept)
    return Suite(seconds, lines)


def attempt(folder: Path, place: Place, mutant: str, names: Sequence[str], tests: Suite) -> str:
    """What catches a mutant that is planted into a copy; empty: nothing does."""
    helper = folder / "helpers" / place.helper
    source = helper.read_text(encoding="utf-8")
    helper.write_text(mutant, encoding="utf-8")
    try:
        for batch in filter(None, (names[:QUICKEST], names[QUICKEST:])):
            limit = max(LEAST, TIMES * sum(tests.seconds[name] for name in batch))
            files = dict.fromkeys(name.split("::")[0] for name in batch)
            status, failed = run_pytest(folder, partial(Chosen, batch), list(files), limit)
            if status not in (0, 5):  # 5: a test that is no more, or has another name
                return failed or ("the time limit" if status is None else f"exit {status}")
    finally:
        helper.write_text(source, encoding="utf-8")
    return ""


# --- what was found ----------------------------------------------------------------------------


def digest(path: Path) -> str:
    """Of a file, or of all Python in a folder."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    texts = [
        file.relative_to(path.parent).as_posix().encode() + file.read_bytes() for file in files
    ]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def keep(kept: Path, place: Place, caught: str, helpers: str, tests: str) -> None:
    """Append what was found to a file, on a line of its own even where a kill left half a line."""
    with kept.open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps([place, caught, helpers, tests]))


def known(kept: Path, helpers: str, tests: str) -> dict[Place, str]:
    """What was found before with these helpers: all that was caught, and what survived these tests.

    A line that is half written is no finding.
    """
    found = {}
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        try:
            place, caught, *versions = json.loads(line)
        except ValueError:
            continue
        if versions == [helpers, tests] or (caught and versions[0] == helpers):
            found[Place(*place)] = caught
    return found


class Found(NamedTuple):
    """A mutant and what became of it."""

    place: Place
    within: str
    old: str
    new: str
    caught: str


def difference(source: str, mutant: str) -> tuple[str, str]:
    """What a mutant takes away and puts there instead, a line each."""
    lines = list(difflib.unified_diff(source.splitlines(), mutant.splitlines(), n=0))[3:]
    old, new = ([line[1:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return " ".join(old), " ".join(new)


def table(title: str, of: Callable[[Found], str], found: Sequence[Found]) -> list[str]:
    """How many are caught, by something."""
    rows = [f"| {title} | mutants | caught | share |", "| --- | --- | --- | --- |"]
    for name in sorted({of(one) for one in found}):
        some = [one for one in found if of(one) == name]
        caught = sum(bool(one.caught) for one in some)
        rows.append(f"| {name} | {len(some)} | {caught} | {100 * caught / len(some):.0f} % |")
    return [*rows, ""]


def report(
    found: Sequence[Found],
    answers: Mapping[str, Mapping[str, str]],
    drawn: str,
    before: str = "",
) -> str:
    """The page; `before` is the share before tests were written for this sample."""
    from statsmodels.stats.proportion import proportion_confint

    from helpers.evidence.machine import commit  # not above: a child imports mutated helpers alone

    survivors = sorted(one for one in found if not one.caught)
    caught, ways = len(found) - len(survivors), [one.caught for one in found]
    low, high = proportion_confint(caught, len(found), method="wilson")
    interval = f"95 %, Wilson: {low:.1%} to {high:.1%}"
    why = [
        answers.get(f"{s.place.helper} {s.within}".strip(), {}).get(s.new, "") for s in survivors
    ]
    summary = (
        f"{date.today().isoformat()}, commit {commit()}, {drawn} **{caught} of {len(found)} are "
        f"caught: {caught / len(found):.1%}** ({before or interval}), "
        f"{ways.count('import')} of them on import, {ways.count('the time limit')} by the time "
        f"limit. Of the {len(survivors)} that survive {len(why) - why.count('')} are "
        f"equivalent and {why.count('')} open.\n"
    )
    method = (
        "A mutant meets the tests that execute its line, the quickest first, up to "
        f"{PATIENCE} seconds of them; what runs on import, or in processes that tests start, "
        "meets the tests of its room. Tests of commands, notebooks and replays are not asked. "
        "Operators that need arguments are left out, places whose mutant is no Python or differs "
        "in an annotation alone passed over.\n"
    )
    lines = [
        f"- `helpers/{s.place.helper}` {s.within}: `{s.old}` became `{s.new}`. "
        + (f"Equivalent: {answer}" if answer else "**Open.**")
        for s, answer in zip(survivors, why, strict=True)
    ]
    tables = [
        *table("room", lambda one: one.place.helper.split("/")[0], found),
        *table("operator", lambda one: one.place.operator.split("_")[0], found),
    ]
    return "\n".join(
        ["# Conventional mutants\n", summary, method, *tables, "## Survivors\n", *lines, ""]
    )


def main() -> int:
    """Plant a sample and write the page; 1 if a survivor is open."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sample", type=int, help="so many mutants")
    parser.add_argument("--seed", type=int, default=2027, help="of the order they are drawn in")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="so many at a time")
    options = parser.parse_args()
    every = [p.relative_to(ROOT / "helpers") for p in (ROOT / "helpers").rglob("*.py")]
    everything = shuffled(places(ROOT, [path.as_posix() for path in every]), options.seed)
    order = [place for place in everything if place.helper.split("/")[0] in ROOMS]
    mutants = sample(order, ROOT, options.sample)
    versions = digest(ROOT / "helpers"), digest(ROOT / "tests")
    before = known(KEPT / "found.jsonl", *versions)
    with tempfile.TemporaryDirectory(prefix="mutants") as name:
        folders: queue.Queue[Path] = queue.Queue()
        for k in range(options.jobs):
            folders.put(copied(Path(name) / str(k)))
        tests = watch(folders.queue[0], KEPT / "tests.json")

        def find(place: Place, mutant: str) -> Found:
            source = (ROOT / "helpers" / place.helper).read_text(encoding="utf-8")
            within, called = scope(source, place.line)
            if (caught := before.get(place)) is None:
                folder = folders.get()
                caught = attempt(folder, place, mutant, asked(place, called, tests), tests)
                folders.put(folder)
                keep(KEPT / "found.jsonl", place, caught, *versions)
                print(*place, caught or "SURVIVES", flush=True)
            return Found(place, within, *difference(source, mutant), caught)

        with ThreadPoolExecutor(options.jobs) as pool:
            found = list(pool.map(find, *zip(*mutants, strict=True)))
    answers = tomllib.loads(ANSWERS.read_text(encoding="utf-8"))
    drawn = (
        f"`make mutants SAMPLE={options.sample}`, seed {options.seed}: of {len(everything):,} "
        f"places of cosmic-ray's operators {len(order):,} are in rooms that compute; "
        f"the first {len(found)} of these in random order, planted one at a time."
    )
    before = answers.get(f"seed {options.seed}", {}).get("before", "")
    REPORT.write_text(report(found, answers, drawn, before), encoding="utf-8")
    print(f"{sum(bool(one.caught) for one in found)} of {len(found)} are caught")
    return int("**Open.**" in REPORT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
