"""Language models on running text: trained with the state carried on, scored, and sampled from.

A text is one long row of tokens. `text_data` cuts it into windows, `streams.reading_order` reads
them as streams side by side, and `Carried` hands the state of each window on to the next.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.dataset import DataError, Dataset, Split
from helpers.nets.sequences import LanguageModel
from helpers.text.ngrams import sample_next
from helpers.text.tokens import Vocabulary
from helpers.text.windows import windows

WARM_UP = 200  # tokens that a stream reads before the first one it is scored on
HELD_OUT = 512  # tokens of a window to validate or test on: its cold start hardly counts


def text_data(
    name: str,
    train: Tensor,
    valid: Tensor,
    test: Tensor,
    vocabulary: Vocabulary,
    length: int = 64,
    device: torch.device | str = "cpu",
) -> Dataset:
    """Three texts of ids (N,) as a Dataset of windows in reading order; y is the token after each.

    Windows to train on are (count, length). Those of the other texts are longer, at most HELD_OUT
    tokens; `training.fit` reads each from an empty state, `surprise` a whole text in one go.
    Raises DataError for ids that are no int64 (N,), and for a text shorter than a window.
    """
    splits = {"train": windows(train, length, stride=length)}
    for part, ids in {"valid": valid, "test": test}.items():
        splits[part] = windows(ids, max(1, min(HELD_OUT, len(ids) - 1)))
    splits = {part: Split(*(t.to(device) for t in pair)) for part, pair in splits.items()}
    return Dataset(name, **splits, classes=vocabulary.tokens, mean=0.0, std=1.0)


class Carried(nn.Module):
    """A language model that, in training, begins every batch with the state the last one left.

    Truncated backpropagation through time: values are carried over, the gradient is cut. For
    training with `order=streams.reading_order` on windows in reading order, of which there are
    `count`, in batches of `streams`. With every new pass over the text, where the state would mean
    nothing, it is empty again; in evaluation it always is. The state lies in buffers, so that a
    stack of networks carries one for each.

    Raises ValueError for more streams than windows, and for a batch of more rows than streams.
    """

    def __init__(self, model: LanguageModel, streams: int, count: int):
        super().__init__()
        if not 1 <= streams <= count:
            raise ValueError(f"{streams} streams of {count} windows: use 1 to {count} streams")
        self.model, self.streams, self.pieces = model, streams, count // streams
        with torch.no_grad():
            _, state = model.run(torch.zeros(streams, 1, dtype=torch.int64))
        for n, part in enumerate(state):
            self.register_buffer(f"state{n}", torch.zeros_like(part), persistent=False)
        self.register_buffer("read", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, tokens, time) of the token after each."""
        if not self.training:
            return self.model(tokens)
        if len(tokens) > self.streams:
            raise ValueError(f"a batch of {len(tokens)} rows for {self.streams} streams")
        kept = [getattr(self, f"state{n}")[: len(tokens)] for n in range(self.model.cell.parts)]
        is_first = self.read % self.pieces == 0
        logits, state = self.model.run(
            tokens, tuple(torch.where(is_first, 0.0, part) for part in kept)
        )
        for part, new in zip(kept, state, strict=True):
            part.copy_(new.detach())
        self.read.add_(1)
        return logits


@torch.no_grad()
def surprise(model: LanguageModel, tokens: Tensor, streams: int = 32, piece: int = 512) -> Tensor:
    """-log p in nats of every token but the first, given all before it: (N - 1,) from (N,).

    The state is carried from the first token to the last. To be fast a text of more than
    `streams` times WARM_UP tokens is read in that many places side by side; each then reads the
    WARM_UP tokens before its part first. With streams=1 the text is read in one go.
    Raises DataError for fewer than two tokens, ids that the model does not know, and streams or a
    piece below 1.
    """
    if tokens.ndim != 1 or len(tokens) < 2:
        raise DataError(f"tokens have shape {tuple(tokens.shape)}: give a text of two or more")
    if streams < 1 or piece < 1:
        raise DataError(f"{streams} streams, pieces of {piece}: use 1 or more of each")
    _require_known(model, tokens)
    was_training = model.training
    model.eval()
    rows, targets = [tokens], len(tokens) - 1
    own = -(-targets // streams)  # targets of each stream
    if streams > 1 and own > WARM_UP:
        # The last one reaches back further; all rows are equally long. The first has no
        # past to warm up with: it is read on its own.
        starts = [min(own * k, targets - own) for k in range(1, streams)]
        rows = [tokens[: own + 1]]
        late = torch.stack([tokens[s - WARM_UP : s + own + 1] for s in starts])
        nats = _read(model, late, piece)[:, WARM_UP:]
        past = [own * k - s for k, s in zip(range(1, streams), starts, strict=True)]
        rest = [row[skip:] for row, skip in zip(nats, past, strict=True)]
    else:
        rest = []
    first = _read(model, rows[0][None], piece)[0]
    model.train(was_training)
    return torch.cat([first, *rest])


def _require_known(model: LanguageModel, tokens: Tensor) -> None:
    size = model.embedding.num_embeddings
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
        raise DataError(
            f"ids run from {int(tokens.min())} to {int(tokens.max())}, the model knows 0 to "
            f"{size - 1}: encode with the vocabulary that it was trained with"
        )


def _read(model: LanguageModel, rows: Tensor, piece: int) -> Tensor:
    """-log p of every token but the first of each row (batch, N)."""
    state, nats = None, []
    for x, y in zip(rows[:, :-1].split(piece, 1), rows[:, 1:].split(piece, 1), strict=True):
        logits, state = model.run(x, state)
        nats.append(F.cross_entropy(logits, y, reduction="none"))
    return torch.cat(nats, 1)


def continue_text(
    model: LanguageModel,
    prompt: Tensor,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    forbid: tuple[int, ...] = (0, 1),
    generator: torch.Generator,
) -> Tensor:
    """Draw `count` tokens after each prompt: (batch, count) from (batch, time), both int64.

    One token at a time: the network says how likely each is, one is drawn (`ngrams.sample_next`)
    and read as the next input. `forbid` are never drawn, by default PAD and UNK.
    Raises DataError for a count under 1, ids that the model does not know, and as sample_next does.
    """
    if count < 1:
        raise DataError(f"count is {count}: draw one token or more")
    _require_known(model, prompt)
    was_training = model.training
    model.eval()
    drawn: list[Tensor] = []
    with torch.inference_mode():
        logits, state = model.run(prompt)
        while True:
            last = logits[:, :, -1]
            last[:, list(forbid)] = -math.inf
            drawn.append(sample_next(last, temperature, top_k, top_p, generator=generator))
            if len(drawn) == count:
                break
            logits, state = model.run(drawn[-1][:, None], state)
    model.train(was_training)
    return torch.stack(drawn, 1).clone()  # what leaves may be trained on
