"""Read-outs: what they can and cannot tell, by construction."""

import warnings

import pytest
import torch
from torch import nn

from helpers.nets.cnn import parameter_count, width_for
from helpers.nets.recurrent import GRU, LSTM
from helpers.nets.sequences import (
    AllSteps,
    BothWays,
    CausalCNN,
    LastStep,
    MaxOverTime,
    warn_of_short_windows,
)
from helpers.training.engine.stacking import Stack


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_max_over_time_forgets_places():
    """With a window of one step, any order of the steps gives the same answer."""
    torch.manual_seed(0)
    net, x = MaxOverTime(CausalCNN(3, 5, kernel_size=1, layers=1), 2), noise(4, 9, 3)
    torch.testing.assert_close(net(x), net(x[:, torch.randperm(9)]))
    torch.testing.assert_close(net(x), net.head(net.cell(x).max(dim=1).values))


def test_all_steps_is_a_dense_layer_on_the_states():
    torch.manual_seed(0)
    net, x = AllSteps(LSTM(3, 5), length=9, outputs=2), noise(4, 9, 3)
    torch.testing.assert_close(net(x), net.head(net.cell(x).reshape(4, 45)))
    assert not torch.allclose(net(x), net(x.flip(1)))


@pytest.mark.parametrize("length", [8, 10])
def test_a_length_that_does_not_fit_is_named(length):
    with pytest.raises(ValueError, match=f"built for 9 steps, the sequence has {length}"):
        AllSteps(LSTM(3, 5), length=9)(noise(2, length, 3))


def test_both_ways_equals_torchs_bidirectional():
    theirs = nn.GRU(3, 5, batch_first=True, bidirectional=True)
    ours = BothWays(GRU(3, 5), GRU(3, 5))
    weights = theirs.state_dict()
    ours.forwards.load_state_dict({k: v for k, v in weights.items() if "reverse" not in k})
    ours.backwards.load_state_dict(
        {k.removesuffix("_reverse"): v for k, v in weights.items() if "reverse" in k}
    )
    x = noise(2, 7, 3)
    torch.testing.assert_close(ours(x), theirs(x)[0])
    assert ours.hidden == 10


@pytest.mark.parametrize(
    "build",
    [
        lambda: MaxOverTime(CausalCNN(3, 5, layers=2), 2),
        lambda: AllSteps(BothWays(GRU(3, 4), GRU(3, 4)), 6, 2),
    ],
)
def test_read_outs_can_be_stacked(build):
    nets, x = [build() for _ in range(3)], noise(3, 4, 6, 3)
    y = torch.zeros(3, 4, dtype=torch.int64)
    together = Stack(nets, nn.functional.cross_entropy).losses(x, y)
    alone = torch.stack(
        [nn.functional.cross_entropy(n(a), b) for n, a, b in zip(nets, x, y, strict=True)]
    )
    torch.testing.assert_close(together, alone)


def test_a_short_window_is_named_and_a_wide_one_is_not():
    arms = {
        "short": lambda: LastStep(CausalCNN(2, 3, layers=1)),
        "wide": lambda: LastStep(CausalCNN(2, 3, layers=4)),
        "LSTM": lambda: LastStep(LSTM(2, 3)),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_short_windows(arms, steps=6)
    (warning,) = caught
    assert str(warning.message).startswith("short sees 5 steps at a time, the task needs 6")


@pytest.mark.parametrize("parameters", [1, 500, 1056, 14784])
def test_width_for_is_the_closest(parameters):
    def build(width):
        return GRU(8, width)

    distances = [abs(parameter_count(build(w)) - parameters) for w in range(1, 100)]
    state = torch.get_rng_state()
    assert distances[width_for(build, parameters) - 1] == min(distances)
    assert torch.equal(torch.get_rng_state(), state)
