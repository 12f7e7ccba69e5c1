"""Predicting the next token by counting: the baseline beside every language model.

An n-gram model of order n looks at a context h of n - 1 tokens. It mixes what was counted after h
with what it would say after h', which is h without its oldest token, and so on down to equal shares
for all ids, in the shares of Kneser and Ney:

    p(w | h) = (own(hw) + passed(h) p(w | h')) / total(h),

and for an h that was never seen p(w | h) = p(w | h'). `kneser_ney` says what the three terms are;
notebook 06 has the same in a few plain lines.

The counts are our own: NLTK's language models keep them in Python dictionaries and score one token
at a time, slow for a million characters; KenLM has to be compiled.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.data.dataset import DataError
from helpers.data.given import check_whole
from helpers.text.tokens import as_ids


class Shares(NamedTuple):
    """The terms of p(w | h) for the n-grams hw of one length, and for their contexts h."""

    own: np.ndarray  # (grams,) the part of an n-gram itself
    passed: np.ndarray  # (contexts,) what is passed on to the shorter context
    total: np.ndarray  # (contexts,) 0 for a context that was never counted


def kneser_ney(counts: np.ndarray, context: np.ndarray, contexts: int) -> Shares:
    """Counts are cut by a discount D, and what is cut off a context's counts is passed on.

        p(w | h) = (c(hw) - D(c(hw)) + sum_v D(c(hv)) p(w | h')) / sum_v c(hv)

    D is one number for counts of 1, one for 2 and one for 3 and more: "modified" Kneser-Ney, Chen
    and Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3.
    `counts` (grams,) are c(hw), `context` (grams,) is the row of each h among `contexts` rows.
    """
    cut = discounts(counts)[np.minimum(counts, 3)]
    return Shares(
        own=counts - cut,
        passed=np.bincount(context, cut, contexts),
        total=np.bincount(context, counts, contexts),
    )


def discounts(counts: np.ndarray) -> np.ndarray:
    """D of counts of 0, 1, 2 and 3 or more, from how many n-grams have each count.

    Chen and Goodman 1999, equation 17; where a small text allows no estimate, 0.5, 1 and 1.5.
    """
    n1, n2, n3, n4 = np.bincount(counts, minlength=5)[1:5]
    if min(n1, n2, n3) > 0:
        y = n1 / (n1 + 2 * n2)
        estimated = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if (estimated[1:] > 0).all():
            return estimated
    return np.array([0, 0.5, 1, 1.5])


class NGrams:
    """Interpolated n-grams of all orders up to `order`, counted in training tokens (N,).

    `size` is the number of ids, the vocabulary's length. In the recipe of Kneser and Ney (1995,
    "Improved backing-off for m-gram language modeling") a context that smooths a longer one counts
    not how often hw occurs but after how many different tokens: "Francisco" is frequent, but after
    "San" alone.

    Raises DataError for an order under 1, fewer tokens than the order, and tokens that are no
    integers in 0..size - 1.

    >>> pairs = NGrams([2, 3, 2, 3, 2, 4], order=2, size=5)
    >>> pairs.nats([2, 3])[1].neg().exp().round(decimals=2).item()  # p of 3 after 2
    0.47
    """

    def __init__(self, tokens: Tensor | ArrayLike, order: int, size: int):
        check_whole(order=order, size=size)
        ids = self._ids(tokens, size)
        if len(ids) < order:
            raise DataError(f"{order}-grams need {order} tokens or more: give more text")
        self.order, self.size = order, size
        self._keys: list[np.ndarray] = []  # of the n-grams of each length, sorted
        self._longest: list[Shares] = []  # where h is the whole context asked for
        self._shorter: list[Shares] = []  # where h smooths a longer one
        # Each different n-gram has a row: its place among the sorted keys. Its key is the row of
        # its context, times size, plus its last token. `rows` are those of the grams that begin
        # at each token; to start with, of the one gram of no tokens.
        rows = np.zeros(len(ids) + 1, np.int64)
        for n in range(order):
            keys, first, inverse, counts = np.unique(
                rows[:-1] * size + ids[n:],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            if n > 0:
                kinds_before = np.bincount(rows[first + 1], minlength=len(self._keys[-1]))
                self._shorter[-1] = self._smooth(n - 1, kinds_before)
            self._keys.append(keys)
            self._longest.append(self._smooth(n, counts))
            self._shorter.append(self._longest[-1])
            rows = inverse

    def _smooth(self, n: int, counts: np.ndarray) -> Shares:
        """The shares of the grams with contexts of n tokens, which were counted so often."""
        contexts = len(self._keys[n - 1]) if n else 1
        return kneser_ney(counts, self._keys[n] // self.size, contexts)

    def nats(self, tokens: Tensor | ArrayLike, order: int | None = None) -> Tensor:
        """-log p in nats of each token given those before it, float64 (N,), from tokens (N,).

        The first tokens have less context than the others, and the first has none. Lower orders
        than the model's may be asked for. Raises DataError as the class does.

        >>> NGrams([2, 3, 3, 3], order=1, size=4).nats([3]).round(decimals=3).item()
        0.693
        """
        ids = self._ids(tokens, self.size)
        if not len(ids):
            raise DataError("there are no tokens to score: give one or more")
        p = np.full(len(ids), 1 / self.size)
        contexts = np.zeros(len(ids), np.int64)
        for n, shares in enumerate(self._shares(order)):
            rows = self._find(n, contexts, ids)
            p = _interpolate(shares, rows, contexts, p)
            contexts = np.concatenate([[-1], rows[:-1]])  # of n + 1 tokens, which end before each
        return torch.from_numpy(-np.log(p))

    def _shares(self, order: int | None) -> list[Shares]:
        order = self.order if order is None else order
        check_whole(order=order)
        if order > self.order:
            raise DataError(f"order is {order}: the model counted orders 1 to {self.order}")
        return [*self._shorter[: order - 1], self._longest[order - 1]]

    def _find(self, n: int, contexts: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Rows of the grams made of contexts of n tokens, by row, and ids; -1: never seen."""
        seen, keys = self._keys[n], contexts * self.size + ids
        rows = np.minimum(np.searchsorted(seen, keys), len(seen) - 1)
        return np.where((contexts >= 0) & (seen[rows] == keys), rows, -1)

    @staticmethod
    def _ids(tokens: Tensor | ArrayLike, size: int) -> np.ndarray:
        return as_ids(tokens, size, name="tokens").cpu().numpy()


def _interpolate(
    shares: Shares, rows: np.ndarray, contexts: np.ndarray, p: np.ndarray
) -> np.ndarray:
    """p(w | h) from p(w | h') for grams hw at `rows` and contexts h; -1: never seen."""
    own = np.where(rows >= 0, shares.own[rows], 0)
    passed, total = (np.where(contexts >= 0, a[contexts], 0) for a in shares[1:])
    return np.where(total > 0, (own + passed * p) / np.maximum(total, 1), p)
