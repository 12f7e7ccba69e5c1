"""What a measurement was made on: processor, system, versions."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from helpers.evidence.files import ROOT

PACKAGES = ("torch", "numpy", "scipy", "statsmodels")


def processor() -> str:
    """Name of the processor, such as "AMD EPYC"."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


def instructions() -> str:
    """The instructions that PyTorch uses here, such as "AVX2"."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


def machine() -> dict[str, object]:
    """Processor, its instructions, Python and versions of what computes."""
    return {
        "processor": f"{processor()}, {instructions()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def commit() -> str:
    """The commit that is checked out, with a mark where anything but reports was changed.

    Empty where there is none, or no git.
    """
    name = _git("rev-parse", "--short", "HEAD")
    reports = (":!benchmarks/*.md", ":!data/evidence/replicated.csv")  # which their commands write
    changed = _git("status", "--porcelain", "--untracked-files=no", *reports)
    return f"{name}-dirty" if changed else name


def _git(*command: str) -> str:
    try:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()
