"""The anatomy of a notebook of the second form, as complaints about what is not so.

`make anatomy NOTEBOOK=01` prints those about one notebook, whether or not it has an entry in
data/registry/openings.toml yet. CONTRIBUTING.md has the list for writers.
"""

import ast
import re
import symtable
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from statistics import median

import nbformat
from nbformat import NotebookNode

from helpers.commands.course import notebooks
from helpers.commands.openings import REMEMBER, is_picture, reading_minutes
from helpers.course.exercises import EXERCISES, Code, Quick

MINUTES, BYTES = 45, 600_000
LINES, MOST_LINES, IN_A_ROW = 5, 15, 3
SECTIONS = range(4, 7)
SECTION = re.compile(r"^## (\d+)\. ", re.M)
MARKED = re.compile(r"^(#+) (.*)$", re.M)
ASKED = re.compile(r"^(my_\w+) = None", re.M)
CHECKED = re.compile(r'exercises\.check\(\s*"([^"]+)"')


def complaints(notebook: NotebookNode) -> Iterator[str]:
    """What is not as the second form asks, a sentence each."""
    for rule in (
        _opening,
        _set_up,
        _sections,
        _rows,
        _lengths,
        _predictions,
        _closing,
        _exercises,
        _truth_values,
        _names,
        _descriptions,
    ):
        yield from rule(notebook.cells)
    if (minutes := reading_minutes(notebook)) > MINUTES:
        yield f"reading takes {minutes} minutes, at most {MINUTES}"
    if (size := len(nbformat.writes(notebook).encode())) > BYTES:
        yield f"it has {size // 1000} kB, at most {BYTES // 1000}"


def _opening(cells: Sequence[NotebookNode]) -> Iterator[str]:
    first = cells[0].source
    if not re.match(r"# \d\d · ", first):
        yield "the first cell does not begin with a title, # 01 · ..."
    if "<!-- opening -->" not in first:
        yield "the first cell has no opening: an entry in openings.toml, then make refresh"
    starts = (n for n, c in enumerate(cells) if _prose([c]) and SECTION.search(c.source))
    before = cells[: next(starts, None)]
    if not any(_is_drawn(output) for cell in before for output in cell.get("outputs", [])):
        yield "no hero picture before section 1: lab.hero(...)"


def _set_up(cells: Sequence[NotebookNode]) -> Iterator[str]:
    code = _code(cells)
    end = next((n for n, cell in enumerate(code, 1) if "Lab(" in cell.source), 0)
    if not end:
        yield "no cell makes the Lab"
    for number, cell in enumerate(code[:end], 1):
        if not _is_folded(cell):
            yield f"code cell {number} belongs to the set-up and is not tagged folded"


def _sections(cells: Sequence[NotebookNode]) -> Iterator[str]:
    numbers = [int(number) for cell in _prose(cells) for number in SECTION.findall(cell.source)]
    if len(numbers) not in SECTIONS or numbers != list(range(1, len(numbers) + 1)):
        yield f"its numbered sections are {numbers}, not 1 to 4, 5 or 6"
    for cell in _prose(cells):
        for number in re.findall(r"\b[Ss]ection (\d+)", cell.source):
            if int(number) not in numbers:
                yield f"there is no section {number}, of which {_begins(cell)} speaks"
    levels = [len(marks) for cell in _prose(cells) for marks, _ in MARKED.findall(cell.source)]
    if levels[:1] != [1] or levels.count(1) != 1 or any(b > a + 1 for a, b in pairwise(levels)):
        yield "its headings do not descend one level at a time from one title"


def _rows(cells: Sequence[NotebookNode]) -> Iterator[str]:
    seen = [cell for cell in cells if not _is_folded(cell)]
    for is_code, row in groupby(seen, lambda cell: cell.cell_type == "code"):
        row = list(row)
        if is_code and len(row) > IN_A_ROW:
            yield f"{len(row)} code cells without a sentence, from {_begins(row[0])}"


def _lengths(cells: Sequence[NotebookNode]) -> Iterator[str]:
    seen = [cell for cell in _code(cells) if not _is_folded(cell)]
    lines = [len(cell.source.splitlines()) for cell in seen]
    if lines and median(lines) > LINES:
        yield f"the median cell has {median(lines):g} lines, at most {LINES}"
    for cell, count in zip(seen, lines, strict=True):
        if count > MOST_LINES:
            yield f"a cell of {count} lines, at most {MOST_LINES} unless folded: {_begins(cell)}"


def _predictions(cells: Sequence[NotebookNode]) -> Iterator[str]:
    """Each is asked for, and drawn or printed by a later cell, or followed by prose, in time."""
    asking = [n for n, c in enumerate(cells) if _code([c]) and ASKED.search(c.source)]
    for n in asking:
        if "?" not in cells[n - 1].source:
            yield f"no question stands before {_begins(cells[n])}"
    for here, following in pairwise([*asking, len(cells)]):
        answers = [_without_headings(cell) for cell in _prose(cells[here + 1 : following])]
        for name in ASKED.findall(cells[here].source):
            again = (n for n in asking if n > here and name in ASKED.findall(cells[n].source))
            later = _code(cells[here + 1 : next(again, None)])
            used = any(re.search(rf"\b{name}\b", cell.source) for cell in later)
            if not used and not any(answers[: 1 if "check(" in cells[here].source else None]):
                yield f"{name} of {_begins(cells[here])} is never answered: guess= or a sentence"


