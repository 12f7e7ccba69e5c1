"""Every code cell is run twice in a row, as a reader does who presses Shift and Enter again."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from helpers.commands.course import notebooks

pytestmark = pytest.mark.nightly

# The second time an experiment is not trained again, which its own tests look at; what is asked for
# must be the same.
ONCE = """
from helpers.course.lab import Lab

conducted, conduct = {}, Lab.experiment


def experiment(self, name, arms, data, **settings):
    size = len(data.train.y) if hasattr(data, "train") else type(data).__name__  # drawn by the seed
    asked = list(arms), size, list(settings["seeds"])
    if name not in conducted:
        conducted[name] = asked, conduct(self, name, arms, data, **settings)
    assert conducted[name][0] == asked
    return conducted[name][1]


Lab.experiment = experiment
"""


def doubled(path: Path) -> nbformat.NotebookNode:
    """The code cells at profile smoke, each followed by itself."""
    cells = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            smoke = "parameters" in cell.metadata.get("tags", [])
            source = cell.source.replace('"standard"', '"smoke"') if smoke else cell.source
            cells += [new_code_cell(source, metadata=cell.metadata) for _ in range(2)]
    return new_notebook(cells=[*cells[:2], new_code_cell(ONCE), *cells[2:]])


def executed(notebook: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode:
    """The notebook, executed as if it lay where `path` does. Raises CellExecutionError."""
    where = {"metadata": {"path": str(path.parent)}}
    return NotebookClient(notebook, timeout=900, kernel_name="python3", resources=where).execute()


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_every_cell_may_be_run_again(path, monkeypatch):
    monkeypatch.setenv("OUTPUTS", "stored")
    monkeypatch.setenv("EVIDENCE", "read")
    executed(doubled(path), path)


def test_the_change_that_the_first_notebook_asks_for_runs_to_its_end(monkeypatch):
    monkeypatch.setenv("EVIDENCE", "read")
    (path,) = notebooks("0")
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (cell for cell in notebook.cells if "\nupdates = 30\n" in cell.source)
    cell.source = cell.source.replace("updates = 30", "updates = 240")
    said = str([cell.get("outputs") for cell in executed(notebook, path).cells])
    assert "your own experiment, 8 networks trained here" in said
    assert "yours, 240 updates" in said and "96 stored networks" in said
