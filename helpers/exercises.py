"""Predictions and exercises that know right from wrong.

In a notebook the reader writes an answer and calls `check`; `hint` and `solution` help.

>>> check("01.output-size", 14)
Right. floor((28 + 2 - 3) / 2) + 1 = 14.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from helpers.models import correlate


@dataclass(frozen=True)
class Exercise:
    """How to tell a right answer, a hint that does not give it away, and the solution."""

    right: Callable[[Any], bool]
    hint: str
    solution: str
    example: Any = None  # an answer that is right


EXERCISES: dict[str, Exercise] = {}


def check(name: str, answer: Any = None) -> None:
    """Print whether `answer` solves the exercise; None means not answered yet.

    An answer of the wrong type or shape is wrong, and said to be, rather than an error.
    """
    exercise = _find(name)
    if answer is None:
        print(f"Not answered yet. Hint: exercises.hint({name!r})")
        return
    try:
        right = bool(exercise.right(answer))
    except Exception as error:  # whatever a reader's answer does, the notebook goes on
        print(f"Not right: checking it failed with {type(error).__name__}: {error}")
        return
    print(f"Right. {exercise.solution}" if right else f"Not right. Hint: exercises.hint({name!r})")


def hint(name: str) -> None:
    """Print a hint."""
    print(_find(name).hint)


def solution(name: str) -> None:
    """Print the solution."""
    print(_find(name).solution)


def _find(name: str) -> Exercise:
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r}: there are {', '.join(EXERCISES)}")
    return EXERCISES[name]


def _is(number: float, within: float = 1e-6) -> Callable[[Any], bool]:
    return lambda answer: abs(float(answer) - number) <= within


def _answers_only_horizontal_edges(answer: Any) -> bool:
    kernel = torch.as_tensor(answer, dtype=torch.float32)
    upright = torch.tensor([[0.0, 0, 1, 1, 1]] * 5)
    to_upright, to_level = (correlate(image, kernel) for image in (upright, upright.T))
    return kernel.shape == (3, 3) and bool(to_upright.abs().max() < 1e-6 < to_level.abs().max())


EXERCISES |= {
    "01.first-number": Exercise(
        _is(3),
        "Multiply each of the nine pixels by the weight on top of it, then add up.",
        "(0 + 0 + 0)(-1) + (0 + 0 + 0)(0) + (1 + 1 + 1)(+1) = 3.",
        3,
    ),
    "01.output-size": Exercise(
        _is(14),
        "Put the four numbers into the formula; the brackets round down.",
        "floor((28 + 2 - 3) / 2) + 1 = 14.",
        14,
    ),
    "01.receptive-field": Exercise(
        _is(10),
        "3 after the first convolution, 4 after pooling; then neighbours are 2 pixels apart.",
        "3, then 3 + 1 = 4, then 4 + 2 x 2 = 8, then 8 + 2 = 10.",
        10,
    ),
    "01.count-parameters": Exercise(
        _is(608),
        "Each filter is a block: channels x height x width, and has one bias.",
        "8 x (3 x 5 x 5) + 8 = 608.",
        608,
    ),
    "01.same-padding": Exercise(
        _is(2),
        "Set the output's side equal to the input's in the formula.",
        "size + 2p - 5 + 1 = size, so p = 2.",
        2,
    ),
    "01.horizontal-edge": Exercise(
        _answers_only_horizontal_edges,
        "The vertical filter subtracts the left column from the right one. Turn it.",
        "[[-1, -1, -1], [0, 0, 0], [1, 1, 1]]: the lower row minus the upper one.",
        [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
    ),
    "01.third-convolution": Exercise(
        _is(18),
        "After two poolings neighbouring units are 4 pixels apart.",
        "10 + (3 - 1) x 4 = 18.",
        18,
    ),
    "02.loss-of-ignorance": Exercise(
        _is(2.30, within=0.005),
        "Minus the natural logarithm of the probability given to the right label.",
        "-ln(1/10) = ln 10 = 2.303.",
        2.3,
    ),
    "02.one-update": Exercise(
        _is(0.70),
        "W - lr x g, and minus a negative number is plus.",
        "0.50 - 0.1 x (-2.0) = 0.70.",
        0.7,
    ),
    "02.count-updates": Exercise(
        _is(4680),
        "Whole batches per epoch first, then epochs.",
        "floor(60,000 / 128) x 10 = 468 x 10 = 4,680.",
        4680,
    ),
    "02.probability-from-loss": Exercise(
        _is(0.135, within=0.001),
        "The loss is -ln(p). Solve for p.",
        "p = exp(-2) = 0.135.",
        0.135,
    ),
    "02.forgotten-zero-grad": Exercise(
        _is(0.5),
        "The second step uses the sum of both gradients.",
        "1 - 0.1 x 3 = 0.7, then 0.7 - 0.1 x (3 - 1) = 0.5.",
        0.5,
    ),
}

EXERCISES |= {
    "06.count-targets": Exercise(
        _is(999),
        "Which character has no character before it?",
        "Every character but the first is predicted once: 1,000 - 1 = 999.",
        999,
    ),
    "06.bigram": Exercise(
        _is(0.5),
        "Write down the letter after each a; the last a has none.",
        "After a come b, c, d and b: 2 of 4.",
        0.5,
    ),
    "06.ignorance": Exercise(
        _is(4.29, within=0.005),
        "Minus the natural logarithm of the probability given to the right character.",
        "-ln(1/73) = ln 73 = 4.290.",
        4.29,
    ),
    "06.stream-letter": Exercise(
        lambda answer: answer.strip().lower() == "q",
        "The second stream begins in the middle, at m, and each piece is four letters long.",
        "Row 1 of piece 0 reads m n o p, so piece 1 goes on with q.",
        "q",
    ),
    "06.nucleus": Exercise(
        _is(3),
        "Add up the shares from the largest on, until the sum is 0.9 or more.",
        "0.5 + 0.3 = 0.8 is too little, 0.5 + 0.3 + 0.15 = 0.95 is enough: 3.",
        3,
    ),
    "06.perplexity": Exercise(
        _is(6.05, within=0.01),
        "Perplexity is e to the power of the loss in nats.",
        "exp(1.8) = 6.05: as unsure as between six equally likely characters.",
        6.05,
    ),
    "06.bits": Exercise(
        _is(2.6, within=0.01),
        "A bit is ln 2 = 0.693 nats.",
        "1.8 / 0.693 = 2.60 bits.",
        2.6,
    ),
    "06.word-from-characters": Exercise(
        _is(0.03, within=1e-6),
        "The chain rule multiplies; the blank at the end says that the word is over.",
        "0.2 x 0.5 x 0.6 x 0.5 = 0.03.",
        0.03,
    ),
    "06.temperature": Exercise(
        _is(54.6, within=0.1),
        "Divide both logits by 0.5 first. The ratio of shares is e to the difference of logits.",
        "The difference 2 becomes 4, and exp(4) = 54.6.",
        54.6,
    ),
}
