"""Schedules against their definitions and against torch's own."""

import pytest
import torch

from helpers.training.schedules import one_cycle, range_test, warm_up


def test_warm_up_rises_in_proportion_and_stays():
    assert [warm_up(p) for p in (0, 0.05, 0.1, 0.6, 1)] == [0, 0.5, 1, 1, 1]
    assert warm_up(0.25, share=0.5) == 0.5


def test_one_cycle_equals_torch():
    """Torch's cycle spans one update less, so that its last has the lowest rate."""
    total = 1001
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=total, anneal_strategy="linear", final_div_factor=1e9
    )
    for step in range(total):
        expected = optimizer.param_groups[0]["lr"]
        assert one_cycle(step / (total - 1)) == pytest.approx(expected, abs=5e-3)
        optimizer.step()
        if step < total - 1:
            schedule.step()


def test_range_test_rises_by_equal_factors():
    assert range_test(0) == pytest.approx(1e-5) and range_test(1) == 1
    assert range_test(0.6) / range_test(0.4) == pytest.approx(10)
