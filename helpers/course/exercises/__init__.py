"""Exercises that know right from wrong.

In a notebook the reader writes an answer and calls `check`; `hint` and `solution` help.

>>> check("01.output-size", 14)
Right. floor((28 + 2 - 3) / 2) + 1 = 14.
"""

from typing import Any

from helpers.course.exercises import (
    cnn_and_rnn_hyperparameters,
    cnn_filters,
    cnn_training_loop,
    cnn_vs_rnn,
    dropout_and_normalization,
    learning_rate_sweeps,
    lstm_and_gru_gates,
    lstm_sequence_prediction,
    phase_summary,
    recurrent_memory,
    start_here,
    text_to_tensors,
)
from helpers.course.exercises.kinds import UNANSWERED, Code, Exercise, Quick

NOTEBOOKS = (
    start_here,
    cnn_filters,
    cnn_training_loop,
    recurrent_memory,
    lstm_and_gru_gates,
    text_to_tensors,
    lstm_sequence_prediction,
    phase_summary,
    learning_rate_sweeps,
    cnn_and_rnn_hyperparameters,
    cnn_vs_rnn,
    dropout_and_normalization,
)
EXERCISES: dict[str, Exercise] = {
    name: exercise for notebook in NOTEBOOKS for name, exercise in notebook.EXERCISES.items()
}


def check(name: str, answer: Any = None) -> None:
    """Print whether `answer` solves the exercise; None means not answered yet.

    The answer to an exercise in code is the function itself: `check("01.convolve", convolve)`.
    Whatever an answer is or does, a sentence says so and the notebook goes on. Raises ValueError
    for an exercise that does not exist.
    """
    exercise = _find(name)
    fault = exercise.fault(answer)
    if fault is None:
        print(f"Right. {exercise.praise}")
    else:
        said = fault if fault == UNANSWERED else f"Not right. {fault}".strip()
        print(f"{said} Hint: exercises.hint({name!r})")


def hint(name: str) -> None:
    """Print a hint."""
    print(_find(name).hint)


def solution(name: str) -> None:
    """Print the solution; of an exercise in code, a function that is right."""
    print(_find(name).solution)


def _find(name: str) -> Exercise:
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r}: there are {', '.join(EXERCISES)}")
    return EXERCISES[name]
