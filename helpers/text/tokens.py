"""Text to numbers and back: tokens and a vocabulary.

Raw text becomes tokens (characters or words; helpers/byte_pairs.py learns pieces in between), and
tokens become ids. Ids 0 and 1 are reserved in every vocabulary: PAD fills up short rows, UNK
stands for what the training text did not hold. helpers/batching.py turns ids into batches.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from helpers.data.dataset import DataError

UNK = 1
RESERVED = ("<pad>", "<unk>")


def read_text(source: str | Path | bytes) -> str:
    """Text of a file, or of its bytes, in UTF-8; every character is kept as it is.

    Raises DataError for a missing or empty file, and for bytes that are not UTF-8.
    """
    name = "the text" if isinstance(source, bytes) else str(source)
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        return checked(content.decode("utf-8"))
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}): name a file") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte {error.start} of {name} ({content[error.start]:#04x}) is not UTF-8: decode it "
            "with its own encoding, such as content.decode('latin-1')"
        ) from error


def checked(text: str) -> str:
    """The text itself. Raises DataError if it is no str or holds nothing."""
    if not isinstance(text, str):
        kind = type(text).__name__
        raise DataError(f"text is a {kind}: give a str (read_text makes one from bytes)")
    if not text:
        raise DataError("the text is empty: there is nothing to make tokens of")
    return text


def characters(text: str) -> list[str]:
    """One token a character, blanks and line ends included; "".join gives the text back.

    Raises DataError for an empty text.
    """
    return list(checked(text))


def words(text: str, lower: bool = True) -> list[str]:
    """Words, with their inner apostrophes, and single punctuation marks.

    In lower case by default. Blanks, and with them the exact text, are lost.
    Raises DataError for a text of blanks alone.
    """
    found = re.findall(r"\w+(?:'\w+)*|[^\w\s]", checked(text).lower() if lower else checked(text))
    if not found:
        raise DataError("the text holds only blanks: there are no words in it, drop it")
    return found


class Stored:
    """What gives ids a meaning: saved as JSON, and known by its fingerprint.

    Subclasses say what is saved (`content`) and make themselves from it again (`restore`).
    """

    def content(self) -> Any:
        """All that the ids depend on, as JSON knows it."""
        raise NotImplementedError

    @classmethod
    def restore(cls, content: Any) -> Self:
        """The object with this content."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when any token or its id does."""
        content = json.dumps(self.content(), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def require(self, fingerprint: str) -> None:
        """Raise DataError unless this is the vocabulary that a checkpoint was trained with."""
        if self.fingerprint != fingerprint:
            raise DataError(
                f"this vocabulary ({len(self)} ids, fingerprint {self.fingerprint}) is not the one "
                f"that the checkpoint was trained with ({fingerprint}): its ids mean other "
                "tokens; load the vocabulary saved with the checkpoint, or train anew"
            )

    def save(self, path: str | Path) -> None:
        """Write it as JSON, all of it or nothing. Raises OSError if it cannot be written."""
        path = Path(path)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        record = {"fingerprint": self.fingerprint, "content": self.content()}
        part.write_text(json.dumps(record), encoding="ascii")
        part.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What was saved at `path`. Raises DataError for a missing, foreign or altered file."""
        try:
            record = json.loads(Path(path).read_text(encoding="ascii"))
            loaded, fingerprint = cls.restore(record["content"]), record["fingerprint"]
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror}): name a saved file"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} holds no {cls.__name__} ({error}): save the vocabulary again"
            ) from error
        if loaded.fingerprint != fingerprint:
            raise DataError(f"{path} was altered since it was saved: save the vocabulary again")
        return loaded

    def known(self, ids: Tensor | Sequence[int], least: int = 0) -> list[int]:
        """The ids (N,) as a list. Raises DataError if one is no id from `least` on."""
        ids = torch.as_tensor(ids)
        if ids.ndim != 1:
            raise DataError(f"ids have shape {tuple(ids.shape)}: decode one row at a time")
        bad = [i for i in ids.tolist() if not isinstance(i, int) or not least <= i < len(self)]
        if bad:
            raise DataError(
                f"{bad[0]} is no id to decode: these are integers from {least} to {len(self) - 1}; "
                "leave out the padding, and use the vocabulary that encoded the text"
            )
        return ids.tolist()


def _listed(tokens: Iterable[str]) -> list[str]:
    """The tokens as a list. Raises DataError for what is no collection of strings."""
    if isinstance(tokens, str):
        raise DataError("tokens is one str: make a list of it with characters or words")
    if isinstance(tokens, Mapping):
        raise DataError(
            "tokens is a mapping, whose values would be lost: give Vocabulary.build the tokens of "
            "the text, which it counts, or Vocabulary a list of tokens, whose ids are its order"
        )
    if not isinstance(tokens, Iterable):
        raise DataError(f"tokens is {tokens!r}: give a list of strings")
    listed = list(tokens)
    if not all(isinstance(token, str) for token in listed):
        raise DataError("a vocabulary is a list of one or more strings: give it the tokens")
    return listed


class Vocabulary(Stored):
    """Tokens and their ids: PAD 0, UNK 1, then the tokens in the order given.

    `tokens` (tuple of str) is indexed by id, reserved names included; `len` is the number of ids,
    the size of an embedding. Build one with `Vocabulary.build`, from training text alone.

    Raises DataError for tokens that come twice, are reserved or no str, for none at all, and for a
    str or a mapping in their place.
    """

    def __init__(self, tokens: Sequence[str]):
        self.tokens = (*RESERVED, *_listed(tokens))
        if len(self) == len(RESERVED):
            raise DataError("a vocabulary is a list of one or more strings: give it the tokens")
        twice = [token for token, count in Counter(self.tokens).items() if count > 1]
        if twice:
            raise DataError(f"{twice[0]!r} is reserved or comes twice: rename it or drop one")
        self._ids = {token: i for i, token in enumerate(self.tokens) if i > UNK}

    @classmethod
    def build(
        cls, tokens: Iterable[str], min_count: int = 1, max_size: int | None = None
    ) -> Vocabulary:
        """Vocabulary of the tokens seen at least `min_count` times, the most frequent first.

        Equally frequent ones are in alphabetical order (of code points), so that every process
        numbers them alike. At most `max_size` ids are given out, PAD and UNK included.

        Raises DataError if no token is left, and as the class does.
        """
        tokens = _listed(tokens)
        if min_count < 1 or (max_size is not None and max_size < 3):
            raise DataError(
                f"min_count is {min_count} and max_size {max_size}: they are at least 1 and 3, "
                "as PAD and UNK take two ids"
            )
        counts = Counter(tokens)
        kept = sorted(
            (t for t, n in counts.items() if n >= min_count), key=lambda t: (-counts[t], t)
        )
        if not kept:
            raise DataError(
                f"no token comes {min_count} times or more: give more text, or a lower min_count"
            )
        return cls(kept if max_size is None else kept[: max_size - len(RESERVED)])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def encode(self, tokens: Sequence[str], strict: bool = False) -> Tensor:
        """Ids of tokens, int64 (N,); one that is not in the vocabulary becomes UNK.

        Raises DataError for no tokens at all and, if `strict`, for an unknown one.
        """
        if not tokens:
            raise DataError("there are no tokens to encode: the text is empty, drop it")
        ids = torch.tensor([self._ids.get(token, UNK) for token in tokens])
        if strict and (ids == UNK).any():
            unknown = [token for token in dict.fromkeys(tokens) if token not in self][:5]
            raise DataError(
                f"not in the vocabulary: {', '.join(map(repr, unknown))}; replace them in the "
                "text, build the vocabulary from text that holds them, or encode to UNK "
                "(strict=False)"
            )
        return ids

    def decode(self, ids: Tensor | Sequence[int]) -> list[str]:
        """Tokens of ids (N,): those that were encoded, with "<unk>" where one was unknown.

        Raises DataError for ids that no token has.
        """
        return [self.tokens[i] for i in self.known(ids)]

    def out_of_vocabulary_rate(self, tokens: Sequence[str]) -> float:
        """Share of the tokens, from 0 to 1, that encode to UNK. Raises DataError for none."""
        return (self.encode(tokens) == UNK).double().mean().item()

    def content(self) -> list[str]:
        return list(self.tokens[2:])

    @classmethod
    def restore(cls, content: list[str]) -> Vocabulary:
        return cls(content)
