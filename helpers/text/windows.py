"""Ids to batches: padding and masks, windows over a long text, streams that carry state."""

from collections.abc import Sequence

import torch
from torch import Tensor

from helpers.data.dataset import IGNORED, PAD, DataError


def pad(
    sequences: Sequence[Tensor | Sequence[int]], max_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Ids (N, T) int64, filled up with PAD on the right, and lengths (N,) int64.

    T is the longest length, at most `max_length`; what lies beyond is cut off.
    Raises DataError for no sequences, an empty one (a row of PAD has no last token), or ids that
    are not positive integers: PAD inside a sentence could not be told from padding.
    """
    if max_length is not None and max_length < 1:
        raise DataError(f"max_length is {max_length}: use 1 or more, or None for no limit")
    rows = [torch.as_tensor(sequence) for sequence in sequences]
    if not rows:
        raise DataError("there are no sequences to pad: give one or more")
    for i, row in enumerate(rows):
        if row.ndim != 1 or len(row) == 0:
            raise DataError(
                f"sequence {i} has shape {tuple(row.shape)}: all-PAD rows have no last token; "
                "drop it, or give it the one id UNK"
            )
        if row.dtype != torch.int64 or row.min() <= PAD:
            raise DataError(
                f"sequence {i} holds {row.min().item()} ({row.dtype}): ids are int64 from 1, as 0 "
                "is PAD; encode with a Vocabulary, which keeps 0 free"
            )
    rows = [row[:max_length] for row in rows]
    lengths = torch.tensor([len(row) for row in rows])
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD), lengths


def mask(lengths: Tensor, time: int | None = None) -> Tensor:
    """True where a token is, bool (N, time); `time` is the longest length unless given.

    Raises DataError for lengths that are no int64 (N,), below 1 or beyond `time`.
    """
    time = int(_checked_lengths(lengths).max()) if time is None else time
    _checked_lengths(lengths, time)
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def length_buckets(
    lengths: Tensor, batch_size: int, generator: torch.Generator | None = None
) -> list[Tensor]:
    """Batches of indices (at most batch_size,) of sequences of similar length, each index once.

    Sorted by length, or, with a generator, in random order: the batches, and which of equally
    long sequences share one. If all batches are full, no other grouping has less padding.
    Raises DataError for bad lengths or a batch_size under 1.
    """
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}: use 1 or more")
    _checked_lengths(lengths)
    if generator is None:
        return list(lengths.argsort(stable=True).split(batch_size))
    mixed = torch.randperm(len(lengths), generator=generator).to(lengths.device)
    batches = mixed[lengths[mixed].argsort(stable=True)].split(batch_size)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def padding_share(lengths: Tensor, batches: Sequence[Tensor] | None = None) -> float:
    """Share of PAD, from 0 to 1, if every batch is padded to its own longest sequence.

    Without batches, all sequences (N,) are one batch. Raises DataError for bad lengths.
    """
    _checked_lengths(lengths)
    groups = [lengths[b] for b in batches] if batches is not None else [lengths]
    if not groups or not all(map(len, groups)):
        raise DataError("there are no batches, or an empty one: give those of length_buckets")
    cells = sum(len(group) * int(group.max()) for group in groups)
    return 1 - sum(int(group.sum()) for group in groups) / cells


def windows(tokens: Tensor, length: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    """Inputs x and next tokens y, both int64 (N, length), cut from a text (tokens,).

    y is x shifted by one. Without a stride every token but the first is a target exactly once:
    if the last window has to reach back, the targets it repeats are IGNORED. With a stride,
    a window begins at each multiple of it, as far as whole windows go.
    Raises DataError for tokens that are no int64 (tokens,), a text shorter than one window and
    its last target, or a length or stride under 1.
    """
    _check_text(tokens, length, length + 1)
    if stride is not None and stride < 1:
        raise DataError(f"stride is {stride}: use 1 or more")
    cut = tokens.unfold(0, length + 1, stride or length)
    x, y = cut[:, :-1].contiguous(), cut[:, 1:].contiguous()
    rest = (len(tokens) - 1) % length
    if stride is None and rest:
        last = tokens[-length:].clone()
        last[:-rest] = IGNORED
        x, y = torch.cat([x, tokens[None, -length - 1 : -1]]), torch.cat([y, last[None]])
    return x, y


def parallel_streams(tokens: Tensor, batch_size: int, length: int) -> tuple[Tensor, Tensor]:
    """x and y, int64 (chunks, batch_size, length), for truncated backpropagation through time.

    The text is laid out as `batch_size` streams; row b of chunk k goes on where row b of chunk
    k - 1 ended, so that the state can be carried over. State starts anew with chunk 0 alone.
    Fewer than batch_size * length tokens at the end are left out.
    Mikolov et al. 2010, "Recurrent neural network based language model".

    Raises DataError for tokens that are no int64 (tokens,), a text too short for one chunk, or a
    batch_size or length under 1.
    """
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}: use 1 or more")
    _check_text(tokens, length, batch_size * length + 1)
    chunks = (len(tokens) - 1) // (batch_size * length)
    used = chunks * batch_size * length

    def lay_out(part: Tensor) -> Tensor:
        return part.view(batch_size, chunks, length).transpose(0, 1).contiguous()

    return lay_out(tokens[:used]), lay_out(tokens[1 : used + 1])


def _checked_lengths(lengths: Tensor, time: int | None = None) -> Tensor:
    if not isinstance(lengths, Tensor) or lengths.dtype != torch.int64 or lengths.ndim != 1:
        raise DataError("lengths are not an int64 tensor (N,): use those that pad returns")
    if len(lengths) == 0:
        raise DataError("there are no lengths: give one for every sequence")
    low, high = int(lengths.min()), int(lengths.max())
    if low < 1:
        raise DataError(f"a length is {low}: a sequence has a token at least, drop empty ones")
    if time is not None and high > time:
        raise DataError(
            f"a length is {high}, beyond the {time} steps there are: use the lengths that pad "
            "returned with the tensor"
        )
    return lengths


def _check_text(tokens: Tensor, length: int, needed: int) -> None:
    if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64 or tokens.ndim != 1:
        raise DataError("tokens are not an int64 tensor (tokens,): use what encode returns")
    if length < 1:
        raise DataError(f"length is {length}: use 1 or more")
    if len(tokens) < needed:
        raise DataError(
            f"the text has {len(tokens)} token(s), and {needed} are needed (each input and the "
            "target after the last): use a longer text, or shorter or fewer windows"
        )
