"""What no function can use is refused before any work, by a sentence that names the argument."""

import copy
import inspect
import math
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from helpers import analysis, nets, text, training
from helpers.analysis import diagnostics, timing
from helpers.data import Dataset, Split, make_mnist1d, tasks
from helpers.evidence import statistics
from helpers.evidence.files import ROOT

NUMBERS = st.floats() | st.text() | st.booleans() | st.lists(st.integers(), max_size=2)
NO_NUMBERS = st.sampled_from([math.nan, -math.inf]) | st.text() | st.booleans()
BAD = {  # of a good value of this type: what never can stand in its place
    int: NUMBERS | st.integers(max_value=-1),
    float: NO_NUMBERS | st.lists(st.floats(), max_size=2),
    Tensor: st.sampled_from([None, "x", 1.0, [], torch.ones(()), torch.ones(1, 1, 1, 1, 1).bool()]),
    np.ndarray: st.sampled_from(
        [None, ["x"], np.ones((2, 2)), np.array([1.0, math.nan, math.inf])]
    ),
}
SIGNED = {"size", "padding", "right", "down", "seed"}  # may be negative here or there
MAY_BE_0 = SIGNED - {"size"} | {"verify", "margin", "lag", "solved", "a", "b"}
NAMES = {"values": "numbers", "differences": "numbers", "a": "solved", "b": "solved"}
NAMES |= {"count": "seeds are solved", "p": "dropout probability"}


def dense() -> nn.Module:
    return nets.MLP(5, 4, 3)


def rnn() -> nets.RNN:
    return nets.RNN(2, 3)


