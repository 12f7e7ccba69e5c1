"""How a learning rate may change along a run.

A schedule maps the part of a run that is done, 0 to 1, to a factor of the learning rate.
"""

import math
from collections.abc import Callable

from helpers.data.given import ABOVE_0, check_real

Schedule = Callable[[float], float]

BELOW_1 = math.nextafter(1, 0)
RANGE = 1e-5  # from how far below the given rate a range test starts


def constant(progress: float) -> float:
    """The same learning rate throughout."""
    return 1.0


def linear_decay(progress: float) -> float:
    """From the full learning rate to zero, in proportion to the part of the run that is done."""
    return 1.0 - progress


def warm_up(progress: float, share: float = 0.1) -> float:
    """From zero to the full rate over the first `share` of a run, in proportion, then constant.

    Goyal et al. 2017, "Accurate, large minibatch SGD", section 2.2, where it begins above zero.
    Raises ValueError for a share that is not above 0.
    """
    check_real(ABOVE_0, share=share)
    return min(1.0, progress / share)


def one_cycle(progress: float, peak: float = 0.3, start: float = 0.04) -> float:
    """Up from `start` to the full rate at `peak`, and down to zero, both in straight lines.

    Smith and Topin 2017, "Super-convergence"; defaults of `torch.optim.lr_scheduler.OneCycleLR`.
    Raises ValueError for a peak that is not below 1, or negative parts.
    """
    check_real(0, BELOW_1, peak=peak)
    check_real(0, start=start)
    if progress < peak:
        return start + (1 - start) * progress / peak
    return (1 - progress) / (1 - peak)


def range_test(progress: float) -> float:
    """Through five decades up to the full rate, by equal factors: a learning-rate range test.

    One run shows where the loss begins to fall and where it breaks away (Smith 2017, "Cyclical
    learning rates for training neural networks", section 3.3, where the rate rises in a line).
    """
    return RANGE ** (1 - progress)
