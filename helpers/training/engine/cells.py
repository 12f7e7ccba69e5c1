"""The recurrent cells of `helpers.nets` as a stack of networks computes them: the same, faster.

vmap takes longer to hand on an operation than a small network to do it, and a loop over time has
hundreds. So here a cell's loop is written for all networks at once, with one more dimension in
front, (networks, batch, ...), and vmap is asked once for the whole loop. What is the same at all
steps is computed before the loop. Cells that are not in STACKED go through vmap step by step.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from helpers.nets.ablations import HeldLSTM, TiedLSTM
from helpers.nets.normalisation import NormalisedLSTM, NormalisedRNN
from helpers.nets.recurrent import GRU, LSTM, RNN, Cell
from helpers.nets.sequences import State

tanh_backward = torch.ops.aten.tanh_backward  # e (1 - h h) at once
MANY = 20_000  # numbers, from which on three small operations cost less than torch.tanh


def tanh(x: Tensor) -> Tensor:
    """The tanh; of many numbers as 2 sigmoid(2x) - 1, which takes `torch` a third of the time."""
    return torch.tanh(x) if x.numel() < MANY else torch.sigmoid(2 * x).mul(2).sub(1)


def tanh_(x: Tensor) -> Tensor:
    """`tanh` in place."""
    return x.tanh_() if x.numel() < MANY else x.mul_(2).sigmoid_().mul_(2).sub_(1)


def stack_cells(model: nn.Module) -> None:
    """Let the cells of a network, which stands for a stack, compute all networks at once."""
    for module in model.modules():
        if type(module) in STACKED:
            module.__class__ = STACKED[type(module)]


def in_front(
    tensors: Iterable[Tensor], dims: Iterable[int | None], networks: int
) -> Iterator[Tensor]:
    """Tensors that vmap hands on, the networks in their first dimension.

    `dims` says where they are; None where a tensor is the same for all.
    """
    for tensor, dim in zip(tensors, dims, strict=True):
        yield tensor.expand(networks, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


class StackedCell(Cell):
    """A cell whose loop over time, `all_steps`, is that of all networks of a stack."""

    tanh = staticmethod(tanh)
    biases_meet = True  # whether the two biases are only ever added to each other

    def unroll(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        weights = (*self.parameters(), *self.buffers())
        outputs, *last = _AllNetworks.apply(self, x, *state, *weights)
        return outputs, tuple(last)

    def all_steps(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """`Cell.unroll` for (networks, batch, time, inputs) and states (networks, batch, hidden).

        The weights have a dimension in front as well.
        """
        outputs, weight_hh = [], self.prepared(self.weight_hh_l0)
        for sums in self.project(x).unbind():
            state = self.next_state(sums, state, weight_hh)
            outputs.append(state[0])
        return torch.stack(outputs, dim=2), state

    def project(self, x: Tensor) -> Tensor:
        """What inputs and biases add to the gates, (time, networks, batch, G hidden)."""
        batch, time = x.shape[1:3]
        rows = x.transpose(1, 2).flatten(1, 2)  # (networks, time batch, inputs)
        bias = self.bias_ih_l0 + self.bias_hh_l0 if self.biases_meet else self.bias_ih_l0
        weight, bias = self.prepared(self.weight_ih_l0), self.prepared(bias, dim=-1)
        sums = torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
        return sums.unflatten(1, (time, batch)).movedim(1, 0).contiguous()

    def prepared(self, sums: Tensor, dim: int = -2) -> Tensor:
        """What `next_state` wants instead of weights or sums whose `dim` is G hidden."""
        return sums

    def next_state(self, sums: Tensor, state: State, weight_hh: Tensor) -> State:
        """The state after one more step, from a part of `project` and the prepared weights."""
        raise NotImplementedError


class _Loop(nn.Module):
    """A cell's loop as a module of its own, for `functional_call`."""

    def __init__(self, cell: StackedCell):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self.cell.all_steps(x, state)


