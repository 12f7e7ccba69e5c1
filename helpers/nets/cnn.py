"""The networks of the course, small enough to read in one sitting."""

import bisect
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.given import check_tensor, check_whole


class SimpleCNN(nn.Module):
    """The recap's network: two convolutions with pooling, then two dense layers.

    Maps images (batch, in_channels, size, size) to logits (batch, classes). With the defaults
    `conv1.weight` has the recap's shape [16, 1, 3, 3] and the network 108,618 parameters.

    Raises ValueError for sizes below 1, and for an image too small for two convolutions and two
    poolings.
    """

    def __init__(
        self,
        channels: tuple[int, int] = (16, 32),
        kernel_size: int = 3,
        hidden: int = 128,
        classes: int = 10,
        in_channels: int = 1,
        size: int = 28,
    ):
        super().__init__()
        check_whole(kernel_size=kernel_size, hidden=hidden, classes=classes)
        check_whole(in_channels=in_channels, size=size)
        for width in channels:
            check_whole(channels=width)
        side = output_size(output_size(size, kernel_size) // 2, 3) // 2
        if side < 1:
            raise ValueError(
                f"a {size}x{size} image leaves nothing after a {kernel_size}x{kernel_size} and a "
                "3x3 convolution with 2x2 pooling: use a larger image or a smaller kernel"
            )
        self.conv1 = nn.Conv2d(in_channels, channels[0], kernel_size)
        self.conv2 = nn.Conv2d(channels[0], channels[1], 3)
        self.dense = nn.Linear(channels[1] * side**2, hidden)
        self.head = nn.Linear(hidden, classes)

    def features(self, x: Tensor) -> Tensor:
        """What the convolutions make of images: (batch, channels, 5, 5) with the defaults."""
        # ReLU after pooling gives the same values as before it, from a quarter of the work.
        x = F.relu(F.max_pool2d(self.conv1(x), 2))  # (batch, 16, 13, 13)
        return F.relu(F.max_pool2d(self.conv2(x), 2))  # (batch, 32, 5, 5)

    def classify(self, features: Tensor) -> Tensor:
        """Logits (batch, classes) from the features."""
        return self.head(F.relu(self.dense(features.flatten(1))))

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))


class MLP(nn.Module):
    """A dense network with one hidden layer, the baseline that knows nothing of neighbourhood.

    Maps inputs (batch, ...), flattened, to logits (batch, classes). With the defaults it has
    108,130 parameters, within half a percent of `SimpleCNN`. Raises ValueError for sizes below 1.
    """

    def __init__(self, inputs: int = 784, hidden: int = 136, classes: int = 10):
        super().__init__()
        check_whole(inputs=inputs, hidden=hidden, classes=classes)
        self.dense = nn.Linear(inputs, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.dense(x.flatten(1))))


class CNN1D(nn.Module):
    """Three strided convolutions along a signal, then one dense layer.

    Maps signals (batch, length), or (batch, in_channels, length), to logits (batch, classes). With
    the defaults it has 5,210 parameters, the network of Greydanus and Kobak 2024, "Scaling down
    deep learning with MNIST-1D".

    Raises ValueError for sizes below 1, and a signal too short for three convolutions.
    """

    def __init__(
        self, channels: int = 25, classes: int = 10, in_channels: int = 1, length: int = 40
    ):
        super().__init__()
        check_whole(channels=channels, classes=classes, in_channels=in_channels)
        check_whole(3, length=length)
        self.conv1 = nn.Conv1d(in_channels, channels, 5, stride=2, padding=1)
        self.conv2 = nn.Conv1d(channels, channels, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(channels, channels, 3, stride=2, padding=1)
        for kernel in (5, 3, 3):
            length = output_size(length, kernel, stride=2, padding=1)
        self.head = nn.Linear(channels * length, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1) if x.ndim == 2 else x
        for convolution in (self.conv1, self.conv2, self.conv3):
            x = F.relu(convolution(x))  # (batch, channels, 19), then 10, then 5
        return self.head(x.flatten(1))


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Side of a convolution's output: floor((size + 2 padding - kernel) / stride) + 1.

    Dumoulin and Visin 2016, "A guide to convolution arithmetic", relationship 6. Raises ValueError
    for a kernel or stride below 1, and for what is no whole number.
    """
    check_whole(-math.inf, size=size, padding=padding)
    check_whole(kernel=kernel, stride=stride)
    return (size + 2 * padding - kernel) // stride + 1


def correlate(image: Tensor, kernel: Tensor) -> Tensor:
    """Slide a kernel (h, w) over an image (H, W): multiply, sum, move on one pixel.

    Returns (H - h + 1, W - w + 1). What deep learning calls a convolution is this
    cross-correlation: the kernel is not flipped (Goodfellow et al. 2016, section 9.1). Raises
    ValueError for a kernel larger than the image, and for what is no matrix of numbers.
    """
    check_tensor("rows, columns", True, image=image, kernel=kernel)
    height, width = kernel.shape
    rows, columns = image.shape[0] - height + 1, image.shape[1] - width + 1
    if min(rows, columns) < 1:
        raise ValueError(f"the kernel {tuple(kernel.shape)} is larger than {tuple(image.shape)}")
    out = torch.empty(rows, columns, dtype=image.dtype)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = (image[i : i + height, j : j + width] * kernel).sum()
    return out


def freeze(model: nn.Module, layers: Sequence[str]) -> nn.Module:
    """Exclude the named layers from training and return the model.

    Raises AttributeError when a layer does not exist.
    """
    for name in layers:
        model.get_submodule(name).requires_grad_(False)
    return model


def parameter_count(model: nn.Module) -> int:
    """Number of parameters, frozen ones included."""
    return sum(p.numel() for p in model.parameters())


def width_for(build: Callable[[int], nn.Module], parameters: int, most: int = 4096) -> int:
    """The width at which `build(width)` comes closest to so many parameters, from 1 to `most`.

    For arms of equal size; the network must grow with its width. Raises ValueError for numbers
    below 1.
    """
    check_whole(parameters=parameters, most=most)

    def size(width: int) -> int:
        with torch.device("meta"):  # shapes alone: drawing the weights would take most of the time
            return parameter_count(build(width))

    wide = bisect.bisect_left(range(1, most), parameters, key=size) + 1
    return min(wide, max(wide - 1, 1), key=lambda width: abs(size(width) - parameters))
