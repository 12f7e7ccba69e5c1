"""Where files go, and writing them whole or not at all."""

import errno
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build_folder() -> Path:
    """Where results go: `build`; in the working folder where the repository is read-only."""
    return (ROOT if os.access(ROOT, os.W_OK) else Path.cwd()) / "build"


def cure(error: OSError) -> str:
    """What to do where a disk does not take a file; empty for an error of another kind."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)[:2000]:
        return "make room on the disk"  # a folder's copy says in its text alone what went wrong
    closed = error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
    return "run it in a folder that can be written" if closed else ""


def write_whole(path: Path, text: str) -> Path:
    """Write `text` beside its place and move it there, so that no reader ever meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        return partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
