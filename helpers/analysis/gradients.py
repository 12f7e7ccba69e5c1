"""How far back the learning signal reaches: gradients through time, lag by lag.

Everything is computed in float64. In float32 a fading signal soon underflows and reads as zero.
"""

import copy
import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.data.given import check_tensor
from helpers.nets.recurrent import Cell
from helpers.nets.sequences import SequenceCell


def gradient_by_lag(cell: SequenceCell, x: Tensor) -> pd.Series:
    """Size of the gradient of a cell's last output with respect to what was k steps before.

    `x` is (batch, time, inputs); the result is indexed by lag k from 0 to T - 1. It is the
    derivative with respect to the whole state after step T - k (h and c of an LSTM), exactly 1 at
    lag 0.
    The size of a Jacobian is its Frobenius norm over sqrt(hidden), the root mean square over all
    directions of the output; it is averaged over the batch. The cell is left as it was.

    Raises ValueError for a cell whose state is wiped, and for inputs of another shape.
    """
    check_tensor("batch, time, inputs", x=x)
    cell, x = copy.deepcopy(cell).double().eval(), x.detach().double()
    for module in cell.modules():
        if isinstance(module, Cell):
            module.fused = False  # torch's kernels take one gradient at a time
    sizes = _to_states(cell, x)
    return pd.Series(sizes, index=pd.RangeIndex(len(sizes), name="lag"), name="gradient")


def _to_states(cell: SequenceCell, x: Tensor) -> list[float]:
    """Backpropagation through time by hand, one step at a time, for every unit at once."""
    steps, state = [], None
    for x_t in x.split(1, dim=1):
        before = state and tuple(part.detach().requires_grad_() for part in state)
        output, state = cell.run(x_t, before)
        steps.append((before, state))
    target, gradient, sizes = (output[:, 0],), (_every_unit(output[:, 0]),), [1.0]
    for (before, _), (_, earlier) in zip(steps[:0:-1], steps[-2::-1], strict=True):
        gradient = torch.autograd.grad(target, before, gradient, is_grads_batched=True)
        flat = torch.cat([part.flatten(2) for part in gradient], -1)  # (hidden, batch, state)
        squares = flat.square().sum((0, 2))
        sizes.append((squares / cell.hidden).sqrt().mean().item())
        target = earlier
    return sizes


def _every_unit(output: Tensor) -> Tensor:
    """One gradient for each unit of an output (batch, hidden): (hidden, batch, hidden)."""
    unit = torch.eye(output.shape[1], dtype=output.dtype, device=output.device)
    return unit[:, None].expand(-1, len(output), -1)


def decay_per_step(sizes: pd.Series, first: int = 10, last: int = 50) -> float:
    """Factor by which a curve of `gradient_by_lag` shrinks or grows at each further step back.

    exp of the slope of log size over the lags `first` to `last`, both included, by least squares:
    0.5 halves at every step, 1 stays. A curve that reaches exact zero there has died out and gives
    0.0, one that overflows gives infinity.
    Raises ValueError for lags that the curve does not hold, fewer than two of them, and NaN.
    """
    lags = np.arange(first, last + 1)
    if len(lags) < 2 or not set(lags) <= set(sizes.index):
        raise ValueError(
            f"lags {first} to {last} of a curve from {min(sizes.index)} to {max(sizes.index)}: "
            "choose at least two lags within it, or a longer sequence"
        )
    values = sizes.loc[first:last].to_numpy()
    if np.isnan(values).any():
        raise ValueError("the gradient is NaN: the weights or the inputs are")
    if np.isinf(values).any():
        return math.inf
    if (values == 0).any():
        return 0.0
    return math.exp(np.polyfit(lags, np.log(values), 1)[0])
