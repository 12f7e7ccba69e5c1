"""Looking inside a network, against closed forms and autograd."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.analysis.diagnostics import (
    ablation_drops,
    accuracy_by_class,
    central_differences,
    class_means,
    class_selectivity,
    detectors,
    edge_share,
    gaussian_derivatives,
    receptive_field,
    relative_move,
    shift,
)

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
SOBEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def votes(features: Tensor) -> Tensor:
    """A classifier whose logit of class k is the mean of channel k."""
    return features.mean(dim=(2, 3))


def lit(labels: list[int]) -> tuple[Tensor, Tensor]:
    """Features (n, 3, 2, 2) whose channel `label` is 1 and whose others are 0.25; the labels."""
    y = torch.tensor(labels)
    return (F.one_hot(y, 3) * 0.75 + 0.25)[:, :, None, None].expand(-1, -1, 2, 2), y


# ---------------------------------------------------------------- filters


def test_sobel_lies_close_to_a_gaussian_derivative():
    sigma = math.sqrt(1 / (2 * math.log(2)))  # where the corner is half of the side, as in Sobel's
    assert edge_share(SOBEL[None], [sigma]).item() == pytest.approx(1)
    assert edge_share(SOBEL[None]).item() > 0.98
    assert (gaussian_derivatives(3, 1.0)[0] * SOBEL).sum() < 0  # the same axis, other sign


@pytest.mark.slow
@EXAMPLES
@given(
    size=st.sampled_from([3, 5, 7]),
    sigma=st.sampled_from([0.7, 1.0, 1.5, 2.0]),
    angle=st.floats(0, 2 * math.pi),
    scale=st.floats(1e-3, 1e3),
)
def test_an_edge_detector_of_any_direction_and_contrast_scores_one(size, sigma, angle, scale):
    across, down = gaussian_derivatives(size, sigma)
    mix = scale * (math.cos(angle) * across + math.sin(angle) * down)
    assert edge_share(torch.stack([mix, -mix])).tolist() == pytest.approx([1, 1])


def test_a_blur_a_spot_and_a_bar_detect_no_edge():
    blur = torch.ones(3, 3)
    spot = torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]])
    bar = torch.tensor([[-1.0, 2, -1]] * 3)
    nothing = torch.zeros(3, 3)
    shares = edge_share(torch.stack([blur, spot, bar, nothing]))
    assert shares.tolist() == pytest.approx([0] * 4, abs=1e-15)


def test_a_random_filter_scores_a_quarter():
    filters = torch.randn(20_000, 3, 3, generator=torch.Generator().manual_seed(0))
    shares = edge_share(filters, [1.0])  # Beta(1, 3): mean 1/4, variance 3/80
    standard_error = math.sqrt(3 / 80 / len(filters))
    assert shares.mean().item() == pytest.approx(1 / 4, abs=4 * standard_error)


def test_relative_move_is_a_ratio_of_norms():
    before = torch.tensor([[3.0, 0], [0, 4]])
    assert relative_move(before, before) == 0
    assert relative_move(before, -before) == 2
    assert relative_move(before, before + torch.tensor([[0, 0.3], [0.4, 0]])) == pytest.approx(0.1)


# ---------------------------------------------------------------- receptive field and shifts


@pytest.mark.parametrize(
    ("layers", "side"),
    [
        ([nn.Conv2d(1, 2, 3)], 3),
        ([nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3), nn.AvgPool2d(2)], 10),
        ([nn.Conv2d(1, 2, 5, stride=2), nn.Conv2d(2, 2, 3)], 9),
        ([nn.Conv2d(1, 2, 3, dilation=3)], 7),
    ],
)
def test_receptive_field_has_the_side_of_the_arithmetic(layers, side):
    torch.manual_seed(0)
    field = receptive_field(nn.Sequential(*layers), torch.randn(2, 1, 28, 28))
    rows, columns = field.nonzero(as_tuple=True)
    assert field.shape == (28, 28)
    assert [int(v.max() - v.min()) + 1 for v in (rows, columns)] == [side, side]


def test_receptive_field_is_the_absolute_gradient_averaged():
    conv, x = nn.Conv2d(2, 1, 3, bias=False), torch.randn(4, 2, 5, 5)
    field = receptive_field(conv, x)
    expected = F.pad(conv.weight[0].abs().mean(0), (1, 1, 1, 1)).detach()
    torch.testing.assert_close(field, expected)
    assert not x.requires_grad and conv.weight.grad is None


offsets = st.integers(-7, 7)


@EXAMPLES
@given(right=offsets, down=offsets)
def test_shift_moves_the_picture_and_fills_with_background(right, down):
    images = torch.arange(2.0 * 5 * 6).reshape(2, 1, 5, 6) - 10
    moved = shift(images, right, down)
    least = images.amin((-2, -1), keepdim=True)
    around = F.pad(images - least, (7, 7, 7, 7)) + least
    assert torch.equal(moved, around[..., 7 - down : 12 - down, 7 - right : 13 - right])


# ---------------------------------------------------------------- what single channels do


def test_accuracy_by_class_counts_within_each_class():
    logits, _ = lit([0, 0, 0, 1, 1, 2])
    shares = accuracy_by_class(votes(logits), torch.tensor([0, 0, 1, 1, 1, 1]))
    assert shares.tolist() == pytest.approx([1, 0.5, math.nan], nan_ok=True)


def test_ablating_the_voter_of_a_class_costs_that_class_alone():
    features, y = lit([0, 1, 2, 2])
    before = features.clone()
    assert torch.equal(ablation_drops(votes, features, y), torch.eye(3))
    assert torch.equal(features, before)


def test_class_means_have_a_row_per_channel_and_a_column_per_class():
    features, y = lit([0, 1, 1, 2])
    scaled = features * torch.tensor([4.0, 1, 1])[:, None, None] * torch.tensor([[0, 1], [1, 2.0]])
    expected = [[4, 1, 1], [0.25, 1, 0.25], [0.25, 0.25, 1]]
    torch.testing.assert_close(class_means(scaled, y), torch.tensor(expected))


@pytest.mark.parametrize(
    ("means", "selectivity"),
    [
        ([2, 2, 2, 2], 0),
        ([0, 0, 3, 0], 1),
        ([3, 1, 1, 1], 0.5),
        ([4, 3, 1, 2], (4 - 2) / (4 + 2)),
        ([0, 0, 0, 0], float("nan")),
    ],
)
def test_class_selectivity_follows_its_formula(means, selectivity):
    found = class_selectivity(torch.tensor([means, means], dtype=torch.float64))
    assert found.tolist() == pytest.approx([selectivity] * 2, nan_ok=True)


# ---------------------------------------------------------------- gradients


@EXAMPLES
@given(seed=st.integers(0, 9999), layer=st.sampled_from([0, 2]))
def test_central_differences_equal_autograd(seed, layer):
    random = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Conv2d(2, 1, 2)).double()
    for weight in model.parameters():
        nn.init.normal_(weight, generator=random)
    x = torch.randn(2, 1, 4, 4, generator=random, dtype=torch.float64)
    parameter = model[layer].weight
    before = parameter.detach().clone()

    numerical = central_differences(lambda: model(x).square().mean(), parameter)
    (exact,) = torch.autograd.grad(model(x).square().mean(), parameter)
    torch.testing.assert_close(numerical, exact, rtol=1e-6, atol=1e-8)
    assert torch.equal(parameter, before)


def planted(channels: int = 10, per_class: int = 20) -> tuple[Tensor, Tensor]:
    """Features in which channel k is active for class k alone, and the labels."""
    y = torch.arange(10).repeat_interleave(per_class)
    return F.one_hot(y, channels).float()[:, :, None, None], y


def test_planted_detectors_are_found_and_shared_channels_are_not():
    features, y = planted()

    def classify(features):
        return features.flatten(1) + torch.tensor([0.5] + [0.0] * 9)  # class 0 needs no channel

    selective, needed = detectors(features, y, ablation_drops(classify, features, y))
    assert selective.all()
    assert needed.tolist() == [False] + [True] * 9


def test_a_dead_channel_is_no_detector_whatever_it_costs():
    features, y = planted(channels=11)
    selective, needed = detectors(features, y, torch.eye(11)[:, :10])
    assert not selective[10] and not needed[10] and needed[:10].all()
    all_cost = torch.zeros(11, 10)
    all_cost[:, 0] = 1.0
    assert detectors(features, y, all_cost)[1].tolist() == [True] + [False] * 10
