"""The helpers of the course, room by room; what a learner reads stands in the upper ones.

data        what networks are trained on: embedded files, generated tasks, splits, random streams
nets        CNNs, recurrent cells from their equations, read-outs, normalisation, dropout, starts
text        tokens, vocabularies, byte pairs, windows, n-grams, language models at work
training    `fit`, the four steps in the open; `fit_many`, a sweep; schedules, batches, runs, health
  engine    how a sweep is fast: stacks of networks, packs, processes; for `training` alone
analysis    looking into networks: gradients, curvature, filters; timing; deployment
figures     the house style, plots and pictures
evidence    experiments, their store and replay; the registry, the rule and its verdicts, statistics
course      what a notebook talks to: Lab, cards, predictions, exercises, the summary, the red pen
commands    what make calls: run-all, refresh, recap, prove, audit, replicate, compare

Imports go down this list, never up, and import-linter holds that: data, nets, text, then training
and analysis, then evidence.experiment and figures, then course, then commands. The rest of evidence
needs no PyTorch.
"""

import sys
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.2.0"  # of the course; `python -m helpers heads` writes it into the notebooks

PYTHON, TORCH = (3, 11), (2, 10)  # the oldest that are tested


def check_versions() -> None:
    """Raise ImportError for a Python or PyTorch that is older than the code."""
    if sys.version_info < PYTHON:
        needed = _needed("Python", PYTHON, sys.version.split()[0])
        raise ImportError(f"{needed}: take that one, as kernel or as command")
    try:
        torch = version("torch")
    except PackageNotFoundError:
        return  # whoever needs it says so
    if tuple(map(int, torch.split(".")[:2])) < TORCH:
        needed = _needed("PyTorch", TORCH, torch)
        raise ImportError(f"{needed}: python -m pip install --upgrade torch, and restart")


def _needed(name: str, oldest: tuple, found: str) -> str:
    return f"{name} {oldest[0]}.{oldest[1]} or later is needed, and this is {found}"


check_versions()
