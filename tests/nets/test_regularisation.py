"""Dropout by its mask, against torch and against its moments; shifts."""

import pytest
import torch
from torch import nn

from helpers.nets.dropout import Dropout, DropoutError, RandomShift


@pytest.mark.parametrize("p", [0.0, 0.1, 0.3, 0.5, 0.8])
def test_dropout_has_the_two_values_and_the_share_of_torchs(p):
    torch.manual_seed(0)
    x = torch.ones(200_000)
    for layer in (Dropout(p), nn.Dropout(p)):
        y = layer(x)
        values = [1.0] if p == 0 else [0.0, 1 / (1 - p)]
        torch.testing.assert_close(y.unique(), torch.tensor(values))
        assert (y == 0).float().mean() == pytest.approx(p, abs=0.005)
        assert y.mean() == pytest.approx(1, abs=0.01)
        assert torch.equal(layer.eval()(x), x)


def test_a_bare_mask_keeps_values_and_loses_the_mean():
    torch.manual_seed(0)
    y = Dropout(0.3, scale=False)(torch.ones(200_000))
    assert y.unique().tolist() == [0.0, 1.0]
    assert y.mean() == pytest.approx(0.7, abs=0.005)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_a_probability_outside_0_to_1_is_refused(p):
    with pytest.raises(DropoutError, match="chance of a unit to be dropped"):
        Dropout(p)


def test_shifts_move_whole_images_by_whole_pixels():
    torch.manual_seed(0)
    image = torch.zeros(200, 1, 7, 7)
    image[:, :, 3, 3] = 1
    moved = RandomShift(2)(image)
    places = moved.flatten(1).argmax(1)
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(200))
    assert {int(p) // 7 for p in places} == {int(p) % 7 for p in places} == {1, 2, 3, 4, 5}
    assert torch.equal(RandomShift(2).eval()(image), image)


def test_what_enters_repeats_the_edge():
    torch.manual_seed(0)
    image = torch.arange(4.0).expand(50, 1, 4, 4)
    rows = {tuple(row) for row in RandomShift(1)(image)[:, 0, 0].tolist()}
    assert rows == {(0, 0, 1, 2), (0, 1, 2, 3), (1, 2, 3, 3)}
