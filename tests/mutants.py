"""Scientific faults planted into the helpers: each must turn the check that is named for it red.

`mutants.toml` holds them and says in its head what an entry means. `make mutants` plants one after
the other into copies of the repository and writes `benchmarks/MUTANTS.md`, the table of what caught
each: a named test, the replay of a named experiment alone, or both. `--only NAME` tries one and
writes nothing.
"""

import argparse
import ast
import multiprocessing
import os
import re
import runpy
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from replaying import RED

ROOT = Path(__file__).resolve().parents[1]
TABLE, REPORT = ROOT / "tests" / "mutants.toml", ROOT / "benchmarks" / "MUTANTS.md"
NOTICED = ("AssertionError", "DID NOT RAISE")  # a test that notices, not code that crashes
INI = "[pytest]\npythonpath = . tests\nmarkers =\n  slow: over 0.25 s\n  nightly: as slow\n"

# Forked from a server that has imported what all checks import, which takes five seconds of a core.
FORKS = "forkserver" in multiprocessing.get_all_start_methods()
PROCESSES: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
IMPORTED = ["torch", "scipy.stats", "statsmodels.stats.multitest", "matplotlib.pyplot", "pandas"]
IMPORTED += ["IPython.display", "joblib", "nbformat", "pytest", "hypothesis"]
if FORKS:
    PROCESSES.set_forkserver_preload(IMPORTED)

