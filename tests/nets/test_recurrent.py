"""Recurrent cells against torch.nn; ablations, and starts."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.nets.ablations import HeldLSTM, TiedLSTM, Wiped
from helpers.nets.recurrent import GRU, LSTM, RNN, Cell
from helpers.nets.starts import chrono_, forget_bias_, gaussian_, identity_, orthogonal_

CELLS = {"RNN": (RNN, nn.RNN), "LSTM": (LSTM, nn.LSTM), "GRU": (GRU, nn.GRU)}
CLOSE = {"rtol": 0, "atol": 1e-12}
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
X = torch.randn(3, 11, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def pair(name: str, dtype=torch.float64, fused=True, inputs=2, hidden=4):
    """Our cell and torch's with the same weights."""
    torch.manual_seed(0)
    ours, theirs = CELLS[name][0](inputs, hidden), CELLS[name][1](inputs, hidden, batch_first=True)
    ours.load_state_dict(theirs.state_dict())
    ours.fused = fused
    return ours.to(dtype), theirs.to(dtype)


def build(cell: type[Cell], *args, **held) -> Cell:
    torch.manual_seed(0)
    return cell(2, 4, *args, **held).double()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CELLS)
def test_values_states_and_gradients_equal_torchs(name, dtype, fused, device):
    ours, theirs = (cell.to(device) for cell in pair(name, dtype, fused))
    inputs = [X.to(device, dtype).clone().requires_grad_() for _ in range(2)]
    (outputs, state), (expected, last) = ours.run(inputs[0]), theirs(inputs[1])
    weight = torch.randn(3, 11, 4, dtype=dtype, device=device)
    for result in (outputs, expected):
        (result * weight).mean().backward()
    close = {"rtol": 0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(outputs, expected, **close)
    for part, other in zip(state, last if name == "LSTM" else (last,), strict=True):
        torch.testing.assert_close(part, other[0], **close)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, **close)
    named = zip(ours.named_parameters(), theirs.named_parameters(), strict=True)
    for (key, one), (other_key, other) in named:
        assert key == other_key and one.grad.abs().max() > 0
        torch.testing.assert_close(one.grad, other.grad, **close)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.sampled_from(list(CELLS)), *(st.integers(1, 6) for _ in range(4)))
def test_any_size_equals_torchs(name, batch, time, inputs, hidden):
    x = torch.randn(batch, time, inputs, dtype=torch.float64)
    for fused in (True, False):
        ours, theirs = pair(name, torch.float64, fused, inputs, hidden)
        torch.testing.assert_close(ours(x), theirs(x)[0], **CLOSE)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_the_past_does_not_know_the_future_nor_a_sequence_its_neighbour(name, fused):
    cell, _ = pair(name, fused=fused)
    before = cell(X)
    for t in range(11):
        changed = X.clone()
        changed[1, t] += 1
        moved = (cell(changed) - before).abs().amax(2) > 0
        assert moved.tolist() == [[n == 1 and k >= t for k in range(11)] for n in range(3)]


@pytest.mark.parametrize("name", CELLS)
def test_weights_are_drawn_as_torch_draws_them(name):
    drawn = []
    for kind in CELLS[name]:
        torch.manual_seed(3)
        drawn.append(list(kind(20, 50).parameters()))
    assert all(map(torch.equal, *drawn))


# ---------------------------------------------------------------- state and gates


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_a_carried_state_continues_values_and_gradients_until_it_is_detached(name, fused):
    cell, _ = pair(name, fused=fused)
    whole, last = cell.run(X)
    whole_gradient = torch.autograd.grad(whole[:, -1].sum(), cell.weight_ih_l0)[0]
    state, outputs = None, []
    for x_t in X.split(1, dim=1):
        output, state = cell.run(x_t, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, **CLOSE)
    torch.testing.assert_close(state, last, **CLOSE)
    gradient = torch.autograd.grad(outputs[-1].sum(), cell.weight_ih_l0)[0]
    torch.testing.assert_close(gradient, whole_gradient)
    cut = tuple(part.detach() for part in cell.run(X[:, :6])[1])
    end = cell.run(X[:, 6:], cut)[0][:, -1].sum()
    assert not torch.allclose(torch.autograd.grad(end, cell.weight_ih_l0)[0], whole_gradient)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("RNN", {"hidden"}),
        ("LSTM", {"input", "forget", "candidate", "output", "hidden", "cell"}),
        ("GRU", {"reset", "update", "new", "hidden"}),
    ],
)
def test_watching_shows_all_gates_and_changes_nothing(name, names):
    cell, _ = pair(name)
    seen = cell.watch(X)
    assert set(seen) == names
    assert {tuple(values.shape) for values in seen.values()} == {(3, 11, 4)}
    assert not any(values.requires_grad for values in seen.values())
    torch.testing.assert_close(seen["hidden"], cell(X), **CLOSE)


