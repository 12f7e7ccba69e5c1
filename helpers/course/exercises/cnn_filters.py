"""Exercises of notebook 01."""

from typing import Any

import torch
from torch.nn import functional as F

from helpers.course.exercises.kinds import Code, Quick, whole_numbers
from helpers.nets.cnn import correlate


def answers_only_horizontal_edges(answer: Any) -> bool:
    """Whether a 3 x 3 filter is silent on an upright edge and answers to a level one."""
    kernel = torch.as_tensor(answer, dtype=torch.float32)
    upright = torch.tensor([[0.0, 0, 1, 1, 1]] * 5)
    to_upright, to_level = (correlate(image, kernel) for image in (upright, upright.T))
    return kernel.shape == (3, 3) and bool(to_upright.abs().max() < 1e-6 < to_level.abs().max())


# --- one filter on an image of several channels -------------------------------------------------


def convolve(image, weight, stride):
    """One filter (channels, height, width) on an image (channels, height, width)."""
    _, height, width = weight.shape
    rows = (image.shape[1] - height) // stride + 1
    columns = (image.shape[2] - width) // stride + 1
    output = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            patch = image[:, top : top + height, left : left + width]
            output[i, j] = (patch * weight).sum()
    return output


def convolve_torch(image, weight, stride):
    """The same by PyTorch."""
    return F.conv2d(image[None], weight[None], stride=stride)[0, 0]


def image_and_filter(generator: torch.Generator) -> tuple:
    """An image, a filter that fits into it, a stride from 1 to 3."""
    channels, height, width, more_rows, more_columns, stride = whole_numbers(
        generator, (2, 5), (2, 4), (2, 4), (3, 8), (3, 8), (1, 4)
    )
    image = torch.randn(channels, height + more_rows, width + more_columns, generator=generator)
    return image, torch.randn(channels, height, width, generator=generator), stride


def without_jumping(image, weight, stride):
    """As many outputs as with the stride, at neighbouring places."""
    rows, columns = convolve_torch(image, weight, stride).shape
    return convolve_torch(image, weight, 1)[:rows, :columns]


def jumping_down_only(image, weight, stride):
    """The stride in one direction."""
    columns = convolve_torch(image, weight, stride).shape[1]
    return convolve_torch(image, weight, 1)[::stride, :columns]


def last_row_missing(image, weight, stride):
    """Without the + 1 of the output's size."""
    return convolve_torch(image, weight, stride)[:-1, :-1]


