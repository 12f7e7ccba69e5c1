"""Which runs share a pack, how many, and what a finished pack is known by."""

import importlib
import itertools
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
from helpers.training.engine.packs import (
    Run,
    divide,
    expand,
    fingerprint,
    pack_size,
    training_memory,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from zoo import ZOO, dense, noise, toy, with_dropout

from helpers.nets.cnn import MLP, SimpleCNN
from helpers.nets.normalisation import LayerNormOverTime, NormalisedLSTM
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import LastStep
from helpers.training.engine import packs
from helpers.training.many import fit_many

SETTINGS = {"batch_size": 8, "loss_function": F.cross_entropy}


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


# ---------------------------------------------------------------- packs


families = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 9)), min_size=1, max_size=5
)  # runs and size of each


@settings(max_examples=200, deadline=None, derandomize=True)
@given(families=families, jobs=st.integers(1, 20), shuffle=st.randoms(use_true_random=False))
def test_every_run_is_in_one_pack_of_its_kin(families, jobs, shuffle):
    runs = [
        Run("ab"[k % 2], seed, {"lr": seed / 2, "batch_size": k}, ())
        for k, (count, _) in enumerate(families)
        for seed in range(count)
    ]
    shuffle.shuffle(runs)
    planned = divide(runs, lambda run: families[run.settings["batch_size"]][1], jobs)

    def name(run):
        return run.arm, run.seed, run.settings["batch_size"]

    assert Counter(map(name, itertools.chain(*planned))) == Counter(map(name, runs))
    for pack in planned:
        assert len({(run.arm, run.settings["batch_size"]) for run in pack}) == 1
        assert 1 <= len(pack) <= families[pack[0].settings["batch_size"]][1]
    assert len(planned) >= min(jobs, len(runs))
    fewest = sum(-(-count // size) for count, size in families)
    assert len(planned) <= max(fewest, jobs)
    for k in range(len(families)):  # equal shares
        lengths = [len(pack) for pack in planned if pack[0].settings["batch_size"] == k]
        assert max(lengths) - min(lengths) <= 1


def test_rate_decay_clipping_and_seed_may_differ_within_a_pack():
    grid = {"lr": [1, 2], "weight_decay": [0, 1], "clip": [1, 2]}
    runs = expand("a", [0, 1], grid, {"steps": 3})
    assert divide(runs, lambda run: 99, 1) == [runs]


@pytest.mark.parametrize(
    "values",
    [
        {"one": nn.CrossEntropyLoss(), "two": nn.CrossEntropyLoss(weight=torch.ones(3))},
        {"one": partial(F.cross_entropy, weight=torch.ones(2000)), "two": F.cross_entropy},
        {"one": lambda: 1, "two": lambda: 2},
        {"one": 1, "two": 2},
    ],
)
def test_other_settings_are_kept_apart_even_if_they_look_alike(values):
    runs = expand("a", [0, 1], {"other": values}, {"lr": 0.1})
    planned = divide(runs, lambda run: 99, 1)
    assert [[run.labels for run in pack] for pack in planned] == [[("one",)] * 2, [("two",)] * 2]


# ---------------------------------------------------------------- how many fit


@pytest.mark.parametrize("name", ["BatchNorm", "CNN", "LSTM"])
def test_what_is_faster_alone_on_a_cpu_is_alone(name):
    data = noise(ZOO[name][0], torch.float32)
    assert pack_size(ZOO[name][1](), data, SETTINGS, 1e12) == 1
    assert pack_size(nn.LSTM(3, 4), data, SETTINGS, 1e12) == 1


@pytest.mark.parametrize(
    "cell", [LSTM(4, 5, clamp={"forget": 1.0}), LSTM(4, 5, tied=True), GRU(4, 5), RNN(4, 5)]
)
def test_a_cell_without_a_fast_kernel_is_stacked_on_a_cpu(cell):
    data = noise((5, 4), torch.float32)
    assert pack_size(LastStep(cell, 3), data, SETTINGS, 1e12) == packs.MOST_ON_CPU
    norm = NormalisedLSTM(4, 5, LayerNormOverTime)
    assert pack_size(LastStep(norm, 3), data, SETTINGS, 1e12) == packs.MOST_ON_CPU


def test_a_pack_shrinks_with_memory_and_never_below_one():
    model = nn.Sequential(nn.Linear(4, 300), nn.Tanh(), nn.Linear(300, 3))
    one = training_memory(model, toy(), SETTINGS)
    sizes = [pack_size(model, toy(), SETTINGS, one * share) for share in (0, 0.5, 1, 2.5, 7, 1e6)]
    assert sizes == [1, 1, 1, 2, 7, packs.MOST_ON_CPU]


def test_the_share_of_memory_bounds_the_packs_of_a_sweep(monkeypatch):
    one = training_memory(dense(), toy(), SETTINGS | {"batch_size": 10})
    seen = []

    def stub(calls, n_jobs):
        seen.append([len(call[3]) for call in calls])
        raise InterruptedError

    monkeypatch.setattr("helpers.training.train_packs", stub)
    monkeypatch.setattr(packs, "free_memory", lambda device: 8 * one + 1)
    run = partial(fit_many, {"a": dense}, toy(), seeds=range(8), lr=0.1, steps=1, batch_size=10)
    for memory, n_jobs in ((1.0, 1), (0.5, 1), (0.25, 1), (1.0, 2), (0.5, 4)):
        with pytest.raises(InterruptedError):
            run(memory=memory, n_jobs=n_jobs)
    assert seen == [[8], [4] * 2, [2] * 4, [4] * 2, [1] * 8]


def test_memory_is_estimated_from_what_backward_needs():
    """A tanh layer of 300: its output is kept, and so are the inputs and the weights."""
    model = nn.Sequential(nn.Linear(4, 300), nn.Tanh(), nn.Linear(300, 3))
    weights = 4 * (4 * 300 + 300 + 300 * 3 + 3)
    kept = 4 * (8 * 4 + 8 * 300 + 8 * 3)
    assert 5 * weights + kept <= training_memory(model, toy(), SETTINGS) <= 8 * weights + 3 * kept
    double = training_memory(model, toy(), SETTINGS | {"batch_size": 16})
    assert double > training_memory(model, toy(), SETTINGS)


def test_memory_of_a_recurrent_network_grows_with_its_steps():
    short, long = (noise((time, 4), torch.float32) for time in (5, 50))
    model = LastStep(RNN(4, 6), 3)
    one, ten = (training_memory(model, data, SETTINGS) for data in (short, long))
    assert 3 * one < ten < 12 * one


def test_estimating_memory_draws_no_random_numbers():
    model, before = with_dropout(), torch.get_rng_state()
    training_memory(model, toy(), SETTINGS)
    assert torch.equal(torch.get_rng_state(), before)


def test_free_memory_is_that_of_the_machine():
    free = packs.free_memory(torch.device("cpu"))
    assert 0 < free < psutil.virtual_memory().total


# ---------------------------------------------------------------- fingerprints


def test_the_fingerprint_of_data_knows_every_number_type_and_shape():
    data = toy()
    same = packs.fingerprint_of_data(toy())
    assert packs.fingerprint_of_data(data) == same
    changed = toy()
    changed.test.x[3, 1] += 1e-6
    label = toy()
    label.valid.y[0] = (label.valid.y[0] + 1) % 3
    wider = replace(data, train=data.train._replace(x=data.train.x.double()))
    flat = replace(data, train=data.train._replace(x=data.train.x.view(50, 2, 2)))
    others = [packs.fingerprint_of_data(other) for other in (changed, label, wider, flat)]
    assert len({same, *others}) == 5
    channels_last = noise((2, 3, 3), torch.float32)
    before = packs.fingerprint_of_data(channels_last)
    x = channels_last.train.x.to(memory_format=torch.channels_last)
    moved = replace(channels_last, train=channels_last.train._replace(x=x))
    assert packs.fingerprint_of_data(moved) == before


def test_the_fingerprint_of_code_knows_helpers_torch_and_processor(monkeypatch, tmp_path):
    cpu = torch.device("cpu")
    prints = [packs.fingerprint_of_code(cpu)]
    folder = tmp_path / "helpers"
    shutil.copytree(packs.HELPERS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(packs, "HELPERS", folder)
    assert packs.fingerprint_of_code(cpu) == prints[0]
    (folder / "models.py").open("a").write("# changed\n")
    prints.append(packs.fingerprint_of_code(cpu))
    monkeypatch.setattr(torch, "__version__", "2.99")
    prints.append(packs.fingerprint_of_code(cpu))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    prints.append(packs.fingerprint_of_code(torch.device("cuda")))
    assert len(set(prints)) == 4


def define(source: str, file: str = "<cell 1>", module: str = "__main__"):
    """What `source` calls `f`, as a notebook's cell or a module would define it."""
    names = {"__name__": module, "__file__": file}
    exec(compile(source, file, "exec"), names)
    return names["f"]


BODY = """
import torch
from torch import nn
WIDTH = 4
def helper(x): return x * WIDTH
class Net(nn.Module):
    bias = 3
    def __init__(self, hidden=5):
        super().__init__()
        self.layer = nn.Linear(WIDTH, hidden)
    def forward(self, x):
        return helper(self.layer(x)) if "a" in {"a", "b", "c", "dd"} else (lambda q: q + 1)(x)
table = torch.arange(3.0)
def make(k):
    def inner(a=1, *, b=2): return Net(k + a + b), table
    return inner
f = make(7)
"""
CHANGES = [
    ("WIDTH = 4", "WIDTH = 5"),
    ("x * WIDTH", "x + WIDTH"),
    ("bias = 3", "bias = 4"),
    ("hidden=5", "hidden=6"),
    ("q + 1", "q + 2"),
    ('"dd"', '"de"'),
    ("arange(3.0)", "arange(4.0)"),
    ("a=1", "a=2"),
    ("b=2", "b=3"),
    ("make(7)", "make(8)"),
    ("(nn.Module)", "(nn.Sequential)"),
    ("k + a + b", "k + a - b"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_whatever_a_function_does_shows_in_its_fingerprint(old, new):
    assert BODY.count(old) == 1
    assert fingerprint(define(BODY)) != fingerprint(define(BODY.replace(old, new)))


def test_where_a_function_stands_does_not_show():
    first = fingerprint(define(BODY))
    assert fingerprint(define(BODY)) == first
    assert fingerprint(define("# a comment\n\n\n" + BODY, "<cell 7>")) == first
    assert fingerprint(define(BODY, "/elsewhere/models.py", "my_models")) == first


@pytest.mark.parametrize(
    "source",
    [
        "def f(n): return n * f(n - 1) if n else 1",
        "class f:\n    def again(self): return f, super().__init__, __class__",
        "def outer():\n    def g(n): return g(n - 1)\n    return g\nf = outer()",
        "import enum\nclass f(enum.Enum):\n    A = 1\n    B = 2",
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass f:\n    a: int = 1",
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass f:\n    a: int = 1",
        "import abc\nclass f(abc.ABC):\n    @abc.abstractmethod\n    def g(self): ...",
        "class f:\n    @property\n    def a(self): return 1\n    @staticmethod\n    def b(): ...",
        "import functools, torch\nf = functools.partial(torch.optim.SGD, momentum=0.9)",
        "import torch\nm = torch.nn.Linear(2, 2)\ntorch.nn.init.ones_(m.weight)\n"
        "torch.nn.init.ones_(m.bias)\nf = lambda: m",
    ],
)
def test_anything_may_be_fingerprinted(source):
    assert fingerprint(define(source)) == fingerprint(define(source))


def test_weights_that_a_build_starts_from_show_in_its_fingerprint():
    pretrained = nn.Linear(2, 2)
    first = fingerprint(lambda: pretrained)
    with torch.no_grad():
        pretrained.weight[0, 0] += 1e-6
    assert fingerprint(lambda: pretrained) != first


def test_a_module_beside_the_notebook_shows_in_its_fingerprint(monkeypatch, tmp_path):
    """Changed and loaded again: as an imported function, a class, or through the module's name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "beside_the_notebook.py"
    prints = []
    for body in ("4", "4", "5"):
        path.write_text(f"class Net:\n    width = {body}\ndef build(): return {body}\n")
        sys.modules.pop(path.stem, None)
        importlib.invalidate_caches()
        beside = importlib.import_module(path.stem)

        prints.append([fingerprint(beside.build), fingerprint(beside.Net), fingerprint(beside)])
        prints[-1].append(fingerprint(lambda beside=beside: beside.build()))
    sys.modules.pop(path.stem)
    assert prints[0] == prints[1]
    assert all(one != other for one, other in zip(prints[1], prints[2], strict=True))


PRINT = "\nfrom helpers.packs import fingerprint\nprint(fingerprint(f))\n"


def test_another_process_finds_the_same_fingerprint(tmp_path):
    """Other addresses, another order of sets, another file and other lines."""
    path = tmp_path / "elsewhere.py"
    path.write_text("\n" * 5 + BODY + PRINT)
    there = os.environ | {"PYTHONHASHSEED": "3", "PYTHONPATH": str(packs.HELPERS.parent)}
    command = [sys.executable, str(path)]
    result = subprocess.run(command, env=there, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == fingerprint(define(BODY))


def test_installed_packages_and_helpers_are_named_only():
    for one in (MLP, SimpleCNN, LSTM, nn.Linear, F.cross_entropy, torch.optim.Adam, Path, len):
        fingerprint(one)
        assert not packs._is_own(one.__module__)
    assert packs._is_own(__name__) and packs._is_own("__main__")
