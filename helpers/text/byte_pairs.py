"""Byte-pair encoding: the pieces between characters and words, learned from text.

Sennrich et al. 2016, "Neural machine translation of rare words with subword units"; on bytes, as
by Radford et al. 2019, so that any text can be encoded. Learned by the library tokenizers.

>>> pairs = train_bpe("banana bandana banana", size=258 + 3)
>>> pairs.pieces("banana")
['ban', 'ana']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.data.dataset import DataError
from helpers.data.given import check_whole
from helpers.text.tokens import RESERVED, as_ids, checked_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHIFT = len(RESERVED)  # ids of the library begin after PAD and UNK
LEAST = 256 + SHIFT  # ids that there are before anything is learned


class BytePairs:
    """Pieces of UTF-8 text and their ids: `encode` and `decode` lose nothing, UNK never occurs.

    Wraps a `tokenizers.Tokenizer`, whose ids are shifted by two, so that no text, not even
    "<pad>", is encoded as PAD or UNK. Made by `train_bpe`; `len` is the number of ids.
    To keep one: `pairs.tokenizer.save(path)`, and `BytePairs(Tokenizer.from_file(path))`.
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size() + SHIFT

    def encode(self, text: str) -> Tensor:
        """Ids of the pieces of a text, int64 (N,).

        Raises DataError for an empty text and for one that has no UTF-8 form.
        """
        return torch.tensor(self.tokenizer.encode(_encodable(text)).ids) + SHIFT

    def decode(self, ids: Tensor | ArrayLike) -> str:
        """The text of ids (N,). Sampled ids may cut a character in two; it reads as U+FFFD.

        Raises DataError for ids that no piece has, PAD and UNK among them.

        >>> pairs = train_bpe("banana")
        >>> pairs.decode(pairs.encode("any text"))
        'any text'
        """
        ids = as_ids(ids, len(self))
        if (ids < SHIFT).any():
            raise DataError("PAD or UNK stands among the ids: no text has them, leave them out")
        return self.tokenizer.decode((ids - SHIFT).tolist())

    def pieces(self, text: str) -> list[str]:
        """What each id of the text stands for, to look at; part of a character is U+FFFD."""
        ids = self.tokenizer.encode(_encodable(text)).ids
        piece = {i: self.tokenizer.decode([i]) for i in set(ids)}
        return [piece[i] for i in ids]


def train_bpe(text: str, size: int = 1000) -> BytePairs:
    """Byte pairs learned from a training text: at most `size` ids, of which PAD, UNK and 256 bytes.

    Raises DataError for an empty text, one without a UTF-8 form, a size under 258, and where the
    library tokenizers is absent.
    """
    check_whole(LEAST, size=size)
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError as error:
        raise DataError("byte pairs need the library tokenizers: pip install tokenizers") from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - SHIFT,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_encodable(text).splitlines(keepends=True), trainer)
    return BytePairs(tokenizer)


def _encodable(text: str) -> str:
    """The text itself. Raises DataError if it is empty or has no UTF-8 form."""
    try:
        checked_text(text).encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"character {error.start} of the text, {text[error.start]!r}, is half of a pair and "
            "has no UTF-8 form: read the text anew, as UTF-8"
        ) from error
    return text
