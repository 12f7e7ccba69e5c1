"""Replay: every planted fault is red and says what differs; what changes nothing stays green."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import pytest
import torch
from experiments import ARMS, CHECK, DESIGN, SETTINGS, TASK, TUNED, changed, gru, rnn, sizes
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data import tasks
from helpers.data.dataset import IGNORED, Dataset, Split
from helpers.data.streams import stream
from helpers.data.threads import computing_with
from helpers.evidence import experiment, replay, store
from helpers.evidence.experiment import Design, conduct
from helpers.evidence.replay import differences, first_of_each
from helpers.evidence.store import EvidenceError, Record
from helpers.nets.recurrent import LSTM, RNN
from helpers.nets.sequences import EveryStep, LastStep
from helpers.training.batches import batches
from helpers.training.fit import ADAM, SGD, evaluate, fit
from helpers.training.schedules import linear_decay


class Images(nn.Module):
    """A convolution, dropout and normalisation, so that modes and kernels matter."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(3, 1, 2, 2))
        self.norm, self.dropout, self.head = nn.BatchNorm2d(3), nn.Dropout(p), nn.Linear(27, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(F.conv2d(x, self.kernel)))
        return self.head(self.dropout(x.flatten(1)))


class Flipped(Images):
    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(F.conv2d(x, self.kernel.flip(2, 3))))
        return self.head(self.dropout(x.flatten(1)))


class Renamed(Images):
    """Another name, other code, a faster convolution: the same numbers but for rounding."""

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, 2)  # (batch, 4, 9)
        maps = (self.kernel.flatten(1) @ patches).view(len(x), 3, 3, 3)
        return self.head(self.dropout(self.norm(maps).clamp(min=0).flatten(1)))


class StuckInTraining(Images):
    def eval(self):
        return self

    def train(self, mode: bool = True):
        return super().train(True)


def images(seed: int = 0) -> Dataset:
    random = torch.Generator().manual_seed(seed)

    def split(count: int) -> Split:
        y = torch.randint(2, (count,), generator=random)
        return Split(torch.randn(count, 1, 4, 4, generator=random) + y.view(-1, 1, 1, 1), y)

    return Dataset("images", split(60), split(30), split(30), ("a", "b"), 0.0, 1.0)


def label_at_last(model: nn.Module, data: Dataset) -> dict[str, float]:
    return {"share": model(data.test.x).argmax(1).double().mean().item()}


PIXELS = {"lr": 0.05, "steps": 40, "batch_size": 10, "optimizer": SGD, "schedule": linear_decay}
IMAGES = Design("01_toy", "images", {"CNN": Images}, images(), (40,), PIXELS, measure=label_at_last)
COPY = tasks.copy_memory(3, 60)
WORDS = Design(
    "01_toy",
    "words",
    {"LSTM": lambda: EveryStep(LSTM(10, 4), 8)},
    COPY,
    (40,),
    {"lr": 0.01, "steps": 40, "batch_size": 10},
)
DESIGNS = {design.name: design for design in (DESIGN, TUNED, IMAGES, WORDS)}


def kept(design: Design, **changes: Any) -> Record:
    """The evidence of a design, with a table of which only the networks are looked at."""
    tuning, chosen = None, {}
    if design.tune:
        index = pd.Index(design.tune["lr"], name="lr")
        tuning = pd.DataFrame({arm: [2.0, 1.0, 2.0] for arm in design.arms}, index)
        chosen = design.best(tuning)
    runs = design.runs(chosen)
    table = pd.DataFrame([(run.arm, run.seed, 1) for run in runs], columns=["arm", "seed", "step"])
    parts = (design.declared(), table, tuning, chosen, design.rehearsed(chosen))
    return replace(Record(design.notebook, design.name, *parts), **changes)


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    return {name: kept(design) for name, design in DESIGNS.items()}


def check(design: Design, record: Record, evidence) -> None:
    store.write(record, store.place(design.notebook, design.name))
    conduct(design, 0, CHECK)


# ---------------------------------------------------------------- planted faults


def other_arms(design: Design, **arms: Callable) -> Design:
    return replace(design, arms={**design.arms, **arms})


