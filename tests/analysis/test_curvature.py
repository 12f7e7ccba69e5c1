"""Curvature by products alone against the Hessian written out."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.analysis.curvature import descend, hessian_product, sharpness
from helpers.data.streams import stream
from helpers.nets.starts import initialise


def quadratic(curvatures, start=1.0):
    """A bowl 1/2 sum c w^2 as (weights, loss)."""
    c = torch.tensor(curvatures, dtype=torch.float64)
    w = torch.full_like(c, start).requires_grad_()
    return w, lambda: 0.5 * (c * w.square()).sum()


def small_net(dtype=torch.float64):
    model = initialise(lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), 0)
    random = stream(0, "data")
    x, y = torch.randn(20, 4, generator=random).to(dtype), torch.arange(20) % 3
    return (model := model.to(dtype)), lambda: F.cross_entropy(model(x), y)


def dense_hessian(model, loss):
    weights = list(model.parameters())
    gradient = torch.autograd.grad(loss(), weights, create_graph=True)
    flat = torch.cat([g.flatten() for g in gradient])
    rows = [
        torch.autograd.grad(g, weights, retain_graph=True, materialize_grads=True) for g in flat
    ]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def test_product_equals_the_dense_hessian():
    model, loss = small_net()
    hessian = dense_hessian(model, loss)
    direction = torch.randn(len(hessian), generator=stream(1, "d"), dtype=torch.float64)
    product = hessian_product(loss, list(model.parameters()), direction)
    torch.testing.assert_close(product, hessian @ direction, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sharpness_is_the_largest_eigenvalue(dtype):
    model, loss = small_net(dtype)
    expected = torch.linalg.eigvalsh(dense_hessian(model, loss))[-1].item()
    before = [p.clone() for p in model.parameters()]
    assert sharpness(loss, model.parameters()) == pytest.approx(expected, rel=1e-3)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize(
    "curvatures, expected", [([3.0], 3.0), ([1.0, 7.0, 2.0], 7.0), ([-9.0, 2.0, 1.0], 2.0)]
)
def test_sharpness_of_a_bowl_and_of_a_saddle(curvatures, expected):
    w, loss = quadratic(curvatures)
    idle = torch.ones(3, dtype=torch.float64, requires_grad=True)  # plays no part
    assert sharpness(loss, [w]) == pytest.approx(expected, rel=1e-3)
    assert sharpness(loss, [w, idle]) == pytest.approx(expected, rel=1e-3)


def test_sharpness_of_diverged_weights_is_refused():
    w, loss = quadratic([1.0, 7.0], start=math.nan)
    broken = lambda: loss() * w.sum()  # noqa: E731
    with pytest.raises(ValueError, match="diverged"):
        sharpness(broken, [w])


@pytest.mark.parametrize("lr, grows", [(0.99 * 2 / 7, False), (1.01 * 2 / 7, True)])
def test_descend_is_stable_up_to_two_over_sharpness(lr, grows):
    w, _ = quadratic([1.0, 7.0])
    model = nn.Module()
    model.w = nn.Parameter(w.detach())
    seen = descend(model, lambda: 0.5 * (torch.tensor([1.0, 7.0]) * model.w**2).sum(), lr, 300, 100)
    assert seen["step"] == [0, 100, 200, 300]
    assert seen["sharpness"] == pytest.approx([7.0] * 4, rel=1e-3)
    assert (seen["loss"][-1] > seen["loss"][0]) == grows


def test_descend_ends_when_the_loss_is_not_finite():
    w, _ = quadratic([1.0, 7.0])
    model = nn.Module()
    model.w = nn.Parameter(w.detach())
    seen = descend(model, lambda: model.w.pow(4).sum(), 10.0, 300, 1)
    assert 1 <= len(seen["step"]) < 300 and all(map(math.isfinite, seen["loss"]))
