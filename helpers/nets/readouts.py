"""More ways to read a sequence: the strongest moment, all steps at once, both directions.

`helpers.sequences` has the last step and every step. The read-out decides as much as the cell does
what a network can tell: the largest value of every channel has no place in time, all steps side by
side do, each of them its own.
"""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from helpers.nets.sequences import CausalCNN, Reader
from helpers.nets.starts import Build


class MaxOverTime(nn.Module):
    """One answer to a sequence, (batch, outputs), from each channel's largest value over time.

    Collobert et al. 2011, "Natural language processing (almost) from scratch", section 3.3.2.
    """

    def __init__(self, cell: Reader, outputs: int = 10):
        super().__init__()
        self.cell = cell
        self.head = nn.Linear(cell.hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x).amax(1))


class AllSteps(nn.Module):
    """One answer to a sequence, (batch, outputs), from what the cell says at all `length` steps.

    Every step has weights of its own, so that only sequences of that length can be read.
    Raises ValueError for another length.
    """

    def __init__(self, cell: Reader, length: int, outputs: int = 10):
        super().__init__()
        self.cell, self.length = cell, length
        self.head = nn.Linear(cell.hidden * length, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.length:
            raise ValueError(
                f"this read-out was built for {self.length} steps, the sequence has {x.shape[1]}: "
                "cut or pad it, or read the last step (LastStep)"
            )
        return self.head(self.cell(x).flatten(1))


class BothWays(nn.Module):
    """Two cells, one of which reads the sequence from its end: (batch, time, both hidden).

    At every step, what has been and what is to come (Schuster and Paliwal 1997, "Bidirectional
    recurrent neural networks"); so it cannot read a stream.
    """

    def __init__(self, forwards: Reader, backwards: Reader):
        super().__init__()
        self.forwards, self.backwards = forwards, backwards
        self.inputs, self.hidden = forwards.inputs, forwards.hidden + backwards.hidden

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.forwards(x), self.backwards(x.flip(1)).flip(1)], dim=2)


def warn_of_short_windows(arms: Mapping[str, Build], steps: int) -> None:
    """Warn, by name, of every CausalCNN whose window is shorter than the `steps` that a task needs.

    A read-out over all steps may make up for it; pooling and the last step cannot.
    """
    for name, build in arms.items():
        for module in build().modules():
            if isinstance(module, CausalCNN) and module.receptive_field < steps:
                warnings.warn(
                    f"{name} sees {module.receptive_field} steps at a time, the task needs "
                    f"{steps}: add layers or take a larger kernel",
                    stacklevel=2,
                )
