"""What a notebook never does: reach into the network, open a pickle, hand a line to a shell."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.commands.course import NOTEBOOKS, notebooks
from helpers.evidence.files import ROOT

WATCHED = """
import json, sys

seen = []

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        seen.append([event, repr(arguments[-1] if event == "socket.connect" else arguments[0])])
    elif event == "pickle.find_class" or event in ("os.system", "shutil.unpack_archive"):
        seen.append([event, repr(arguments)])
    elif event.startswith("marshal.load"):  # as importlib opens what Python has compiled
        by = sys._getframe(1).f_code.co_filename
        seen.extend([[event, by]] * (not by.startswith("<frozen importlib")))
    elif event == "subprocess.Popen":
        words = [arguments[1]] if isinstance(arguments[1], str) else list(map(str, arguments[1]))
        seen.extend([[event, " ".join(words)]] * (len(words) == 1 or "-c" in words[1:2]))

sys.addaudithook(hook)

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
with open(sys.argv[1], encoding="utf-8") as file:
    cells = [cell for cell in json.load(file)["cells"] if cell["cell_type"] == "code"]
for cell in cells:
    shell.run_cell("".join(cell["source"])).raise_error()
print("\\n" + json.dumps(seen))
"""


def misdeeds(path: Path) -> list[str]:
    command = [sys.executable, "-c", WATCHED, str(path)]
    run = subprocess.run(command, cwd=NOTEBOOKS, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return [event for event, _ in json.loads(run.stdout.splitlines()[-1])]


@pytest.mark.slow
def test_a_notebook_stays_at_home_and_opens_no_pickle():
    assert misdeeds(notebooks("00")[0]) == []


@pytest.mark.slow
def test_what_is_watched_for_is_seen(tmp_path):
    done = {
        "pickle.find_class": "import pickle; pickle.loads(pickle.dumps(print))",
        "marshal.loads": "import marshal; marshal.loads(marshal.dumps(1))",
        "subprocess.Popen": "import subprocess; subprocess.run('true', shell=True)",
        "os.system": "import os; os.system('true')",
        "socket.connect": "import socket; socket.socket().connect_ex(('127.0.0.1', 9))",
    }
    cells = [{"cell_type": "code", "source": [source]} for source in done.values()]
    (tmp_path / "bad.ipynb").write_text(json.dumps({"cells": cells}))
    assert misdeeds(tmp_path / "bad.ipynb") == list(done)


def test_actions_are_pinned_by_commit_and_may_only_read():
    """Somebody else's tag can move; a commit cannot. The site alone may write, its own pages."""
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        for line in re.findall(r"uses:.*", text):
            assert re.fullmatch(r"uses: [\w/-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), (file, line)
        may_write = {"pages: write", "id-token: write"} if file.stem == "site" else set()
        assert "\npermissions:\n  contents: read\n" in text
        assert set(re.findall(r"[\w-]+: write", text)) == may_write
