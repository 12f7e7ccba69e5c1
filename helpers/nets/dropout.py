"""Dropout from its Bernoulli mask; shifted images.

All of it acts in training mode only. The masks are drawn with torch's generator and have a batching
rule, so that a stack of networks (`training.fit_many`) draws one for each network.
"""

from numbers import Real

import torch
from torch import Tensor, nn

from helpers.data.given import check_whole


class DropoutError(ValueError):
    """A probability of dropping that is none; the message says which one to use."""


def check_probability(p: float) -> None:
    """Raise DropoutError unless 0 <= p < 1: p is the chance to be dropped, and 1 leaves nothing."""
    if isinstance(p, bool) or not isinstance(p, Real) or not 0 <= p < 1:
        raise DropoutError(
            f"dropout probability {p!r}: use a number from 0 up to, but not including, 1; it is "
            "the chance of a unit to be dropped, not to be kept"
        )


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
        kept = torch.rand(x.shape, dtype=x.dtype, device=x.device) >= self.p
        return x * (kept.to(x.dtype) / (1 - self.p) if self.scale else kept)

    def extra_repr(self) -> str:
        return f"p={self.p}, scale={self.scale}"


class RandomShift(nn.Module):
    """Augmentation: every image (batch, channels, H, W) moves by up to `pixels` along both axes.

    Drawn anew for each image and update. What enters at an edge repeats the edge, which is the
    background in centred images. Raises ValueError for fewer pixels than 1.
    """

    def __init__(self, pixels: int = 1):
        super().__init__()
        check_whole(pixels=pixels)
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
