"""The anatomy of the notebooks: what every one of them promises its reader."""

import re
import subprocess
import sys
import tomllib
from html import escape
from pathlib import Path

import nbformat
import pytest
from anatomy import complaints

import helpers
from helpers.commands import openings
from helpers.commands.runner import closing, figure, normalise, verdict_lines
from helpers.course import exercises, summary
from helpers.evidence import findings, store
from helpers.evidence.registry import registry

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
PARAMETERS = ["profile", "seeds", "device"]
SECOND_FORM = [path for path in NOTEBOOKS if path.stem in openings.openings()]
NOT_YET = {  # notebooks of the first form: this list only shrinks
    "04_lstm_and_gru_gates",
    "06_lstm_sequence_prediction",
    "07_cnn_vs_rnn",
    "08_dropout_and_normalization",
    "09_learning_rate_sweeps",
    "11_phase_summary",
}
EVIDENCE = r"([\w.-]+): \d+ (?:networks of evidence, (?:\d+|not) replayed|repetitions of evidence)"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def judged(notebook):
    return re.findall(r'lab\.judge\(\s*"([^"]+)"', "\n".join(c.source for c in code(notebook)))


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_every_cell_was_run_once_in_order_without_error(notebook):
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [o for o in outputs(notebook) if o.output_type == "error"]


def test_stored_form_is_normal(notebook, path):
    assert normalise(nbformat.read(path, as_version=4)) == notebook
    assert path.stat().st_size < 600_000