SPLIT = Split(torch.randn(12, 5), torch.arange(12) % 3)
DATA = Dataset("toy", SPLIT, SPLIT, SPLIT, ("a", "b", "c"), 0.0, 1.0)
PICTURE = Split(torch.ones(3, 1, 8, 8), torch.arange(3) % 2)
PICTURES = Dataset("pictures", PICTURE, PICTURE, PICTURE, ("a", "b"), 0.0, 1.0)
RANDOM = torch.Generator()
LANGUAGE = nets.LanguageModel(6, nets.GRU(3, 4))
LABELS = torch.tensor([0, 1, 2, 0])
RUN = {"lr": 0.1, "steps": 2, "batch_size": 4}
LETTERS = text.Vocabulary(["a", "b", "c"])
TEXTS = {"name": "t", "train": [2, 3, 4] * 9, "valid": [2, 3], "test": [2, 3]}
CALLS: dict[Callable, dict[str, Any]] = {
    nets.SimpleCNN: {"kernel_size": 3, "hidden": 4, "classes": 3, "in_channels": 1, "size": 12},
    nets.MLP: {"inputs": 5, "hidden": 4, "classes": 3},
    nets.CNN1D: {"channels": 3, "classes": 3, "in_channels": 1, "length": 40},
    nets.output_size: {"size": 8, "kernel": 3, "stride": 2, "padding": 1},
    nets.correlate: {"image": torch.ones(4, 5), "kernel": torch.ones(2, 2)},
    nets.width_for: {"build": lambda width: nets.MLP(5, width, 3), "parameters": 100, "most": 64},
    nets.RNN: {"inputs": 3, "hidden": 4},
    nets.HeldLSTM: {"inputs": 3, "hidden": 4, "forget": 0.5},
    nets.Wiped: {"cell": rnn(), "every": 2},
    nets.LastStep: {"cell": rnn(), "outputs": 3},
    nets.AllSteps: {"cell": rnn(), "length": 4, "outputs": 3},
    nets.CausalCNN: {"inputs": 2, "channels": 3, "kernel_size": 2, "layers": 2, "per_layer": 1},
    nets.LanguageModel: {"tokens": 6, "cell": rnn(), "dropout": 0.5},
    nets.last_valid: {"outputs": torch.ones(2, 3, 4), "lengths": torch.tensor([1, 3])},
    nets.Dropout: {"p": 0.5},
    nets.RandomShift: {"pixels": 1},
    nets.BatchNormOverTime: {"size": 3, "steps": 2},
    nets.LayerNormOverTime: {"size": 3},
    nets.orthogonal_: {"cell": rnn(), "gain": 1.0},
    nets.gaussian_: {"cell": rnn(), "gain": 1.0},
    nets.identity_: {"cell": rnn(), "gain": 1.0},
    nets.forget_bias_: {"cell": nets.LSTM(2, 3), "value": 1.0},
    nets.chrono_: {"cell": nets.LSTM(2, 3), "longest": 20.0},
    training.fit: RUN
    | {"model": dense(), "data": DATA, "seed": 0, "weight_decay": 0.1, "clip": 1.0}
    | {"evaluate_every": 1, "until": 2},
    training.fit_many: RUN
    | {"arms": {"a": dense}, "data": DATA, "seeds": [0], "pack": 2, "memory": 0.5, "verify": 1},
    training.evaluate: {"model": dense(), "split": SPLIT, "batch_size": 5},
    training.warm_up: {"progress": 0.05, "share": 0.1},
    training.one_cycle: {"progress": 0.2, "peak": 0.3, "start": 0.04},
    training.batches: {"count": 8, "batch_size": 3, "steps": 3, "generator": RANDOM},
    training.reading_order: {"count": 8, "batch_size": 3, "steps": 3, "generator": RANDOM},
    training.steps_to: {"mark": 0.5, "curves": pd.DataFrame({0: [0.1, 0.6, 0.7]})},
    tasks.adding_problem: {"length": 12, "count": 3},
    tasks.reset_sum: {"length": 12, "count": 3},
    tasks.copy_memory: {"silence": 3, "count": 3},
    tasks.which_came_first: {"length": 20, "count": 3, "gap": 3, "margin": 2},
    tasks.remember_symbol: {"lag": 1, "length": 12, "count": 3},
    tasks.key_token: {"shortest": 5, "count": 3},
    tasks.shrink: {"dataset": PICTURES, "side": 4},
    make_mnist1d: {"size": 100},
    text.Vocabulary.build: {"tokens": ["a", "b"], "max_size": 4},
    text.as_ids: {"values": [1, 2], "size": 5},
    text.pad: {"sequences": [[1, 2], [3]], "max_length": 3},
    text.mask: {"lengths": [1, 2], "time": 3},
    text.windows: {"tokens": [1, 2, 3, 4, 5, 6], "length": 2, "stride": 1},
    text.NGrams: {"tokens": [1, 2, 3, 1, 2], "order": 2, "size": 5},
    text.train_bpe: {"text": "banana", "size": 260},
    text.sample_next: {"logits": torch.zeros(2, 4), "temperature": 1.0, "top_k": 2, "top_p": 0.9}
    | {"generator": RANDOM},
    text.continue_text: {"model": LANGUAGE, "prompt": [[2, 3]], "count": 2, "generator": RANDOM},
    text.Stateful: {"model": LANGUAGE, "batch_size": 2, "count": 4},
    text.text_data: TEXTS | {"vocabulary": LETTERS, "length": 8},
    analysis.gaussian_derivatives: {"size": 3, "sigma": 1.0},
    analysis.edge_share: {"filters": torch.randn(2, 3, 3)},
    analysis.receptive_field: {"layers": nn.Conv2d(1, 2, 3), "x": torch.ones(2, 1, 5, 5)},
    analysis.shift: {"images": torch.ones(2, 1, 5, 5), "right": 1, "down": 1},
    diagnostics.accuracy_by_class: {"logits": torch.randn(4, 3), "y": LABELS},
    diagnostics.class_means: {"features": torch.rand(4, 3, 2, 2), "y": LABELS},
    analysis.central_differences: {"f": lambda: torch.tensor(1.0), "parameter": torch.ones(2)}
    | {"eps": 1e-3},
    analysis.gradient_by_lag: {"cell": rnn(), "x": torch.randn(1, 4, 2)},
    analysis.descend: {"model": dense(), "loss": lambda: torch.tensor(math.nan), "lr": 0.1}
    | {"steps": 1, "measure_every": 1},
    timing.interleave: {"arms": {"a": lambda: None}, "rounds": 1},
    statistics.t_interval: {"values": np.arange(5.0)},
    statistics.sign_flip_p: {"differences": np.arange(5.0)},
    statistics.bca_interval: {"values": np.arange(5.0)},
    statistics.rate_interval: {"solved": 3, "count": 5},
    statistics.rates_interval: {"a": 3, "b": 2, "count": 5},
    statistics.rates_p: {"a": 3, "b": 2, "count": 5, "threshold": 0.1},
    statistics.fisher_p: {"a": 3, "b": 2, "count": 5},
}
TAKE_0 = {(nets.output_size, "size"), (analysis.descend, "steps")}
TAKE_0 |= {(training.batches, "steps"), (training.reading_order, "steps")}
TRUSTED = {"progress", "parameter", "images"}  # by those who read them first


def called(function: Callable, arguments: dict[str, Any]) -> Any:
    how = {"n_jobs": 1} if function is training.fit_many else {}
    own = {k: copy.deepcopy(v) if isinstance(v, nn.Module) else v for k, v in arguments.items()}
    found = function(**own, **how)
    return list(found) if inspect.isgenerator(found) else found


@pytest.mark.slow
@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__qualname__)
def test_what_cannot_be_used_is_refused_by_name(function):
    good = CALLS[function]
    called(function, good)
    kinds = {name: type(value) for name, value in good.items() if name not in TRUSTED}
    asked = [name for name, kind in kinds.items() if kind in BAD]

    def check(name, bad):
        with pytest.raises((ValueError, TypeError)) as caught:
            called(function, good | {name: bad})
        *_, last = traceback.extract_tb(caught.value.__traceback__)
        assert last.filename.startswith(str(ROOT / "helpers")), f"{name}={bad!r}: {last}"
        assert NAMES.get(name, name) in str(caught.value) or name in str(caught.value)

    @settings(max_examples=15 * len(asked), deadline=None, derandomize=True, database=None)
    @given(st.data())
    def refused(data):
        name = data.draw(st.sampled_from(asked))
        bad = data.draw(BAD[kinds[name]])
        if name not in SIGNED or not isinstance(bad, int) or isinstance(bad, bool):
            check(name, bad)

    refused()
    for name in asked:
        if kinds[name] is int and name not in MAY_BE_0 and (function, name) not in TAKE_0:
            check(name, 0)
