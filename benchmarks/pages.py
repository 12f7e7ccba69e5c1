"""Pages of measurements: what was found, when, at which commit, by which command, and where."""

import os
import platform
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import joblib
import pandas as pd
import torch

from helpers.evidence.files import write_whole
from helpers.evidence.machine import commit, processor

MALLOC = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")  # glibc reads them at start-up


def write(file: Path | None, title: str, *parts: str) -> None:
    """Print the parts; with a file also write them there as a page, whole or not at all."""
    print(*parts, sep="\n\n")
    if file:
        script, *options = sys.argv
        here = [Path(o).name if Path(o).is_absolute() else o for o in options]  # no one's folders
        command = " ".join(["python", f"benchmarks/{Path(script).name}", *here])
        made = f"{date.today().isoformat()}, commit {commit()}, `{command}`."
        write_whole(file, "\n\n".join([f"# {title}", made, *parts]) + "\n")


def machine(device: str, *packages: str) -> str:
    """One line: processor or GPU, cores, versions and malloc's settings."""
    facts = [processor(), f"{joblib.cpu_count()} cores"]
    facts += [torch.cuda.get_device_name()] if device == "cuda" else []
    facts += [f"Python {platform.python_version()}"]
    facts += [f"{name} {_version(name)}" for name in ("torch", "torchvision", *packages)]
    kept = all(name in os.environ for name in MALLOC)
    return ", ".join([*facts, f"malloc {'kept' if kept else 'default'}"])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def markdown(table: pd.DataFrame) -> str:
    """The table as lines of Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.to_numpy()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
