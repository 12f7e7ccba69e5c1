"""How far back gradients and memories reach, against products of Jacobians and closed forms."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from helpers.analysis import diagnostics
from helpers.analysis.diagnostics import linear_probe
from helpers.analysis.gradients import decay_per_step, gradient_by_lag
from helpers.nets.ablations import HeldLSTM, Wiped
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.starts import chrono_, forget_bias_, identity_, orthogonal_

CELLS = [RNN, LSTM, GRU]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def seeded(cell: type[nn.Module], *sizes: int, **options) -> nn.Module:
    torch.manual_seed(0)
    return cell(*sizes, **options)


def rms(jacobian: Tensor) -> float:
    """Frobenius norm over sqrt(rows)."""
    return (jacobian.norm() / len(jacobian) ** 0.5).item()


# ---------------------------------------------------------------- the plain RNN


def jacobians(cell: RNN, x: Tensor) -> Tensor:
    """dh_t / dh_(t-1) = diag(1 - h_t^2) W_hh for a sequence x (1, time, inputs), by hand."""
    cell = copy.deepcopy(cell).double()
    return (1 - cell(x)[0].square())[..., None] * cell.weight_hh_l0


def test_gradient_by_lag_of_a_scalar_rnn():
    """h' = tanh(w h + x) with w = 0.5: dh'/dh = 0.5 (1 - h'^2)."""
    cell = identity_(RNN(1, 1), gain=0.5)
    nn.init.ones_(cell.weight_ih_l0)
    h2 = math.tanh(0.5 * math.tanh(1) + 1)
    sizes = gradient_by_lag(cell, torch.ones(1, 2, 1))
    assert sizes.tolist() == pytest.approx([1, 0.5 * (1 - h2**2)], abs=1e-12)


def test_gradients_are_products_of_jacobians():
    cell, x = seeded(RNN, 2, 5), noise(1, 12, 2)
    sizes = gradient_by_lag(cell, x)
    assert sizes.index.tolist() == list(range(12)) and sizes.index.name == "lag"
    product = torch.eye(5).double()
    for lag in range(12):
        assert sizes[lag] == pytest.approx(rms(product), rel=1e-9)
        product = product @ jacobians(cell, x)[11 - lag]


# ---------------------------------------------------------------- every cell


@pytest.mark.parametrize("cell", CELLS)
def test_gradient_by_lag_equals_autograd_through_the_whole_sequence(cell):
    """State after step 4 as a free variable, the rest of the sequence read from it."""
    cell, x = seeded(cell, 2, 3).double(), noise(1, 9, 2)
    _, state = cell.run(x[:, :5])
    rest = lambda *state: cell.run(x[:, 5:], state)[0][0, -1]  # noqa: E731
    parts = torch.autograd.functional.jacobian(rest, state)
    expected = rms(torch.cat([part[:, 0] for part in parts], dim=1))
    assert gradient_by_lag(cell, x)[4] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_the_average_over_a_batch_is_of_its_sequences(cell):
    cell, x = seeded(cell, 2, 4), noise(3, 8, 2)
    separate = [gradient_by_lag(cell, sequence[None]) for sequence in x]
    pd.testing.assert_series_equal(gradient_by_lag(cell, x), sum(separate) / 3)


def test_a_kept_state_carries_the_gradient_unharmed():
    lstm = HeldLSTM(1, 4, forget=1.0, input=0.0, output=1.0)
    assert gradient_by_lag(lstm, noise(2, 30, 1)).iloc[1:].nunique() == 1


def test_a_wiped_state_has_no_gradient():
    with pytest.raises(ValueError, match="wiped before its first step"):
        gradient_by_lag(Wiped(seeded(GRU, 2, 4), 5), noise(2, 13, 2))


def test_measuring_changes_nothing_and_float32_does_not_underflow():
    cell, x = seeded(RNN, 1, 16), noise(2, 200, 1).float()
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    sizes = gradient_by_lag(cell, x)
    assert 0 < sizes[199] < 1e-40 and cell.fused and cell.training
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())
    assert all(p.grad is None and p.dtype == torch.float32 for p in cell.parameters())


# ---------------------------------------------------------------- decay per step


def curve(values) -> pd.Series:
    return pd.Series(np.asarray(values, dtype=float))


def test_decay_is_a_least_squares_slope_over_the_stated_lags():
    sizes = curve([5, 1, np.exp(-1.0), np.exp(-4.0), 99])
    assert decay_per_step(sizes, first=1, last=3) == pytest.approx(np.exp(-2))
    assert decay_per_step(sizes, first=1, last=2) == pytest.approx(np.exp(-1))


