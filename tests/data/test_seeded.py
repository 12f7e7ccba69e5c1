"""Data that a seed decides, for one network and for a stack."""

from dataclasses import replace
from functools import partial

import pandas as pd
import pytest
import torch
from experiments import CHECK, DESIGN, PROVE, READ, changed
from torch import nn

from helpers.data import DataError, Dataset, Resplit, Split, adding_problem, drawn, seeded
from helpers.evidence.experiment import conduct, rehearse_briefly
from helpers.evidence.store import EvidenceError
from helpers.training.many import fit_many

CLASSES = ("a", "b", "c")
RUN = {"steps": 20, "lr": 0.05, "batch_size": 8, "evaluate_every": 7}


def whole(numbers: int = 90) -> Dataset:
    """Each example is one number of its own, so that it can be recognised."""
    x = torch.arange(float(numbers))[:, None]
    y = torch.arange(numbers) % 3
    ends = numbers // 2, numbers * 2 // 3
    parts = [Split(a, b) for a, b in zip(x.tensor_split(ends), y.tensor_split(ends), strict=True)]
    return Dataset("numbers", *parts, CLASSES, 0.0, 1.0)


def dense() -> nn.Module:
    return nn.Linear(1, 3)


def parts(data: Dataset) -> list[set[float]]:
    return [set(getattr(data, name).x.flatten().tolist()) for name in seeded.SPLITS]


@pytest.mark.parametrize("seed", [0, 1, 1000])
def test_a_split_shares_out_every_example_once_in_the_same_proportions(seed):
    data, before = Resplit(whole())(seed), whole()
    train, valid, test = parts(data)
    assert train | valid | test == set(range(90)) and len(train) + len(valid) + len(test) == 90
    for name in seeded.SPLITS:
        x, y = getattr(data, name)
        assert torch.equal(x[:, 0] % 3, y.float())
        assert torch.equal(y.bincount(), getattr(before, name).y.bincount())


def test_seeds_split_otherwise_and_a_seed_always_alike():
    draw = Resplit(whole())
    assert parts(draw(3)) == parts(draw(3))
    assert parts(draw(3)) != parts(draw(4))
    later = [draw(seed).test.x[0].item() for seed in range(200)]
    assert len(set(later)) > 60  # any example may be tested on


@pytest.mark.parametrize(
    "source",
    [Resplit(whole()), lambda seed: Resplit(whole())(seed), whole()],
    ids=["split", "drawn", "fixed"],
)
def test_a_stack_meets_the_data_of_each_seed(source):
    seeds = [5, 6, 5]
    splits = seeded.shared(source, seeds)
    index = torch.tensor([[0, 1], [2, 0], [4, 3]])
    for name, split in splits.items():
        x, y = split.take(index)
        alone = [getattr(drawn(source, seed), name) for seed in seeds]
        assert len(split) == len(alone[0].y)
        for k, part in enumerate(alone):
            assert torch.equal(x[k], part.x[index[k]]) and torch.equal(y[k], part.y[index[k]])


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [Resplit(whole()), lambda seed: Resplit(whole())(seed)],
    ids=["split", "drawn"],
)
def test_networks_of_a_stack_train_as_alone(source):
    def mean(model: nn.Module, data: Dataset) -> dict[str, float]:
        return {"mean": data.test.x.mean().item()}

    train = partial(fit_many, {"net": dense}, source, seeds=[1, 2, 3], measure=mean, n_jobs=1)
    one, together = train(pack=1, **RUN), train(pack=3, verify=5, **RUN)
    pd.testing.assert_frame_equal(one.table, together.table, rtol=1e-5, check_exact=False)
    means = [Resplit(whole())(seed).test.x.mean().item() for seed in (1, 2, 3)]
    assert one.final("mean")["net"].tolist() == pytest.approx(means)


def test_no_example_of_a_split_is_kept_twice():
    splits = seeded.shared(Resplit(whole()), range(24))
    assert all(len(split.pool.y) == 90 for split in splits.values())


def test_splits_of_different_sizes_are_refused():
    def draw(seed: int) -> Dataset:
        return adding_problem(length=5, count=10 + seed)

    with pytest.raises(DataError, match="train split holds 10, 11 examples"):
        seeded.shared(draw, [0, 1])


def test_only_labelled_examples_are_split_anew():
    with pytest.raises(DataError, match="one label each"):
        Resplit(adding_problem(length=5, count=10))


def test_a_public_set_is_split_anew_where_its_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("FASHION_MNIST", raising=False)
    with pytest.raises(DataError, match="FASHION_MNIST=folder"):
        seeded.public("fashion-mnist")(1000)
    monkeypatch.setenv("FASHION_MNIST", str(tmp_path))
    with pytest.raises(DataError, match="train-images"):
        seeded.public("fashion-mnist")


@pytest.mark.slow
def test_evidence_of_a_set_that_is_not_here_is_shown_but_not_replayed(evidence):
    conduct(replace(DESIGN, data=fresh), 0, PROVE)
    absent = replace(DESIGN, data=seeded.Elsewhere("toys"))
    shown = conduct(absent, 1, CHECK)
    assert shown.line == "toy: 6 stored networks, none replayed: the full toys is not here"
    assert not shown.models
    with pytest.raises(EvidenceError, match="settings steps is 9 here"):
        conduct(changed(absent, steps=9), 1, CHECK)
    with pytest.raises(DataError, match="TOYS=folder"):
        conduct(changed(absent, steps=9), 1, READ)
    conduct(absent, 0, PROVE)  # keeps what is there
    assert conduct(absent, 0, CHECK).line == shown.line
    assert rehearse_briefly(changed(absent, steps=1)).line == shown.line  # at profile smoke


def fresh(seed: int) -> Dataset:
    return adding_problem(length=8, count=100, seed=seed)


def fresh_but_later(seed: int) -> Dataset:
    return adding_problem(length=8, count=100, seed=seed + 1)


@pytest.mark.slow
def test_evidence_of_drawn_data_is_replayed(evidence):
    design = replace(DESIGN, data=fresh)
    conduct(design, 0, PROVE)
    again = conduct(design, 1, CHECK)
    assert again.line == "toy: 6 stored networks, 2 of them replayed here: equal; 2 trained here"
    for other in (fresh_but_later, DESIGN.data):
        with pytest.raises(EvidenceError, match="toy is not the experiment of its evidence"):
            conduct(replace(design, data=other), 0, CHECK)
