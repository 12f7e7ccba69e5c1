"""What a sweep brings back: its table, the choice of settings, the step a mark was reached."""

import math
from functools import partial

import pandas as pd
import pytest
from zoo import dense, toy, wide

from helpers.training.fit import evaluate
from helpers.training.many import fit_many
from helpers.training.sweeps import best, lowest, parabola_vertex, steps_to

quick = partial(fit_many, lr=0.1, steps=4, batch_size=10, n_jobs=1, pack=1)


@pytest.fixture(scope="module")
def runs():
    return quick({"dense": dense, "wide": wide}, toy(), seeds=(4, 7))


def test_final_has_a_row_per_seed_and_a_column_per_arm(runs):
    final = runs.final("valid_loss")
    assert list(final.index) == runs.seeds == [4, 7] and list(final) == ["dense", "wide"]
    for seed in (4, 7):
        model = runs.models["wide", seed]
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


def grid(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.Index([0.001, 0.01, 0.1, 1.0], name="lr"))


def test_best_is_the_lowest_loss_of_each_arm():
    assert best(grid(a=[4, 2, 3, 5], b=[4, 3, 1, float("inf")])) == {"lr": {"a": 0.01, "b": 0.1}}


def test_the_lowest_loss_may_lie_at_the_end_of_its_grid():
    assert lowest(grid(a=[1, 2, 3, 4], b=[4, 3, 2, 1])) == {"lr": {"a": 0.001, "b": 1.0}}


@pytest.mark.parametrize("losses", [[1, 2, 3, 4], [4, 3, 2, 1], [float("inf")] * 4])
def test_a_best_rate_at_the_edge_voids_the_run_and_names_the_arm(losses):
    with pytest.raises(ValueError, match=r"void: .*edge of its grid.*: lost: lr") as failure:
        best(grid(fine=[4, 2, 3, 5], lost=losses))
    assert "fine" not in str(failure.value)


def test_the_edge_is_that_of_the_values_not_of_the_rows():
    shuffled = grid(a=[2, 2, 1, 2]).loc[[0.1, 0.001, 1.0, 0.01]]
    assert best(shuffled) == {"lr": {"a": 0.1}}


# ---------------------------------------------------------------- grids of several settings


@pytest.fixture(scope="module")
def varied():
    grid = {"lr": [0.2, 0.1], "weight_decay": {"none": None, "some": 0.3}}
    run = partial(fit_many, steps=4, batch_size=10, n_jobs=1, evaluate_every=2)
    return run({"b": dense, "a": wide}, toy(), seeds=(4, 7), grid=grid)


@pytest.mark.slow
def test_a_grid_has_a_column_per_setting_in_the_order_given(varied):
    assert list(varied.table)[:5] == ["arm", "lr", "weight_decay", "seed", "step"]
    final = varied.final("valid_loss")
    points = [(lr, decay) for lr in (0.2, 0.1) for decay in ("none", "some")]
    assert list(final) == [(arm, *point) for arm in "ba" for point in points]
    assert final.columns.names == ["arm", "lr", "weight_decay"] and list(final.index) == [4, 7]
    for key, model in varied.models.items():
        loss = evaluate(model, toy().valid)["loss"]
        assert final.loc[key[-1], key[:-1]] == pytest.approx(loss, rel=1e-5)


def test_curves_of_one_point_of_a_grid(varied):
    curves = varied.curves("a", "valid_loss", lr=0.1, weight_decay="some")
    assert list(curves.index) == [2, 4] and list(curves) == [4, 7]
    assert curves.loc[4, 7] == varied.final("valid_loss").loc[7, ("a", 0.1, "some")]


def test_final_takes_what_a_diverged_run_counts_for(varied):
    table = varied.table.copy()
    broken = (table.arm == "a") & (table.lr == 0.1) & (table.seed == 7) & (table.step == 4)
    table.loc[broken, "diverged_at"] = 3
    final = type(varied)(table, {}, varied.grid).final(diverged=0.5)
    assert (final == 0.5).sum().sum() == 2 and (final.a.loc[7] == 0.5).sum() == 2


def tuning_table(**columns) -> pd.DataFrame:
    points = [(lr, o) for lr in (0.001, 0.01, 0.1) for o in ("SGD", "Adam", None)]
    return pd.DataFrame(columns, index=pd.MultiIndex.from_tuples(points, names=["lr", "optimizer"]))


def test_best_of_several_settings_gives_each_arm_its_own():
    table = tuning_table(a=[9, 9, 9, 9, 1, 9, 9, 9, 9], b=[9, 9, 9, 9, 9, 1, 9, 9, 9])
    assert best(table) == {"lr": {"a": 0.01, "b": 0.01}, "optimizer": {"a": "Adam", "b": None}}


def test_only_numbers_have_an_edge():
    """The first optimizer of a list is no edge, the first learning rate is."""
    with pytest.raises(ValueError, match=r"void: .* b: lr 0.001$"):
        best(tuning_table(a=[9, 9, 9, 1, 9, 9, 9, 9, 9], b=[9, 1, 9, 9, 9, 9, 9, 9, 9]))


def test_nothing_lies_beyond_zero_and_infinity():
    table = pd.DataFrame({"a": [1, 2, 3], "b": [3, 2, 1]}, index=pd.Index([0, 1, math.inf]))
    assert best(table.rename_axis("clip")) == {"clip": {"a": 0, "b": math.inf}}


def test_what_was_not_tried_with_an_arm_is_no_part_of_its_grid():
    table = grid(a=[4, 2, 3, math.nan], b=[math.nan, 2, 3, 4])
    with pytest.raises(ValueError, match=r"b: lr 0.01"):
        best(table)
    assert best(table[["a"]]) == {"lr": {"a": 0.01}}


# ---------------------------------------------------------------- between the points of a grid


def bowl(lowest: float, rates: list[float]) -> pd.Series:
    """A parabola in log10 with its vertex at `lowest`."""
    return pd.Series({rate: 1 + math.log10(rate / lowest) ** 2 for rate in rates})


@pytest.mark.parametrize("where", [0.05, 0.1, 0.2])
def test_the_vertex_of_a_parabola_is_found_on_an_uneven_grid(where):
    losses = bowl(where, [0.01, 0.03, 0.1, 0.3, 1.0])
    assert parabola_vertex(losses) == pytest.approx(where)
    assert parabola_vertex(losses.sample(frac=1, random_state=0)) == pytest.approx(where)


def test_where_a_neighbour_diverged_the_lowest_itself_is_taken():
    for lost in (math.inf, math.nan):
        assert parabola_vertex(pd.Series([3, 2, lost], index=[0.1, 1, 10])) == 1
    assert parabola_vertex(pd.Series([2, 2, 2, 3], index=[0.1, 1, 10, 100])) is not None


def test_the_lowest_at_an_end_is_void():
    falling, rising = (pd.Series(v, index=[1, 4, 16]) for v in ([3, 2, 1], [1, 2, 3]))
    assert math.isnan(parabola_vertex(falling)) and math.isnan(parabola_vertex(rising))
