"""For those who teach: notebooks without answers, exercises for nbgrader, what goes wrong.

`make student` writes build/student. The checkers need right functions to compare with, so whoever
reads helpers/course/exercises finds the solutions there: what is handed out asks for honesty.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.commands import heads, openings
from helpers.commands.runner import KEPT_METADATA, normalise
from helpers.course.exercises import EXERCISES, Code, Quick
from helpers.evidence.files import ROOT, build_folder, write_whole

TEACHING = ROOT / "notebooks" / "TEACHING.md"
ANSWERS = ("Answer", "Solution", "What that means")  # how the summary of a fold begins
FOLD = re.compile(r"<details><summary>([^<]*)</summary>.*?</details>\n*", re.S)
GUESS = re.compile(r"^(my_\w+) = [^#\n]*?(\s*#.*)?$", re.M)
HELP = re.compile(r"^.*`exercises\.hint\(.*\n*", re.M)  # it names the solutions, too
ONLY_HINTS = "`exercises.hint(...)` with the name that stands in `exercises.check` helps.\n\n"
CHECK = re.compile(r'^exercises\.check\("([^"]+)", (\w+)\)\n?', re.M)
IMPORTS = """\
import torch
from torch.nn import functional as F

from helpers.course.exercises import EXERCISES"""
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def write(paths: Sequence[Path]) -> Path:
    """Write the notebooks anew, as students get them, and their exercises; returns the folder.

    Exercises go to nbgrader/source, a folder an assignment, as nbgrader wants it; what nbgrader
    has made beside it stays.
    """
    folder = build_folder() / "student"
    for path in paths:
        notebook = heads.read(path)
        assigned = folder / "nbgrader" / "source" / path.stem / path.name
        write_whole(assigned, nbformat.writes(assignment(notebook)))
        write_whole(folder / path.name, nbformat.writes(without_answers(notebook)))
    return folder


def without_answers(notebook: NotebookNode) -> NotebookNode:
    """A notebook without folded answers and without outputs."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            given = FOLD.sub(lambda f: "" if f[1].startswith(ANSWERS) else f[0], cell.source)
            cell.source = HELP.sub(ONLY_HINTS, given)
            continue
        cell.source, cell.outputs = GUESS.sub(r"\1 = None\2", cell.source), []
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    return normalise(notebook)


# --- nbgrader -----------------------------------------------------------------------------------


def assignment(notebook: NotebookNode) -> NotebookNode:
    """The exercises at the end of a notebook as the instructor's version of an assignment.

    Each is a cell to be solved, with a solution that nbgrader takes out, and a locked cell with a
    point, which the checker decides.
    """
    start = max(
        (n for n, cell in enumerate(notebook.cells) if "## Exercises" in cell.source), default=0
    )
    first = next(cell for cell in notebook.cells if heads.MARK in cell.source)
    title = re.findall(r"^# (.*)$", notebook.cells[0].source, re.M)[0]
    cells = [
        new_markdown_cell(f"# {title}\n\nExercises"),
        new_code_cell(first.source),
        new_code_cell(IMPORTS),
    ]
    for prompt, cell in zip(notebook.cells[start:], notebook.cells[start + 1 :], strict=False):
        if asked := CHECK.findall(cell.source):
            question = HELP.sub("", prompt.source.partition("## Exercises\n\n")[2] or prompt.source)
            cells.append(new_markdown_cell(question))
            cells += _graded(CHECK.sub("", cell.source).strip(), asked)
    graded = new_notebook(cells=cells, metadata=KEPT_METADATA)
    for number, cell in enumerate(graded.cells):
        cell.id = f"cell-{number:03d}"
    return graded


def _graded(stub: str, asked: list[tuple[str, str]]) -> Iterator[NotebookNode]:
    """A cell to be solved, and a test for each exercise and the name its answer has."""
    named = asked[0][0].replace(".", "-")
    yield new_code_cell(_solved(stub, asked), metadata=_metadata(named, solution=True))
    for exercise, name in asked:
        test = f'fault = EXERCISES["{exercise}"].fault({name})\nassert fault is None, fault'
        metadata = _metadata(f"{exercise.replace('.', '-')}-test", solution=False)
        yield new_code_cell(test, metadata=metadata)


def _solved(stub: str, asked: list[tuple[str, str]]) -> str:
    """A stub with its solution, between the marks at which nbgrader cuts it out again."""
    exercise = EXERCISES[asked[0][0]]
    if not isinstance(exercise, Code):
        given = [(name, EXERCISES[exercise]) for exercise, name in asked]
        lines = [f"{name} = {one.answer!r}" for name, one in given if isinstance(one, Quick)]
        return "\n".join([stub, BEGIN, *lines, END])
    head, arguments = re.findall(r"^(def \w+\((.*)\):) \.\.\.$", stub)[0]
    module, name = exercise.shown.__module__, exercise.shown.__name__
    lines = [f"from {module} import {name} as right", "", f"return right({arguments})"]
    return "\n    ".join([head, BEGIN, *lines, END])


def _metadata(name: str, solution: bool) -> dict:
    """What nbgrader, in the third version of its format, wants to know of a cell."""
    nbgrader = {"schema_version": 3, "grade_id": name, "task": False}
    nbgrader |= {"solution": solution, "grade": not solution, "locked": not solution}
    return {"nbgrader": nbgrader if solution else nbgrader | {"points": 1}}


# --- what goes wrong ----------------------------------------------------------------------------


def with_mistakes(page: str) -> str:
    """The page on teaching with the mistakes that the checkers know, in place of those it has."""
    return openings.with_block(page, "mistakes", "\n\n".join(_mistakes()), r"^Mistakes that .*$")


def _mistakes() -> Iterator[str]:
    """The mistakes of every notebook, exercise by exercise."""
    for notebook in sorted(openings.openings()):
        yield f"### {notebook[:2]}"
        for name, exercise in EXERCISES.items():
            if name.startswith(f"{notebook[:2]}.") and exercise.mistakes:
                yield "\n".join([f"`{name}`\n", *(f"- {text}" for text in exercise.mistakes)])


def renew() -> None:
    """Write the checkers' mistakes into the page on teaching."""
    write_whole(TEACHING, with_mistakes(TEACHING.read_text(encoding="utf-8")))
