"""What is looked at before the first update: no wrong number, no bare error, one sentence each."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence
from zoo import assert_same_weights, dense, toy, toy_split

from helpers.data.dataset import DataError, Dataset, Split
from helpers.nets.starts import initialise
from helpers.training.fit import ADAM, SGD, evaluate, fit
from helpers.training.many import fit_many

SEEDS = (0, 1)
RUN = {"steps": 6, "lr": 0.05, "batch_size": 10}


def by_fit(build, data: Dataset, **run) -> list[pd.DataFrame]:
    return [fit(initialise(build, seed), data, seed=seed, **RUN | run) for seed in SEEDS]


def in_a_stack(build, data: Dataset, **run) -> list[pd.DataFrame]:
    table = fit_many({"a": build}, data, seeds=SEEDS, pack=2, n_jobs=1, **RUN | run).table
    return [table[table.seed == seed] for seed in SEEDS]


both_ways = pytest.mark.parametrize("train", [by_fit, in_a_stack])


def with_targets(change, data: Dataset | None = None, classes=("a", "b", "c")) -> Dataset:
    """A dataset whose targets are `change` of x (N, 4) and labels (N,)."""
    changed = (data or toy()).mapped(lambda split: Split(split.x, change(*split)))
    return replace(changed, classes=classes)


def as_images(data: Dataset) -> Dataset:
    return data.mapped(lambda split: Split(split.x[:, None], split.y))


def regression(change=lambda x, y: x[:, :1]) -> Dataset:
    return with_targets(change, classes=())


class Reshaped(nn.Module):
    """A dense network whose predictions are changed at the end."""

    def __init__(self, change, outputs: int = 3):
        super().__init__()
        self.layer, self.change = nn.Linear(4, outputs), change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.layer(x.flatten(1)))


# ---------------------------------------------------------------- what is compared


def crosswise(prediction: Tensor, y: Tensor) -> Tensor:
    return (prediction - y).square().mean()


ONE = partial(Reshaped, lambda x: x, 1)
APART = {
    "labels (N, 1)": (
        lambda: Reshaped(lambda x: x),
        as_images(with_targets(lambda x, y: y[:, None])),
        {},
        r"predictions have shape \(2, 3\), and train\.y \(2, 1\).*y\[:, 0\]",
    ),
    "a dimension more": (
        lambda: Reshaped(lambda x: x[..., None]),
        toy(),
        {},
        r"shape \(2, 3, 1\), and train\.y \(2,\)",
    ),
    "a dimension less": (
        lambda: Reshaped(lambda x: x[:, 0]),
        toy(),
        {},
        r"shape \(2,\), and train\.y \(2,\): .*\(N, classes, \.\.\.\)",
    ),
    "too few outputs": (ONE, toy(), {}, r"shape \(2, 1\), .* 1 outputs cannot tell 3 classes"),
    "numbers (N,)": (
        lambda: Reshaped(lambda x: x[:, 0], 1),
        regression(),
        {"loss_function": crosswise},
        r"shape \(2,\), and train\.y \(2, 1\): .*crosswise",
    ),
    "numbers with a dimension more": (
        lambda: Reshaped(lambda x: x[:, None], 1),
        regression(),
        {"loss_function": crosswise},
        r"shape \(2, 1, 1\), and train\.y \(2, 1\)",
    ),
    "more outputs than numbers": (
        lambda: Reshaped(lambda x: x),
        regression(),
        {"loss_function": F.mse_loss},
        r"predictions \(2, 3\) and targets \(2, 1\) have different shapes",
    ),
    "a batch that is gone": (
        lambda: Reshaped(lambda x: x.mean(0, keepdim=True), 1),
        regression(),
        {"loss_function": crosswise},
        r"shape \(1, 1\), and train\.y \(2, 1\)",
    ),
    "a test set of another kind": (
        ONE,
        replace(regression(), test=Split(torch.zeros(9, 4), torch.zeros(9, 1, 1))),
        {"loss_function": F.mse_loss},
        r"shape \(2, 1\), and test\.y \(2, 1, 1\)",
    ),
}


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("name", APART)
def test_shapes_that_cannot_be_compared_are_named_before_training(name, train):
    build, data, run, message = APART[name]
    with pytest.raises(DataError, match=message):
        train(build, data, **run)


def test_a_column_of_labels_is_refused_by_evaluate_too():
    split = toy_split(23, 0)
    with pytest.raises(DataError, match=r"shape \(23, 3\), and y \(23, 1\)"):
        evaluate(dense(), Split(split.x, split.y[:, None]))


def negative_log_density(prediction: Tensor, y: Tensor) -> Tensor:
    """Of a normal distribution, from its mean and the logarithm of its variance."""
    mean, log_variance = prediction[:, :1], prediction[:, 1:]
    return 0.5 * (log_variance + (y - mean).square() / log_variance.exp()).mean()


@both_ways
def test_what_fits_is_trained(train):
    """A label a step; outputs to spare; a loss that reads more from the outputs than the target."""
    by_step = with_targets(lambda x, y: y[:, None].expand(-1, 4))
    steps = partial(Reshaped, lambda x: x.unflatten(1, (3, 4)), 12)
    gauss = {"loss_function": negative_log_density}
    for build, data, run in (
        (steps, by_step, {}),
        (partial(Reshaped, lambda x: x, 5), toy(), {}),
        (partial(Reshaped, lambda x: x, 2), regression(), gauss),
    ):
        assert all(np.isfinite(history.test_loss).all() for history in train(build, data, **run))


def test_the_check_leaves_no_trace():
    """No running mean, no mode, no random number of the caller's."""
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 7))
    seen, before = [], torch.get_rng_state()
    wrong = replace(toy(), classes=tuple("abcdefgh"))
    model[2].eval()
    model.register_forward_hook(lambda *_: seen.append(model.training))
    with pytest.raises(DataError, match="7 outputs cannot tell 8 classes apart"):
        fit(model, wrong, seed=0, **RUN)
    assert model[1].num_batches_tracked == 0 and seen == [False]
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------- losses


