"""Random streams and the order of batches."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import assert_same_weights, dense, toy, with_dropout

from helpers.data.streams import stream
from helpers.nets.starts import initialise
from helpers.training.batches import batches, reading_order
from helpers.training.fit import fit


def test_streams_are_repeatable_and_unrelated():
    first = {
        (seed, name): torch.randn(8, generator=stream(seed, name)).tolist()
        for seed in (0, 1, 11)
        for name in ("batches", "weights", "dropout")
    }
    assert len({tuple(numbers) for numbers in first.values()}) == len(first)
    assert torch.randn(8, generator=stream(1, "weights")).tolist() == first[1, "weights"]


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    fit(initialise(with_dropout, seed=0), toy(), steps=3, lr=0.1, seed=0, batch_size=10)
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_do_not_depend_on_global_random_state():
    one = initialise(dense, seed=3)
    torch.rand(7)
    assert_same_weights(one, initialise(dense, seed=3))
    assert not torch.equal(one[0].weight, initialise(dense, seed=4)[0].weight)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(count=st.integers(1, 40), share=st.floats(0, 1), steps=st.integers(1, 50))
def test_batches_are_full_and_show_no_example_twice_an_epoch(count, share, steps):
    size = max(1, round(share * count))
    drawn = list(batches(count, size, steps, torch.Generator().manual_seed(0)))
    assert len(drawn) == steps and all(len(batch) == size for batch in drawn)
    per_epoch = count // size
    for start in range(0, steps, per_epoch):
        seen = torch.cat(drawn[start : start + per_epoch])
        assert len(seen.unique()) == len(seen)
        assert seen.min() >= 0 and seen.max() < count


def test_every_epoch_is_shuffled_anew():
    drawn = torch.cat(list(batches(100, 20, 15, stream(0, "batches")))).reshape(3, 100)
    assert (drawn.sort(1).values == torch.arange(100)).all()
    assert len({tuple(epoch.tolist()) for epoch in drawn}) == 3


def test_every_example_gets_its_turn_when_the_last_batch_is_not_full():
    drawn = torch.cat(list(batches(7, 5, 30, stream(0, "batches"))))
    assert len(drawn.unique()) == 7


@settings(max_examples=60, deadline=None, derandomize=True)
@given(count=st.integers(1, 40), share=st.floats(0, 1), steps=st.integers(1, 50))
def test_reading_order_goes_on_where_it_ended(count, share, steps):
    size = max(1, round(share * count))
    drawn = list(reading_order(count, size, steps, torch.Generator().manual_seed(0)))
    pieces = count // size
    assert len(drawn) == steps
    for k, (one, following) in enumerate(pairwise(drawn), start=1):
        assert k % pieces == 0 or torch.equal(following, (one + 1) % count)
    for k in range(0, steps - pieces + 1, pieces):
        seen = torch.cat(drawn[k : k + pieces])
        assert len(seen.unique()) == len(seen) == size * pieces


def test_reading_order_begins_every_pass_elsewhere():
    drawn = list(reading_order(1000, 10, 500, torch.Generator().manual_seed(0)))
    assert len({int(batch[0]) for batch in drawn[::100]}) == 5
    with pytest.raises(ValueError, match="batch_size is 3, but the training set holds 2"):
        next(reading_order(2, 3, 1, torch.Generator()))