CONVOLVE = Code(
    convolve_torch,
    image_and_filter,
    {
        "The stride is not used: the filter should jump by it, in both directions.": (
            lambda image, weight, stride: convolve_torch(image, weight, 1)
        ),
        "The output has the right size, but the patches are neighbours: patch i begins at "
        "i x stride.": without_jumping,
        "The filter jumps downwards only: the stride is for both directions.": jumping_down_only,
        "The last row and column are missing: there are (size - kernel) // stride + 1 places.": (
            last_row_missing
        ),
        "The filter is flipped. That is the mathematician's convolution; deep learning lays the "
        "filter on the image as it is.": (
            lambda image, weight, stride: convolve_torch(image, weight.flip(1, 2), stride)
        ),
        "Every channel has a map of its own. One filter gives one map: sum over the channels, "
        "too.": (
            lambda image, weight, stride: F.conv2d(
                image[None], weight[:, None], stride=stride, groups=len(image)
            )[0]
        ),
        "Only the first channel is used: a filter reads all of them.": (
            lambda image, weight, stride: convolve_torch(image[:1], weight[:1], stride)
        ),
        "Rows and columns have changed places: the first index of the output goes down.": (
            lambda image, weight, stride: convolve_torch(image, weight, stride).T
        ),
        "That is the mean of the products; a filter takes their sum.": (
            lambda image, weight, stride: convolve_torch(image, weight / weight.numel(), stride)
        ),
        "The products are summed over the channels, but divided by their number: take the sum.": (
            lambda image, weight, stride: convolve_torch(image, weight / len(weight), stride)
        ),
        "A frame of zeros was put around the image. None is asked for: the filter stays inside.": (
            lambda image, weight, stride: F.conv2d(
                image[None], weight[None], stride=stride, padding=(weight.shape[1] // 2,) * 2
            )[0, 0]
        ),
    },
    "Two loops over the places of the output. Which rows and columns of the image lie under the "
    "filter at place (i, j)? Multiply all their channels with the filter and add everything up.",
    convolve,
)

# --- how far a unit sees ------------------------------------------------------------------------


def receptive_field(layers):
    """Width in pixels that one unit above a stack of (kernel, stride) sees."""
    width, distance = 1, 1  # distance: between neighbouring units, in pixels
    for kernel, stride in layers:
        width += (kernel - 1) * distance
        distance *= stride
    return width


def receptive_field_torch(layers):
    """From the first pixel to the last from which a gradient comes back, in one dimension."""
    size = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
    pixels = torch.ones(1, 1, size + 8, requires_grad=True)
    value = pixels
    for kernel, stride in layers:
        value = F.conv1d(value, torch.ones(1, 1, kernel), stride=stride)
    (gradient,) = torch.autograd.grad(value[0, 0, 0], pixels)
    seen = gradient[0, 0].nonzero()
    return int(seen.max() - seen.min()) + 1


def stack(generator: torch.Generator) -> tuple:
    """Two to four layers, kernels from 2 to 5 and strides from 1 to 3."""
    (count,) = whole_numbers(generator, (2, 5))
    kernels = torch.randint(2, 6, (count,), generator=generator).tolist()
    strides = torch.randint(1, 4, (count,), generator=generator).tolist()
    return (list(zip(kernels, strides, strict=True)),)


def own_stride_first(layers):
    """The distance grows before its layer has been counted."""
    width, distance = 1, 1
    for kernel, stride in layers:
        distance *= stride
        width += (kernel - 1) * distance
    return width


def strides_not_multiplied(layers):
    """Only the stride of the layer below counts."""
    below = [1, *(stride for _, stride in layers)]
    return 1 + sum((kernel - 1) * under for (kernel, _), under in zip(layers, below, strict=False))


def strides_added(layers):
    """Distances grow by sums."""
    width, distance = 1, 1
    for kernel, stride in layers:
        width += (kernel - 1) * distance
        distance += stride - 1
    return width


FIELD = Code(
    receptive_field_torch,
    stack,
    {
        "The strides are not used: above a layer of stride 2, neighbours are 2 pixels apart.": (
            lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers)
        ),
        "A layer adds kernel - 1 times the distance, not kernel times: its first input was "
        "counted already.": (
            lambda layers: receptive_field([(kernel + 1, stride) for kernel, stride in layers])
        ),
        "A layer's own stride moves what lies above it. Count the layer first, then let the "
        "distance grow.": own_stride_first,
        "A layer counts the stride of the layer below it only: the distances multiply, all the "
        "way up.": strides_not_multiplied,
        "The strides are added up: two layers of stride 3 make neighbours 9 pixels apart, not 5.": (
            strides_added
        ),
        "The layers are taken from the wrong end: the first in the list is the lowest.": (
            lambda layers: receptive_field(layers[::-1])
        ),
        "One pixel is missing: before any layer a unit sees 1 pixel, itself.": (
            lambda layers: receptive_field(layers) - 1
        ),
        "That is the sum of the kernels. Neighbouring units share most of what they see.": (
            lambda layers: sum(kernel for kernel, _ in layers)
        ),
    },
    "Walk up from the pixels and keep two numbers: how wide a unit sees, and how many pixels lie "
    "between neighbouring units. What does a layer (kernel, stride) do to each?",
    receptive_field,
)

EXERCISES = {
    "01.first-number": Quick(
        -3,
        "Multiply each of the nine pixels by the weight on top of it, then add up.",
        "1(-1) + 2(0) + 2(1) + 2(-2) + 2(0) + 1(2) + 2(-1) + 1(0) + 0(1) = -3.",
        mistakes={
            "That is the number of the window where it stands: move it one pixel to the right.": 6,
            "Its sign is the other way round: the left column counts negative.": 3,
        },
    ),
    "01.block": Quick(
        144,
        "It lies on all sixteen maps at once, 3 x 3 numbers of each.",
        "16 x 3 x 3 = 144.",
        mistakes={
            "That is a filter of the first layer. One of the second reads sixteen maps.": 9,
            "144 are the weights; the bias stands beside them.": 145,
            "Those are the weights of all 32 filters. How many has one?": 4608,
        },
    ),
    "01.output-size": Quick(
        14,
        "Put the four numbers into the formula; the brackets round down.",
        "floor((28 + 2 - 3) / 2) + 1 = 14.",
    ),
    "01.receptive-field": Quick(
        10,
        "3 after the first convolution, 4 after pooling; then neighbours are 2 pixels apart.",
        "3, then 3 + 1 = 4, then 4 + 2 x 2 = 8, then 8 + 2 = 10.",
    ),
    "01.count-parameters": Quick(
        608,
        "Each filter is a block: channels x height x width, and has one bias.",
        "8 x (3 x 5 x 5) + 8 = 608.",
    ),
    "01.same-padding": Quick(
        2,
        "Set the output's side equal to the input's in the formula.",
        "size + 2p - 5 + 1 = size, so p = 2.",
    ),
    "01.horizontal-edge": Quick(
        [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
        "The vertical filter subtracts the left column from the right one. Turn it.",
        "[[-1, -1, -1], [0, 0, 0], [1, 1, 1]]: the lower row minus the upper one.",
        accepts=answers_only_horizontal_edges,
    ),
    "01.third-convolution": Quick(
        18, "After two poolings neighbouring units are 4 pixels apart.", "10 + (3 - 1) x 4 = 18."
    ),
    "01.convolve": CONVOLVE,
    "01.field-of-a-stack": FIELD,
}