def half_a_sum(prediction: Tensor, y: Tensor) -> Tensor:
    return 0.5 * (prediction - y).square().sum()


BAD_LOSSES = {
    "sum": (toy(), dense, nn.CrossEntropyLoss(reduction="sum"), "it is a sum: use a mean"),
    "sum of squares": (regression(), ONE, nn.MSELoss(reduction="sum"), "it is a sum"),
    "half a sum": (regression(), ONE, half_a_sum, "it is a sum"),
    "none": (
        toy(),
        dense,
        nn.CrossEntropyLoss(reduction="none"),
        r"is a tensor \(2,\): one number",
    ),
    "none of squares": (regression(), ONE, nn.L1Loss(reduction="none"), r"is a tensor \(2, 1\)"),
    "a float": (toy(), dense, lambda p, y: F.cross_entropy(p, y).item(), "batch is float: one"),
}


@both_ways
@pytest.mark.parametrize("name", BAD_LOSSES)
def test_a_loss_that_is_no_mean_is_named_before_training(name, train):
    data, build, loss_function, message = BAD_LOSSES[name]
    with pytest.raises(DataError, match=message):
        train(build, data, loss_function=loss_function)


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("value", [-100.0, -99.0])
def test_a_number_of_minus_100_is_a_number(value, train):
    """By hand: the mean of squares over all targets, those that look like padding included."""
    data = regression(lambda x, y: torch.where(x[:, :1] > 0, value, x[:, :1]))
    histories = train(ONE, data, loss_function=F.mse_loss)
    for history, seed in zip(histories, SEEDS, strict=True):
        model = initialise(ONE, seed)
        fit(model, data, seed=seed, loss_function=F.mse_loss, **RUN)
        expected = F.mse_loss(model(data.test.x), data.test.y).item()
        assert history.test_loss.iloc[-1] == pytest.approx(expected, rel=1e-4)
        assert history.diverged_at.iloc[-1] == 0


@both_ways
def test_labels_that_are_not_scored_count_for_nothing(train):
    ignored = with_targets(lambda x, y: torch.where(torch.arange(len(y)) % 2 == 0, -100, y))
    half = {n: Split(*(part[1::2] for part in getattr(toy(), n))) for n in ("valid", "test")}
    for one, other in zip(
        train(dense, ignored), train(dense, replace(ignored, **half)), strict=True
    ):
        assert one.test_loss.iloc[-1] == pytest.approx(other.test_loss.iloc[-1], rel=1e-5)
        assert one.test_accuracy.iloc[-1] == other.test_accuracy.iloc[-1]


