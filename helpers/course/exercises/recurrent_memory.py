"""Exercises of notebook 03."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "03.third-state": Quick(
        0.994,
        "Put 3 for the input and 0.959 for the old state into the formula.",
        "tanh(0.8 x 3 + 0.5 x 0.959) = tanh(2.879) = 0.994.",
        within=0.0006,
    ),
    "03.count-parameters": Quick(
        50,
        "One matrix reads 3 inputs, one reads 5 units, both write 5 units; PyTorch has two biases.",
        "5 x 3 + 5 x 5 + 5 + 5 = 50, for any number of steps.",
    ),
    "03.one-jacobian": Quick(
        0.04,
        "One minus the square of the state, times the weight.",
        "(1 - 0.959^2) x 0.5 = 0.0805 x 0.5 = 0.040.",
        within=0.001,
    ),
    "03.halved": Quick(
        10, "Which power of two is the first above 1,000?", "2^10 = 1,024, so ten steps."
    ),
    "03.wiped-state": Quick(
        3,
        "Nothing from before the last wipe is left. Count from there, both ends included.",
        "Wiped before step 6, it knows steps 6, 7 and 8: three.",
    ),
    "03.unit-at-rest": Quick(
        0.72,
        "The state does not change, so the factor is the same at every step: use the formula.",
        "(1 - 0.8^2) x 2 = 0.36 x 2 = 0.72: a weight above 1, and still it vanishes.",
    ),
    "03.rounds": Quick(
        10,
        "The reach doubles in every round, from 1 on.",
        "2^9 = 512 is too little and 2^10 = 1,024 enough: ten rounds.",
    ),
    "03.clipped": Quick(
        (3, 4),
        "How long is it? Then shorten both numbers by the same factor.",
        "(6, 8) has length 10, so both are halved: (3, 4).",
        within=5e-4,
    ),
}
