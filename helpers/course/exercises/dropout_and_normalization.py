"""Exercises of notebook 08."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "08.survivor": Quick(
        3.0,
        "PyTorch's p is the chance to be dropped, and survivors are divided by the chance to stay.",
        "2.1 / (1 - 0.3) = 3.",
    ),
    "08.layer-norm": Quick(
        -1.336,
        "Subtract the mean 1/3, then divide by the square root of 0.389.",
        "(-0.5 - 0.333) / sqrt(0.389) = -0.833 / 0.624 = -1.336.",
        within=0.002,
    ),
    "08.values-per-channel": Quick(
        32,
        "Batch size times height times width.",
        "2 x 4 x 4 = 32 numbers, against 2 in the dense net.",
    ),
    "08.factor": Quick(1.25, "One over the chance to survive.", "1 / (1 - 0.2) = 1.25."),
    "08.numbers-per-mean": Quick(
        144,
        "One mean per channel: over the batch and over all places.",
        "4 x 6 x 6 = 144, for every channel.",
    ),
    "08.running-mean": Quick(
        16,
        "After n batches it is 5 (1 - 0.9^n).",
        "5 (1 - 0.9^n) > 4 needs 0.9^n < 0.2: 0.9^15 = 0.206 and 0.9^16 = 0.185, so 16 batches.",
    ),
    "08.alive": Quick(
        6,
        "Which power of 0.9 is the last one above one half?",
        "0.9^6 = 0.531 and 0.9^7 = 0.478: six steps.",
    ),
}
