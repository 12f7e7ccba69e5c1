"""Recurrent cells from their equations, equal to torch's own with the same weights.

A cell maps sequences (batch, time, inputs) to its hidden state after every step (batch, time,
hidden). Parameters have the names, shapes and order of gates of `torch.nn`, so that weights can be
copied with `load_state_dict`. Torch's kernels compute the same equations and are used for one
network; a stack of networks (`stacking.fit_stack`) needs the steps in the open, and so does a cell
whose gates are watched or clamped. Ways to start the weights are in `helpers.initialisation`.

In the equations every tensor may have a further dimension in front, one entry per network: "..." in
a shape stands for it.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from helpers.nets.sequences import State


def tanh(x: Tensor) -> Tensor:
    """The tanh; of many numbers as 2 sigmoid(2x) - 1, which takes `torch` a third of the time.

    Of few, three small operations cost more than they save.
    """
    return torch.tanh(x) if x.numel() < 20_000 else torch.sigmoid(2 * x).mul(2).sub(1)


def affine(x: Tensor, weight: Tensor, plus: Tensor) -> Tensor:
    """x W^T + plus: (..., batch, inputs) by (..., outputs, inputs) to (..., batch, outputs)."""
    product = torch.addmm if x.ndim == 2 else torch.baddbmm
    return product(plus, x, weight.mT)


class Cell(nn.Module):
    """What RNN, LSTM and GRU share: weights for every gate, and the loop over time.

    With G gates: `weight_ih_l0` (G hidden, inputs), `weight_hh_l0` (G hidden, hidden) and two
    biases (G hidden,), drawn as torch does, uniformly within 1 / sqrt(hidden) of zero.
    `fused` says whether torch's kernel may do the work; the result is the same without.
    `wipe_every` sets the state to zero before steps 0, k, 2k ... of every call: no memory is older
    than k steps. `clamp` holds gates of `clampable` at a value, {"forget": 1.0}: their weights then
    do nothing. Both may be changed on a finished cell.

    Raises ValueError for sizes below 1, an unknown gate and a value outside [0, 1].
    """

    gates: tuple[str, ...]
    states: tuple[str, ...] = ("hidden",)
    clampable: tuple[str, ...] = ()
    keeps: str | None = None  # the gate that says how much of the state stays
    tied = False
    biases_meet = True  # whether the two biases are only ever added to each other
    stacked = False  # whether it stands for a stack of networks

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

    @property
    def parts(self) -> int:
        """Tensors in its state."""
        return len(self.states)

    @property
    def uses_kernel(self) -> bool:
        """Whether torch's kernel does the work: never in a stack, or with a gate held or tied."""
        return self.fused and not self.stacked and not self.clamp and not self.tied

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
        start, names = self.start(x), tuple(dict.fromkeys(self.gates + self.states))
        pieces = x.split(self.wipe_every or x.shape[1], dim=1)
        seen = [self.unroll(piece, start, names)[0] for piece in pieces]
        return {name: torch.cat(parts, 1) for name, *parts in zip(names, *seen, strict=True)}

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
        """All steps of `x` from `state` on, by torch's kernel or in the open."""
        if self.uses_kernel:
            return self.torch_kernel(x, state)
        if self.stacked:
            weights = (*self.parameters(), *self.buffers())
            outputs, *state = _AllNetworks.apply(self, x, *state, *weights)
            return outputs, tuple(state)
        (outputs,), state = self.unroll(x, state, ("hidden",))
        return outputs, state

    def unroll(
        self, x: Tensor, state: State, names: Sequence[str] = ("hidden",)
    ) -> tuple[list[Tensor], State]:
        """Step by step through time; each step sees the state that the one before it left.

        Returns what `names` were at every step, (..., batch, time, hidden) each, and the last
        state.
        """
        weight_hh, kept = self.stretched(self.weight_hh_l0), []
        for at_t in self.project(x).unbind(0):
            now = self.step(at_t, state, weight_hh)
            state = tuple(now[name] for name in self.states)
            kept.append([now[name] for name in names])
        return [torch.stack(steps, dim=-2) for steps in zip(*kept, strict=True)], state

    def project(self, x: Tensor) -> Tensor:
        """What inputs and biases add to the gates, at all steps: (time, ..., batch, G hidden)."""
        batch, time = x.shape[-3:-1]
        rows = x.transpose(-3, -2).flatten(-3, -2)  # (..., time batch, inputs)
        bias = self.bias_ih_l0 + self.bias_hh_l0 if self.biases_meet else self.bias_ih_l0
        weight, bias = self.stretched(self.weight_ih_l0), self.stretched(bias, dim=-1)
        rows = affine(rows, weight, bias.unsqueeze(-2))
        return rows.unflatten(-2, (time, batch)).movedim(-3, 0).contiguous()

    def stretched(self, sums: Tensor, dim: int = -2) -> Tensor:
        """What `step` wants instead of weights or sums whose `dim` is G hidden: the same, here."""
        return sums

    def step(self, inputs: Tensor, state: State, weight_hh: Tensor) -> dict[str, Tensor]:
        """Gates and states after one more step, (..., batch, hidden) each.

        `inputs` (..., batch, G hidden) come from `project`, `weight_hh` from `stretched`.
        """
        raise NotImplementedError

    def held(self, name: str, gate: Tensor) -> Tensor:
        """The gate, or what it is clamped to."""
        return torch.full_like(gate, self.clamp[name]) if name in self.clamp else gate

    def torch_kernel(self, x: Tensor, start: State) -> tuple[Tensor, State]:
        """The same from torch's kernel."""
        kernel = {"RNN": torch.rnn_tanh, "LSTM": torch.lstm, "GRU": torch.gru}[type(self).__name__]
        initial = tuple(state[None] for state in start)  # (layers, batch, hidden)
        # has biases, 1 layer, no dropout, training mode, one direction, batch first
        how = (True, 1, 0.0, self.training, False, True)
        initial = initial if len(initial) > 1 else initial[0]
        outputs, *final = kernel(x, initial, list(self.parameters()), *how)
        return outputs, tuple(state[0] for state in final)


