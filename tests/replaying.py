"""One stored experiment replayed from its notebook, of which only the cells it needs are run.

`python tests/replaying.py NOTEBOOK EXPERIMENT` is how a planted fault meets the replay alone: the
exit status is 0 where the code here is that of the evidence, RED where it is not.
"""

import os
import symtable
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import nbformat

RED = 3


class Replayed(BaseException):
    """The experiment was replayed and is that of its evidence; no notebook catches this."""


def needed(notebook: Path, experiment: str) -> list[str]:
    """The code cells that an experiment needs, down to the one whose stored outputs tell of it.

    A cell is needed if it binds a name that a needed cell further down uses; the first, which finds
    the course, always is. Raises ValueError for an experiment that the outputs do not name.
    """
    cells = [c for c in nbformat.read(notebook, as_version=4).cells if c.cell_type == "code"]
    last = next((k for k, cell in enumerate(cells) if tells_of(cell.outputs, experiment)), None)
    if last is None:
        raise ValueError(f"no cell of {notebook.name} conducts {experiment!r}")
    chosen, wanted = [cells[last].source], bound_and_used(cells[last].source)[1]
    for cell in reversed(cells[1:last]):
        bound, used = bound_and_used(cell.source)
        if bound & wanted:
            chosen.append(cell.source)
            wanted |= used
    return [cells[0].source, *reversed(chosen)]


def tells_of(outputs: Sequence[nbformat.NotebookNode], experiment: str) -> bool:
    """Whether outputs hold the line that an experiment prints of itself."""
    texts = [output.get("data", {}).get("text/plain", "") for output in outputs]
    return any(text.startswith(f"{experiment}: ") and " replayed" in text for text in texts)


def bound_and_used(source: str) -> tuple[set[str], set[str]]:
    """The global names that a cell binds, and those that it or its functions use."""
    top = symtable.symtable(source, "cell", "exec")
    bound = {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    used = {
        symbol.get_name()
        for table in _tables(top)
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (table is top or symbol.is_global())
    }
    return bound, used


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def replay(notebook: Path, experiment: str) -> None:
    """Run the needed cells, without what they assert; no network is trained to its end.

    Raises EvidenceError where a replay is red, ValueError where the experiment was not reached.
    """
    os.environ["EVIDENCE"] = "check"
    os.chdir(notebook.parent)
    sys.modules["__main__"] = module = ModuleType("__main__")  # as a kernel has it
    from helpers.course import lab

    conduct = lab.conduct

    def alone(design, here, how):
        done = conduct(design, 0, how)
        if design.name == experiment:
            raise Replayed
        return done

    lab.conduct = alone
    try:
        for number, source in enumerate(needed(notebook, experiment)):
            code = compile(source, f"needed cell {number}", "exec", optimize=1)
            exec(code, vars(module))
    except Replayed:
        return
    raise ValueError(f"{experiment} was not reached in {notebook.name}")


def main() -> int:
    """0 for a replay that is green, RED for one that is not, whose reason is printed."""
    from helpers.evidence.store import EvidenceError

    try:
        replay(Path(sys.argv[1]).resolve(), sys.argv[2])
    except EvidenceError as error:
        print(error)
        return RED
    return 0


if __name__ == "__main__":
    sys.exit(main())