@pytest.mark.parametrize("shape", [(4, 7), (4, 7, 4), (7,), (2, 4, 7, 2), (4, 0, 2)])
def test_inputs_and_states_of_another_shape_are_refused(shape):
    cell = build(LSTM)
    with pytest.raises(ValueError, match=r"LSTM was built for \(batch, time, 2\), the input has"):
        cell(torch.zeros(shape))
    _, state = cell.run(X)
    for x, other in ((X[:2], state), (X, state[:1])):
        with pytest.raises(ValueError, match="the state of this LSTM has shapes"):
            cell.run(x, other)


# ---------------------------------------------------------------- ablations


@pytest.mark.parametrize(
    "held",
    [
        {},
        *({gate: value} for gate in ("input", "forget", "output") for value in (0.3, 1.0)),
        {"input": 1.0, "forget": 1.0, "output": 1.0},
    ],
    ids=str,
)
def test_a_held_gate_has_that_value_in_torchs_equations_and_does_not_learn(held):
    """In torch's LSTM: a gate that reads nothing and whose bias is the logit of the value."""
    cell, theirs = build(HeldLSTM, **held), nn.LSTM(2, 4, batch_first=True).double()
    theirs.load_state_dict(cell.state_dict())
    with torch.no_grad():
        for gate, value in held.items():
            for weight in theirs.parameters():
                weight.chunk(4)[cell.gates.index(gate)].zero_()
            bias = theirs.bias_ih_l0.chunk(4)[cell.gates.index(gate)]
            bias.fill_(torch.logit(torch.tensor(value, dtype=torch.float64)))  # of 1: infinity
    outputs = cell(X)
    torch.testing.assert_close(outputs, theirs(X)[0], **CLOSE)
    outputs.sum().backward()
    learns = [block.norm() > 0 for block in cell.weight_hh_l0.grad.chunk(4)]
    assert learns == [gate not in held for gate in cell.gates]


def test_a_tied_input_gate_is_what_the_forget_gate_leaves():
    seen = build(TiedLSTM).watch(X)
    assert torch.equal(seen["input"], 1 - seen["forget"])
    before = nn.functional.pad(seen["cell"], (0, 0, 1, 0))[:, :-1]
    average = seen["forget"] * before + seen["input"] * seen["candidate"]
    torch.testing.assert_close(seen["cell"], average)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"forgt": 1.0}, "no gate 'forgt' to hold: choose input, forget or output"),
        ({"candidate": 1.0}, "no gate 'candidate' to hold"),
        ({"forget": 1.5}, "forget is 1.5: use a finite number from 0 to 1"),
        ({"input": math.nan}, "input is nan"),
    ],
)
def test_gates_that_cannot_be_held(held, message):
    with pytest.raises(ValueError, match=message):
        HeldLSTM(2, 4, **held)


@pytest.mark.parametrize("every", [1, 3, 4, 11, 50])
@pytest.mark.parametrize("name", CELLS)
def test_wiping_equals_separate_sequences(name, every):
    cell, _ = pair(name)
    separate = torch.cat([cell(piece) for piece in X.split(every, dim=1)], dim=1)
    torch.testing.assert_close(Wiped(cell, every)(X), separate, **CLOSE)


def test_what_cannot_be_wiped():
    for every in (0, -1, 2.5, None):
        with pytest.raises(ValueError, match=f"every is {every}: "):
            Wiped(RNN(2, 4), every)
    wiped = Wiped(build(RNN), 4)
    with pytest.raises(ValueError, match="wiped before its first step: run it without a state"):
        wiped.run(X, wiped.cell.run(X)[1])
    with pytest.raises(ValueError, match=r"built for \(batch, time, 2\)"):
        wiped(X[0])


