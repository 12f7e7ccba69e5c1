"""Predictions and exercises that know right from wrong.

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
    text_to_tensors,
)
from helpers.course.exercises.exercise import Exercise

NOTEBOOKS = (
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
