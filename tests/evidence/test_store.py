"""The store: what is written comes back, and nothing else is ever read."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.evidence import store
from helpers.evidence.files import ROOT
from helpers.evidence.store import EvidenceError, Record

RENEWED = "make prove NOTEBOOK=01 EXPERIMENT=toy"


def record(grid: dict | None = None, **changes) -> Record:
    """Two networks with two rows each, the second of them diverged."""
    rows = [
        ("a", 0.1, 40, 5, 0.123456789, 0, np.nan),
        ("a", 0.1, 40, 10, 0.023456789, 0, 3.0),
        ("a", 0.1, 41, 5, 2e10, 0, np.nan),
        ("a", 0.1, 41, 10, np.inf, 7, np.nan),
    ]
    columns = ["arm", "lr", "seed", "step", "valid_loss", "diverged_at", "size"]
    declared = {"seeds": [40, 41], "grid": grid or {}, "tune": {}}
    made = Record("01_toy", "toy", declared, pd.DataFrame(rows, columns=columns))
    return replace(made, **changes)


@pytest.fixture
def file(tmp_path) -> Path:
    return store.place("01_toy", "toy", tmp_path)


# ---------------------------------------------------------------- there and back


def test_numbers_survive_to_six_digits(file):
    table = store.read(store.write(record(), file)).table
    assert table.valid_loss.tolist()[:3] == [0.123457, 0.0234568, 2e10]
    assert np.isnan(table.valid_loss[3]) and table.diverged_at.tolist() == [0, 0, 0, 7]
    assert table.seed.tolist() == [40, 40, 41, 41] and table.step.tolist() == [5, 10, 5, 10]
    assert table["size"].isna().tolist() == [True, False, True, True]
    assert list(table) == list(record().table)


def test_a_record_keeps_all_that_stands_beside_the_table(file):
    beside = {"chosen": {"lr": {"a": 0.1}}, "replay": {"updates": 4}, "made": {"at": 1.5}}
    again = store.read(store.write(record(**beside), file))
    assert {name: getattr(again, name) for name in beside} == beside
    assert (again.notebook, again.name, again.tuning) == ("01_toy", "toy", None)


def test_networks_are_told_apart_by_name_even_where_steps_go_on_rising(file):
    rows = [("a", 0.1, 40, 100, 1.0), ("b", 0.1, 40, 200, 2.0), ("b", 0.1, 41, 300, 3.0)]
    table = pd.DataFrame(rows, columns=["arm", "lr", "seed", "step", "valid_loss"])
    assert store.numbered(table).tolist() == [0, 1, 2]
    store.write(record(table=table), file)
    assert json.loads(file.read_text())["curves"] is None
    pd.testing.assert_frame_equal(store.read(file).table, table, check_dtype=False)


@pytest.mark.parametrize(
    "labels",
    [
        [0.1, 10**-2.5, 1 / 3],
        [None, 0.1, 1.0],
        [None, 1000000, 5],
        [True, False],
        ["SGD", 'no, "none"', "nan"],
        [16, 32],
        ["a", None],
    ],
)
def test_settings_of_a_grid_come_back_as_they_were_declared(file, labels):
    rows = [("a", label, 40, 10, 1.0) for label in labels]
    table = pd.DataFrame(rows, columns=["arm", "clip", "seed", "step", "valid_loss"])
    found = store.read(store.write(record({"clip": labels}, table=table), file)).table["clip"]
    for one, label in zip(found, labels, strict=True):
        assert pd.isna(one) if label is None else one == label


def test_the_tuning_table_comes_back_with_infinite_losses(file):
    index = pd.MultiIndex.from_product([[0.1, 10**-2.5], ["x", "y"]], names=["lr", "optimizer"])
    tuning = pd.DataFrame({"a": [0.5, np.inf, 0.25, 1.0], "b": [1.0, 2.0, 3.0, np.inf]}, index)
    searched = {"lr": [0.1, 10**-2.5], "optimizer": {"x": "a function", "y": "a function"}}
    declared = record().declared | {"tune": searched}
    again = store.read(store.write(record(declared=declared, tuning=tuning), file)).tuning
    pd.testing.assert_frame_equal(again, tuning)


def test_final_numbers_are_lines_and_the_same_record_is_the_same_file(file, tmp_path):
    text = store.write(record(), file).read_text()
    assert '"a,0.1,40,10,0.0234568,0,3"' in text and "0.123457" not in text
    assert text == store.write(record(), tmp_path / "01_toy" / "again.json").read_text()


# ---------------------------------------------------------------- what is not read


def edited(file: Path, **changes) -> None:
    """Another content under the right checksum."""
    kept = json.loads(file.read_text()) | changes
    del kept["sha256"]
    kept["sha256"] = store._checksum(kept)
    file.write_text(json.dumps(kept))


def test_a_missing_file_is_named_with_its_cure(file):
    with pytest.raises(EvidenceError, match=rf"toy\.json is missing: .*{RENEWED}"):
        store.read(file)


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(file, share):
    text = store.write(record(), file).read_text()
    file.write_text(text[: int(share * len(text)) - 2])
    with pytest.raises(EvidenceError, match=rf"toy\.json is malformed .*{RENEWED}"):
        store.read(file)


def test_an_edited_number_is_found_by_the_checksum(file):
    text = store.write(record(), file).read_text()
    file.write_text(text.replace("0.0234568", "0.0134568"))
    with pytest.raises(EvidenceError, match=rf"was edited or is damaged .*{RENEWED}"):
        store.read(file)


def test_another_schema_is_named(file):
    store.write(record(), file)
    edited(file, schema=1)
    with pytest.raises(EvidenceError, match=rf"has schema 1, not 2: .*{RENEWED}"):
        store.read(file)


@pytest.mark.parametrize(
    "changes", [{"final": None}, {"final": ["a,b"]}, {"curves": ["%%"]}, {"declared": 3}]
)
def test_what_cannot_be_understood_is_malformed(file, changes):
    store.write(record(), file)
    edited(file, **changes)
    with pytest.raises(EvidenceError, match=rf"malformed .*{RENEWED}"):
        store.read(file)


# ---------------------------------------------------------------- disks


def test_a_full_disk_is_named_and_leaves_the_old_file_alone(file, monkeypatch):
    before = store.write(record(), file).read_bytes()

    def full(path, text, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(EvidenceError, match=rf"cannot be written .*No space left.*{RENEWED}"):
        store.write(record(chosen={"lr": {"a": 1}}), file)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


# ---------------------------------------------------------------- what it takes


def test_a_read_only_place_is_named_before_anything_is_computed(file, monkeypatch):
    store.require_writable(file)
    monkeypatch.setattr(store.os, "access", lambda *_: False)
    with pytest.raises(EvidenceError, match=rf"cannot be written .*is read-only.*{RENEWED}"):
        store.require_writable(file)


@pytest.mark.slow
def test_reading_evidence_needs_no_torch():
    names = "store, findings, registry, verdicts, statistics, closing, timings"
    code = f"import sys; from helpers.evidence import {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
