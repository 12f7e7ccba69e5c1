"""Byte-pair encoding: the pieces between characters and words, learned from text.

Sennrich et al. 2016, "Neural machine translation of rare words with subword units"; on bytes, as
by Radford et al. 2019, so that any text can be encoded. Learned by the library tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from helpers.data.dataset import DataError
from helpers.text.tokens import RESERVED, Stored, checked

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BYTES = 256


class BytePairs(Stored):
    """Pieces of UTF-8 text and their ids: `encode` and `decode` lose nothing, UNK never occurs.

    Wraps a `tokenizers.Tokenizer`, whose ids are shifted by two, so that no text, not even
    "<pad>", is encoded as PAD or UNK. Made by `train_bpe`; `len` is the number of ids.
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size() + len(RESERVED)

    def encode(self, text: str) -> Tensor:
        """Ids of the pieces of a text, int64 (N,).

        Raises DataError for an empty text and for one that has no UTF-8 form.
        """
        return torch.tensor(self.tokenizer.encode(_encodable(text)).ids) + len(RESERVED)

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """The text of ids (N,). Sampled ids may cut a character in two; it reads as U+FFFD.

        Raises DataError for ids that no piece has, PAD and UNK among them.
        """
        least = len(RESERVED)
        return self.tokenizer.decode([i - least for i in self.known(ids, least)])

    def pieces(self, text: str) -> list[str]:
        """What each id of the text stands for, to look at; part of a character is U+FFFD."""
        return [self.decode([i]) for i in self.encode(text).tolist()]

    def content(self) -> dict:
        return json.loads(self.tokenizer.to_str())

    @classmethod
    def load(cls, path: str | Path) -> BytePairs:
        _library()  # where it is absent, the file is not at fault
        return super().load(path)

    @classmethod
    def restore(cls, content: dict) -> BytePairs:
        tokenizer = _library().Tokenizer
        try:
            return cls(tokenizer.from_str(json.dumps(content)))
        except Exception as error:  # the library raises no class of its own
            raise ValueError(f"not the form of tokenizers: {error}") from error


def train_bpe(text: str, size: int = 1000) -> BytePairs:
    """Byte pairs learned from a training text: at most `size` ids, of which PAD, UNK and 256 bytes.

    Raises DataError for an empty text, one without a UTF-8 form, a size under 258, and where the
    library tokenizers is absent.
    """
    least = BYTES + len(RESERVED)
    if size < least:
        raise DataError(f"size is {size}: PAD, UNK and the 256 bytes need {least} ids or more")
    library = _library()
    byte_level = library.pre_tokenizers.ByteLevel
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size - len(RESERVED),
        initial_alphabet=sorted(byte_level.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_encodable(text).splitlines(keepends=True), trainer)
    return BytePairs(tokenizer)


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise DataError("byte pairs need the library tokenizers: pip install tokenizers") from error
    return tokenizers


def _encodable(text: str) -> str:
    try:
        checked(text).encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"character {error.start} of the text, {text[error.start]!r}, is half of a pair and "
            "has no UTF-8 form: read the text anew with read_text"
        ) from error
    return text