def test_a_notebook_has_the_second_form_or_is_known_not_to_have_it_yet():
    second = set(openings.openings())
    assert not second & NOT_YET
    assert second | NOT_YET == {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", SECOND_FORM, ids=lambda path: path.stem)
def test_the_second_form_has_its_anatomy(path):
    assert list(complaints(nbformat.read(path, as_version=4))) == []


@pytest.mark.parametrize("path", SECOND_FORM, ids=lambda path: path.stem)
def test_the_opening_is_what_make_refresh_would_write(path):
    opening, notebook = openings.openings()[path.stem], nbformat.read(path, as_version=4)
    assert openings.write(nbformat.read(path, as_version=4), opening) == notebook
    assert not re.search(r"about 0 (s|minutes)", notebook.cells[0].source)
    for sentence in (*opening.found, *opening.remember):
        assert re.search(r"\d", openings.filled(sentence))


def test_head_has_title_and_badges_that_lead_to_the_notebook(notebook, path):
    head = notebook.cells[0].source
    assert re.match(rf"# {path.stem[:2]} · ", head)
    links = re.findall(r"\]\((https://(?:kaggle|colab)[^)]+)\)", head)
    blob = f"{REPOSITORY.removeprefix('https://github.com/')}/blob/main/notebooks/{path.name}"
    assert len(links) == 2 and all(link.endswith(blob) for link in links)


def test_set_up_is_the_same_in_all_and_parameters_are_tagged(notebook):
    first = nbformat.read(NOTEBOOKS[0], as_version=4)
    assert code(notebook)[0].source == code(first)[0].source
    tagged = [c for c in code(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert re.findall(r"^(\w+) = ", tagged[0].source, re.M) == PARAMETERS


def set_up(folder, kaggle, before=""):
    """Run the set-up cell in a folder, after what another cell has done `before` it."""
    source = code(nbformat.read(NOTEBOOKS[0], as_version=4))[0].source
    source = source.replace("/kaggle/input", str(kaggle)) + "\nprint(roots[0])"
    command = [sys.executable, "-c", f"{before}\n{source}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def copy_of_the_course(folder):
    """As much of one as the set-up cell looks at."""
    for file in ("data/registry/claims.toml", "helpers/__init__.py"):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).touch()
    return folder


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks"])
def test_set_up_finds_the_repository_nearby(folder, tmp_path):
    assert set_up(folder, tmp_path).stdout.strip() == str(ROOT)


@pytest.mark.parametrize("mount", ["course", "datasets/owner/course", "course/phase-03-main"])
def test_set_up_finds_the_repository_on_kaggle(mount, tmp_path):
    working, attached = tmp_path / "working", copy_of_the_course(tmp_path / "input" / mount)
    working.mkdir()
    assert set_up(working, tmp_path / "input").stdout.strip() == str(attached)


def test_set_up_finds_a_clone_inside_the_working_folder(tmp_path):
    clone = copy_of_the_course(tmp_path / "course")
    assert set_up(tmp_path, tmp_path / "input").stdout.strip() == str(clone)


def test_set_up_passes_by_what_it_may_not_read_and_names_the_copy_it_uses(tmp_path):
    for name in ("one", "two"):
        copy_of_the_course(tmp_path / name)
    (tmp_path / "closed").mkdir(mode=0)
    said = set_up(tmp_path, tmp_path / "input").stdout.splitlines()
    assert said[0].startswith("several copies of the course are near here; this one is used: ")
    assert said[0].endswith(said[-1]) and Path(said[-1]).name in ("one", "two")


OTHERS = {"a package": "helpers/__init__.py", "a file": "helpers.py", "a folder": "helpers/x.py"}


@pytest.mark.parametrize("file", OTHERS.values(), ids=OTHERS)
def test_set_up_passes_by_other_helpers_but_for_those_already_imported(file, tmp_path):
    other = tmp_path / "other" / file
    other.parent.mkdir(parents=True)
    other.touch()
    installed = f"import sys; sys.path.insert(0, {str(tmp_path / 'other')!r})"
    assert set_up(ROOT / "notebooks", tmp_path, installed).stdout.strip() == str(ROOT)
    result = set_up(ROOT / "notebooks", tmp_path, f"{installed}; import helpers")
    said = result.stderr.splitlines()[-1]
    assert "another package called helpers was imported before" in said and result.returncode == 1
    assert "restart the kernel" in said and (str(other) in said or file == OTHERS["a folder"])


def test_set_up_refuses_the_helpers_of_another_copy(tmp_path):
    copy = copy_of_the_course(tmp_path / "copy")
    before = f"import sys; sys.path.insert(0, {str(copy)!r}); import helpers"
    said = set_up(ROOT, tmp_path, before).stderr.splitlines()[-1]
    assert f"({copy / 'helpers' / '__init__.py'}): restart the kernel" in said


def test_set_up_may_run_again(tmp_path):
    source = code(nbformat.read(NOTEBOOKS[0], as_version=4))[0].source
    assert set_up(ROOT, tmp_path, source).stdout.strip() == str(ROOT)


def older(python=(3, 11, 0), torch="2.10.0"):
    """What makes Python and PyTorch tell these versions."""
    return f"""import sys, importlib.metadata
sys.version_info, sys.version = {python}, "{".".join(map(str, python))} (main)"
importlib.metadata.version = lambda name: {torch!r}"""


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"python": (3, 10, 14)}, "Python 3.11 or later is needed, and this is 3.10.14: choose"),
        ({"python": (3, 9, 2)}, "Python 3.11 or later is needed, and this is 3.9.2: choose"),
        ({"torch": "2.9.1+cpu"}, "PyTorch 2.10 or later is needed, and this is 2.9.1+cpu: python"),
        ({"torch": "1.13.1"}, "PyTorch 2.10 or later is needed, and this is 1.13.1: python -m pip"),
    ],
)
def test_set_up_names_what_is_too_old(versions, message, tmp_path):
    said = set_up(ROOT, tmp_path, older(**versions)).stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: {message}")


@pytest.mark.parametrize("torch", ["2.10.0", "2.10.0+cu128", "2.11.0.dev20260101", "3.0.1"])
def test_set_up_takes_what_is_new_enough(torch, tmp_path):
    assert set_up(ROOT, tmp_path, older((3, 11, 0), torch)).stdout.strip() == str(ROOT)


def test_the_oldest_versions_are_those_that_are_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = [".".join(map(str, version)) for version in (helpers.PYTHON, helpers.TORCH)]
    assert project["requires-python"].startswith(f">={oldest[0]},")
    assert f"torch>={oldest[1]}" in (ROOT / "requirements.txt").read_text().splitlines()


def test_set_up_elsewhere_says_what_to_do(tmp_path):
    result = set_up(tmp_path, tmp_path / "input")
    assert result.returncode == 1
    assert "open this notebook inside the repository" in result.stderr


def test_every_figure_has_alt_text_and_fits_the_page(notebook):
    for output in outputs(notebook):
        page = output.get("data", {}).get("text/html", "")
        assert page.count("<img ") == page.count("<img alt=")
        if page.startswith("<figure"):
            alt = output.data["text/plain"]
            assert len(alt) > 20 and f'<img alt="{escape(alt)}"' in page
            width = re.search(r'<svg width="([\d.]+)pt"', figure(notebook, alt).decode())
            assert float(width[1]) <= 72 * 9.2


