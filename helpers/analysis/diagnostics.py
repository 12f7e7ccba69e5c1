"""Looking inside a network: filters, receptive fields, ablation, gradients."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.given import ABOVE_0, check_real, check_tensor, check_whole

# --- filters -------------------------------------------------------------------------------


def gaussian_derivatives(size: int, sigma: float) -> Tensor:
    """The two first derivatives of a Gaussian on a size x size grid: (2, size, size), unit norm.

    The model of an edge detector (Canny 1986, section V); a 3x3 Sobel filter is close to one.
    Raises ValueError for a size below 2, and a sigma that is not positive.
    """
    check_whole(2, size=size)
    check_real(ABOVE_0, sigma=sigma)
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    gaussian = torch.exp(-(axis**2) / (2 * sigma**2))
    derivative = -axis * gaussian
    pair = torch.stack([torch.outer(gaussian, derivative), torch.outer(derivative, gaussian)])
    return pair / pair.flatten(1).norm(dim=1)[:, None, None]


def edge_share(filters: Tensor, sigmas: Sequence[float] = (0.7, 1.0, 1.5, 2.0)) -> Tensor:
    """Share of each filter's energy that lies in the span of an oriented edge detector.

    `filters` is (n, k, k); returns n values in [0, 1], each the best over the widths `sigmas` in
    pixels. Brightness is not an edge: the mean of a filter is taken off first, and a blur scores
    0. A random 3x3 filter scores 1/4 on average at one width: two dimensions out of eight.
    Raises ValueError for filters of another shape, and no widths.
    """
    check_tensor("n, k, k", filters=filters)
    check_whole(**{"number of sigmas": len(sigmas)})
    flat = filters.detach().double().flatten(1)  # (n, k*k)
    flat = flat - flat.mean(dim=1, keepdim=True)
    energy = flat.square().sum(1).clamp_min(1e-20)
    shares = [
        (flat @ gaussian_derivatives(filters.shape[-1], s).flatten(1).T).square().sum(1) / energy
        for s in sigmas
    ]
    return torch.stack(shares).amax(0)


def relative_move(before: Tensor, after: Tensor) -> float:
    """`|after - before| / |before|`, with the norm over all weights (Frobenius).

    Raises ValueError for weights of two shapes.
    """
    if before.shape != after.shape:
        raise ValueError(f"before is {tuple(before.shape)}, after {tuple(after.shape)}: use one")
    return ((after - before).norm() / before.norm()).item()


# --- receptive field and shifts --------------------------------------------------------------


def receptive_field(layers: nn.Module, x: Tensor) -> Tensor:
    """Which input pixels reach the central output unit of `layers`, and how strongly.

    The gradient of that unit with respect to the images x (batch, channels, H, W), absolute and
    averaged over batch and channels: (H, W). Zero outside the receptive field (Luo et al. 2016,
    "Understanding the effective receptive field", section 2). Raises ValueError for other inputs.
    """
    check_tensor("batch, channels, height, width", x=x)
    x = x.detach().requires_grad_()
    out = layers(x)  # (batch, channels, h, w)
    centre = out[:, :, out.shape[2] // 2, out.shape[3] // 2].sum()
    (gradient,) = torch.autograd.grad(centre, x)
    return gradient.abs().mean(dim=(0, 1))


def shift(images: Tensor, right: int = 0, down: int = 0) -> Tensor:
    """Move images (..., H, W) by whole pixels; what enters is background, nothing wraps around.

    Background is each image's smallest value (black, in standardised digits). Raises ValueError
    for parts of a pixel.
    """
    check_whole(-math.inf, right=right, down=down)
    moved = images.roll((down, right), dims=(-2, -1))
    rows = torch.arange(images.shape[-2], device=images.device)
    columns = torch.arange(images.shape[-1], device=images.device)
    row_entered = (rows < down) | (rows >= len(rows) + down)
    column_entered = (columns < right) | (columns >= len(columns) + right)
    background = images.amin(dim=(-2, -1), keepdim=True)
    return torch.where(row_entered[:, None] | column_entered, background, moved)


def accuracy_by_class(logits: Tensor, y: Tensor) -> Tensor:
    """Share of each class's examples whose largest logit is the right one: (classes,).

    `logits` is (n, classes), `y` holds the labels (n,); NaN for a class without examples. Raises
    ValueError for other shapes and labels.
    """
    check_tensor("n, classes", logits=logits)
    _check_labels(y, len(logits), logits.shape[1])
    hits = y[logits.argmax(1) == y].bincount(minlength=logits.shape[1])
    return hits / y.bincount(minlength=logits.shape[1])


@torch.inference_mode()
def ablation_drops(classify: Callable[[Tensor], Tensor], features: Tensor, y: Tensor) -> Tensor:
    """What each channel of a feature map is worth to each class: (channels, classes).

    The fall in a class's accuracy when `classify`, the part of the network above `features`
    (n, channels, h, w), finds that channel silent (Morcos et al. 2018, "On the importance of
    single directions for generalization", section 2.3).
    """
    check_tensor("n, channels, height, width", features=features)
    intact = accuracy_by_class(classify(features), y)
    drops = []
    for channel in range(features.shape[1]):
        silenced = features.clone()
        silenced[:, channel] = 0
        drops.append(intact - accuracy_by_class(classify(silenced), y))
    return torch.stack(drops)


def _check_labels(y: Tensor, count: int, classes: float = math.inf) -> None:
    """Raise ValueError unless y holds a label, 0 and up, below `classes`, for each of `count`."""
    if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != (count,):
        raise ValueError(f"y is {y!r:.80}: give an int64 label for each of {count} examples")
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"y runs from {y.min()} to {y.max()}: labels lie in 0..{classes} - 1")


def class_means(features: Tensor, y: Tensor) -> Tensor:
    """Mean activation of each channel for each class, (channels, classes).

    `features` is (n, channels, h, w) after ReLU, `y` holds the labels (n,); NaN for a class without
    examples. Raises ValueError for other shapes and labels.
    """
    check_tensor("n, channels, height, width", features=features)
    _check_labels(y, len(features))
    maps = features.mean(dim=(2, 3))  # (n, channels)
    return torch.stack([maps[y == k].mean(0) for k in range(int(y.max()) + 1)], dim=1)


def class_selectivity(means: Tensor) -> Tensor:
    """Selectivity of each channel, from its mean activation per class (channels, classes).

    (largest - mean of the others) / (largest + mean of the others), in [0, 1]: 0 for a channel
    that answers all classes alike, 1 for one that answers a single class; NaN for a dead channel
    (Morcos et al. 2018, section 2.4).
    """
    top = means.amax(1)
    others = (means.sum(1) - top) / (means.shape[1] - 1)
    return (top - others) / (top + others)


def detectors(features: Tensor, y: Tensor, drops: Tensor) -> tuple[Tensor, Tensor]:
    """Which channels are selective for one class, and which that class depends on.

    `features` (n, channels, h, w), labels `y` (n,) and `drops` of `ablation_drops`. Two boolean
    tensors (channels,): class selectivity above 0.8; and an ablation that costs the channel's
    favourite class at least ten points more than the others on average. A dead channel is neither.
    """
    means = class_means(features, y)
    favourite = means.argmax(1, keepdim=True)
    own = drops.gather(1, favourite)[:, 0]
    others = (drops.sum(1) - own) / (drops.shape[1] - 1)
    return class_selectivity(means) > 0.8, (own - others >= 0.1) & (means.amax(1) > 0)


# --- memory ----------------------------------------------------------------------------------

RIDGE = 1e-6  # of the probe's least squares


@torch.no_grad()
def linear_probe(states: Tensor, symbols: Tensor, lags: Sequence[int] = range(21)) -> pd.Series:
    """Accuracy with which a linear read-out of the state names the symbol of `lag` steps before.

    `states` is (sequences, time, hidden), `symbols` int64 (sequences, time) what was read at each
    step; independent and evenly drawn, they are guessed right one time in their number. One-hot
    least squares, fitted in float64 to the first half of the sequences and scored on the rest, at
    the same steps for every lag. RIDGE acts like noise of that variance on every unit: what is
    fainter cannot be read (Alain and Bengio 2017, "Understanding intermediate layers using linear
    classifier probes"). Returns accuracy indexed by lag.

    Raises ValueError for shapes that do not fit, fewer than two sequences, lags outside the
    sequence and states that are not finite.
    """
    _check_probe(states, symbols, lags)
    first, time, half = max(lags), states.shape[1], len(states) // 2
    read = F.pad(states[:, first:].double(), (0, 1), value=1.0)  # a constant takes up the mean
    fitted, scored = read[:half].flatten(0, 1), read[half:].flatten(0, 1)
    noise = RIDGE * len(fitted) * torch.eye(read.shape[2], dtype=read.dtype, device=read.device)
    products, accuracy = fitted.T @ fitted + noise, {}
    for lag in lags:
        target = symbols[:, first - lag : time - lag]
        one_hot = F.one_hot(target[:half].flatten(), int(symbols.max()) + 1).double()
        weights = torch.linalg.solve(products, fitted.T @ one_hot)
        named = (scored @ weights).argmax(1)
        accuracy[lag] = (named == target[half:].flatten()).double().mean().item()
    return pd.Series(accuracy, name="accuracy").rename_axis("lag")


def _check_probe(states: Tensor, symbols: Tensor, lags: Sequence[int]) -> None:
    shapes = f"states {tuple(states.shape)} and symbols {tuple(symbols.shape)}"
    if states.ndim != 3 or states.shape[:2] != symbols.shape or symbols.dtype != torch.int64:
        raise ValueError(
            f"{shapes}: use (sequences, time, hidden) and int64 (sequences, time) of the same steps"
        )
    if len(states) < 2 or not lags or min(lags) < 0 or max(lags) >= states.shape[1]:
        raise ValueError(
            f"{shapes}, lags {list(lags)}: use two sequences or more, and lags from 0 that are "
            "shorter than them"
        )
    if symbols.min() < 0 or not states.isfinite().all():
        raise ValueError("a probe needs finite states and symbols from 0")


# --- gradients -------------------------------------------------------------------------------


def central_differences(f: Callable[[], Tensor], parameter: Tensor, eps: float = 1e-6) -> Tensor:
    """Numerical gradient of the scalar f() with respect to `parameter`, entry by entry.

    (f(w + eps) - f(w - eps)) / (2 eps); use float64, or rounding drowns the result. A larger eps
    may carry a ReLU or a maximum across its kink. The parameter is put back afterwards. Raises
    ValueError for an eps that is not positive.
    """
    check_real(ABOVE_0, eps=eps)
    gradient = torch.zeros_like(parameter)
    with torch.no_grad():
        for index in np.ndindex(*parameter.shape):
            value = parameter[index].item()
            parameter[index] = value + eps
            above = f()
            parameter[index] = value - eps
            gradient[index] = (above - f()) / (2 * eps)
            parameter[index] = value
    return gradient
