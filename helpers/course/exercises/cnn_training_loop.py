"""Predictions and exercises of notebook 02."""

from helpers.course.exercises.exercise import Exercise, number

EXERCISES = {
    "02.loss-of-ignorance": Exercise(
        number(2.30, within=0.005),
        "Minus the natural logarithm of the probability given to the right label.",
        "-ln(1/10) = ln 10 = 2.303.",
        2.3,
    ),
    "02.one-update": Exercise(
        number(0.70),
        "W - lr x g, and minus a negative number is plus.",
        "0.50 - 0.1 x (-2.0) = 0.70.",
        0.7,
    ),
    "02.count-updates": Exercise(
        number(4680),
        "Whole batches per epoch first, then epochs.",
        "floor(60,000 / 128) x 10 = 468 x 10 = 4,680.",
        4680,
    ),
    "02.probability-from-loss": Exercise(
        number(0.135, within=0.001),
        "The loss is -ln(p). Solve for p.",
        "p = exp(-2) = 0.135.",
        0.135,
    ),
    "02.forgotten-zero-grad": Exercise(
        number(0.5),
        "The second step uses the sum of both gradients.",
        "1 - 0.1 x 3 = 0.7, then 0.7 - 0.1 x (3 - 1) = 0.5.",
        0.5,
    ),
}