class _Loop(nn.Module):
    """A cell's loop as a module of its own, for `functional_call`."""

    def __init__(self, cell: Cell):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (outputs,), state = self.cell.unroll(x, state)
        return outputs, state


class _AllNetworks(torch.autograd.Function):
    """A cell's loop over time for all networks of a stack, outside of vmap.

    vmap takes longer to hand on an operation than a small network to do it, and a loop over time
    has hundreds. For a function of one's own it asks what to do with the stacked tensors as they
    are (`vmap` below), and in a cell's equations these need nothing but the dimension in front.
    """

    @staticmethod
    def forward(cell: Cell, *tensors: Tensor) -> tuple[Tensor, ...]:
        raise RuntimeError("this cell stands for a stack of networks: set cell.stacked = False")

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Nothing to keep: autograd follows what `vmap` does."""

    @staticmethod
    def vmap(info, in_dims, cell: Cell, *tensors: Tensor) -> tuple[tuple, tuple]:
        """Outputs and last state, (networks, batch, ...) each: the networks come first."""
        count = info.batch_size
        x, *rest = (
            t.expand(count, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip(tensors, in_dims[1:], strict=True)
        )
        state, weights = tuple(rest[: cell.parts]), rest[cell.parts :]
        named = [*cell.named_parameters(), *cell.named_buffers()]
        stacked = {f"cell.{name}": w for (name, _), w in zip(named, weights, strict=True)}
        outputs, state = functional_call(_Loop(cell), stacked, (x, state))
        return (outputs, *state), (0,) * (1 + cell.parts)


class RNN(Cell):
    """Elman's recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Elman 1990, "Finding structure in time".
    """

    gates = ("hidden",)

    def step(self, inputs: Tensor, state: State, weight_hh: Tensor) -> dict[str, Tensor]:
        (h,) = state
        return {"hidden": tanh(affine(h, weight_hh, inputs))}


class LSTM(Cell):
    """Long short-term memory: an additive cell state behind three gates.

    c' = f c + i g and h' = o tanh(c'), with i, f, o = sigmoid and g = tanh of affine maps of
    x and h (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000). With `tied` the input
    gate is i = 1 - f, and has no say of its own (Greff et al. 2017, "LSTM: a search space odyssey",
    coupled gates); clamped at f = 1 it is the LSTM of 1997.
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

    def step(self, inputs: Tensor, state: State, weight_hh: Tensor) -> dict[str, Tensor]:
        h, c = state
        now = self.write(affine(h, weight_hh, inputs), c)
        return now | {"hidden": now["output"] * tanh(now["cell"])}

    def stretched(self, sums: Tensor, dim: int = -2) -> Tensor:
        """The candidate's part doubled: g = tanh(s) = 2 sigmoid(2 s) - 1.

        One sigmoid then squashes all four parts at once, which saves up to a fifth of the time.
        """
        i, f, g, o = sums.chunk(4, dim)
        return torch.cat([i, f, 2 * g, o], dim)

    def write(self, sums: Tensor, c: Tensor) -> dict[str, Tensor]:
        """Gates and the new cell, from the stretched sums (..., batch, 4 hidden)."""
        i, f, g, o = torch.sigmoid(sums).chunk(4, dim=-1)
        g = 2 * g - 1
        f, o = self.held("forget", f), self.held("output", o)
        i = 1 - f if self.tied else self.held("input", i)
        return {"input": i, "forget": f, "candidate": g, "output": o, "cell": f * c + i * g}


class GRU(Cell):
    """Gated recurrent unit: h' = (1 - z) n + z h, with n = tanh(W_in x + r (W_hn h)).

    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"; like torch's,
    the reset gate r acts after the matrix product (biases left out here).
    """

    gates = ("reset", "update", "new")
    clampable = ("reset", "update")
    keeps = "update"
    biases_meet = False

    def step(self, inputs: Tensor, state: State, weight_hh: Tensor) -> dict[str, Tensor]:
        (h,) = state
        both = [self.hidden * 2, self.hidden]
        from_h = affine(h, weight_hh, self.bias_hh_l0.unsqueeze(-2))
        (rz_x, n_x), (rz_h, n_h) = inputs.split(both, -1), from_h.split(both, -1)
        r, z = torch.sigmoid(rz_x + rz_h).chunk(2, dim=-1)
        r, z = self.held("reset", r), self.held("update", z)
        n = tanh(n_x + r * n_h)
        return {"reset": r, "update": z, "new": n, "hidden": torch.lerp(n, h, z)}
