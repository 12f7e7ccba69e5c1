"""Evidence: read back as it was judged, trusted only from this code, compared test by test."""

import json
import shutil
from dataclasses import replace

import nbformat
import numpy as np
import pytest
from helpers.evidence.claims import ClaimError

from helpers.commands import runner
from helpers.course import cards
from helpers.course.lab import Lab
from helpers.evidence import claims, findings

MEAN = claims.Test("gain", "It gains a point.", "mean", "accuracy", "above", 0.01)
RATES = claims.Test("solves", "A solves it more often.", "rates", "difference", "above", 0.0)
FACT = claims.Test("shape", "The shape is so.", "assertion")
EFFECTS = {"gain": np.linspace(0.02, 0.03, 10), "shape": True}
CODE = "from helpers import used\nfrom helpers.also import thing\n\nx = 1  # one"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository with a notebook of two claims and four helpers, of which it uses three."""
    toy = replace(
        claims.registry()["cnn.learn-filters"],
        id="toy",
        notebook="01_toy",
        seeds=10,
        test=(MEAN, FACT),
    )
    toys = {name: replace(toy, id=name) for name in ("toy", "toy.two")}
    monkeypatch.setattr(claims, "registry", lambda: toys)
    monkeypatch.setattr(cards, "display", lambda *_, **__: None)
    monkeypatch.setattr(findings, "ROOT", tmp_path)
    findings.source_hash.cache_clear()
    helpers = {
        "used": "import helpers.below",
        "also": "",
        "below": "y = 2",
        "unused": "",
        "cards": "",
    }
    (tmp_path / "helpers").mkdir()
    for name, text in helpers.items():
        (tmp_path / "helpers" / f"{name}.py").write_text(text)
    (tmp_path / "notebooks").mkdir()
    save(tmp_path, CODE)
    yield tmp_path
    findings.source_hash.cache_clear()


def save(folder, code: str) -> None:
    cells = [nbformat.v4.new_markdown_cell("text"), nbformat.v4.new_code_cell(code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks" / "01_toy.ipynb")


def hashed() -> str:
    findings.source_hash.cache_clear()
    return findings.source_hash("01_toy")


@pytest.fixture
def kept(folder):
    """The folder of evidence on two claims, of a sampled test and an assertion each."""
    Lab("01_toy").judge("toy", EFFECTS)
    Lab("01_toy").judge("toy.two", {"gain": 0.006 + np.linspace(0, 0.009, 10), "shape": False})
    return findings.fresh_folder()


def commit(folder) -> None:
    reference = folder / "data" / "evidence"
    reference.parent.mkdir(exist_ok=True)
    findings.fresh_folder().rename(reference)


# ---------------------------------------------------------------- the hash of the source


def test_the_hash_follows_everything_that_measures(folder, monkeypatch):
    seen = [hashed()]
    (folder / "helpers" / "below.py").write_text("y = 3")
    seen.append(hashed())
    save(folder, CODE.replace("x = 1", "x = 2"))
    seen.append(hashed())
    (folder / "data" / "tuning").mkdir(parents=True)
    (folder / "data" / "tuning" / "01_toy.json").write_text("{}")
    seen.append(hashed())
    moved = replace(MEAN, threshold=0.02)
    toys = {"toy": replace(claims.registry()["toy"], test=(moved, FACT))}
    monkeypatch.setattr(claims, "registry", lambda: toys)
    seen.append(hashed())
    assert len(set(seen)) == len(seen)


def test_the_hash_ignores_what_measures_nothing(folder):
    before = hashed()
    (folder / "helpers" / "unused.py").write_text("z = 3")
    (folder / "helpers" / "cards.py").write_text("z = 3")
    (folder / "helpers" / "below.py").write_text('"""Says more."""\n\ny = (\n    2  # two\n)\n')
    save(folder, CODE.replace("one", "uno"))
    assert hashed() == before


# ---------------------------------------------------------------- reading back


def test_a_verdict_comes_back_as_it_was_judged(folder, monkeypatch):
    toy = replace(claims.registry()["toy"], test=(MEAN, RATES, FACT))
    monkeypatch.setattr(claims, "registry", lambda: {"toy": toy})
    book = Lab("01_toy")
    solved = np.array([[1, 0]] * 10)
    book.judge("toy", EFFECTS | {"solves": solved})
    found = findings.read(findings.fresh_folder() / "toy.json")
    assert repr(found.verdict) == repr(book.verdicts["toy"])
    assert cards.verdict_card(found.verdict) == cards.verdict_card(book.verdicts["toy"])
    assert found.current and found.profile == "standard"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"source"', '"sauce"'),
        ('"p"', '"q"'),
        ('"p": 0.001953125', '"p": 7'),
        ('"p": 0.001953125', '"p": "small"'),
        ('"tests": [', '"tests": ["gain", '),
        ('"verdict": "supported"', '"verdict": "refuted"'),
        ('"claim": "toy"', '"claim": "no.such"'),
        ("}", ""),
        ("{", "["),
    ],
)
def test_malformed_evidence_is_named(kept, old, new):
    file = kept / "toy.json"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(
        ClaimError, match=r"toy\.json is malformed .*: delete it and run its notebook"
    ):
        findings.table(findings.read_all(kept))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"3", b"null", b"{}"])
def test_a_file_that_is_no_evidence_is_named(kept, content):
    (kept / "toy.json").write_bytes(content)
    with pytest.raises(ClaimError, match=r"toy\.json is malformed"):
        findings.table(findings.read_all(kept))


# ---------------------------------------------------------------- which evidence counts


def test_the_last_run_here_comes_before_the_reference(folder, kept):
    toy = claims.registry()["toy"]
    assert findings.latest(toy)[1] == "this machine"
    commit(folder)
    found, origin = findings.latest(toy)
    assert origin == "reference" and found.verdict.word == "supported"
    Lab("01_toy").judge("toy", EFFECTS | {"shape": False})
    found, origin = findings.latest(toy)
    assert origin == "this machine" and found.verdict.word == "conditional"


def test_evidence_that_is_no_verdict_says_why(folder, kept):
    toy = claims.registry()["toy"]
    file = kept / "toy.json"
    whole = file.read_text()
    file.write_text(whole.replace('"standard"', '"smoke"'))
    assert findings.latest(toy) == (None, "this machine: profile smoke")
    file.write_text(whole[:50])
    assert findings.latest(toy) == (None, "this machine: malformed")
    file.write_text(whole.replace(findings.source_hash("01_toy"), "0" * 64))
    assert findings.latest(toy) == (None, "this machine: other code")
    file.unlink()
    assert findings.latest(toy) == (None, "not measured")


# ---------------------------------------------------------------- tables


def test_the_table_has_a_row_per_test_with_the_adjusted_p(kept):
    table = findings.table(findings.read_all(kept))
    assert list(table) == "claim test verdict effect low high p p_holm source".split()
    assert table["claim"].tolist() == ["toy"] * 2 + ["toy.two"] * 2
    assert table["verdict"].tolist() == ["supported", "supported", "inconclusive", "refuted"]
    assert set(table["source"]) == {"this code"}
    p = table["p"].to_numpy()
    assert p[0] == pytest.approx(2 / 2**10) and p[2] > p[0]
    assert table["p_holm"].tolist() == pytest.approx([2 * p[0], np.nan, p[2], np.nan], nan_ok=True)
    assert table["low"][0] == pytest.approx(claims.t_interval(EFFECTS["gain"])[0])
    assert table["low"].isna().tolist() == [False, True, False, True]


def test_evidence_of_other_code_is_marked(kept):
    file = kept / "toy.json"
    file.write_text(file.read_text().replace(findings.source_hash("01_toy"), "0" * 64))
    table = findings.table(findings.read_all(kept))
    assert table["source"].tolist() == ["other code"] * 2 + ["this code"] * 2
    assert table["p_holm"][2] == table["p"][2]  # still a family of two


@pytest.mark.parametrize("missing", [True, False])
def test_without_evidence_the_table_is_empty(tmp_path, missing):
    table = findings.table(findings.read_all(tmp_path / "none" if missing else tmp_path))
    assert len(table) == 0 and "p_holm" in table


def test_a_comparison_finds_flips_and_what_is_missing(folder, kept):
    commit(folder)
    Lab("01_toy").judge("toy", EFFECTS | {"gain": EFFECTS["gain"] - 0.02})
    both = findings.compare(findings.reference_folder(), findings.fresh_folder())
    assert both.loc[("toy", "gain"), "verdict_reference"] == "supported"
    assert both.loc[("toy", "gain"), "verdict_fresh"] == "refuted"
    assert (
        both.loc[("toy", "gain"), "high_fresh"] < 0.01 < both.loc[("toy", "gain"), "low_reference"]
    )
    assert set(both.loc["toy.two", "verdict_fresh"]) == {"missing"}
    assert both["differs"].tolist() == [True, False, True, True]


def test_only_whole_current_evidence_becomes_the_reference(folder, kept, monkeypatch):
    measured = {n: replace(c, status="measured") for n, c in claims.registry().items()}
    monkeypatch.setattr(claims, "registry", lambda: measured)
    assert [file.name for file in findings.adopt("01_toy")] == ["toy.json", "toy.two.json"]
    adopted = (findings.reference_folder() / "toy.json").read_bytes()
    assert adopted == (kept / "toy.json").read_bytes()
    (kept / "toy.json").write_text((kept / "toy.json").read_text().replace('"standard"', '"full"'))
    with pytest.raises(ClaimError, match="profile full: run it again"):
        findings.adopt("01_toy")
    (kept / "toy.json").unlink()
    with pytest.raises(ClaimError, match=r"toy: no evidence in .*run 01_toy"):
        findings.adopt("01_toy")
    assert (findings.reference_folder() / "toy.json").read_bytes() == adopted


def test_the_comparison_prints_flips_with_both_intervals(folder, kept, capsys):
    commit(folder)
    Lab("01_toy").judge("toy", EFFECTS)
    Lab("01_toy").judge("toy.two", {"gain": EFFECTS["gain"], "shape": False})
    assert runner.main(["compare"]) == 1
    flip, count = capsys.readouterr().out.splitlines()
    assert flip.startswith("toy.two gain: reference inconclusive 0.0105 [0.00")
    assert "fresh supported 0.025 [0.02" in flip and count.startswith("1 of 4 tests differ")
    shutil.copytree(findings.reference_folder(), kept, dirs_exist_ok=True)
    assert runner.main(["compare"]) == 0
    assert capsys.readouterr().out == "0 of 4 tests differ from the reference\n"


def test_evidence_is_strict_json(kept):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    json.loads((kept / "toy.json").read_text(), parse_constant=refuse)
