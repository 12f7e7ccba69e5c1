"""Exercises of notebook 08."""

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.course.exercises.kinds import Code, Quick, whole_numbers

EPS = 1e-5

# --- one batch through BatchNorm ----------------------------------------------------------------


def batch_norm(x, mean, var):
    """Maps (batch, channels, H, W), normalised by this batch, and the running mean and variance."""
    own, spread = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    y = (x - own.view(1, -1, 1, 1)) / (spread.view(1, -1, 1, 1) + EPS).sqrt()
    unbiased = x.var((0, 2, 3))  # divided by n - 1
    return y, 0.9 * mean + 0.1 * own, 0.9 * var + 0.1 * unbiased


def batch_norm_torch(x, mean, var):
    """The same by `F.batch_norm`, which changes the running statistics in place."""
    mean, var = mean.clone(), var.clone()
    y = F.batch_norm(x, mean, var, training=True)
    return y, mean, var


def maps_and_statistics(generator: torch.Generator) -> tuple:
    """Small maps of a random shape, and running statistics that are under way."""
    low, high = torch.tensor([2, 2, 1, 2]), torch.tensor([5, 5, 4, 4])
    shape = (low + (torch.rand(4, generator=generator) * (high - low)).long()).tolist()
    x = 3 * torch.randn(shape, generator=generator) + 2
    mean = torch.randn(shape[1], generator=generator)
    return x, mean, 0.5 + torch.rand(shape[1], generator=generator)


def as_maps(values: Tensor) -> Tensor:
    """Numbers of channels (channels,) as wide as maps."""
    return values.view(1, -1, 1, 1)


def over_the_batch_alone(x, mean, var):
    """A mean for every place."""
    own, spread = x.mean(0, keepdim=True), x.var(0, correction=0, keepdim=True)
    _, new_mean, new_var = batch_norm(x, mean, var)
    return (x - own) / (spread + EPS).sqrt(), new_mean, new_var


def by_image(x, mean, var):
    """Every image by itself."""
    _, new_mean, new_var = batch_norm(x, mean, var)
    return F.layer_norm(x, x.shape[1:]), new_mean, new_var


def by_running(x, mean, var):
    """As in evaluation."""
    _, new_mean, new_var = batch_norm(x, mean, var)
    return (x - as_maps(mean)) / (as_maps(var) + EPS).sqrt(), new_mean, new_var


def unbiased_inside(x, mean, var):
    """n - 1 in both places."""
    _, new_mean, new_var = batch_norm(x, mean, var)
    own, spread = as_maps(x.mean((0, 2, 3))), as_maps(x.var((0, 2, 3)))
    return (x - own) / (spread + EPS).sqrt(), new_mean, new_var


def biased_kept(x, mean, var):
    """n in both places."""
    y, new_mean, _ = batch_norm(x, mean, var)
    return y, new_mean, 0.9 * var + 0.1 * x.var((0, 2, 3), correction=0)


def turned_round(x, mean, var):
    """Nine tenths of the way."""
    y, *_ = batch_norm(x, mean, var)
    return y, 0.1 * mean + 0.9 * x.mean((0, 2, 3)), 0.1 * var + 0.9 * x.var((0, 2, 3))


def by_variance(x, mean, var):
    """No square root."""
    _, new_mean, new_var = batch_norm(x, mean, var)
    own, spread = as_maps(x.mean((0, 2, 3))), as_maps(x.var((0, 2, 3), correction=0))
    return (x - own) / (spread + EPS), new_mean, new_var


BATCH_NORM = Code(
    batch_norm_torch,
    maps_and_statistics,
    {
        "That is a mean for every place. A channel has one mean, over batch, height and width: "
        "dimensions 0, 2 and 3.": over_the_batch_alone,
        "That normalises every image by itself, as LayerNorm does. BatchNorm takes one channel "
        "of all images.": by_image,
        "That is evaluation: in training the batch's own mean and variance normalise, the running "
        "ones are only kept for later.": by_running,
        "The batch is normalised with n - 1. Inside, the variance is the mean of the squared "
        "distances, over n: var(..., correction=0). Only what is kept has n - 1.": (
            unbiased_inside
        ),
        "The kept variance is over n. PyTorch keeps the one over n - 1, var(...) as it comes.": (
            biased_kept
        ),
        "The running statistics move nine tenths of the way. They move one tenth: "
        "0.9 x old + 0.1 x new.": turned_round,
        "Divided by the variance: divide by its square root, the standard deviation.": by_variance,
        "The running statistics come back as they were: move them a tenth of the way.": (
            lambda x, mean, var: (batch_norm(x, mean, var)[0], mean, var)
        ),
        "The running statistics are this batch's: old ones keep nine tenths.": (
            lambda x, mean, var: (
                batch_norm(x, mean, var)[0],
                x.mean((0, 2, 3)),
                x.var((0, 2, 3)),
            )
        ),
    },
    "x.mean((0, 2, 3)) has one number for each channel; .view(1, -1, 1, 1) makes it as wide as x. "
    "The variance that normalises is over n, the one that is kept over n - 1.",
    batch_norm,
)

