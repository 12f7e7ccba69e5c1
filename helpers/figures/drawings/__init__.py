"""Drawings of everything that has a shape, in one grammar, each with one part that stands out.

Every function draws one picture, shows it with its alt text and returns nothing. `highlight` names
the part that stands out (its docstring and its attribute `parts` list them), None none. The alt
text states what the drawing says.
"""

from helpers.figures.drawings.convolutions import (
    receptive_field,
    simple_cnn,
    sliding_window,
)
from helpers.figures.drawings.dropping import dropout_feed_forward, dropout_recurrent
from helpers.figures.drawings.normalising import normalisation
from helpers.figures.drawings.recurrence import (
    gradient_by_lag,
    gru_cell,
    lstm_cell,
    truncated_backpropagation,
    unrolled,
)
from helpers.figures.drawings.sequences import longest_path, padding
from helpers.figures.drawings.training import experiment, training_circle

__all__ = [  # noqa: RUF022 (in the order of the course)
    "sliding_window",
    "simple_cnn",
    "receptive_field",
    "normalisation",
    "training_circle",
    "unrolled",
    "lstm_cell",
    "gru_cell",
    "gradient_by_lag",
    "truncated_backpropagation",
    "longest_path",
    "padding",
    "dropout_feed_forward",
    "dropout_recurrent",
    "experiment",
]
