"""Convolutions along a signal for a whole stack, against each network's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.nets.cnn import CNN1D
from helpers.training.engine import convolutions
from helpers.training.engine.stacking import Stack

KINDS = {
    "plain": {},
    "stride": {"stride": 2},
    "stride beyond the kernel": {"stride": 4},
    "padding": {"padding": 2},
    "padding wider than the kernel": {"padding": 4, "stride": 3},
    "dilation": {"dilation": 3},
    "all": {"stride": 2, "padding": 3, "dilation": 2},
    "no bias": {"bias": False, "padding": 1},
    "one tap": {"kernel_size": 1},
}
OTHERS = {
    "groups": {"groups": 3},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "same": {"padding": "same"},
}
X = torch.randn(3, 5, 2, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
WIDE = {"in_channels": 3, "out_channels": 6}
CLOSE = {"rtol": 0, "atol": 1e-12}


def network(**kind) -> nn.Sequential:
    """Two convolutions, so that a gradient goes through one of them."""
    first = nn.Conv1d(2, 3, 3, padding=1)
    return nn.Sequential(first, nn.Tanh(), nn.Conv1d(**{"kernel_size": 3} | kind, **WIDE)).double()


def stacked(models: list[nn.Module]) -> Stack:
    return Stack(models, F.cross_entropy)


@pytest.mark.parametrize("kind", KINDS | OTHERS)
def test_outputs_and_gradients_are_those_of_each_network_alone(kind):
    torch.manual_seed(0)
    models = [network(**(KINDS | OTHERS)[kind]) for _ in range(3)]
    stack = stacked(models)
    known = [type(m) is convolutions.StackedConv1d for m in stack.template if hasattr(m, "weight")]
    assert known == [True, kind in KINDS]
    together = stack.forward(X)
    (together**3).sum().backward()
    for k, model in enumerate(models):
        alone = model(X[k])
        (alone**3).sum().backward()
        torch.testing.assert_close(together[k], alone, **CLOSE)
        for name, weight in model.named_parameters():
            torch.testing.assert_close(stack.parameters[name].grad[k], weight.grad, **CLOSE)


def test_inputs_may_be_the_same_for_all_networks():
    torch.manual_seed(0)
    models = [network(stride=2) for _ in range(3)]
    together = stacked(models).forward(X[0], shared=True)
    for own, model in zip(together, models, strict=True):
        torch.testing.assert_close(own, model(X[0]), **CLOSE)


def test_an_input_learns_from_every_place_that_saw_it():
    torch.manual_seed(0)
    x = X.clone().requires_grad_()
    models = [network(padding=1, stride=2, dilation=2) for _ in range(3)]
    (stacked(models).forward(x) ** 3).sum().backward()
    for k, model in enumerate(models):
        own = X[k].clone().requires_grad_()
        (model(own) ** 3).sum().backward()
        torch.testing.assert_close(x.grad[k], own.grad, **CLOSE)


def test_a_single_example_without_a_batch_is_left_to_pytorch():
    models = [nn.Conv1d(2, 3, 3).double() for _ in range(3)]
    together = stacked(models).forward(X[:, 0])
    for k, model in enumerate(models):
        torch.testing.assert_close(together[k], model(X[k, 0]), **CLOSE)


def test_the_courses_network_is_computed_so():
    template = stacked([CNN1D(), CNN1D()]).template
    kinds = [type(layer) for layer in (template.conv1, template.conv2, template.conv3)]
    assert kinds == [convolutions.StackedConv1d] * 3


def test_a_convolution_that_stands_for_a_stack_is_refused_outside_of_one():
    model = nn.Sequential(nn.Conv1d(2, 3, 3))
    convolutions.stack_convolutions(model)
    with pytest.raises(RuntimeError, match="stands for a stack of networks: call it in vmap"):
        model(torch.zeros(2, 2, 5))
