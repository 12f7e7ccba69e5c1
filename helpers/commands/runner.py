"""Running one notebook without a browser.

papermill executes it into a temporary file, which is stripped of everything that differs from run
to run and only then moved to its place: whatever interrupts a run, no reader meets half a notebook.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from helpers.commands import heads
from helpers.commands.course import NotebookError
from helpers.evidence.files import cure

KERNEL_RACES = ("Kernel died before replying", "Address already in use")  # worth one retry
FOLDED = ("source_hidden", "_kg_hide-input", "hide-input")  # in JupyterLab, Kaggle, on the site
KEPT_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

DIED = (
    "the kernel died here, most often because memory ran out or native code crashed: close other "
    "programs or set JOBS=1, and run this notebook again; others that are finished are kept"
)


def execute(
    source: Path, target: Path, parameters: Mapping[str, Any], timeout: int | None = 1800
) -> nbformat.NotebookNode:
    """Execute `source` with papermill and put the normalised result at `target`, atomically.

    `timeout` is in seconds for each cell, None for any time. Raises NotebookError, and leaves
    `target` as it was, when the notebook is missing, a parameter is unknown or a cell fails.
    """
    if not source.is_file():
        raise NotebookError(f"{source}: no such notebook")
    try:
        known = papermill.inspect_notebook(str(source))
    except Exception as error:
        raise NotebookError(f"{source} is not a notebook: {error}") from error
    if unknown := set(parameters) - set(known):
        raise NotebookError(f"{source}: unknown parameter {sorted(unknown)}: it has {list(known)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".running-{source.stem}-") as folder:
        partial = Path(folder) / source.name
        _papermill(source, partial, parameters, timeout)
        notebook = normalise(heads.read(partial))
        nbformat.write(notebook, partial)
        partial.replace(target)
    return notebook


def _papermill(
    source: Path, target: Path, parameters: Mapping[str, Any], timeout: int | None
) -> None:
    for attempt in (1, 2):
        begun: list[int] = []  # the code cells, by their index, with what papermill puts in
        try:
            papermill.execute_notebook(
                str(source),
                str(target),
                dict(parameters),
                cwd=str(source.parent),
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=timeout,
                request_save_on_cell_execute=False,
                on_cell_execute=lambda cell, cell_index, begun=begun: begun.append(cell_index),
            )
            return
        except PapermillExecutionError as error:
            where = f"{source}: cell {error.exec_count - bool(parameters)}"
            raise NotebookError(
                f"{where}\n\n{error.source}\n\n{error.ename}: {error.evalue}"
            ) from None
        except (DeadKernelError, CellTimeoutError) as error:
            slow = f"this took more than {timeout} seconds: make it shorter, or look for a wait"
            what = DIED if isinstance(error, DeadKernelError) else slow
            where = f"{source}: cell {len(begun) - bool(parameters)}"
            raise NotebookError(f"{where}: {what}") from None
        except Exception as error:
            if isinstance(error, OSError) and cure(error):
                raise
            if attempt == 2 or not any(race in str(error) for race in KERNEL_RACES):
                raise NotebookError(f"{source}: {type(error).__name__}: {error}") from error


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep sources, tags, outputs and execution counts; drop what differs between two runs.

    Cells tagged "folded" get the metadata that folds their source. Parameters that
    papermill injected are dropped as well: the notebook reads as its author wrote it.
    """
    notebook.metadata = nbformat.from_dict(KEPT_METADATA)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    count = 0
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        cell.metadata = _metadata(cell.metadata.get("tags", []))
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            # Progress bars and the kernel's own warnings go to the standard error stream.
            cell.outputs = _joined([one for one in cell.outputs if one.get("name") != "stderr"])
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
    return notebook


def _metadata(tags: Sequence[str]) -> dict[str, Any]:
    """A cell's metadata: the author's tags, and what folds its source elsewhere."""
    lab, kaggle, page = FOLDED
    kept = [tag for tag in tags if tag != page]
    if "folded" not in kept:
        return {"tags": kept} if kept else {}
    return {kaggle: True, "jupyter": {lab: True}, "tags": [*kept, page]}


def _joined(outputs: list) -> list:
    """Neighbouring pieces of standard output as one."""
    joined: list = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined
