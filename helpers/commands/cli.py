"""The command line, `python -m helpers COMMAND`: what make does, also where there is no make."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import joblib

from helpers.commands import course
from helpers.commands.course import Choice, NotebookError
from helpers.evidence.closing import PROFILES
from helpers.evidence.files import ROOT, build_folder, cure
from helpers.evidence.registry import ClaimError
from helpers.evidence.store import EvidenceError

EXPECTED = (NotebookError, ClaimError, EvidenceError)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 1 where it failed, 130 where it was interrupted."""
    options = _parser().parse_args(arguments)
    # Kernels inherit it: the repository stays clean, and no widget is drawn.
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OUTPUTS": "stored"}
    try:
        return options.run(options) or 0
    except EXPECTED as error:
        print(f"FAILED {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not cure(error):
            raise
        said = str(error)[:300]  # of a folder's copy: a line a file
        print(f"FAILED {said}: {cure(error)}; what was finished is kept", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("INTERRUPTED: what was finished is kept, run again for the rest", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers", description=__doc__)
    # Of commands that do not ask for them
    parser.set_defaults(profile="standard", seeds="", device="cpu", jobs="")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run: Callable, help: str, *extra: tuple[str, dict]) -> None:
        command = commands.add_parser(name, help=help)
        for flag, how in extra:
            command.add_argument(flag, **how)
        command.set_defaults(run=run)

    chosen = ("--notebook", {"default": "", "help": "its number or the beginning of its name"})
    jobs = ("--jobs", {"default": "", "help": "processes (default: one a core)"})
    device = ("--device", {"default": "auto", "help": "auto, cpu or cuda"})
    profile = ("--profile", {"default": "standard", "help": " or ".join(PROFILES)})
    seeds = ("--seeds", {"default": "", "help": "networks per arm (default: the notebook's own)"})
    one = ("--experiment", {"default": "", "help": "only this one; some, with blanks between"})
    stale = ("--stale", {"action": "store_true", "help": "only what the code here did not make"})
    first = ("--first", {"default": "5000", "help": "the first of the other seeds"})
    drawn = ("--networks", {"default": "20", "help": "how many stored networks are drawn"})
    owner = ("--owner", {"default": "", "help": "your Kaggle account"})
    options = ("options", {"nargs": "*", "help": "of JupyterLab, after --: -- --no-browser"})
    out = ("target", {"type": Path})
    source = ("source", {"type": Path})

    how = (profile, seeds, device)
    add("execute", _execute, "execute one notebook into a file", source, out, *how)
    add("run-all", _run_all, "execute the course into build/", chosen, *how, jobs)
    add("refresh", _refresh, "execute and store outputs and findings", chosen, jobs)
    add("register", _register, "freeze the design of notebooks before they are proved", chosen)
    add("prove", _prove, "train all seeds, write the evidence", chosen, one, stale, device, jobs)
    add("audit", _audit, "train stored networks again, drawn at random", chosen, drawn)
    again = (chosen, one, first, device, jobs)
    add("replicate", _replicate, "prove on other seeds and compare", *again)
    add("compare", _compare, "verdicts of this evidence against the committed one")
    add("verdicts", _verdicts, "print what was found on every claim")
    add("recap", _recap, "write the red pen, README's tables and VERDICTS.md; print the page")
    add("lab", _lab, "open the course in JupyterLab", options)
    add("test", _test, "all tests but the nightly ones, stored outputs", chosen, jobs)
    add("kaggle", _kaggle, "write dataset and notebooks for Kaggle into build/kaggle", owner)
    add("student", _student, "write notebooks without answers into build/student", chosen)
    add("heads", _heads, "write links, set-up cells and TEACHING.md anew; runs nothing")
    return parser


def _choice(options: argparse.Namespace) -> Choice:
    """What is to be run, checked. Raises NotebookError for an option that is not understood."""
    if options.profile not in PROFILES:
        raise NotebookError(f"PROFILE is {options.profile!r}: choose from {', '.join(PROFILES)}")
    if options.device not in ("auto", "cpu"):
        from helpers.data.loading import resolve_device  # and PyTorch

        try:
            resolve_device(options.device)
        except ValueError as error:
            raise NotebookError(str(error)) from error
    jobs = _whole("JOBS", options.jobs) or joblib.cpu_count()
    chosen = course.notebooks(options.notebook) if "notebook" in options else []
    return Choice(chosen, options.profile, _whole("SEEDS", options.seeds), options.device, jobs)


def _whole(name: str, text: str) -> int | None:
    """A whole number above 0, None for an empty text."""
    if text and not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise NotebookError(f"{name} is {text!r}: give a whole number above 0")
    return int(text) if text else None


def _execute(options: argparse.Namespace) -> None:
    print(course.execute(options.source, options.target, _choice(options)))


def _run_all(options: argparse.Namespace) -> int:
    return course.run_all(_choice(options), build_folder() / options.profile)


def _refresh(options: argparse.Namespace) -> int:
    return course.refresh(_choice(options))


def _register(options: argparse.Namespace) -> int:
    from helpers.commands import proofs

    return proofs.register(_choice(options))


def _prove(options: argparse.Namespace) -> int:
    from helpers.commands import proofs

    return proofs.prove(_choice(options), options.experiment, options.stale)


def _audit(options: argparse.Namespace) -> int:
    from helpers.commands import proofs

    return proofs.audit(_choice(options), _whole("N", options.networks) or 20)


def _replicate(options: argparse.Namespace) -> int:
    from helpers.commands import proofs

    first = _whole("FIRST", options.first) or 5000
    return proofs.replicate(_choice(options), first, options.experiment)


def _compare(_: argparse.Namespace) -> int:
    from helpers.commands import proofs

    return proofs.compare()


def _verdicts(_: argparse.Namespace) -> None:
    from helpers.evidence import findings

    for finding in findings.read_all():
        print(repr(finding.verdict))


def _lab(options: argparse.Namespace) -> int:
    from helpers.commands import startup

    reading = {name: value for name, value in os.environ.items() if name != "OUTPUTS"}
    reading = {"PYTHONSTARTUP": startup.__file__} | reading  # a reader's own has precedence
    command = [sys.executable, "-m", "jupyter", "lab", str(course.NOTEBOOKS), *options.options]
    try:
        return subprocess.call(command, env=reading)
    except KeyboardInterrupt:  # that is how one leaves it
        return 0


def _test(options: argparse.Namespace) -> int:
    choice = _choice(options)
    command = [sys.executable, "-m", "pytest", "-n", str(choice.jobs)]
    command += ["--dist", "loadfile", "--no-loadscope-reorder", "-m", "not nightly"]
    if options.notebook:
        stems = " or ".join(path.stem for path in choice.notebooks)
        command += [*map(str, choice.notebooks), "tests/course/test_notebooks.py", "-k", stems]
    else:
        # The longest first, so that no worker is left with one at the end.
        command += ["notebooks", "tests/training", "tests", "helpers"]
    return subprocess.call(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})


def _kaggle(options: argparse.Namespace) -> None:
    from helpers.commands import kaggle

    print(kaggle.commands(kaggle.write(options.owner), options.owner))


def _student(options: argparse.Namespace) -> None:
    from helpers.commands import student

    folder = student.write(_choice(options).notebooks)
    print(f"{folder}: notebooks without answers; nbgrader/source: their exercises")


def _heads(_: argparse.Namespace) -> None:
    course.renew(course.notebooks())


def _recap(_: argparse.Namespace) -> None:
    from helpers.commands import front

    front.write()
    print("\n".join(map(str, front.publish())))
