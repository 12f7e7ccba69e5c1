"""Exercises of notebook 10."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "10.summed-loss": Quick(
        3,
        "How many times as long is the gradient of the sum? The step is rate times gradient.",
        "The gradient of the mean is a fiftieth, so the rate is 50 times larger: 3.",
    ),
    "10.vertex-side": Quick(
        "above",
        "The parabola leans to the side where the loss is lower.",
        "The right neighbour (0.4) is lower than the left one (0.6): above, at 0.147.",
    ),
    "10.noise-of-a-batch": Quick(
        4,
        "The standard deviation of a mean of n independent numbers falls with the root of n.",
        "The root of 16: a factor of 4.",
    ),
    "10.updates-in-an-epoch": Quick(
        31, "Divide, and drop the rest.", "2,000 / 64 = 31.25: 31 full batches."
    ),
    "10.clip-by-hand": Quick(
        0.6,
        "How long is (3, 4)? All of it is shortened by the same factor.",
        "The length is 5, so everything is divided by 5: 3 / 5 = 0.6.",
    ),
    "10.adam-first-step": Quick(
        0.01,
        "At the first step both averages hold one gradient: it is divided by its own size.",
        "g / sqrt(g^2) is 1, so the step is the rate itself: 0.01.",
    ),
    "10.momentum-in-the-end": Quick(
        10,
        "1 + 0.9 + 0.81 + ... is a geometric series.",
        "1 / (1 - 0.9) = 10: with momentum 0.9 a tenth of the rate goes as far.",
    ),
    "10.more-momentum": Quick(
        100, "Sum the series 1 + 0.99 + 0.99^2 + ...", "1 / (1 - 0.99) = 100."
    ),
    "10.short-gradient": Quick(
        0.3,
        "How long is (0.3, 0.4)?",
        "Its length is 0.5, below the limit: nothing happens, 0.3 stays.",
    ),
    "10.farthest": Quick(
        5,
        "Each step is at most rate times limit long, and all may point the same way.",
        "2 x 0.25 = 0.5 for each update, 10 of them: 5.",
    ),
    "10.linear-scaling": Quick(
        3.2,
        "Linear scaling: k times the batch, k times the rate.",
        "8,192 / 256 = 32, and 0.1 x 32 = 3.2.",
    ),
}