# ---------------------------------------------------------------- networks and data


def as_type(data: Dataset, dtype: torch.dtype) -> Dataset:
    return data.mapped(lambda split: Split(split.x.to(dtype), split.y))


@both_ways
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_data_of_another_precision_than_the_weights_is_named(dtype, train):
    message = rf"train\.x is {dtype} and the network's weights are torch\.float32: .*x\.float\(\)"
    with pytest.raises(DataError, match=message):
        train(dense, as_type(toy(), dtype))


@both_ways
def test_targets_of_another_precision_are_named(train):
    with pytest.raises(DataError, match=r"train\.y is torch\.float64, .*32: use y\.float\(\)"):
        train(ONE, regression(lambda x, y: x[:, :1].double()), loss_function=F.mse_loss)


@both_ways
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_network_and_data_of_one_precision_are_trained(dtype, train):
    for history in train(lambda: dense().to(dtype), as_type(toy(), dtype)):
        assert history.diverged_at.iloc[-1] == 0 and history.test_loss.iloc[-1] < 2


@both_ways
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x, x), r"returns a tuple, not a tensor: return the predictions alone"),
        (lambda x: {"logits": x}, r"returns a dict, not a tensor"),
        (lambda x: [x], r"returns a list, not a tensor"),
        (lambda x: pack_sequence([x]), r"returns a PackedSequence, not a tensor"),
    ],
)
def test_a_network_that_returns_no_tensor_is_named(change, message, train):
    with pytest.raises(DataError, match=message):
        train(lambda: Reshaped(change), toy())


@both_ways
def test_a_packed_sequence_is_named_with_the_cure(train):
    packed = Split(pack_sequence([torch.zeros(3, 4)]), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(DataError, match=r"train\.x is a PackedSequence: pad it, .*pad_packed"):
        train(dense, replace(toy(), train=packed))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (dense, r"a function stands where a network is wanted: build it first"),
        (nn.Linear, r"a type stands where a network is wanted: build it first"),
        ([dense()], r"a list stands where a network is wanted: give an nn\.Module"),
        (None, r"a NoneType stands where a network is wanted"),
    ],
)
def test_fit_wants_a_network(model, message):
    with pytest.raises(TypeError, match=message):
        fit(model, toy(), seed=0, **RUN)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (dense(), r"a Sequential stands where a function that builds .* lambda: \.\.\."),
        ([dense], r"a list stands where a function"),
        ("dense", r"a str stands where a function"),
        (lambda: [dense()], r"a list stands where a network is wanted"),
        (lambda: dense, r"a function stands where a network is wanted: build it first"),
    ],
)
def test_fit_many_wants_a_builder(build, message):
    with pytest.raises(TypeError, match=message):
        fit_many({"a": build}, toy(), seeds=SEEDS, n_jobs=1, **RUN)


LAZY = {
    "linear": lambda: nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.Linear(5, 3)),
    "norm": lambda: nn.Sequential(nn.Linear(4, 5), nn.LazyBatchNorm1d(), nn.Linear(5, 3)),
    "convolution": lambda: nn.Sequential(nn.LazyConv2d(2, 3), nn.Flatten(), nn.LazyLinear(3)),
}


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_layer_without_weights_is_named(name):
    message = "has no shape before its lazy layer has seen data: name the sizes, or call"
    with pytest.raises(ValueError, match=message):
        fit(LAZY[name](), toy(), seed=0, **RUN)
    with pytest.raises(ValueError, match=message):
        in_a_stack(LAZY[name], toy())


