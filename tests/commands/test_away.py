"""The notebooks away from home: on Kaggle and Colab, as far as that can be had here.

On Kaggle helpers and data are read-only below /kaggle/input, one writes in /kaggle/working, and
there is no network. Both images lack packages; what needs those is skipped with a sentence.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from invariance import texts

from helpers.commands import kaggle
from helpers.commands.course import closing, notebooks

# What one of the two images had not, on the days they were looked at: ONNX's tools on Kaggle,
# these and the others on Colab.
ABSENT = ("onnxscript", "onnxruntime", "onnx", "optuna")
MOUNTS = ("phase-03-measured", "datasets/some-name/phase-03-measured")  # until 2026, and since
HIDE = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in {absent}
        return None if absent else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""
KAGGLE = """
set -eu
ip link set lo up
mount -t tmpfs none /kaggle
mkdir -p /kaggle/working "/kaggle/input/$MOUNT"
mount --bind "$COURSE" "/kaggle/input/$MOUNT"
mount -o remount,ro,bind "/kaggle/input/$MOUNT"
cd /kaggle/working
cp "$NOTEBOOK" __notebook__.ipynb
"$PYTHON" -m papermill --no-progress-bar __notebook__.ipynb "$DONE/notebook.ipynb"
ls -A > "$DONE/left"
"""
SUDO = ["sudo", "-n"] if shutil.which("sudo") else []
APART = [*SUDO, "unshare", "--mount", "--net"]
FIRST = notebooks("00")[0]


@pytest.fixture(scope="module")
def place():
    """/kaggle, empty, where a test may mount what it likes without anybody else seeing it."""
    mine = not Path("/kaggle").exists()
    try:
        subprocess.run([*SUDO, "mkdir", "-p", "/kaggle"], check=True, capture_output=True)
        for tried in ("mount -t tmpfs none /kaggle", "ip link set lo up"):
            subprocess.run([*APART, *tried.split()], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mounts and networks of one's own here: {error}")
    yield
    if mine:
        subprocess.run([*SUDO, "rmdir", "/kaggle"])


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """What `make kaggle` writes."""
    build = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kaggle, "build_folder", lambda: build)
        return kaggle.write("some-name")


@pytest.fixture
def hidden(tmp_path):
    """What an environment needs so that no Python in it finds the packages that are absent."""
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(absent=ABSENT))
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}


def test_what_is_absent_cannot_be_found_and_all_else_can(hidden):
    code = "import sys, importlib.util as u; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    command = [sys.executable, "-c", code, *ABSENT, "torch", "tokenizers"]
    found = subprocess.run(command, env=hidden, capture_output=True, text=True)
    assert found.stdout.strip() == "['torch', 'tokenizers']"


def runs_on_kaggle(path, mount, sent, done, hidden):
    """Run a notebook where it was never meant to fail: same answers, replay green."""
    there = {"MOUNT": mount, "COURSE": sent / "dataset", "NOTEBOOK": sent / path.stem / path.name}
    there |= {"DONE": done, "HOME": "/kaggle/working", "KAGGLE_KERNEL_RUN_TYPE": "Batch"}
    there |= {"PYTHON": sys.executable} | hidden
    command = ["env", "-i", *(f"{name}={value}" for name, value in there.items())]
    run = subprocess.run([*APART, *command, "bash", "-c", KAGGLE], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    away, home = texts(done / "notebook.ipynb"), texts(path)
    skips = any(name in text for text in away for name in ABSENT)
    for one, other in zip(away, home, strict=True):
        assert one == other or (skips and (not one or any(name in one for name in ABSENT)))
    away, home = (nbformat.read(one, as_version=4) for one in (done / "notebook.ipynb", path))
    assert closing(away)["verdicts"] == closing(home)["verdicts"]
    left = (done / "left").read_text().split()
    assert not [name for name in left if not name.startswith((".", "__notebook__", "build"))]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("path", "mount"),
    [(FIRST, MOUNTS[0]), *((path, MOUNTS[1]) for path in notebooks())],
    ids=lambda given: getattr(given, "stem", ""),
)
def test_every_notebook_runs_on_kaggle(path, mount, place, sent, tmp_path, hidden):
    runs_on_kaggle(path, mount, sent, tmp_path, hidden)
