"""An experiment of milliseconds for several tests: the adding problem, RNNs of four units."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn import functional as F

from helpers.data.tasks import adding_problem
from helpers.evidence.experiment import Circumstances, Design
from helpers.nets.recurrent import GRU, RNN
from helpers.nets.sequences import LastStep

NOTEBOOK = "01_toy"
TASK = adding_problem(length=8, count=100)
READ, CHECK, PROVE = (Circumstances(mode=mode) for mode in ("read", "check", "prove"))


def rnn() -> nn.Module:
    return LastStep(RNN(2, 4), 1)


def gru() -> nn.Module:
    return LastStep(GRU(2, 4), 1)


def sizes(model: nn.Module, data: Any) -> Mapping[str, float]:
    """A number of the network, and one of what it does with the data."""
    return {
        "norm": next(model.parameters()).norm().item(),
        "mean": model(data.test.x).mean().item(),
    }


SETTINGS = {
    "lr": 0.01,
    "steps": 8,
    "batch_size": 8,
    "loss_function": F.mse_loss,
    "evaluate_every": 4,
}
ARMS = {"RNN": rnn, "GRU": gru}
DESIGN = Design(NOTEBOOK, "toy", ARMS, TASK, (40, 41, 42), SETTINGS, measure=sizes, updates=4)
DESIGN = replace(DESIGN, pack=1)
TUNED = replace(
    DESIGN,
    name="tuned",
    settings={name: value for name, value in SETTINGS.items() if name != "lr"},
    tune={"lr": [1e-5, 0.01, 100.0]},
    tuning_seeds=(100,),
)


def changed(design: Design, **settings: Any) -> Design:
    """The design with other settings."""
    return replace(design, settings={**design.settings, **settings})
