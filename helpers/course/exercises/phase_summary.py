"""Predictions and exercises of notebook 11."""

from helpers.course.exercises.exercise import Exercise, number

EXERCISES = {
    "11.by-chance": Exercise(
        number(3),
        "Each is rejected one time in twenty.",
        "60 x 0.05 = 3.",
        3,
    ),
    "11.squared-error": Exercise(
        number(0.81),
        "It came out 0, you said 0.9. Square the difference.",
        "(0.9 - 0)^2 = 0.81, the price of being sure and wrong.",
        0.81,
    ),
    "11.smallest-p": Exercise(
        number(2 / 2**12, within=2e-6),
        "All twelve effects have the same sign. How many of the patterns of signs are as extreme?",
        "2 of 2^12 = 4,096 patterns, so p = 0.00049.",
        0.00049,
    ),
    "11.first-step": Exercise(
        number(0.0005, within=1e-9),
        "The level is divided by the number of tests that are still in the race.",
        "0.05 / 100 = 0.0005.",
        0.0005,
    ),
}