def _without_headings(cell: NotebookNode) -> str:
    """The prose of a cell up to its next heading or prediction."""
    return re.split(r"^#|\*\*Predict", cell.source, maxsplit=1, flags=re.M)[0].strip()


def _closing(cells: Sequence[NotebookNode]) -> Iterator[str]:
    headings = [
        f"{marks} {text}" for c in _prose(cells) for marks, text in MARKED.findall(c.source)
    ]
    if headings[-2:] != [REMEMBER, "## Exercises"]:
        yield f"its last headings are not {REMEMBER!r} and '## Exercises'"
    text = "\n".join(cell.source for cell in _prose(cells))
    items = re.findall(r"^\d\. .*$", text.partition(REMEMBER)[2].partition("\n## ")[0], re.M)
    if len(items) != 3 or not all(re.search(r"\d", item[2:]) for item in items):
        yield "three things to remember, each with a number"
    if cells[-1].source != "lab.close()":
        yield "its last cell is not lab.close()"


def _exercises(cells: Sequence[NotebookNode]) -> Iterator[str]:
    starts = [n for n, c in enumerate(cells) if c.source.rfind("## Exercises") >= 0]
    end = cells[starts[-1] :] if starts else []
    names = [name for cell in end for name in CHECKED.findall(cell.source)]
    for kind, word in ((Quick, "quick"), (Code, "in code")):
        found = sum(isinstance(EXERCISES.get(name), kind) for name in names)
        if found < 2:
            yield f"{found} exercises {word}, at least 2"
    if not any("overturn" in cell.metadata.get("tags", []) for cell in end):
        yield "no exercise cell is tagged overturn: an experiment that could overturn a verdict"


def _truth_values(cells: Sequence[NotebookNode]) -> Iterator[str]:
    for cell in cells:
        text = "\n".join(_text(output) for output in cell.get("outputs", []))
        lines = [line for line in text.splitlines() if line.strip()]
        if lines and all(re.search(r"(^|\W)(True|False)[\s\])}.]*$", line) for line in lines):
            yield f"nothing but True or False comes out of {_begins(cell)}: show the numbers"


def _names(cells: Sequence[NotebookNode]) -> Iterator[str]:
    """What a cell reads stays what it was: a cell may be run again after all others.

    A guess may be asked for anew, and a collection may grow.
    """
    code = _code(cells)
    made = [{*_bound(cell)} for cell in code]
    for k, cell in enumerate(code):
        for name in sorted(_read(cell) & set().union(*made[:k]) & set().union(*made[k + 1 :])):
            if name not in made[k] and not name.startswith("my_"):
                again = next(code[j] for j in range(k + 1, len(code)) if name in made[j])
                yield f"{name}, which {_begins(cell)} reads, is another in {_begins(again)}"


def _bound(cell: NotebookNode) -> Iterator[str]:
    """The names that a cell binds, but for what only grows there: x |= ..."""
    grown = {
        node.target.id
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    for symbol in symtable.symtable(cell.source, "a cell", "exec").get_symbols():
        bound = symbol.is_assigned() or symbol.is_namespace() or symbol.is_imported()
        if bound and symbol.get_name() not in grown:
            yield symbol.get_name()


def _read(cell: NotebookNode) -> set[str]:
    """The names from outside that a cell, or a function in it, reads."""
    tables, names = [symtable.symtable(cell.source, "a cell", "exec")], set()
    for table in tables:
        is_top = table.get_type() == "module"
        names |= {
            s.get_name()
            for s in table.get_symbols()
            if s.is_referenced() and (is_top or s.is_global())
        }
        tables += table.get_children()
    return names


def _descriptions(cells: Sequence[NotebookNode]) -> Iterator[str]:
    for cell in cells:
        pages = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", [])]
        for page in [*pages, cell.source if cell.cell_type == "markdown" else ""]:
            for tag in re.findall(r"<img\b[^>]*>", page):
                if not re.search(r"\balt=(\"[^\"]{20,}\"|'[^']{20,}')", tag):
                    yield f"a picture of {_begins(cell)} has no alt text that states the finding"
            if re.search(r"!\[\]\(", page):
                yield f"a picture of {_begins(cell)} has no alt text"
            for drawing in re.findall(r"<svg\b.*?</svg>", page, re.S):
                if "<title" not in drawing and "aria-label" not in drawing:
                    yield f"a drawing of {_begins(cell)} has no title"


def _prose(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    return [cell for cell in cells if cell.cell_type == "markdown"]


def _code(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    return [cell for cell in cells if cell.cell_type == "code"]


def _is_folded(cell: NotebookNode) -> bool:
    return "folded" in cell.metadata.get("tags", [])


def _is_drawn(output: NotebookNode) -> bool:
    page = output.get("data", {}).get("text/html", "")
    return is_picture(output) and (not page or "<img" in page or "<svg" in page)


def _text(output: NotebookNode) -> str:
    return (
        "(a picture)"
        if is_picture(output)
        else output.get("text") or str(output.get("data", {}).get("text/plain", ""))
    )


def _begins(cell: NotebookNode) -> str:
    return repr((cell.source.splitlines() or [""])[0][:50])


if __name__ == "__main__":
    for path in notebooks("".join(sys.argv[1:])):
        for complaint in complaints(nbformat.read(path, as_version=4)):
            print(f"{path.stem}: {complaint}")
