"""Looking inside a network: activations, filters, receptive fields, ablation, gradients."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from helpers.data import Split


@contextmanager
def hooked(model: nn.Module, layer: str, hook: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Within this context `hook(output)` sees what `layer` puts out, and may replace it.

    Raises AttributeError when the layer does not exist.
    """
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, out: hook(out))
    try:
        yield
    finally:
        handle.remove()


def activations(model: nn.Module, x: Tensor, layer: str) -> Tensor:
    """Output of `layer` for inputs x (batch, ...), without gradient: feature maps of a CNN."""
    caught: list[Tensor] = []
    with hooked(model, layer, caught.append), torch.inference_mode():
        model.eval()(x)
    return caught[0].contiguous()


# --- filters -------------------------------------------------------------------------------


def gaussian_derivatives(size: int, sigma: float) -> Tensor:
    """The two first derivatives of a Gaussian on a size x size grid: (2, size, size), unit norm.

    The model of an edge detector (Canny 1986, section V); a 3x3 Sobel filter is close to one.
    """
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    gaussian = torch.exp(-(axis**2) / (2 * sigma**2))
    derivative = -axis * gaussian
    pair = torch.stack([torch.outer(gaussian, derivative), torch.outer(derivative, gaussian)])
    return pair / pair.flatten(1).norm(dim=1)[:, None, None]


def edge_share(filters: Tensor, sigmas: Sequence[float] = (0.7, 1.0, 1.5, 2.0)) -> Tensor:
    """Share of each filter's energy that lies in the span of an oriented edge detector.

    `filters` is (n, k, k); returns n values in [0, 1], each the best over the widths `sigmas` in
    pixels. The mean of a filter counts against it, so that a blur scores 0. A random 3x3 filter
    scores 2/9 on average at one width: two dimensions out of nine.
    """
    flat = filters.detach().double().flatten(1)  # (n, k*k)
    energy = flat.square().sum(1).clamp_min(1e-30)
    shares = [
        (flat @ gaussian_derivatives(filters.shape[-1], s).flatten(1).T).square().sum(1) / energy
        for s in sigmas
    ]
    return torch.stack(shares).amax(0)


def relative_move(before: Tensor, after: Tensor) -> float:
    """|after - before| / |before|, with the norm over all weights (Frobenius)."""
    return ((after - before).norm() / before.norm()).item()


# --- receptive field and shifts --------------------------------------------------------------


def receptive_field(layers: nn.Module, x: Tensor) -> Tensor:
    """Which input pixels reach the central output unit of `layers`, and how strongly.

    The gradient of that unit with respect to the images x (batch, channels, H, W), absolute and
    averaged over batch and channels: (H, W). Zero outside the receptive field (Luo et al. 2016,
    "Understanding the effective receptive field", section 2).
    """
    x = x.detach().requires_grad_()
    out = layers(x)  # (batch, channels, h, w)
    out[:, :, out.shape[2] // 2, out.shape[3] // 2].sum().backward()
    return x.grad.abs().mean(dim=(0, 1))


def shift(images: Tensor, right: int = 0, down: int = 0) -> Tensor:
    """Move images (..., H, W) by whole pixels; what enters is background, nothing wraps around.

    Background is each image's smallest value (black, in standardised digits).
    """
    moved = images.roll((down, right), dims=(-2, -1))
    rows = torch.arange(images.shape[-2], device=images.device)
    columns = torch.arange(images.shape[-1], device=images.device)
    row_entered = (rows < down) | (rows >= len(rows) + down)
    column_entered = (columns < right) | (columns >= len(columns) + right)
    background = images.amin(dim=(-2, -1), keepdim=True)
    return torch.where(row_entered[:, None] | column_entered, background, moved)


# --- what single channels do -----------------------------------------------------------------


@contextmanager
def ablated(model: nn.Module, layer: str, channels: int | Sequence[int]) -> Iterator[None]:
    """Within this context the given output channels of `layer` are zero."""

    def silence(out: Tensor) -> Tensor:
        out = out.clone()
        out[:, channels] = 0
        return out

    with hooked(model, layer, silence):
        yield


@torch.inference_mode()
def accuracy_by_class(model: nn.Module, split: Split, classes: int) -> Tensor:
    """Share of each class's examples that the model gets right: (classes,), float64."""
    correct = (model.eval()(split.x).argmax(1) == split.y).double()
    hits = torch.zeros(classes, dtype=torch.float64, device=correct.device)
    hits.index_add_(0, split.y, correct)
    return (hits / split.y.bincount(minlength=classes)).cpu()


def ablation_drops(model: nn.Module, layer: str, split: Split, classes: int) -> Tensor:
    """What each channel of `layer` is worth to each class: (channels, classes).

    The fall in a class's accuracy when the channel is silenced (Morcos et al. 2018, "On the
    importance of single directions for generalization", section 2.3).
    """
    intact = accuracy_by_class(model, split, classes)
    drops = []
    for channel in range(model.get_submodule(layer).out_channels):
        with ablated(model, layer, channel):
            drops.append(intact - accuracy_by_class(model, split, classes))
    return torch.stack(drops)


def class_means(model: nn.Module, layer: str, split: Split, classes: int) -> Tensor:
    """Mean rectified activation of each channel for each class: (channels, classes)."""
    maps = activations(model, split.x, layer).relu().mean(dim=(2, 3))  # (n, channels)
    return torch.stack([maps[split.y == k].mean(0) for k in range(classes)], dim=1)


def class_selectivity(means: Tensor) -> Tensor:
    """Selectivity of each channel, from its mean activation per class (channels, classes).

    (largest - mean of the others) / (largest + mean of the others), in [0, 1]: 0 for a channel
    that answers all classes alike, 1 for one that answers a single class; NaN for a dead channel
    (Morcos et al. 2018, section 2.4).
    """
    top = means.amax(1)
    others = (means.sum(1) - top) / (means.shape[1] - 1)
    return (top - others) / (top + others)


# --- gradients -------------------------------------------------------------------------------


def central_differences(f: Callable[[], Tensor], parameter: Tensor, eps: float = 1e-5) -> Tensor:
    """Numerical gradient of the scalar f() with respect to `parameter`, entry by entry.

    (f(w + eps) - f(w - eps)) / (2 eps); use float64, or rounding drowns the result. The
    parameter is put back afterwards.
    """
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
