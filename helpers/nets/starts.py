"""Ways to start the weights of a recurrent cell; each changes a cell and returns it.

`lambda: LastStep(forget_bias_(LSTM(2, 32), 1.0), 1)` builds a network with one of them. Random
draws come from torch's generator, as the cell's own do.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from helpers.data.given import check_real
from helpers.data.streams import stream_seed
from helpers.nets.recurrent import GRU, LSTM, RNN, Cell

Build = Callable[[], nn.Module]
AnyCell = TypeVar("AnyCell", bound=Cell)
GatedCell = TypeVar("GatedCell", LSTM, GRU)


def initialise(build: Build, seed: int, device: torch.device | str = "cpu") -> nn.Module:
    """Build a network with the initial weights that belong to `seed`.

    Built on the CPU and then moved, so that every device starts from the same weights.
    Raises TypeError unless `build` is a function that makes a network, ValueError for a lazy layer
    that has not seen data.
    """
    if isinstance(build, nn.Module) or not callable(build):
        raise TypeError(
            f"a {type(build).__name__} stands where a function that builds the network is wanted: "
            "every seed needs a new network, write lambda: ... before it"
        )
    with torch.random.fork_rng(devices=[]):
        # The CPU's alone: torch.manual_seed would seed CUDA as well, and is slow.
        torch.default_generator.manual_seed(stream_seed(seed, "weights"))
        model = build()
    check_network(model)
    return place(model, device)


def check_network(model: nn.Module) -> None:
    """Raise TypeError for what is no network, ValueError for layers that have no weights yet."""
    if not isinstance(model, nn.Module):
        cure = "build it first, as in model = build()" if callable(model) else "give an nn.Module"
        raise TypeError(f"a {type(model).__name__} stands where a network is wanted: {cure}")
    if lazy := [name for name, w in model.state_dict(keep_vars=True).items() if is_lazy(w)]:
        raise ValueError(
            f"{lazy[0]} has no shape before its lazy layer has seen data: name the sizes, or call "
            "the network once on an example where it is built"
        )


def place(model: nn.Module, device: torch.device | str) -> nn.Module:
    """The network on `device`, laid out channels last, which makes convolutions of images faster.

    PyTorch has no such layout for volumes: a network that holds some stays as it is.
    """
    volumes = any(weight.ndim == 5 for weight in model.parameters())
    model = model.to(device)
    return model if volumes else model.to(memory_format=torch.channels_last)


@torch.no_grad()
def orthogonal_(cell: AnyCell, gain: float = 1.0) -> AnyCell:
    """Recurrent weights that turn the state and scale it by `gain`: W^T W = gain^2 I.

    In every gate's (hidden, hidden) block; nothing else changes (Saxe et al. 2014, "Exact solutions
    to the nonlinear dynamics of learning in deep linear neural networks"). Raises ValueError for a
    gain that is not finite.
    """
    check_real(gain=gain)
    for block in cell.weight_hh_l0.split(cell.hidden):
        # In float64, so that the start is the same on every processor.
        turn, scale = torch.linalg.qr(torch.empty_like(block).normal_().double())
        block.copy_(gain * turn * scale.diagonal().sign())
    return cell


@torch.no_grad()
def gaussian_(cell: AnyCell, gain: float = 1.0) -> AnyCell:
    """Recurrent weights from a normal distribution of standard deviation gain / sqrt(hidden).

    Their spectral radius is near `gain`; above 1 a tanh network is chaotic without input
    (Sompolinsky et al. 1988, "Chaos in random neural networks"). Nothing else changes. Raises
    ValueError for a gain that is negative or not finite.
    """
    check_real(0, gain=gain)
    nn.init.normal_(cell.weight_hh_l0, std=gain / math.sqrt(cell.hidden))
    return cell


@torch.no_grad()
def identity_(cell: RNN, gain: float = 1.0) -> RNN:
    """Recurrent weights `gain` times the identity, and no biases: the state starts as a sum.

    Le et al. 2015, "A simple way to initialize recurrent networks of rectified linear units"; they
    use ReLU units and small input weights, here the cell keeps its tanh and its input weights.
    Raises TypeError for a cell with gates, ValueError for a gain that is not finite.
    """
    check_real(gain=gain)
    if not isinstance(cell, RNN):
        raise TypeError(f"identity_ starts an RNN, not an {type(cell).__name__}")
    cell.weight_hh_l0.copy_(gain * torch.eye(cell.hidden))
    nn.init.zeros_(cell.bias_ih_l0)
    nn.init.zeros_(cell.bias_hh_l0)
    return cell


def forget_bias_(cell: GatedCell, value: float) -> GatedCell:
    """Bias of the gate that keeps the state: an LSTM's forget gate, a GRU's update gate.

    Torch has two biases that are added, so one is set to `value` and the other to zero
    (Jozefowicz et al. 2015, "An empirical exploration of recurrent network architectures").
    Raises TypeError for a cell without gates, ValueError for a value that is not finite.
    """
    check_real(value=value)
    return _set_bias(cell, _keeper(cell), torch.full((cell.hidden,), float(value)))


def chrono_(cell: GatedCell, longest: float) -> GatedCell:
    """Gate biases spread over the lags up to `longest` steps that the cell should bridge.

    Forget gate log(u) with u uniform in [1, longest - 1], so that a unit keeps its state for some
    u steps; an LSTM's input gate the opposite. A GRU's update gate, which keeps the state in
    torch's convention, gets log(u) (Tallec and Ollivier 2018, "Can recurrent neural networks warp
    time?", section 2). The two biases of torch add up to these.
    Raises TypeError for a cell without gates, ValueError for `longest` below 2.
    """
    keeper = _keeper(cell)
    check_real(2, longest=longest)
    bias = torch.empty(cell.hidden).uniform_(1, longest - 1).log()
    if isinstance(cell, LSTM):
        _set_bias(cell, "input", -bias)
    return _set_bias(cell, keeper, bias)


def _keeper(cell: Cell) -> str:
    """The gate that keeps the state; TypeError where there is none."""
    keeps = getattr(cell, "keeps", None)
    if keeps is None:
        raise TypeError(f"{type(cell).__name__} has no gate that keeps its state: use LSTM or GRU")
    return keeps


@torch.no_grad()
def _set_bias(cell: AnyCell, gate: str, value: Tensor) -> AnyCell:
    """Let the two biases of one gate add up to `value` (hidden,)."""
    rows = slice(cell.hidden * cell.gates.index(gate), cell.hidden * (cell.gates.index(gate) + 1))
    cell.bias_ih_l0[rows] = value
    cell.bias_hh_l0[rows] = 0.0
    return cell
