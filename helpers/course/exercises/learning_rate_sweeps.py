"""Exercises of notebook 09."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "09.second-step": Quick(
        0.36,
        "The gradient at 0.6 is 4 x 0.6. Go a tenth of it downhill.",
        "0.6 - 0.1 x 2.4 = 0.36.",
    ),
    "09.scaled-adam": Quick(
        1,
        "Adam divides the mean of the gradients by the root of the mean of their squares.",
        "Both grow a hundredfold and cancel: the step stays the same, 1 time as long.",
        within=0.01,
    ),
    "09.bounce": Quick(
        -1.4,
        "Each step multiplies by 1 - rate x curvature.",
        "1 - 0.6 x 4 = -1.4: each step lands on the other side, and further out.",
    ),
    "09.hessian-product": Quick(
        [6, 2], "Row by row: 4 x 1 + 2 x 1, then 2 x 1 + 0 x 1.", "[4 + 2, 2 + 0] = [6, 2]."
    ),
    "09.momentum-limit": Quick(
        10,
        "If the gradient never changes, the memory m settles where m = 0.9 m + 1.",
        "m = 0.9 m + 1 gives m = 10: momentum 0.9 makes steady steps ten times longer.",
        within=0.01,
    ),
    "09.largest-rate": Quick(0.25, "Two over the curvature.", "2 / 8 = 0.25."),
    "09.adam-first": Quick(
        0.001,
        "At the first step, mean and root mean square are those of one gradient.",
        "g / |g| = 1, so the first step is as long as the learning rate: 0.001.",
        within=1e-6,
    ),
    "09.warm-up": Quick(
        0.1,
        "A tenth of 600 updates is 60. How much of the warm-up is over?",
        "30 / 60 = half of the way, so 0.5 x 0.2 = 0.1.",
    ),
}
