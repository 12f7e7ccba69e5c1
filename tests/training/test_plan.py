"""The plan of a sweep: all its runs, which of them share a pack, and how many."""

import itertools
from collections import Counter
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from zoo import ZOO, dense, noise, toy, wide

from helpers.nets.ablations import HeldLSTM, TiedLSTM
from helpers.nets.normalisation import LayerNormOverTime, NormalisedLSTM
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import LastStep
from helpers.training.engine import plan
from helpers.training.engine.plan import Run, divide, expand, training_memory

SETTINGS = {"steps": 1, "batch_size": 8, "loss_function": F.cross_entropy}
MOST = plan.MOST_ON_CPU


# ---------------------------------------------------------------- all runs of a sweep


def test_every_arm_at_every_point_on_every_seed():
    grid = {"lr": [0.1, 0.2], "optimizer": {"one": dense, "two": len}}
    runs = expand("ab", [3, 4], grid, {"steps": {"a": 5, "b": 6}, "clip": None})
    keys = itertools.product("ab", (0.1, 0.2), ("one", "two"), (3, 4))
    assert [run.key for run in runs] == list(keys)
    for run in runs:
        lr, label = run.labels
        optimizer = {"one": dense, "two": len}[label]
        steps = {"a": 5, "b": 6}[run.arm]
        assert run.settings == {"steps": steps, "clip": None, "lr": lr, "optimizer": optimizer}


def test_without_a_grid_a_run_is_named_by_arm_and_seed():
    assert [run.key for run in expand(["a"], [1], {}, {"lr": 0.1})] == [("a", 1)]


def test_every_arm_may_have_seeds_of_its_own():
    runs = expand("ab", {"a": [1], "b": [1, 2]}, {}, {})
    assert [run.key for run in runs] == [("a", 1), ("b", 1), ("b", 2)]


# ---------------------------------------------------------------- packs


