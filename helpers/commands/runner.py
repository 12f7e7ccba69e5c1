"""Run the course without a browser: `python -m helpers.runner --help`; `make` calls this.

A notebook is executed by papermill into a temporary file, stripped of everything that differs
from run to run, and only then moved to its place: whatever interrupts a run, no reader meets half
a notebook.
"""

import argparse
import base64
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from helpers.evidence.closing import MIME, PROFILES, count_words

KERNEL_RACES = ("Kernel died before replying", "Address already in use")  # worth one retry
KEPT_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookError(Exception):
    """A notebook could not be run; the message names notebook, cell and error."""


def execute(
    source: Path, target: Path, parameters: Mapping[str, Any], timeout: int = 1800
) -> nbformat.NotebookNode:
    """Execute `source` with papermill and put the normalised result at `target`, atomically.

    `timeout` is in seconds for each cell. Raises NotebookError, and leaves `target` as it was,
    when the notebook is missing, a parameter is unknown or a cell fails.
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
    folder = target.parent / f".running-{source.stem}"
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
    folder.mkdir()
    try:
        partial = folder / source.name
        _papermill(source, partial, parameters, timeout)
        notebook = normalise(nbformat.read(partial, as_version=4))
        nbformat.write(notebook, partial)
        partial.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return notebook


def _papermill(source: Path, target: Path, parameters: Mapping[str, Any], timeout: int) -> None:
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
    return {"networks": 0, "verdicts": {}}


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


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.runner", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    execution = commands.add_parser("execute", help="execute one notebook into a file")
    execution.add_argument("source", type=Path)
    execution.add_argument("target", type=Path)
    execution.add_argument("--profile", default="standard", help=", ".join(PROFILES))
    execution.add_argument(
        "--seeds", default="", help="number of seeds (default: the notebook's own)"
    )
    execution.add_argument("--device", default="auto")
    lines = commands.add_parser("verdicts", help="print the verdict lines of executed notebooks")
    lines.add_argument("notebooks", type=Path, nargs="+")
    picture = commands.add_parser("figure", help="save one figure of an executed notebook")
    picture.add_argument("notebook", type=Path)
    picture.add_argument("alt", help="how its alt text begins")
    picture.add_argument("target", type=Path)
    adopt = commands.add_parser(
        "adopt", help="make the last run's evidence the reference, in data/ and in the README"
    )
    adopt.add_argument("notebooks", type=Path, nargs="+")
    commands.add_parser("compare", help="verdicts of the last run against the reference")
    options = parser.parse_args(arguments)
    run = {
        "execute": _execute,
        "verdicts": _verdicts,
        "figure": _figure,
        "adopt": _adopt,
        "compare": _compare,
    }
    os.environ.setdefault("TQDM_DISABLE", "1")  # kernels inherit it: no progress bars in outputs
    expected: tuple[type[Exception], ...] = (NotebookError,)
    if options.command != "execute":  # needs PyTorch, which takes seconds to import
        from helpers.evidence.claims import ClaimError

        expected += (ClaimError,)
    try:
        return run[options.command](options)
    except expected as error:
        print(f"FAILED {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("INTERRUPTED: what was finished is kept, run again for the rest", file=sys.stderr)
        return 130


def _execute(options: argparse.Namespace) -> int:
    if options.profile not in PROFILES:
        raise NotebookError(f"PROFILE is {options.profile!r}: choose from {', '.join(PROFILES)}")
    if options.seeds and not options.seeds.isdecimal():
        raise NotebookError(f"SEEDS is {options.seeds!r}: give a whole number")
    parameters = {"profile": options.profile, "device": options.device}
    parameters |= {"seeds": int(options.seeds)} if options.seeds else {}
    started = time.perf_counter()
    notebook = execute(options.source, options.target, parameters)
    seconds, done = time.perf_counter() - started, closing(notebook)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    print(
        f"{options.source.stem:32s} {seconds:4.0f} s  {cells:3d} cells  "
        f"{done['networks']:4d} networks  {count_words(done['verdicts'])}"
    )
    return 0


def _verdicts(options: argparse.Namespace) -> int:
    from helpers.evidence.claims import registry

    for path in options.notebooks:
        for line in verdict_lines(nbformat.read(path, as_version=4), registry()):
            print(line)
    return 0


def _adopt(options: argparse.Namespace) -> int:
    from helpers.course import summary
    from helpers.evidence import findings

    for path in options.notebooks:
        findings.adopt(path.stem)
    reference = {"reference": findings.reference_folder()}
    summary.into_readme(findings.ROOT / "README.md", summary.find_all(reference))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from helpers.evidence import findings

    both = findings.compare(findings.reference_folder(), findings.fresh_folder())
    for (claim, test), row in both[both.differs].iterrows():
        sides = [
            f"{side} {row[f'verdict_{side}']} {row[f'effect_{side}']:.3g} "
            f"[{row[f'low_{side}']:.3g}, {row[f'high_{side}']:.3g}]"
            for side in ("reference", "fresh")
        ]
        print(f"{claim} {test}: {', '.join(sides)}")
    print(f"{both.differs.sum()} of {len(both)} tests differ from the reference")
    return int(both.differs.any() or both.empty)


def _figure(options: argparse.Namespace) -> int:
    notebook = nbformat.read(options.notebook, as_version=4)
    options.target.write_bytes(figure(notebook, options.alt))
    return 0


if __name__ == "__main__":
    sys.exit(main())