# --- GroupNorm, and with it LayerNorm and InstanceNorm ------------------------------------------


def group_norm(x, groups):
    """Maps (batch, channels, H, W): every image's channels in `groups`, each normalised."""
    parts = x.view(len(x), groups, -1)
    mean, var = parts.mean(2, keepdim=True), parts.var(2, correction=0, keepdim=True)
    return ((parts - mean) / (var + EPS).sqrt()).view(x.shape)


def maps_and_groups(generator: torch.Generator) -> tuple:
    """Maps of four or six channels in two groups or, of six, three."""
    batch, side, groups = whole_numbers(generator, (2, 5), (2, 5), (2, 4))
    scale = torch.rand(2 * groups, generator=generator).view(1, -1, 1, 1) + 0.2
    drawn = torch.randn(batch, 2 * groups, side, side, generator=generator)
    return 3 * scale * drawn + scale, groups


def normalised(x: Tensor, dims: tuple[int, ...], **how: int) -> Tensor:
    """x with mean 0 and standard deviation 1 over `dims`."""
    var = x.var(dims, keepdim=True, correction=how.get("correction", 0))
    return (x - x.mean(dims, keepdim=True)) / (var + EPS).sqrt()


GROUP_NORM = Code(
    F.group_norm,
    maps_and_groups,
    {
        "That is LayerNorm over channels and places: one group. Split the channels first.": (
            lambda x, groups: normalised(x, (1, 2, 3))
        ),
        "That is InstanceNorm: every channel a group of its own.": (
            lambda x, groups: normalised(x, (2, 3))
        ),
        "That is BatchNorm: it mixes the images. Dimension 0 stays out of the mean.": (
            lambda x, groups: normalised(x, (0, 2, 3))
        ),
        "That is LayerNorm at every place: height and width belong into the mean, too.": (
            lambda x, groups: normalised(x, (1,))
        ),
        "That many channels a group, not that many groups: view(len(x), groups, -1).": (
            lambda x, groups: group_norm(x, x.shape[1] // groups)
        ),
        "Neighbouring channels make a group: here every other channel does.": (
            lambda x, groups: (
                group_norm(
                    x.view(len(x), -1, groups, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
                    groups,
                )
                .view(len(x), groups, -1, *x.shape[2:])
                .transpose(1, 2)
                .reshape(x.shape)
            )
        ),
        "The variance is divided by n - 1: here it is the mean of the squared distances, "
        "var(..., correction=0).": (
            lambda x, groups: normalised(x.view(len(x), groups, -1), (2,), correction=1).view(
                x.shape
            )
        ),
        "The mean is still there: subtract it before you divide.": (
            lambda x, groups: (
                group_norm(x, groups)
                + (
                    x.view(len(x), groups, -1).mean(2, keepdim=True)
                    / (x.view(len(x), groups, -1).var(2, correction=0, keepdim=True) + EPS).sqrt()
                )
                .expand(-1, -1, x[0].numel() // groups)
                .reshape(x.shape)
            )
        ),
        "The shape is not that of the maps: view(x.shape) at the end.": (
            lambda x, groups: group_norm(x, groups).view(len(x), groups, -1)
        ),
    },
    "x.view(len(x), groups, -1) lays every group of every image out in a row. Then it is "
    "LayerNorm along that row, and view(x.shape) brings the maps back.",
    group_norm,
)

EXERCISES = {
    "08.survivor": Quick(
        3.0,
        "PyTorch's p is the chance to be dropped, and survivors are divided by the chance to stay.",
        "2.1 / (1 - 0.3) = 3.",
    ),
    "08.layer-norm": Quick(
        -1.336,
        "Subtract the mean 1/3, then divide by the square root of 0.389.",
        "(-0.5 - 0.333) / sqrt(0.389) = -0.833 / 0.624 = -1.336.",
        within=0.002,
    ),
    "08.values-per-channel": Quick(
        32,
        "Batch size times height times width.",
        "2 x 4 x 4 = 32 numbers, against 2 in the dense net.",
    ),
    "08.border": Quick(
        6.25,
        "Of the 16 places 4 are corners, 8 lie on an edge, 4 in the middle.",
        "(4 x 4 + 8 x 6 + 4 x 9) / 16 = 100 / 16 = 6.25.",
    ),
    "08.factor": Quick(1.25, "One over the chance to be kept.", "1 / (1 - 0.2) = 1.25."),
    "08.running-mean": Quick(
        16,
        "After n batches it is 5 (1 - 0.9^n).",
        "5 (1 - 0.9^n) > 4 needs 0.9^n < 0.2: 0.9^15 = 0.206 and 0.9^16 = 0.185, so 16 batches.",
    ),
    "08.alive": Quick(
        6,
        "Which power of 0.9 is the last one above one half?",
        "0.9^6 = 0.531 and 0.9^7 = 0.478: six steps.",
    ),
    "08.batch-norm": BATCH_NORM,
    "08.group-norm": GROUP_NORM,
}
