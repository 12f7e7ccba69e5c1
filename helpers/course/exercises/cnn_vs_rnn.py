"""Exercises of notebook 07."""

from helpers.course.exercises.kinds import Quick

EXERCISES = {
    "07.two-layers": Quick(
        5,
        "One output of the upper layer sees three of the lower, each of which sees three inputs.",
        "Three triples of neighbours overlap: 1 + 2 + 2 = 5.",
    ),
    "07.doubling-gaps": Quick(
        63,
        "Each layer adds two gaps. Add up the gaps first.",
        "1 + 2 x (1 + 2 + 4 + 8 + 16) = 1 + 2 x 31 = 63.",
    ),
    "07.layers-for-256": Quick(
        8,
        "With L layers of three taps the window is 1 + 2 x (2^L - 1).",
        "L = 7 gives 255, one too few; L = 8 gives 511.",
    ),
    "07.state-bytes": Quick(
        112, "It remembers h and c, and a float32 takes four bytes.", "2 x 14 x 4 = 112 bytes."
    ),
    "07.five-taps": Quick(
        29, "Each layer adds (k - 1) times its gap.", "1 + 4 x (1 + 2 + 4) = 29."
    ),
    "07.cache-bytes": Quick(
        800,
        "A layer keeps its last (k - 1) x gap inputs. The first layer's have 4 channels.",
        "(2 x 4 + 4 x 16 + 8 x 16) x 4 = 800 bytes.",
    ),
    "07.waiting": Quick(
        100,
        "Only what must wait for something else counts.",
        "1,000 steps in a row take 10 ms, 10 layers 0.1 ms: 100 times as long.",
    ),
    "07.front": Quick(
        {"A", "B", "D"},
        "Strike out every network that another one equals or beats in both costs.",
        "C is as wrong as B and slower. A, B and D each win against any other in one cost.",
    ),
}
