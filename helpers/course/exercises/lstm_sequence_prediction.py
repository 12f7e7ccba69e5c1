"""Exercises of notebook 06."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "06.count-targets": Quick(
        999,
        "Which character has no character before it?",
        "Every character but the first is predicted once: 1,000 - 1 = 999.",
    ),
    "06.bigram": Quick(
        0.5,
        "Write down the letter after each a; the last a has none.",
        "After a come b, c, d and b: 2 of 4.",
    ),
    "06.ignorance": Quick(
        4.29,
        "Minus the natural logarithm of the probability given to the right character.",
        "-ln(1/73) = ln 73 = 4.290.",
        within=0.005,
    ),
    "06.stream-letter": Quick(
        "q",
        "The second stream begins in the middle, at m, and each piece is four letters long.",
        "Row 1 of piece 0 reads m n o p, so piece 1 goes on with q.",
    ),
    "06.nucleus": Quick(
        3,
        "Add up the shares from the largest on, until the sum is 0.9 or more.",
        "0.5 + 0.3 = 0.8 is too little, 0.5 + 0.3 + 0.15 = 0.95 is enough: 3.",
    ),
    "06.perplexity": Quick(
        6.05,
        "Perplexity is e to the power of the loss in nats.",
        "exp(1.8) = 6.05: as unsure as between six equally likely characters.",
        within=0.01,
    ),
    "06.bits": Quick(2.6, "A bit is ln 2 = 0.693 nats.", "1.8 / 0.693 = 2.60 bits.", within=0.01),
    "06.word-from-characters": Quick(
        0.03,
        "The chain rule multiplies; the blank at the end says that the word is over.",
        "0.2 x 0.5 x 0.6 x 0.5 = 0.03.",
        within=1e-6,
    ),
    "06.temperature": Quick(
        54.6,
        "Divide both logits by 0.5 first. The ratio of shares is e to the difference of logits.",
        "The difference 2 becomes 4, and exp(4) = 54.6.",
        within=0.1,
    ),
}