QUICK = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
QUICK["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # half of what pytest takes to begin
OPTIONS = ("-q", "-x", "-rf", "--color=no", "-p", "no:cacheprovider")


class MutationError(ValueError):
    """An entry that cannot be planted; names it and says why."""


class Mutation(NamedTuple):
    """Python code in a helper, what to put in its place, and the checks that must notice."""

    helper: str  # below helpers/
    find: str  # an expression or a statement that stands once `within`
    plant: str
    within: str = ""  # a function or class, Stack.evaluate; empty: the whole module
    tests: str = ""  # a file
    select: str = ""  # for pytest -k: part of a test's name, then "and" parts of its parameters
    replay: str = ""  # notebook/experiment


class Outcome(NamedTuple):
    """What became of a planted fault."""

    test: str | None  # that noticed
    replay: bool | None  # whether it noticed; None: it was not asked
    output: str

    def catches(self, mutation: Mutation) -> bool:
        """Whether the named test noticed; where none is named, whether the replay did."""
        return bool(self.test if mutation.tests else self.replay)


# --- the table ---------------------------------------------------------------------------------


def read(text: str) -> dict[str, Mutation]:
    """The mutants of a table by name. Raises MutationError naming the entry that is malformed."""
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MutationError(f"the table is malformed: {error}") from error
    return {name: _mutation(name, entry) for name, entry in entries.items()}


def _mutation(name: str, entry: object) -> Mutation:
    if not isinstance(entry, dict) or not all(isinstance(part, str) for part in entry.values()):
        raise MutationError(f"{name}: an entry holds texts alone")
    if unknown := set(entry) - set(Mutation._fields):
        raise MutationError(f"{name}: {sorted(unknown)} mean nothing, use {Mutation._fields}")
    if missing := {"helper", "find", "plant"} - set(entry):
        raise MutationError(f"{name}: {sorted(missing)} missing")
    mutation = Mutation(**entry)
    if bool(mutation.tests) != bool(mutation.select) or not (mutation.tests or mutation.replay):
        raise MutationError(f"{name}: name tests and select, or a replay, that must notice")
    try:
        found, planted = parsed(mutation.find), parsed(mutation.plant)
    except SyntaxError as error:
        raise MutationError(
            f"{name}: {str(error.text).strip()!r} is no Python ({error.msg})"
        ) from error
    if isinstance(found, ast.expr) != isinstance(planted, ast.expr):
        raise MutationError(f"{name}: find and plant are two expressions, or two statements")
    return mutation


def parsed(code: str) -> ast.AST:
    """An expression, or else one statement. Raises SyntaxError for anything more or less."""
    body = ast.parse(code).body
    if len(body) != 1:
        raise SyntaxError("one expression or statement is wanted", ("", 1, 1, code))
    return body[0].value if isinstance(body[0], ast.Expr) else body[0]


# --- planting ----------------------------------------------------------------------------------


class _Planter(ast.NodeTransformer):
    """Puts one piece of syntax in the place of every piece that equals another."""

    def __init__(self, find: ast.AST, plant: ast.AST):
        self.find, self.dumped, self.plant, self.count = find, ast.dump(find), plant, 0

    def visit(self, node: ast.AST) -> ast.AST:
        if type(node) is not type(self.find) or ast.dump(node) != self.dumped:
            return self.generic_visit(node)
        self.count += 1
        return deepcopy(self.plant)


def planted(source: str, mutation: Mutation) -> ast.Module:
    """A module with the fault in it.

    Raises MutationError for a place that is not there, and for code that stands there not once.
    """
    tree = ast.parse(source)
    scope: ast.AST = tree
    for name in filter(None, mutation.within.split(".")):
        inside = [n for n in ast.iter_child_nodes(scope) if getattr(n, "name", None) == name]
        if not inside:
            raise MutationError(f"helpers/{mutation.helper} has no {mutation.within}")
        scope = inside[0]
    planter = _Planter(parsed(mutation.find), parsed(mutation.plant))
    planter.generic_visit(scope)
    if planter.count != 1:
        where = f"{mutation.within or 'the module'} of helpers/{mutation.helper}"
        raise MutationError(f"{mutation.find!r} occurs {planter.count} times in {where}")
    return ast.fix_missing_locations(tree)


def misfits(mutation: Mutation, root: Path = ROOT) -> list[str]:
    """What keeps a mutation from being planted and noticed; nothing is run."""
    helper, tests = root / "helpers" / mutation.helper, root / mutation.tests
    evidence = root / "data" / "evidence" / f"{mutation.replay}.json"
    asked = {helper: True, tests: mutation.tests, evidence: mutation.replay}
    if missing := [str(path) for path, wanted in asked.items() if wanted and not path.is_file()]:
        return [f"{path} is missing" for path in missing]
    found = []
    try:
        planted(helper.read_text(encoding="utf-8"), mutation)
    except MutationError as error:
        found.append(str(error))
    named = mutation.select.split(" and ")[0]
    if mutation.tests and not any(named in test for test in _tests(tests)):
        found.append(f"no test in {mutation.tests} is called {named!r}")
    return found


@cache
def _tests(path: Path) -> list[str]:
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    return [f.name for f in functions if f.name.startswith("test_")]


# --- running -----------------------------------------------------------------------------------


def copy_repository(folder: Path) -> None:
    """A copy of what a mutation may spoil; data, which it cannot, is linked."""
    ignored = shutil.ignore_patterns("__pyc*")
    for part in ("helpers", "tests", "notebooks"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    (folder / "data").symlink_to(ROOT / "data")
    (folder / "pytest.ini").write_text(INI)


def attempt(mutation: Mutation) -> Outcome:
    """Plant a fault into a copy and ask the checks that are named for it.

    Raises MutationError for a notebook that breaks before its replay could tell anything.
    """
    with tempfile.TemporaryDirectory(prefix="mutant") as name:
        folder = Path(name)
        copy_repository(folder)
        helper = folder / "helpers" / mutation.helper
        spoilt = planted(helper.read_text(encoding="utf-8"), mutation)
        helper.write_text(ast.unparse(spoilt), encoding="utf-8")
        test, replay, output = None, None, ""
        if mutation.tests:
            status, output = run_tests(folder, [mutation.tests], mutation.select)
            test = caught_by(status, output)
        if mutation.replay:
            status, said = run_replay(folder, mutation.replay)
            if status not in (0, RED):
                raise MutationError(f"{mutation.replay} broke before its replay:\n{said}")
            replay, output = status == RED, output + said
    return Outcome(test, replay, output)


def run_tests(folder: Path, files: Sequence[str], select: str) -> tuple[int, str]:
    """Exit status and output of pytest in a copy of the repository."""
    return _python(folder, "-m", "pytest", *OPTIONS, *files, "-k", select)


def run_replay(folder: Path, experiment: str) -> tuple[int, str]:
    """Exit status and output of the replay of `notebook/experiment` in a copy of the repository."""
    notebook, _, name = experiment.partition("/")
    return _python(folder, "tests/replaying.py", f"notebooks/{notebook}.ipynb", name)


def _python(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and output of `python ARGUMENTS` in a copy of the repository."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as log:
        process = PROCESSES.Process(target=_run, args=(folder, log.name, arguments))
        process.start()
        process.join()
        return process.exitcode or 0, log.read()


def _run(folder: Path, log: str, arguments: Sequence[str]) -> None:
    """In a process of its own: nothing is imported from here any more, all from the copy."""
    output = os.open(log, os.O_WRONLY)
    os.dup2(output, 1), os.dup2(output, 2)
    enter(folder)
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


def enter(folder: Path) -> None:
    """Make a copy of the repository the only one that this process and those it starts know."""
    os.environ |= QUICK | {"PYTHONPATH": str(folder)}
    os.chdir(folder)
    elsewhere = [path for path in sys.path if Path(path).resolve() not in (ROOT, ROOT / "tests")]
    sys.path[:] = [str(folder), *elsewhere]
    for name in [name for name in sys.modules if name.partition(".")[0] == "helpers"]:
        del sys.modules[name]  # a server that another user of this process has started knows them


def caught_by(status: int, output: str) -> str | None:
    """The test that failed because it noticed; None where none did, or something else broke."""
    failed = re.search(r"^FAILED \S+?::(.+?)(?: - .*)?$", output, re.MULTILINE)
    noticed = status == 1 and failed and any(word in output for word in NOTICED)
    return failed[1] if noticed else None


def red_as_it_is(chosen: dict[str, Mutation], pool: ThreadPoolExecutor) -> str:
    """What the named checks complain of where nothing is planted; empty where all are green."""
    with tempfile.TemporaryDirectory(prefix="mutant") as name:
        folder = Path(name)
        copy_repository(folder)
        files = dict.fromkeys(m.tests for m in chosen.values() if m.tests)
        selects = dict.fromkeys(f"({m.select})" for m in chosen.values() if m.tests)
        replays = dict.fromkeys(m.replay for m in chosen.values() if m.replay)
        jobs = [pool.submit(run_replay, folder, replay) for replay in replays]
        if files:
            jobs.append(pool.submit(run_tests, folder, list(files), " or ".join(selects)))
        return "\n".join(output for status, output in (job.result() for job in jobs) if status)


# --- the report --------------------------------------------------------------------------------


def report(chosen: dict[str, Mutation], outcomes: dict[str, Outcome]) -> str:
    """The table as a page of Markdown."""
    from helpers.evidence.machine import commit  # not above: a child imports mutated helpers alone

    caught = sum(outcomes[name].catches(mutation) for name, mutation in chosen.items())
    asked = [outcome.replay for outcome in outcomes.values() if outcome.replay is not None]
    rows = [_row(name, mutation, outcomes[name]) for name, mutation in chosen.items()]
    return "\n".join(
        [
            "# Planted faults\n",
            f"{date.today().isoformat()}, commit {commit()}, `make mutants`: {caught} of "
            f"{len(chosen)} scientific faults, planted one at a time, are caught by the check that "
            f"is named for them. The replay of one experiment, asked alone, catches {sum(asked)} "
            f"of {len(asked)}: what it overlooks lies beyond ten updates and 64 examples to judge "
            "by, or beyond what the experiment measures.\n",
            "| fault | where | caught by | replay alone |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _row(name: str, mutation: Mutation, outcome: Outcome) -> str:
    where = f"`{mutation.helper}` {mutation.within}".strip()
    test = f"`{outcome.test}`".replace("|", "\\|") if outcome.test else "-"
    said = {True: "yes", False: "no", None: "not asked"}[outcome.replay]
    asked = f"{said}, `{mutation.replay}`" if mutation.replay else said
    return f"| {name} | {where} | {test} | {asked} |"


def main() -> int:
    """Plant the mutants and print what caught each; 1 if one survives."""
    mutants = read(TABLE.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=mutants, metavar="NAME", help="these mutants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="so many at a time")
    options = parser.parse_args()
    chosen = {name: mutants[name] for name in options.only or mutants}
    if stale := [f"{name}: {what}" for name, m in chosen.items() for what in misfits(m)]:
        print("\n".join(stale))
        return 1
    with ThreadPoolExecutor(options.jobs) as pool:
        if complaints := red_as_it_is(chosen, pool):
            print(complaints, "red with nothing planted", sep="\n")
            return 1
        jobs = {name: pool.submit(attempt, mutation) for name, mutation in chosen.items()}
        outcomes, survivors = {}, []
        for name, job in jobs.items():
            outcomes[name] = job.result()
            caught = outcomes[name].catches(chosen[name])
            print(
                _row(name, chosen[name], outcomes[name]), "" if caught else "SURVIVES", flush=True
            )
            if not caught:
                survivors.append(f"--- {name}\n{outcomes[name].output[-2000:]}")
    if not options.only:
        REPORT.write_text(report(chosen, outcomes), encoding="utf-8")
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} are caught", *survivors, sep="\n")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
