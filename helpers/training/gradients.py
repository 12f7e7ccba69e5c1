"""Gradients as they should be before a step: each in memory of its own, none too long."""

from collections.abc import Sequence

from torch import Tensor, nn


def clip_gradients(weights: Sequence[Tensor], clip: float | None) -> None:
    """Shorten the gradient of all weights together to the norm `clip`; None leaves its length."""
    separate_gradients(weights)
    if clip is not None:
        nn.utils.clip_grad_norm_(weights, clip)


def separate_gradients(weights: Sequence[Tensor]) -> None:
    """Give every gradient memory of its own, so that what is done to one leaves the others alone.

    Those of weights that are only added to each other may share theirs (issue 34082 of PyTorch).
    """
    taken = set()
    for w in weights:
        if w.grad is None or w.grad.is_sparse:
            continue
        if w.grad.data_ptr() in taken:
            w.grad = w.grad.clone()
        taken.add(w.grad.data_ptr())
