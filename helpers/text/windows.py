"""Ids to batches: padding and masks, windows over a long text.

Wherever ids or lengths are asked for, a tensor, an array, a pandas Series or a list will do.
"""

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.data.dataset import IGNORED, PAD, DataError
from helpers.data.given import check_whole
from helpers.text.tokens import as_ids


def pad(
    sequences: Sequence[Tensor | ArrayLike], max_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Ids (N, T) int64, filled up with PAD on the right, and lengths (N,) int64.

    T is the longest length, at most `max_length`; what lies beyond is cut off.
    Raises DataError for no sequences, an empty one (a row of PAD has no last token), or ids that
    are not positive integers: PAD inside a sentence could not be told from padding.

    >>> ids, lengths = pad([[5, 6, 7], [8]])
    >>> ids.tolist(), lengths.tolist()
    ([[5, 6, 7], [8, 0, 0]], [3, 1])
    """
    check_whole(max_length=1 if max_length is None else max_length)
    rows = [as_ids(ids, name=f"the ids of sequence {n}") for n, ids in enumerate(sequences)]
    if not rows:
        raise DataError("there are no sequences to pad: give one or more")
    for n, row in enumerate(rows):
        if len(row) == 0 or row.min() <= PAD:
            raise DataError(
                f"sequence {n} is {row[:9].tolist()}: a row has an id at least, and all from 1, as "
                "0 is PAD; drop an empty one, or give it the one id UNK, and encode with a "
                "Vocabulary, which keeps 0 free"
            )
    rows = [row[:max_length] for row in rows]
    lengths = torch.tensor([len(row) for row in rows])
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD), lengths


def mask(lengths: Tensor | ArrayLike, time: int | None = None) -> Tensor:
    """True where a token is, bool (N, time); `time` is the longest length unless given.

    Raises DataError for lengths that are no integers (N,), below 1 or beyond `time`.

    >>> mask([3, 1]).tolist()
    [[True, True, True], [True, False, False]]
    """
    lengths = as_ids(lengths, name="lengths")
    if len(lengths) == 0:
        raise DataError("there are no lengths: give one for every sequence")
    least, longest = int(lengths.min()), int(lengths.max())
    if least < 1:
        raise DataError(f"a length is {least}: a sequence has a token at least, drop empty ones")
    time = longest if time is None else time
    check_whole(time=time)
    if longest > time:
        raise DataError(
            f"a length is {longest}, beyond the {time} steps there are: use the lengths that pad "
            "returned with the tensor"
        )
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def windows(
    tokens: Tensor | ArrayLike, length: int, stride: int | None = None
) -> tuple[Tensor, Tensor]:
    """Inputs x and next tokens y, both int64 (N, length), cut from the ids of a text (tokens,).

    y is x shifted by one. Without a stride every token but the first is a target exactly once:
    if the last window has to reach back, the targets it repeats are IGNORED. With a stride,
    a window begins at each multiple of it, as far as whole windows go.
    Raises DataError for tokens that are no integers (tokens,), a text shorter than one window and
    its last target, or a length or stride under 1.

    >>> x, y = windows([2, 3, 4, 5, 6, 7], length=3)
    >>> x.tolist(), y.tolist()
    ([[2, 3, 4], [4, 5, 6]], [[3, 4, 5], [-100, 6, 7]])
    """
    tokens = as_ids(tokens, name="tokens")
    check_whole(length=length, stride=1 if stride is None else stride)
    if len(tokens) <= length:
        raise DataError(
            f"the text has {len(tokens)} token(s), and {length + 1} are needed (each input and "
            "the target after the last): use a longer text, or shorter windows"
        )
    cut = tokens.unfold(0, length + 1, stride or length)
    x, y = cut[:, :-1].contiguous(), cut[:, 1:].contiguous()
    rest = (len(tokens) - 1) % length
    if stride is None and rest:
        last = tokens[-length:].clone()
        last[:-rest] = IGNORED
        x, y = torch.cat([x, tokens[None, -length - 1 : -1]]), torch.cat([y, last[None]])
    return x, y
