"""Training, against loops written from scratch: one step, one run, many runs, tuning."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from zoo import (
    HUGE,
    assert_close_weights,
    assert_same_weights,
    dense,
    toy,
    toy_split,
    wide,
    with_dropout,
)

from helpers import training
from helpers.data.dataset import IGNORED, DataError, Dataset, Split
from helpers.data.streams import stream
from helpers.nets.cnn import freeze
from helpers.nets.starts import initialise
from helpers.training.batches import batches
from helpers.training.fit import evaluate, fit
from helpers.training.many import fit_many, losses
from helpers.training.sweeps import Runs, best

PLAIN_SGD = torch.optim.SGD


def broken_half_the_time() -> nn.Module:
    model = dense()
    if torch.rand(()) < 0.5:
        nn.init.constant_(model[0].weight, float("nan"))
    return model


smooth = nn.CrossEntropyLoss(label_smoothing=0.9)  # prints like one without
TUNING = {"steps": 4, "batch_size": 10, "n_jobs": 1}
quick = partial(fit_many, lr=0.1, **TUNING)
alone = partial(quick, pack=1)  # one network at a time: bit for bit the same as `fit`


def tuned(arms, data, metric="valid_loss", **how) -> pd.DataFrame:
    return losses(fit_many(arms, data, **how, **TUNING), metric)


def descend(
    model: nn.Module, data: Dataset, steps: int, lr: float, seed: int, decay: bool = False
) -> list[float]:
    """Gradient descent without an optimizer; trains `model` and returns the loss of each batch."""
    losses = []
    for done, batch in enumerate(batches(len(data.train.y), 10, steps, stream(seed, "batches"))):
        rate = lr * (steps - done) / steps if decay else lr
        loss = F.cross_entropy(model(data.train.x[batch]), data.train.y[batch])
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for weight, gradient in zip(model.parameters(), gradients, strict=True):
                weight -= rate * gradient
        losses.append(loss.item())
    return losses


# ---------------------------------------------------------------- one run


@pytest.mark.parametrize("lr", [1.0, 0.5, 0.125])  # powers of two, as lr * g must not be rounded
def test_one_step_is_the_update_rule_bit_for_bit(lr):
    data = toy(torch.float64)
    model, twin = (initialise(dense, seed=0).double() for _ in range(2))
    fit(model, data, steps=1, lr=lr, seed=5, batch_size=10, optimizer=PLAIN_SGD)
    descend(twin, data, steps=1, lr=lr, seed=5)
    assert_same_weights(model, twin)


@pytest.mark.parametrize("optimizer", [PLAIN_SGD, training.SGD])
def test_many_steps_equal_a_loop_by_hand(optimizer):
    data = toy(torch.float64)
    model, twin = (initialise(dense, seed=0).double() for _ in range(2))
    fit(model, data, steps=12, lr=0.3, seed=5, batch_size=10, optimizer=optimizer)
    descend(twin, data, steps=12, lr=0.3, seed=5)
    assert_close_weights(model, twin, 1e-14)


def test_the_learning_rate_decays_linearly_on_request():
    data, run = toy(torch.float64), {"steps": 8, "lr": 0.5, "seed": 1}
    model, twin = (initialise(dense, seed=1).double() for _ in range(2))
    fit(model, data, **run, batch_size=10, optimizer=PLAIN_SGD, schedule=training.linear_decay)
    descend(twin, data, **run, decay=True)
    assert_close_weights(model, twin, 1e-14)


def test_adam_equals_its_equations():
    """Kingma and Ba 2015, algorithm 1, on a network of one layer."""
    data, model = toy(torch.float64), nn.Linear(4, 3, bias=False).double()
    weight = model.weight.detach().clone().requires_grad_()
    m = v = torch.zeros_like(weight)
    order = list(batches(50, 10, 6, stream(2, "batches")))
    fit(model, data, steps=6, lr=0.01, seed=2, batch_size=10)
    for t, batch in enumerate(order, start=1):
        loss = F.cross_entropy(data.train.x[batch] @ weight.T, data.train.y[batch])
        (g,) = torch.autograd.grad(loss, weight)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = 0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        weight = (weight - step).detach().requires_grad_()
    torch.testing.assert_close(model.weight, weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("evaluate_every", "rows"),
    [(None, [8]), (3, [3, 6, 8]), (4, [4, 8]), (1, range(1, 9)), (9, [8])],
)
def test_history_has_a_row_per_evaluation(evaluate_every, rows):
    model = initialise(dense, seed=0)
    history = fit(
        model, toy(), steps=8, lr=0.1, seed=0, batch_size=10, evaluate_every=evaluate_every
    )
    assert list(history.step) == list(rows)
    splits = [f"{split}_{metric}" for split in ("valid", "test") for metric in ("loss", "accuracy")]
    assert list(history) == ["step", "train_loss", "peak_loss", "diverged_at", *splits]
    for name in ("valid", "test"):
        last = evaluate(model, getattr(toy(), name))
        assert history[f"{name}_loss"].iloc[-1] == last["loss"]
        assert history[f"{name}_accuracy"].iloc[-1] == last["accuracy"]


def test_train_loss_and_peak_loss_are_mean_and_largest_since_the_row_before():
    data = toy(torch.float64)
    model, twin = (initialise(dense, seed=1).double() for _ in range(2))
    settings_of_run = {"steps": 8, "lr": 0.5, "seed": 1}
    history = fit(
        model, data, **settings_of_run, batch_size=10, evaluate_every=3, optimizer=PLAIN_SGD
    )
    losses = descend(twin, data, **settings_of_run)
    expected = [np.mean(losses[:3]), np.mean(losses[3:6]), np.mean(losses[6:])]
    assert history.train_loss.to_list() == pytest.approx(expected, rel=1e-12)
    largest = [max(losses[:3]), max(losses[3:6]), max(losses[6:])]
    assert history.peak_loss.to_list() == pytest.approx(largest, rel=1e-12)


def test_watch_sees_every_update_in_training_mode():
    seen = []
    model = initialise(with_dropout, seed=0)
    first = model[0].weight.detach().clone()

    def watch(step, watched):
        seen.append((step, watched.training, torch.equal(watched[0].weight, first)))

    fit(model, toy(), steps=3, lr=0.1, seed=0, batch_size=10, evaluate_every=1, watch=watch)
    assert seen == [(0, True, True), (1, True, False), (2, True, False), (3, True, False)]


def test_evaluating_more_often_changes_nothing():
    models = [initialise(with_dropout, seed=0) for _ in range(2)]
    for model, every in zip(models, (None, 1), strict=True):
        fit(model, toy(), steps=6, lr=0.1, seed=0, batch_size=10, evaluate_every=every)
    assert_same_weights(*models)


def test_dropout_masks_belong_to_the_seed():
    models = [initialise(with_dropout, seed=0) for _ in range(3)]
    data = replace(toy(), train=Split(torch.ones(10, 4), torch.zeros(10, dtype=torch.int64)))
    for model, seed in zip(models, (0, 0, 1), strict=True):  # equal examples: only masks differ
        torch.rand(seed + 1)
        fit(model, data, steps=1, lr=0.1, seed=seed, batch_size=10, optimizer=PLAIN_SGD)
    assert_same_weights(models[0], models[1])
    assert not torch.equal(models[0][0].weight, models[2][0].weight)


# ---------------------------------------------------------------- evaluation


@pytest.mark.parametrize("batch_size", [500, 23, 10, 1])
def test_evaluate_by_hand_whatever_the_batches(batch_size):
    model, split = initialise(dense, seed=0).double(), toy_split(23, 0, torch.float64)
    logits = model(split.x)
    measured = evaluate(model, split, batch_size=batch_size)
    expected = -(logits - logits.logsumexp(1, keepdim=True))[range(23), split.y].mean().item()
    assert measured["loss"] == pytest.approx(expected, rel=1e-12)
    assert measured["accuracy"] == np.mean(
        [r.argmax() == k for r, k in zip(logits, split.y, strict=True)]
    )


class AsGiven(nn.Module):
    """Scores of every step, (batch, classes, time), that come as inputs (batch, time, classes)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


