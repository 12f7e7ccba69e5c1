"""Writing files that are whole or not there."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Write `text` beside its place and move it there, so that no reader ever meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    return partial.replace(path)
