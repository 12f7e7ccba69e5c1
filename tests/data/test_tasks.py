"""The synthetic tasks: labels recomputed by plain loops, baselines, splits, bad input."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from helpers.data import tasks
from helpers.data.dataset import IGNORED, PAD, SPLITS, DataError, Dataset, Split, check_split
from helpers.data.loading import load
from helpers.evidence.files import ROOT

SMALL = {
    "adding": lambda seed=1: tasks.adding_problem(20, 200, seed=seed),
    "reset-sum": lambda seed=1: tasks.reset_sum(20, 200, seed=seed),
    "copy-memory": lambda seed=1: tasks.copy_memory(7, count=3000, seed=seed),
    "which-came-first": lambda seed=1: tasks.which_came_first(30, 200, 5, 4, seed=seed),
    "remember-symbol": lambda seed=1: tasks.remember_symbol(3, 12, 200, seed=seed),
    "find-symbol": lambda seed=1: tasks.find_symbol(12, 4, 200, seed=seed),
    "key-token": lambda seed=1: tasks.key_token(2, 200, seed=seed),
}
SENTENCES = 21786, [0, 0, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1]  # sum of the tokens, first labels
few = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 10_000)


@pytest.fixture(scope="module", params=SMALL)
def task(request) -> Dataset:
    return SMALL[request.param]()


def splits(dataset: Dataset) -> list[Split]:
    return [getattr(dataset, name) for name in SPLITS]


def digest(dataset: Dataset) -> str:
    return hashlib.sha256(
        b"".join(t.numpy().tobytes() for s in splits(dataset) for t in s)
    ).hexdigest()


# ---------------------------------------------------------------- all tasks


def test_the_sentences_of_the_course_are_those_its_evidence_knows():
    """Another seed of the data would be other data: nothing that is stored would hold."""
    x, y = tasks.key_token(count=200).train
    assert (x.sum().item(), y[:12].tolist()) == SENTENCES


def test_splits_are_what_training_needs(task):
    for split in splits(task):
        check_split(split, task.classes)
        assert split.x.is_contiguous() and len(split.x) in (200, 3000, tasks.HELD)


def test_no_sequence_is_in_two_splits(task):
    train, valid, test = ({row.numpy().tobytes() for row in s.x} for s in splits(task))
    assert not train & valid and not train & test and not valid & test


@pytest.mark.slow
def test_a_task_is_determined_by_its_seed_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    for make in SMALL.values():
        assert digest(make()) == digest(make()) != digest(make(2))
    assert torch.equal(state, torch.get_rng_state())


def test_a_dataset_moves_to_a_device():
    moved = SMALL["adding"]().to("meta")
    assert {t.device.type for s in splits(moved) for t in s} == {"meta"}
    assert moved.name == "adding-20" and moved.train.x.shape == (200, 20, 2)


def test_classes_are_balanced():
    for name in ("which-came-first", "key-token"):
        for split in splits(SMALL[name]()):  # but for sequences drawn again
            assert split.y.double().mean().item() == pytest.approx(0.5, abs=0.01)


# ---------------------------------------------------------------- labels by plain loops


@few
@given(seeds, st.integers(2, 30))
def test_adding_problem(seed, length):
    x, y = tasks.adding_problem(length, 5, seed).train
    for row, target in zip(x.tolist(), y.tolist(), strict=True):
        marked = [t for t, (_, mark) in enumerate(row) if mark == 1]
        assert len(marked) == 2 and all(mark in (0, 1) and 0 <= v <= 1 for v, mark in row)
        assert marked[0] < length // 2 <= marked[1]
        assert target[0] == pytest.approx(sum(row[t][0] for t in marked), abs=1e-6)


@few
@given(seeds, st.integers(4, 30))
def test_reset_sum(seed, length):
    x, y = tasks.reset_sum(length, 5, seed=seed).train
    for row, target in zip(x.tolist(), y.tolist(), strict=True):
        total = 0.0
        for value, mark, reset in row:
            assert not (mark and reset)
            total = 0.0 if reset else total + value * mark
        assert target[0] == pytest.approx(total, abs=1e-5)


@pytest.mark.slow
@few
@given(seeds, st.integers(1, 12))
def test_copy_memory(seed, silence):
    data = tasks.copy_memory(silence, 5, seed)
    x, y = data.train
    assert x.shape == (5, silence + 10, 10) and len(data.classes) == 8
    for row, target in zip(x.argmax(-1).tolist(), y.tolist(), strict=True):
        said, rest = row[:5], row[5:]
        assert max(said) < 8
        assert rest == [8] * (silence - 1) + [9] * 6
        assert target == [IGNORED] * (5 + silence) + said


@few
@given(seeds, st.integers(1, 10), st.integers(0, 5), st.integers(8, 17))
def test_which_came_first(seed, gap, margin, more):
    length = 2 * margin + gap + 1 + more
    x, y = tasks.which_came_first(length, 6, gap, margin, seed).train
    for row, target in zip(x.argmax(-1).tolist(), y.tolist(), strict=True):
        a, b = row.index(8), row.index(9)
        assert row.count(row[a]) == row.count(row[b]) == 1
        assert abs(a - b) >= gap
        assert margin <= min(a, b) and max(a, b) < length - margin
        assert target == (0 if a < b else 1)


def test_which_came_first_uses_every_pair_of_places():
    x, _ = tasks.which_came_first(9, 4000, 3, 2, seed=0).train
    places = x[..., -2:].argmax(1).sort(1).values
    pairs, counts = places.unique(dim=0, return_counts=True)
    assert pairs.tolist() == [[2, 5], [2, 6], [3, 6]]
    assert (counts / 4000 - 1 / 3).abs().max() < 0.04


@few
@given(seeds, st.integers(0, 9))
def test_remember_symbol(seed, lag):
    x, y = tasks.remember_symbol(lag, 20, 5, seed).train
    for row, target in zip(x.argmax(-1).tolist(), y.tolist(), strict=True):
        assert target == [IGNORED] * lag + row[: 20 - lag]


@pytest.mark.slow
@few
@given(seeds, st.integers(1, 12), st.none() | st.integers(0, 11))
def test_find_symbol(seed, more, back):
    length = more + (back or 0) + 8  # shorter sequences are too few for three splits
    x, y = tasks.find_symbol(length, back, 5, seed).train
    for row, target in zip(x, y.tolist(), strict=True):
        marks = row[:, 8].tolist()
        place = marks.index(1.0)
        assert sum(marks) == 1 and row[:, :8].sum(1).tolist() == [1.0] * length
        assert row[place, target] == 1 and back in (None, length - 1 - place)


def test_find_symbol_marks_every_place_equally_often():
    x, y = tasks.find_symbol(6, count=4000, seed=0).train
    assert (x[..., 8].mean(0) - 1 / 6).abs().max() < 0.03
    assert (y.bincount() / 4000 - 1 / 8).abs().max() < 0.03


@few
@given(seeds, st.integers(5, 40))
def test_key_token(seed, shortest):
    x, y = tasks.key_token(shortest, 6, seed).train
    for row, target in zip(x.tolist(), y.tolist(), strict=True):
        words = [token for token in row if token != PAD]
        assert row == words + [PAD] * (len(row) - len(words)) and len(words) >= shortest
        assert [token for token in words if token > 8] == [9 + target]


# ---------------------------------------------------------------- baselines of the docstrings


def mean_error(y: torch.Tensor) -> float:
    return ((y - y.mean()) ** 2).mean().item()


@pytest.mark.slow
def test_predicting_the_mean_of_the_adding_problem():
    y = tasks.adding_problem().train.y
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    assert mean_error(y) == pytest.approx(1 / 6, abs=0.005)


def test_trivial_answers_to_reset_sum():
    x, y = tasks.reset_sum().train
    everything = (x[..., 0] * x[..., 1]).sum(1, keepdim=True)
    assert y.mean().item() == pytest.approx(0.862, abs=0.02)
    assert mean_error(y) == pytest.approx(1.154, abs=0.06)
    assert ((everything - y) ** 2).mean().item() == pytest.approx(4.96, abs=0.2)


def test_constant_guesses_score_chance():
    for task in (tasks.copy_memory(count=5000), tasks.remember_symbol()):
        scored = task.train.y[task.train.y != IGNORED]
        shares = torch.bincount(scored) / len(scored)
        assert (shares - 1 / 8).abs().max() < 0.01


def test_symbols_are_independent_of_their_past():
    y = tasks.remember_symbol().train.y
    pairs = torch.bincount((y[:, 1:] * 8 + y[:, :-1]).flatten(), minlength=64) / y[:, 1:].numel()
    assert (pairs - 1 / 64).abs().max() < 0.003


# ---------------------------------------------------------------- images as sequences


def test_digit_rows_read_images_row_by_row():
    digits = load("mnist-5k")
    small = tasks.shrink(digits)
    rows, all_rows = tasks.digit_rows(small), tasks.digit_rows(digits)
    assert rows.train.x.shape == (3500, 8, 8) and all_rows.test.x.shape == (1000, 28, 28)
    assert torch.equal(all_rows.valid.x[3, 5], digits.valid.x[3, 0, 5])
    assert torch.equal(rows.train.y, digits.train.y) and rows.classes == digits.classes


@pytest.mark.parametrize(("side", "margin", "block"), [(8, 2, 4), (10, 1, 3)])
def test_shrinking_is_a_mean_of_pixels_with_a_margin_of_zero_ink(side, margin, block):
    digits = load("mnist-5k")
    pixels = digits.test.x[7, 0] * digits.std + digits.mean
    small = tasks.shrink(digits, side).test.x[7, 0] * digits.std + digits.mean
    blocks = F.avg_pool2d(F.pad(pixels, [margin] * 4)[None], block)[0]
    torch.testing.assert_close(small, blocks, rtol=0, atol=1e-5)
    assert torch.allclose(tasks.shrink(digits, 28).test.x, digits.test.x, atol=1e-5)


def test_shrinking_colour_images():
    x = torch.rand(4, 3, 8, 8)
    split = Split(x, torch.tensor([0, 1, 0, 1]))
    data = Dataset("colours", split, split, split, ("a", "b"), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert torch.allclose(tasks.shrink(data, 4).train.x, F.avg_pool2d(x, 2), atol=1e-6)


# ---------------------------------------------------------------- bad input


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tasks.adding_problem(1), r"length is 1: use 2 or more"),
        (lambda: tasks.remember_symbol(length=2), r"too few different sequences.*longer"),
        (lambda: tasks.which_came_first(20), r"length is 20: use 27 or more"),
        (lambda: tasks.which_came_first(margin=-1), r"margin is -1: use 0"),
        (lambda: tasks.remember_symbol(lag=5, length=5), r"length is 5: use 6 or more"),
        (lambda: tasks.remember_symbol(lag=-1), r"lag is -1"),
        (lambda: tasks.find_symbol(5, back=5), r"length is 5: use 6 or more"),
        (lambda: tasks.find_symbol(5, back=-1), r"back is -1"),
        (lambda: tasks.key_token(0), r"shortest is 0: use 1 to 40"),
        (lambda: tasks.shrink(load("mnist-5k"), 29), r"shrinking to 29 needs square images"),
        (lambda: tasks.shrink(tasks.adding_problem(count=9)), r"shape \(9, 50, 2\)"),
        (lambda: tasks.digit_rows(tasks.adding_problem(count=9)), r"rows are read from images"),
    ],
)
def test_bad_settings_are_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.slow
def test_another_process_draws_the_same():
    code = "from tests.data.test_tasks import SMALL, digest\n"
    code += "print(*(digest(f()) for f in SMALL.values()))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.split() == [digest(make()) for make in SMALL.values()]
