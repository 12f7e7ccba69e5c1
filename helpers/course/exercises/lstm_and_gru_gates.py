"""Exercises of notebook 04."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "04.cell-by-hand": Quick(
        0.65,
        "Keep the forget gate's share of the old cell, then add input gate times candidate.",
        "0.9 x 0.5 + 0.5 x 0.4 = 0.65.",
    ),
    "04.four-blocks": Quick(
        2560,
        "Every gate has weights and biases of its own, and so has the candidate.",
        "Four blocks of 640: 4 x (20 x 10 + 20 x 20 + 2 x 20) = 2,560.",
    ),
    "04.half-open": Quick(
        20,
        "How often can you halve 1 before it is below a millionth?",
        "0.5^20 = 9.5e-7: after 20 steps less than a millionth is left.",
        within=0.5,
    ),
    "04.two-biases": Quick(
        0.881,
        "PyTorch adds its two biases. The gate is the sigmoid of the sum.",
        "sigmoid(1 + 1) = 1 / (1 + exp(-2)) = 0.881.",
        within=0.001,
    ),
    "04.forget-for-long": Quick(
        4.6,
        "Which share f has f^100 = 0.37, about 1/e? Then take the logarithm of f / (1 - f).",
        "f = 0.99, as 0.99^100 = 0.37, and ln(0.99 / 0.01) = 4.6.",
        within=0.05,
    ),
    "04.gru-step": Quick(
        0.32,
        "In PyTorch the update gate says how much of the old state stays.",
        "(1 - 0.8) x 0 + 0.8 x 0.4 = 0.32.",
    ),
}
