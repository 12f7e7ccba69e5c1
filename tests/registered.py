"""A registry of one's own, wherever the real one is asked."""

import sys

from helpers.evidence.registry import Claim


def register(monkeypatch, *claims: Claim) -> None:
    """Let every module that knows the registry see these claims alone."""
    known = {claim.id: claim for claim in claims}
    for name, module in list(sys.modules.items()):
        if name.startswith("helpers.") and hasattr(module, "registry"):
            if callable(module.registry):
                monkeypatch.setattr(module, "registry", lambda: known)
