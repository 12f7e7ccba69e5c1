"""Running one notebook without a browser.

papermill executes it into a temporary file, which is stripped of everything that differs from run
to run and only then moved to its place: whatever interrupts a run, no reader meets half a notebook.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from helpers.commands.course import NotebookError
from helpers.evidence.closing import MIME

KERNEL_RACES = ("Kernel died before replying", "Address already in use")  # worth one retry
KEPT_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


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
        notebook = normalise(nbformat.read(partial, as_version=4))
        nbformat.write(notebook, partial)
        partial.replace(target)
    return notebook


def _papermill(
    source: Path, target: Path, parameters: Mapping[str, Any], timeout: int | None
) -> None:
    for attempt in (1, 2):
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
            )
            return
        except PapermillExecutionError as error:
            where = f"{source}: cell {error.exec_count - bool(parameters)}"
            raise NotebookError(
                f"{where}\n\n{error.source}\n\n{error.ename}: {error.evalue}"
            ) from None
        except Exception as error:
            if attempt == 2 or not any(race in str(error) for race in KERNEL_RACES):
                raise NotebookError(f"{source}: {type(error).__name__}: {error}") from error


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep sources, tags, outputs and execution counts; drop what differs between two runs.

    Parameters that papermill injected are dropped as well: the notebook reads as its author
    wrote it.
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
        cell.metadata = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = _joined([_normalise_output(o, count) for o in cell.outputs if _kept(o)])
    return notebook


def _joined(outputs: list) -> list:
    """Neighbouring pieces of standard output as one."""
    joined: list = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _kept(output: nbformat.NotebookNode) -> bool:
    """Not the standard error stream: progress bars and the kernel's own warnings."""
    return not (output.output_type == "stream" and output.name == "stderr")


def _normalise_output(output: nbformat.NotebookNode, count: int) -> nbformat.NotebookNode:
    if "execution_count" in output:
        output.execution_count = count
    return output


def closing(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """What the notebook's closing line says of itself: networks, verdicts, seconds."""
    for cell in reversed(notebook.cells):
        for output in cell.get("outputs", []):
            if MIME in output.get("data", {}):
                return output.data[MIME]
    return {"networks": 0, "here": 0, "verdicts": {}}


def verdict_lines(notebook: nbformat.NotebookNode, claims: Mapping[str, Any]) -> list[str]:
    """The stable lines of all verdicts a notebook prints, in order."""
    texts = [
        output.data["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/plain" in output.get("data", {})
    ]
    return [text for text in texts if text.split(":")[0] in claims]


def figure(notebook: nbformat.NotebookNode, alt: str) -> bytes:
    """The PNG whose alt text begins with `alt`. Raises NotebookError when there is none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data and data.get("text/plain", "").startswith(alt):
                return base64.b64decode(data["image/png"])
    raise NotebookError(f"no figure whose alt text begins with {alt!r}")