# ---------------------------------------------------------------- settings


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8])
def test_whole_numbers_of_numpy_are_numbers(number, train):
    """Small ones too: 40 updates of 10 examples are more than eight bits can count."""
    settings = {"steps": number(40), "batch_size": number(10), "evaluate_every": number(20)}
    plain = {"steps": 40, "batch_size": 10, "evaluate_every": 20}
    data = replace(toy(), train=toy_split(400, 0))
    for one, other in zip(train(dense, data, **settings), train(dense, data, **plain), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("optimizer", [SGD, ADAM, torch.optim.SGD])
def test_numbers_of_numpy_are_numbers(optimizer, train):
    settings = {"lr": np.float64(0.05), "weight_decay": np.float32(0.5), "clip": np.float32(0.5)}
    plain = {"lr": 0.05, "weight_decay": 0.5, "clip": 0.5}
    for one, other in zip(
        train(dense, toy(), optimizer=optimizer, **settings),
        train(dense, toy(), optimizer=optimizer, **plain),
        strict=True,
    ):
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 1e1}, r"steps is 10\.0: give a whole number, as int\(\.\.\.\) makes it"),
        ({"batch_size": 10.0}, r"batch_size is 10\.0: give a whole number"),
        ({"evaluate_every": 2.5}, r"evaluate_every is 2\.5: give a whole number"),
        ({"until": 2.0}, r"until is 2\.0: give a whole number"),
        ({"until": 0}, r"until is 0: use 1 or more"),
        ({"seed": 1.0}, r"seed is 1\.0: give a whole number"),
        ({"seed": None}, r"seed is None: give a whole number"),
        ({"steps": True}, r"steps is True: give a whole number"),
        ({"lr": "0.1"}, r"lr is '0\.1': give a number, as float"),
        ({"lr": None}, r"lr is None: give a number"),
        ({"clip": True}, r"clip is True: give a number"),
        ({"steps": 0}, "steps is 0: use 1 or more"),
        ({"steps": -3}, "steps is -3"),
        ({"lr": 0}, "lr is 0: use a finite number above 0"),
        ({"lr": -0.1}, "lr is -0.1"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"batch_size": 51}, "batch_size is 51, but the training set holds 50 examples"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"weight_decay": float("inf")}, "weight_decay is inf"),
        ({"clip": 0}, "clip is 0: use a finite number above 0"),
        ({"evaluate_every": -2}, "evaluate_every is -2"),
        ({"schedule": lambda progress: 0.25 - progress}, r"schedule\(0\.3\) is -0\.04"),
        ({"schedule": lambda progress: float("nan")}, r"schedule\(0\.0\) is nan"),
    ],
)
def test_settings_that_no_run_can_have_are_named_before_any_update(change, message):
    model = initialise(dense, seed=0)
    with pytest.raises(ValueError, match=message):
        fit(model, toy(), **{"seed": 0} | RUN | change)
    assert_same_weights(model, initialise(dense, seed=0))
    if "seed" not in change and "until" not in change and None not in change.values():
        with pytest.raises(ValueError, match=message):
            fit_many({"a": dense}, toy(), **{"seeds": SEEDS, "n_jobs": 1} | RUN | change)


# ---------------------------------------------------------------- gradients


class TwoBiases(nn.Module):
    """Biases that are only added to each other: autograd may hand both the same gradient."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3, bias=False)
        self.one, self.two = nn.Parameter(torch.zeros(50, 3)), nn.Parameter(torch.zeros(50, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + (self.one + self.two)[: len(x)]


@pytest.mark.parametrize("clip", [1e-3, 0.05, None])
def test_gradients_that_share_their_memory_are_shortened_once(clip):
    """One update of plain descent is as long as the gradient: by hand from autograd."""
    x, y = toy(torch.float64).train
    whole = replace(toy(torch.float64), valid=Split(x[:1], y[:1]), test=Split(x[:1], y[:1]))
    model = initialise(TwoBiases, 0).double()
    before = [w.detach().clone() for w in model.parameters()]
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    norm = torch.stack([g.norm() for g in gradients]).norm().item()
    run = {"steps": 1, "lr": 1.0, "batch_size": 50, "seed": 0, "order": in_order}
    fit(model, whole, **run, clip=clip, optimizer=torch.optim.SGD)
    factor = 1.0 if clip is None else min(1.0, clip / norm)
    for weight, start, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(weight, start - factor * gradient, rtol=1e-4, atol=1e-12)


def in_order(count, batch_size, steps, generator):
    return iter([torch.arange(batch_size)] * steps)
