"""Recurrent cells from their equations, equal to torch's own with the same weights.

A cell maps sequences (batch, time, inputs) to its hidden state after every step (batch, time,
hidden). Parameters have the names, shapes and order of gates of `torch.nn`, so that weights can be
copied with `load_state_dict`. Torch's kernels compute the same equations and are used for one
network; a stack of networks (`training.fit_stack`) needs the steps in the open.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Cell(nn.Module):
    """What RNN, LSTM and GRU share: weights for every gate, and the loop over time.

    With G gates: `weight_ih_l0` (G hidden, inputs), `weight_hh_l0` (G hidden, hidden) and two
    biases (G hidden,), drawn as torch does, uniformly within 1 / sqrt(hidden) of zero.
    `fused` says whether torch's kernel may do the work; the result is the same without.
    """

    gates: tuple[str, ...]
    states: tuple[str, ...] = ("hidden",)

    def __init__(self, inputs: int, hidden: int, fused: bool = True):
        super().__init__()
        if inputs < 1 or hidden < 1:
            raise ValueError(f"a cell of {inputs} inputs and {hidden} hidden units: use 1 or more")
        rows = len(self.gates) * hidden
        self.inputs, self.hidden, self.fused = inputs, hidden, fused
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, inputs))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)

    def extra_repr(self) -> str:
        return f"{self.inputs}, {self.hidden}"

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states (batch, time, hidden) of sequences (batch, time, inputs).

        Raises ValueError for inputs of another shape.
        """
        if x.ndim != 3 or x.shape[-1] != self.inputs:
            raise ValueError(
                f"{type(self).__name__} was built for (batch, time, {self.inputs}), "
                f"the input has shape {tuple(x.shape)}"
            )
        start = (x.new_zeros(x.shape[0], self.hidden),) * len(self.states)
        return self.torch_kernel(x, start) if self.fused else self.unroll(x, start)

    def unroll(self, x: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        """Step by step through time; each step sees the state that the one before it left."""
        # All inputs are projected at once, laid out time first: (time, batch, G hidden).
        inputs = F.linear(x.transpose(0, 1).contiguous(), self.weight_ih_l0, self.bias_ih_l0)
        outputs = []
        for at_t in inputs.unbind(0):
            state = self.step(at_t, state)
            outputs.append(state[0])
        return torch.stack(outputs, dim=1)

    def recur(self, h: Tensor) -> Tensor:
        """What the last hidden state (batch, hidden) adds to the gates: (batch, G hidden)."""
        return torch.addmm(self.bias_hh_l0, h, self.weight_hh_l0.T)

    def step(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after one more step; `inputs` (batch, G hidden) are projected already."""
        raise NotImplementedError

    def torch_kernel(self, x: Tensor, start: tuple[Tensor, ...]) -> Tensor:
        """The same from torch's kernel."""
        kernel = {"RNN": torch.rnn_tanh, "LSTM": torch.lstm, "GRU": torch.gru}[type(self).__name__]
        initial = tuple(state[None] for state in start)  # (layers, batch, hidden)
        # has biases, 1 layer, no dropout, training mode, one direction, batch first
        how = (True, 1, 0.0, self.training, False, True)
        initial = initial if len(initial) > 1 else initial[0]
        return kernel(x, initial, list(self.parameters()), *how)[0]


class RNN(Cell):
    """Elman's recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Elman 1990, "Finding structure in time".
    """

    gates = ("hidden",)

    def step(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (h,) = state
        return (torch.tanh(inputs + self.recur(h)),)


class LSTM(Cell):
    """Long short-term memory: an additive cell state behind three gates.

    c' = f c + i g and h' = o tanh(c'), with i, f, o = sigmoid and g = tanh of affine maps of
    x and h (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).
    """

    gates = ("input", "forget", "candidate", "output")
    states = ("hidden", "cell")

    def step(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        h, c = state
        i, f, g, o = (inputs + self.recur(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class GRU(Cell):
    """Gated recurrent unit: h' = (1 - z) n + z h, with n = tanh(W_in x + r (W_hn h)).

    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"; like torch's,
    the reset gate r acts after the matrix product (biases left out here).
    """

    gates = ("reset", "update", "new")

    def step(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (h,) = state
        both = [self.hidden * 2, self.hidden]
        (rz_x, n_x), (rz_h, n_h) = inputs.split(both, -1), self.recur(h).split(both, -1)
        r, z = torch.sigmoid(rz_x + rz_h).chunk(2, dim=-1)
        n = torch.tanh(n_x + r * n_h)
        return (n + z * (h - n),)


class SequenceClassifier(nn.Module):
    """Logits (batch, classes) from the hidden state after the last step of a sequence."""

    def __init__(self, cell: Cell, classes: int = 10):
        super().__init__()
        self.cell = cell
        self.head = nn.Linear(cell.hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[:, -1])