@pytest.mark.parametrize("batch_size", [3, 2, 1])
def test_evaluate_counts_the_steps_that_are_scored_whatever_the_batches(batch_size):
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([[1, 2, 3, 4], [0, *[IGNORED] * 3], [1, 0, IGNORED, IGNORED]])
    measured = evaluate(AsGiven(), Split(x, y), batch_size=batch_size)
    logits, labels = x[y != IGNORED], y[y != IGNORED]  # seven steps
    assert measured["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-12)
    assert measured["accuracy"] == (logits.argmax(1) == labels).sum().item() / 7


@pytest.mark.parametrize("training_mode", [True, False])
def test_evaluate_switches_dropout_off_and_restores_the_mode(training_mode):
    model, split = initialise(with_dropout, seed=0).train(training_mode), toy_split(23, 0)
    measured = [evaluate(model, split) for _ in range(3)]
    assert model.training == model[1].training == training_mode
    expected = F.cross_entropy(model.eval()(split.x), split.y).item()
    assert [m["loss"] for m in measured] == pytest.approx([expected] * 3, rel=1e-6)


# ---------------------------------------------------------------- divergence


def test_divergence_is_dated_to_the_first_broken_update():
    data, settings_of_run = toy(), {"steps": 20, "lr": HUGE, "seed": 0}
    model, twin = (initialise(wide, seed=0) for _ in range(2))
    history = fit(
        model, data, **settings_of_run, batch_size=10, evaluate_every=4, optimizer=PLAIN_SGD
    )
    losses = descend(twin, data, **settings_of_run)
    first = next(step for step, loss in enumerate(losses, start=1) if not np.isfinite(loss))
    assert history.diverged_at.iloc[-1] == first > 1
    assert history.step.iloc[-1] == -(-first // 4) * 4 < 20  # stopped at the evaluation after it
    assert (history.diverged_at.iloc[:-1] == 0).all()


def test_a_diverged_run_is_nan_and_harms_no_neighbour():
    arms = {"sane": wide, "wild": wide}
    runs = quick(arms, toy(), seeds=(0, 1), lr={"sane": 0.1, "wild": HUGE}, optimizer=PLAIN_SGD)
    without = quick({"sane": wide}, toy(), seeds=(0, 1), optimizer=PLAIN_SGD)
    for metric in ("test_accuracy", "valid_loss"):
        assert runs.final(metric).wild.isna().all()
    assert runs.final(diverged=1 / 3).wild.tolist() == [1 / 3, 1 / 3]
    pd.testing.assert_series_equal(runs.final().sane, without.final().sane, check_exact=True)
    for seed in (0, 1):
        assert_same_weights(runs.models["sane", seed], without.models["sane", seed])


def test_a_run_broken_by_its_very_last_update_is_nan_too():
    """The loss of the only batch was finite; what its update left behind is not."""
    runs = quick({"wild": wide}, toy(), seeds=(0,), steps=1, lr=HUGE, optimizer=PLAIN_SGD)
    assert not np.isfinite(runs.table.valid_loss[0])
    assert runs.final().wild.isna().all()


# ---------------------------------------------------------------- many runs


@pytest.fixture(scope="module")
def three_runs():
    rates = {"dense": 0.1, "wide": 0.2}
    return alone({"dense": dense, "wide": wide}, toy(), seeds=(4, 7), lr=rates)


def test_runs_are_a_tidy_table_with_their_models(three_runs):
    table = three_runs.table
    assert list(table)[:4] == ["arm", "lr", "seed", "step"]
    assert list(zip(table.arm, table.lr, table.seed, strict=True)) == [
        ("dense", 0.1, 4),
        ("dense", 0.1, 7),
        ("wide", 0.2, 4),
        ("wide", 0.2, 7),
    ]
    for (arm, seed), model in three_runs.models.items():
        row = table[(table.arm == arm) & (table.seed == seed)].iloc[-1]
        assert evaluate(model, toy().test)["loss"] == row.test_loss


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_runs_do_not_depend_on_processes_or_other_arms(n_jobs, three_runs):
    arms = {"wide": wide, "masks": with_dropout, "dense": dense}
    rates = {"wide": 0.2, "masks": 0.3, "dense": 0.1}
    runs = alone(arms, toy(), seeds=(7,), lr=rates, n_jobs=n_jobs)
    for arm in ("dense", "wide"):
        assert_same_weights(runs.models[arm, 7], three_runs.models[arm, 7])
        assert runs.final("test_loss")[arm][7] == three_runs.final("test_loss")[arm][7]
    by_fit = initialise(with_dropout, 7)
    fit(by_fit, toy(), steps=4, lr=0.3, seed=7, batch_size=10)
    assert_same_weights(runs.models["masks", 7], by_fit)


@pytest.mark.slow
@pytest.mark.parametrize("pack", [1, 3])
def test_fit_with_settings_of_its_own_keeps_its_stacks(pack):
    own = partial(partial(fit, steps=9, clip=0.1), steps=4)
    how = {"seeds": range(3), "lr": 0.1, "batch_size": 10, "n_jobs": 1, "pack": pack}
    ticks = []
    runs = fit_many({"a": dense}, toy(), train=own, tick=lambda *n: ticks.append(n), **how)
    plain = fit_many({"a": dense}, toy(), steps=4, clip=0.1, **how)
    pd.testing.assert_frame_equal(runs.table, plain.table, check_exact=True)
    assert ticks == [("a", pack)] * (12 // pack)
    over = fit_many({"a": dense}, toy(), train=own, **how, steps=2)
    assert set(over.table.step) == {2}  # what fit_many is given itself goes before


@pytest.mark.slow
def test_a_stack_gives_the_same_table_as_one_network_at_a_time():
    grid = {"lr": [0.05, 0.1], "clip": {"tight": 0.1, "none": None}}
    sweep = partial(fit_many, data=toy(torch.float64), seeds=range(3), grid=grid, **TUNING)
    double = {"a": lambda: dense().double(), "b": lambda: wide().double()}
    one, four, most = (sweep(double, pack=pack, evaluate_every=2) for pack in (1, 4, None))
    for other in (four, most):
        pd.testing.assert_frame_equal(one.table, other.table, check_exact=False, rtol=1e-12)
        for key, model in one.models.items():
            assert_close_weights(model, other.models[key], atol=1e-12)
    assert list(one.models)[2:4] == [("a", 0.05, "tight", 2), ("a", 0.05, "none", 0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("weight_decay", {"none": None, "some": 0.5}),
        ("optimizer", {"SGD": training.SGD, "Adam": training.ADAM}),
        ("schedule", {"flat": training.constant, "falling": training.linear_decay}),
        ("batch_size", [5, 10]),
        ("steps", [2, 6]),
        ("clip", [None, 0.01]),
        ("loss_function", {"plain": nn.CrossEntropyLoss(), "smooth": smooth}),
    ],
)
def test_any_setting_may_be_a_grid(name, values):
    """Those whose values look the same printed, too: nothing of one point rubs off on another."""
    plain = {k: v for k, v in {"lr": 0.1, **TUNING}.items() if k != name}
    runs = fit_many({"a": dense}, toy(), seeds=(0, 1), grid={name: values}, **plain)
    labelled = values if isinstance(values, dict) else {value: value for value in values}
    assert runs.final("valid_loss").shape == (2, 2)
    for label, value in labelled.items():
        single = fit_many({"a": dense}, toy(), seeds=(0, 1), **plain | {name: value})
        for seed in (0, 1):
            assert_close_weights(runs.models["a", label, seed], single.models["a", seed], 1e-6)
    first, second = (runs.models["a", label, 0] for label in labelled)
    assert not torch.allclose(first[0].weight, second[0].weight, rtol=1e-3)


def test_watched_runs_are_watched_every_time(tmp_path):
    run = partial(quick, {"a": dense}, toy(), seeds=(0, 1), folder=tmp_path)
    for _ in range(2):
        seen = []
        run(watch=lambda step, _, seen=seen: seen.append(step))
        assert seen == [0, 1, 2, 3, 4] * 2


def test_arms_share_batches_and_initial_weights():
    shown = []

    def order(*given):
        for batch in batches(*given):
            shown.append(batch.tolist())
            yield batch

    def frozen():
        return freeze(dense(), ["0"])

    arms = {"dense": dense, "wide": wide, "frozen": frozen}
    runs = alone(arms, toy(), seeds=(3,), order=order)
    assert len(shown) == 12 and shown[:4] == shown[4:8] == shown[8:]
    assert torch.equal(runs.models["frozen", 3][0].weight, initialise(dense, 3)[0].weight)


def train_in_silence(model, data, *, lr, seed, note):
    """A way to train that leaves the network as it is and reports its settings."""
    return pd.DataFrame(
        {"step": [1], "diverged_at": [0], "test_accuracy": [lr * 100 + seed + note]}
    )


def test_another_way_to_train_gets_the_same_start_and_all_settings():
    runs = fit_many(
        {"a": dense, "b": wide},
        toy(),
        seeds=(4, 5),
        lr={"a": 1, "b": 2},
        n_jobs=1,
        train=train_in_silence,
        note=0.5,
    )
    assert runs.final().to_dict() == {"a": {4: 104.5, 5: 105.5}, "b": {4: 204.5, 5: 205.5}}
    assert_same_weights(runs.models["b", 5], initialise(wide, 5))


def test_models_are_kept_only_on_request():
    assert quick({"dense": dense}, toy(), seeds=(0,), keep_models=False).models == {}


# ---------------------------------------------------------------- tuning


def test_losses_are_the_means_after_the_last_update():
    rates, seeds = (0.01, 0.1), (100, 101)
    table = tuned({"b": dense, "a": wide}, toy(), grid={"lr": rates}, seeds=seeds)
    assert list(table.index) == list(rates) and list(table) == ["b", "a"]
    for rate in rates:
        runs = alone({"b": dense, "a": wide}, toy(), seeds=seeds, lr=rate)
        for arm in "ab":
            assert table.loc[rate, arm] == pytest.approx(
                np.mean([evaluate(runs.models[arm, s], toy().valid)["loss"] for s in seeds])
            )


def test_one_unlucky_seed_counts_as_much_as_any_other():
    columns = {"arm": "a", "lr": 0.1, "seed": [1, 2, 3], "step": 4, "diverged_at": 0}
    runs = Runs(pd.DataFrame(columns | {"valid_loss": [1.0, 1.0, 4.0]}), {}, ("lr",))
    assert losses(runs).loc[0.1, "a"] == 2


def test_losses_by_error_are_the_share_of_wrong_answers():
    how = {"grid": {"lr": (0.01, 0.1)}, "seeds": (100, 101)}
    table = tuned({"a": dense}, toy(), metric="valid_error", **how)
    runs = alone({"a": dense}, toy(), seeds=(100, 101), lr=0.1)
    right = [evaluate(runs.models["a", s], toy().valid)["accuracy"] for s in (100, 101)]
    assert table.loc[0.1, "a"] == pytest.approx(1 - np.mean(right))
    with pytest.raises(ValueError, match="valid_loss or valid_error"):
        tuned({"a": dense}, toy(), metric="test_loss", **how)


def test_test_data_plays_no_part_in_tuning():
    choose = partial(tuned, {"dense": dense}, grid={"lr": (0.01, 0.1)}, seeds=(100,))
    other = replace(toy(), test=toy_split(9, seed=77))
    pd.testing.assert_frame_equal(choose(toy()), choose(other), check_exact=True)


def test_a_rate_at_which_one_seed_diverged_counts_as_infinite():
    seeds = range(100, 106)
    broken = [initialise(broken_half_the_time, s)[0].weight.isnan().any().item() for s in seeds]
    assert set(broken) == {True, False}
    arms = {"sane": dense, "fragile": broken_half_the_time}
    table = tuned(arms, toy(), grid={"lr": (0.01, 0.1)}, seeds=seeds)
    assert np.isinf(table.fragile).all() and np.isfinite(table.sane).all()


def test_what_was_best_can_be_trained_with():
    grid = {"lr": (0.001, 0.1, HUGE), "clip": (None, 1.0)}
    arms = {"a": wide, "b": wide}
    table = tuned(arms, toy(), seeds=(100,), grid=grid, optimizer=PLAIN_SGD)
    assert table.shape == (6, 2) and list(table.index.names) == ["lr", "clip"]
    table.loc[(0.1, None), "a"] = table.loc[(0.1, 1.0), "b"] = 0.0
    chosen = best(table.drop(index=[(0.1, 1.0)]))
    assert chosen == {"lr": {"a": 0.1, "b": 0.1}, "clip": {"a": None, "b": None}}
    runs = fit_many(arms, toy(), seeds=(0,), **chosen, **TUNING)
    assert len(runs.table) == 2


# ---------------------------------------------------------------- bad input


NAN, INFINITY = float("nan"), float("inf")
TWO = {"a": dense, "b": dense}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {}}, r"nothing to train: arms \[\]"),
        ({"seeds": ()}, r"nothing to train: arms \['a'\], seeds {'a': \[\]}"),
        ({"arms": TWO, "lr": {"a": 0.1}}, r"lr is given for the arms \['a'\], but not for 'b'"),
        ({"lr": {}}, r"lr is given for the arms \[\], but not for 'a'"),
        ({"seeds": (0, 1, 0)}, r"seeds \[0, 1, 0\] hold a seed twice"),
        ({"grid": {"clip": []}}, r"empty axes \['clip'\]"),
        ({"grid": {"clip": {}}}, r"empty axes \['clip'\]"),
        ({"grid": {"clip": [1, 2, 1.0]}}, r"clip: the grid \[1, 2, 1.0\] holds a value twice"),
        ({"grid": {"clip": iter([1, 1])}}, r"clip: the grid \[1, 1\] holds a value twice"),
        ({"grid": {"clip": 1.0}}, r"clip: the grid is 1.0, give a list"),
        ({"grid": {"lr": [0.1, 0.2]}}, r"\['lr'\] are in the grid and given as a setting"),
        ({"grid": {"weight_decay": [0, -1]}}, "weight_decay is -1"),
        ({"grid": {"weight_decay": [0, NAN]}}, "weight_decay is nan"),
        ({"grid": {"clip": [1, 0]}}, "clip is 0"),
        ({"grid": {"clip": [1, NAN]}}, "clip is nan"),
        ({"stepz": 3}, "stepz: no such setting, there are steps, lr, batch_size"),
        ({"grid": {"momentum": [0, 0.9]}}, "momentum: no such setting, there are steps, lr"),
        ({"seed": 3}, "seed: no such setting"),
        ({"seeds": (0, 1.5)}, "seed is 1.5: give a whole number"),
        ({"seeds": (0, True)}, "seed is True: give a whole number"),
    ],
)
def test_a_bad_sweep_is_named_before_any_update(change, message):
    ticks, how = [], {"tick": lambda arm, updates: ticks.append(updates)}
    with pytest.raises(ValueError, match=message):
        quick(**{"arms": {"a": dense}, "data": toy(), "seeds": (0,)} | how | change)
    assert not ticks


