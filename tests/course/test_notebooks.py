"""The anatomy of the notebooks: what every one of them promises its reader."""

import base64
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html import escape
from pathlib import Path

import nbformat
import pytest
from anatomy import complaints

import helpers
from helpers.commands import heads, openings
from helpers.commands.course import closing, notebooks
from helpers.commands.runner import normalise
from helpers.course import exercises
from helpers.evidence import findings, replication, store
from helpers.evidence.files import ROOT
from helpers.evidence.registry import registry

NOTEBOOKS = notebooks()
PARAMETERS = ["profile", "seeds", "device"]
EVIDENCE = r"([\w.-]+): \d+ stored (?:networks, (?:\d+ of them|none) replayed|repetitions)"


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


def verdict_lines(notebook):
    """The stable lines of all verdicts that a notebook prints, in order."""
    texts = [output.get("data", {}).get("text/plain", "") for output in outputs(notebook)]
    return [text for text in texts if text.split(":")[0] in registry()]


def judged(notebook):
    return re.findall(r'lab\.judge\(\s*"([^"]+)"', "\n".join(c.source for c in code(notebook)))


def test_every_cell_was_run_once_in_order_without_error(notebook):
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [o for o in outputs(notebook) if o.output_type == "error"]


@pytest.mark.slow
def test_stored_form_is_normal(notebook, path):
    assert normalise(nbformat.read(path, as_version=4)) == notebook


def test_every_notebook_has_an_opening():
    assert set(openings.openings()) == {path.stem for path in NOTEBOOKS}


@pytest.mark.slow
def test_a_notebook_has_its_anatomy(notebook):
    assert list(complaints(notebook)) == []


@pytest.mark.slow
def test_the_opening_is_what_make_refresh_would_write(path):
    opening, notebook = openings.openings()[path.stem], nbformat.read(path, as_version=4)
    assert openings.write(nbformat.read(path, as_version=4), opening) == notebook
    assert not re.search(r"about 0 (s|minutes)", notebook.cells[0].source)
    for sentence in (*opening.found, *opening.remember):
        assert re.search(r"\d", openings.filled(sentence))


def test_head_has_its_title_and_links(notebook, path):
    assert re.match(rf"# {path.stem[:2]} · ", notebook.cells[0].source)
    lines = notebook.cells[0].source.splitlines()
    assert lines.count(heads.links(heads.repository(), path.name)) == 1  # python -m helpers heads


