"""The commands under abuse: killed at any moment, two at once, on full and read-only disks.

Each works in a small copy of the course: the notebook that readers start with, cut after its first
experiment. `KILLS=100 python -m pytest -m nightly tests/commands/test_faults.py` kills more often.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from helpers.evidence import store
from helpers.evidence.files import ROOT

pytestmark = pytest.mark.nightly

STEM, FIRST = "00_start_here", "thirty-updates"
EVIDENCE = Path("data", "evidence", STEM, f"{FIRST}.json")
KILLS = int(os.environ.get("KILLS") or 20)  # of all commands together
PATIENCE = 600  # seconds after which a command or what it left behind hangs
SECONDS = re.compile(r"\d+ (?:s|min)\b")
COMMANDS = {
    "run-all": ("--jobs", "1"),
    "prove": ("--jobs", "1"),
    "audit": ("--networks", "2"),
    "register": (),
    "refresh": ("--jobs", "1"),
}


def copied(course: Path) -> Path:
    """What the commands read and write, in a place of its own."""
    for room in ("helpers", "data/registry"):
        shutil.copytree(ROOT / room, course / room, ignore=shutil.ignore_patterns("__pycache__"))
    pages = ("README.md", "VERDICTS.md", ".github/recap.svg", "notebooks/TEACHING.md")
    for name in (*pages, "pyproject.toml"):
        (course / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, course / name)
    (course / "data" / "sets").symlink_to(ROOT / "data" / "sets")
    for found in (ROOT / "data" / "evidence").glob("*/findings"):
        shutil.copytree(found, course / found.relative_to(ROOT))
    (course / EVIDENCE).parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / EVIDENCE, course / EVIDENCE)
    notebook = nbformat.read(ROOT / "notebooks" / f"{STEM}.ipynb", as_version=4)
    end = next(k for k, cell in enumerate(notebook.cells) if f'"{FIRST}", arms' in cell.source)
    notebook.cells = [*notebook.cells[: end + 1], notebook.cells[-1]]
    nbformat.write(notebook, course / "notebooks" / f"{STEM}.ipynb")
    return course


@pytest.fixture
def course(tmp_path) -> Path:
    return copied(tmp_path / "it's a course")


def begin(course: Path, name: str, environment: dict | None = None, within: Sequence[str] = ()):
    """A command on the one notebook, with all it starts in a group of its own."""
    return subprocess.Popen(
        [*within, sys.executable, "-m", "helpers", name, "--notebook", "00", *COMMANDS[name]],
        cwd=course,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(course: Path, name: str, *how: Any) -> tuple[int, str, str]:
    process = begin(course, name, *how)
    out, error = process.communicate(timeout=PATIENCE)
    return process.returncode, out, error


def state(course: Path) -> dict[str, Any]:
    """The content of all that is read, but for seconds and machines; what is damaged raises."""
    places = ("notebooks/*", "data/registry/**/*", "data/evidence/**/*.json", "*.md")
    places += (".github/*", "build/standard/*.ipynb")
    files = [file for place in places for file in course.glob(place) if file.is_file()]
    whole = [file for file in files if file.suffix != ".partial"]
    return {str(file.relative_to(course)): content(file) for file in whole}


def content(file: Path) -> Any:
    text = file.read_text()
    if file.suffix == ".ipynb":
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
        outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
        shown = [one.get("text") or one.get("data", {}).get("text/plain") for one in outputs]
        return [SECONDS.sub("", cell.source) for cell in notebook.cells], shown
    if file.parent.name == STEM:
        store.read(file)
    if file.suffix == ".json":
        kept = json.loads(text)
        return {name: kept[name] for name in kept if name not in ("made", "sha256")}
    return SECONDS.sub("", text)


# ---------------------------------------------------------------- killed


def kill(course: Path, name: str, moment: float, alone: bool) -> None:
    """Begin a command and kill it, `alone` or with its group; all that it started ends as well."""
    mark = uuid.uuid4().hex
    process = begin(course, name, {"STARTED_BY": mark})
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while left := [one for one in psutil.process_iter() if started_by(one, mark)]:
        assert time.monotonic() < deadline, f"it outlives its command: {left}"
        time.sleep(0.1)


def started_by(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error):
        return process.environ().get("STARTED_BY") == mark
    return False


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_killed_again_and_again_ends_as_if_it_never_was(name, tmp_path):
    calm, rough = copied(tmp_path / "calm"), copied(tmp_path / "rough")
    before, begun = state(calm), time.monotonic()
    status, _, error = run(calm, name)
    assert status == 0, error
    seconds, after = time.monotonic() - begun, state(calm)
    moments, packs = random.Random(name), 0
    for _ in range(max(1, KILLS // len(COMMANDS))):
        kill(rough, name, seconds * moments.random(), alone=moments.random() < 0.5)
        now = state(rough)
        for path in {*before, *now}:  # each is as it was, or as it shall be
            assert now.get(path) in (before.get(path), after.get(path)), path
        finished = len(list((rough / "build" / "prove" / STEM).glob("*/runs/*[!y].json")))
        assert finished >= packs or now == after
        packs = finished
    status, _, error = run(rough, name)
    assert status == 0, error
    assert state(rough) == after


def test_two_runs_at_once_share_a_checkout(course):
    both = [begin(course, "run-all") for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert f"build/standard/{STEM}.ipynb" in state(course)


# ---------------------------------------------------------------- disks and homes


@pytest.fixture
def mounting(tmp_path) -> list[str]:
    """Runs a shell's line, where mounts are seen by nobody else, then the command behind it."""
    sudo = ["sudo", "-n"] if shutil.which("sudo") else []
    line = 'mount_line=$1; shift; eval "$mount_line"; exec "$@"'
    command = [*sudo, "unshare", "--mount", "bash", "-euc", line, "bash"]
    try:
        tried = [*command, "mount -t tmpfs none .", "true"]
        subprocess.run(tried, check=True, capture_output=True, cwd=tmp_path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mounts of one's own here: {error}")
    return command


@pytest.mark.parametrize("left", [0, 20])  # kB: no kernel starts, no notebook fits
@pytest.mark.parametrize(
    ("name", "place"),
    [("run-all", "build"), ("refresh", "build"), ("prove", "build"), ("prove", EVIDENCE.parent)],
)
def test_a_full_disk_is_one_sentence_and_loses_nothing(course, mounting, name, place, left):
    if left and place == EVIDENCE.parent:
        pytest.skip("there the evidence fits")
    (course / "build").mkdir()
    before = state(course)
    full = f"mount -t tmpfs -o size={left + 4}k none {place}; head -c 4096 /dev/zero > {place}/full"
    status, _, error = run(course, name, {}, [*mounting, full])
    *_, last = error.strip().splitlines()  # a kernel that cannot start says so itself
    assert status == 1 and "No space left on device" in last and "make room on the disk" in last
    assert state(course).keys() == before.keys()
    changed = {path for path, kept in state(course).items() if kept != before[path]}
    assert changed <= {str(EVIDENCE)} and (not changed or name == "prove")


@pytest.mark.parametrize("name", ["run-all", "refresh"])
def test_what_is_built_may_go_to_another_disk(course, mounting, name):
    (course / "build").mkdir()
    status, _, error = run(course, name, {}, [*mounting, "mount -t tmpfs none build"])
    assert status == 0, error


def test_a_read_only_course_says_where_to_run_it(course, mounting):
    locked = [*mounting, "mount --bind . . && mount -o remount,ro,bind . && cd ."]
    status, _, error = run(course, "run-all", {}, locked)
    assert status == 1 and "run it in a folder that can be written" in error
    assert "Traceback" not in error
    (course.parent / "elsewhere").mkdir()
    locked[-1] += " && cd ../elsewhere"
    status, _, error = run(course, "run-all", {"PYTHONPATH": str(course)}, locked)
    assert status == 0, error
    assert (course.parent / "elsewhere" / "build" / "standard" / f"{STEM}.ipynb").exists()


def test_a_home_is_not_needed(course):
    status, _, error = run(course, "run-all", {"HOME": "/dev/null"})
    assert status == 0, error