def scaled(build: Callable, gain: float) -> Callable:
    """A network whose first weights start larger."""

    def start() -> nn.Module:
        model = build()
        with torch.no_grad():
            next(model.parameters()).mul_(gain)
        return model

    return start


def drawn_otherwise() -> nn.Module:
    model = rnn()
    nn.init.orthogonal_(model.cell.weight_hh_l0)
    return model


def gates_swapped() -> nn.Module:
    """An LSTM that takes the forget gate's rows for the input gate's."""
    model = EveryStep(LSTM(10, 4), 8)
    with torch.no_grad():
        for weight in model.cell.parameters():
            i, f, *others = weight.chunk(4)
            weight.copy_(torch.cat([f, i, *others]))
    return model


def without_zero_grad(model, data, *, steps, lr, seed, batch_size, loss_function, **others):
    """`fit` as it is but for the forgotten line."""
    kept_gradients = torch.optim.Optimizer.zero_grad
    torch.optim.Optimizer.zero_grad = lambda *_, **__: None
    try:
        settings = {"batch_size": batch_size, "loss_function": loss_function, **others}
        return fit(model, data, steps=steps, lr=lr, seed=seed, **settings)
    finally:
        torch.optim.Optimizer.zero_grad = kept_gradients


def with_data(design: Design, **splits: Split) -> Design:
    return replace(design, data=replace(design.data, **splits))


def last_labels_exchanged(design: Design) -> Design:
    """Two labels at the far end of the training set, which the first batches do not meet."""
    x, y = design.data.train
    y = y.clone()
    places = [len(y) - 1, next(k for k in range(len(y) - 2, 0, -1) if y[k] != y[-1])]
    y[places] = y[places[::-1]]
    return with_data(design, train=Split(x, y))


def late_order(count: int, size: int, steps: int, generator: torch.Generator):
    for step, batch in enumerate(batches(count, size, steps, generator), start=1):
        yield batch.flip(0) if step == 39 else batch


def one_step_late(progress: float) -> float:
    return linear_decay(progress + 1 / PIXELS["steps"])


def weighted(prediction: Tensor, y: Tensor) -> Tensor:
    return 1.01 * F.mse_loss(prediction, y)


def unpadded(*arguments, **named):
    """Accuracy that divides by all places, padding as well."""
    found = evaluate(*arguments, **named)
    y = arguments[1].y
    return found | {"accuracy": found["accuracy"] * (y != IGNORED).sum().item() / y.numel()}