def packs_of(runs, *, arms=None, data=None, stacked=True, pack=None, jobs=1, memory=0.5):
    """The runs of every pack."""
    arms, data = arms or {"a": dense, "b": wide}, data or toy()
    packs = divide(runs, arms, data, stacked=stacked, pack=pack, jobs=jobs, memory=memory)
    assert all(pack.build is arms[run.arm] for pack in packs for run in pack.runs)
    return [pack.runs for pack in packs]


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    families=st.lists(st.integers(1, 12), min_size=1, max_size=4),  # runs of each
    size=st.integers(1, 9),
    jobs=st.integers(1, 20),
    shuffle=st.randoms(use_true_random=False),
)
def test_every_run_is_in_one_pack_of_its_kin(families, size, jobs, shuffle):
    runs = [
        Run("ab"[k % 2], seed, SETTINGS | {"lr": seed / 2, "batch_size": k + 1}, ())
        for k, count in enumerate(families)
        for seed in range(count)
    ]
    shuffle.shuffle(runs)
    packs = packs_of(runs, pack=size, jobs=jobs)

    def name(run):
        return run.arm, run.seed, run.settings["batch_size"]

    assert Counter(map(name, itertools.chain(*packs))) == Counter(map(name, runs))
    for pack in packs:
        assert len({(run.arm, run.settings["batch_size"]) for run in pack}) == 1
        assert 1 <= len(pack) <= size
    fewest = sum(-(-count // size) for count in families)
    assert min(jobs, len(runs)) <= len(packs) <= max(fewest, jobs)
    for k in range(len(families)):  # equal shares
        lengths = [len(pack) for pack in packs if pack[0].settings["batch_size"] == k + 1]
        assert max(lengths) - min(lengths) <= 1


def test_rate_decay_clipping_and_seed_may_differ_within_a_pack():
    grid = {"lr": [1, 2], "weight_decay": [0, 1], "clip": [1, 2]}
    runs = expand("a", [0, 1], grid, SETTINGS)
    assert packs_of(runs) == [runs]


@pytest.mark.parametrize(
    "values",
    [
        {"one": nn.CrossEntropyLoss(), "two": nn.CrossEntropyLoss(weight=torch.ones(3))},
        {"one": partial(F.cross_entropy, weight=torch.ones(3)), "two": F.cross_entropy},
        {"one": lambda p, y: p.mean(), "two": lambda p, y: p.sum()},
    ],
)
def test_other_settings_are_kept_apart_even_if_they_look_alike(values):
    given = {name: value for name, value in SETTINGS.items() if name != "loss_function"}
    packs = packs_of(expand("a", [0, 1], {"loss_function": values}, given))
    labels = sorted([run.labels for run in pack] for pack in packs)
    assert labels == [[("one",)] * 2, [("two",)] * 2]


def test_a_given_size_makes_packs_that_do_not_depend_on_the_number_of_workers():
    runs = expand("ab", range(12), {}, SETTINGS | {"lr": 0.1})
    layouts = [packs_of(runs, pack=4, jobs=jobs) for jobs in (1, 2, 3, 6)]
    assert all(layout == layouts[0] for layout in layouts) and len(layouts[0]) == 6
    assert len(packs_of(runs, pack=4, jobs=7)) == 7  # more workers than packs: smaller packs


def test_the_costliest_pack_comes_first():
    steps = {"a": 2, "b": 2, "longer": 40}
    runs = expand(["a", "b", "longer"], [0], {}, SETTINGS | {"steps": steps})
    packs = packs_of(runs, arms={"a": dense, "b": wide, "longer": dense}, jobs=2)
    assert [pack[0].arm for pack in packs] == ["longer", "b", "a"]


def test_of_packs_alike_the_larger_one_comes_first():
    runs = expand("ab", {"a": [0], "b": [0, 1, 2]}, {}, SETTINGS)
    packs = packs_of(runs, arms={"a": dense, "b": dense}, pack=3)
    assert [len(pack) for pack in packs] == [3, 1]


@pytest.mark.parametrize("change", [{"stacked": False}, {"watch": lambda step, model: None}])
def test_watched_networks_and_those_of_another_train_go_one_by_one(change):
    watch, how = {"watch": change.get("watch")}, {"stacked": change.get("stacked", True)}
    runs = expand("a", range(3), {}, SETTINGS | watch)
    assert [len(pack) for pack in packs_of(runs, **how, pack=3)] == [1, 1, 1]


# ---------------------------------------------------------------- how many fit


def sizes(build, data, settings=SETTINGS, **how):
    """Networks in every pack of 2 MOST of them."""
    runs = expand("a", range(2 * MOST), {}, settings)
    return [len(pack) for pack in packs_of(runs, arms={"a": build}, data=data, **how)]


SEQUENCES = noise((5, 4), torch.float32)


@pytest.mark.parametrize(
    ("build", "data"),
    [
        (ZOO["BatchNorm"][1], noise(ZOO["BatchNorm"][0], torch.float32)),
        (ZOO["CNN"][1], noise(ZOO["CNN"][0], torch.float32)),
        (lambda: LastStep(LSTM(4, 5), 3), SEQUENCES),
    ],
    ids=["BatchNorm", "CNN", "LSTM"],
)
def test_what_is_faster_alone_on_a_cpu_is_alone(build, data):
    assert sizes(build, data) == [1] * 2 * MOST


@pytest.mark.parametrize(
    "cell",
    [
        lambda: HeldLSTM(4, 5, forget=1.0),
        lambda: TiedLSTM(4, 5),
        lambda: NormalisedLSTM(4, 5, LayerNormOverTime),
        lambda: GRU(4, 5),
        lambda: RNN(4, 5),
    ],
    ids=["held", "tied", "normalised", "GRU", "RNN"],
)
def test_a_cell_without_a_fast_kernel_is_stacked_on_a_cpu(cell):
    assert sizes(lambda: LastStep(cell(), 3), SEQUENCES) == [MOST, MOST]


def layer() -> nn.Module:
    """A tanh layer of 300."""
    return nn.Sequential(nn.Linear(4, 300), nn.Tanh(), nn.Linear(300, 3))


def test_memory_is_what_is_kept_for_the_backward_pass_and_five_times_the_weights():
    settings = SETTINGS | {"loss_function": lambda predicted, y: predicted.sum()}
    kept, weights = 8 * 4, 4 * 300 + 300  # the inputs alone; numbers of four bytes
    one = training_memory(nn.Linear(4, 300), toy(), settings)
    assert one == 1.5 * 4 * kept + 5 * 4 * weights


def test_a_pack_shrinks_with_free_memory_and_never_below_one(monkeypatch):
    one = training_memory(layer(), toy(), SETTINGS)
    counts = {}
    for share in (0, 0.5, 1, 2.5, 8, 1e6):
        monkeypatch.setattr(plan, "free_memory", lambda device, share=share: one * share)
        counts[share] = len(sizes(layer, toy(), memory=1.0))
    assert counts == {0: 64, 0.5: 64, 1: 64, 2.5: 32, 8: 8, 1e6: 2}


def test_workers_share_the_memory(monkeypatch):
    one = training_memory(layer(), toy(), SETTINGS)
    monkeypatch.setattr(plan, "free_memory", lambda device: 8 * one + 1)
    for memory, jobs, size in ((1.0, 1, 8), (0.5, 1, 4), (0.25, 1, 2), (1.0, 2, 4), (0.5, 4, 1)):
        assert set(sizes(layer, toy(), memory=memory, jobs=jobs)) == {size}