def test_set_up_is_the_same_in_all_and_parameters_are_tagged(notebook):
    assert code(notebook)[0].source == heads.set_up(heads.repository())  # python -m helpers heads
    tagged = [c for c in code(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert re.findall(r"^(\w+) = ", tagged[0].source, re.M) == PARAMETERS


def test_a_fork_sets_its_address_once(notebook, path):
    address = "https://github.com/somebody/a-fork"
    forked = heads.write(notebook, path.name, address)
    assert heads.PLACEHOLDER not in "".join(cell.source for cell in forked.cells)
    page = f"somebody/a-fork/blob/main/notebooks/{path.name})"
    assert f"(https://colab.research.google.com/github/{page}" in forked.cells[0].source
    archive = f'ARCHIVE = "{address}/archive/refs/heads/main.zip"'
    assert archive in code(forked)[0].source.splitlines()


def set_up(folder, kaggle, before="", address=heads.PLACEHOLDER, given=None, **environment):
    """Run the set-up cell in a folder, after what another cell has done `before` it."""
    source = heads.set_up(address, **given or {}) + "\nprint(roots[0])"
    source = source.replace("/kaggle/input", str(kaggle))
    command = [sys.executable, "-c", f"{before}\n{source}"]
    env = os.environ | environment
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)


THIS = f'__version__ = "{helpers.__version__}"'


def copy_of_the_course(folder, version=THIS):
    """As much of one as the set-up cell looks at."""
    for file, text in {"data/registry/claims.toml": "", "helpers/__init__.py": version}.items():
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks", ROOT / "data" / "registry"])
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


@pytest.mark.slow
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
    assert set_up(ROOT, tmp_path, heads.set_up(heads.PLACEHOLDER)).stdout.strip() == str(ROOT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "cure"),
    [
        ({}, "take the notebook and both folders from one copy of the repository"),
        (
            {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"},
            "under Input, update the dataset or attach the one published with it, and restart",
        ),
    ],
)
@pytest.mark.parametrize("version", ["", "0.1.0", "99.0"])
def test_set_up_refuses_another_version_in_one_sentence(version, how, cure, tmp_path):
    attached = tmp_path / "input" / "course"
    copy_of_the_course(attached, f"__version__ = {version!r}" if version else "")
    (tmp_path / "working").mkdir()
    said = set_up(tmp_path / "working", tmp_path / "input", **how).stderr.splitlines()[-1]
    assert said == (
        f"AssertionError: this notebook is of version {helpers.__version__} of the course, "
        f"helpers/ and data/ in {attached} are of {version or 'an earlier one'}: {cure}"
    )


@pytest.mark.parametrize("there", ["", "+0a1b2c3d", "+ffffffff"])
def test_set_up_of_a_published_notebook_knows_an_older_dataset_of_the_same_version(there, tmp_path):
    """One from the repository takes any of its version."""
    copy_of_the_course(tmp_path, f'__version__ = "{helpers.__version__}{there}"')
    (tmp_path / "notebooks").mkdir()
    published = {"version": f"{helpers.__version__}+0a1b2c3d"}
    done = set_up(tmp_path / "notebooks", tmp_path / "none", given=published)
    assert (done.returncode == 0) == (there == "+0a1b2c3d")
    assert set_up(tmp_path / "notebooks", tmp_path / "none").returncode == 0


def older(python=(3, 11, 0), torch="2.10.0"):
    """What makes Python and PyTorch tell these versions."""
    return f"""import sys, importlib.metadata
sys.version_info, sys.version = {python}, "{".".join(map(str, python))} (main)"
importlib.metadata.version = lambda name: {torch!r}"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"python": (3, 10, 14)}, "Python 3.11 or later is needed, and this is 3.10.14: take"),
        ({"python": (3, 9, 2)}, "Python 3.11 or later is needed, and this is 3.9.2: take"),
        ({"torch": "2.9.1+cpu"}, "PyTorch 2.10 or later is needed, and this is 2.9.1+cpu: python"),
        ({"torch": "1.13.1"}, "PyTorch 2.10 or later is needed, and this is 1.13.1: python -m pip"),
    ],
)
def test_set_up_names_what_is_too_old(versions, message, tmp_path):
    said = set_up(ROOT, tmp_path, older(**versions)).stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: {message}")


@pytest.mark.slow
@pytest.mark.parametrize("torch", ["2.10.0", "2.10.0+cu128", "2.11.0.dev20260101", "3.0.1"])
def test_set_up_takes_what_is_new_enough(torch, tmp_path):
    assert set_up(ROOT, tmp_path, older((3, 11, 0), torch)).stdout.strip() == str(ROOT)


def test_the_oldest_versions_are_those_that_are_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = [".".join(map(str, version)) for version in (helpers.PYTHON, helpers.TORCH)]
    assert project["requires-python"].startswith(f">={oldest[0]},")
    assert f"torch>={oldest[1]}" in (ROOT / "requirements.txt").read_text().splitlines()


COLAB = "import sys; sys.modules['google.colab'] = sys"
NO_ADDRESS = "in a cell above this one, run !git clone --depth 1 with the repository's address"


@pytest.mark.parametrize(
    ("how", "cure"),
    [
        ({}, "open this notebook inside the repository (README)"),
        (
            {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"},
            "click Add Input, attach the dataset phase-03-measured, and run this cell again",
        ),
        ({"before": COLAB}, NO_ADDRESS),
    ],
)
def test_set_up_without_the_course_says_what_to_do(how, cure, tmp_path):
    result = set_up(tmp_path, tmp_path / "input", **how)
    (said,) = [line for line in result.stderr.splitlines() if line.startswith("AssertionError: ")]
    assert said == f"AssertionError: no helpers/ and data/ near here: {cure}"


@pytest.fixture
def archive(tmp_path):
    """An address below which a fork's archive is, as GitHub packs it: in a folder of its own."""
    copy_of_the_course(tmp_path / "packed" / "a-fork-main")
    place = tmp_path / "served" / "archive" / "refs" / "heads" / "main"
    shutil.make_archive(str(place), "zip", tmp_path / "packed")
    return (tmp_path / "served").as_uri()


@pytest.mark.slow
def test_set_up_fetches_the_course_on_colab_and_only_there_and_only_once(archive, tmp_path):
    content = tmp_path / "content"
    content.mkdir()
    assert set_up(content, tmp_path / "input", address=archive).returncode == 1
    first = set_up(content, tmp_path / "input", COLAB, archive).stdout.splitlines()
    assert first == [
        f"fetching {archive}/archive/refs/heads/main.zip",
        str(content / "a-fork-main"),
    ]
    again = set_up(content, tmp_path / "input", COLAB, archive).stdout.splitlines()
    assert again == [str(content / "a-fork-main")]


@pytest.mark.parametrize("found", [None, b"<html>Not here</html>"], ids=["nothing", "a page"])
def test_set_up_says_that_the_course_could_not_be_fetched(found, tmp_path):
    place = tmp_path / "archive" / "refs" / "heads" / "main.zip"
    place.parent.mkdir(parents=True)
    if found:
        place.write_bytes(found)
    result = set_up(tmp_path, tmp_path / "input", COLAB, tmp_path.as_uri())
    said = result.stderr.splitlines()[-1]
    assert said.startswith("AssertionError: no helpers/ and data/ near here: file:")
    assert "could not be fetched" in said and said.endswith(NO_ADDRESS)


def test_every_figure_is_described_as_printed_and_fits_the_page(notebook):
    for output in outputs(notebook):
        page = output.get("data", {}).get("text/html", "")
        if page.startswith("<figure"):
            assert f'<img alt="{escape(output.data["text/plain"])}"' in page
            drawn = re.search(r"data:image/svg\+xml;base64,([^\"]+)", page)[1]
            width = re.search(r'<svg width="([\d.]+)pt"', base64.b64decode(drawn).decode())
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
    assert len(verdict_lines(notebook)) == len(registered)


def test_answers_are_left_to_the_reader(notebook):
    source = "\n".join(cell.source for cell in code(notebook))
    names = re.findall(r'exercises\.check\("([^"]+)"', source)
    assert set(names) <= set(exercises.EXERCISES) and names
    assert set(re.findall(r"^my_\w+ = (\S+)", source, re.M)) == {"None"}


def test_nothing_is_installed_or_downloaded(notebook):
    source = "\n".join(cell.source for cell in code(notebook)[1:])  # but for Colab's set-up
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
    assert sorted(repr(one.verdict) for one in found) == sorted(verdict_lines(notebook))


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
    known = {path.stem for path in NOTEBOOKS} | {replication.place().name}
    assert {p.name for p in store.reference().iterdir()} <= known
    kept = {file.stem for file in store.reference().glob("*/findings/*.json")}
    assert kept == set(registry())


def test_the_evidence_is_small():
    sizes = [file.stat().st_size for file in store.reference().rglob("*.json")]
    assert sum(sizes) < 8_000_000
