"""Replication: what is filed of other seeds, and which tests and claims have another word."""

from pathlib import Path

import pytest
from registered import register, toy

from helpers.evidence import findings, replication
from helpers.evidence.registry import Claim, Test
from helpers.evidence.store import EvidenceError
from helpers.evidence.verdicts import judge


@pytest.fixture
def claim(monkeypatch) -> Claim:
    """The one claim that is registered: a core test, one beside, and a fact."""
    mean = ("mean", "accuracy", "above", 0.01)
    tests = [Test("gain", "It gains.", *mean), Test("more", "More.", *mean, role="beside")]
    register(
        monkeypatch, claim := toy(*tests, Test("shape", "So.", "assertion", role="beside"), seeds=6)
    )
    return claim


def found(root: Path, gain: float, more: float = 0.5) -> None:
    """A finding of effects around `gain` and `more`."""
    effects = {
        name: [mean + k / 1000 for k in range(6)]
        for name, mean in {"gain": gain, "more": more}.items()
    }
    findings.write(judge("toy", effects | {"shape": True}), {}, {}, root)


def test_what_was_found_is_filed_by_notebook(tmp_path, claim):
    """Rows of this notebook take the place of its old ones; others stay."""
    found(tmp_path / "a", 0.5), found(tmp_path / "b", -0.5)
    both = findings.compare(tmp_path / "a", tmp_path / "b")
    made = {"first_seed": 5000, "date": "2030-01-02", "commit": "abc"}
    assert replication.read(tmp_path).empty
    for _ in range(2):
        rows = replication.keep(both, [claim.notebook], made, tmp_path)
        assert rows.equals(replication.read(tmp_path)) and len(rows) == 1
    assert rows.loc[0, ["verdict", "verdict_again"]].tolist() == ["supported", "refuted"]
    assert rows.loc[0, "effect_again"] == pytest.approx(-0.4975)
    assert replication.counted(rows) == (1, 0) and len(replication.turned(rows)) == 1
    assert replication.words(rows, findings.read_all(tmp_path / "a")) == {"toy": ("true", "false")}
    assert (
        replication.words(rows.query("role == 'beside'"), findings.read_all(tmp_path / "a")) == {}
    )
    assert len(replication.keep(both, ["99_none"], made, tmp_path)) == 1
    found(tmp_path / "b", 0.5)
    both = findings.compare(tmp_path / "a", tmp_path / "b")
    assert replication.keep(both, [claim.notebook], made, tmp_path).equals(
        rows
    )  # it was not asked again
    found(tmp_path / "b", 0.6)
    both = findings.compare(tmp_path / "a", tmp_path / "b")
    rows = replication.keep(both, [claim.notebook], made, tmp_path)
    assert replication.counted(rows) == (1, 1) and replication.turned(rows).empty
    replication.place(tmp_path).write_text("claim,test\na,b\n")
    with pytest.raises(EvidenceError, match=r"its columns are not .* restore it with git"):
        replication.read(tmp_path)


def test_a_claim_whose_core_tests_were_not_tried_is_left_out(tmp_path, claim):
    found(tmp_path / "a", 0.5), found(tmp_path / "b", 0.5, more=-0.5)
    both = findings.compare(tmp_path / "a", tmp_path / "b")
    made = {"first_seed": 5000, "date": "2030-01-02", "commit": "abc"}
    rows = replication.keep(both, [claim.notebook], made, tmp_path)
    assert rows["test"].tolist() == ["more"]  # the other has the same effect: not asked again
    assert replication.words(rows, findings.read_all(tmp_path / "a")) == {}
    assert replication.counted(rows) == (0, 0) and len(replication.turned(rows)) == 1
