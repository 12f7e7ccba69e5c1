"""BatchNorm and LayerNorm inside the recurrence of an RNN or LSTM.

Both subtract a mean, divide by a standard deviation, then scale by a learned gain. They differ in
what the mean is taken over: BatchNorm over the batch for each feature, LayerNorm over the features
of each example.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.given import check_whole
from helpers.nets.recurrent import LSTM, RNN
from helpers.nets.sequences import State

EPSILON = 1e-5  # added to every variance, as in torch
MOMENTUM = 0.1  # the share of a new batch in BatchNorm's running statistics


class BatchError(ValueError):
    """A batch whose statistics do not exist; the message says what to do."""


def normalise(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """(x - mean) / sqrt(var + 1e-5): a variance of 0 does not divide by 0."""
    return (x - mean) * torch.rsqrt(var + EPSILON)


Seen = tuple[Tensor, Tensor] | None  # mean and variance that were met, each (time, ..., size)


class LayerNormOverTime(nn.Module):
    """LayerNorm for the steps of a sequence, with a gain and no bias: the same at every step.

    `gain` is where the learned gain starts: 1 in Ba et al. (2016), "Layer normalization".
    """

    def __init__(self, size: int, gain: float = 1.0):
        super().__init__()
        check_whole(size=size)
        self.weight = nn.Parameter(torch.full((size,), gain))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}"

    def at(self, t: int, x: Tensor) -> tuple[Tensor, Seen]:
        """Steps from t on, (time, ..., batch, size), standardised; nothing is to be remembered."""
        return F.layer_norm(x, x.shape[-1:]) * self.weight.unsqueeze(-2), None

    def remember(self, seen: Sequence[Seen]) -> None:
        """Nothing."""


class BatchNormOverTime(nn.Module):
    """BatchNorm for the steps of a sequence, with a gain and no bias.

    In training every step uses the statistics of the batch at that step. For evaluation each of the
    first `steps` steps has running ones of its own; later steps use those of the last (Cooijmans et
    al. 2017, "Recurrent batch normalization"). With steps=1 all steps share one set. `gain` is
    where the learned gain starts: their 0.1 keeps tanh away from its flat ends, where gradients
    vanish.

    Raises BatchError in training for a batch of one, ValueError for steps below 1.
    """

    def __init__(self, size: int, steps: int = 1, gain: float = 0.1):
        super().__init__()
        check_whole(size=size, steps=steps)
        self.steps = steps
        self.weight = nn.Parameter(torch.full((size,), gain))
        self.register_buffer("running_mean", torch.zeros(steps, size))
        self.register_buffer("running_var", torch.ones(steps, size))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, steps={self.steps}"

    def at(self, t: int, x: Tensor) -> tuple[Tensor, Seen]:
        """Steps from t on, (time, ..., batch, size), standardised; in training what they showed."""
        gain = self.weight.unsqueeze(-2)
        if not self.training:
            rows = [min(row, self.steps - 1) for row in range(t, t + len(x))]
            kept = (r[..., rows, :] for r in (self.running_mean, self.running_var))
            mean, var = (r.movedim(-2, 0).unsqueeze(-2) for r in kept)
            return normalise(x, mean, var) * gain, None
        if x.shape[-2] < 2:
            raise BatchError(
                "BatchNorm in training met one value per channel, whose variance is 0: use a batch "
                "of 2 or more, call model.eval(), or use LayerNorm, which needs no batch"
            )
        mean = x.mean(-2, keepdim=True)
        var = (x - mean).square().mean(-2, keepdim=True)  # of this batch: divided by n, not n - 1
        seen = (mean.detach().squeeze(-2), var.detach().squeeze(-2))
        return normalise(x, mean, var) * gain, seen

    @torch.no_grad()
    def remember(self, seen: Sequence[Seen]) -> None:
        """Move the running statistics towards those of one batch of sequences."""
        if None in seen:
            return
        moments = (torch.cat(parts).movedim(0, -2) for parts in zip(*seen, strict=True))
        for running, met in zip((self.running_mean, self.running_var), moments, strict=True):
            met = met.mean(-2, keepdim=True) if self.steps == 1 else met  # (..., time, size)
            reach = min(met.shape[-2], self.steps)
            kept = running[..., :reach, :]
            kept.mul_(1 - MOMENTUM).add_(MOMENTUM * met[..., :reach, :])


Norm = Callable[[int], LayerNormOverTime | BatchNormOverTime]


class NormalisedRNN(RNN):
    """A tanh RNN normalised at every step: h' = tanh(norm(W_ih x + W_hh h) + b).

    `norm` builds a normaliser for a number of features: LayerNormOverTime (Ba et al. 2016,
    equation 4) or BatchNormOverTime.
    """

    def __init__(self, inputs: int, hidden: int, norm: Norm):
        super().__init__(inputs, hidden)
        self.norm = norm(hidden)

    def steps(self, x: Tensor, state: State) -> Iterator[dict[str, Tensor]]:
        """Step by step as `Cell.steps`; steps count from the first of this call.

        A stack of networks has one more dimension in front, of x, state and weights.
        """
        inputs, seen = x.movedim(-2, 0) @ self.weight_ih_l0.mT, []
        bias = (self.bias_ih_l0 + self.bias_hh_l0).unsqueeze(-2)
        for t, x_t in enumerate(inputs):  # (..., batch, hidden)
            (sums,), met = self.norm.at(t, (x_t + state[0] @ self.weight_hh_l0.mT)[None])
            state = (self.tanh(sums + bias),)
            yield {"hidden": state[0]}
            seen.append(met)
        self.norm.remember(seen)


class NormalisedLSTM(LSTM):
    """An LSTM whose gates and cell are normalised at every step, inside the recurrence.

    The gates are affine in norm(W_ih x) + norm(W_hh h), and h' = o tanh(norm(c')); the cell itself
    is carried on as it is. `norm` builds a normaliser for a number of features: LayerNormOverTime
    (Ba et al. 2016) or BatchNormOverTime (Cooijmans et al. 2017).
    """

    def __init__(self, inputs: int, hidden: int, norm: Norm):
        super().__init__(inputs, hidden)
        self.norm_x, self.norm_h, self.norm_c = norm(4 * hidden), norm(4 * hidden), norm(hidden)

    def steps(self, x: Tensor, state: State) -> Iterator[dict[str, Tensor]]:
        """Step by step as `NormalisedRNN.steps`."""
        inputs, of_x = self.norm_x.at(0, x.movedim(-2, 0) @ self.weight_ih_l0.mT)
        bias, of_h, of_c = (self.bias_ih_l0 + self.bias_hh_l0).unsqueeze(-2), [], []
        for t, x_t in enumerate(inputs):  # (..., batch, 4 hidden)
            h, c = state
            (from_h,), seen_h = self.norm_h.at(t, (h @ self.weight_hh_l0.mT)[None])
            i, f, g, o = self.squash(x_t + from_h + bias)
            c = f * c + i * g
            (shown,), seen_c = self.norm_c.at(t, c[None])
            state = o * self.tanh(shown), c
            yield dict(zip((*self.gates, *self.states), (i, f, g, o, *state), strict=True))
            of_h.append(seen_h)
            of_c.append(seen_c)
        self.norm_x.remember([of_x])
        self.norm_h.remember(of_h)
        self.norm_c.remember(of_c)
