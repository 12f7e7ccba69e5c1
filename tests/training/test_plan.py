"""Which networks of a sweep are trained together."""

import pytest
from torch.nn import functional as F

from helpers import data
from helpers.nets import LSTM, RNN, LastStep
from helpers.training import fit
from helpers.training.engine import plan
from helpers.training.many import planned


@pytest.mark.parametrize(
    ("cell", "packs"),
    [
        (lambda: RNN(2, 3), [3]),
        (lambda: LSTM(2, 3), [1, 1, 1]),
        (lambda: LSTM(2, 3, tied=True), [3]),
    ],
    ids=["RNN", "LSTM", "LSTM without its kernel"],
)
def test_what_a_kernel_speeds_up_is_trained_alone_on_a_cpu(cell, packs):
    arms, task = {"a": lambda: LastStep(cell(), 1)}, data.adding_problem(length=5, count=20)
    settings = {"steps": 2, "lr": 0.1, "batch_size": 10, "loss_function": F.mse_loss}
    runs = planned(arms, range(3), {}, fit, settings)
    divided = plan.divide(runs, arms, task, stacked=True, pack=None, jobs=1, memory=0.5)
    assert [len(pack.runs) for pack in divided] == packs
