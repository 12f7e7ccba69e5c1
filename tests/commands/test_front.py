"""The front page: generated from the evidence, printed on one sheet, no link to nowhere."""

import re
import shutil
import subprocess
from importlib import import_module

import pytest

from helpers.commands import cli, front, heads
from helpers.commands.course import NotebookError
from helpers.course import redpen
from helpers.evidence import replication
from helpers.evidence.files import ROOT
from helpers.evidence.findings import find_all
from helpers.evidence.registry import ClaimError, registry

CHROMIUM = any(map(shutil.which, front.BROWSERS))


@pytest.mark.slow
def test_what_is_committed_is_what_make_recap_would_write():
    for path, text in front.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: make recap"


def test_the_table_has_a_row_per_claim_in_order():
    head, line, *rows = front.table(find_all()).splitlines()
    numbers = [int(row.split("|")[1].strip(" *")) for row in rows]
    assert numbers == [claim.number for claim in registry().values()]
    assert {row.replace("\\|", "").count("|") for row in (head, line, *rows)} == {5}


def test_without_evidence_nothing_is_answered(tmp_path):
    nothing = find_all(tmp_path)
    assert front.table(nothing).count("[no verdict]") == len(registry())
    answers = front.blocks(nothing)["answers"].splitlines()
    assert all("not measured: make prove NOTEBOOK=" in one for one in answers)
    assert f"| 0 | 0 | 0 | 0 | 0 | {len(registry())} |" in front.blocks(nothing)["tally"]


@pytest.mark.slow
def test_answers_and_times_stand_in_the_readme():
    blocks = front.blocks(find_all())
    answers = blocks["answers"].splitlines()
    assert len(answers) == 10 and all(re.search(r"\?\*\* .*\d", one) for one in answers)
    rows = blocks["contents"].splitlines()[2:]
    assert len(rows) == 13 and not [row for row in rows if re.search(r"\b0 (s|min) ", row)]


def test_a_readme_without_marks_is_named(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("# Top\n<!-- red pen -->\n")
    monkeypatch.setattr(front, "ROOT", tmp_path)
    monkeypatch.setattr(front, "_contents", lambda: "")
    with pytest.raises(ClaimError, match=r"<!-- end of red pen --> are missing"):
        front.write()
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.slow
def test_links_that_need_an_address_wait_for_one(tmp_path, monkeypatch):
    shown = "\n".join(front.pages().values())
    assert front.address() == "" and heads.PLACEHOLDER not in shown and "colab." not in shown
    monkeypatch.setattr(heads, "ROOT", tmp_path)
    project = '[project.urls]\nRepository = "https://github.com/a/b/"\n'
    (tmp_path / "pyproject.toml").write_text(project)
    assert front.address() == "https://github.com/a/b"
    links = front._elsewhere(ROOT / "notebooks" / "01.ipynb")
    assert "(https://colab.research.google.com/github/a/b/blob/main/notebooks/01.ipynb)" in links
    assert "src=https://github.com/a/b/blob/main/notebooks/01.ipynb)" in links


def test_every_link_of_the_front_page_leads_somewhere():
    for name in ("README.md", "VERDICTS.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#]+)\)|(?:src|href)=\"([^\"#]+)", text)
        places = {one or other for one, other in links}
        gone = [p for p in places if "://" not in p and not (ROOT / p).exists()]
        assert places and not gone


def test_documents_name_files_and_functions_that_exist():
    """All but those that tell of the past."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True)
    pages = {name: (ROOT / name).read_text() for name in listed.stdout.split()}
    missing = []
    for name in sorted(set(pages) - {"LABBOOK.md", "CHANGELOG.md", "benchmarks/MUTANTS.md"}):
        files = re.findall(r"\b((?:helpers|tests|benchmarks|data)/[\w/]+\.\w+)", pages[name])
        missing += [(name, file) for file in files if not (ROOT / file).exists()]
        for module, functions in re.findall(
            r"^from (helpers[\w.]*) import (.+)$", pages[name], re.M
        ):
            wanted = [function.strip() for function in functions.split(",")]
            missing += [(name, f) for f in wanted if not hasattr(import_module(module), f)]
    assert not missing


def test_the_command_writes_all_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(front, "write", lambda: None)
    monkeypatch.setattr(front, "build_folder", lambda: tmp_path)
    monkeypatch.setattr(front.shutil, "which", lambda _: None)
    assert cli.main(["recap"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'recap.html'}\n"


def test_a_browser_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(front.shutil, "which", lambda _: str(shutil.os.devnull))
    with pytest.raises(NotebookError, match=r"did not print .*recap\.html: print it yourself"):
        front.pdf(tmp_path / "recap.html", tmp_path / "recap.pdf")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_it_prints_on_one_sheet_of_a4_as_text(tmp_path):
    html = tmp_path / "recap.html"
    html.write_text(redpen.page(find_all()), encoding="utf-8")
    printed = front.pdf(html, tmp_path / "recap.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    (box,) = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert [float(side) for side in box] == pytest.approx([595, 842], abs=1)
    assert b"/Subtype /Image" not in printed and b"/ToUnicode" in printed


def test_answers_that_call_a_test_undecided_are_right():
    """No number can be filled in for a word: these stand in the registry as they are."""
    found = {one.verdict.claim.id: one.verdict.outcomes for one, _ in find_all().values()}
    here = {(claim, o.test.name): o.verdict for claim, all_of in found.items() for o in all_of}
    again = replication.read().set_index(["claim", "test"])["verdict_again"]
    said = {
        ("cnn.one-filter-one-pattern", "second-layer-arranged"),
        ("reg.dropout-generalises", "images-250"),
        ("norm.cnn-batchnorm", "depth-16"),
        ("norm.cnn-batchnorm", "depth-32"),
        ("norm.rnn-layernorm-not-batchnorm", "best-gains-rnn-112"),
        ("lstm.gate-output", "asked"),
        ("lstm.gate-output", "reset-sum"),
        ("arch.order-critical", "came-first-64"),
        ("reg.dropout-coadaptation", "delete-50"),
        ("opt.lr-too-large", "rnn-diverges"),
        ("take.business-decision", "fifth-wrong"),
    }
    said_of_other_seeds = {
        ("cnn.learn-filters", "both-digits"),
        ("cnn.learn-filters", "first-garments"),
        ("norm.cnn-batchnorm-not-layernorm", "layernorm-32"),
    }
    assert {here[one] for one in said} == {again[one] for one in said_of_other_seeds}
    assert {here[one] for one in said} == {"undecided"}
    speaking = {name for name, claim in registry().items() if "undecided" in claim.answer}
    assert speaking == {name for name, _ in said | said_of_other_seeds}
    for name, _ in said_of_other_seeds:
        assert "other seeds" in registry()[name].answer
