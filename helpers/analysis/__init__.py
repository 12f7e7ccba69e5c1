"""Analysis: looking into networks and timing them."""

from helpers.analysis.curvature import descend, sharpness
from helpers.analysis.diagnostics import (
    ablation_drops,
    central_differences,
    detectors,
    edge_share,
    gaussian_derivatives,
    linear_probe,
    receptive_field,
    relative_move,
    shift,
)
from helpers.analysis.gradients import decay_per_step, gradient_by_lag
