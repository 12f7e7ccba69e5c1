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
    "03.third-state": Exercise(
        _is(0.994, within=0.0006),
        "Put 3 for the input and 0.959 for the old state into the formula.",
        "tanh(0.8 x 3 + 0.5 x 0.959) = tanh(2.879) = 0.994.",
        0.994,
    ),
    "03.count-parameters": Exercise(
        _is(50),
        "One matrix reads 3 inputs, one reads 5 units, both write 5 units; PyTorch has two biases.",
        "5 x 3 + 5 x 5 + 5 + 5 = 50, for any number of steps.",
        50,
    ),
    "03.one-jacobian": Exercise(
        _is(0.04, within=0.001),
        "One minus the square of the state, times the weight.",
        "(1 - 0.959^2) x 0.5 = 0.0805 x 0.5 = 0.040.",
        0.04,
    ),
    "03.halved": Exercise(
        _is(10),
        "Which power of two is the first above 1,000?",
        "2^10 = 1,024, so ten steps.",
        10,
    ),
    "03.wiped-state": Exercise(
        _is(3),
        "Nothing from before the last wipe is left. Count from there, both ends included.",
        "Wiped before step 6, it knows steps 6, 7 and 8: three.",
        3,
    ),
    "03.unit-at-rest": Exercise(
        _is(0.72),
        "The state does not change, so the factor is the same at every step: use the formula.",
        "(1 - 0.8^2) x 2 = 0.36 x 2 = 0.72: a weight above 1, and still it vanishes.",
        0.72,
    ),
    "03.rounds": Exercise(
        _is(10),
        "The reach doubles in every round, from 1 on.",
        "2^9 = 512 is too little and 2^10 = 1,024 enough: ten rounds.",
        10,
    ),
    "04.cell-by-hand": Exercise(
        _is(0.65),
        "Keep the forget gate's share of the old cell, then add input gate times candidate.",
        "0.9 x 0.5 + 0.5 x 0.4 = 0.65.",
        0.65,
    ),
    "04.four-blocks": Exercise(
        _is(2560),
        "Every gate has weights and biases of its own, and so has the candidate.",
        "Four blocks of 640: 4 x (20 x 10 + 20 x 20 + 2 x 20) = 2,560.",
        2560,
    ),
    "04.half-open": Exercise(
        _is(20, within=0.5),
        "How often can you halve 1 before it is below a millionth?",
        "0.5^20 = 9.5e-7: after 20 steps less than a millionth is left.",
        20,
    ),
    "04.two-biases": Exercise(
        _is(0.881, within=0.001),
        "PyTorch adds its two biases. The gate is the sigmoid of the sum.",
        "sigmoid(1 + 1) = 1 / (1 + exp(-2)) = 0.881.",
        0.881,
    ),
    "04.forget-for-long": Exercise(
        _is(4.6, within=0.05),
        "Which share f has f^100 = 0.37, about 1/e? Then take the logarithm of f / (1 - f).",
        "f = 0.99, as 0.99^100 = 0.37, and ln(0.99 / 0.01) = 4.6.",
        4.6,
    ),
    "04.gru-step": Exercise(
        _is(0.32),
        "In PyTorch the update gate says how much of the old state stays.",
        "(1 - 0.8) x 0 + 0.8 x 0.4 = 0.32.",
        0.32,
    ),
    "05.count-words": Exercise(
        _is(6),
        "An inner apostrophe stays inside its word; each punctuation mark is a token.",
        "don't | stop | , | it's | new | ! make 6.",
        6,
    ),
    "05.first-merge": Exercise(
        lambda answer: answer == "an",
        "Count every pair of neighbours in the three words; only one comes five times.",
        "'an' comes five times, 'ba' and 'na' three times each.",
        "an",
    ),
    "05.pad-collision": Exercise(
        lambda answer: answer.split() == ["nlp", "is", "fun", "nlp"],
        "The pad is 0. Which word has the id 0?",
        "'nlp is fun nlp': the pad is read as the word with id 0.",
        "nlp is fun nlp",
    ),
    "05.count-pads": Exercise(
        _is(6),
        "The batch has three rows of five cells.",
        "3 x 5 - (5 + 3 + 1) = 6.",
        6,
    ),
    "05.batch-sizes": Exercise(
        lambda answer: list(answer) == [3, 2, 2, 1, 1],
        "At step t those sentences go on that have t tokens or more; there are 5, 3 and 1.",
        "[3, 2, 2, 1, 1]: all three, then two until step 3, then the longest alone.",
        [3, 2, 2, 1, 1],
    ),
    "05.count-embedding": Exercise(
        _is(16_000),
        "One row of numbers for each word.",
        "1,000 x 16 = 16,000.",
        16_000,
    ),
    "05.analogy": Exercise(
        lambda answer: [float(part) for part in answer] == [1.0, -1.0],
        "Subtract and add each of the two numbers by itself.",
        "(1 - 0 + 0, 1 - 1 - 1) = (1, -1), which is queen.",
        (1, -1),
    ),
    "05.count-merges": Exercise(
        _is(1742),
        "Every merge makes one new piece, and so one id.",
        "2,000 - 2 - 256 = 1,742.",
        1742,
    ),
    "05.bucket-pads": Exercise(
        _is(8),
        "The batches are (2, 4) and (4, 10).",
        "(4 - 2) + (10 - 4) = 8.",
        8,
    ),
    "05.last-positions": Exercise(
        lambda answer: list(answer) == [2, 4, 11],
        "Row r begins at position 4 r; its last token is length - 1 further on.",
        "[0 + 2, 4 + 0, 8 + 3] = [2, 4, 11].",
        [2, 4, 11],
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
