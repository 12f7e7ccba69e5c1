"""What the engine computes for all networks of a stack at once, against each network as it is."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.nets.ablations import HeldLSTM, TiedLSTM, Wiped
from helpers.nets.normalisation import (
    BatchNormOverTime,
    LayerNormOverTime,
    NormalisedLSTM,
    NormalisedRNN,
)
from helpers.nets.recurrent import GRU, LSTM, RNN, Cell
from helpers.nets.sequences import (
    AllSteps,
    CausalCNN,
    EveryStep,
    LanguageModel,
    LastStep,
    MaxOverTime,
)
from helpers.training.engine import cells
from helpers.training.engine.stacking import Stack


class Sum(Cell):
    """A cell of one's own, which the engine does not know."""

    gates = ("hidden",)

    def step(self, x: Tensor, state) -> dict[str, Tensor]:
        return {"hidden": self.from_input(x) + self.from_hidden(state[0])}


CELLS = {  # each under LastStep
    "RNN": lambda: RNN(2, 4),
    "RNN wiped": lambda: Wiped(RNN(2, 4), 3),
    "LSTM": lambda: LSTM(2, 4),
    "LSTM held": lambda: HeldLSTM(2, 4, forget=1.0, output=0.5),
    "LSTM tied": lambda: TiedLSTM(2, 4),
    "GRU": lambda: GRU(2, 4),
    "RNN, layers normalised": lambda: NormalisedRNN(2, 4, LayerNormOverTime),
    "RNN, each step normalised": lambda: NormalisedRNN(2, 4, partial(BatchNormOverTime, steps=5)),
    "layers normalised": lambda: NormalisedLSTM(2, 4, LayerNormOverTime),
    "batches normalised": lambda: NormalisedLSTM(2, 4, BatchNormOverTime),
    "each step normalised": lambda: NormalisedLSTM(2, 4, partial(BatchNormOverTime, steps=5)),
    "one of one's own": lambda: Sum(2, 4),
    "CNN": lambda: CausalCNN(2, 4, layers=2),
}
NETWORKS = {name: lambda build=build: LastStep(build(), 3) for name, build in CELLS.items()} | {
    "RNN, every step": lambda: EveryStep(RNN(2, 4), 3),
    "GRU, all steps": lambda: AllSteps(GRU(2, 4), 7, 3),
    "CNN, every step": lambda: EveryStep(CausalCNN(2, 2, kernel_size=1, layers=2), 3),
    "CNN, largest": lambda: MaxOverTime(CausalCNN(2, 5, layers=2), 3),
    "LSTM tied and wiped, every step": lambda: EveryStep(Wiped(TiedLSTM(2, 4), 4), 3),
    "language model": lambda: LanguageModel(9, LSTM(4, 5)),
    "language model of an RNN": lambda: LanguageModel(9, RNN(4, 5)),
    "language model, tied": lambda: LanguageModel(9, GRU(4, 4), tie=True),
    "language model, wiped": lambda: LanguageModel(9, Wiped(LSTM(4, 4), 4)),
    "language model of a CNN": lambda: LanguageModel(9, CausalCNN(3, 4, layers=2)),
}
X = torch.randn(3, 5, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(9, (3, 5, 7), generator=torch.Generator().manual_seed(0))
CLOSE = {"rtol": 0, "atol": 1e-12}


@pytest.mark.slow
@pytest.mark.parametrize("many", [0, cells.MANY])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_all_networks_at_once_equal_each_alone(name, training, many, monkeypatch):
    monkeypatch.setattr(cells, "MANY", many)
    torch.manual_seed(0)
    models = [NETWORKS[name]().double() for _ in range(3)]
    x = TOKENS if isinstance(models[0], LanguageModel) else X
    stack = Stack(models, F.cross_entropy)
    stack.template.train(training)
    together = stack.forward(x)
    together.square().sum().backward()
    for k, model in enumerate(models):
        for cell in model.train(training).modules():
            cell.fused = False
        alone = model(x[k])
        alone.square().sum().backward()
        torch.testing.assert_close(together[k], alone, **CLOSE)
        for key, weight in model.named_parameters():
            torch.testing.assert_close(stack.parameters[key].grad[k], weight.grad, **CLOSE)
        for key, buffer in model.named_buffers():
            torch.testing.assert_close(stack.buffers[key][k], buffer, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [4, cells.MANY - 1, cells.MANY, 50_001])
def test_the_tanh_is_the_same_however_many_numbers(count, dtype):
    x = torch.linspace(-30, 30, count)
    x[:3] = torch.tensor([math.inf, -math.inf, math.nan])
    atol = {torch.float32: 1e-6, torch.float64: 1e-12}[dtype]
    expected = torch.tanh(x.to(dtype))
    torch.testing.assert_close(cells.tanh(x.to(dtype)), expected, rtol=0, atol=atol, equal_nan=True)


def test_a_cell_that_stands_for_a_stack_is_refused_outside_of_one():
    model = LastStep(LSTM(3, 5), 2)
    cells.stack_cells(model)
    with pytest.raises(RuntimeError, match="stands for a stack of networks: call it in vmap"):
        model(torch.zeros(2, 4, 3))
