"""Proofs: begun, interrupted and gone on with; audited, repeated on other seeds, compared."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from experiments import ARMS, NOTEBOOK, SETTINGS, TASK, sizes
from filelock import FileLock
from registered import register, toy

from helpers.commands import cli, course, proofs
from helpers.commands.course import Choice, NotebookError
from helpers.course.lab import Lab
from helpers.evidence import findings, replication, store
from helpers.evidence.registry import Claim, Test
from helpers.evidence.verdicts import judge

pytestmark = pytest.mark.slow

CHOICE = Choice([Path(f"{NOTEBOOK}.ipynb")], device="cpu", jobs=1)


class Course:
    """Stands for the notebooks: two experiments, conducted in this process as the command says."""

    def __init__(self, monkeypatch):
        self.monkeypatch, self.asked, self.fails_after = monkeypatch, [], 9
        self.settings = dict(SETTINGS)

    def run_all(self, choice: Choice, folder: Path, given: dict[str, str]) -> int:
        self.asked.append(json.loads(given["EVIDENCE"]))
        self.monkeypatch.setenv("EVIDENCE", given["EVIDENCE"])
        for path in choice.notebooks:
            notes = Lab(path.stem, device="cpu")
            for number, name in enumerate(("one", "two")):
                if number >= self.fails_after:
                    return 1
                seeds = notes.seeds(3)
                given = {"measure": sizes, "pack": 1, "updates": 2, "here": 0, **self.settings}
                notes.experiment(name, ARMS, TASK, seeds=seeds, **given)
        return 0

    def made(self) -> dict[str, str]:
        """The proof that made each experiment."""
        files = sorted((store.reference() / NOTEBOOK).glob("*.json"))
        return {file.stem: store.read(file).made["proof"] for file in files}


@pytest.fixture
def notebooks(evidence, monkeypatch, shown) -> Course:
    found = Course(monkeypatch)
    monkeypatch.setattr(proofs, "run_all", found.run_all)
    return found


# ---------------------------------------------------------------- prove


def test_a_proof_writes_and_tells_all_evidence(notebooks, evidence, capsys):
    assert proofs.prove(CHOICE) == 0
    assert sorted(file.stem for file in evidence.rglob("*.json")) == ["one", "two"]
    told = capsys.readouterr().out
    assert all(f"  {NOTEBOOK}/{name}: proved in " in told for name in ("one", "two"))
    assert notebooks.asked[0]["mode"] == "prove" and notebooks.asked[0]["jobs"] == 1


def test_an_interrupted_proof_goes_on_and_a_finished_one_begins_anew(notebooks):
    notebooks.fails_after = 1
    assert proofs.prove(CHOICE) == 1
    first = notebooks.made()
    notebooks.fails_after = 9
    assert proofs.prove(CHOICE) == 0
    assert list(first) == ["one"] and notebooks.made()["one"] == first["one"]
    assert notebooks.made()["two"] == first["one"] == notebooks.asked[1]["proof"]
    assert proofs.prove(CHOICE) == 0
    assert notebooks.made()["one"] != first["one"]


def test_no_clock_says_what_is_finished(notebooks, monkeypatch):
    """Set back an hour meanwhile, it loses nothing; evidence of tomorrow is no proof of today."""
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert proofs.prove(CHOICE) == 0
    tomorrow, notebooks.fails_after = notebooks.made(), 1
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert proofs.prove(CHOICE) == 1
    first = notebooks.made()
    assert first["one"] != tomorrow["one"] and first["two"] == tomorrow["two"]
    monkeypatch.setattr(time, "time", lambda: 1e9 - 3600)
    notebooks.fails_after = 9
    assert proofs.prove(CHOICE) == 0
    assert set(notebooks.made().values()) == {first["one"]}


def test_a_proof_of_something_else_meanwhile_costs_nothing(notebooks):
    notebooks.fails_after = 1
    assert proofs.prove(CHOICE) == 1
    first = notebooks.made()
    notebooks.fails_after = 9
    assert proofs.prove(CHOICE, "two") == 0 and proofs.prove(CHOICE) == 0
    assert notebooks.made()["one"] == first["one"]


def test_one_experiment_is_proved_alone(notebooks):
    proofs.prove(CHOICE)
    before = notebooks.made()
    assert proofs.prove(CHOICE, "two") == 0
    after = notebooks.made()
    assert after["one"] == before["one"] and after["two"] != before["two"]


def test_stale_proves_only_what_this_code_did_not_make(notebooks):
    proofs.prove(CHOICE)
    before = notebooks.made()
    assert proofs.prove(CHOICE, stale=True) == 0 and notebooks.made() == before
    notebooks.settings["batch_size"] = 5
    assert proofs.prove(CHOICE, stale=True) == 0
    assert all(notebooks.made()[name] != before[name] for name in before)


@pytest.mark.parametrize("command", ["prove", "audit", "refresh"])
def test_two_at_once_are_refused(notebooks, evidence, capsys, command):
    folder = proofs.build_folder()
    folder.mkdir()
    with FileLock(folder / f"{command}.lock"):
        assert cli.main([command, "--notebook", "01"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"FAILED another make {command} is at work in ")
    assert said.endswith(": wait for it\n") and notebooks.asked == [] and not evidence.exists()


# ---------------------------------------------------------------- audit


def test_an_audit_of_true_evidence_finds_it_equal(notebooks, capsys):
    proofs.prove(CHOICE)
    capsys.readouterr()
    assert proofs.audit(CHOICE, 4, seed=1) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5 and said[-1] == "4 of 4 networks are those of the evidence"
    assert all(line.endswith(": equal") for line in said[:4]) and len(set(said)) == 5


@pytest.mark.parametrize("column", ["test_loss", "valid_loss", "norm"])
def test_an_audit_finds_a_falsified_number(notebooks, evidence, capsys, column):
    proofs.prove(CHOICE)
    file = store.place(NOTEBOOK, "one")
    record = store.read(file)
    last = record.table.index[(record.table.arm == "RNN") & (record.table.seed == 41)][-1]
    record.table.loc[last, column] *= 30
    store.write(record, file)
    capsys.readouterr()
    assert proofs.audit(CHOICE, 100) == 1
    said = capsys.readouterr().out
    assert f"{NOTEBOOK}/one: ('RNN', 41): DIFFERS" in said and said.count("DIFFERS") == 1
    assert "11 of 12 networks are those of the evidence" in said


# ---------------------------------------------------------------- replicate, compare


@pytest.fixture
def claim(monkeypatch) -> Claim:
    """The one claim that is registered, with one test."""
    mean = Test("gain", "It gains a point.", "mean", "accuracy", "above", 0.01)
    register(monkeypatch, claim := toy(mean, seeds=6))
    return claim


def found(root: Path, gain: float) -> None:
    """A finding of effects around `gain`."""
    effects = {"gain": [gain + k / 1000 for k in range(6)]}
    findings.write(judge("toy", effects), {}, {}, root)


def test_a_replication_has_other_seeds_and_leaves_the_evidence(notebooks, evidence, capsys):
    proofs.prove(CHOICE)
    before = {file: file.read_bytes() for file in evidence.rglob("*.json")}
    proofs.replicate(CHOICE, 5000)
    assert {file: file.read_bytes() for file in evidence.rglob("*.json")} == before
    assert replication.place() == evidence / "replicated.csv" and replication.place().exists()
    root = proofs.build_folder() / "replicate" / "evidence"
    for name in ("one", "two"):
        replica = store.read(store.place(NOTEBOOK, name, root))
        assert replica.declared["seeds"] == [5000, 5001, 5002]
        assert set(replica.table.seed) == {5000, 5001, 5002}


def test_a_replication_of_some_experiments_leaves_the_others(notebooks):
    proofs.prove(CHOICE)
    proofs.replicate(CHOICE, 5000, "two")
    root = proofs.build_folder() / "replicate" / "evidence"
    assert [file.stem for file in (root / NOTEBOOK).glob("*.json")] == ["two"]


def test_experiments_that_there_are_not_are_named(notebooks, monkeypatch):
    proofs.prove(CHOICE)
    monkeypatch.setattr(proofs.frozen, "read", lambda _: {"experiments": {"new": {}}})
    for command in (proofs.prove, lambda *given: proofs.replicate(given[0], 5000, given[1])):
        with pytest.raises(NotebookError, match="no experiment four here: there are new, one, two"):
            command(CHOICE, "two four")
    monkeypatch.setattr(proofs.frozen, "read", lambda _: None)
    both = Choice([*CHOICE.notebooks, Path("02_toy.ipynb")], device="cpu", jobs=1)
    with pytest.raises(NotebookError, match="no experiment four here: there are one, two"):
        proofs.prove(both, "two four")


def test_differing_tests_are_named_with_both_intervals(tmp_path, capsys, claim):
    found(tmp_path / "a", 0.5), found(tmp_path / "b", 0.5)
    assert proofs._print_differences(tmp_path / "a", tmp_path / "b", "here", [NOTEBOOK]) == 0
    found(tmp_path / "b", -0.5)
    assert proofs._print_differences(tmp_path / "a", tmp_path / "b", "on other seeds") == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "1 of 1 tests have the word of the committed evidence",
        "toy gain: committed supported 0.502 [0.501, 0.504], "
        "on other seeds refuted -0.497 [-0.499, -0.496]",
        "0 of 1 tests have the word of the committed evidence",
    ]
    assert proofs._print_differences(tmp_path / "a", tmp_path / "b", "here", ["99_none"]) == 1


def git(folder: Path, *command: str) -> None:
    names = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    author = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(
        ["git", *author, *command],
        cwd=folder,
        check=True,
        capture_output=True,
        env=os.environ | names,
    )


def test_compare_holds_the_evidence_against_the_committed_one(
    tmp_path, evidence, monkeypatch, capsys, claim
):
    monkeypatch.setattr(proofs, "ROOT", tmp_path)
    git(tmp_path, "init", "-q")
    with pytest.raises(NotebookError, match="git cannot show the committed evidence"):
        proofs.compare()
    found(evidence, 0.5)
    git(tmp_path, "add", "data")
    git(tmp_path, "commit", "-q", "-m", "evidence")
    assert proofs.compare() == 0
    found(evidence, -0.5)
    assert proofs.compare() == 1
    said = capsys.readouterr().out
    assert "toy gain: committed supported 0.502" in said and ", here refuted -0.497" in said


# ---------------------------------------------------------------- the course


def test_a_readers_copy_is_no_notebook_of_the_course(tmp_path, monkeypatch):
    for name in ("00_one.ipynb", "00_one-Copy1.ipynb", "Untitled.ipynb", "12_own.ipynb"):
        (tmp_path / name).touch()
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path)
    assert [path.name for path in course.notebooks()] == ["00_one.ipynb", "12_own.ipynb"]


def test_notebooks_are_chosen_by_number_or_beginning():
    every = course.notebooks()
    assert [path.stem[:2] for path in every] == sorted(path.stem[:2] for path in every)
    assert [p.stem for p in course.notebooks("3")] == [p.stem for p in course.notebooks("03_rec")]
    with pytest.raises(NotebookError, match="no notebook matches NOTEBOOK=77: there are 00_start"):
        course.notebooks("77")


@pytest.mark.parametrize(
    ("threads", "told"), [("", "1"), ("3", "3"), ("auto", None), ("abc", None)]
)
def test_kernels_get_the_threads_that_were_asked_for(monkeypatch, threads, told):
    monkeypatch.setenv("THREADS", threads)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = course.surroundings({"EVIDENCE": "check"})
    assert found.get("OMP_NUM_THREADS") == told and found["EVIDENCE"] == "check"


def test_an_audit_of_nothing_is_no_success(notebooks, capsys):
    assert proofs.audit(CHOICE, 4) == 1
    assert "0 of 0 networks" in capsys.readouterr().out