# ---------------------------------------------------------------- starts


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_orthogonal_weights_turn_the_state(name, gain):
    before, _ = pair(name)
    after = orthogonal_(copy.deepcopy(before), gain)
    for block in after.weight_hh_l0.chunk(len(before.gates)):
        torch.testing.assert_close(block.T @ block, gain**2 * torch.eye(4).double())
    assert torch.equal(after.weight_ih_l0, before.weight_ih_l0)
    assert torch.equal(after.bias_hh_l0, before.bias_hh_l0) and after.weight_hh_l0.requires_grad


@pytest.mark.parametrize("start", [orthogonal_, identity_])
def test_starts_have_gain_one_unless_another_is_given(start):
    weights = start(build(RNN)).weight_hh_l0
    torch.testing.assert_close(torch.linalg.svdvals(weights), torch.ones(4).double())


def test_every_turn_is_equally_likely():
    """The trace of a random orthogonal matrix has mean 0 and variance 1."""
    torch.manual_seed(0)
    traces = torch.stack([orthogonal_(RNN(1, 4)).weight_hh_l0.trace() for _ in range(400)])
    assert traces.mean().item() == pytest.approx(0, abs=4 / 400**0.5)
    assert traces.var().item() == pytest.approx(1, abs=0.3)


def test_gaussian_weights_have_the_spectral_radius_of_their_gain():
    torch.manual_seed(0)
    weights = gaussian_(RNN(1, 400), 1.5).weight_hh_l0
    assert torch.linalg.eigvals(weights).abs().max().item() == pytest.approx(1.5, rel=0.1)


def test_gaussian_weights_have_gain_one_unless_another_is_given():
    one, same = ([torch.manual_seed(0), gaussian_(RNN(1, 4), *gain)][1] for gain in ((), (1.0,)))
    assert torch.equal(one.weight_hh_l0, same.weight_hh_l0)


def test_identity_weights_without_input_keep_the_state():
    cell = identity_(build(RNN))
    assert torch.equal(cell.weight_hh_l0, torch.eye(4).double())
    state = (torch.full((1, 4), 1e-3).double(),)
    _, after = cell.run(torch.zeros(1, 5, 2).double(), state)
    torch.testing.assert_close(after[0], state[0], rtol=1e-5, atol=0)
    with pytest.raises(TypeError, match="identity_ starts an RNN, not an LSTM"):
        identity_(LSTM(2, 4))


@pytest.mark.parametrize(("cell", "gate"), [(LSTM, "forget"), (GRU, "update")])
@pytest.mark.parametrize("value", [1.0, -2.0])
def test_forget_bias_is_the_sum_of_both_biases(cell, gate, value):
    before = build(cell)
    after = forget_bias_(copy.deepcopy(before), value)
    total, old = ((c.bias_ih_l0 + c.bias_hh_l0).chunk(len(cell.gates)) for c in (after, before))
    for name, now, then in zip(cell.gates, total, old, strict=True):
        assert torch.equal(now, torch.full_like(now, value) if name == gate else then)


@pytest.mark.slow
def test_chrono_biases_spread_over_the_lags():
    torch.manual_seed(0)
    lstm = chrono_(LSTM(1, 2000), 100)
    i, f, *_ = (lstm.bias_ih_l0 + lstm.bias_hh_l0).chunk(4)
    assert torch.equal(i, -f) and f.min() >= 0 and f.max() <= math.log(99)
    u = f.exp()  # uniform in [1, 99]
    assert u.mean().item() == pytest.approx(50, rel=0.05)
    assert u.std().item() == pytest.approx(98 / 12**0.5, rel=0.05)
    gru = chrono_(GRU(1, 2000), 100)
    reset, z, new = (gru.bias_ih_l0 + gru.bias_hh_l0).chunk(3)
    assert z.min() >= 0 and z.exp().mean().item() == pytest.approx(50, rel=0.05)
    assert max(reset.abs().max(), new.abs().max()) <= 2 * 2000**-0.5


@pytest.mark.parametrize("longest", [1, 0, math.nan, math.inf])
def test_chrono_needs_a_lag(longest):
    with pytest.raises(ValueError, match=r"longest is .*: use a finite number from 2 on"):
        chrono_(LSTM(1, 2), longest)


@pytest.mark.parametrize("start", [lambda c: forget_bias_(c, 1.0), lambda c: chrono_(c, 9)])
def test_a_cell_without_gates_has_no_gate_bias(start):
    with pytest.raises(TypeError, match="RNN has no gate that keeps its state: use LSTM or GRU"):
        start(RNN(2, 4))
