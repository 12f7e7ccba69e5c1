"""Lay out executed notebooks for Sphinx: `python .site/prepare.py EXECUTED TARGET`.

The summary becomes the front page and lists the others. Pictures keep their alt text, which
myst-nb would drop; links between notebooks lead to pages.
"""

import re
import shutil
import sys
from html import escape
from pathlib import Path
from unittest.mock import patch

import nbformat

SITE = Path(__file__).resolve().parent
FRONT = "11_phase_summary"


def prepare(executed: Path, target: Path) -> None:
    """Write the sources of the site into `target`; exits where the summary is missing."""
    notebooks = sorted(executed.glob("[0-9]*.ipynb"))
    names = [path.stem for path in notebooks]
    if FRONT not in names:
        sys.exit(f"{executed} holds no {FRONT}.ipynb: execute the notebooks first (make run-all)")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(SITE / "conf.py", target)
    shutil.copytree(SITE / "static", target / "static")
    others = [name for name in names if name != FRONT]
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            cell.source = _paged(cell.source) if cell.cell_type == "markdown" else cell.source
            for output in cell.get("outputs", []):
                _describe(output.get("data", {}))
        _hide_code(notebook, everywhere=path.stem == FRONT)
        if path.stem == FRONT:
            contents = "\n".join(
                ["```{toctree}", ":hidden:", "", *others, "drawings", "helpers", "```"]
            )
            notebook.cells.append(nbformat.v4.new_markdown_cell(contents))
        name = "index" if path.stem == FRONT else path.stem
        nbformat.write(notebook, target / f"{name}.ipynb")
    _list_drawings(target)
    _list_helpers(target)


def _hide_code(notebook: nbformat.NotebookNode, everywhere: bool) -> None:
    """On the front page fold all code, and leave out cells that show nothing; else the set-up."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells if everywhere else cells[:1]:
        silent = everywhere and not cell.outputs
        tag = "remove-cell" if silent else "hide-input"
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), tag]


def _describe(data: dict) -> None:
    """Turn a picture into HTML that carries its alt text; lead links to pages."""
    if "image/png" in data:
        alt = escape(data.get("text/plain", ""), quote=True)
        source = f"data:image/png;base64,{data.pop('image/png').strip()}"
        data["text/html"] = f'<img alt="{alt}" src="{source}">'
    elif "text/html" in data:
        data["text/html"] = re.sub(r'href="([^"/:]+)\.ipynb', _page, data["text/html"])


def _page(match: re.Match) -> str:
    return f'href="{"index" if match[1] == FRONT else match[1]}.html'


def _paged(text: str) -> str:
    return text.replace(f"]({FRONT}.ipynb", "](index.ipynb")


def _list_drawings(target: Path) -> None:
    """One page with every drawing, its alt text beneath it, and the parts it can highlight."""
    sys.path.insert(0, str(SITE.parent))
    from helpers.figures import drawings, style

    parts = ["# Drawings\n\nAll of them are made by code: `figures.drawings.NAME()`.\n"]
    for name in drawings.__all__:
        draw = getattr(drawings, name)
        with patch.object(style, "display") as display:
            draw()
        shown = display.call_args.args[0]["text/html"]
        what = draw.__doc__.splitlines()[0]
        parts.append(f"## {name}\n\n{what}\n\n{shown}\n\n`highlight`: {', '.join(draw.parts)}\n")
    (target / "drawings.md").write_text("\n".join(parts), encoding="utf-8")


def _list_helpers(target: Path) -> None:
    """One page with the documentation of every helper."""
    root = SITE.parent / "helpers"
    files = [path.relative_to(root).with_suffix("") for path in root.rglob("*.py")]
    shown = [path for path in files if path.name != "__init__" and path.parts[0] != "exercises"]
    modules = sorted(".".join(path.parts) for path in shown)
    parts = ["# Helpers\n\nThe functions that the notebooks import; their code is linked.\n"]
    for module in modules:
        directive = f".. automodule:: helpers.{module}\n   :members:\n   :show-inheritance:\n"
        parts.append(f"## {module}\n\n```{{eval-rst}}\n{directive}```\n")
    (target / "helpers.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
