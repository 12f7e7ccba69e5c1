"""Cells with something taken away, for experiments: a gate held or tied, the memory wiped."""

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.data.given import check_real, check_whole
from helpers.nets.recurrent import LSTM
from helpers.nets.sequences import SequenceCell, State

Gates = tuple[Tensor, Tensor, Tensor, Tensor]  # input, forget, candidate, output


class HeldLSTM(LSTM):
    """An LSTM with gates held at a value: with forget=1.0 it is the LSTM of 1997.

    The weights of a held gate do nothing. Raises ValueError for an unknown gate and for a value
    outside [0, 1].

    >>> HeldLSTM(2, 4, forget=0.5).watch(torch.ones(1, 3, 2))["forget"].unique()
    tensor([0.5000])
    """

    def __init__(self, inputs: int, hidden: int, **held: float):
        super().__init__(inputs, hidden)
        for gate, value in held.items():
            if gate not in ("input", "forget", "output"):
                raise ValueError(f"no gate {gate!r} to hold: choose input, forget or output")
            check_real(0, 1, **{gate: value})
        self.held = held

    def squash(self, sums: Tensor) -> Gates:
        i, f, g, o = super().squash(sums)
        held = {name: torch.full_like(g, value) for name, value in self.held.items()}
        return held.get("input", i), held.get("forget", f), g, held.get("output", o)

    def extra_repr(self) -> str:
        return ", ".join([super().extra_repr(), *(f"{k}={v}" for k, v in self.held.items())])


class TiedLSTM(LSTM):
    """An LSTM that writes what it forgets, i = 1 - f: the input gate has no say of its own.

    Coupled gates in Greff et al. 2017, "LSTM: a search space odyssey".

    >>> seen = TiedLSTM(2, 4).watch(torch.ones(1, 3, 2))
    >>> torch.equal(seen["input"], 1 - seen["forget"])
    True
    """

    def squash(self, sums: Tensor) -> Gates:
        _, f, g, o = super().squash(sums)
        return 1 - f, f, g, o


class Wiped(SequenceCell):
    """A cell whose state is zero before steps 0, k, 2k, ...: no memory is older than `every` steps.

    The pieces of a sequence then know nothing of each other, and are read side by side.
    Raises ValueError for `every` below 1, and for a state: there is none to carry on.

    >>> Wiped(LSTM(2, 4), every=3)(torch.zeros(5, 7, 2)).shape
    torch.Size([5, 7, 4])
    """

    def __init__(self, cell: SequenceCell, every: int):
        super().__init__()
        check_whole(every=every)
        self.cell, self.every = cell, every
        self.inputs, self.hidden = cell.inputs, cell.hidden

    def state_shapes(self, batch: int) -> list[tuple[int, ...]]:
        """None."""
        return []

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (batch, time, hidden) and an empty state; ValueError for another shape."""
        if state is not None:
            raise ValueError("a cell is wiped before its first step: run it without a state")
        self.start(x)
        batch, time, inputs = x.shape
        pieces = -(-time // self.every)
        x = F.pad(x, (0, 0, 0, pieces * self.every - time))  # behind the last piece: cut off again
        outputs = self.cell(x.reshape(batch * pieces, self.every, inputs))
        return outputs.reshape(batch, pieces * self.every, self.hidden)[:, :time], ()

    def extra_repr(self) -> str:
        return f"every={self.every}"
