"""Writing with a language model: the next token is drawn, read as input, and so on."""

import math

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.data.dataset import DataError
from helpers.data.given import check_real, check_whole
from helpers.nets.modes import evaluating
from helpers.nets.sequences import LanguageModel
from helpers.text.tokens import as_ids


def continue_text(
    model: LanguageModel,
    prompt: Tensor | ArrayLike,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    forbid: tuple[int, ...] = (0, 1),
    generator: torch.Generator,
) -> Tensor:
    """Draw `count` tokens after each prompt: (batch, count) from (batch, time), both int64.

    One token at a time: the network says how likely each is, one is drawn (`sample_next`) and read
    as the next input. `forbid` are never drawn, by default PAD and UNK.
    Raises DataError for a count under 1, ids that the model does not know, text that is not yet
    encoded, and as sample_next does; the model's mode is then as it was.
    """
    check_whole(count=count)
    size, device = model.embedding.num_embeddings, model.embedding.weight.device
    prompt = as_ids(prompt, size, name="the prompt's ids", ndim=2).to(device)
    never = as_ids(forbid, size, name="forbidden ids").to(device)
    drawn: list[Tensor] = []
    with evaluating(model), torch.inference_mode():
        tokens, state = prompt, None
        while len(drawn) < count:
            logits, state = model.run(tokens, state)
            last = logits[:, :, -1].index_fill(1, never, -math.inf)
            drawn.append(sample_next(last, temperature, top_k, top_p, generator=generator))
            tokens = drawn[-1][:, None]
    return torch.stack(drawn, 1).clone()  # what leaves may be trained on


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
    sampling, Holtzman et al. 2020, "The curious case of neural text degeneration", section 3.1).
    The same generator state draws the same tokens.

    Raises DataError for a temperature that is not positive and finite, top_k outside 1..tokens,
    top_p outside (0, 1], or logits that are NaN, +inf, or -inf throughout a row.

    >>> logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(100, 1)
    >>> sample_next(logits, top_p=0.7, generator=torch.Generator().manual_seed(0)).unique().tolist()
    [0, 1]
    """
    _check_sampling(logits, temperature, top_k, top_p)
    # In float64, and at most 0, so that no temperature is too low for it.
    scaled = (logits.double() - logits.double().amax(-1, keepdim=True)) / temperature
    if top_k is None and top_p == 1:
        return _draw(torch.softmax(scaled, -1), generator)
    best, tokens = scaled.topk(top_k or logits.shape[-1])  # sorted, the most likely first
    p = torch.softmax(best, -1)
    p = p * (p.cumsum(-1) - p < top_p)
    return tokens.gather(-1, _draw(p, generator)[:, None])[:, 0]


def _draw(p: Tensor, generator: torch.Generator) -> Tensor:
    """A column of each row (batch,), drawn with the row's shares (batch, columns)."""
    return torch.multinomial(p.to(generator.device), 1, generator=generator)[:, 0].to(p.device)


def _check_sampling(logits: Tensor, temperature: float, top_k: int | None, top_p: float) -> None:
    tensor = isinstance(logits, Tensor)
    if not (tensor and logits.ndim == 2 and logits.is_floating_point() and logits.numel()):
        kind = f"{logits.dtype} of shape {tuple(logits.shape)}" if tensor else type(logits).__name__
        raise DataError(
            f"logits are {kind}: expected floats (batch, tokens); of a whole sequence, give the "
            "last step"
        )
    check_real(temperature=temperature, top_p=top_p)
    if temperature <= 0:
        raise DataError(
            f"temperature is {temperature}: it is positive and finite; for the most likely token "
            "every time, use logits.argmax(-1)"
        )
    check_whole(-math.inf, top_k=1 if top_k is None else top_k)
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
