"""Predictions and exercises of notebook 09."""

from helpers.course.exercises.exercise import Exercise, number

EXERCISES = {
    "09.second-step": Exercise(
        number(0.36),
        "The gradient at 0.6 is 4 x 0.6. Go a tenth of it downhill.",
        "0.6 - 0.1 x 2.4 = 0.36.",
        0.36,
    ),
    "09.scaled-adam": Exercise(
        lambda answer: not isinstance(answer, bool) and abs(float(answer) - 1) <= 0.01,
        "Adam divides the mean of the gradients by the root of the mean of their squares.",
        "Both grow a hundredfold and cancel: the step stays the same, 1 time as long.",
        1,
    ),
    "09.bounce": Exercise(
        number(-1.4),
        "Each step multiplies by 1 - rate x curvature.",
        "1 - 0.6 x 4 = -1.4: each step lands on the other side, and further out.",
        -1.4,
    ),
    "09.hessian-product": Exercise(
        lambda answer: [float(v) for v in answer] == [6.0, 2.0],
        "Row by row: 4 x 1 + 2 x 1, then 2 x 1 + 0 x 1.",
        "[4 + 2, 2 + 0] = [6, 2].",
        [6, 2],
    ),
    "09.momentum-limit": Exercise(
        number(10, within=0.01),
        "If the gradient never changes, the memory m settles where m = 0.9 m + 1.",
        "m = 0.9 m + 1 gives m = 10: momentum 0.9 makes steady steps ten times longer.",
        10,
    ),
    "09.largest-rate": Exercise(
        number(0.25),
        "Two over the curvature.",
        "2 / 8 = 0.25.",
        0.25,
    ),
    "09.adam-first": Exercise(
        number(0.001, within=1e-6),
        "At the first step, mean and root mean square are those of one gradient.",
        "g / |g| = 1, so the first step is as long as the learning rate: 0.001.",
        0.001,
    ),
    "09.warm-up": Exercise(
        number(0.1),
        "A tenth of 600 updates is 60. How much of the warm-up is over?",
        "30 / 60 = half of the way, so 0.5 x 0.2 = 0.1.",
        0.1,
    ),
}
