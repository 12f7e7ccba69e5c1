"""Language models on running text: trained with the state carried on, and scored.

A text is one long row of tokens. `text_data` cuts it into windows, `training.reading_order` reads
them as rows side by side, and `Stateful` hands the state of each window on to the next.
"""

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.dataset import DataError, Dataset, Split
from helpers.data.given import check_whole
from helpers.nets.modes import evaluating
from helpers.nets.sequences import LanguageModel
from helpers.text.tokens import Vocabulary, as_ids
from helpers.text.windows import windows

BURN_IN = 200  # tokens that a row reads before the first one it is scored on
ROWS, CHUNK = 32, 512  # read side by side, and tokens at a time
HELD_OUT = 512  # tokens of a window to validate or test on: its cold start hardly counts


def text_data(
    name: str,
    train: Tensor | ArrayLike,
    valid: Tensor | ArrayLike,
    test: Tensor | ArrayLike,
    vocabulary: Vocabulary,
    length: int = 64,
    device: torch.device | str = "cpu",
) -> Dataset:
    """Three texts of ids (N,) as a Dataset of windows in reading order; y is the token after each.

    Windows to train on are (count, length). Those of the other texts are longer, at most HELD_OUT
    tokens; `training.fit` reads each from an empty state, `nats` a whole text in one go.
    Raises DataError for ids that are no integers (N,) or not the vocabulary's, and for a text
    shorter than a window.

    >>> letters = Vocabulary(["a", "b", "c"])
    >>> text_data("abc", [2, 3, 4] * 9, [2, 3, 4], [4, 3, 2], letters, length=8).train.x.shape
    torch.Size([3, 8])
    """
    ids = {
        part: as_ids(text, len(vocabulary), name=f"the {part} ids")
        for part, text in {"train": train, "valid": valid, "test": test}.items()
    }
    check_whole(length=length)
    cut = {part: windows(text, max(1, min(HELD_OUT, len(text) - 1))) for part, text in ids.items()}
    cut["train"] = windows(ids["train"], length, stride=length)
    splits = {part: Split(*(t.to(device) for t in pair)) for part, pair in cut.items()}
    return Dataset(name, **splits, classes=vocabulary.tokens, mean=0.0, std=1.0)


class Stateful(nn.Module):
    """A language model that, in training, begins every batch with the state the last one left.

    Truncated backpropagation through time (Williams and Peng 1990, "An efficient gradient-based
    algorithm"): values are carried over, the gradient is cut. For training with
    `order=training.reading_order` on windows in reading order, of which there are `count`, in
    batches of `batch_size` rows. With every new pass over the text, where the state would mean
    nothing, it is empty again; in evaluation it always is.

    Raises ValueError for more rows than windows, and for a batch of more rows than `batch_size`.
    """

    def __init__(self, model: LanguageModel, batch_size: int, count: int):
        super().__init__()
        check_whole(batch_size=batch_size, count=count)
        if batch_size > count:
            raise ValueError(f"batches of {batch_size} of {count} windows: use 1 to {count} rows")
        self.model, self.batch_size, self.batches_a_pass = model, batch_size, count // batch_size
        with torch.no_grad():
            _, state = model.run(torch.zeros(batch_size, 1, dtype=torch.int64))
        # Buffers, so that a stack of networks carries a state for each.
        for n, part in enumerate(state):
            self.register_buffer(f"state{n}", torch.zeros_like(part), persistent=False)
        self.register_buffer("read", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, tokens, time) of the token after each."""
        if not self.training:
            return self.model(tokens)
        if len(tokens) > self.batch_size:
            raise ValueError(
                f"a batch of {len(tokens)} rows, where {self.batch_size} are carried on"
            )
        kept = [getattr(self, f"state{n}")[: len(tokens)] for n in range(self.model.cell.parts)]
        begins = self.read % self.batches_a_pass == 0
        before = tuple(torch.where(begins, 0.0, part) for part in kept)
        logits, after = self.model.run(tokens, before)
        for part, new in zip(kept, after, strict=True):
            part.copy_(new.detach())
        self.read.add_(1)
        return logits


@torch.no_grad()
def nats(model: LanguageModel, tokens: Tensor | ArrayLike) -> Tensor:
    """-log p in nats of every token but the first, given all before it: (N - 1,) from (N,).

    Its mean is the loss of the text. The state is carried from the first token to the last. To be
    fast, a text of more than ROWS times BURN_IN tokens is read in ROWS places side by side; each
    then reads the BURN_IN tokens before its part first.
    Raises DataError for fewer than two tokens, text that is not yet encoded and ids that the model
    does not know; the model's mode is then as it was.

    >>> from helpers.nets import GRU
    >>> model = LanguageModel(5, GRU(2, 4))
    >>> nats(model, [2, 3, 4, 3]).shape
    torch.Size([3])
    """
    ids = as_ids(tokens, model.embedding.num_embeddings, name="tokens")
    ids = ids.to(model.embedding.weight.device)
    if len(ids) < 2:
        raise DataError(f"the text has {len(ids)} token(s): give two or more")
    targets = len(ids) - 1
    own = -(-targets // ROWS)  # targets of each row
    with evaluating(model):
        if own <= BURN_IN:
            return _read(model, ids[None])[0]
        # Rows are equally long, so the last one reaches back further and scores some targets
        # anew, which are left out. The first has nothing to burn in on: it is read on its own.
        first = _read(model, ids[None, : own + 1])[0]
        starts = [min(own * n, targets - own) for n in range(1, ROWS)]
        rows = torch.stack([ids[start - BURN_IN : start + own + 1] for start in starts])
        scored = _read(model, rows)[:, BURN_IN:]
    again = [own * n - start for n, start in enumerate(starts, 1)]
    return torch.cat([first, *(row[skip:] for row, skip in zip(scored, again, strict=True))])


def _read(model: LanguageModel, rows: Tensor) -> Tensor:
    """-log p of every token but the first of each row (batch, N)."""
    state, found = None, []
    for x, y in zip(rows[:, :-1].split(CHUNK, 1), rows[:, 1:].split(CHUNK, 1), strict=True):
        logits, state = model.run(x, state)
        # Tokens side by side in memory, as in training.cross_entropy: twice as fast.
        each = F.cross_entropy(logits.transpose(1, 2).flatten(0, 1), y.flatten(), reduction="none")
        found.append(each.view_as(y))
    return torch.cat(found, 1)
