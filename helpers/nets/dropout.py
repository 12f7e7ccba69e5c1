"""Dropout from its Bernoulli mask, in a layer and inside a recurrent cell; shifted images.

All of it acts in training mode only. The masks are drawn with torch's generator and have a batching
rule, so that a stack of networks (`training.fit_many`) draws one for each network.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from helpers.nets.recurrent import LSTM
from helpers.nets.sequences import State


class DropoutError(ValueError):
    """A probability of dropping that is none; the message says which one to use."""


def check_probability(p: float) -> None:
    """Raise DropoutError unless 0 <= p < 1: p is the chance to be dropped, and 1 leaves nothing."""
    if not 0 <= p < 1:
        raise DropoutError(
            f"dropout probability {p}: use a number from 0 up to, but not including, 1; it is the "
            "chance of a unit to be dropped, not to be kept"
        )


def dropout_mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    """A random mask: 0 with probability p, else 1 / (1 - p), so that its mean is 1."""
    kept = torch.rand(tuple(shape), dtype=like.dtype, device=like.device) >= p
    return kept.to(like.dtype) / (1 - p)


class Dropout(nn.Module):
    """Inverted dropout, as `nn.Dropout`: h * r / (1 - p) in training, h in evaluation.

    r is 0 with probability p, else 1 (Srivastava et al. 2014, "Dropout", JMLR, who scale at test
    time instead, and whose p is the chance to keep). Without `scale` the mask is bare.
    Raises DropoutError for p outside [0, 1).

    >>> Dropout(0.5)(torch.ones(1000)).unique()
    tensor([0., 2.])
    >>> Dropout(0.5).eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, scale: bool = True):
        super().__init__()
        check_probability(p)
        self.p, self.scale = p, scale

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        mask = dropout_mask(x.shape, self.p, x)
        return x * mask if self.scale else x * mask * (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, scale={self.scale}"


class DropoutLSTM(LSTM):
    """An LSTM with dropout in its recurrence.

    `where` names what is masked at every step: "input" x_t, "hidden" the h that the gates read,
    "cell" the c that is carried on, "candidate" what is about to be written. One mask serves the
    whole sequence, or, with `fresh`, every step draws its own. Shared masks on input and hidden:
    Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural
    networks"; on the candidate: Semeniuta et al. 2016, "Recurrent dropout without memory loss".

    Raises DropoutError for p outside [0, 1), ValueError for another place.
    """

    places = ("input", "hidden", "cell", "candidate")

    def __init__(
        self, inputs: int, hidden: int, p: float, where: str = "hidden", fresh: bool = False
    ):
        super().__init__(inputs, hidden)
        check_probability(p)
        if where not in self.places:
            raise ValueError(f"no dropout on {where!r}: choose one of {', '.join(self.places)}")
        self.p, self.where, self.fresh = p, where, fresh

    @property
    def dropping(self) -> bool:
        """Whether units are dropped at all."""
        return self.training and self.p > 0

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}, where={self.where}, fresh={self.fresh}"

    def masks(self, x: Tensor) -> Tensor:
        """A mask for every step, or one for all: (time or 1, batch, size of what is masked)."""
        batch, time = x.shape[:2]
        size = self.inputs if self.where == "input" else self.hidden
        return dropout_mask((time if self.fresh else 1, batch, size), self.p, x)

    def steps(self, x: Tensor, state: State) -> Iterator[dict[str, Tensor]]:
        """Step by step as `Cell.steps`, a mask at every step."""
        if not self.dropping:
            yield from super().steps(x, state)
            return
        masks = self.masks(x).expand(x.shape[1], -1, -1)
        for x_t, mask in zip(x.unbind(1), masks, strict=True):
            now = self.masked_step(x_t, mask, state)
            yield now
            state = self.state_of(now)

    def masked_step(self, x: Tensor, mask: Tensor, state: State) -> dict[str, Tensor]:
        """Gates and states after one more step in which `mask` (batch, size) drops units."""
        h, c = state
        if self.where == "input":
            return self.step(x * mask, state)
        if self.where == "hidden":
            return self.step(x, (h * mask, c))
        if self.where == "cell":
            return self.step(x, (h, c * mask))
        now = self.step(x, state)
        now["cell"] = now["forget"] * c + now["input"] * now["candidate"] * mask
        now["hidden"] = now["output"] * torch.tanh(now["cell"])
        return now


class RandomShift(nn.Module):
    """Augmentation: every image (batch, channels, H, W) moves by up to `pixels` along both axes.

    Drawn anew for each image and update. What enters at an edge repeats the edge, which is the
    background in centred images. Raises ValueError for fewer pixels than 1.
    """

    def __init__(self, pixels: int = 1):
        super().__init__()
        if pixels < 1:
            raise ValueError(f"images shifted by up to {pixels} pixels: use 1 or more")
        self.pixels = pixels

    def forward(self, x: Tensor) -> Tensor:
        return self.shifted(self.shifted(x, 2), 3) if self.training else x

    def shifted(self, x: Tensor, dim: int) -> Tensor:
        """Images moved along `dim`, 2 (down or up) or 3 (right or left), each by its own step."""
        size = x.shape[dim]
        by = (torch.rand(len(x), device=x.device) * (2 * self.pixels + 1)).long() - self.pixels
        source = (torch.arange(size, device=x.device) - by[:, None]).clamp(0, size - 1)
        shape = (-1, 1, size, 1) if dim == 2 else (-1, 1, 1, size)
        return x.gather(dim, source.view(shape).expand(x.shape))

    def extra_repr(self) -> str:
        return f"pixels={self.pixels}"
