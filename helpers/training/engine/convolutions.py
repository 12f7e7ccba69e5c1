"""Convolutions along a signal as a stack of networks computes them: the same, faster.

vmap makes one convolution in groups out of the convolutions of all networks, which has slow kernels
on a CPU. Here what the kernels see is laid out in columns, once, and every network multiplies its
columns by its own weights: one product for the whole stack (Chellapilla et al. 2006, "High
performance convolutional neural networks for document processing"). The batch comes last, so that
copies and products run along it.
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
        seen = _Seen.apply(x.permute(0, 2, 3, 1), weight.shape[-1], *sizes)
        columns = seen.flatten(3).flatten(1, 2)  # (networks, taps C, places batch)
        kernels = weight.transpose(2, 3).flatten(2)  # (networks, channels, taps C)
        y = torch.baddbmm(bias.unsqueeze(2), kernels, columns)
        return y.unflatten(2, seen.shape[3:]).permute(0, 3, 1, 2), 0


class _Seen(torch.autograd.Function):
    """What each tap of a kernel sees of signals (networks, C, length, batch), place by place.

    (networks, taps, C, places, batch).
    """

    @staticmethod
    def forward(ctx, x, taps, stride, padding, gap):  # pyrefly: ignore[bad-override]
        ctx.length, ctx.sizes = x.shape[2], (stride, padding, gap)
        padded = F.pad(x, (0, 0, padding, padding))
        windows = padded.unfold(2, gap * (taps - 1) + 1, stride)[..., ::gap]
        return windows.movedim(-1, 1).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # pyrefly: ignore[bad-override]
        """Each step of the signal gets the sum of what came back from where it was seen."""
        networks, _, channels, places, batch = gradient.shape
        stride, padding, gap = ctx.sizes
        total = gradient.new_zeros(networks, channels, ctx.length + 2 * padding, batch)
        span = stride * (places - 1) + 1
        for k, tap in enumerate(gradient.unbind(1)):
            total[:, :, k * gap : k * gap + span : stride] += tap
        return total[:, :, padding : padding + ctx.length], None, None, None, None
