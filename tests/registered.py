"""A registry of one's own, wherever the real one is asked."""

import sys
from dataclasses import replace
from typing import Any

from helpers.evidence.registry import Claim, Test, registry


def toy(*tests: Test, **changes: Any) -> Claim:
    """A claim "toy" of the notebook 01_toy, with these tests and no answer."""
    own = {"id": "toy", "notebook": "01_toy", "test": tests, "answer": ""}
    return replace(registry()["cnn.learn-filters"], **own | changes)


def register(monkeypatch, *claims: Claim) -> None:
    """Let every module that knows the registry see these claims alone."""
    known = {claim.id: claim for claim in claims}
    for name, module in list(sys.modules.items()):
        if name.startswith("helpers.") and hasattr(module, "registry"):
            if callable(module.registry):
                monkeypatch.setattr(module, "registry", lambda: known)
