"""Predictions and exercises of notebook 01."""

from typing import Any

import torch

from helpers.course.exercises.exercise import Exercise, number
from helpers.nets.cnn import correlate


def answers_only_horizontal_edges(answer: Any) -> bool:
    """Whether a 3 x 3 filter is silent on an upright edge and answers to a level one."""
    kernel = torch.as_tensor(answer, dtype=torch.float32)
    upright = torch.tensor([[0.0, 0, 1, 1, 1]] * 5)
    to_upright, to_level = (correlate(image, kernel) for image in (upright, upright.T))
    return kernel.shape == (3, 3) and bool(to_upright.abs().max() < 1e-6 < to_level.abs().max())


EXERCISES = {
    "01.first-number": Exercise(
        number(3),
        "Multiply each of the nine pixels by the weight on top of it, then add up.",
        "(0 + 0 + 0)(-1) + (0 + 0 + 0)(0) + (1 + 1 + 1)(+1) = 3.",
        3,
    ),
    "01.output-size": Exercise(
        number(14),
        "Put the four numbers into the formula; the brackets round down.",
        "floor((28 + 2 - 3) / 2) + 1 = 14.",
        14,
    ),
    "01.receptive-field": Exercise(
        number(10),
        "3 after the first convolution, 4 after pooling; then neighbours are 2 pixels apart.",
        "3, then 3 + 1 = 4, then 4 + 2 x 2 = 8, then 8 + 2 = 10.",
        10,
    ),
    "01.count-parameters": Exercise(
        number(608),
        "Each filter is a block: channels x height x width, and has one bias.",
        "8 x (3 x 5 x 5) + 8 = 608.",
        608,
    ),
    "01.same-padding": Exercise(
        number(2),
        "Set the output's side equal to the input's in the formula.",
        "size + 2p - 5 + 1 = size, so p = 2.",
        2,
    ),
    "01.horizontal-edge": Exercise(
        answers_only_horizontal_edges,
        "The vertical filter subtracts the left column from the right one. Turn it.",
        "[[-1, -1, -1], [0, 0, 0], [1, 1, 1]]: the lower row minus the upper one.",
        [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
    ),
    "01.third-convolution": Exercise(
        number(18),
        "After two poolings neighbouring units are 4 pixels apart.",
        "10 + (3 - 1) x 4 = 18.",
        18,
    ),
}
