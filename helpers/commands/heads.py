"""What all notebooks begin with: the links to Kaggle and Colab, and the set-up cell.

Both are written here and nowhere else. `make refresh` puts them into the notebooks, and so does
`python -m helpers heads`, which runs nothing. A fork sets its address in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import helpers
from helpers.evidence.files import ROOT, write_whole

PLACEHOLDER = "https://github.com/phase-03-measured/phase-03-measured"  # nothing is fetched there
LINKS = re.compile(r"^(\[Open in Kaggle\].*|<!-- links -->)$", re.M)
MARK = '"data" / "registry" / "claims.toml"'  # only the set-up cell says this
SET_UP = """\
import sys
from os import environ
from os.path import isfile
from pathlib import Path
from shutil import unpack_archive
from urllib.request import urlretrieve

VERSION = "{version}"  # of the course: helpers/ and data/ must have the same
# The course as a ZIP, fetched on Colab only
ARCHIVE = "{archive}"


def copies():
    near = [*Path.cwd().parents, Path("."), *Path(".").glob("*")]
    near += Path("/kaggle/input").glob("**")
    found = [p.resolve() for p in near if isfile(p / "data" / "registry" / "claims.toml")]
    return list(dict.fromkeys(found))


renew = "take the notebook and both folders from one copy of the repository"
if "KAGGLE_KERNEL_RUN_TYPE" in environ:
    cure = "click Add Input, attach the dataset {dataset}, and run this cell again"
    renew = "under Input, update the dataset or attach the one published with it, and restart"
elif "google.colab" in sys.modules:
    cure = "in a cell above this one, run !git clone --depth 1 with the repository's address"
    if ARCHIVE and not copies():
        print("fetching", ARCHIVE)
        try:
            unpack_archive(urlretrieve(ARCHIVE)[0], format="zip")
        except OSError as error:
            cure = f"{{ARCHIVE}} could not be fetched ({{error}}); {{cure}}"
else:
    cure = "open this notebook inside the repository (README)"
roots = copies()
assert roots, f"no helpers/ and data/ near here: {{cure}}"
if len(roots) > 1:
    print("several copies of the course are near here; this one is used:", roots[0])
sys.path.insert(0, str(roots[0]))
import helpers

used = Path(getattr(helpers, "__file__", None) or ".").resolve()
assert used == roots[0] / "helpers" / "__init__.py", (
    f"another package called helpers was imported before ({{used}}): restart the kernel, run this "
    "cell first; if that does not help, rename the other"
)
found = getattr(helpers, "__version__", "an earlier one")
assert VERSION in (found, found.split("+")[0]), (  # behind the +: what was published together
    f"this notebook is of version {{VERSION}} of the course, helpers/ and data/ in {{roots[0]}} "
    f"are of {{found}}: {{renew}}"
)"""


def repository() -> str:
    """The address of this repository, as pyproject.toml has it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["urls"]["Repository"].rstrip("/")


def set_up(
    address: str, dataset: str = "phase-03-measured", version: str = helpers.__version__
) -> str:
    """The source of the set-up cell; `dataset` is what it asks a reader on Kaggle to attach."""
    archive = "" if address == PLACEHOLDER else f"{address}/archive/refs/heads/main.zip"
    return SET_UP.format(archive=archive, dataset=dataset, version=version)


def links(address: str, notebook: str) -> str:
    """The line that opens a notebook, by the name of its file, on Kaggle or on Colab.

    An empty comment while the address is a placeholder.
    """
    if address == PLACEHOLDER:
        return "<!-- links -->"
    page = f"{address}/blob/main/notebooks/{notebook}"
    colab = page.replace("https://github.com/", "https://colab.research.google.com/github/")
    kaggle = f"https://kaggle.com/kernels/welcome?src={page}"
    return f"[Open in Kaggle]({kaggle}) · [Open in Colab]({colab})"


def read(path: Path) -> NotebookNode:
    """The notebook of a file."""
    notebook: Any = nbformat.read(path, as_version=4)
    return notebook


def write(notebook: NotebookNode, name: str, address: str) -> NotebookNode:
    """Write links and set-up cell into a notebook, in the places of those that it has."""
    notebook.cells[0].source = LINKS.sub(links(address, name), notebook.cells[0].source)
    for cell in notebook.cells:
        if cell.cell_type == "code" and MARK in cell.source:
            cell.source = set_up(address)
    return notebook


def into(path: Path) -> None:
    """Write links and set-up cell into the notebook of a file."""
    written = write(read(path), path.name, repository())
    write_whole(path, nbformat.writes(written) + "\n")
