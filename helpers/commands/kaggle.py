"""Kaggle: one dataset of helpers and data, and a notebook each, as its command line uploads them.

Nothing is sent: `make kaggle OWNER=name` writes build/kaggle and prints the commands that publish
it. Rules for metadata are those of the package `kaggle`; tests hold ours against them.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

import nbformat

import helpers
from helpers.commands import heads
from helpers.commands.course import NotebookError, notebooks
from helpers.evidence.files import ROOT, build_folder, write_whole

COURSE, SLUG = "Phase 03, measured", "phase-03-measured"
DESCRIPTION = (
    "Code and data of a course on CNNs, RNNs and training in which every sentence is an "
    "experiment. Attach it to the course's notebooks. The code is under the MIT licence (LICENSE); "
    "the data files have licences of their own, listed in data/sets/README.md."
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.partial")
ACCOUNT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.I)


def write(owner: str) -> Path:
    """Write dataset and notebooks of the Kaggle account `owner` anew; returns their folder.

    Raises NotebookError for what cannot be the name of an account.
    """
    if not ACCOUNT.fullmatch(owner):
        rule = "give your Kaggle account as it stands in its address: letters, digits, hyphens"
        raise NotebookError(f"OWNER is {owner!r}: {rule}")
    folder = build_folder() / "kaggle"
    shutil.rmtree(folder, ignore_errors=True)
    version = _dataset(folder / "dataset", owner)
    for path in notebooks():
        _kernel(folder / path.stem, owner, path, version)
    return folder


def _dataset(folder: Path, owner: str) -> str:
    """Copy helpers and data; their version, with a digest: notebooks know an older copy by it."""
    for room in ("helpers", "data"):
        shutil.copytree(ROOT / room, folder / room, ignore=LEFT_OUT)
    shutil.copy(ROOT / "LICENSE", folder)
    metadata = {
        "title": COURSE,
        "id": f"{owner}/{SLUG}",
        "licenses": [{"name": "other"}],  # Kaggle: "other (specified in description)"
        "description": DESCRIPTION,
    }
    version, first = f"{helpers.__version__}+{_digest(folder)}", folder / "helpers" / "__init__.py"
    stated = f'__version__ = "{helpers.__version__}"'
    text = first.read_text(encoding="utf-8").replace(stated, f'__version__ = "{version}"')
    first.write_text(text, encoding="utf-8")
    _write_json(folder / "dataset-metadata.json", metadata)
    return version


def _digest(folder: Path) -> str:
    """Eight digits that another file, or another content of one, makes others."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:8]


def _kernel(folder: Path, owner: str, path: Path, version: str) -> None:
    notebook, dataset = heads.read(path), f"{owner}/{SLUG}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                r"\]\((\d\d_\w+)\.ipynb\)",
                lambda match: f"](https://www.kaggle.com/code/{owner}/{slug(match[1])})",
                cell.source,
            )
        elif heads.MARK in cell.source:
            cell.source = heads.set_up(heads.repository(), dataset, version)
    metadata = {
        "id": f"{owner}/{slug(path.stem)}",
        "title": title(path.stem),
        "code_file": path.name,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": False,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [dataset],
        "competition_sources": [],
        "kernel_sources": [],
        "model_sources": [],
    }
    _write_json(folder / "kernel-metadata.json", metadata)
    write_whole(folder / path.name, nbformat.writes(notebook))


def title(notebook: str) -> str:
    """A notebook's title on Kaggle, at most 50 characters.

    >>> title("07_cnn_vs_rnn")
    'Phase 03, measured: 07 CNN vs RNN'
    """
    words = notebook.split("_")
    known = {word.lower(): word for word in ("CNN", "RNN", "LSTM", "GRU")}
    return f"{COURSE}: {' '.join(known.get(word, word) for word in words)}"


def slug(notebook: str) -> str:
    """What Kaggle makes of the title, for the address.

    >>> slug("07_cnn_vs_rnn")
    'phase-03-measured-07-cnn-vs-rnn'
    """
    return re.sub(r"[^a-z0-9]+", "-", title(notebook).lower())


def _write_json(path: Path, metadata: dict) -> None:
    write_whole(path, json.dumps(metadata, indent=2) + "\n")


def commands(folder: Path, owner: str) -> str:
    """What to type to publish the folder, and to update what was published."""
    shown = (folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder).as_posix()
    upload = f"-p {shown}/dataset --dir-mode zip --keep-tabular"  # else folders are left out
    return f"""{shown}: the dataset {owner}/{SLUG} and {len(notebooks())} notebooks, all private
To publish, after pip install kaggle and with a token of your account:
  kaggle datasets create {upload}
  kaggle datasets status {owner}/{SLUG}    # wait for: ready
  for one in {shown}/[0-9]*; do kaggle kernels push -p "$one"; done
To update:
  kaggle datasets version {upload} -m "what is new"
  kaggle datasets status {owner}/{SLUG}
  for one in {shown}/[0-9]*; do kaggle kernels push -p "$one"; done
One notebook alone: kaggle kernels push -p {shown}/{notebooks()[0].stem}"""
