"""Dropout by its mask, against torch and against its moments; dropout over time; shifts."""

import pytest
import torch
from torch import nn
from zoo import noise

from helpers.nets.dropout import Dropout, DropoutError, DropoutLSTM, RandomShift, dropout_mask
from helpers.nets.recurrent import LSTM
from helpers.nets.sequences import LastStep
from helpers.training.many import fit_many

PLACES = DropoutLSTM.places


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
    with pytest.raises(DropoutError):
        DropoutLSTM(2, 3, p)


@pytest.mark.parametrize("where", PLACES)
def test_without_dropping_it_is_an_lstm(where):
    torch.manual_seed(0)
    cell, plain = DropoutLSTM(2, 3, 0.5, where), LSTM(2, 3)
    plain.load_state_dict(cell.state_dict())
    x = torch.randn(4, 5, 2)
    torch.testing.assert_close(cell.eval()(x), plain(x))
    cell.train().p = 0.0
    torch.testing.assert_close(cell(x), plain(x))


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("where", PLACES)
def test_masks_act_where_and_when_they_should(where, fresh):
    """Against the LSTM written out, with the masks that the same seed draws."""
    torch.manual_seed(0)
    cell, x = DropoutLSTM(2, 3, 0.5, where, fresh), torch.randn(4, 5, 2)
    torch.manual_seed(1)
    masks = dropout_mask((5 if fresh else 1, 4, 2 if where == "input" else 3), 0.5, x)
    torch.manual_seed(1)
    ours = cell(x)
    h = c = torch.zeros(4, 3)
    for t in range(5):
        mask = masks[t if fresh else 0]
        seen = x[:, t] * mask if where == "input" else x[:, t]
        heard = h * mask if where == "hidden" else h
        carried = c * mask if where == "cell" else c
        gates = seen @ cell.weight_ih_l0.T + heard @ cell.weight_hh_l0.T
        i, f, g, o = (gates + cell.bias_ih_l0 + cell.bias_hh_l0).chunk(4, -1)
        written = torch.sigmoid(i) * torch.tanh(g) * (mask if where == "candidate" else 1)
        c = torch.sigmoid(f) * carried + written
        h = torch.sigmoid(o) * torch.tanh(c)
        torch.testing.assert_close(ours[:, t], h)


@pytest.mark.parametrize("where", PLACES)
def test_dropout_over_time_trains_in_a_stack(where):
    build = lambda: LastStep(DropoutLSTM(2, 4, 0.2, where), 3)  # noqa: E731
    how = {"steps": 3, "lr": 0.01, "batch_size": 8, "n_jobs": 1, "pack": 2}
    runs = fit_many({"a": build}, noise((5, 2), torch.float32), seeds=[0, 1], **how)
    assert runs.final("train_loss").notna().all().all()


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


def test_another_place_and_no_shift_are_refused():
    with pytest.raises(ValueError, match="input, hidden, cell, candidate"):
        DropoutLSTM(2, 3, 0.1, "gate")
    with pytest.raises(ValueError, match="use 1 or more"):
        RandomShift(0)
