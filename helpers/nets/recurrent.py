"""Recurrent cells from their equations, equal to torch's own with the same weights.

A cell reads a sequence (batch, time, inputs) step by step. Each step makes gates and the next
state, (batch, hidden), from the input and the state that the step before it left. Parameters have
the names, shapes and order of gates of `torch.nn`, so that weights can be copied with
`load_state_dict`. Ways to start them are in `starts`; cells whose gates are held or whose state is
wiped, for experiments, in `ablations`. Every cell trains in a stack; fast ones have an entry in
`training.engine.cells`.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.given import check_whole
from helpers.nets.sequences import SequenceCell, State


class Cell(SequenceCell):
    """What RNN, LSTM and GRU share: weights for every gate, and the loop over time.

    With G gates: `weight_ih_l0` (G hidden, inputs), `weight_hh_l0` (G hidden, hidden) and two
    biases (G hidden,), drawn as torch does, uniformly within 1 / sqrt(hidden) of zero. A cell of
    one's own names its `gates` and `states` and says in `step` what they are.

    Raises ValueError for sizes below 1.

    >>> outputs, (h,) = RNN(2, 4).run(torch.zeros(3, 7, 2))
    >>> outputs.shape, h.shape
    (torch.Size([3, 7, 4]), torch.Size([3, 4]))
    """

    gates: tuple[str, ...]
    states: tuple[str, ...] = ("hidden",)
    keeps: str | None = None  # the gate that says how much of the state stays
    fused = True  # `run` leaves the loop to torch's kernel, where there is one
    tanh: Callable[[Tensor], Tensor] = staticmethod(torch.tanh)  # a stack has a faster one

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        check_whole(inputs=inputs, hidden=hidden)
        rows = len(self.gates) * hidden
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, inputs))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)

    def step(self, x: Tensor, state: State) -> dict[str, Tensor]:
        """Gates and states after one more input x (batch, inputs): (batch, hidden) by name."""
        raise NotImplementedError

    def from_input(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih of all gates: (batch, G hidden)."""
        return F.linear(x, self.weight_ih_l0, self.bias_ih_l0)

    def from_hidden(self, h: Tensor) -> Tensor:
        """W_hh h + b_hh of all gates: (batch, G hidden)."""
        return F.linear(h, self.weight_hh_l0, self.bias_hh_l0)

    # --- along time ---

    def steps(self, x: Tensor, state: State) -> Iterator[dict[str, Tensor]]:
        """What `step` makes of every input of x (batch, time, inputs), one after the other."""
        for x_t in x.unbind(1):
            now = self.step(x_t, state)
            yield now
            state = self.state_of(now)

    def state_of(self, now: dict[str, Tensor]) -> State:
        """The part of what a step makes that the next one sees."""
        return tuple(now[name] for name in self.states)

    def unroll(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Hidden states (batch, time, hidden) after every step from a state on, and the last state.

        >>> cell, x = GRU(2, 4), torch.ones(3, 7, 2)
        >>> torch.allclose(cell.unroll(x, cell.start(x))[0], cell(x))
        True
        """
        seen = list(self.steps(x, state))
        return torch.stack([now["hidden"] for now in seen], dim=-2), self.state_of(seen[-1])

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """`unroll`, by torch's kernel where there is one; a state of None starts from zero.

        A state is one tensor (batch, hidden) for each of `states`. Handed to the next call it
        carries on where this one ended: one token at a time, or truncated backpropagation through
        time (detach it then). Raises ValueError for inputs or a state of another shape.
        """
        start = self.start(x, state)
        by_kernel = self.fused and type(self) in KERNELS
        return _by_kernel(self, x, start) if by_kernel else self.unroll(x, start)

    @torch.no_grad()
    def watch(self, x: Tensor) -> dict[str, Tensor]:
        """All gates and states of a run by name, each (batch, time, hidden), without gradient.

        Raises ValueError for inputs of another shape.
        """
        seen = list(self.steps(x, self.start(x)))
        names = dict.fromkeys(self.gates + self.states)
        return {name: torch.stack([now[name] for now in seen], dim=1) for name in names}

    def state_shapes(self, batch: int) -> list[tuple[int, ...]]:
        """(batch, hidden) for each of `states`."""
        return [(batch, self.hidden)] * len(self.states)

    def extra_repr(self) -> str:
        return f"{self.inputs}, {self.hidden}"


class RNN(Cell):
    """Elman's recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Elman 1990, "Finding structure in time".

    >>> RNN(2, 4)(torch.zeros(3, 7, 2)).shape
    torch.Size([3, 7, 4])
    """

    gates = ("hidden",)

    def step(self, x: Tensor, state: State) -> dict[str, Tensor]:
        (h,) = state
        return {"hidden": torch.tanh(self.from_input(x) + self.from_hidden(h))}


class LSTM(Cell):
    """Long short-term memory: an additive cell state behind three gates.

    c' = f c + i g and h' = o tanh(c'), with i, f, o = sigmoid and g = tanh of affine maps of
    x and h (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    >>> seen = LSTM(2, 4).watch(torch.zeros(1, 3, 2))
    >>> torch.allclose(seen["hidden"], seen["output"] * seen["cell"].tanh())
    True
    """

    gates = ("input", "forget", "candidate", "output")
    states = ("hidden", "cell")
    keeps = "forget"

    def step(self, x: Tensor, state: State) -> dict[str, Tensor]:
        h, c = state
        i, f, g, o = self.squash(self.from_input(x) + self.from_hidden(h))
        c = f * c + i * g
        h = o * torch.tanh(c)
        return {"input": i, "forget": f, "candidate": g, "output": o, "cell": c, "hidden": h}

    def squash(self, sums: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """i, f, g, o (batch, hidden) from the sums (batch, 4 hidden) that enter them."""
        i, f, g, o = sums.chunk(4, dim=-1)
        return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)


class GRU(Cell):
    """Gated recurrent unit: h' = (1 - z) n + z h, with n = tanh(W_in x + r (W_hn h)).

    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"; like torch's,
    the reset gate r acts after the matrix product (biases left out here).

    >>> sorted(GRU(2, 4).watch(torch.zeros(1, 3, 2)))
    ['hidden', 'new', 'reset', 'update']
    """

    gates = ("reset", "update", "new")
    keeps = "update"

    def step(self, x: Tensor, state: State) -> dict[str, Tensor]:
        (h,) = state
        r_x, z_x, n_x = self.from_input(x).chunk(3, dim=-1)
        r_h, z_h, n_h = self.from_hidden(h).chunk(3, dim=-1)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + r * n_h)
        return {"reset": r, "update": z, "new": n, "hidden": (1 - z) * n + z * h}


# --- torch's kernels -------------------------------------------------------------------------

KERNELS: dict[type[Cell], Callable] = {RNN: torch.rnn_tanh, LSTM: torch.lstm, GRU: torch.gru}


def _by_kernel(cell: Cell, x: Tensor, start: State) -> tuple[Tensor, State]:
    """`Cell.unroll` by the kernel behind nn.RNN, nn.LSTM and nn.GRU."""
    initial = tuple(state[None] for state in start)  # (layers, batch, hidden)
    # has biases, 1 layer, no dropout, training mode, one direction, batch first
    how = (True, 1, 0.0, cell.training, False, True)
    initial = initial if len(initial) > 1 else initial[0]
    kernel: Callable[..., tuple[Tensor, ...]] = KERNELS[type(cell)]
    outputs, *final = kernel(x, initial, list(cell.parameters()), *how)
    return outputs, tuple(state[0] for state in final)