class _AllNetworks(torch.autograd.Function):
    """A cell's loop over time for all networks of a stack, outside of vmap.

    For a function of one's own vmap asks what to do with the stacked tensors as they are.
    """

    @staticmethod
    def forward(cell: StackedCell, *tensors: Tensor) -> tuple[Tensor, ...]:
        raise RuntimeError("this cell stands for a stack of networks: call it in vmap")

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Nothing to keep: autograd follows what `vmap` does."""

    @staticmethod
    def vmap(info, in_dims, cell: StackedCell, *tensors: Tensor):  # pyrefly: ignore[bad-override]
        """Outputs and last state, (networks, batch, ...) each: the networks come first."""
        x, *rest = in_front(tensors, in_dims[1:], info.batch_size)
        state, weights = tuple(rest[: cell.parts]), rest[cell.parts :]
        named = [*cell.named_parameters(), *cell.named_buffers()]
        stacked = {f"cell.{name}": w for (name, _), w in zip(named, weights, strict=True)}
        outputs, state = functional_call(_Loop(cell), stacked, (x, state))
        return (outputs, *state), (0,) * (1 + cell.parts)


class StackedRNN(StackedCell, RNN):
    """`RNN` for all networks of a stack, its way back written out."""

    def all_steps(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        states = _ThroughTime.apply(self.project(x), *state, self.weight_hh_l0)
        return states.permute(1, 2, 0, 3), (states[-1],)


class _ThroughTime(torch.autograd.Function):
    """h = tanh(sums + W h) step by step, and backpropagation through time (Werbos 1990).

    What autograd would do, without a tensor and a node for each operation of each step.
    """

    @staticmethod
    def forward(ctx, sums, first, weight):  # pyrefly: ignore[bad-override]
        """States (time, networks, batch, hidden) from the sums and the state before them."""
        states, h = torch.empty_like(sums), first
        for t in range(len(sums)):
            h = tanh_(torch.baddbmm(sums[t], h, weight.mT, out=states[t]))
        ctx.save_for_backward(states, first, weight)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # pyrefly: ignore[bad-override]
        """Gradients of the sums, of the state before them, and of W."""
        states, first, weight = ctx.saved_tensors
        errors, of_weight = torch.empty_like(states), torch.zeros_like(weight)
        back = torch.zeros_like(first)  # what the later steps ask of a state
        for t in reversed(range(len(states))):
            tanh_backward.grad_input(gradient[t] + back, states[t], grad_input=errors[t])
            of_weight.baddbmm_(errors[t].mT, states[t - 1] if t else first)
            back = torch.bmm(errors[t], weight)
        return errors, back, of_weight


class StackedGRU(StackedCell, GRU):
    """`GRU` for all networks of a stack."""

    biases_meet = False

    def next_state(self, sums: Tensor, state: State, weight_hh: Tensor) -> State:
        (h,), both = state, [self.hidden * 2, self.hidden]
        from_h = torch.baddbmm(self.bias_hh_l0.unsqueeze(1), h, weight_hh.mT)
        (rz_x, n_x), (rz_h, n_h) = sums.split(both, -1), from_h.split(both, -1)
        r, z = torch.sigmoid(rz_x + rz_h).chunk(2, dim=-1)
        return (torch.lerp(tanh(n_x + r * n_h), h, z),)


class StackedLSTM(StackedCell, LSTM):
    """`LSTM` for all networks of a stack.

    The candidate is computed as g = tanh(s) = 2 sigmoid(2 s) - 1: one sigmoid then squashes all
    four parts at once, which saves up to a fifth of the time.
    """

    def prepared(self, sums: Tensor, dim: int = -2) -> Tensor:
        """The candidate's part doubled."""
        i, f, g, o = sums.chunk(4, dim)
        return torch.cat([i, f, 2 * g, o], dim)

    def next_state(self, sums: Tensor, state: State, weight_hh: Tensor) -> State:
        h, c = state
        i, f, g, o = self.squash(torch.baddbmm(sums, h, weight_hh.mT))
        c = f * c + i * g
        return o * tanh(c), c

    def squash(self, sums: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `LSTM.squash`, from prepared sums."""
        i, f, g, o = torch.sigmoid(sums).chunk(4, dim=-1)
        return i, f, 2 * g - 1, o


class StackedHeldLSTM(HeldLSTM, StackedLSTM):
    """`HeldLSTM` for all networks of a stack."""


class StackedTiedLSTM(TiedLSTM, StackedLSTM):
    """`TiedLSTM` for all networks of a stack."""


class StepsOfItsOwn(StackedCell):
    """A stacked cell whose `steps` take the dimension in front as they are."""

    def all_steps(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return Cell.unroll(self, x, state)


class StackedNormalisedRNN(StepsOfItsOwn, NormalisedRNN):
    """`NormalisedRNN` for all networks of a stack."""


class StackedNormalisedLSTM(StepsOfItsOwn, StackedLSTM, NormalisedLSTM):
    """`NormalisedLSTM` for all networks of a stack."""

    def squash(self, sums: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `LSTM.squash`, from the sums that `steps` makes."""
        return super().squash(self.prepared(sums, dim=-1))


STACKED: dict[type[nn.Module], type[StackedCell]] = {
    RNN: StackedRNN,
    GRU: StackedGRU,
    LSTM: StackedLSTM,
    HeldLSTM: StackedHeldLSTM,
    TiedLSTM: StackedTiedLSTM,
    NormalisedRNN: StackedNormalisedRNN,
    NormalisedLSTM: StackedNormalisedLSTM,
}
