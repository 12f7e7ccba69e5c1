"""How sharply a loss curves: Hessian-vector products, the largest eigenvalue, gradient descent.

A network of n weights has a Hessian of n x n numbers, too many to write down. A product with one
direction costs about as much as two gradients, and the largest eigenvalue, the sharpness, needs
only such products (Pearlmutter 1994, "Fast exact multiplication by the Hessian").
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn

from helpers.data.given import ABOVE_0, check_real, check_whole

TOLERANCE = 1e-3
Loss = Callable[[], Tensor]  # of the weights as they are, as a scalar with a graph


def hessian_product(loss: Loss, weights: Sequence[Tensor], direction: Tensor) -> Tensor:
    """The Hessian of `loss()` times a direction (n,), both over all `weights` laid end to end.

    The gradient is differentiated once more along the direction: exact, no differences are taken.
    """
    gradient = torch.autograd.grad(loss(), weights, create_graph=True, materialize_grads=True)
    slope = torch.cat([part.flatten() for part in gradient]) @ direction
    product = torch.autograd.grad(slope, weights, materialize_grads=True)
    return torch.cat([part.flatten() for part in product])


def sharpness(loss: Loss, weights: Sequence[Tensor]) -> float:
    """The largest eigenvalue of the Hessian of `loss()`: how sharply it curves at most.

    By Lanczos iteration (ARPACK, through `scipy.sparse.linalg.eigsh`) to a relative TOLERANCE;
    gradient descent on a quadratic of this curvature is stable up to a learning rate of
    2 / sharpness. Negative where the loss curves downwards everywhere. Weights stay as they are.

    Raises ValueError when the loss, or its curvature, is not finite.
    """
    weights = list(weights)
    n, like = sum(w.numel() for w in weights), weights[0]

    def times(direction: np.ndarray) -> np.ndarray:
        along = torch.as_tensor(direction.ravel(), dtype=like.dtype, device=like.device)
        product = hessian_product(loss, weights, along).cpu().double().numpy()
        if not np.isfinite(product).all():
            raise ValueError("the curvature is not finite: the weights have diverged")
        return product

    if n == 1:  # too small for Lanczos
        return float(times(np.ones(1))[0])
    start = np.random.default_rng(0).standard_normal(n)  # the same at every call
    hessian = LinearOperator((n, n), times, dtype=np.float64)  # pyrefly: ignore
    try:
        return float(eigsh(hessian, 1, which="LA", tol=TOLERANCE, v0=start)[0][0])
    except ArpackNoConvergence as error:  # two eigenvalues closer than the tolerance tells apart
        raise ValueError(f"the largest eigenvalue was not found: {error}") from error


def descend(
    model: nn.Module, loss: Loss, lr: float, steps: int, measure_every: int
) -> dict[str, list[float]]:
    """Full-batch gradient descent on `model`, in place, with a look at the curvature on the way.

    Every `measure_every` updates, from before the first on, one value each of "step", "loss" and
    "sharpness". Ends early, without a row for it, once the loss or its curvature is not finite.
    Raises ValueError for a learning rate that is not positive, and for steps below 0.
    """
    check_real(ABOVE_0, lr=lr)
    check_whole(0, steps=steps)
    check_whole(measure_every=measure_every)
    weights = [p for p in model.parameters() if p.requires_grad]
    seen = {"step": [], "loss": [], "sharpness": []}
    for step in range(steps + 1):
        value = loss()
        if not value.isfinite():
            break
        if step % measure_every == 0:
            try:
                row = (step, value.item(), sharpness(loss, weights))
            except ValueError:  # the curvature overflows before the loss does
                break
            for name, number in zip(seen, row, strict=True):
                seen[name].append(number)
        gradient = torch.autograd.grad(value, weights)
        with torch.no_grad():
            for w, g in zip(weights, gradient, strict=True):
                w.sub_(g, alpha=lr)
    return seen
