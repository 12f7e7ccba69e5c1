"""The closing line of a notebook: what it did, for its reader and for the runner.

Imports nothing large: `helpers.commands` needs no PyTorch to start a notebook.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

PROFILES = ("smoke", "standard")
MIME = "application/vnd.phase03.lab+json"


@dataclass(repr=False)
class Closing:
    """What a notebook did. Prints what is the same on every machine, shows the rest beside it."""

    notebook: str
    networks: int
    here: int
    verdicts: dict[str, str]
    seconds: float
    setting: str

    def __repr__(self) -> str:
        """Networks and verdicts."""
        networks = f"{self.networks} stored networks, {self.here} trained here"
        return f"{self.notebook}: {networks}, {count_words(self.verdicts)}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        seconds = f"{self.seconds:.0f} s, {self.setting}"
        machine = f"Python {platform.python_version()}, {platform.machine()}"
        return {
            "text/plain": repr(self),
            "text/html": f"<p><b>{escape(repr(self))}</b><br>{seconds}, {machine}</p>",
            MIME: {k: v for k, v in vars(self).items() if k != "setting"},
        }


def count_words(verdicts: Mapping[str, str]) -> str:
    """'5 verdicts (3 true if, 2 open)' for verdict words by claim."""
    words = sorted(verdicts.values())
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    return f"{len(words)} verdict{'s' * (len(words) != 1)}" + (f" ({counts})" if words else "")
