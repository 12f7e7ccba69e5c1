"""MNIST-1D, generated from its recipe: ten classes of short signals that tell networks apart.

Greydanus and Kobak 2024, "Scaling down deep learning with MNIST-1D", arXiv 2011.14439.
"""

import math
from functools import cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from helpers.data.dataset import DataError, Dataset, Split
from helpers.data.given import check_whole
from helpers.data.loading import DIGITS, resolve_device

# As published; lengths are in time steps, noise in units of the template.
LENGTH = 40  # of a finished signal
PADDING = (36, 60)  # fewest and most zeros put behind a template
SCALE = 0.4  # heights are multiplied by 1 ± half of this
MAX_TRANSLATION = 48  # shifts, around the end, lie below this
CORRELATED_NOISE = 0.25  # of the background, before smoothing
IID_NOISE = 0.02
SHEAR = 0.75  # the slope added over the whole signal is at most half of this


def mnist1d_templates() -> np.ndarray:
    """The ten digits as height profiles, float64 (10, 12): each starts at 0, with std 1/6."""
    heights = np.array(
        [
            [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
            [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
            [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
            [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
            [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
            [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
            [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
            [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
            [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
            [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
        ]
    )
    heights = (heights - heights.mean(1, keepdims=True)) / heights.std(1, keepdims=True)
    return (heights - heights[:, :1]) / 6


def make_mnist1d(seed: int = 42, size: int = 5000, device: str | torch.device = "cpu") -> Dataset:
    """Generate MNIST-1D: x float32 (N, 40), y int64 (N,), size / 10 signals a class.

    The first 4/5 are for training, of which the last eighth is validation; the rest is the test.
    As published, mean and std are those of all signals together. The same seed draws the same
    numbers, in the same order, as the `mnist1d` package.
    Raises DataError if size is no multiple of 10 or under 100, for a negative seed, or where the
    device is absent.
    """
    device = resolve_device(device)
    check_whole(0, seed=seed)
    check_whole(-math.inf, size=size)
    if size < 100 or size % 10:
        raise DataError(f"size {size} cannot be shared by 10 classes: use 100, 110, ... 5000 ...")
    random = np.random.RandomState(seed)  # this generator's stream is frozen for good
    y = np.repeat(np.arange(10), size // 10)
    x = _distort(mnist1d_templates()[y], random)
    order = random.permutation(size)
    x, y = x[order], y[order]
    mean, std = x.mean(), x.std()
    x, y = torch.from_numpy((x - mean) / std).float().to(device), torch.from_numpy(y).to(device)
    test = size * 4 // 5
    valid = test - test // 8
    parts = slice(valid), slice(valid, test), slice(test, None)
    train, valid_split, test_split = (Split(x[part], y[part]) for part in parts)
    return Dataset("mnist-1d", train, valid_split, test_split, DIGITS, float(mean), float(std))


def _distort(templates: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Signals (N, LENGTH) of templates (N, 12): pad, stretch, scale, shift, shear, resample.

    Of every signal all is drawn before the next, as in the package; then all are changed at once.
    """
    low, high = PADDING
    length = templates.shape[1] + high
    draws = [
        (
            low + int(random.rand() * (high - low + 1)),
            random.rand() - 0.5,
            random.choice(MAX_TRANSLATION),
            random.randn(length),
            random.randn(length),
            random.rand() - 0.5,
        )
        for _ in templates
    ]
    padding, height, shift, background, noise, slope = map(np.array, zip(*draws, strict=True))
    pairs = zip(templates + 1e-8, padding, strict=True)
    x = np.stack([_resample(np.concatenate([one, np.zeros(n)]), length) for one, n in pairs])
    x = x * (1 + SCALE * height)[:, None]
    x = np.take_along_axis(x, (np.arange(length) - shift[:, None]) % length, axis=1)
    x = np.where(x != 0, x, gaussian_filter1d(CORRELATED_NOISE * background, 2))
    x = x + IID_NOISE * noise - (SHEAR * slope)[:, None] * np.linspace(-0.5, 0.5, length)
    return np.stack([_resample(one, LENGTH) for one in x])


def _resample(signal: np.ndarray, length: int) -> np.ndarray:
    """Linear interpolation at `length` evenly spaced points."""
    return np.interp(_evenly(length), _evenly(len(signal)), signal)


@cache
def _evenly(count: int) -> np.ndarray:
    return np.linspace(0, 1, count)
