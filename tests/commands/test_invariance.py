"""The table of settings: what counts as the same, and what an error does to it."""

import json
import sys

import invariance
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output


def stored(path, texts, tags=()):
    cells = [
        new_code_cell("", outputs=[new_output("stream", text=text)], metadata={"tags": list(tags)})
        for text in texts
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(new_notebook(cells=cells)), encoding="utf-8")
    return path


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A course of one notebook, and an interpreter that does what `run` says."""
    monkeypatch.setattr(invariance, "ROOT", tmp_path)
    stored(tmp_path / "notebooks" / "01_a.ipynb", ["1.0", "2.0"])
    old = stored(tmp_path / invariance.EXECUTED / "01_a.ipynb", ["of another", "setting"])

    class Done:
        stdout, stderr, written = "1 of 1 notebooks in 3 s", "", ("1.0", "2.0")

    def run(command, cwd, env, **_):
        assert command[1:] == ["-m", "helpers", "run-all"] and cwd == tmp_path
        assert env["EVIDENCE"] == "check" and env["THREADS"] == "2" and not old.exists()
        if Done.written:
            stored(tmp_path / invariance.EXECUTED / "01_a.ipynb", Done.written)
        return Done

    monkeypatch.setattr(invariance.subprocess, "run", run)
    return Done


@pytest.mark.parametrize(
    ("stdout", "stderr", "written", "found"),
    [
        ("1 of 1 notebooks in 3 s", "", ("1.0", "2.0"), (1, 1, [], [])),
        ("1 of 1 notebooks in 3 s", "a warning", ("1.0", "2.1"), (1, 1, ["01 [1]"], [])),
        ("0 of 1 notebooks in 3 s", "x\nEvidenceError: a\n", (), (0, 1, [], ["EvidenceError: a"])),
        ("0 of 1 notebooks in 3 s", "a\nb\n", (), (0, 1, [], ["a", "b"])),
        ("0 of 1 notebooks", "", (), (0, 1, [], ["a notebook failed and did not say why"])),
        (
            "1 of 1 notebooks in 3 s",
            "",
            (),
            (1, 1, [], ["1 notebooks ran, and 0 are in build/standard"]),
        ),
        ("", "no module named helpers", (), (0, 0, [], ["no module named helpers"])),
    ],
)
def test_what_is_not_the_same_is_counted(repository, stdout, stderr, written, found):
    repository.stdout, repository.stderr, repository.written = stdout, stderr, written
    assert invariance.outcome("python", {"THREADS": "2"}, []) == found


def test_timings_may_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(invariance, "ROOT", tmp_path)
    stored(tmp_path / "notebooks" / "01_a.ipynb", ["3 s"], ["nbval-ignore-output"])
    again = stored(tmp_path / "build" / "01_a.ipynb", ["4 s"], ["nbval-ignore-output"])
    assert invariance.differing(again) == []


@pytest.mark.nightly
def test_a_number_that_is_rounded_otherwise_is_counted_where_notebooks_really_run(monkeypatch):
    ours = invariance.texts
    stored = invariance.ROOT / "notebooks"

    def otherwise(path):
        return ["3.14", *ours(path)[1:]] if path.parent == stored else ours(path)

    monkeypatch.setattr(invariance, "texts", otherwise)
    assert invariance.outcome(sys.executable, {}, ["--notebook", "00"]) == (1, 1, ["00 [0]"], [])


@pytest.mark.nightly
def test_the_table_names_setting_versions_and_error():
    found = invariance.Found(11, 12, ["02 [3]", "02 [5]"], ["EvidenceError: a | b"])
    page = invariance.report({("two threads", invariance.versions(sys.executable)): found})
    row = page.splitlines()[-1]
    assert row.startswith("| two threads | Python 3.") and "PyTorch" in row
    assert row.endswith("| 11 of 12 | 02 [3], 02 [5] | EvidenceError: a / b |")


def test_an_interrupted_table_goes_on(repository, monkeypatch, tmp_path):
    for name in ("REPORT", "KEPT"):
        monkeypatch.setattr(invariance, name, tmp_path / name)
    monkeypatch.setattr(invariance, "SETTINGS", {"first": {"THREADS": "2"}, "second": {}})
    monkeypatch.setattr(invariance, "versions", lambda python: "Python 3")
    monkeypatch.setattr(invariance, "commit", lambda: "abc")
    monkeypatch.setattr(invariance, "recorded", lambda: "no processor")
    monkeypatch.setattr(sys, "argv", ["invariance.py"])
    with pytest.raises(KeyError):  # of the interpreter above, in the second setting
        invariance.main()
    assert "| first | Python 3 | 1 of 1 | none |" in (tmp_path / "REPORT").read_text()
    monkeypatch.setattr(invariance, "outcome", lambda *_: invariance.Found(0, 1, [], ["too late"]))
    assert invariance.main() == 1
    first, second = (tmp_path / "REPORT").read_text().splitlines()[-2:]
    assert first.startswith("| first | Python 3 | 1 of 1") and "too late" in second
    monkeypatch.setattr(invariance, "commit", lambda: "def")
    assert invariance.main() == 1 and "1 of 1" not in (tmp_path / "REPORT").read_text()