@pytest.mark.parametrize(
    ("settings_of_run", "missing"),
    [({"steps": 3}, "lr"), ({"lr": 0.1}, "steps"), ({}, "steps, lr")],
)
def test_missing_settings_are_named(settings_of_run, missing):
    with pytest.raises(ValueError, match=f"^{missing}: missing"):
        fit_many({"a": dense}, toy(), seeds=(0,), **settings_of_run)
    with pytest.raises(ValueError, match=r"^note: missing"):
        fit_many({"a": dense}, toy(), seeds=(0,), lr=1, train=train_in_silence)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_unfit_data_is_refused_before_any_update(split):
    unfit = Split(torch.zeros(20, 4), torch.zeros(20))
    watched, run = [], {"steps": 1, "lr": 0.1, "seed": 0, "batch_size": 10}
    with pytest.raises(DataError, match=rf"{split}\.y has dtype torch\.float32"):
        data = replace(toy(), **{split: unfit})
        fit(dense(), data, watch=lambda *seen: watched.append(seen), **run)
    assert watched == []


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 5, 2)])
def test_cross_entropy_is_torchs_with_what_is_ignored_left_out(shape):
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=random, dtype=torch.float64)
    labels = torch.randint(3, (shape[0], *shape[2:]), generator=random)
    labels[0] = IGNORED
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(training.cross_entropy(logits, labels), expected, rtol=0, atol=1e-12)


def test_a_sweep_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    quick({"a": with_dropout}, toy(), seeds=(0, 1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("lr", [0, -0.1, NAN, INFINITY])
def test_a_bad_rate_in_a_grid_is_named(lr):
    with pytest.raises(ValueError, match=f"lr is {lr}: use a finite number above 0"):
        fit_many({"a": dense}, toy(), seeds=(0,), grid={"lr": [0.1, lr]}, **TUNING)
