"""Every layer of torch.nn that a learner would use: stacked it equals `fit`, or it is refused."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn import utils
from torch.nn.utils import parametrizations
from zoo import assert_equal_training, train_alone, train_stacked

from helpers.data.dataset import Dataset, Split
from helpers.training.engine.stacking import Stack, UnstackableError
from helpers.training.fit import cross_entropy

SHAPES = {
    "vector": (6,),
    "channels": (4, 5),
    "image": (2, 6, 6),
    "volume": (2, 4, 4, 4),
    "sequence": (5, 4),
    "tokens": (5,),
}
SETTINGS = {
    "seeds": (0, 1, 2),
    "lr": (0.1, 0.2, 0.3),
    "weight_decay": [None] * 3,
    "clip": [None] * 3,
}
RUN = {"steps": 12, "batch_size": 16, "optimizer": torch.optim.SGD, "loss_function": cross_entropy}


def data_of(kind: str) -> Dataset:
    """Random labels; tokens end in padding, 0, and half of them begin with the last one, 19."""
    random, splits = torch.Generator().manual_seed(0), []
    for count in (64, 20, 20):
        x = torch.randn(count, *SHAPES[kind], generator=random, dtype=torch.float64)
        if kind == "tokens":
            x = torch.randint(20, x.shape, generator=random)
            x[:, 3:], x[::2, 0] = 0, 19
        splits.append(Split(x, torch.randint(3, (count,), generator=random)))
    return Dataset(kind, *splits, ("a", "b", "c"), 0.0, 1.0)


class MeanOverTime(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Called(nn.Module):
    """A layer that is called in its own way."""

    def __init__(self, layer: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]):
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layer, x)


def outputs(layer: nn.Module) -> nn.Module:
    """The first of what a layer returns."""
    return Called(layer, lambda layer, x: layer(x)[0])


def first_step(cell: nn.Module) -> nn.Module:
    return Called(cell, lambda cell, x: cell(x[:, 0]))


def attention(**options) -> nn.Module:
    layer = nn.MultiheadAttention(4, 2, batch_first=True, **options)
    return Called(layer, lambda layer, x: layer(x, x, x, need_weights=False)[0])


class ByHand(nn.Module):
    """Calls the function itself."""

    def __init__(self, padding_idx: int):
        super().__init__()
        self.table, self.padding_idx = nn.Parameter(torch.randn(20, 3)), padding_idx

    def forward(self, x: Tensor) -> Tensor:
        return F.embedding(x, self.table, padding_idx=self.padding_idx).mean(1)


class TiedEmbedding(nn.Module):
    """The padding vector has a second task, and learns from that one."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 8, padding_idx=0)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x).mean(1) @ self.table.weight[:3].T


def vector(layer: Callable, width: int = 6):
    return "vector", lambda: nn.Sequential(nn.Linear(6, 6), layer(), nn.Linear(width, 3))


def image(layer: Callable, width: int = 64):
    """After a convolution to (4, 4, 4), without bias: before BatchNorm one is rounding noise."""
    return "image", lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), layer(), nn.Flatten(), nn.Linear(width, 3)
    )


def first(kind: str, layer: Callable, width: int):
    return kind, lambda: nn.Sequential(layer(), nn.Flatten(), nn.Linear(width, 3))


def over_time(kind: str, layer: Callable, width: int = 4):
    return kind, lambda: nn.Sequential(layer(), MeanOverTime(), nn.Linear(width, 3))


def embedding(**options):
    return over_time("tokens", lambda: nn.Embedding(20, 8, **options), 8)


def bag():
    return first("tokens", lambda: nn.EmbeddingBag(20, 8), 8)


