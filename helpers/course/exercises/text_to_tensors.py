"""Exercises of notebook 05."""

import torch
from torch.nn.utils.rnn import pad_sequence

from helpers.course.exercises.kinds import Code, Quick, whole_numbers

# --- the mean of what is real -------------------------------------------------------------------


def masked_mean(vectors, lengths):
    """Mean of each row's first vectors, (batch, numbers); the rows are (time, numbers)."""
    real = torch.arange(vectors.shape[1]) < lengths[:, None]
    return (vectors * real[..., None]).sum(1) / lengths[:, None]


def masked_mean_torch(vectors, lengths):
    """The same, row by row, of tensors without pads."""
    rows = zip(vectors, lengths.tolist(), strict=True)
    return torch.stack([row[:length].mean(0) for row, length in rows])


def unequal_rows(generator: torch.Generator) -> tuple:
    """Vectors of three to six rows, the longest full, and their lengths."""
    batch, time, numbers = whole_numbers(generator, (3, 7), (4, 9), (2, 6))
    lengths = torch.randint(1, time, (batch,), generator=generator)
    lengths[int(torch.randint(batch, (), generator=generator))] = time
    return torch.randn(batch, time, numbers, generator=generator), lengths


def first_vectors(vectors, lengths):
    """All vectors, with zeros behind each row's length."""
    real = torch.arange(vectors.shape[1]) < lengths[:, None]
    return vectors * real[..., None]


MASKED_MEAN = Code(
    masked_mean_torch,
    unequal_rows,
    {
        "That is the mean of all steps, pads included: leave out what lies behind the length.": (
            lambda vectors, lengths: vectors.mean(1)
        ),
        "The pads are left out of the sum, but it is divided by the number of steps: divide by "
        "each row's length.": lambda vectors, lengths: first_vectors(vectors, lengths).mean(1),
        "It is divided by the length, but the pads are in the sum: multiply by a mask first.": (
            lambda vectors, lengths: vectors.sum(1) / lengths[:, None]
        ),
        "That is the sum of the real vectors: divide it by the length.": (
            lambda vectors, lengths: first_vectors(vectors, lengths).sum(1)
        ),
        "One vector too many of each row is counted: the steps are 0 to length - 1.": (
            lambda vectors, lengths: first_vectors(vectors, lengths + 1).sum(1) / lengths[:, None]
        ),
        "The last real vector of each row is missing.": (
            lambda vectors, lengths: first_vectors(vectors, lengths - 1).sum(1) / lengths[:, None]
        ),
        "That is the last real vector of each row; the mean of all of them is asked for.": (
            lambda vectors, lengths: vectors[torch.arange(len(vectors)), lengths - 1]
        ),
        "The mean is over the whole batch, one for all: each row has its own.": (
            lambda vectors, lengths: masked_mean_torch(vectors, lengths).mean(0)
        ),
    },
    "A mask, (batch, time), is torch.arange(time) < lengths[:, None]. Multiply by it (it needs one "
    "dimension more), sum over time, divide by the lengths.",
    masked_mean,
)

# --- a rectangle --------------------------------------------------------------------------------


def pad(sentences):
    """Ids (sentences, longest), filled up with 0 on the right."""
    rectangle = torch.zeros(len(sentences), max(map(len, sentences)), dtype=torch.long)
    for row, ids in zip(rectangle, sentences, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return rectangle


def pad_torch(sentences):
    """The same by PyTorch."""
    return pad_sequence([torch.tensor(ids) for ids in sentences], batch_first=True)


def some_sentences(generator: torch.Generator) -> tuple:
    """Three to six lists of one to seven ids, no two neighbours equally long."""
    (count,) = whole_numbers(generator, (3, 7))
    lengths = [
        int(torch.randint(1, 5, (), generator=generator)) + 3 * (n % 2) for n in range(count)
    ]
    return ([torch.randint(2, 50, (n,), generator=generator).tolist() for n in lengths],)


def pad_left(sentences):
    """The pads in front."""
    longest = max(map(len, sentences))
    return torch.tensor([[0] * (longest - len(ids)) + ids for ids in sentences])


PAD_BY_HAND = Code(
    pad_torch,
    some_sentences,
    {
        "The pads stand in front: they belong on the right.": pad_left,
        "Every sentence is cut to the shortest: fill the short ones up instead.": (
            lambda sentences: torch.tensor([ids[: min(map(len, sentences))] for ids in sentences])
        ),
        "The rectangle is one step too wide: as wide as the longest sentence is enough.": (
            lambda sentences: torch.nn.functional.pad(pad_torch(sentences), (0, 1))
        ),
        "Rows and columns have changed places: a row is a sentence (batch_first=True).": (
            lambda sentences: pad_torch(sentences).T
        ),
        "It is filled up with 1, which is UNK: PAD is 0.": (
            lambda sentences: pad_sequence(
                [torch.tensor(ids) for ids in sentences], batch_first=True, padding_value=1
            )
        ),
        "It is filled up with -1, which no embedding has a row for: PAD is 0.": (
            lambda sentences: pad_sequence(
                [torch.tensor(ids) for ids in sentences], batch_first=True, padding_value=-1
            )
        ),
        "The last word of the sentences is repeated: fill up with 0.": (
            lambda sentences: torch.tensor(
                [ids + ids[-1:] * (max(map(len, sentences)) - len(ids)) for ids in sentences]
            )
        ),
        "The sentences were sorted by length: they stay in their order.": (
            lambda sentences: pad_torch(sorted(sentences, key=len, reverse=True))
        ),
    },
    "Begin with torch.zeros of the right shape and dtype=torch.long, and write each sentence into "
    "the beginning of its row.",
    pad,
)

EXERCISES = {
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
    "05.batch-sizes": Quick(
        [3, 2, 2, 1, 1],
        "At step t those sentences go on that have t tokens or more; there are 5, 3 and 1.",
        "[3, 2, 2, 1, 1]: all three, then two until step 3, then the longest alone.",
    ),
    "05.count-merges": Quick(
        1742, "Every merge makes one new piece, and so one id.", "2,000 - 2 - 256 = 1,742."
    ),
    "05.bucket-pads": Quick(8, "The batches are (2, 4) and (4, 10).", "(4 - 2) + (10 - 4) = 8."),
    "05.masked-mean": MASKED_MEAN,
    "05.pad": PAD_BY_HAND,
}