def test_outputs_are_compared_and_every_verdict_is(notebook):
    with_output = [cell for cell in code(notebook) if cell.outputs]
    ignored = [c for c in with_output if "nbval-ignore-output" in c.metadata.get("tags", [])]
    assert len(ignored) <= 0.3 * len(with_output)
    assert not [cell for cell in ignored if "lab.judge" in cell.source]
    assert not [cell for cell in code(notebook) if "nbval-skip" in str(cell.metadata)]


def test_every_claim_of_the_notebook_is_judged_and_nothing_else(notebook, path):
    registered = {c.id for c in registry().values() if c.notebook == path.stem}
    assert sorted(judged(notebook)) == sorted(registered)
    words = closing(notebook)["verdicts"]
    assert set(words) == registered and "not run" not in words.values()
    assert len(verdict_lines(notebook, registry())) == len(registered)


def test_answers_are_left_to_the_reader(notebook):
    source = "\n".join(cell.source for cell in code(notebook))
    names = re.findall(r'exercises\.check\("([^"]+)"', source)
    assert set(names) <= set(exercises.EXERCISES) and names
    assert set(re.findall(r"^my_\w+ = (\S+)", source, re.M)) == {"None"}


def test_nothing_is_installed_or_downloaded(notebook):
    source = "\n".join(cell.source for cell in code(notebook))
    assert not re.search(r"pip |wget|curl|http|download=True|^[!%]", source, re.M)


def test_readme_lists_every_notebook(path):
    assert f"(notebooks/{path.name})" in (ROOT / "README.md").read_text()


def test_predictions_are_asked_for_every_claim_before_it_is_judged(notebook):
    cells = [cell.source for cell in code(notebook)]
    if not judged(notebook):  # the first, which settles no claim
        assert not any("lab.predict(" in source for source in cells)
        return
    (asked,) = [k for k, source in enumerate(cells) if source.startswith("lab.predict(")]
    assert set(re.findall(r'"([^"]+)": None', cells[asked])) == set(judged(notebook))
    assert asked < min(k for k, source in enumerate(cells) if "lab.judge(" in source)


def test_the_findings_are_what_the_notebook_prints(notebook, path):
    found = [findings.read(findings.place(registry()[name])) for name in judged(notebook)]
    assert sorted(repr(one.verdict) for one in found) == sorted(verdict_lines(notebook, registry()))


def test_every_answer_belongs_to_its_verdict(notebook):
    for name in judged(notebook):
        verdict = findings.read(findings.place(registry()[name])).verdict
        assert re.search(r"\d", verdict.answer) and len(verdict.answer.split()) <= 25


def test_every_experiment_has_its_evidence_and_no_other_is_kept(notebook, path):
    """Names that a cell computes, as in f"adding-{length}", stand as patterns."""
    source = "\n".join(cell.source for cell in code(notebook))
    kept = {file.stem for file in (store.reference() / path.stem).glob("*.json")}
    printed = {
        match[1]
        for output in outputs(notebook)
        if (match := re.match(EVIDENCE, output.get("data", {}).get("text/plain", "")))
    }
    assert kept == printed and ("lab.experiment(" in source or "lab.timings(" in source or not kept)


def test_nothing_is_kept_for_notebooks_or_claims_that_are_gone():
    assert {p.name for p in store.reference().iterdir()} <= {path.stem for path in NOTEBOOKS}
    kept = {file.stem for file in store.reference().glob("*/findings/*.json")}
    assert kept == set(registry())


def test_the_evidence_is_small():
    sizes = [file.stat().st_size for file in store.reference().rglob("*.json")]
    assert sum(sizes) < 8_000_000


def test_readme_shows_the_reference_verdicts_and_figure():
    readme = (ROOT / "README.md").read_text()
    table = summary.markdown(summary.find_all())
    assert f"{summary.BEGIN}\n{table}{summary.END}" in readme
    first = ROOT / "notebooks" / "01_cnn_filters.ipynb"
    shown = (ROOT / ".github" / "random_filters.svg").read_bytes()
    assert shown == figure(nbformat.read(first, as_version=4), "A random first layer costs")
