"""The networks and the arithmetic of convolutions, against PyTorch."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from helpers.data.dataset import Dataset, Split
from helpers.nets.cnn import (
    CNN1D,
    MLP,
    SimpleCNN,
    correlate,
    freeze,
    output_size,
    parameter_count,
    width_for,
)
from helpers.nets.recurrent import GRU
from helpers.training.fit import fit

EXAMPLES = settings(max_examples=80, deadline=None, derandomize=True)


def small_cnn() -> SimpleCNN:
    torch.manual_seed(0)
    return SimpleCNN(channels=(2, 3), hidden=4, classes=3, size=10)


# ---------------------------------------------------------------- networks


def test_cnn_has_the_recaps_shapes():
    cnn = SimpleCNN()
    assert {name: tuple(p.shape) for name, p in cnn.named_parameters() if "weight" in name} == {
        "conv1.weight": (16, 1, 3, 3),
        "conv2.weight": (32, 16, 3, 3),
        "dense.weight": (128, 800),
        "head.weight": (10, 128),
    }
    assert cnn(torch.zeros(5, 1, 28, 28)).shape == (5, 10)


def test_cnn_and_mlp_are_equally_large():
    assert parameter_count(SimpleCNN()) == 160 + 4640 + 800 * 128 + 128 + 1290 == 108_618
    assert parameter_count(MLP()) == 108_130


@pytest.mark.parametrize(("size", "kernel_size"), [(9, 3), (5, 3), (13, 7), (3, 5), (1, 3)])
def test_cnn_refuses_an_image_that_is_too_small(size, kernel_size):
    message = rf"a {size}x{size} image leaves nothing .* use a larger image or a smaller kernel"
    with pytest.raises(ValueError, match=message):
        SimpleCNN(size=size, kernel_size=kernel_size)


def test_mlp_flattens_and_has_one_hidden_layer():
    mlp, x = MLP(inputs=12, hidden=5, classes=3), torch.randn(4, 1, 3, 4)
    hidden = (x.reshape(4, 12) @ mlp.dense.weight.T + mlp.dense.bias).clamp_min(0)
    torch.testing.assert_close(mlp(x), hidden @ mlp.head.weight.T + mlp.head.bias)


def test_cnn1d_is_the_papers_network():
    cnn = CNN1D()
    assert parameter_count(cnn) == 25 * 5 + 25 + 2 * (25 * 25 * 3 + 25) + 125 * 10 + 10 == 5210
    assert cnn(torch.zeros(7, 40)).shape == cnn(torch.zeros(7, 1, 40)).shape == (7, 10)
    x = signals = torch.randn(7, 40)
    assert torch.equal(cnn(x), cnn(x[:, None]))
    for convolution, length in ((cnn.conv1, 19), (cnn.conv2, 10), (cnn.conv3, 5)):
        x = F.relu(convolution(x.reshape(7, -1, x.shape[-1])))
        assert x.shape == (7, 25, length)
    assert cnn.head.in_features == 125
    torch.testing.assert_close(cnn(signals), cnn.head(x.flatten(1)))


@pytest.mark.parametrize("length", range(3, 44))
def test_cnn1d_fits_any_length(length):
    assert CNN1D(4, 2, 3, length)(torch.zeros(5, 3, length)).shape == (5, 2)


def test_relu_after_pooling_equals_relu_before_it():
    cnn = small_cnn().double()
    layers = [cnn.conv1, nn.ReLU(), nn.MaxPool2d(2), cnn.conv2, nn.ReLU(), nn.MaxPool2d(2)]
    textbook = nn.Sequential(*layers, nn.Flatten(), cnn.dense, nn.ReLU(), cnn.head)
    x, y = torch.randn(64, 1, 10, 10, dtype=torch.float64), torch.randint(3, (64,))
    outputs = cnn(x), textbook(x)
    gradients = [torch.autograd.grad(F.cross_entropy(o, y), cnn.parameters()) for o in outputs]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.norm() > 0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- convolution arithmetic


@pytest.mark.slow
@EXAMPLES
@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 5),
    padding=st.integers(0, 4),
)
def test_output_size_is_what_conv2d_makes(size, kernel, stride, padding):
    expected = output_size(size, kernel, stride, padding)
    image, weight = torch.zeros(1, 1, size, size), torch.zeros(1, 1, kernel, kernel)
    if size + 2 * padding < kernel:
        assert expected < 1
    else:
        out = F.conv2d(image, weight, stride=stride, padding=padding)
        assert out.shape[2:] == (expected, expected)


@pytest.mark.slow
@EXAMPLES
@given(
    image=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 999),
)
def test_correlate_equals_conv2d(image, kernel, seed):
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(image, generator=random, dtype=torch.float64)
    b = torch.randn(kernel, generator=random, dtype=torch.float64)
    torch.testing.assert_close(correlate(a, b), F.conv2d(a[None, None], b[None, None])[0, 0])


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_an_image_without_a_number_is_refused(shape):
    with pytest.raises(ValueError, match=r"image is torch.float32 .* give floating numbers \(rows"):
        correlate(torch.zeros(shape), torch.ones(2, 2))


def test_correlate_does_not_flip_the_kernel():
    image = torch.zeros(5, 5)
    image[2, 2] = 1
    kernel = torch.arange(9.0).reshape(3, 3)
    assert torch.equal(correlate(image, kernel), kernel.flip(0, 1))


# ---------------------------------------------------------------- freezing


def test_frozen_layers_do_not_move_and_the_others_do():
    x, y = torch.randn(20, 1, 10, 10), torch.arange(20) % 3
    split = Split(x, y)
    data = Dataset("toy", split, split, split, ("a", "b", "c"), 0.0, 1.0)
    model = freeze(small_cnn(), ["conv1", "head"])
    before = copy.deepcopy(model.state_dict())
    fit(model, data, steps=5, lr=0.1, seed=0, batch_size=10)
    moved = {
        name.split(".")[0] for name, p in model.state_dict().items() if (p != before[name]).any()
    }
    assert moved == {"conv2", "dense"}


def test_freeze_names_the_unknown_layer():
    with pytest.raises(AttributeError, match="conv9"):
        freeze(small_cnn(), ["conv9"])


@pytest.mark.parametrize("parameters", [1, 500, 1056, 14784])
def test_width_for_is_the_closest(parameters):
    def build(width):
        return GRU(8, width)

    distances = [abs(parameter_count(build(w)) - parameters) for w in range(1, 100)]
    state = torch.get_rng_state()
    assert distances[width_for(build, parameters) - 1] == min(distances)
    assert torch.equal(torch.get_rng_state(), state)
