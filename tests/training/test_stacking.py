"""A stack of networks against the same networks trained one by one."""

import functools
import itertools
import math
import warnings
from functools import partial

import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn, optim
from torch.nn import functional as F
from zoo import (
    HUGE,
    ZOO,
    assert_equal_training,
    assert_same_weights,
    noise,
    shape_by_chance,
    toy,
    train_alone,
    train_stacked,
    wide,
    with_dropout,
)

from helpers.nets.cnn import MLP
from helpers.nets.starts import initialise
from helpers.training.engine.stacking import (
    STACKABLE_OPTIMIZERS,
    Stack,
    StackedOptimizer,
    UnstackableError,
)
from helpers.training.fit import ADAM, SGD
from helpers.training.schedules import linear_decay

OPTIMIZERS = {name: getattr(optim, name) for name in STACKABLE_OPTIMIZERS} | {
    "momentum": partial(optim.SGD, momentum=0.9),
    "Nesterov": partial(optim.SGD, momentum=0.9, nesterov=True),
    "centred RMSprop": partial(optim.RMSprop, momentum=0.9, centered=True),
}
VARIANTS = {
    "fused SGD": SGD,
    "fused Adam": ADAM,
    "AMSGrad": partial(optim.Adam, amsgrad=True),
    "decoupled NAdam": partial(optim.NAdam, decoupled_weight_decay=True),
}
RUN = {"steps": 50, "batch_size": 8, "schedule": linear_decay, "evaluate_every": 20}
THREE = {
    "seeds": (0, 1, 1),
    "lr": (0.01, 0.03, 0.02),
    "weight_decay": (0.0, 0.1, None),
    "clip": (None, 0.5, 0.1),
}


# ---------------------------------------------------------------- the same training


@functools.cache
def zoo_data(name: str, dtype=torch.float64):
    return noise(ZOO[name][0], dtype)


EVERY = [
    *itertools.product(ZOO, ("SGD", "Adam")),
    *itertools.product(("LayerNorm", "GRU"), OPTIMIZERS | VARIANTS),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "optimizer"), dict.fromkeys(EVERY))
