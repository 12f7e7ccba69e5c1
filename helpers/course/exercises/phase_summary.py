"""Exercises of notebook 11."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "11.by-chance": Quick(3, "Each is rejected one time in twenty.", "60 x 0.05 = 3."),
    "11.squared-error": Quick(
        0.81,
        "It came out 0, you said 0.9. Square the difference.",
        "(0.9 - 0)^2 = 0.81, the price of being sure and wrong.",
    ),
    "11.smallest-p": Quick(
        2 / 2**12,
        "All twelve effects have the same sign. How many of the patterns of signs are as extreme?",
        "2 of 2^12 = 4,096 patterns, so p = 0.00049.",
        within=2e-6,
    ),
    "11.first-step": Quick(
        0.0005,
        "The level is divided by the number of tests that are still in the race.",
        "0.05 / 100 = 0.0005.",
        within=1e-9,
    ),
}
