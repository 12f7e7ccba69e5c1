"""Recurrent cells from their equations, equal to torch's own with the same weights.

A cell reads a sequence (batch, time, inputs) step by step. Each step makes gates and the next
state, (batch, hidden), from the input and the state that the step before it left. Parameters have
the names, shapes and order of gates of `torch.nn`, so that weights can be copied with
`load_state_dict`.

Torch's kernels compute the same equations without a loop in Python. A cell leaves the work to them
where it can, unless it is built with `fused=False`. Ways to start the weights are in `starts`.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.nets.sequences import State


class Cell(nn.Module):
    """What RNN, LSTM and GRU share: weights for every gate, and the loop over time.

    With G gates: `weight_ih_l0` (G hidden, inputs), `weight_hh_l0` (G hidden, hidden) and two
    biases (G hidden,), drawn as torch does, uniformly within 1 / sqrt(hidden) of zero.
    `fused` says whether torch's kernel may do the work; the result is the same without.
    `wipe_every` sets the state to zero before steps 0, k, 2k ... of every call: no memory is older
    than k steps. `clamp` holds gates of `clampable` at a value, {"forget": 1.0}: their weights then
    do nothing. Both may be changed on a finished cell.

    Raises ValueError for sizes below 1, an unknown gate and a value outside [0, 1].

    >>> outputs, (h,) = RNN(2, 4).run(torch.zeros(3, 7, 2))
    >>> outputs.shape, h.shape
    (torch.Size([3, 7, 4]), torch.Size([3, 4]))
    """

    gates: tuple[str, ...]
    states: tuple[str, ...] = ("hidden",)
    clampable: tuple[str, ...] = ()
    keeps: str | None = None  # the gate that says how much of the state stays
    tied = False

    def __init__(
        self,
        inputs: int,
        hidden: int,
        fused: bool = True,
        wipe_every: int | None = None,
        clamp: Mapping[str, float] | None = None,
    ):
        super().__init__()
        if inputs < 1 or hidden < 1:
            raise ValueError(f"a cell of {inputs} inputs and {hidden} hidden units: use 1 or more")
        rows = len(self.gates) * hidden
        self.inputs, self.hidden, self.fused = inputs, hidden, fused
        self.wipe_every, self.clamp = wipe_every, dict(clamp or {})
        self.check_options()
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, inputs))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)

    # --- the equations ---

    def step(self, x: Tensor, state: State) -> dict[str, Tensor]:
        """Gates and states after one more input x (batch, inputs): (batch, hidden) by name."""
        raise NotImplementedError

    def from_input(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih of all gates: (batch, G hidden)."""
        return F.linear(x, self.weight_ih_l0, self.bias_ih_l0)

    def from_hidden(self, h: Tensor) -> Tensor:
        """W_hh h + b_hh of all gates: (batch, G hidden)."""
        return F.linear(h, self.weight_hh_l0, self.bias_hh_l0)

    def gate(self, name: str, sums: Tensor) -> Tensor:
        """sigmoid(sums), between 0 and 1, or what the gate is clamped to."""
        held = self.clamp.get(name)
        return torch.sigmoid(sums) if held is None else torch.full_like(sums, held)

    # --- along time ---

    def steps(self, x: Tensor, state: State) -> Iterator[dict[str, Tensor]]:
        """What `step` makes of every input of x (batch, time, inputs), one after the other."""
        for x_t in x.unbind(1):
            now = self.step(x_t, state)
            yield now
            state = self.state_of(now)

    def state_of(self, now: Mapping[str, Tensor]) -> State:
        """The part of what a step makes that the next one sees."""
        return tuple(now[name] for name in self.states)

    def unroll(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Hidden states (batch, time, hidden) after every step, and the last state."""
        outputs = []
        for now in self.steps(x, state):
            outputs.append(now["hidden"])
        return torch.stack(outputs, dim=1), self.state_of(now)

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states (batch, time, hidden) of sequences (batch, time, inputs).

        Raises ValueError for inputs of another shape.
        """
        return self.run(x)[0]

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Hidden states of sequences (batch, time, inputs), and the state after the last step.

        A state is one tensor (batch, hidden) for each of `states`; None starts from zero. Handed
        to the next call it carries on where this one ended: one token at a time, or truncated
        backpropagation through time (detach it then).
        Raises ValueError for other shapes, and for a state in a cell that is wiped.
        """
        start = self.start(x, state)
        if self.wipe_every is None:
            return self.advance(x, start)
        return self.run_pieces(x, self.wipe_every)

    def run_pieces(self, x: Tensor, steps: int) -> tuple[Tensor, State]:
        """`run` for a state that is wiped: pieces know nothing of each other, so they go at once.

        What is left over where `steps` do not divide the time is a shorter piece of its own.
        """
        batch, count = len(x), x.shape[1] // steps
        outputs = []
        if count:
            folded = x[:, : count * steps].reshape(batch * count, steps, x.shape[2])
            whole, state = self.advance(folded, self.start(folded))
            outputs.append(whole.reshape(batch, count * steps, self.hidden))
            state = tuple(part.reshape(batch, count, self.hidden)[:, -1] for part in state)
        if x.shape[1] % steps:
            rest = x[:, count * steps :]
            last, state = self.advance(rest, self.start(rest))
            outputs.append(last)
        return torch.cat(outputs, dim=1), state

    @torch.no_grad()
    def watch(self, x: Tensor) -> dict[str, Tensor]:
        """All gates and states of a run by name, each (batch, time, hidden), without gradient.

        Raises ValueError for inputs of another shape.
        """
        start, seen = self.start(x), []
        for piece in x.split(self.wipe_every or x.shape[1], dim=1):
            seen += self.steps(piece, start)
        names = dict.fromkeys(self.gates + self.states)
        return {name: torch.stack([now[name] for now in seen], dim=1) for name in names}

    def start(self, x: Tensor, state: State | None = None) -> State:
        """The state before the first step; raises ValueError for shapes that do not fit."""
        self.check_options()
        name = type(self).__name__
        if x.ndim != 3 or x.shape[-1] != self.inputs or x.shape[1] < 1:
            raise ValueError(
                f"{name} was built for (batch, time, {self.inputs}), "
                f"the input has shape {tuple(x.shape)}"
            )
        expected = [(x.shape[0], self.hidden)] * len(self.states)
        if state is None:
            return tuple(x.new_zeros(shape) for shape in expected)
        if self.wipe_every is not None:
            raise ValueError(f"{name} is wiped before its first step: run it without a state")
        if (given := [tuple(part.shape) for part in state]) != expected:
            raise ValueError(f"the state of this {name} has shapes {expected}, not {given}")
        return tuple(state)

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """`unroll`, by torch's kernel where there is one."""
        return _by_kernel(self, x, state) if self.uses_kernel else self.unroll(x, state)

    # --- what it is ---

    @property
    def parts(self) -> int:
        """Tensors in its state."""
        return len(self.states)

    @property
    def uses_kernel(self) -> bool:
        """Whether torch's kernel does the work: it has none with a gate held or tied."""
        return self.fused and type(self) in KERNELS and not self.clamp and not self.tied

    def extra_repr(self) -> str:
        options = {"wipe_every": self.wipe_every, "clamp": self.clamp, "tied": self.tied}
        chosen = [f"{name}={value}" for name, value in options.items() if value]
        return ", ".join([f"{self.inputs}, {self.hidden}", *chosen])

    def check_options(self) -> None:
        """Raise ValueError for options that cannot be; they may have been set from outside."""
        k = self.wipe_every
        if k is not None and not (isinstance(k, int) and k >= 1):
            raise ValueError(f"wipe_every is {k!r}: use a whole number of steps from 1 on, or None")
        for gate, value in self.clamp.items():
            if gate not in self.clampable:
                can = ", ".join(self.clampable) or "none"
                raise ValueError(f"{type(self).__name__} cannot clamp {gate!r}; its gates: {can}")
            if not 0 <= value <= 1:
                raise ValueError(f"{gate} gate clamped at {value}: a gate is between 0 and 1")
        if self.tied and "input" in self.clamp:
            raise ValueError("the input gate is tied to the forget gate: clamp the forget gate")


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
    x and h (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000). With `tied` the input
    gate is i = 1 - f, and has no say of its own (Greff et al. 2017, "LSTM: a search space odyssey",
    coupled gates); clamped at f = 1 it is the LSTM of 1997.

    >>> forgetful = LSTM(2, 4, clamp={"forget": 0.0})
    >>> forgetful.watch(torch.zeros(1, 3, 2))["forget"].unique()
    tensor([0.])
    """

    gates = ("input", "forget", "candidate", "output")
    states = ("hidden", "cell")
    clampable = ("input", "forget", "output")
    keeps = "forget"

    def __init__(
        self,
        inputs: int,
        hidden: int,
        fused: bool = True,
        wipe_every: int | None = None,
        clamp: Mapping[str, float] | None = None,
        tied: bool = False,
    ):
        self.tied = tied
        super().__init__(inputs, hidden, fused, wipe_every, clamp)

    def step(self, x: Tensor, state: State) -> dict[str, Tensor]:
        h, c = state
        now = self.write(self.from_input(x) + self.from_hidden(h), c)
        return now | {"hidden": now["output"] * torch.tanh(now["cell"])}

    def write(self, sums: Tensor, c: Tensor) -> dict[str, Tensor]:
        """Gates and the new cell, from the sums (batch, 4 hidden) that enter the gates."""
        i, f, g, o = sums.chunk(4, dim=-1)
        f, o, g = self.gate("forget", f), self.gate("output", o), torch.tanh(g)
        i = 1 - f if self.tied else self.gate("input", i)
        return {"input": i, "forget": f, "candidate": g, "output": o, "cell": f * c + i * g}


class GRU(Cell):
    """Gated recurrent unit: h' = (1 - z) n + z h, with n = tanh(W_in x + r (W_hn h)).

    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"; like torch's,
    the reset gate r acts after the matrix product (biases left out here).

    >>> sorted(GRU(2, 4).watch(torch.zeros(1, 3, 2)))
    ['hidden', 'new', 'reset', 'update']
    """

    gates = ("reset", "update", "new")
    clampable = ("reset", "update")
    keeps = "update"

    def step(self, x: Tensor, state: State) -> dict[str, Tensor]:
        (h,) = state
        r_x, z_x, n_x = self.from_input(x).chunk(3, dim=-1)
        r_h, z_h, n_h = self.from_hidden(h).chunk(3, dim=-1)
        r, z = self.gate("reset", r_x + r_h), self.gate("update", z_x + z_h)
        n = torch.tanh(n_x + r * n_h)
        return {"reset": r, "update": z, "new": n, "hidden": (1 - z) * n + z * h}


# --- torch's kernels -------------------------------------------------------------------------

KERNELS = {RNN: torch.rnn_tanh, LSTM: torch.lstm, GRU: torch.gru}


def _by_kernel(cell: Cell, x: Tensor, start: State) -> tuple[Tensor, State]:
    """`Cell.unroll` by the kernel behind nn.RNN, nn.LSTM and nn.GRU."""
    initial = tuple(state[None] for state in start)  # (layers, batch, hidden)
    # has biases, 1 layer, no dropout, training mode, one direction, batch first
    how = (True, 1, 0.0, cell.training, False, True)
    initial = initial if len(initial) > 1 else initial[0]
    outputs, *final = KERNELS[type(cell)](x, initial, list(cell.parameters()), *how)
    return outputs, tuple(state[0] for state in final)
