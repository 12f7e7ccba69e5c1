"""Exercises of notebook 05."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "05.count-words": Quick(
        6,
        "An inner apostrophe stays inside its word; each punctuation mark is a token.",
        "don't | stop | , | it's | new | ! make 6.",
    ),
    "05.first-merge": Quick(
        "an",
        "Count every pair of neighbours in the three words; only one comes five times.",
        "'an' comes five times, 'ba' and 'na' three times each.",
    ),
    "05.pad-collision": Quick(
        "nlp is fun nlp",
        "The pad is 0. Which word has the id 0?",
        "'nlp is fun nlp': the pad is read as the word with id 0.",
    ),
    "05.count-pads": Quick(
        6, "The batch has three rows of five cells.", "3 x 5 - (5 + 3 + 1) = 6."
    ),
    "05.batch-sizes": Quick(
        [3, 2, 2, 1, 1],
        "At step t those sentences go on that have t tokens or more; there are 5, 3 and 1.",
        "[3, 2, 2, 1, 1]: all three, then two until step 3, then the longest alone.",
    ),
    "05.count-embedding": Quick(
        16_000, "One row of numbers for each word.", "1,000 x 16 = 16,000."
    ),
    "05.analogy": Quick(
        (1, -1),
        "Subtract and add each of the two numbers by itself.",
        "(1 - 0 + 0, 1 - 1 - 1) = (1, -1), which is queen.",
    ),
    "05.count-merges": Quick(
        1742, "Every merge makes one new piece, and so one id.", "2,000 - 2 - 256 = 1,742."
    ),
    "05.bucket-pads": Quick(8, "The batches are (2, 4) and (4, 10).", "(4 - 2) + (10 - 4) = 8."),
    "05.last-positions": Quick(
        [2, 4, 11],
        "Row r begins at position 4 r; its last token is length - 1 further on.",
        "[0 + 2, 4 + 0, 8 + 3] = [2, 4, 11].",
    ),
}
