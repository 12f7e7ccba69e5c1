"""Text to tokens, and tokens to ids and back.

Text is cut into tokens: characters, words, or the pieces in between that `byte_pairs` learns. A
vocabulary numbers them. Two ids are reserved in each: PAD fills up short rows, UNK stands for what
the training text did not hold.

>>> vocabulary = Vocabulary.build(words("The cat sat on the mat."))
>>> ids = vocabulary.encode(words("The dog sat."))
>>> ids.tolist()
[2, 1, 7, 3]
>>> vocabulary.decode(ids)
['the', '<unk>', 'sat', '.']
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import regex
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.data.dataset import DataError
from helpers.data.given import check_whole

UNK = 1
RESERVED = ("<pad>", "<unk>")  # the names of PAD and UNK

WORD_OR_SIGN = regex.compile(
    r"""  \w+ (?: ' \w+ )*               # a word, with the apostrophes inside
        | (?! [\s\p{Cc}\p{DI}] ) \X      # one sign (a grapheme) that is neither blank nor invisible
    """,
    regex.VERBOSE,
)


def checked_text(text: str) -> str:
    """The text itself. Raises DataError if it is no str or holds nothing."""
    if not isinstance(text, str):
        raise DataError(
            f"text is a {type(text).__name__}: give one str (' '.join makes one from a list)"
        )
    if not text:
        raise DataError("the text is empty: there is nothing to make tokens of")
    return text


def characters(text: str) -> list[str]:
    """One token a character (a Unicode code point), blanks included; "".join gives the text back.

    Raises DataError for an empty text.

    >>> characters("to be")
    ['t', 'o', ' ', 'b', 'e']
    """
    return list(checked_text(text))


def words(text: str) -> list[str]:
    r"""Words and single signs, such as punctuation, in lower case.

    A word is a run of letters, digits and underscores of any script, with the marks that belong to
    them and with apostrophes between them. Letters, marks and digits are those of Unicode, as the
    package regex knows them (its `\w`); a script without blanks, such as Chinese, is not cut. A
    sign is what a reader sees as one, such as an emoji of several code points.

    The same word is always the same token: accents are joined to their letters (Unicode's form
    NFC), the typographic apostrophe inside a word becomes the plain one, a soft hyphen vanishes.
    Blanks and what cannot be seen, a byte-order mark too, are lost, and with them the exact text.
    Raises DataError for a text of these alone.

    >>> words("Don’t panic: it's well-kept!")
    ["don't", 'panic', ':', "it's", 'well', '-', 'kept', '!']
    >>> words("हिन्दी भाषा")
    ['हिन्दी', 'भाषा']
    """
    text = unicodedata.normalize("NFC", checked_text(text)).replace("\u00ad", "")
    text = regex.sub(r"\b’\b", "'", text)
    found = WORD_OR_SIGN.findall(text.lower())
    if not found:
        raise DataError("the text holds only blanks: there are no words in it, drop it")
    return found


def as_ids(
    values: Tensor | ArrayLike, size: int | None = None, *, name: str = "ids", ndim: int = 1
) -> Tensor:
    """Whole numbers as an int64 tensor, from a tensor, an array, a pandas Series or a list.

    They lie in 0..size - 1, if `size` is given; `name` is what messages call them.
    Raises DataError for text, which a vocabulary encodes first, for numbers that are not whole,
    for other than `ndim` dimensions, and for ids outside the range.

    >>> as_ids([3, 1, 7]).dtype
    torch.int64
    """
    if not isinstance(values, Tensor):
        try:
            array = np.asarray(values)
            values = torch.tensor(array if array.size else array.astype(np.int64))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{name} are a {type(values).__name__} of what is no integer: encode text with its "
                "vocabulary first, and give a tensor, an array or a list of integers"
            ) from error
    whole = not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
    if not whole or values.ndim != ndim:
        raise DataError(
            f"{name} are {values.dtype} of shape {tuple(values.shape)}: expected integers in "
            f"{ndim} dimension(s), as Vocabulary.encode returns them"
        )
    if size is not None and values.numel():
        check_whole(size=size)
        low, high = int(values.min()), int(values.max())
        if not 0 <= low <= high < size:
            raise DataError(
                f"{name} run from {low} to {high}, and only 0 to {size - 1} have a meaning here: "
                "use the vocabulary that encoded the text, and its length as the size"
            )
    return values.long()


class Vocabulary:
    """Tokens and their ids: PAD 0, UNK 1, then the tokens in the order given.

    `tokens` (tuple of str) is indexed by id, reserved names included; `len` is the number of ids,
    the size of an embedding. Build one with `Vocabulary.build`, from training text alone.
    `training.checkpoints` saves it beside the weights that were trained with it.

    Tokens may be any sequence of strings: a list, an array, a pandas Series.
    Raises DataError for tokens that come twice, are reserved or no str, for none at all, and for a
    str, a set or a mapping in their place.

    >>> Vocabulary(["to", "be"]).tokens
    ('<pad>', '<unk>', 'to', 'be')
    """

    def __init__(self, tokens: Iterable[str]):
        listed = _listed(tokens)
        if not listed:
            raise DataError("a vocabulary is a list of one or more strings: give it the tokens")
        self.tokens = (*RESERVED, *listed)
        twice = [token for token, count in Counter(self.tokens).items() if count > 1]
        if twice:
            raise DataError(f"{twice[0]!r} is reserved or comes twice: rename it or drop one")
        self._ids = {token: i for i, token in enumerate(self.tokens) if i > UNK}

    @classmethod
    def build(cls, tokens: Iterable[str], max_size: int | None = None) -> Vocabulary:
        """Vocabulary of tokens, the most frequent first.

        Equally frequent ones are in alphabetical order (of code points), so that every process
        numbers them alike. At most `max_size` ids are given out, PAD and UNK included.

        Raises DataError for a `max_size` under 3, and as the class does.

        >>> Vocabulary.build("b a c a b d".split(), max_size=4).tokens[2:]
        ('a', 'b')
        """
        if max_size is not None:  # PAD and UNK take two ids
            check_whole(3, max_size=max_size)
        counts = Counter(_listed(tokens))
        kept = sorted(counts, key=lambda token: (-counts[token], token))
        return cls(kept if max_size is None else kept[: max_size - len(RESERVED)])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def encode(self, tokens: Iterable[str], strict: bool = False) -> Tensor:
        """Ids of tokens, int64 (N,); one that is not in the vocabulary becomes UNK.

        Raises DataError for no tokens at all, for a str (cut it into tokens first) and, if
        `strict`, for an unknown one.

        >>> Vocabulary(["to", "be"]).encode(["to", "see"]).tolist()
        [2, 1]
        """
        listed = _listed(tokens)
        if not listed:
            raise DataError("there are no tokens to encode: the text is empty, drop it")
        if strict and (unknown := [token for token in dict.fromkeys(listed) if token not in self]):
            raise DataError(
                f"not in the vocabulary: {', '.join(map(repr, unknown[:5]))}; replace them in the "
                "text, build the vocabulary from text that holds them, or encode to UNK "
                "(strict=False)"
            )
        return torch.tensor([self._ids.get(token, UNK) for token in listed])

    def decode(self, ids: Tensor | ArrayLike) -> list[str]:
        """Tokens of ids (N,): those that were encoded, with "<unk>" where one was unknown.

        Raises DataError for ids that no token has, and for more than one row.

        >>> Vocabulary(["to", "be"]).decode([2, 3, 1])
        ['to', 'be', '<unk>']
        """
        return [self.tokens[i] for i in as_ids(ids, len(self)).tolist()]

    def out_of_vocabulary_rate(self, tokens: Iterable[str]) -> float:
        """Share of the tokens, from 0 to 1, that encode to UNK. Raises DataError as encode does.

        >>> Vocabulary(["to", "be"]).out_of_vocabulary_rate(["to", "see"])
        0.5
        """
        return (self.encode(tokens) == UNK).double().mean().item()

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when any token or its id does."""
        return hashlib.sha256(json.dumps(self.content()).encode()).hexdigest()[:16]

    def content(self) -> list[str]:
        """All tokens but the reserved, in order: Vocabulary(content) is this one again."""
        return list(self.tokens[len(RESERVED) :])

    def require(self, fingerprint: str) -> None:
        """Raise DataError unless this is the vocabulary that a checkpoint was trained with."""
        if self.fingerprint != fingerprint:
            raise DataError(
                f"this vocabulary ({len(self)} ids, fingerprint {self.fingerprint}) is not the one "
                f"that the checkpoint was trained with ({fingerprint}): its ids mean other "
                "tokens; load the vocabulary saved with the checkpoint, or train anew"
            )


def _listed(tokens: Iterable[str]) -> list[str]:
    """The tokens as a list of str. Raises DataError for what is no row of strings."""
    if isinstance(tokens, str):
        raise DataError(
            f"{tokens[:20]!r} is a text where tokens are wanted: cut it as the vocabulary's text "
            "was cut, with words(text) or characters(text)"
        )
    kind, shape = type(tokens).__name__, tuple(getattr(tokens, "shape", (0,)))
    if isinstance(tokens, Mapping | set | frozenset):
        raise DataError(
            f"tokens is a {kind}, which would lose their order or their counts: give all tokens "
            "of the text to Vocabulary.build, which counts them, or a list in the order of the ids"
        )
    if len(shape) != 1:
        raise DataError(f"tokens is a {kind} of shape {shape}: give one row of strings")
    if not isinstance(tokens, Iterable):
        raise DataError(f"tokens is {tokens!r}: give a list of strings")
    listed = tokens.tolist() if isinstance(tokens, np.ndarray) else list(tokens)
    for n, token in enumerate(listed):
        if not isinstance(token, str):
            raise DataError(
                f"token {n} is {token!r}: tokens are strings, drop it or make it one with str"
            )
    return listed