FAULTS: dict[str, tuple[Design, Callable[[Design], Design], str]] = {
    "kernel flipped": (IMAGES, lambda d: other_arms(d, CNN=Flipped), "networks CNN, 40"),
    "zero_grad dropped": (DESIGN, lambda d: replace(d, train=without_zero_grad), "networks RNN"),
    "start changed": (DESIGN, lambda d: other_arms(d, RNN=drawn_otherwise), "networks RNN, 40"),
    "gain changed": (DESIGN, lambda d: other_arms(d, GRU=scaled(gru, 1.1)), "networks GRU, 40"),
    "labels exchanged far from the first batches": (IMAGES, last_labels_exchanged, "data train.y"),
    "validation is training": (
        IMAGES,
        lambda d: with_data(d, valid=Split(*(part[:30] for part in d.data.train))),
        "data valid.x",
    ),
    "schedule off by one": (
        IMAGES,
        lambda d: changed(d, schedule=one_step_late),
        r"settings schedule\[",
    ),
    "steps changed": (DESIGN, lambda d: changed(d, steps=9), "settings steps is 9 here, 8 in the"),
    "other batches late in the run": (
        IMAGES,
        lambda d: changed(d, order=late_order),
        "settings order",
    ),
    "loss weighted otherwise": (
        DESIGN,
        lambda d: changed(d, loss_function=weighted),
        "networks RNN, 40 train_loss",
    ),
    "measure changed": (
        DESIGN,
        lambda d: replace(d, measure=lambda m, data: {**sizes(m, data), "norm": 1.0}),
        "networks RNN, 40 measured norm",
    ),
    "measure left out": (DESIGN, lambda d: replace(d, measure=None), "measured norm is missing"),
    "arms exchanged": (
        DESIGN,
        lambda d: replace(d, arms=dict(zip(d.arms, reversed(d.arms.values()), strict=True))),
        "arms RNN",
    ),
    "gate order swapped": (WORDS, lambda d: other_arms(d, LSTM=gates_swapped), "networks LSTM"),
    "clip changed inside train": (
        replace(DESIGN, train=partial(fit, clip=100.0)),
        lambda d: replace(d, train=partial(fit, clip=1000.0)),
        "settings clip is 1000 here, 100 in",
    ),
    "tuning seeds judged": (
        TUNED,
        lambda d: replace(d, seeds=(40, 41, 100)),
        "seeds for tuning are never judged",
    ),
    "tuning grid changed": (TUNED, lambda d: replace(d, tune={"lr": [1e-5, 0.02, 9]}), "tune lr"),
    "tuning seeds changed": (TUNED, lambda d: replace(d, tuning_seeds=(100, 102)), "tuning seeds"),
    "tuned by another metric": (TUNED, lambda d: replace(d, metric="valid_error"), "chosen by"),
    "tuned with other steps": (TUNED, lambda d: replace(d, trials={"steps": 4}), "trials steps"),
    "tuned on other data": (
        replace(TUNED, trials={"data": TASK}),
        lambda d: replace(d, trials={"data": tasks.adding_problem(8, 100, seed=8)}),
        "data of the trials train.x",
    ),
    "optimizer exchanged": (
        DESIGN,
        lambda d: changed(d, optimizer=SGD),
        "settings optimizer|networks RNN",
    ),
    "momentum changed": (
        changed(DESIGN, optimizer=partial(SGD, momentum=0.9)),
        lambda d: changed(d, optimizer=partial(SGD, momentum=0.8)),
        "networks RNN, 40",
    ),
    "dropout p changed": (
        IMAGES,
        lambda d: other_arms(d, CNN=partial(Images, 0.4)),
        "networks CNN, 40",
    ),
    "evaluation mode forgotten": (
        IMAGES,
        lambda d: other_arms(d, CNN=StuckInTraining),
        "networks CNN, 40 valid_loss",
    ),
    "a seed less": (DESIGN, lambda d: replace(d, seeds=(40, 41)), r"seeds is \[40, 41\] here"),
    "an arm less": (DESIGN, lambda d: replace(d, arms={"RNN": rnn}), "arms GRU is missing here"),
    "a wider arm": (
        DESIGN,
        lambda d: other_arms(d, RNN=lambda: LastStep(RNN(2, 5), 1)),
        "arms RNN is",
    ),
    "fewer examples": (
        DESIGN,
        lambda d: replace(d, data=tasks.adding_problem(8, 99)),
        "data train",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_red_and_named(fault, evidence, records):
    design, plant, fragment = FAULTS[fault]
    known = design is DESIGNS.get(design.name)
    record = records[design.name] if known else kept(design)
    with pytest.raises(EvidenceError, match=fragment) as refusal:
        check(plant(design), record, evidence)
    if "never judged" not in fragment:
        name = f"{design.name} is not the experiment of its evidence"
        assert name in str(refusal.value)
        assert f"make prove NOTEBOOK=01 EXPERIMENT={design.name}" in str(refusal.value)


def test_accuracy_over_padding_is_red(evidence, records, monkeypatch):
    monkeypatch.setattr(sys.modules[fit.__module__], "evaluate", unpadded)
    with pytest.raises(EvidenceError, match=r"networks LSTM, 40 valid_accuracy is [\d.]+ here, "):
        check(WORDS, records["words"], evidence)


def test_a_schedule_that_fit_reads_one_update_late_is_red(evidence, records, monkeypatch):
    """The function is as it was; the loop counts otherwise."""

    def late(model, data, *, steps, seed, schedule, until=None, **settings):
        def shifted(progress: float) -> float:
            return schedule(progress + 1 / steps)

        given = {"steps": steps, "seed": seed, "schedule": shifted, "until": until}
        return fit(model, data, **given, **settings)

    with pytest.raises(EvidenceError, match="networks CNN, 40 train_loss"):
        check(replace(IMAGES, train=late), records["images"], evidence)


@pytest.mark.parametrize(
    ("chosen", "tuning", "fragment"),
    [
        (1e-5, None, "chosen lr RNN is 0.01 here, 1e-05 in the evidence"),
        (1e-5, [0.5, 1.0, 2.0], "void: best value at the edge of its grid, extend it: RNN: lr"),
        (100.0, [3.0, 2.0, 1.0], "void: best value at the edge"),
    ],
)
def test_an_edited_rate_is_red(evidence, records, chosen, tuning, fragment):
    record = records["tuned"]
    chosen = {"lr": {**record.chosen["lr"], "RNN": chosen}}
    table = record.tuning if tuning is None else record.tuning.assign(RNN=tuning)
    with pytest.raises(EvidenceError, match=fragment):
        check(TUNED, replace(record, chosen=chosen, tuning=table), evidence)


def test_of_equal_rates_any_may_have_been_chosen(records):
    table = pd.DataFrame({"RNN": [2.0, 1.0, 1.0]}, pd.Index([0.1, 0.2, 0.3], name="lr"))
    chosen = [{"lr": {"RNN": rate}} for rate in table.index]
    tied = [experiment._tied(replace(records["tuned"], chosen=one, tuning=table)) for one in chosen]
    assert tied == [False, True, True]


def test_a_table_that_lacks_a_network_is_red(evidence, records):
    record = records["toy"]
    with pytest.raises(EvidenceError, match="the number of networks is 6 here, 5 in the evidence"):
        check(DESIGN, replace(record, table=record.table[:-1]), evidence)


# ---------------------------------------------------------------- what changes nothing


def moved(x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error in other words."""
    return (x - y).square().sum() / x.numel()


HARMLESS: dict[str, tuple[Design, Callable[[Design], Design]]] = {
    "a class renamed, moved and made faster": (IMAGES, lambda d: other_arms(d, CNN=Renamed)),
    "a function written otherwise": (DESIGN, lambda d: changed(d, loss_function=moved)),
    "a lambda in a function's place": (DESIGN, lambda d: other_arms(d, RNN=lambda: rnn())),
    "the order of the arms": (
        DESIGN,
        lambda d: replace(d, arms=dict(reversed(d.arms.items()))),
    ),
    "a setting given with the training function": (
        DESIGN,
        lambda d: replace(changed(d, steps=8), train=partial(fit, steps=8)),
    ),
    "a schedule's other name": (
        IMAGES,
        lambda d: changed(d, schedule=lambda progress: 1 - progress),
    ),
    "how many networks share a pack": (DESIGN, lambda d: replace(d, pack=3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", HARMLESS)
def test_what_changes_no_number_stays_green(change, evidence, records):
    design, apply = HARMLESS[change]
    check(apply(design), kept(design), evidence)


@pytest.mark.slow
def test_another_number_of_threads_stays_green(evidence, records):
    with computing_with(2):
        check(IMAGES, records["images"], evidence)


def test_a_replay_draws_from_no_stream_of_the_reader(records):
    torch.manual_seed(1)
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    IMAGES.rehearsed({})
    assert torch.equal(torch.get_rng_state(), before) and torch.get_default_dtype() == dtype


# ---------------------------------------------------------------- chaos


class Rounded(LastStep):
    """The same network on a processor that rounds otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * (1 + 2e-14))


def chaotic(gain: float = 4.0, net: type[LastStep] = LastStep) -> nn.Module:
    """A recurrent net whose state at the end depends on the last digit of what it reads."""
    model = net(RNN(1, 32), 2)
    with torch.no_grad():
        model.cell.weight_hh_l0.normal_(std=gain / 32**0.5)
    return model


def noise(seed: int = 0) -> Dataset:
    random = torch.Generator().manual_seed(seed)

    def split(count: int) -> Split:
        x = torch.randn(count, 60, 1, generator=random) / 10
        return Split(x, torch.randint(2, (count,), generator=random))

    return Dataset("noise", split(60), split(30), split(30), ("a", "b"), 0.0, 1.0)


CHAOS = Design("01_toy", "chaos", {"RNN": chaotic}, noise(), (40,), PIXELS | {"lr": 0.5})


@pytest.mark.slow
def test_what_rounding_makes_of_a_chaotic_network_stays_green(evidence):
    rounded, record = other_arms(CHAOS, RNN=partial(chaotic, net=Rounded)), kept(CHAOS)
    assert differences(record.replay, rounded.rehearsed({}))
    check(rounded, record, evidence)


@pytest.mark.parametrize(
    "fault",
    [
        other_arms(CHAOS, RNN=partial(chaotic, 3.96)),
        replace(CHAOS, settings=PIXELS | {"lr": 0.51}),
    ],
)
def test_a_fault_in_a_chaotic_network_is_red(fault, evidence):
    with pytest.raises(EvidenceError, match="is not the experiment of its evidence"):
        check(fault, kept(CHAOS), evidence)


# ---------------------------------------------------------------- the parts


def test_labelled_settings_are_each_replayed_and_numbers_by_their_middle():
    grid = {
        "lr": [0.001, 0.01, 0.1],
        "optimizer": {"SGD": SGD, "Adam": ADAM},
        "clip": {"off": None, "on": 1.0},
    }
    settings = {name: value for name, value in SETTINGS.items() if name != "lr"}
    design = replace(DESIGN, grid=grid, settings=settings)
    found = [run.key for run in first_of_each(design.runs({}), grid)]
    labels = [("SGD", "off"), ("SGD", "on"), ("Adam", "off"), ("Adam", "on")]
    assert len(found) == len(set(found)) and {key[-1] for key in found} == {40}
    assert {key[2] for key in found} == {"SGD", "Adam"}
    assert all(key[1] == 0.01 for key in found if key[3] == "off")
    assert {(arm, *pair) for arm in ARMS for pair in labels} >= {
        (key[0], key[2], key[3]) for key in found
    }


def test_numbers_differ_where_a_millionth_does():
    assert not differences({"a": 1.0, "b": [1, "x"]}, {"b": [1, "x"], "a": 1 + 1e-7})
    ((what, recorded, here),) = differences({"a": {"b": 1.0}}, {"a": {"b": 1 + 1e-5}})
    assert (what, recorded, here) == ("a b", 1.0, 1 + 1e-5)
    assert [d.what for d in differences({"a": 1}, {"b": 1})] == ["a", "b"]
    assert differences("nan", 1.0) and not differences("nan", "nan")
    assert differences([1, 2], [1, 2, 3]) and differences(None, 0)
    ((what, *_),) = differences({"loss": [1.0, 2.0]}, {"loss": [1.0, 3.0]})
    assert what == "loss[2]"  # counted from 1, as updates are


def test_the_summary_knows_every_place():
    """Any two numbers that change places change the projection by more than rounding may."""
    random = torch.Generator().manual_seed(3)
    values = torch.randint(2, (5000,), generator=random)
    before = replay._moments(values)
    for _ in range(50):
        i, j = torch.randint(5000, (2,), generator=random).tolist()
        other = values.clone()
        other[[i, j]] = other[[j, i]]
        assert bool(differences(before, replay._moments(other), "data")) == (values[i] != values[j])


def test_the_order_of_all_batches_is_in_one_number(records):
    (run,) = IMAGES.runs({})
    count = len(IMAGES.data.train.y)
    assert replay._order(batches, count, run) != replay._order(late_order, count, run)
    assert (
        replay._order(batches, count, run) == IMAGES.rehearsed({})["networks"]["CNN, 40"]["batches"]
    )
    order = [torch.tensor([k, 400_000, 7]) for k in range(1, 9)]
    expected = sum(k * (k + 7 * 7 + 3 * (k + 400_007)) for k in range(1, 9)) % 1_000_003
    assert replay._order(lambda *_: order, count, run) == expected  # as evidence has it
    one, other = (list(batches(count, 10, 3, stream(seed, "batches"))) for seed in (40, 40))
    assert all(map(torch.equal, one, other))


def test_a_setting_that_has_no_name_for_a_table_is_refused():
    design = replace(DESIGN, grid={"optimizer": [SGD, ADAM]})
    with pytest.raises(EvidenceError, match=r"optimizer: .* give every value its name"):
        design.declared()
    assert experiment._described({"schedule": {"a": linear_decay}})["schedule"]["a"][:2] == [1, 0.9]
