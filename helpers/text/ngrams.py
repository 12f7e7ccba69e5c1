"""Predicting the next token by counting: the baseline beside every language model; and drawing one.

The counts are our own: NLTK's language models keep them in Python dictionaries and score one token
at a time, slow for a million characters; KenLM has to be compiled.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.data.dataset import DataError


class Table(NamedTuple):
    """How one level of n-grams shares out probability: p = (gain + kept p_lower) / total."""

    gain: np.ndarray  # (grams,)
    kept: np.ndarray  # (contexts,) for the next lower order
    total: np.ndarray  # (contexts,) 0 for a context to skip


class Level(NamedTuple):
    """The n-grams seen of one length, sorted by key, and what they are worth at two places."""

    keys: np.ndarray
    highest: Table  # where this is the longest context asked for
    lower: Table  # where it smooths a longer one


class NGrams:
    """Interpolated n-grams of all orders up to `order`, counted in training tokens (N,) int64.

    The share of a token w after a context h of order - 1 tokens mixes what was counted after h
    with the share of w after h', which is h without its oldest token, and so on down to equal
    shares for all `size` ids. The smoothing says how:

    "kneser-ney": counts are cut by a discount, D1, D2 or D3 for counts of 1, 2 or more, and what
    is cut goes to h'; there, not occurrences of h'w are counted but different tokens before it
    (Kneser and Ney 1995; modified, with discounts as estimated by Chen and Goodman 1999, section
    3; where a small text allows no estimate, 0.5, 1 and 1.5).
    "witten-bell": p(w | h) = (count(hw) + kinds(h) p(w | h')) / (count(h) + kinds(h)), where
    kinds(h) is how many different tokens followed h (Witten and Bell 1991). A weaker baseline.

    Raises DataError for an order under 1, fewer tokens than the order, ids outside 0..size - 1 or
    an unknown smoothing.
    """

    def __init__(self, tokens: Tensor, order: int, size: int, smoothing: str = "kneser-ney"):
        if order < 1:
            raise DataError(f"order is {order}: use 1 (no context) or more")
        if smoothing not in ("kneser-ney", "witten-bell"):
            raise DataError(f"unknown smoothing {smoothing!r}: use 'kneser-ney' or 'witten-bell'")
        if not isinstance(tokens, Tensor) or len(tokens) < order:
            raise DataError(
                f"{order}-grams need a tensor of {order} tokens or more: give more text"
            )
        self.order, self.size, self.smoothing = order, size, smoothing
        self._levels: list[Level] = []
        # A gram's key is the place of its first tokens among the shorter grams, times size, plus
        # its last token. Its place is the index of its key among the sorted keys.
        ids = self._checked(tokens)
        shorter, contexts = np.zeros(len(ids) + 1, np.int64), 1  # places of grams one token shorter
        for level in range(order):
            keys, first, inverse, counts = np.unique(
                shorter[:-1] * size + ids[level:],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            if level > 0 and smoothing == "kneser-ney":
                newer = shorter[first + 1]  # each gram without its oldest token
                self._count_what_came_before(np.bincount(newer, minlength=contexts))
            table = self._table(counts, keys // size, contexts)
            self._levels.append(Level(keys, table, table))
            shorter, contexts = inverse, len(keys)

    def _count_what_came_before(self, counts: np.ndarray) -> None:
        """Where the last level smooths a longer one, count different tokens before its grams."""
        last = self._levels[-1]
        contexts = len(last.highest.total)
        lower = self._table(counts, last.keys // self.size, contexts)
        self._levels[-1] = last._replace(lower=lower)

    def nats(self, tokens: Tensor, order: int | None = None) -> Tensor:
        """Surprise -log p of each token given those before it, float64 (N,), from tokens (N,).

        The first tokens have less context than the others, and the first has none. Lower orders
        than the model's may be asked for. Raises DataError as the class does.
        """
        ids = self._checked(tokens)
        if not len(ids):
            raise DataError("there are no tokens to score: give one or more")
        shares = np.full(len(ids), 1 / self.size)
        places = np.zeros(len(ids), np.int64)  # of each token's context; -1: never seen
        for level, table in self._tables(order):
            shares, found = self._refine(level, table, places, ids, shares)
            places = np.concatenate([[-1], found[:-1]])
        return torch.from_numpy(-np.log(shares))

    def probabilities(self, context: Tensor, order: int | None = None) -> Tensor:
        """Share of every id as the next token after `context` (N,), float64 (size,).

        Only the last order - 1 tokens of the context matter; it may be empty.
        Raises DataError as the class does.
        """
        ids = self._checked(context)
        every = np.arange(self.size)
        shares = np.full(self.size, 1 / self.size)
        for level, table in self._tables(order):
            place = self._place(ids[len(ids) - level :]) if level <= len(ids) else -1
            places = np.full(self.size, place)
            shares, _ = self._refine(level, table, places, every, shares)
        return torch.from_numpy(shares)

    def _table(self, counts: np.ndarray, parents: np.ndarray, contexts: int) -> Table:
        """Of counts (grams,) whose contexts are at the places `parents` (grams,)."""
        totals = np.bincount(parents, counts, contexts)
        if self.smoothing == "witten-bell":
            kinds = np.bincount(parents, minlength=contexts)
            return Table(counts, kinds, totals + kinds)
        discounts = _discounts(counts)[np.minimum(counts, 3)]
        return Table(counts - discounts, np.bincount(parents, discounts, contexts), totals)

    def _tables(self, order: int | None) -> list[tuple[int, Table]]:
        order = self.order if order is None else order
        if not 1 <= order <= self.order:
            raise DataError(f"order is {order}: the model counted orders 1 to {self.order}")
        lower = [level.lower for level in self._levels[: order - 1]]
        return list(enumerate([*lower, self._levels[order - 1].highest]))

    def _refine(
        self, level: int, table: Table, places: np.ndarray, ids: np.ndarray, shares: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shares with one more token of context, at `places`, and places of the longer grams."""
        found = self._look_up(level, places, ids)
        gain = np.where(found >= 0, table.gain[found], 0)
        kept, total = (np.where(places >= 0, a[places], 0) for a in (table.kept, table.total))
        refined = (gain + kept * shares) / np.maximum(total, 1)
        return np.where(total > 0, refined, shares), found

    def _look_up(self, level: int, places: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Places of the grams made of the contexts at `places` and `ids`; -1: never seen."""
        seen, keys = self._levels[level].keys, places * self.size + ids
        index = np.minimum(np.searchsorted(seen, keys), len(seen) - 1)
        return np.where((places >= 0) & (seen[index] == keys), index, -1)

    def _place(self, context: np.ndarray) -> int:
        place = np.zeros(1, np.int64)
        for level, token in enumerate(context):
            place = self._look_up(level, place, token)
        return int(place[0])

    def _checked(self, tokens: Tensor) -> np.ndarray:
        if tokens.ndim != 1 or (len(tokens) and tokens.dtype != torch.int64):
            raise DataError("tokens are not an int64 tensor (N,): use what encode returns")
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.size:
            raise DataError(
                f"tokens run from {int(tokens.min())} to {int(tokens.max())}: they must lie in "
                f"0..{self.size - 1}; size is the length of the vocabulary that encoded them"
            )
        return tokens.cpu().numpy().astype(np.int64)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What to cut from counts of 0, 1, 2 and more (Chen and Goodman 1999, equation 17)."""
    n1, n2, n3, n4 = np.bincount(counts, minlength=5)[1:5]
    if min(n1, n2, n3) > 0:
        y = n1 / (n1 + 2 * n2)
        estimated = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if (estimated[1:] > 0).all():
            return estimated
    return np.array([0, 0.5, 1, 1.5])


def sample_next(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    *,
    generator: torch.Generator,
) -> Tensor:
    """Draw the next token of each row: int64 (batch,) from logits (batch, tokens).

    Logits are divided by `temperature`, below 1 for bolder guesses. Then only the `top_k` most
    likely tokens stay, and of these the fewest whose shares sum to `top_p` or more (nucleus
    sampling, Holtzman et al. 2020, section 3.1). The same generator state draws the same tokens.

    Raises DataError for a temperature that is not positive and finite, top_k outside 1..tokens,
    top_p outside (0, 1], or logits that are NaN, +inf, or -inf throughout a row.
    """
    _check_sampling(logits, temperature, top_k, top_p)
    # In float64, and at most 0, so that no temperature is too low for it.
    scaled = (logits.double() - logits.double().amax(-1, keepdim=True)) / temperature
    kept = logits.shape[-1] if top_k is None else top_k
    if kept == logits.shape[-1] and top_p == 1:
        shares, tokens = torch.softmax(scaled, -1), None
    else:
        values, tokens = scaled.topk(kept)  # sorted, the most likely first
        shares = torch.softmax(values, -1)
        shares = shares * (shares.cumsum(-1) - shares < top_p)
    drawn = torch.multinomial(shares.to(generator.device), 1, generator=generator)
    drawn = drawn.to(logits.device)
    return (drawn if tokens is None else tokens.gather(-1, drawn)).squeeze(-1)


def _check_sampling(logits: Tensor, temperature: float, top_k: int | None, top_p: float) -> None:
    if logits.ndim != 2 or not logits.is_floating_point() or 0 in logits.shape:
        raise DataError(
            f"logits are {logits.dtype} of shape {tuple(logits.shape)}: expected floats (batch, "
            "tokens); of a whole sequence, give the last step"
        )
    if not 0 < temperature < math.inf:
        raise DataError(
            f"temperature is {temperature}: it is positive and finite; for the most likely token "
            "every time, use logits.argmax(-1)"
        )
    if top_k is not None and not (isinstance(top_k, int) and 1 <= top_k <= logits.shape[-1]):
        raise DataError(f"top_k is {top_k}: use 1 to {logits.shape[-1]}, or None for all tokens")
    if not 0 < top_p <= 1:
        raise DataError(f"top_p is {top_p}: use more than 0 and at most 1 (1 keeps all tokens)")
    best = logits.amax(-1)  # NaN or +inf where one is in the row
    if not best.isfinite().all():
        raise DataError(
            f"the best logit of a row is {best[~best.isfinite()][0].item()}: the network has "
            "diverged, or every token of the row is forbidden; check the loss, or start again"
        )
