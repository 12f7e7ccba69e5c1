"""Convolutions along a signal as a stack of networks computes them: the same, faster.

vmap makes one convolution in groups out of the convolutions of all networks, which has slow kernels
on a CPU. Here what the kernels see is laid out in rows, once, and every network multiplies its rows
by its own weights: one product for the whole stack (Chellapilla et al. 2006, "High performance
convolutional neural networks for document processing").
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from helpers.training.engine.cells import in_front


def stack_convolutions(model: nn.Module) -> None:
    """Let the convolutions of a network, which stands for a stack, compute all networks at once."""
    for module in model.modules():
        if type(module) is nn.Conv1d and module.groups == 1 and module.padding_mode == "zeros":
            if not isinstance(module.padding, str):
                module.__class__ = StackedConv1d


class StackedConv1d(nn.Conv1d):
    """`nn.Conv1d` for all networks of a stack, of whole channels and padded with zeros."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 3:
            return super().forward(input)
        (stride,), (padding,), (gap,) = self.stride, self.padding, self.dilation
        bias = input.new_zeros(self.out_channels) if self.bias is None else self.bias
        return _AllNetworks.apply(input, self.weight, bias, stride, padding, gap)


class _AllNetworks(torch.autograd.Function):
    """The convolutions of all networks of a stack, outside of vmap, as those of `engine.cells`."""

    @staticmethod
    def forward(*tensors_and_sizes: Tensor | int) -> Tensor:  # pyrefly: ignore[bad-override]
        raise RuntimeError("this convolution stands for a stack of networks: call it in vmap")

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Nothing to keep: autograd follows what `vmap` does."""

    @staticmethod
    def vmap(info, in_dims, x, weight, bias, *sizes):  # pyrefly: ignore[bad-override]
        """Outputs (networks, batch, channels, places)."""
        x, weight, bias = in_front((x, weight, bias), in_dims[:3], info.batch_size)
        taps = weight.shape[-1]
        seen = _Seen.apply(x.transpose(2, 3), taps, *sizes)  # (networks, batch, places, taps C)
        rows, kernels = seen.flatten(1, 2), weight.permute(0, 3, 2, 1).flatten(1, 2)
        y = torch.baddbmm(bias.unsqueeze(1), rows, kernels)
        return y.unflatten(1, seen.shape[1:3]).transpose(2, 3), 0


class _Seen(torch.autograd.Function):
    """What a kernel sees of signals (..., length, C) at each place: (..., places, taps C)."""

    @staticmethod
    def forward(ctx, x, taps, stride, padding, gap):  # pyrefly: ignore[bad-override]
        ctx.shape, ctx.sizes = x.shape, (stride, padding, gap)
        padded = F.pad(x, (0, 0, padding, padding))
        windows = padded.unfold(-2, gap * (taps - 1) + 1, stride)[..., ::gap]
        return windows.transpose(-1, -2).flatten(-2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # pyrefly: ignore[bad-override]
        """Each step of the signal gets the sum of what came back from where it was seen."""
        (*front, length, channels), (stride, padding, gap) = ctx.shape, ctx.sizes
        total = gradient.new_zeros(*front, length + 2 * padding, channels)
        span = stride * (gradient.shape[-2] - 1) + 1
        for k, tap in enumerate(gradient.split(channels, dim=-1)):
            total[..., k * gap : k * gap + span : stride, :] += tap
        return total[..., padding : padding + length, :], None, None, None, None
