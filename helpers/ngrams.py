"""Predicting the next token by counting: the baseline beside every language model; and drawing one.

The counts are our own: NLTK's language models keep them in Python dictionaries and score one token
at a time, slow for a million characters; KenLM has to be compiled.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from helpers.splits import DataError


class NGrams:
    """Interpolated n-grams of all orders up to `order`, counted in training tokens (N,) int64.

    The share of a token w after a context h, its last order - 1 tokens, is
    p(w | h) = (count(hw) + kinds(h) p(w | h')) / (count(h) + kinds(h)), where kinds(h) is how many
    different tokens were seen after h, and h' is h without its oldest token. Below the first order
    all `size` ids are equally likely. Witten and Bell 1991, in the
    recursive form of Chen and Goodman 1999, section 2.4.

    Raises DataError for an order under 1, fewer tokens than the order, or ids outside 0..size - 1.
    """

    def __init__(self, tokens: Tensor, order: int, size: int):
        if order < 1:
            raise DataError(f"order is {order}: use 1 (no context) or more")
        if not isinstance(tokens, Tensor) or len(tokens) < order:
            raise DataError(
                f"{order}-grams need a tensor of {order} tokens or more: give more text"
            )
        self.order, self.size = order, size
        # Level k holds the k-grams seen: a k-gram's key is its first k - 1 tokens' place in level
        # k - 1, times size, plus its last token. Keys are sorted; a place is an index into them.
        self._levels: list[tuple[np.ndarray, np.ndarray]] = []
        self._after: list[tuple[np.ndarray, np.ndarray]] = []  # count(h) and kinds(h)
        ids = self._checked(tokens)
        places, contexts = np.zeros(len(ids), np.int64), 1
        for level in range(order):
            keys = places * size + ids[level:]
            seen, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
            parents = seen // size
            totals = np.bincount(parents, counts, contexts)
            self._levels.append((seen, counts))
            self._after.append((totals, np.bincount(parents, minlength=contexts)))
            places, contexts = inverse[:-1], len(seen)

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
        for level in self._upto(order):
            shares, found = self._refine(level, places, ids, shares)
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
        for level in self._upto(order):
            place = self._place(ids[len(ids) - level :]) if level <= len(ids) else -1
            shares, _ = self._refine(level, np.full(self.size, place), every, shares)
        return torch.from_numpy(shares)

    def _refine(
        self, level: int, places: np.ndarray, ids: np.ndarray, shares: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shares with one more token of context, at `places`, and places of the longer grams."""
        counts, found = self._look_up(level, places, ids)
        totals, kinds = (np.where(places >= 0, after[places], 0) for after in self._after[level])
        refined = (counts + kinds * shares) / np.maximum(totals + kinds, 1)
        return np.where(totals > 0, refined, shares), found

    def _look_up(
        self, level: int, places: np.ndarray, ids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        seen, counts = self._levels[level]
        keys = places * self.size + ids
        index = np.minimum(np.searchsorted(seen, keys), len(seen) - 1)
        known = (places >= 0) & (seen[index] == keys)
        return np.where(known, counts[index], 0), np.where(known, index, -1)

    def _place(self, context: np.ndarray) -> int:
        place = np.zeros(1, np.int64)
        for level, token in enumerate(context):
            _, place = self._look_up(level, place, token)
        return int(place[0])

    def _upto(self, order: int | None) -> Iterator[int]:
        order = self.order if order is None else order
        if not 1 <= order <= self.order:
            raise DataError(f"order is {order}: the model counted orders 1 to {self.order}")
        return iter(range(order))

    def _checked(self, tokens: Tensor) -> np.ndarray:
        if tokens.ndim != 1 or (len(tokens) and tokens.dtype != torch.int64):
            raise DataError("tokens are not an int64 tensor (N,): use what encode returns")
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.size:
            raise DataError(
                f"tokens run from {int(tokens.min())} to {int(tokens.max())}: they must lie in "
                f"0..{self.size - 1}; size is the length of the vocabulary that encoded them"
            )
        return tokens.cpu().numpy().astype(np.int64)


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
    if top_k is not None and not 1 <= top_k <= logits.shape[-1]:
        raise DataError(f"top_k is {top_k}: use 1 to {logits.shape[-1]}, or None for all tokens")
    if not 0 < top_p <= 1:
        raise DataError(f"top_p is {top_p}: use more than 0 and at most 1 (1 keeps all tokens)")
    best = logits.amax(-1)  # NaN or +inf where one is in the row
    if not best.isfinite().all():
        raise DataError(
            f"the best logit of a row is {best[~best.isfinite()][0].item()}: the network has "
            "diverged, or every token of the row is forbidden; check the loss, or start again"
        )
