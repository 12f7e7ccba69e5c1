"""What a recurrent cell can be told to do: start, carry on, forget, and show its gates."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.nets.recurrent import GRU, LSTM, RNN, Cell
from helpers.nets.sequences import CausalCNN, LastStep, Layers
from helpers.nets.starts import chrono_, forget_bias_, gaussian_, identity_, orthogonal_
from helpers.training.engine.stacking import Stack

CELLS = [RNN, LSTM, GRU]
X = torch.randn(3, 11, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
OPTIONS = {
    "RNN wiped": lambda: RNN(2, 4, wipe_every=3),
    "LSTM wiped": lambda: LSTM(2, 4, wipe_every=4),
    "GRU wiped at every step": lambda: GRU(2, 4, wipe_every=1),
    "LSTM f = 1": lambda: LSTM(2, 4, clamp={"forget": 1.0}),
    "LSTM i = o = 1": lambda: LSTM(2, 4, clamp={"input": 1.0, "output": 1.0}),
    "LSTM tied": lambda: LSTM(2, 4, tied=True),
    "GRU r = 1": lambda: GRU(2, 4, clamp={"reset": 1.0}),
    "GRU wiped and clamped": lambda: GRU(2, 4, wipe_every=5, clamp={"update": 0.5}),
    "RNN orthogonal": lambda: orthogonal_(RNN(2, 4)),
    "RNN identity": lambda: identity_(RNN(2, 4)),
    "LSTM forget bias": lambda: forget_bias_(LSTM(2, 4), 1.0),
    "GRU chrono": lambda: chrono_(GRU(2, 4), 20),
    "two layers": lambda: Layers(LSTM(2, 4, wipe_every=4), GRU(4, 4)),
}


def build(cell: type[Cell], **options) -> Cell:
    torch.manual_seed(0)
    return cell(2, 4, **options).double()


def lstm_by_hand(cell: LSTM, x: Tensor, i: float | None, f: float | None, o: float | None):
    """Hidden states of one sequence (time, 2), gate by gate and with gates replaced."""
    w, u = cell.weight_ih_l0.chunk(4), cell.weight_hh_l0.chunk(4)
    b = (cell.bias_ih_l0 + cell.bias_hh_l0).chunk(4)
    h, c, outputs = torch.zeros(4).double(), torch.zeros(4).double(), []
    for x_t in x:
        z = [w[k] @ x_t + u[k] @ h + b[k] for k in range(4)]
        gate_i, gate_f, gate_o = (torch.sigmoid(z[k]) for k in (0, 1, 3))
        gate_i, gate_f, gate_o = (
            own if held is None else held for own, held in ((gate_i, i), (gate_f, f), (gate_o, o))
        )
        c = gate_f * c + gate_i * torch.tanh(z[2])
        h = gate_o * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)


# ---------------------------------------------------------------- clamped and tied gates


@pytest.mark.parametrize(
    ("gate", "letter"), [("input", "i"), ("forget", "f"), ("output", "o")], ids=str
)
@pytest.mark.parametrize("value", [1.0, 0.3])
def test_a_clamped_gate_has_that_value_in_the_equations(gate, letter, value):
    cell = build(LSTM, clamp={gate: value})
    held = {"i": None, "f": None, "o": None} | {letter: value}
    torch.testing.assert_close(cell(X)[1], lstm_by_hand(cell, X[1], **held), rtol=0, atol=1e-12)


def test_without_clamp_the_equations_by_hand_agree_too():
    cell = build(LSTM)
    expected = lstm_by_hand(cell, X[1], None, None, None)
    torch.testing.assert_close(cell(X)[1], expected, rtol=0, atol=1e-12)


def test_with_every_gate_open_the_cell_sums_its_candidates():
    seen = build(LSTM, clamp={"input": 1.0, "forget": 1.0, "output": 1.0}).watch(X)
    torch.testing.assert_close(seen["cell"], seen["candidate"].cumsum(1))
    torch.testing.assert_close(seen["hidden"], seen["cell"].tanh())


def test_a_tied_input_gate_is_what_the_forget_gate_leaves():
    seen = build(LSTM, tied=True).watch(X)
    torch.testing.assert_close(seen["input"] + seen["forget"], torch.ones_like(seen["cell"]))
    before = F.pad(seen["cell"], (0, 0, 1, 0))[:, :-1]
    average = seen["forget"] * before + seen["input"] * seen["candidate"]
    torch.testing.assert_close(seen["cell"], average)


def test_a_gru_without_reset_and_one_that_never_updates():
    cell = build(GRU, clamp={"reset": 1.0})
    w, u = cell.weight_ih_l0, cell.weight_hh_l0
    b = cell.bias_ih_l0 + cell.bias_hh_l0
    h, outputs = torch.zeros(4).double(), []
    for x_t in X[0]:
        z, n = (w @ x_t + u @ h + b)[4:].chunk(2)
        h = (1 - z.sigmoid()) * n.tanh() + z.sigmoid() * h
        outputs.append(h)
    torch.testing.assert_close(cell(X)[0], torch.stack(outputs), rtol=0, atol=1e-12)
    assert (build(GRU, clamp={"update": 1.0})(X) == 0).all()


@pytest.mark.parametrize("gate", ["input", "forget", "output"])
def test_the_weights_of_a_clamped_gate_get_no_gradient(gate):
    cell = build(LSTM, clamp={gate: 1.0})
    cell(X).sum().backward()
    silent = cell.gates.index(gate)
    norms = [block.norm() for block in cell.weight_hh_l0.grad.chunk(4)]
    assert [norm > 0 for norm in norms] == [k != silent for k in range(4)]


def test_a_finished_cell_can_be_clamped_and_released():
    cell = build(LSTM)
    free = cell(X)
    cell.clamp = {"forget": 0.0}
    torch.testing.assert_close(cell(X)[1], lstm_by_hand(cell, X[1], None, 0.0, None))
    cell.clamp = {}
    assert torch.equal(cell(X), free)


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        (LSTM, {"clamp": {"forgt": 1.0}}, "LSTM cannot clamp 'forgt'; its gates: input, forget"),
        (GRU, {"clamp": {"forget": 1.0}}, "GRU cannot clamp 'forget'; its gates: reset, update"),
        (RNN, {"clamp": {"hidden": 1.0}}, "RNN cannot clamp 'hidden'; its gates: none"),
        (LSTM, {"clamp": {"forget": 1.5}}, "forget gate clamped at 1.5: a gate is between 0 and 1"),
        (LSTM, {"clamp": {"input": math.nan}}, "input gate clamped at nan"),
        (LSTM, {"clamp": {"input": 1.0}, "tied": True}, "tied to the forget gate"),
        (RNN, {"wipe_every": 0}, "wipe_every is 0: use a whole number of steps"),
        (GRU, {"wipe_every": 2.5}, "wipe_every is 2.5"),
    ],
)
def test_options_that_cannot_be(cell, options, message):
    with pytest.raises(ValueError, match=message):
        cell(2, 4, **options)


def test_options_set_later_are_checked_too():
    cell = build(LSTM)
    cell.clamp = {"remember": 1.0}
    with pytest.raises(ValueError, match="cannot clamp 'remember'"):
        cell(X)
    cell.clamp, cell.wipe_every = {}, -1
    with pytest.raises(ValueError, match="wipe_every is -1"):
        cell(X)


# ---------------------------------------------------------------- watching


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (RNN, {"hidden"}),
        (LSTM, {"input", "forget", "candidate", "output", "hidden", "cell"}),
        (GRU, {"reset", "update", "new", "hidden"}),
    ],
)
@pytest.mark.parametrize("wipe_every", [None, 4])
def test_watching_shows_all_gates_and_changes_nothing(cell, names, wipe_every):
    cell = build(cell, wipe_every=wipe_every)
    seen = cell.watch(X)
    assert set(seen) == names
    assert {tuple(values.shape) for values in seen.values()} == {(3, 11, 4)}
    assert not any(values.requires_grad for values in seen.values())
    torch.testing.assert_close(seen["hidden"], cell(X), rtol=0, atol=1e-12)


def test_watched_lstm_gates_satisfy_its_two_equations():
    seen = build(LSTM).watch(X)
    before = F.pad(seen["cell"], (0, 0, 1, 0))[:, :-1]
    cell = seen["forget"] * before + seen["input"] * seen["candidate"]
    torch.testing.assert_close(seen["cell"], cell)
    torch.testing.assert_close(seen["hidden"], seen["output"] * cell.tanh())


# ---------------------------------------------------------------- carrying the state on


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_one_token_at_a_time_equals_the_whole_sequence(cell, fused, dtype, atol):
    cell, x = build(cell, fused=fused).to(dtype), X.to(dtype)
    whole, last = cell.run(x)
    state, outputs = None, []
    for x_t in x.split(1, dim=1):
        output, state = cell.run(x_t, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=0, atol=atol)
    for ours, theirs in zip(state, last, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)
    assert torch.equal(whole, cell(x))


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_is_torchs_and_the_first_part_the_last_output(cell):
    ours = build(cell)
    theirs = getattr(nn, cell.__name__)(2, 4, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    _, expected = theirs(X)
    outputs, state = ours.run(X)
    expected = expected if cell is LSTM else (expected,)
    assert torch.equal(state[0], outputs[:, -1])
    for part, other in zip(state, expected, strict=True):
        torch.testing.assert_close(part, other[0])


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_flow_through_a_carried_state_until_it_is_detached(cell):
    whole, pieces = build(cell), build(cell)
    whole(X)[:, -1].sum().backward()
    _, state = pieces.run(X[:, :6])
    pieces.run(X[:, 6:], state)[0][:, -1].sum().backward()
    for a, b in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    pieces.zero_grad()
    pieces.run(X[:, 6:], tuple(s.detach() for s in state))[0][:, -1].sum().backward()
    assert not torch.allclose(whole.weight_ih_l0.grad, pieces.weight_ih_l0.grad)


def test_a_state_that_does_not_fit_is_refused():
    cell = build(LSTM)
    _, state = cell.run(X)
    with pytest.raises(ValueError, match="the state of this LSTM has shapes"):
        cell.run(X[:2], state)
    with pytest.raises(ValueError, match="the state of this LSTM has shapes"):
        cell.run(X, state[:1])
    with pytest.raises(ValueError, match=r"built for \(batch, time, 2\)"):
        cell.run(X[:, :0])


# ---------------------------------------------------------------- wiping the state


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("every", [1, 3, 4, 11, 50])
def test_wiping_equals_separate_sequences(cell, fused, every):
    free = build(cell)
    wiped = build(cell, fused=fused, wipe_every=every)
    separate = torch.cat([free(piece) for piece in X.split(every, dim=1)], dim=1)
    outputs, state = wiped.run(X)
    torch.testing.assert_close(outputs, separate, rtol=0, atol=1e-12)
    torch.testing.assert_close(state[0], separate[:, -1], rtol=0, atol=1e-12)


def test_no_output_depends_on_what_was_wiped():
    cell, x = build(GRU, wipe_every=4), X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cell(x)[:, 9].sum(), x)
    assert gradient.abs().sum((0, 2)).gt(0).tolist() == [t in (8, 9) for t in range(11)]


def test_a_wiped_cell_takes_no_state():
    cell = build(RNN, wipe_every=4)
    _, state = cell.run(X)
    with pytest.raises(ValueError, match="RNN is wiped before its first step: run it without"):
        cell.run(X, state)


def test_a_trained_cell_can_be_wiped():
    cell = build(LSTM)
    free = cell(X)
    cell.wipe_every = 1
    torch.testing.assert_close(cell(X)[:, 0], free[:, 0])
    assert not torch.allclose(cell(X)[:, 1:], free[:, 1:])
    assert "wipe_every=1" in repr(cell)


# ---------------------------------------------------------------- initialisation


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_orthogonal_weights_turn_the_state(cell, gain):
    before = build(cell)
    after = orthogonal_(copy.deepcopy(before), gain)
    for block in after.weight_hh_l0.chunk(len(cell.gates)):
        torch.testing.assert_close(block.T @ block, gain**2 * torch.eye(4).double())
    assert torch.equal(after.weight_ih_l0, before.weight_ih_l0)
    assert torch.equal(after.bias_hh_l0, before.bias_hh_l0)
    assert after.weight_hh_l0.requires_grad


def test_gaussian_weights_have_the_spectral_radius_of_their_gain():
    torch.manual_seed(0)
    weights = gaussian_(RNN(1, 400), 1.5).weight_hh_l0
    assert torch.linalg.eigvals(weights).abs().max().item() == pytest.approx(1.5, rel=0.1)


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
    total = (after.bias_ih_l0 + after.bias_hh_l0).chunk(len(cell.gates))
    old = (before.bias_ih_l0 + before.bias_hh_l0).chunk(len(cell.gates))
    for name, now, then in zip(cell.gates, total, old, strict=True):
        assert torch.equal(now, torch.full_like(now, value) if name == gate else then)
    with torch.no_grad():
        after.weight_ih_l0.zero_()
        after.weight_hh_l0.zero_()
    opened = after.watch(X)[gate]
    torch.testing.assert_close(opened, torch.full_like(opened, 1 / (1 + math.exp(-value))))


def test_chrono_biases_spread_over_the_lags():
    torch.manual_seed(0)
    lstm = chrono_(LSTM(1, 2000), 100)
    i, f, *_ = (lstm.bias_ih_l0 + lstm.bias_hh_l0).chunk(4)
    assert torch.equal(i, -f)
    assert f.min() >= 0 and f.max() <= math.log(99)
    u = f.exp()  # uniform in [1, 99]
    assert u.mean().item() == pytest.approx(50, rel=0.05)
    assert u.std().item() == pytest.approx(98 / 12**0.5, rel=0.05)
    gru = chrono_(GRU(1, 2000), 100)
    reset, z, new = (gru.bias_ih_l0 + gru.bias_hh_l0).chunk(3)
    assert z.min() >= 0 and z.exp().mean().item() == pytest.approx(50, rel=0.05)
    assert max(reset.abs().max(), new.abs().max()) <= 2 * 2000**-0.5


@pytest.mark.parametrize("longest", [1, 0, math.nan, math.inf])
def test_chrono_needs_a_lag(longest):
    with pytest.raises(ValueError, match="give the longest lag in steps, 2 or more"):
        chrono_(LSTM(1, 2), longest)


@pytest.mark.parametrize("start", [lambda c: forget_bias_(c, 1.0), lambda c: chrono_(c, 9)])
def test_a_cell_without_gates_has_no_gate_bias(start):
    with pytest.raises(TypeError, match="RNN has no gate that keeps its state: use LSTM or GRU"):
        start(RNN(2, 4))


# ---------------------------------------------------------------- layers


def test_layers_equal_torchs():
    torch.manual_seed(0)
    ours = Layers(LSTM(2, 4), LSTM(4, 4)).double()
    theirs = nn.LSTM(2, 4, num_layers=2, batch_first=True).double()
    weights = {
        f"{name[:-1]}{layer}": value
        for layer, cell in enumerate(ours.cells)
        for name, value in cell.state_dict().items()
    }
    theirs.load_state_dict(weights)
    outputs, state = ours.run(X)
    expected, (h, c) = theirs(X)
    torch.testing.assert_close(outputs, expected)
    for part, other in zip(state, (h[0], c[0], h[1], c[1]), strict=True):
        torch.testing.assert_close(part, other)


def test_layers_carry_the_state_of_all():
    torch.manual_seed(0)
    cell = Layers(GRU(2, 5), CausalCNN(5, 3, layers=2), LSTM(3, 4)).double()
    whole, last = cell.run(X)
    first, state = cell.run(X[:, :4])
    second, state = cell.run(X[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=0, atol=1e-12)
    assert len(state) == len(last) == cell.parts == 1 + 4 + 2
    with pytest.raises(ValueError, match="the state of these layers has 7 parts, not 1"):
        cell.run(X, state[:1])


def test_dropout_acts_between_layers_in_training_only():
    torch.manual_seed(0)
    cell = Layers(GRU(2, 4), GRU(4, 4), dropout=0.5).double()
    _, state = cell.run(X)
    torch.testing.assert_close(state[0], cell.cells[0](X)[:, -1])  # not on what is read
    assert not torch.allclose(cell(X), cell.cells[1](cell.cells[0](X)))
    torch.testing.assert_close(cell.eval()(X), cell.cells[1](cell.cells[0](X)))


def test_layers_that_do_not_fit():
    with pytest.raises(ValueError, match="each reads what the one below says"):
        Layers(LSTM(2, 4), LSTM(5, 4))
    with pytest.raises(ValueError, match="each reads"):
        Layers()


# ---------------------------------------------------------------- in a stack


@pytest.mark.parametrize("name", OPTIONS)
def test_a_stack_equals_its_networks_alone(name):
    torch.manual_seed(0)
    models = [LastStep(OPTIONS[name](), 3).double() for _ in range(3)]
    x = torch.randn(3, 5, 11, 2, dtype=torch.float64)
    y = torch.randint(3, (3, 5))
    stack = Stack(models, F.cross_entropy)
    losses = stack.losses(x, y)
    losses.sum().backward()
    for k, model in enumerate(models):
        alone = F.cross_entropy(model(x[k]), y[k])
        alone.backward()
        torch.testing.assert_close(losses[k], alone, rtol=0, atol=1e-12)
        for key, parameter in model.named_parameters():
            stacked = stack.parameters[key].grad[k]
            torch.testing.assert_close(stacked, parameter.grad, rtol=0, atol=1e-12)
