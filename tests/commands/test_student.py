"""Notebooks without answers, exercises for nbgrader, a page on teaching that is current."""

import re
from collections import Counter

import nbformat
import pytest

from helpers.commands import openings, student
from helpers.commands.course import notebooks
from helpers.course.exercises import EXERCISES

# How folds that stay begin; a new one is put here, or begins as an answer does.
NOT_ANSWERS = ("For the curious", "The fine print", "Fine print")


@pytest.fixture(params=notebooks(), ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def sources(notebook, kind):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == kind)


def test_every_fold_is_an_answer_or_known_not_to_be_one(notebook):
    summaries = re.findall(r"<summary>([^<]*)</summary>", sources(notebook, "markdown"))
    assert all(one.startswith((*student.ANSWERS, *NOT_ANSWERS)) for one in summaries)


def test_answers_are_out_and_folds_are_closed(notebook):
    before = sources(notebook, "markdown")
    given = student.without_answers(notebook)
    left = re.findall(r"<summary>([^<]*)</summary>", sources(given, "markdown"))
    kept = re.findall(r"<summary>([^<]*)</summary>", before)
    assert left == [one for one in kept if one.startswith(NOT_ANSWERS)]
    assert "exercises.solution" not in sources(given, "markdown")
    for cell in given.cells:
        tags = cell.metadata.get("tags", [])
        assert not cell.get("outputs")
        assert "folded" not in tags or cell.metadata["jupyter"]["source_hidden"]


def test_guesses_are_taken_back():
    written = 'my_guess = 3.5  # points\nmy_word = "open"\nlab.judge(guess=my_guess)'
    cell = nbformat.v4.new_code_cell(written)
    (given,) = student.without_answers(nbformat.v4.new_notebook(cells=[cell])).cells
    assert given.source.splitlines()[:2] == ["my_guess = None  # points", "my_word = None"]
    assert given.source.endswith("guess=my_guess)")


def test_the_rest_of_a_notebook_is_as_it_was(notebook):
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    words = Counter(student.FOLD.sub("", sources(notebook, "markdown")).split())
    given = student.without_answers(notebook)
    assert [cell.source for cell in given.cells if cell.cell_type == "code"] == code
    assert sum((words - Counter(sources(given, "markdown").split())).values()) < 20  # of the hints


# --- nbgrader -----------------------------------------------------------------------------------


@pytest.fixture
def graded(notebook):
    return student.assignment(notebook)


def marked(graded, what):
    return [cell for cell in graded.cells if cell.metadata.get("nbgrader", {}).get(what)]


@pytest.mark.slow
def test_every_exercise_at_the_end_is_asked_and_marked(notebook, graded):
    (start,) = [n for n, cell in enumerate(notebook.cells) if "## Exercises" in cell.source]
    end = "\n".join(cell.source for cell in notebook.cells[start:])
    tests = [re.search(r'EXERCISES\["(.*?)"\]', cell.source)[1] for cell in marked(graded, "grade")]
    assert tests == re.findall(r'exercises\.check\("([^"]+)"', end) and len(tests) >= 4
    names = [c.metadata["nbgrader"]["grade_id"] for c in graded.cells if "nbgrader" in c.metadata]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[\w-]+", one) for one in names)


@pytest.mark.slow
def test_the_solution_gets_every_point_and_what_students_start_with_none(graded):
    solved: dict = {}
    exec(student.IMPORTS, solved)
    for cell in marked(graded, "solution"):
        exec(cell.source, solved)
    started = dict(solved)
    for cell in marked(graded, "solution"):
        stub = re.sub(rf"{student.BEGIN}.*?{student.END}", "pass", cell.source, flags=re.S)
        exec(stub, started)
    for cell in marked(graded, "grade"):
        exec(cell.source, solved)
        with pytest.raises(AssertionError):
            exec(cell.source, started)


def test_what_nbgrader_has_made_beside_the_assignments_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(student, "build_folder", lambda: tmp_path)
    first = notebooks()[:1]
    source = student.write(first) / "nbgrader" / "source"
    (source.parent / "gradebook.db").write_text("grades")
    (source / first[0].stem / first[0].name).write_text("old")
    student.write(first)
    assert (source.parent / "gradebook.db").read_text() == "grades"
    assert (source / first[0].stem / first[0].name).read_text().startswith("{")


def test_nbgrader_takes_it(graded):
    pytest.importorskip("nbgrader.nbgraderformat").MetadataValidator().validate_nb(graded)


# --- teaching -----------------------------------------------------------------------------------


def test_the_page_on_teaching_is_what_make_refresh_would_write():
    page = student.TEACHING.read_text()
    assert student.with_mistakes(page) == page  # python -m helpers heads
    second = {name[:2] for name in openings.openings()}
    known = {name for name, one in EXERCISES.items() if one.mistakes and name[:2] in second}
    assert set(re.findall(r"^`([\w.-]+)`$", page, re.M)) == known


def test_the_page_on_teaching_plans_two_hours_for_each_notebook():
    page = student.TEACHING.read_text()
    plans = re.findall(r"^### (\d\d) · .*\n((?:\n|\|.*\n)+)", page, re.M)
    for number, plan in plans:
        assert sum(map(int, re.findall(r"^\| (\d+) \|", plan, re.M))) == 120, number
    assert sorted(dict(plans)) == sorted(path.stem[:2] for path in notebooks())
