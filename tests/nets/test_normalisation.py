"""BatchNorm and LayerNorm inside the recurrence, against torch."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.nets.normalisation import (
    BatchError,
    BatchNormOverTime,
    LayerNormOverTime,
    NormalisedLSTM,
    NormalisedRNN,
)

CLOSE = {"rtol": 0, "atol": 1e-10}


def drawn(*shape, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def shaken(layer):
    """A layer whose parameters are not at their start, in float64."""
    for k, parameter in enumerate(layer.double().parameters()):
        nn.init.normal_(parameter, mean=k, generator=torch.Generator().manual_seed(k))
    return layer


def lstm(norm, inputs=3, hidden=4):
    return NormalisedLSTM(inputs, hidden, norm)


def per_step(steps):
    return lambda size: BatchNormOverTime(size, steps)


def reference(cell, x, norm):
    """The cell of Ba et al. and Cooijmans et al., step by step; `norm(name, t, values)`."""
    h = c = x.new_zeros(len(x), cell.hidden)
    states = []
    for t, at_t in enumerate(x.unbind(1)):
        gates = norm("norm_x", t, F.linear(at_t, cell.weight_ih_l0))
        gates = gates + norm("norm_h", t, F.linear(h, cell.weight_hh_l0))
        i, f, g, o = (gates + cell.bias_ih_l0 + cell.bias_hh_l0).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(norm("norm_c", t, c))
        states.append(h)
    return torch.stack(states, 1)


def test_layer_norm_in_the_recurrence_equals_torchs_layer_norm_at_every_step():
    cell, x = shaken(lstm(LayerNormOverTime)), drawn(5, 6, 3)

    def norm(name, t, values):
        return F.layer_norm(values, values.shape[-1:], getattr(cell, name).weight)

    torch.testing.assert_close(cell(x), reference(cell, x, norm), **CLOSE)


def test_batch_norm_in_the_recurrence_equals_torchs_at_every_step():
    cell, x = shaken(lstm(per_step(6))), drawn(5, 6, 3)
    running = {}

    def norm(name, t, values):
        size = values.shape[-1]
        start = (torch.zeros(size).double(), torch.ones(size).double())
        mean, var = running.setdefault((name, t), start)
        weight = getattr(cell, name).weight
        return F.batch_norm(values, mean, var, weight, None, True)

    torch.testing.assert_close(cell(x), reference(cell, x, norm), **CLOSE)
    for name in ("norm_x", "norm_h", "norm_c"):
        kept = getattr(cell, name)
        means = torch.stack([running[name, t][0] for t in range(6)])
        torch.testing.assert_close(kept.running_mean, means, **CLOSE)
        # Torch keeps the variance divided by n - 1, here it is divided by n as it was used.
        unbiased = torch.stack([running[name, t][1] for t in range(6)])
        torch.testing.assert_close((kept.running_var - 0.9) * 5 / 4 + 0.9, unbiased, **CLOSE)


def test_evaluation_uses_each_steps_statistics_and_later_steps_the_last():
    cell = shaken(lstm(per_step(4)))
    for k in range(5):
        cell(drawn(8, 4, 3, seed=k))
    cell.eval()
    x = drawn(3, 7, 3, seed=9)

    def norm(name, t, values):
        kept, row = getattr(cell, name), min(t, 3)
        mean, var = kept.running_mean[row], kept.running_var[row]
        return F.batch_norm(values, mean, var, kept.weight, None, False)

    torch.testing.assert_close(cell(x), reference(cell, x, norm), **CLOSE)
    torch.testing.assert_close(cell(x)[:1], cell(x[:1]), **CLOSE)  # alone or in a batch


@pytest.mark.parametrize("kind", ["layer", "batch"])
def test_an_rnn_is_normalised_before_its_tanh(kind):
    norm = LayerNormOverTime if kind == "layer" else per_step(6)
    cell, x = shaken(NormalisedRNN(3, 4, norm)), drawn(5, 6, 3)
    h, states, weight = x.new_zeros(5, 4), [], cell.norm.weight
    for at_t in x.unbind(1):
        sums = F.linear(at_t, cell.weight_ih_l0) + F.linear(h, cell.weight_hh_l0)
        if kind == "layer":
            normal = F.layer_norm(sums, (4,), weight)
        else:
            normal = F.batch_norm(sums, None, None, weight, training=True)
        h = torch.tanh(normal + cell.bias_ih_l0 + cell.bias_hh_l0)
        states.append(h)
    torch.testing.assert_close(cell(x), torch.stack(states, 1), **CLOSE)


def test_a_gain_starts_at_a_tenth_over_the_batch_and_at_one_over_features():
    assert BatchNormOverTime(3, 2).weight.tolist() == pytest.approx([0.1] * 3)
    assert LayerNormOverTime(3).weight.tolist() == [1.0] * 3


def test_shared_statistics_are_the_mean_over_time():
    cell, apart = shaken(lstm(per_step(1))), shaken(lstm(per_step(5)))
    x = drawn(6, 5, 3)
    torch.testing.assert_close(cell(x), apart(x), **CLOSE)  # training knows no difference
    torch.testing.assert_close(
        cell.norm_h.running_mean[0], apart.norm_h.running_mean.mean(0), **CLOSE
    )


def test_a_sequence_longer_than_the_statistics_teaches_the_first_steps_only():
    cell = lstm(per_step(2))
    cell(drawn(6, 5, 3).float())
    assert cell.norm_c.running_mean.shape == (2, 4)


def test_a_batch_of_one_is_an_error_in_training_and_none_in_evaluation():
    layer, x = lstm(per_step(4)), torch.ones(1, 4, 3)
    with pytest.raises(BatchError, match=r"batch of 2 or more.*model\.eval\(\)"):
        layer(x)
    assert layer.eval()(x).isfinite().all()


@pytest.mark.parametrize(
    ("build", "usual"),
    [(LayerNormOverTime, 1.0), (partial(BatchNormOverTime, steps=6), 0.1)],
)
def test_the_gain_starts_where_it_is_told_and_scales_what_is_normalised(build, usual):
    x = drawn(6, 5, 4)  # (time, batch, size)
    (unscaled, _), (scaled, _) = build(4, gain=1.0).at(0, x), build(4, gain=0.3).at(0, x)
    torch.testing.assert_close(scaled, 0.3 * unscaled)
    torch.testing.assert_close(build(4).at(0, x)[0], usual * unscaled)


def test_statistics_of_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps is 0"):
        BatchNormOverTime(3, 0)
