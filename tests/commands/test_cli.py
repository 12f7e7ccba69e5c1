"""make and `python -m helpers` are two names for one thing."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from helpers.commands import cli
from helpers.evidence.files import ROOT

FOR_CONTRIBUTORS = {  # targets that have no twin: what surrounds the course
    *(
        "help",
        "setup",
        "check",
        "nightly",
        "mutants",
        "invariance",
        "lint",
        "anatomy",
        "site",
    ),
    *("bench", "bench-many", "lock", "clean", "distclean"),
}


def test_what_readers_and_teachers_make_python_does_too():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.M))
    called = set(re.findall(r"\$\(COURSE\) ([a-z-]+)", makefile))
    assert targets - called == FOR_CONTRIBUTORS


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
@pytest.mark.parametrize("given", [(), ("-e",)], ids=["on the line", "in the environment"])
@pytest.mark.parametrize(
    "text",
    ["a b", "it's", '"', "; false", "$(shell false)", "$$(false)", "`false`", "#", "'; $N '"],
)
def test_what_make_is_given_arrives_as_it_was_written(text, given):
    """In one piece, and nothing of it is run."""
    printed = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]
    told = {"COURSE": shlex.join(printed), "NOTEBOOK": text, "SEEDS": text}
    named = [] if given else [f"{name}={value}" for name, value in told.items()]
    command = ["make", *given, "-o", ".venv/course", "run-all", *named]
    # As from a shell, even where make runs these tests.
    around = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    said = subprocess.run(command, cwd=ROOT, env=around | told, capture_output=True, text=True)
    assert said.returncode == 0 and not said.stderr
    found = ast.literal_eval(said.stdout)
    assert found[:3] == ["run-all", "--notebook", text] and found[-2:] == ["--seeds", text]


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
def test_a_misspelt_name_is_no_setting():
    command = ["make", "-n", "run-all", "NOTEBOK=02"]
    around = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    said = subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True)
    assert said.returncode == 2 and "there is no NOTEBOK here: choose from PROFILE" in said.stderr


def test_the_tests_of_one_notebook_alone(monkeypatch):
    called = []
    monkeypatch.setattr(subprocess, "call", lambda command, **_: called.append(command) or 0)
    assert cli.main(["test", "--notebook", "03", "--jobs", "1"]) == 0
    assert cli.main(["test", "--jobs", "1"]) == 0
    one, every = called
    assert one[-2:] == ["-k", "03_recurrent_memory"] and "tests" not in one
    assert every[-4:] == ["notebooks", "tests/training", "tests", "helpers"]


def test_a_package_that_is_missing_is_named(tmp_path):
    (tmp_path / "joblib.py").write_text("raise ModuleNotFoundError(name='joblib')")
    around = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "helpers", "verdicts"]
    said = subprocess.run(command, env=around, capture_output=True, text=True)
    assert said.returncode == 1 and said.stderr.startswith("FAILED the package joblib is missing")
    assert "pip install -r requirements.txt" in said.stderr and "Traceback" not in said.stderr
