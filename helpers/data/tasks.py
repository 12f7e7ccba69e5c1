"""Synthetic tasks that ask a network to remember, and images read row by row.

Every task is a `Dataset` of sequences, drawn once from named streams of a data seed that has
nothing to do with the seed of a run: all runs meet the same data. Symbols are one-hot, so that
every network of the course takes them as they are; `x.argmax(-1)` gives them back as numbers.
Draw as many training sequences as there are steps times batch size, and none is seen twice.
Tensors are on the CPU; `task.to(device)` moves them.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from helpers.data.dataset import IGNORED, PAD, DataError, Dataset, Split, check_split
from helpers.data.given import check_whole
from helpers.data.streams import stream

DATA_SEED = 7  # of the tasks as the course measures them
SYMBOLS = 8  # different ones to remember, or kinds of noise about what counts
RECALL = 5  # symbols to repeat after a silence
LONGEST = 40  # words of a sentence
MARK, RESET = 0.2, 0.1  # chances of a step to be marked, and to be a reset
HELD = 1000  # sequences to validate on, and as many to test on
NAMES = tuple(map(str, range(SYMBOLS)))

Draw = Callable[[int, Generator], tuple[Tensor, Tensor]]


def adding_problem(length: int = 50, count: int = 48_000, seed: int = DATA_SEED) -> Dataset:
    """Add the two marked numbers: x (N, length, 2), y float (N, 1), a regression.

    Channel 0 holds numbers uniform in [0, 1], channel 1 marks one in each half of the sequence. y
    is their sum, of mean 1 and variance 1/6: predicting the mean has MSE 1/6 = 0.167.
    Hochreiter and Schmidhuber 1997, experiment 4; marks as in Le et al. 2015, section 4.1.

    Raises DataError for a length under 2 or a count under 1.
    """
    check_whole(2, length=length)

    def draw(n: int, random: Generator) -> tuple[Tensor, Tensor]:
        values = torch.rand(n, length, generator=random)
        half = length // 2
        early = torch.randint(half, (n,), generator=random)
        late = torch.randint(half, length, (n,), generator=random)
        marks = torch.zeros(n, length).scatter_(1, torch.stack([early, late], 1), 1.0)
        return torch.stack([values, marks], 2), (values * marks).sum(1, keepdim=True)

    return _dataset(f"adding-{length}", draw, count, (), seed)


def reset_sum(length: int = 30, count: int = 32_000, seed: int = DATA_SEED) -> Dataset:
    """Add the marked numbers since the last reset: x (N, length, 3), y float (N, 1), a regression.

    Channel 0 holds numbers uniform in [0, 1]. Each step is a reset (channel 2) with probability
    RESET, else its number is marked (channel 1) with probability MARK. With the default length
    the mean of y is 0.862 and predicting it has MSE 1.154; adding up all marked numbers as if
    there were no resets has MSE 4.96.

    Raises DataError for a length or count under 1.
    """
    check_whole(length=length)

    def draw(n: int, random: Generator) -> tuple[Tensor, Tensor]:
        values, chance, which = torch.rand(3, n, length, generator=random)
        resets = (chance < RESET).float()
        marks = (which < MARK).float() * (1 - resets)
        later_resets = resets.flip(1).cumsum(1).flip(1)  # of this step and those after it
        counted = values * marks * (later_resets == 0)
        return torch.stack([values, marks, resets], 2), counted.sum(1, keepdim=True)

    return _dataset(f"reset-sum-{length}", draw, count, (), seed)


def copy_memory(silence: int = 20, count: int = 22_400, seed: int = DATA_SEED) -> Dataset:
    """Repeat five random symbols of eight after a silence.

    x is one-hot (N, time, 10) with time = silence + 10: the symbols, then a blank (channel 8)
    until the signal to speak (channel 9) at step silence + 4, which stays on. y (N, time) holds
    the symbols in the last five steps; the others are IGNORED, as scoring the blanks would hide a
    failure. Guessing has accuracy 1/8.
    Hochreiter and Schmidhuber 1997; laid out as by Bai et al. 2018, section 4.

    Raises DataError for a silence or count under 1.
    """
    check_whole(silence=silence)

    def draw(n: int, random: Generator) -> tuple[Tensor, Tensor]:
        said = torch.randint(SYMBOLS, (n, RECALL), generator=random)
        blanks = said.new_full((n, silence - 1), SYMBOLS)
        signal = said.new_full((n, RECALL + 1), SYMBOLS + 1)
        y = said.new_full((n, silence + 2 * RECALL), IGNORED)
        y[:, -RECALL:] = said
        return F.one_hot(torch.cat([said, blanks, signal], 1), SYMBOLS + 2).float(), y

    return _dataset(f"copy-memory-{silence}", draw, count, NAMES, seed)


def which_came_first(
    length: int = 40,
    count: int = 25_600,
    gap: int = 10,
    margin: int = 8,
    seed: int = DATA_SEED,
) -> Dataset:
    """Which of the markers A and B came first? x one-hot (N, length, 10), y (N,).

    Noise, and, in the last two channels, A and B once each, `gap` or more steps apart and
    `margin` or more away from both ends: a convolution's padding betrays positions near an end.
    All pairs of places are equally likely, and either marker comes first in half of the cases:
    guessing has accuracy 0.5.

    Raises DataError if the sequence is too short for gap and margin, or a size is under 1.
    """
    check_whole(gap=gap)
    check_whole(0, margin=margin)
    check_whole(2 * margin + gap + 1, length=length)
    earlier, later = torch.triu_indices(length, length, gap)
    inside = (earlier >= margin) & (later < length - margin)
    pairs = torch.stack([earlier, later], 1)[inside]

    def draw(n: int, random: Generator) -> tuple[Tensor, Tensor]:
        tokens = torch.randint(SYMBOLS, (n, length), generator=random)
        y = _halves(n, random)  # 0: A came first
        places = pairs[torch.randint(len(pairs), (n,), generator=random)]
        tokens.scatter_(1, places, torch.stack([SYMBOLS + y, SYMBOLS + 1 - y], 1))
        return F.one_hot(tokens, SYMBOLS + 2).float(), y

    return _dataset(f"which-came-first-{length}", draw, count, ("A", "B"), seed)


def remember_symbol(
    lag: int = 0, length: int = 60, count: int = 2_000, seed: int = DATA_SEED
) -> Dataset:
    """Say at every step what came `lag` steps ago: x one-hot (N, length, 8), y (N, length).

    Symbols are independent and uniform, so that nothing but memory helps (text predicts itself);
    guessing has accuracy 1/8. The first `lag` steps are IGNORED. With lag 0, y is the
    stream itself, for probes that ask a hidden state for the symbol of any lag.

    Raises DataError for a lag outside 0 to length - 1 or a count under 1.
    """
    check_whole(0, lag=lag)
    check_whole(lag + 1, length=length)

    def draw(n: int, random: Generator) -> tuple[Tensor, Tensor]:
        tokens = torch.randint(SYMBOLS, (n, length), generator=random)
        y = tokens.roll(lag, 1)
        y[:, :lag] = IGNORED
        return F.one_hot(tokens, SYMBOLS).float(), y

    return _dataset(f"remember-symbol-{lag}", draw, count, NAMES, seed)


def find_symbol(
    length: int = 30, back: int | None = None, count: int = 8_000, seed: int = DATA_SEED
) -> Dataset:
    """Say the marked symbol after the last step: x (N, length, 9), y (N,).

    x holds one-hot symbols (8 channels) and a mark (channel 8) on one of them: `back` steps before
    the last, or, with None, anywhere, all places equally likely. Symbols are independent and
    uniform: guessing has accuracy 1/8.

    Raises DataError for a place outside the sequence or a size under 1.
    """
    check_whole(0, back=0 if back is None else back)
    check_whole(1 + (back or 0), length=length)

    def draw(n: int, random: Generator) -> tuple[Tensor, Tensor]:
        tokens = torch.randint(SYMBOLS, (n, length), generator=random)
        place = torch.randint(length, (n,), generator=random)
        if back is not None:
            place = torch.full_like(place, length - 1 - back)
        mark = F.one_hot(place, length)
        y = (tokens * mark).sum(1)
        return torch.cat([F.one_hot(tokens, SYMBOLS), mark[..., None]], 2).float(), y

    return _dataset(f"find-symbol-{length}", draw, count, NAMES, seed)


def key_token(shortest: int = 5, count: int = 8_000, seed: int = DATA_SEED) -> Dataset:
    """Sentences of unequal length whose class one word decides: x tokens (N, 40), y (N,).

    Token 0 is PAD, to the right of each sentence, whose length is uniform in shortest to 40.
    One token, anywhere in the sentence, is a key: 9 for class 0, 10 for class 1; the others are
    noise, 1 to 8. Guessing has accuracy 0.5. `(x != PAD).sum(1)` gives the lengths.

    Raises DataError unless 1 <= shortest <= 40, or for a count under 1.
    """
    check_whole(-math.inf, shortest=shortest)
    if not 1 <= shortest <= LONGEST:
        raise DataError(f"shortest is {shortest}: use 1 to {LONGEST}")

    def draw(n: int, random: Generator) -> tuple[Tensor, Tensor]:
        x = torch.randint(1, SYMBOLS + 1, (n, LONGEST), generator=random)
        y = _halves(n, random)
        lengths = torch.randint(shortest, LONGEST + 1, (n, 1), generator=random)
        place = (torch.rand(n, 1, generator=random) * lengths).long()
        x.scatter_(1, place, SYMBOLS + 1 + y[:, None])
        return x.masked_fill(torch.arange(LONGEST) >= lengths, PAD), y

    return _dataset(f"key-token-{LONGEST}", draw, count, ("first key", "second key"), seed)


def shrink(dataset: Dataset, side: int = 8) -> Dataset:
    """Images (N, channels, H, W) averaged down to (N, channels, side, side).

    Images are first padded with zero ink, evenly, to the next multiple of side: 28 to 32, then
    means of 4 x 4 pixels, the way the 8 x 8 digits of Alpaydin and Kaynak 1998 were made. Scale
    stays that of the original pixels, so the variance falls below 1.

    Raises DataError if x are not square images of at least `side` pixels.
    """
    shape = dataset.train.x.shape
    check_whole(side=side)
    if len(shape) != 4 or shape[2] != shape[3] or side > shape[3]:
        raise DataError(
            f"x has shape {tuple(shape)}: shrinking to {side} needs square images "
            f"(N, channels, H, H) of at least {side} pixels; keep the image, or name another side"
        )
    extra = -shape[3] % side
    mean, std = (
        torch.as_tensor(v, device=dataset.train.x.device).view(-1, 1, 1)
        for v in (dataset.mean, dataset.std)
    )
    padding = (extra // 2, extra - extra // 2) * 2

    def small(x: Tensor) -> Tensor:
        pixels = F.pad(x * std + mean, padding)
        return (F.avg_pool2d(pixels, (shape[3] + extra) // side) - mean) / std

    changed = dataset.mapped(lambda split: Split(small(split.x), split.y))
    return replace(changed, name=f"{dataset.name}-{side}x{side}")


def digit_rows(dataset: Dataset) -> Dataset:
    """Images (N, 1, H, W) as sequences of their rows, (N, H, W): H steps of W numbers.

    `digit_rows(shrink(load("mnist-5k")))` takes 8 steps, without `shrink` 28.
    Raises DataError if x are not images of one channel.
    """
    shape = tuple(dataset.train.x.shape)
    if len(shape) != 4 or shape[1] != 1:
        raise DataError(f"x has shape {shape}: rows are read from images (N, 1, height, width)")
    changed = dataset.mapped(lambda split: Split(split.x.squeeze(1), split.y))
    return replace(changed, name=f"{dataset.name}-rows")


def _dataset(name: str, draw: Draw, count: int, classes: Sequence[str], seed: int) -> Dataset:
    """`count` sequences to train on, HELD to validate and HELD to test, none in two splits."""
    check_whole(count=count)
    taken: set[bytes] = set()
    splits = {}
    for split, size in (("test", HELD), ("valid", HELD), ("train", count)):
        x, y = _draw_others(draw, size, stream(seed, f"{name}/{split}"), taken)
        taken |= set(_digests(x)) if split != "train" else set()
        splits[split] = Split(x, y)
        check_split(splits[split], classes, split)
    return Dataset(name, **splits, classes=tuple(classes), mean=0.0, std=1.0)


def _draw_others(draw: Draw, size: int, random: Generator, taken: set[bytes]) -> Split:
    """`size` sequences, drawn again as long as they are taken: short ones do come twice."""
    x, y = draw(size, random)
    rows = torch.arange(size)
    for _ in range(100):
        rows = rows[[digest in taken for digest in _digests(x[rows])]]
        if not len(rows):
            return Split(x, y)
        x[rows], y[rows] = draw(len(rows), random)
    raise DataError(
        "there are too few different sequences for three splits without a sequence in two of "
        "them: make them longer"
    )


def _digests(x: Tensor) -> list[bytes]:
    return [hashlib.blake2b(row, digest_size=16).digest() for row in x.flatten(1).numpy()]


def _halves(n: int, random: Generator) -> Tensor:
    """Zeros and ones (n,) in random order, equally many, or one more of either."""
    return (torch.randperm(n, generator=random) + torch.randint(2, (1,), generator=random)) % 2
