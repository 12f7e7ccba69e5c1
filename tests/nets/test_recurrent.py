"""Recurrent cells against torch.nn, against one number at a time, and against time's arrow."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import LastStep

CELLS = {"RNN": (RNN, nn.RNN), "LSTM": (LSTM, nn.LSTM), "GRU": (GRU, nn.GRU)}
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def pair(name: str, dtype: torch.dtype, fused: bool, inputs: int = 3, hidden: int = 5):
    """Our cell and torch's with the same weights."""
    torch.manual_seed(0)
    ours, theirs = (
        CELLS[name][0](inputs, hidden, fused),
        CELLS[name][1](inputs, hidden, batch_first=True),
    )
    ours.load_state_dict(theirs.state_dict())
    return ours.to(dtype), theirs.to(dtype)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_equal_torchs(name, dtype, fused, device):
    ours, theirs = (cell.to(device) for cell in pair(name, dtype, fused))
    x = torch.randn(4, 7, 3, dtype=dtype, device=device)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    results = [ours(inputs[0]), theirs(inputs[1])[0]]
    weight = torch.randn(4, 7, 5, dtype=dtype, device=device)
    for result in results:
        (result * weight).mean().backward()
    close = {"rtol": 0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(*results, **close)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, **close)
    for (key, one), (other_key, other) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert key == other_key and one.grad.abs().max() > 0
        torch.testing.assert_close(one.grad, other.grad, **close)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.sampled_from(list(CELLS)), *(st.integers(1, 6) for _ in range(4)))
def test_any_size_equals_torchs(name, batch, time, inputs, hidden):
    x = torch.randn(batch, time, inputs, dtype=torch.float64)
    for fused in (True, False):
        ours, theirs = pair(name, torch.float64, fused, inputs, hidden)
        torch.testing.assert_close(ours(x), theirs(x)[0], rtol=0, atol=1e-12)


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def one_number_at_a_time(name: str, w: dict[str, torch.Tensor], x: list[list[float]]) -> list:
    """Outputs of one sequence from the equations, with no tensor in sight."""
    ih, hh = w["weight_ih_l0"].tolist(), w["weight_hh_l0"].tolist()
    bi, bh = w["bias_ih_l0"].tolist(), w["bias_hh_l0"].tolist()
    size = len(hh[0])
    h, c, outputs = [0.0] * size, [0.0] * size, []
    for at_t in x:
        a = [
            sum(p * q for p, q in zip(row, at_t, strict=True)) + b
            for row, b in zip(ih, bi, strict=True)
        ]
        r = [
            sum(p * q for p, q in zip(row, h, strict=True)) + b
            for row, b in zip(hh, bh, strict=True)
        ]
        new = []
        for k in range(size):
            if name == "RNN":
                new.append(math.tanh(a[k] + r[k]))
            elif name == "LSTM":
                i, f, g, o = (a[k + n * size] + r[k + n * size] for n in range(4))
                c[k] = sigmoid(f) * c[k] + sigmoid(i) * math.tanh(g)
                new.append(sigmoid(o) * math.tanh(c[k]))
            else:
                reset, z = (sigmoid(a[k + n * size] + r[k + n * size]) for n in range(2))
                n = math.tanh(a[k + 2 * size] + reset * r[k + 2 * size])
                new.append((1 - z) * n + z * h[k])
        h = new
        outputs.append(h)
    return outputs


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_the_equations_one_number_at_a_time(name, fused):
    cell, _ = pair(name, torch.float64, fused, inputs=2, hidden=3)
    x = torch.randn(1, 4, 2, dtype=torch.float64)
    expected = one_number_at_a_time(name, cell.state_dict(), x[0].tolist())
    torch.testing.assert_close(
        cell(x)[0].detach(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_the_past_does_not_know_the_future(name, fused):
    cell, _ = pair(name, torch.float64, fused)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    before = cell(x)
    for t in range(6):
        changed = x.clone()
        changed[:, t] += 1
        moved = (cell(changed) - before).abs().amax((0, 2)) > 0
        assert moved.tolist() == [k >= t for k in range(6)]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_sequences_of_a_batch_do_not_mix(name, fused):
    cell, _ = pair(name, torch.float64, fused)
    x = torch.randn(3, 4, 3, dtype=torch.float64)
    for k in range(3):
        torch.testing.assert_close(cell(x)[k], cell(x[k : k + 1])[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", CELLS)
def test_weights_are_drawn_as_torch_draws_them(name):
    torch.manual_seed(3)
    ours = CELLS[name][0](20, 50)
    torch.manual_seed(3)
    theirs = CELLS[name][1](20, 50)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
        assert 0.9 * 50**-0.5 < one.abs().max() <= 50**-0.5


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("shape", [(4, 7), (4, 7, 4), (7,), (2, 4, 7, 3)])
def test_inputs_of_another_shape_are_refused(shape, fused):
    with pytest.raises(
        ValueError, match=r"LSTM was built for \(batch, time, 3\), the input has"
    ) as e:
        LSTM(3, 5, fused)(torch.zeros(shape))
    assert str(shape) in str(e.value)


@pytest.mark.parametrize(("inputs", "hidden"), [(0, 5), (3, 0), (-1, 5)])
def test_cells_without_units_are_refused(inputs, hidden):
    with pytest.raises(ValueError, match=f"a cell of {inputs} inputs and {hidden} hidden units"):
        GRU(inputs, hidden)


@pytest.mark.parametrize("name", CELLS)
def test_a_classifier_reads_the_last_state(name):
    torch.manual_seed(0)
    cell = CELLS[name][0](3, 5)
    model, x = LastStep(cell, 4), torch.randn(2, 6, 3)
    assert torch.equal(model(x), model.head(cell(x)[:, -1])) and model(x).shape == (2, 4)


@pytest.mark.parametrize("fused", [True, False])
def test_half_precision_and_evaluation_mode_work(fused):
    cell = LSTM(3, 5, fused).eval()
    with torch.no_grad():
        assert cell(torch.randn(2, 4, 3)).shape == (2, 4, 5)
    assert repr(cell) == "LSTM(3, 5)"