def test_stacked_equals_alone_for_every_network_and_optimizer(name, optimizer):
    """In double precision: different rates, decay, clipping and seeds side by side."""

    def build():
        return ZOO[name][1]().double()

    run = RUN | {"optimizer": (OPTIMIZERS | VARIANTS)[optimizer]}
    apart = train_alone(build, zoo_data(name), THREE, **run)
    assert_equal_training(train_stacked(build, zoo_data(name), THREE, **run), apart, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BatchNorm", "GRU", "tied"])
def test_stacked_equals_alone_in_packs_of_any_size(name):
    def build():
        return ZOO[name][1]().double()

    run = RUN | {"steps": 6, "evaluate_every": 4, "optimizer": ADAM}
    rates = {"lr": [0.001 * (k + 1) for k in range(64)], "seeds": [k // 2 for k in range(64)]}
    rates |= {"weight_decay": [0.0] * 64, "clip": [None, 0.3] * 32}
    watched = (0, 1, 6, 63)
    apart = train_alone(
        build, zoo_data(name), {n: [v[k] for k in watched] for n, v in rates.items()}, **run
    )
    for size in (1, 2, 7, 64):
        pack = train_stacked(build, zoo_data(name), {n: v[:size] for n, v in rates.items()}, **run)
        inside = [k for k in watched if k < size]
        assert_equal_training([pack[k] for k in inside], apart[: len(inside)], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_in_single_precision_they_agree_to_four_digits(name):
    """Rounding differs, and Adam's first steps magnify it where a gradient is nearly zero."""
    run = RUN | {"steps": 10, "evaluate_every": None, "optimizer": SGD}
    data = zoo_data(name, torch.float32)
    apart = train_alone(ZOO[name][1], data, THREE, **run)
    assert_equal_training(train_stacked(ZOO[name][1], data, THREE, **run), apart, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BatchNorm", "GRU", "LSTM", "CNN1D", "LayerNorm"])
@pytest.mark.parametrize("optimizer", ["fused Adam", "momentum"])
def test_stacked_equals_alone_on_every_device(name, optimizer, device):
    """On a GPU the updates after the third are replays of a CUDA graph."""

    def build():
        return ZOO[name][1]().double()

    run = RUN | {"steps": 20, "optimizer": (OPTIMIZERS | VARIANTS)[optimizer]}
    data = zoo_data(name).to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together = train_stacked(build, data, THREE, **run)
    assert_equal_training(together, train_alone(build, data, THREE, **run), 1e-9)
    assert_equal_training(together, train_stacked(build, zoo_data(name), THREE, **run), 1e-9)


def test_clipping_and_decay_are_those_of_each_network_by_hand():
    """One update of plain descent on given gradients."""
    weights = [torch.ones(3, 2, requires_grad=True), torch.ones(3, requires_grad=True)]
    for weight in weights:
        weight.grad = torch.full_like(weight, 2.0)  # the norm over both is sqrt(3 * 4)
    lr = torch.tensor([0.1, 0.1, 0.5])
    update = StackedOptimizer(weights, optim.SGD, lr, [0.0, 0.5, 0.0], [None, 1.0, 100.0])
    update.step()
    clipped = 0.1 * (2 / math.sqrt(12) + 0.5)
    expected = torch.tensor([1 - 0.2, 1 - clipped, 1 - 1.0])
    for weight in weights:
        flat = weight.detach().reshape(3, -1)
        torch.testing.assert_close(flat, expected[:, None].expand_as(flat), rtol=0, atol=1e-6)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(("clip", "length"), [(None, 2.0), (1.0, 2 / math.sqrt(24))])
def test_gradients_that_share_their_memory_are_changed_once(clip, length, foreach):
    """As those of two biases may that a network adds to each other; Nesterov changes them too."""
    weights = [torch.ones(2, 3, requires_grad=True) for _ in range(2)]
    shared = torch.full((2, 3), 2.0)
    for weight in weights:
        weight.grad = shared.view(2, 3)
    optimizer = partial(optim.SGD, momentum=0.9, nesterov=True, foreach=foreach)
    StackedOptimizer(weights, optimizer, torch.ones(2), [0.0, 0.5], [clip, clip]).step()
    # the first step of Nesterov's momentum is 1.9 times as long
    expected = torch.tensor([1 - 1.9 * length, 1 - 1.9 * (length + 0.5)])[:, None].expand(2, 3)
    for weight in weights:
        torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-6)


def test_a_norm_beyond_all_numbers_hurts_only_who_clips():
    weight = torch.zeros(2, 4, requires_grad=True)
    weight.grad = torch.full_like(weight, 1e30)  # its square overflows in single precision
    StackedOptimizer([weight], optim.SGD, torch.tensor([1e-30, 1e-30]), [0, 0], [None, 1.0]).step()
    assert torch.equal(weight[0].detach(), torch.full((4,), -1.0))
    assert weight[1].abs().max() < 1e-20


# ---------------------------------------------------------------- neighbours


def mixed(rates, seeds=None) -> dict:
    count = len(rates)
    settings = {"seeds": seeds or list(range(count)), "lr": rates, "weight_decay": [0.01] * count}
    return settings | {"clip": [None, 1.0, None, 0.5, None][:count]}


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [optim.SGD, SGD, ADAM, OPTIMIZERS["centred RMSprop"]])
def test_a_diverged_neighbour_changes_no_bit_of_the_others(optimizer, device):
    run = RUN | {"optimizer": optimizer, "evaluate_every": 7}
    data, wild = toy().to(device), 2
    rates = [0.1, 0.05, 0.1, 0.02, 0.1]
    sane = train_stacked(wide, data, mixed(rates), **run)
    broken = train_stacked(wide, data, mixed([*rates[:wild], HUGE, *rates[3:]]), **run)
    for k, ((one, history), (other, other_history)) in enumerate(zip(sane, broken, strict=True)):
        if k != wild:
            assert_same_weights(one, other)
            pd.testing.assert_frame_equal(history, other_history, check_exact=True)
            assert (history.diverged_at == 0).all() and history.step.iloc[-1] == 50
    ((_, alone),) = train_alone(
        wide, data, {n: [v[wild]] for n, v in mixed([HUGE] * 5).items()}, **run
    )
    history = broken[wild][1]
    assert history.diverged_at.iloc[-1] == alone.diverged_at.iloc[-1] > 0
    assert list(history.step) == list(alone.step) and len(history) == 1


@pytest.mark.slow
def test_divergence_is_dated_like_alone_at_any_speed():
    """Rates from harmless to hopeless; some break in the last update, which no loss has seen."""
    rates = [0.1, 1e12, 1e20, 1e25, HUGE]
    for steps, every in ((1, None), (2, None), (6, 4), (6, 1)):
        run = {"steps": steps, "batch_size": 10, "evaluate_every": every, "optimizer": optim.SGD}
        settings = mixed(rates, [0] * 5) | {"clip": [None] * 5, "weight_decay": [0.0] * 5}
        together = train_stacked(wide, toy(torch.float32), settings, **run)
        for (_, ours), (_, theirs) in zip(
            together, train_alone(wide, toy(), settings, **run), strict=True
        ):
            assert list(ours.diverged_at) == list(theirs.diverged_at)
            assert list(ours.step) == list(theirs.step)


def test_training_stops_when_all_have_diverged():
    seen = []

    def schedule(progress):
        seen.append(progress)
        return 1.0

    run = {"steps": 40, "batch_size": 10, "optimizer": SGD, "schedule": schedule}
    results = train_stacked(wide, toy(), mixed([HUGE] * 3), evaluate_every=5, **run)
    assert len(seen) == 5 and all(list(history.step) == [5] for _, history in results)


# ---------------------------------------------------------------- dropout


class Masks(nn.Module):
    """Shows its dropout masks: ones come out as zero or 1 / (1 - p)."""

    def __init__(self, p: float = 0.3):
        super().__init__()
        self.weight, self.drop = nn.Parameter(torch.ones(3)), nn.Dropout(p)

    def forward(self, x):
        return self.drop(self.weight * x)


@pytest.mark.slow
def test_dropout_masks_are_independent_and_of_the_right_size():
    torch.manual_seed(0)
    stack = Stack([Masks() for _ in range(400)], F.cross_entropy)
    ones = torch.ones(400, 20, 3)
    first, second = (stack.forward(ones).detach() for _ in range(2))
    keep = 0.7
    assert first.unique().tolist() == pytest.approx([0, 1 / keep])
    error = math.sqrt((1 - keep) / keep / first.numel())
    assert abs(first.mean().item() - 1) < 4 * error
    assert first.var().item() == pytest.approx((1 - keep) / keep, rel=0.05)
    flat = torch.cat([first, second]).flatten(1)
    correlation = torch.corrcoef(flat)[~torch.eye(800, dtype=torch.bool)]
    assert len(flat.unique(dim=0)) == 800  # every network, every step its own
    assert abs(correlation.mean()) < 0.002
    assert correlation.std().item() == pytest.approx(1 / math.sqrt(60), rel=0.1)


def test_dropout_is_off_in_evaluation_and_repeatable_in_training():
    settings = mixed([0.1, 0.1, 0.1], seeds=[0, 1, 2])
    run = {"steps": 6, "batch_size": 10}
    (one, history), *_ = train_stacked(with_dropout, toy(), settings, **run)
    torch.rand(3)
    (two, again), *_ = train_stacked(with_dropout, toy(), settings, **run)
    assert_same_weights(one, two)
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    loss = F.cross_entropy(one.eval()(toy().test.x), toy().test.y).item()
    assert history.test_loss.iloc[-1] == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_dropout_makes_the_same_distribution_of_losses():
    """Kolmogorov-Smirnov, 64 against 64 networks that start alike: only masks and batches vary."""

    def build():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))

    run = {"steps": 15, "batch_size": 10}
    alike = {"lr": [0.02] * 64, "weight_decay": [0.0] * 64, "clip": [None] * 64}
    losses = [
        [history.train_loss.iloc[-1] for _, history in train(build, toy(), alike | seeds, **run)]
        for train, seeds in (
            (train_stacked, {"seeds": range(64)}),
            (train_alone, {"seeds": range(100, 164)}),
        )
    ]
    assert stats.ks_2samp(*losses).pvalue > 0.01
    assert abs(stats.zscore(losses[0]).std() - 1) < 1e-6 and len(set(losses[0])) == 64


# ---------------------------------------------------------------- what cannot be stacked


def layers_by_chance() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh() if torch.rand(()) < 0.5 else nn.ReLU())


def rate_by_chance() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Dropout(torch.rand(()).item()))


def frozen_by_chance() -> nn.Module:
    return nn.Linear(4, 3).requires_grad_(bool(torch.rand(()) < 0.5))


@pytest.mark.slow
@pytest.mark.parametrize(
    "build", [shape_by_chance, layers_by_chance, rate_by_chance, frozen_by_chance]
)
def test_networks_that_differ_in_more_than_numbers_are_refused(build):
    with pytest.raises(UnstackableError, match="equal layers and shapes: make them separate arms"):
        Stack([initialise(build, seed) for seed in range(6)], F.cross_entropy)


def test_a_network_that_is_wrong_alone_gets_its_own_error():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as failure:
        train_stacked(lambda: MLP(7, 3, 3), toy(), mixed([0.1] * 2), steps=2, batch_size=10)
    assert not isinstance(failure.value, UnstackableError)


def test_the_check_leaves_no_trace():
    stack = Stack([initialise(ZOO["BatchNorm"][1], s) for s in range(2)], F.cross_entropy)
    stack.check(zoo_data("BatchNorm", torch.float32).train)
    assert (stack.buffers["1.num_batches_tracked"] == 0).all()
    assert (stack.buffers["1.running_mean"] == 0).all()
