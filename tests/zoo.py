"""Small networks and data that several tests share, trained alone and in a stack."""

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.dataset import Dataset, Split
from helpers.nets.cnn import CNN1D, SimpleCNN
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import LastStep
from helpers.nets.starts import initialise
from helpers.training.batches import batches
from helpers.training.engine.stacking import fit_stack
from helpers.training.fit import ADAM, fit

HUGE = 1e30  # a learning rate that breaks any network with a hidden layer


def toy_split(count: int, seed: int, dtype: torch.dtype = torch.float32) -> Split:
    """Three noisy classes in four dimensions."""
    random = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (count,), generator=random)
    return Split(torch.randn(count, 4, generator=random).add(F.one_hot(y, 4)).to(dtype), y)


def toy(dtype: torch.dtype = torch.float32) -> Dataset:
    splits = [toy_split(count, seed, dtype) for seed, count in enumerate((50, 23, 31))]
    return Dataset("toy", *splits, ("a", "b", "c"), 0.0, 1.0)


def noise(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Dataset:
    """Random inputs of any shape with random labels."""
    random = torch.Generator().manual_seed(0)
    splits = [
        Split(
            torch.randn(count, *shape, generator=random, dtype=torch.float64).to(dtype),
            torch.randint(3, (count,), generator=random),
        )
        for count in (120, 30, 30)
    ]
    return Dataset("noise", *splits, ("a", "b", "c"), 0.0, 1.0)


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 3))


class Tokens(nn.Module):
    """An embedding of whole numbers, which come as floats, and a recurrent cell."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.classifier = LastStep(GRU(4, 5), 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.embedding(x.abs().mul(2).long().clamp(max=4)))


class Tied(nn.Module):
    """Two layers that share one weight."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.two.weight = self.one.weight
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(torch.tanh(self.one(x))))


class Frozen(nn.Sequential):
    """The first layer does not learn."""

    def __init__(self):
        super().__init__(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
        self[0].requires_grad_(False)


class Odd(nn.Module):
    """A weight without dimensions, and a layer that the loss does not depend on."""

    def __init__(self):
        super().__init__()
        self.gain, self.layer = nn.Parameter(torch.tensor(0.5)), nn.Linear(4, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.layer(x)


def batch_norm() -> nn.Module:
    """No bias before BatchNorm: its gradient is pure rounding noise, which Adam amplifies."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3 * 8 * 8, 3),
    )


def layer_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))


class Branch(nn.Module):
    """Decides by a value, which a stack cannot: its networks would disagree."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return x if x.mean() > 0 else 2 * x


class Item(Branch):
    """Takes a number out of its tensor."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * (1 + x.mean().item())


class TorchGRU(nn.Module):
    """A recurrent kernel without a rule for stacks."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x[:, None])[0][:, -1])


def shape_by_chance() -> nn.Module:
    return nn.Sequential(nn.Linear(4, size := int(torch.randint(2, 9, ()))), nn.Linear(size, 3))


# name: (shape of one example, build)
ZOO = {
    "CNN": ((1, 10, 10), lambda: SimpleCNN(size=10, classes=3, channels=(2, 3), hidden=6)),
    "BatchNorm": ((1, 10, 10), batch_norm),
    "LayerNorm": ((6,), layer_norm),
    "RNN": ((5, 4), lambda: LastStep(RNN(4, 5), 3)),
    "LSTM": ((5, 4), lambda: LastStep(LSTM(4, 5), 3)),
    "GRU": ((5, 4), lambda: LastStep(GRU(4, 5), 3)),
    "CNN1D": ((16,), lambda: CNN1D(channels=3, classes=3, length=16)),
    "tokens": ((6,), Tokens),
    "tied": ((4,), Tied),
    "frozen": ((4,), Frozen),
    "odd": ((4,), Odd),
}


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


def assert_close_weights(one: nn.Module, other: nn.Module, atol: float) -> None:
    """Weights and buffers differ by less than `atol`; NaN equals NaN."""
    torch.testing.assert_close(
        one.state_dict(), other.state_dict(), rtol=0, atol=atol, equal_nan=True
    )


def own(settings: dict, network: int) -> dict:
    """The settings of one network of a stack, as `fit` takes them."""
    names = {"seeds": "seed"}
    return {names.get(name, name): values[network] for name, values in settings.items()}


def train_alone(build, data, settings: dict, **run):
    """Networks and histories by `fit`, one for each entry of `settings`."""
    results = []
    for k in range(len(settings["seeds"])):
        model = initialise(build, settings["seeds"][k], data.train.y.device)
        results.append((model, fit(model, data, **own(settings, k), **run)))
    return results


def train_stacked(build, data, settings: dict, **run):
    models = [initialise(build, seed, data.train.y.device) for seed in settings["seeds"]]
    full = {"evaluate_every": None, "schedule": lambda progress: 1.0, "optimizer": ADAM}
    full |= {"loss_function": F.cross_entropy, "order": batches} | run
    return list(zip(models, fit_stack(models, data, **settings, **full), strict=True))


def assert_equal_training(some, others, atol: float) -> None:
    for (model, history), (other, other_history) in zip(some, others, strict=True):
        assert_close_weights(model, other, atol)
        pd.testing.assert_frame_equal(history, other_history, check_exact=False, rtol=0, atol=atol)
