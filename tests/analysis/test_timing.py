"""Timing: turns, ratios, and what a busy machine does to them."""

import time

import pandas as pd
import pytest
import torch

from helpers.analysis import timing
from helpers.data.threads import computing_with


def test_every_arm_runs_once_a_round_and_the_order_turns():
    calls = []
    arms = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    times = timing.interleave(arms, rounds=3)
    assert "".join(calls) == "abcbcacababc"
    assert times.shape == (3, 3) and list(times) == ["a", "b", "c"]


def test_seconds_are_those_of_the_process_and_a_ratio_that_of_the_work(monkeypatch):
    clock = iter([0, 1, 1, 3] * 3)
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    times = timing.interleave({"one": int, "two": int}, rounds=2)
    assert times.to_numpy().tolist() == [[2, 1], [1, 2]]


def test_one_disturbed_turn_leaves_the_ratio():
    times = pd.DataFrame({"a": [2.0, 2.2, 90.0, 2.1, 2.0], "b": [1.0, 1.1, 1.0, 1.0, 40.0]})
    assert timing.ratio(times, "a", "b") == 2


def test_one_thread_while_timing_and_as_before_afterwards():
    seen = []
    with computing_with(2):
        timing.interleave({"a": lambda: seen.append(torch.get_num_threads())}, rounds=1)
        assert set(seen) == {1} and torch.get_num_threads() == 2


def test_nothing_to_time_is_refused():
    with pytest.raises(ValueError, match="number of arms is 0: use 1 or more"):
        timing.interleave({})


def test_a_training_pass_leaves_gradients_and_repeats_are_counted():
    model, calls = torch.nn.Linear(3, 2), []
    timing.training_pass(model, torch.ones(4, 3))()
    assert model.weight.grad.abs().sum() > 0
    timing.repeat(lambda: calls.append(1), 7)()
    assert len(calls) == 7
