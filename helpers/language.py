"""Language models on running text: trained with the state carried on, scored, and sampled from.

A text is one long row of tokens. `fit_text` cuts it into streams that are read side by side and
piece by piece: truncated backpropagation through time. What a piece leaves in the state goes on
into the next, the gradient stops there.
"""

import math
from collections.abc import Callable, Iterator

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.batching import parallel_streams
from helpers.ngrams import sample_next
from helpers.sequences import LanguageModel
from helpers.splits import DataError, Dataset, Split
from helpers.streams import stream
from helpers.text import Vocabulary
from helpers.training import ADAM, Schedule, linear_decay

WARM_UP = 200  # tokens that a stream reads before the first one it is scored on


def text_data(
    name: str,
    train: Tensor,
    valid: Tensor,
    test: Tensor,
    vocabulary: Vocabulary,
    device: torch.device | str = "cpu",
) -> Dataset:
    """Three texts of ids (N,) as a Dataset: x (1, N - 1), and in y the token after each.

    Raises DataError for a text of fewer than two tokens.
    """
    texts = {"train": train, "valid": valid, "test": test}
    for part, ids in texts.items():
        if ids.ndim != 1 or len(ids) < 2:
            raise DataError(f"the {part} text has shape {tuple(ids.shape)}: give two ids or more")
    splits = {k: Split(*(t[None].to(device) for t in (v[:-1], v[1:]))) for k, v in texts.items()}
    return Dataset(name, **splits, classes=vocabulary.tokens, mean=0.0, std=1.0)


def whole_text(split: Split) -> Tensor:
    """The ids (N,) that a split of `text_data` was made of."""
    return torch.cat([split.x[0, :1], split.y[0]])


def fit_text(
    model: LanguageModel,
    data: Dataset,
    *,
    steps: int,
    lr: float,
    seed: int,
    batch_size: int = 32,
    length: int = 64,
    optimizer: Callable[..., torch.optim.Optimizer] = ADAM,
    schedule: Schedule = linear_decay,
    clip: float = 1.0,
    evaluate_every: int | None = None,
) -> pd.DataFrame:
    """Train a language model in place, for `steps` updates of batch_size x length tokens.

    For `training.fit_many(..., train=language.fit_text)`; the data are those of `text_data`. The
    state is carried from update to update and starts at zero with every pass over the text; a
    pass begins at a place drawn from the seed. Gradients longer than `clip` are shortened to it.
    The history has one row per evaluation: step, train_loss and peak_loss (mean and largest over
    the updates since the row before), valid_loss, in the last row test_loss, all in nats per token,
    and diverged_at.

    Raises ValueError for no steps or a learning rate that is not positive and finite, DataError
    for a text shorter than one update.
    """
    if steps < 1 or not 0 < lr < math.inf:
        raise ValueError(f"{steps} steps at a learning rate of {lr}: use positive numbers")
    text, device = whole_text(data.train), data.train.y.device
    model = model.to(device).train()
    weights = [p for p in model.parameters() if p.requires_grad]
    update = optimizer(weights, lr=lr)
    pieces = _pieces(text, batch_size, length, stream(seed, "batches"))
    history, losses, state = [], [], None
    for step, (x, y, is_first) in zip(range(1, steps + 1), pieces, strict=False):
        for group in update.param_groups:
            group["lr"] = lr * schedule((step - 1) / steps)
        # Values are carried over, the gradient is cut.
        state = None if is_first else tuple(part.detach() for part in state)
        logits, state = model.run(x, state)
        loss = F.cross_entropy(logits, y)
        update.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, clip)
        update.step()
        losses.append(loss.item())
        if step == steps or (evaluate_every and step % evaluate_every == 0):
            loss = {"train_loss": sum(losses) / len(losses), "peak_loss": max(losses)}
            row = {"step": step} | loss | {"diverged_at": 0}
            row["valid_loss"] = surprise(model, whole_text(data.valid)).mean().item()
            row["test_loss"] = math.nan
            if step == steps:
                row["test_loss"] = surprise(model, whole_text(data.test)).mean().item()
            if not math.isfinite(row["valid_loss"] + row["train_loss"]):
                row["diverged_at"] = step
            history.append(row)
            losses.clear()
            if row["diverged_at"]:
                break
    return pd.DataFrame(history)


def _pieces(
    text: Tensor, batch_size: int, length: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Inputs and targets (batch_size, length) in reading order, pass after pass without end.

    The third says whether a new pass begins, in which old states mean nothing.
    """
    while True:
        start = int(torch.randint(len(text), (1,), generator=generator))
        x, y = parallel_streams(text.roll(-start), batch_size, length)
        for n in range(len(x)):
            yield x[n], y[n], n == 0


@torch.no_grad()
def surprise(model: LanguageModel, tokens: Tensor, streams: int = 32, piece: int = 512) -> Tensor:
    """-log p in nats of every token but the first, given all before it: (N - 1,) from (N,).

    The state is carried from the first token to the last. To be fast a text of more than
    `streams` times WARM_UP tokens is read in that many places side by side; each then reads the
    WARM_UP tokens before its part first. With streams=1 the text is read in one go.
    Raises DataError for fewer than two tokens.
    """
    if tokens.ndim != 1 or len(tokens) < 2:
        raise DataError(f"tokens have shape {tuple(tokens.shape)}: give a text of two or more")
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


def _read(model: LanguageModel, rows: Tensor, piece: int) -> Tensor:
    """-log p of every token but the first of each row (batch, N)."""
    state, nats = None, []
    for x, y in zip(rows[:, :-1].split(piece, 1), rows[:, 1:].split(piece, 1), strict=True):
        logits, state = model.run(x, state)
        nats.append(F.cross_entropy(logits, y, reduction="none"))
    return torch.cat(nats, 1)


@torch.no_grad()
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
    Raises DataError for a count under 1, and as sample_next does.
    """
    if count < 1:
        raise DataError(f"count is {count}: draw one token or more")
    was_training = model.training
    model.eval()
    logits, state = model.run(prompt)
    drawn: list[Tensor] = []
    while True:
        last = logits[:, :, -1]
        last[:, list(forbid)] = -math.inf
        drawn.append(sample_next(last, temperature, top_k, top_p, generator=generator))
        if len(drawn) == count:
            model.train(was_training)
            return torch.stack(drawn, 1)
        logits, state = model.run(drawn[-1][:, None], state)