EQUAL = {
    "GELU": vector(nn.GELU),
    "PReLU": vector(nn.PReLU),
    "GLU": vector(nn.GLU, 3),
    "Softmax": vector(lambda: nn.Softmax(1)),
    "PReLU of channels": vector(lambda: nn.PReLU(6)),
    "LayerNorm": vector(lambda: nn.LayerNorm(6)),
    "RMSNorm": vector(lambda: nn.RMSNorm(6)),
    "BatchNorm1d": vector(lambda: nn.BatchNorm1d(6)),
    "BatchNorm1d, no statistics": vector(lambda: nn.BatchNorm1d(6, track_running_stats=False)),
    "BatchNorm2d": image(lambda: nn.BatchNorm2d(4)),
    "BatchNorm3d": first("volume", lambda: nn.BatchNorm3d(2), 128),
    "GroupNorm": image(lambda: nn.GroupNorm(2, 4)),
    "InstanceNorm2d": image(lambda: nn.InstanceNorm2d(4, affine=True)),
    "InstanceNorm2d, statistics": image(lambda: nn.InstanceNorm2d(4, track_running_stats=True)),
    "Conv1d": first("channels", lambda: nn.Conv1d(4, 4, 3, padding="same"), 20),
    "Conv2d, groups": image(lambda: nn.Conv2d(4, 4, 2, groups=2, padding_mode="circular"), 36),
    "Conv3d": first("volume", lambda: nn.Conv3d(2, 4, 2), 108),
    "ConvTranspose2d": first("image", lambda: nn.ConvTranspose2d(2, 3, 2), 147),
    "MaxPool2d": image(lambda: nn.MaxPool2d(2), 16),
    "AvgPool2d": image(lambda: nn.AvgPool2d(2), 16),
    "AdaptiveAvgPool2d": image(lambda: nn.AdaptiveAvgPool2d(2), 16),
    "Upsample": image(lambda: nn.Upsample(scale_factor=2, mode="bilinear"), 256),
    "Embedding": embedding(),
    "Embedding, padding_idx": embedding(padding_idx=0),
    "Embedding, padding_idx and max_norm": embedding(padding_idx=0, max_norm=0.5),
    "Embedding, max_norm": embedding(max_norm=0.5),
    "Embedding, scale_grad_by_freq": embedding(scale_grad_by_freq=True),
    "Embedding, frozen": over_time(
        "tokens", lambda: nn.Embedding.from_pretrained(torch.randn(20, 8), padding_idx=0), 8
    ),
    "Embedding, tied": ("tokens", TiedEmbedding),
    "embedding by hand": ("tokens", lambda: ByHand(3)),
    "EmbeddingBag": bag(),
    "RNNCell": first("sequence", lambda: first_step(nn.RNNCell(4, 4)), 4),
    "GRUCell": first("sequence", lambda: first_step(nn.GRUCell(4, 4)), 4),
    "MultiheadAttention": over_time("sequence", attention),
    "TransformerEncoderLayer": over_time(
        "sequence", lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    ),
    "TransformerDecoderLayer": over_time(
        "sequence",
        lambda: Called(
            nn.TransformerDecoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
            lambda layer, x: layer(x, x.flip(1)),  # of two inputs
        ),
    ),
    "weight_norm": vector(lambda: parametrizations.weight_norm(nn.Linear(6, 6))),
    "orthogonal": vector(lambda: parametrizations.orthogonal(nn.Linear(6, 6))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUAL)
def test_a_stacked_layer_learns_what_it_learns_alone(name):
    kind, build = EQUAL[name]
    ways = (lambda: build().double(), data_of(kind), SETTINGS)
    assert_equal_training(train_alone(*ways, **RUN), train_stacked(*ways, **RUN), 1e-9)


class Counting(nn.Module):
    """Its rate grows with every call, by a number that is no buffer."""

    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(6, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return self.layer(x) * self.calls


class Replacing(nn.Module):
    """Its buffer is another tensor after every call."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls = self.calls + 1
        return self.layer(x) * self.calls


class Keeping(nn.Module):
    """Something drawn when it was built, kept where PyTorch does not look."""

    def __init__(self, value):
        super().__init__()
        self.layer, self.value = nn.Linear(6, 3), value

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.value


REFUSED = {
    "RReLU": (vector(nn.RReLU), "not yet support aten::rrelu"),
    "BatchNorm1d, momentum=None": (vector(lambda: nn.BatchNorm1d(6, momentum=None)), "item"),
    "RNN": (over_time("sequence", lambda: outputs(nn.RNN(4, 4, batch_first=True))), "nn.RNN"),
    "LSTM": (over_time("sequence", lambda: outputs(nn.LSTM(4, 4, batch_first=True))), "nn.LSTM"),
    "GRU": (over_time("sequence", lambda: outputs(nn.GRU(4, 4, batch_first=True))), "nn.GRU"),
    "LSTMCell": (
        first("sequence", lambda: Called(nn.LSTMCell(4, 4), lambda c, x: c(x[:, 0])[0]), 4),
        "lstm_cell",
    ),
    "spectral_norm": (vector(lambda: parametrizations.spectral_norm(nn.Linear(6, 6))), "rule"),
    "old weight_norm": (vector(lambda: utils.weight_norm(nn.Linear(6, 6))), "parametrizations"),
    "old spectral_norm": (vector(lambda: utils.spectral_norm(nn.Linear(6, 6))), "differs a buffer"),
    "sparse": (embedding(sparse=True), "sparse"),
    "compiled": (
        ("vector", lambda: torch.compile(nn.Linear(6, 3), backend="eager")),
        "leave torch.compile out",
    ),
    "a count in Python": (("vector", Counting), "calls changes while .*make it a buffer"),
    "a buffer replaced": (("vector", Replacing), r"calls is replaced.*\.copy_\(\)"),
    "a number drawn": (("vector", lambda: Keeping(torch.rand(()).item())), "differs a buffer"),
    "a tensor drawn": (("vector", lambda: Keeping(torch.rand(3))), "differs a buffer"),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_a_stack_would_get_wrong_is_refused_with_the_cure(name):
    (kind, build), message = REFUSED[name]
    with pytest.raises(UnstackableError, match=rf"{message}[^\0]*pack=1"):
        train_stacked(lambda: build().double(), data_of(kind), SETTINGS, **RUN)


def test_equal_numbers_and_tensors_beside_the_weights_are_stacked():
    for value in (0.5, torch.tensor([1.0, 2.0, 3.0])):
        ways = (lambda value=value: Keeping(value).double(), data_of("vector"), SETTINGS)
        assert_equal_training(train_alone(*ways, **RUN), train_stacked(*ways, **RUN), 1e-12)


# ---------------------------------------------------------------- what draws at random

P = 0.3
DROPPED = {
    "Dropout": (nn.Dropout, (4,), ()),
    "Dropout1d": (nn.Dropout1d, (4, 5), (5,)),
    "Dropout2d": (nn.Dropout2d, (4, 3, 5), (3, 5)),
    "Dropout3d": (nn.Dropout3d, (4, 2, 3, 5), (2, 3, 5)),
}


class Dropping(nn.Module):
    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer, self.gain = layer, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.gain * x)


@pytest.mark.parametrize("name", DROPPED)
def test_whole_channels_are_dropped_in_every_network_on_its_own(name):
    layer, shape, inside = DROPPED[name]
    torch.manual_seed(0)
    stack = Stack([Dropping(layer(P)) for _ in range(50)], F.cross_entropy)
    out = stack.forward(torch.ones(50, 20, *shape)).detach()  # (networks, batch, *shape)
    channels = out.reshape(50, 20, 4, -1)
    assert (channels == channels[..., :1]).all()  # of one channel all or nothing
    kept = channels[..., 0] != 0
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - P)])
    error = math.sqrt(P * (1 - P) / kept.numel())
    assert abs(kept.double().mean().item() - (1 - P)) < 4 * error
    assert len(kept.flatten(1).unique(dim=0)) == 50  # no two networks alike
    assert len(kept.flatten(0, 1).unique(dim=0)) == 16  # nor all examples
    assert math.prod(inside) == out[0, 0, 0].numel()


@pytest.mark.parametrize("layer", [nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_alpha_dropout_keeps_mean_and_variance_in_a_stack(layer):
    torch.manual_seed(0)
    stack = Stack([Dropping(layer(P)) for _ in range(50)], F.cross_entropy)
    x = torch.randn(50, 40, 8, 1)
    out = stack.forward(x).detach()
    assert abs(out.mean()) < 0.05 and abs(out.var() - 1) < 0.1
    same = (out[0] == out[1:]).flatten(1).all(1)
    assert not same.any() and not torch.allclose(out, x)


def test_attention_drops_in_training_alone():
    torch.manual_seed(0)
    model = attention(dropout=0.5).double()
    stack = Stack([model, model], F.cross_entropy)
    x = torch.randn(6, 5, 4, dtype=torch.float64)
    one, other = stack.forward(x, shared=True).detach()
    assert not torch.allclose(one, other)
    stack.template.eval()
    one, other = stack.forward(x, shared=True).detach()
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    torch.testing.assert_close(one, model.eval()(x).detach(), rtol=0, atol=1e-12)


# ---------------------------------------------------------------- losses

CLASS_WEIGHTS = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
LOSSES = {
    "weights": nn.CrossEntropyLoss(weight=CLASS_WEIGHTS),
    "ignore_index": nn.CrossEntropyLoss(ignore_index=1),
    "label_smoothing": nn.CrossEntropyLoss(label_smoothing=0.1),
    "nll": lambda logits, y: F.nll_loss(logits.log_softmax(1), y, weight=CLASS_WEIGHTS),
    "margin": nn.MultiMarginLoss(),
    "one-hot": lambda logits, y: F.mse_loss(logits, torch.eye(3).to(logits)[y]),
    "gather": lambda logits, y: -logits.log_softmax(1).gather(1, y[:, None]).mean(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_with_options_is_the_same_in_a_stack(name):
    torch.manual_seed(0)
    models = [nn.Linear(4, 3).double() for _ in range(4)]
    x, y = torch.randn(4, 10, 4, dtype=torch.float64), torch.randint(3, (4, 10))
    together = Stack(models, LOSSES[name]).losses(x, y)
    alone = [LOSSES[name](model(a), b) for model, a, b in zip(models, x, y, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-12)