def test_decay_of_dead_and_of_exploded_gradients():
    assert decay_per_step(curve([1.0, 0.5, 0.0, 0.0]), 0, 3) == 0.0
    assert decay_per_step(curve([1.0, 1e200, np.inf, np.inf]), 0, 3) == math.inf
    assert decay_per_step(curve([1.0, 0.5, 0.0]), 0, 1) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="the gradient is NaN"):
        decay_per_step(curve([1.0, np.nan]), 0, 1)


@pytest.mark.parametrize(("first", "last"), [(10, 50), (3, 3), (5, 2), (-1, 2)])
def test_decay_needs_two_lags_of_the_curve(first, last):
    with pytest.raises(ValueError, match="of a curve from 0 to 29: choose at least two lags"):
        decay_per_step(curve(np.ones(30)), first, last)


# ---------------------------------------------------------------- linear probe


def symbols(sequences: int, time: int, classes: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(classes, (sequences, time), generator=generator)


def delay_line(read: Tensor, depth: int, classes: int = 4) -> Tensor:
    """States that hold the last `depth` symbols one-hot, and no others."""
    one_hot = nn.functional.one_hot(read, classes).double()
    shifted = [nn.functional.pad(one_hot, (0, 0, k, 0))[:, : read.shape[1]] for k in range(depth)]
    return torch.cat(shifted, dim=2)


def test_probe_reads_a_delay_line_to_its_end_and_guesses_beyond():
    read = symbols(60, 40)
    accuracy = linear_probe(delay_line(read, depth=3), read, lags=range(6))
    assert accuracy.index.tolist() == [0, 1, 2, 3, 4, 5] and accuracy.index.name == "lag"
    assert accuracy.loc[:2].eq(1).all()  # the last of three symbols among them
    assert accuracy.loc[3:].between(0.2, 0.3).all()  # chance is 1/4


def test_probe_equals_least_squares_of_numpy(monkeypatch):
    read = symbols(10, 12)
    states = noise(10, 12, 3) + read[..., None]
    design = np.concatenate([states.numpy(), np.ones((10, 12, 1))], axis=2)[:, 2:]
    weights, *_ = np.linalg.lstsq(
        design[:5].reshape(50, 4), np.eye(4)[read[:5, 1:-1].flatten()], rcond=None
    )
    hits = (design[5:] @ weights).argmax(2) == read[5:, 1:-1].numpy()
    monkeypatch.setattr(diagnostics, "RIDGE", 1e-12)
    assert linear_probe(states, read, lags=[1, 2])[1] == pytest.approx(hits.mean())


def test_probe_scores_sequences_that_it_was_not_fitted_to():
    states, read = noise(4, 10, 64), symbols(4, 10)  # more units than steps: fits noise exactly
    assert linear_probe(states, read, lags=[0])[0] < 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": noise(4, 10)}, "use \\(sequences, time, hidden\\)"),
        ({"symbols": symbols(4, 9)}, "of the same steps"),
        ({"symbols": symbols(4, 10).float()}, "int64"),
        ({"states": noise(1, 10, 3), "symbols": symbols(1, 10)}, "use two sequences or more"),
        ({"lags": [10]}, "lags from 0 that are shorter"),
        ({"lags": [-1]}, "lags from 0"),
        ({"lags": []}, "lags from 0"),
        ({"states": noise(4, 10, 3) / 0}, "finite states"),
    ],
)
def test_probe_refuses_what_it_cannot_read(change, message):
    good = {"states": noise(4, 10, 3), "symbols": symbols(4, 10), "lags": [0, 1]}
    with pytest.raises(ValueError, match=message):
        linear_probe(**(good | change))


@pytest.mark.slow
def test_published_orderings_of_initial_gradients():
    """Default cells fade alike; orthogonal weights, forget bias and chrono carry further."""
    x = noise(4, 60, 1)
    starts = {
        "rnn": lambda: RNN(1, 32),
        "lstm": lambda: LSTM(1, 32),
        "orthogonal": lambda: orthogonal_(RNN(1, 32)),
        "bias": lambda: forget_bias_(LSTM(1, 32), 1.0),
        "chrono": lambda: chrono_(LSTM(1, 32), 60),
    }
    factor = {}
    for name, start in starts.items():
        torch.manual_seed(0)
        factor[name] = decay_per_step(gradient_by_lag(start(), x))
    assert max(factor["rnn"], factor["lstm"]) < 0.75
    assert 0.8 < factor["bias"] < factor["chrono"] < 1
    assert factor["orthogonal"] > 0.8
