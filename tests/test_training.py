"""Training, against loops written from scratch: one step, one run, many runs, tuning."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from helpers import training
from helpers.data import DataError, Dataset, Split
from helpers.models import freeze
from helpers.streams import batches, initialise, stream
from helpers.sweeps import best, steps_to
from helpers.training import evaluate, fit, fit_many, tune

PLAIN_SGD = torch.optim.SGD
HUGE = 1e30  # a learning rate that breaks any network with a hidden layer


def toy_split(count: int, seed: int, dtype: torch.dtype = torch.float32) -> Split:
    """Three noisy classes in four dimensions."""
    random = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (count,), generator=random)
    return Split(torch.randn(count, 4, generator=random).add(F.one_hot(y, 4)).to(dtype), y)


def toy(dtype: torch.dtype = torch.float32) -> Dataset:
    splits = [toy_split(count, seed, dtype) for seed, count in enumerate((50, 23, 31))]
    return Dataset("toy", *splits, ("a", "b", "c"), 0.0, 1.0)


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 3))


def broken_half_the_time() -> nn.Module:
    model = dense()
    if torch.rand(()) < 0.5:
        nn.init.constant_(model[0].weight, float("nan"))
    return model


TUNING = {"steps": 4, "batch_size": 10, "n_jobs": 1}
quick = partial(fit_many, lr=0.1, **TUNING)


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


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


# ---------------------------------------------------------------- random streams


def test_streams_are_repeatable_and_unrelated():
    first = {
        (seed, name): torch.randn(8, generator=stream(seed, name)).tolist()
        for seed in (0, 1, 11)
        for name in ("batches", "weights", "dropout")
    }
    assert len({tuple(numbers) for numbers in first.values()}) == len(first)
    assert torch.randn(8, generator=stream(1, "weights")).tolist() == first[1, "weights"]


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    fit(initialise(with_dropout, seed=0), toy(), steps=3, lr=0.1, seed=0, batch_size=10)
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_do_not_depend_on_global_random_state():
    one = initialise(dense, seed=3)
    torch.rand(7)
    assert_same_weights(one, initialise(dense, seed=3))
    assert not torch.equal(one[0].weight, initialise(dense, seed=4)[0].weight)


# ---------------------------------------------------------------- batches


@settings(max_examples=60, deadline=None, derandomize=True)
@given(count=st.integers(1, 40), share=st.floats(0, 1), steps=st.integers(1, 50))
def test_batches_are_full_and_show_no_example_twice_an_epoch(count, share, steps):
    size = max(1, round(share * count))
    drawn = list(batches(count, size, steps, torch.Generator().manual_seed(0)))
    assert len(drawn) == steps and all(len(batch) == size for batch in drawn)
    per_epoch = count // size
    for start in range(0, steps, per_epoch):
        seen = torch.cat(drawn[start : start + per_epoch])
        assert len(seen.unique()) == len(seen)
        assert seen.min() >= 0 and seen.max() < count


def test_every_epoch_is_shuffled_anew():
    drawn = torch.cat(list(batches(100, 20, 15, stream(0, "batches")))).reshape(3, 100)
    assert (drawn.sort(1).values == torch.arange(100)).all()
    assert len({tuple(epoch.tolist()) for epoch in drawn}) == 3


def test_every_example_gets_its_turn_when_the_last_batch_is_not_full():
    drawn = torch.cat(list(batches(7, 5, 30, stream(0, "batches"))))
    assert len(drawn.unique()) == 7


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
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


def test_the_learning_rate_decays_linearly_on_request():
    data, run = toy(torch.float64), {"steps": 8, "lr": 0.5, "seed": 1}
    model, twin = (initialise(dense, seed=1).double() for _ in range(2))
    fit(model, data, **run, batch_size=10, optimizer=PLAIN_SGD, schedule=training.linear_decay)
    descend(twin, data, **run, decay=True)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


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
    assert list(history) == ["step", "train_loss", "diverged_at", *splits]
    last = evaluate(model, toy().test)
    assert history.test_loss.iloc[-1] == last["loss"]
    assert history.test_accuracy.iloc[-1] == last["accuracy"]


def test_train_loss_is_the_mean_since_the_row_before():
    data = toy(torch.float64)
    model, twin = (initialise(dense, seed=1).double() for _ in range(2))
    settings_of_run = {"steps": 8, "lr": 0.5, "seed": 1}
    history = fit(
        model, data, **settings_of_run, batch_size=10, evaluate_every=3, optimizer=PLAIN_SGD
    )
    losses = descend(twin, data, **settings_of_run)
    expected = [np.mean(losses[:3]), np.mean(losses[3:6]), np.mean(losses[6:])]
    assert history.train_loss.to_list() == pytest.approx(expected, rel=1e-12)


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


def test_same_seed_same_run_other_seed_other_run():
    def run(seed):
        model = initialise(with_dropout, seed)
        return model, fit(model, toy(), steps=6, lr=0.1, seed=seed, batch_size=10)

    (one, history), (two, again), (other, _) = run(0), run(0), run(1)
    assert_same_weights(one, two)
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    assert not torch.equal(one[0].weight, other[0].weight)


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
    alone = quick({"sane": wide}, toy(), seeds=(0, 1), optimizer=PLAIN_SGD)
    for metric in ("test_accuracy", "valid_loss"):
        assert runs.final(metric).wild.isna().all()
    assert runs.final(diverged=1 / 3).wild.tolist() == [1 / 3, 1 / 3]
    pd.testing.assert_series_equal(runs.final().sane, alone.final().sane, check_exact=True)
    for seed in (0, 1):
        assert_same_weights(runs.models["sane", seed], alone.models["sane", seed])


def test_a_run_broken_by_its_very_last_update_is_nan_too():
    """The loss of the only batch was finite; what its update left behind is not."""
    runs = quick({"wild": wide}, toy(), seeds=(0,), steps=1, lr=HUGE, optimizer=PLAIN_SGD)
    assert not np.isfinite(runs.table.valid_loss[0])
    assert runs.final().wild.isna().all()


# ---------------------------------------------------------------- many runs


@pytest.fixture(scope="module")
def three_runs():
    return quick(
        {"dense": dense, "wide": wide}, toy(), seeds=(4, 7), lr={"dense": 0.1, "wide": 0.2}
    )


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


def test_final_has_a_row_per_seed_and_a_column_per_arm(three_runs):
    final = three_runs.final("valid_loss")
    assert list(final.index) == three_runs.seeds == [4, 7] and list(final) == ["dense", "wide"]
    for seed in (4, 7):
        model = three_runs.models["wide", seed]
        assert final.wide[seed] == evaluate(model, toy().valid)["loss"]


def test_curves_follow_one_arm():
    runs = quick({"dense": dense, "wide": wide}, toy(), seeds=(0, 1), evaluate_every=2)
    curves = runs.curves("wide", "valid_loss")
    assert list(curves.index) == [2, 4] and list(curves) == [0, 1]
    assert curves.loc[4, 1] == runs.final("valid_loss").wide[1]


def test_a_mark_is_reached_when_it_holds_twice_running():
    curves = pd.DataFrame(
        {
            "lucky once": [0.1, 0.9, 0.2, 0.9, 0.95],
            "at once": [0.9, 0.9, 0.1, 0.1, 0.1],
            "only at the end": [0.1, 0.1, 0.1, 0.1, 0.99],
            "never": [0.1, 0.2, 0.3, 0.4, 0.5],
        },
        index=[10, 20, 30, 40, 50],
    )
    assert steps_to(0.9, curves, never=999).tolist() == [40, 10, 999, 999]
    assert steps_to(0.9, curves).isna().sum() == 2


def test_final_takes_the_last_evaluation():
    runs = quick({"dense": dense}, toy(), seeds=(0,), evaluate_every=1)
    assert len(runs.table) == 4
    assert runs.final("test_loss").dense[0] == evaluate(runs.models["dense", 0], toy().test)["loss"]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_runs_do_not_depend_on_processes_or_other_arms(n_jobs, three_runs):
    before = training.networks_trained()
    arms = {"wide": wide, "masks": with_dropout, "dense": dense}
    rates = {"wide": 0.2, "masks": 0.3, "dense": 0.1}
    runs = quick(arms, toy(), seeds=(7,), lr=rates, n_jobs=n_jobs)
    assert training.networks_trained() - before == 3
    for arm in ("dense", "wide"):
        assert_same_weights(runs.models[arm, 7], three_runs.models[arm, 7])
        assert runs.final("test_loss")[arm][7] == three_runs.final("test_loss")[arm][7]
    alone = initialise(with_dropout, 7)
    fit(alone, toy(), steps=4, lr=0.3, seed=7, batch_size=10)
    assert_same_weights(runs.models["masks", 7], alone)


def test_arms_share_batches_and_initial_weights():
    shown = []

    def loss_function(prediction, y):
        if prediction.requires_grad:
            shown.append(y.tolist())
        return F.cross_entropy(prediction, y)

    def frozen():
        return freeze(dense(), ["0"])

    arms = {"dense": dense, "wide": wide, "frozen": frozen}
    runs = quick(arms, toy(), seeds=(3,), loss_function=loss_function)
    assert len(shown) == 12 and shown[:4] == shown[4:8] == shown[8:]
    assert torch.equal(runs.models["frozen", 3][0].weight, initialise(dense, 3)[0].weight)


def train_in_silence(model, data, *, lr, seed, note):
    """A way to train that leaves the network as it is and reports its settings."""
    return pd.DataFrame(
        {"step": [1], "diverged_at": [0], "test_accuracy": [lr * 100 + seed + note]}
    )


def test_another_way_to_train_gets_the_same_start_and_all_settings():
    before = training.networks_trained()
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
    assert training.networks_trained() - before == 4


def test_models_are_kept_only_on_request():
    assert quick({"dense": dense}, toy(), seeds=(0,), keep_models=False).models == {}


# ---------------------------------------------------------------- tuning


def test_tune_tabulates_mean_final_validation_loss():
    rates, seeds = (0.01, 0.1), (100, 101)
    table = tune({"b": dense, "a": wide}, toy(), grid={"lr": rates}, seeds=seeds, **TUNING)
    assert list(table.index) == list(rates) and list(table) == ["b", "a"]
    for rate in rates:
        runs = quick({"b": dense, "a": wide}, toy(), seeds=seeds, lr=rate)
        for arm in "ab":
            assert table.loc[rate, arm] == pytest.approx(
                np.mean([evaluate(runs.models[arm, s], toy().valid)["loss"] for s in seeds])
            )


def test_test_data_plays_no_part_in_tuning():
    choose = partial(tune, {"dense": dense}, grid={"lr": (0.01, 0.1)}, seeds=(100,), **TUNING)
    other = replace(toy(), test=toy_split(9, seed=77))
    pd.testing.assert_frame_equal(choose(toy()), choose(other), check_exact=True)


def test_a_rate_at_which_one_seed_diverged_counts_as_infinite():
    seeds = range(100, 106)
    broken = [initialise(broken_half_the_time, s)[0].weight.isnan().any().item() for s in seeds]
    assert set(broken) == {True, False}
    arms = {"sane": dense, "fragile": broken_half_the_time}
    table = tune(arms, toy(), grid={"lr": (0.01, 0.1)}, seeds=seeds, **TUNING)
    assert np.isinf(table.fragile).all() and np.isfinite(table.sane).all()


def test_a_diverged_rate_is_never_chosen():
    rates = (0.001, 0.1, HUGE)
    arms = {"wide": wide}
    table = tune(arms, toy(), grid={"lr": rates}, seeds=(100,), optimizer=PLAIN_SGD, **TUNING)
    assert table.wide[HUGE] == float("inf") and best(table) == {"wide": 0.1}


def grid(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=[0.001, 0.01, 0.1, 1.0])


def test_best_is_the_lowest_loss_of_each_arm():
    assert best(grid(a=[4, 2, 3, 5], b=[4, 3, 1, float("inf")])) == {"a": 0.01, "b": 0.1}


@pytest.mark.parametrize("losses", [[1, 2, 3, 4], [4, 3, 2, 1], [float("inf")] * 4])
def test_a_best_rate_at_the_edge_voids_the_run_and_names_the_arm(losses):
    with pytest.raises(ValueError, match=r"void: .*edge of its grid.*'lost'") as failure:
        best(grid(fine=[4, 2, 3, 5], lost=losses))
    assert "fine" not in str(failure.value)


def test_the_edge_is_that_of_the_values_not_of_the_rows():
    assert best(grid(a=[1, 4, 2, 3]).loc[[0.1, 0.001, 1.0, 0.01]].assign(a=[1, 2, 2, 2])) == {
        "a": 0.1
    }


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0: a run needs at least one update"),
        ({"steps": -3}, "steps is -3"),
        ({"lr": 0}, "lr is 0: a learning rate is positive and finite"),
        ({"lr": -0.1}, "lr is -0.1"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"batch_size": 51}, "batch_size is 51, but the training set holds 50 examples"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_settings_are_named_before_any_update(change, message):
    model = initialise(dense, seed=0)
    with pytest.raises(ValueError, match=message):
        fit(model, toy(), **{"steps": 2, "lr": 0.1, "seed": 0, "batch_size": 10} | change)
    assert_same_weights(model, initialise(dense, seed=0))


@pytest.mark.parametrize(
    "train",
    [
        Split(torch.zeros(20, 4, dtype=torch.uint8), torch.zeros(20, dtype=torch.int64)),
        Split(torch.zeros(20, 4), torch.zeros(20)),
        Split(torch.zeros(20, 4), torch.full((20,), 3)),
    ],
)
def test_unfit_data_is_refused(train):
    with pytest.raises(DataError):
        fit(dense(), replace(toy(), train=train), steps=1, lr=0.1, seed=0, batch_size=10)


@pytest.mark.parametrize(
    ("arms", "change"),
    [
        ({}, {}),
        ({"a": dense}, {"seeds": ()}),
        ({"a": dense, "b": dense}, {"lr": {"a": 0.1}}),
        ({"a": dense}, {"lr": {}}),
        ({"a": dense, "b": dense}, {"lr": {"a": 0.1, "unused": 0.1}}),
    ],
)
def test_nothing_to_train_is_said(arms, change):
    with pytest.raises(ValueError, match="nothing to train: arms"):
        quick(arms, toy(), **{"seeds": (0,)} | change)


def test_seeds_may_come_from_a_generator():
    runs = quick({"a": dense, "b": dense}, toy(), seeds=(seed for seed in (0, 1)))
    assert len(runs.models) == 4
    tuning = tune({"a": dense}, toy(), grid={"lr": (0.1, 0.2)}, seeds=iter((0, 1)), **TUNING)
    assert np.isfinite(tuning).all().all()


@pytest.mark.parametrize("split", ["valid", "test"])
def test_unfit_data_to_judge_by_is_refused_before_any_update(split):
    model, unfit = dense(), Split(torch.zeros(20, 4), torch.zeros(20))
    watched = []
    with pytest.raises(DataError):
        fit(
            model,
            replace(toy(), **{split: unfit}),
            steps=1,
            lr=0.1,
            seed=0,
            batch_size=10,
            watch=lambda step, _: watched.append(step),
        )
    assert watched == []


def test_rates_of_other_arms_are_ignored():
    runs = quick({"a": dense}, toy(), seeds=(0,), lr={"a": 0.1, "unused": 5.0})
    assert list(runs.final()) == ["a"]
