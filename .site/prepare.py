"""Write what Sphinx reads: `python .site/prepare.py TARGET`.

The front page is the recap in red pen, then a card for each notebook. Notebooks come with the
outputs that are stored in them, which `make test` compares with a fresh run: nothing runs here.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import helpers  # noqa: E402
from helpers.commands import course, front, heads  # noqa: E402
from helpers.course import redpen  # noqa: E402
from helpers.evidence.findings import find_all  # noqa: E402
from helpers.figures import drawings, style  # noqa: E402

# In the order of the house's map
ROOMS = re.findall(r"^(\w+) {3,}", helpers.__doc__, re.M)
LEFT_OUT = "helpers.course.exercises"  # they hold the answers


def prepare(target: Path) -> None:
    """Write the sources of the site into `target`, in place of what is there."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    pages = {"index": _front(), "drawings": _drawings(), "helpers": _map()}
    pages |= {f"helpers-{room}": _room(room) for room in ROOMS}
    for name, text in pages.items():
        (target / f"{name}.md").write_text(text, encoding="utf-8")
    for path in course.notebooks():
        nbformat.write(_paged(nbformat.read(path, as_version=4)), target / path.name)


def _front() -> str:
    """Who it is for, from README; the red pen; the cards; what the side bar lists."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = list(front.listed())
    parts = [
        "---\nhide-toc: true\n---",
        readme.partition("<!-- red pen -->")[0],
        _raw(redpen.fragment(find_all(), "{}.html")),
        "## The notebooks",
        _raw(f'<ul class="cards">{"".join(map(_card, listed))}</ul>'),
        _contents(":hidden:", [*(one.path.stem for one in listed), "drawings", "helpers"]),
    ]
    return "\n\n".join(parts)


def _raw(html: str) -> str:
    return f"```{{raw}} html\n{html}\n```"


def _contents(options: str, pages: list[str]) -> str:
    return "\n".join(["```{toctree}", options, "", *pages, "```"])


def _card(one: front.Listed) -> str:
    """A notebook in a frame: its name, its picture, its question, its times."""
    link = f'<a href="{one.path.stem}.html">{escape(one.name)}</a>'
    times = f"{one.minutes} min to read, {one.seconds} s to run"
    said = f"<p>{escape(one.about)}</p><p><small>{times}</small></p>"
    return f"<li><h3>{link}</h3>{_hero(one.notebook)}{said}</li>"


def _hero(notebook: NotebookNode) -> str:
    """The picture that a notebook opens with, else its first; nothing where it shows none."""
    cells = sorted(notebook.cells, key=lambda cell: "lab.hero(" not in cell.source)
    shown = (out.get("data", {}) for cell in cells for out in cell.get("outputs", []))
    pictures = (re.search("<img [^>]*>", data.get("text/html", "")) for data in shown)
    return next((picture[0] for picture in pictures if picture), "")


def _paged(notebook: NotebookNode) -> NotebookNode:
    """A notebook as a page: HTML leads to pages, links elsewhere need the repository's address.

    The empty corner of a table is no header: readers who hear the page are not told of one.
    """
    notebook.cells = list(_joined(notebook.cells))
    if not front.address():
        notebook.cells[0].source = heads.LINKS.sub("", notebook.cells[0].source)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        if "text/html" in data:
            page = re.sub(r'(href="[^"/:]+)\.ipynb', r"\1.html", data["text/html"])
            data["text/html"] = page.replace("<th></th>", "<td></td>")
    return notebook


def _joined(cells: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Folded cells that follow each other as one, until one shows something: one bar a picture."""
    before: list[str] = []
    for cell, after in pairwise([*cells, nbformat.v4.new_markdown_cell()]):
        if _is_folded(cell) and _is_folded(after) and not cell.outputs:
            before.append(cell.source)
        else:
            cell.source = "\n\n\n".join([*before, cell.source])
            before.clear()
            yield cell


def _is_folded(cell: NotebookNode) -> bool:
    return "hide-input" in cell.metadata.get("tags", [])


def _drawings() -> str:
    """Every drawing, its alt text beneath it, and the parts it can highlight."""
    parts = ["# Drawings\n\nAll of them are made by code: `figures.drawings.NAME()`."]
    for name in drawings.__all__:
        draw = getattr(drawings, name)
        with patch.object(style, "display") as display:
            draw()
        shown = display.call_args.args[0]["text/html"]
        what = draw.__doc__.splitlines()[0]
        parts.append(f"## {name}\n\n{what}\n\n{shown}\n\n`highlight`: {', '.join(draw.parts)}")
    return "\n\n".join(parts)


def _map() -> str:
    """The map of the house, and the list of its rooms in that order."""
    title, _, rest = helpers.__doc__.partition("\n")
    rooms = _contents(":maxdepth: 1", [f"helpers-{room}" for room in ROOMS])
    return f"# Helpers\n\n{title}\n\n```text{rest.rstrip()}\n```\n\n{rooms}"


def _room(room: str) -> str:
    """A room's own words, then each of its modules."""
    files = (ROOT / "helpers" / room).rglob("*.py")
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    modules = sorted(name.removesuffix(".__init__") for name in names)
    parts = [f"# {room}"]
    for module in (module for module in modules if not module.startswith(LEFT_OUT)):
        name = module.removeprefix(f"helpers.{room}").lstrip(".")
        members = "" if (ROOT / module.replace(".", "/")).is_dir() else "   :members:\n"
        members += "   :show-inheritance:\n" if members else ""
        directive = f"```{{eval-rst}}\n.. automodule:: {module}\n{members}```"
        parts += [f"## {name}", directive] if name else [directive]
    return "\n\n".join(parts)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
