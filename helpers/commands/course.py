"""The course as a whole: which notebooks there are, and running them side by side."""

import json
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from helpers.evidence.closing import MIME, count_words
from helpers.evidence.files import ROOT, build_folder, write_whole

NOTEBOOKS = ROOT / "notebooks"
NAME = re.compile(r"\d\d_\w+")  # of a notebook of the course; a reader's copy has another
TIMEOUT = 1800  # seconds for a cell; a proof takes as long as it takes

# Forked from a server that has imported papermill, which takes four seconds of a core.
FORKS = "forkserver" in multiprocessing.get_all_start_methods()
PROCESSES: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    PROCESSES.set_forkserver_preload(["helpers.commands.runner"])


class NotebookError(Exception):
    """A notebook could not be run; the message names notebook, cell and error."""


@dataclass(frozen=True)
class Choice:
    """What is to be run, and how."""

    notebooks: Sequence[Path]
    profile: str = "standard"
    seeds: int | None = None
    device: str = "auto"
    jobs: int = 1


def notebooks(beginning: str = "") -> list[Path]:
    """The course's notebooks whose name begins so; a number alone means the one of that number.

    Raises NotebookError where there is none.
    """
    found = sorted(path for path in NOTEBOOKS.glob("*.ipynb") if NAME.fullmatch(path.stem))
    number = (
        f"{int(beginning):02d}_" if beginning.isascii() and beginning.isdecimal() else beginning
    )
    chosen = [path for path in found if path.name.startswith(number)]
    if not chosen:
        known = ", ".join(path.stem for path in found)
        raise NotebookError(f"no notebook matches NOTEBOOK={beginning}: there are {known}")
    return chosen


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the lock of a command. Raises NotebookError where it is at work here already."""
    folder = build_folder()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            yield
    except Timeout:
        raise NotebookError(f"another make {name} is at work in {folder}: wait for it") from None


def execute(source: Path, target: Path, choice: Choice) -> str:
    """Execute one notebook in this process; returns a line about it."""
    from helpers.commands import runner

    parameters = {"profile": choice.profile, "device": choice.device}
    parameters |= {"seeds": choice.seeds} if choice.seeds else {}
    begun, training = time.perf_counter(), environ.get("EVIDENCE", "").startswith("{")
    notebook = runner.execute(source, target, parameters, timeout=None if training else TIMEOUT)
    seconds, done = time.perf_counter() - begun, closing(notebook)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    return (
        f"{source.stem:32s} {seconds:4.0f} s  {cells:3d} cells  {done['networks']:5d} networks "
        f"stored, {done['here']:3d} here  {count_words(done['verdicts'])}"
    )


def run_all(choice: Choice, folder: Path, more: Mapping[str, str] | None = None) -> int:
    """Execute the chosen notebooks side by side, a process each; returns the exit status.

    `more` goes into their environment. All are run, whatever becomes of one.
    """
    _silence_kernels()
    begun, order = time.perf_counter(), choice.notebooks
    if choice.jobs > 1:  # the longest first, which leaves no core idle
        order = sorted(order, key=_seconds, reverse=True)
    with ThreadPoolExecutor(choice.jobs) as pool:
        calls = [pool.submit(_execute_apart, path, folder, choice, more) for path in order]
        try:
            failed = sum(call.result() for call in calls)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    print(f"{len(calls) - failed} of {len(calls)} notebooks in {time.perf_counter() - begun:.0f} s")
    return int(failed > 0)


def _seconds(source: Path) -> float:
    """How long a notebook took when its outputs were stored."""
    return closing(json.loads(source.read_text(encoding="utf-8"))).get("seconds", 0)


def closing(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """What the closing line of a notebook, as its JSON, says: networks, verdicts, seconds."""
    for cell in reversed(notebook["cells"]):
        for output in cell.get("outputs", []):
            if MIME in output.get("data", {}):
                return output["data"][MIME]
    return {"networks": 0, "here": 0, "verdicts": {}}


def _execute_apart(
    source: Path, folder: Path, choice: Choice, more: Mapping[str, str] | None
) -> bool:
    """Execute a notebook in a process of its own; whether it failed."""
    command = ["execute", str(source), str(folder / source.name), "--profile", choice.profile]
    command += ["--device", choice.device]
    command += ["--seeds", str(choice.seeds)] if choice.seeds else []
    process = PROCESSES.Process(target=_command, args=(command, surroundings(more)))
    process.start()
    process.join()
    if process.exitcode < 0:  # a process that fails says so itself
        cause = f"stopped by signal {-process.exitcode}, most often because memory ran out"
        print(f"FAILED {source}: {cause}: set JOBS=1 and run it again", file=sys.stderr)
    return process.exitcode != 0


def _command(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    from helpers.commands.cli import main

    threading.Thread(target=_end_with_parent, daemon=True).start()
    environ.update(environment)
    sys.exit(main(list(arguments)))


def _end_with_parent() -> None:
    """End this process, and so its kernel, with the one that began it, were that killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def surroundings(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a kernel: one thread, and memory that is kept between updates."""
    threads = environ.get("THREADS") or "1"
    quick = {  # glibc's malloc would ask the system anew for the memory of every update
        "MALLOC_MMAP_THRESHOLD_": "33554432",
        "MALLOC_TRIM_THRESHOLD_": "1073741824",
        **({"OMP_NUM_THREADS": threads} if threads.isdecimal() else {}),
        "IPYTHONDIR": str(build_folder() / "ipython"),
    }
    return {**environ, **quick, **(more or {})}


def _silence_kernels() -> None:
    """Keep kernels from warning, once a notebook, about what concerns nobody here."""
    config = build_folder() / "ipython" / "profile_default" / "ipython_kernel_config.py"
    write_whole(config, "c.IPKernelApp.log_level = 50\n")


def renew(paths: Sequence[Path]) -> None:
    """Write what needs no run: links and set-up cells of notebooks, the page on teaching."""
    from helpers.commands import heads, student

    for path in paths:
        heads.into(path)
    student.renew()


def refresh(choice: Choice) -> int:
    """Execute notebooks against the evidence; store their outputs, findings and what shows them."""
    from helpers.commands import front, openings

    folder = build_folder() / "refresh"
    with alone("refresh"):
        renew(choice.notebooks)
        if status := run_all(choice, folder, {"EVIDENCE": "refresh"}):
            return status
        for path in choice.notebooks:
            openings.into(path, folder / path.name)
        front.write()
    return 0
