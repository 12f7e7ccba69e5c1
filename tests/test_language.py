"""Training, scoring and sampling of language models on running text."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from helpers import language, training
from helpers.ngrams import NGrams
from helpers.recurrent import GRU, LSTM
from helpers.sequences import LanguageModel
from helpers.splits import DataError
from helpers.streams import initialise, stream
from helpers.text import Vocabulary

VOCABULARY = Vocabulary(list("abcdefgh"))
SIZE = len(VOCABULARY)


def model(cell=LSTM, hidden=12, seed=0):
    return initialise(lambda: LanguageModel(SIZE, cell(6, hidden)), seed)


def ids(count, seed=0):
    return torch.randint(2, SIZE, (count,), generator=stream(seed, "text"))


def cyclic(count):
    return torch.arange(count) % (SIZE - 2) + 2


def data_of(make=cyclic, train=3000):
    return language.text_data("letters", make(train), make(300), make(250), VOCABULARY)


def test_text_data_is_the_text_and_its_next_tokens():
    data = data_of(ids)
    assert torch.equal(language.whole_text(data.train), ids(3000))
    assert torch.equal(data.valid.x[0, 1:], data.valid.y[0, :-1])
    with pytest.raises(DataError, match=r"the test text has shape \(1,\)"):
        language.text_data("t", ids(9), ids(9), ids(1), VOCABULARY)


def oracle(net, tokens):
    logits = net(tokens[None, :-1])
    return F.cross_entropy(logits, tokens[None, 1:], reduction="none")[0].detach()


@pytest.mark.parametrize("count", [2, 3, 250, 600])
def test_surprise_in_one_go_or_in_pieces_is_that_of_the_whole_text(count):
    net, tokens = model(), ids(count)
    for piece in (1, 64, 10_000) if count < 300 else (64,):
        found = language.surprise(net, tokens, streams=1, piece=piece)
        torch.testing.assert_close(found, oracle(net, tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("count", "streams"), [(2001, 4), (2002, 7), (1999, 3), (1403, 7)])
def test_surprise_side_by_side_scores_every_token_once(count, streams, monkeypatch):
    monkeypatch.setattr(language, "WARM_UP", 150)
    net, tokens = model(GRU), ids(count)
    found = language.surprise(net, tokens, streams=streams)
    assert found.shape == (count - 1,)
    # An untrained GRU has forgotten what came 150 tokens ago.
    torch.testing.assert_close(found, oracle(net, tokens), rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="two or more"):
        language.surprise(net, tokens[:1])


def test_surprise_leaves_the_mode_alone():
    net = model().train()
    language.surprise(net, ids(5))
    assert net.training


def test_pieces_carry_on_where_the_last_one_ended():
    pieces = language._pieces(cyclic(101), 3, 8, stream(0, "batches"))
    passes = [next(pieces) for _ in range(9)]  # 4 pieces a pass
    assert [first for *_, first in passes] == [True, False, False, False] * 2 + [True]
    for (_, y, _), (x, _, first) in itertools.pairwise(passes):
        assert first or torch.equal((y[:, -1]), x[:, 0])
    text = ids(40)  # no pass knows more than the text
    x, y, _ = next(language._pieces(text, 1, 39, stream(1, "batches")))
    assert sorted(torch.cat([x[0], y[0, -1:]]).tolist()) == sorted(text.tolist())


def test_training_learns_and_repeats_itself():
    histories = []
    for _ in range(2):
        net = model()
        recipe = {"steps": 60, "lr": 0.03, "seed": 1, "batch_size": 4, "length": 10}
        histories.append(language.fit_text(net, data_of(), evaluate_every=25, **recipe))
    first, second = histories
    assert first.equals(second)
    assert first.step.tolist() == [25, 50, 60] and first.test_loss.isna().tolist() == [1, 1, 0]
    assert first.valid_loss.iloc[-1] < 0.5 * first.train_loss.iloc[0]


def test_the_state_is_carried_from_update_to_update():
    """With a learning rate of nearly zero the first losses are those of the text in one go."""
    net, data = model(), data_of(ids)
    history = language.fit_text(
        net, data, steps=4, lr=1e-30, seed=3, batch_size=1, length=20, evaluate_every=1
    )
    start = int(torch.randint(3000, (1,), generator=stream(3, "batches")))
    expected = oracle(net, ids(3000).roll(-start)[:81]).view(4, 20).mean(1)
    torch.testing.assert_close(torch.tensor(history.train_loss.values).float(), expected)


def test_a_diverged_run_says_so():
    history = language.fit_text(
        model(), data_of(ids), steps=30, lr=1e38, seed=0, evaluate_every=10, clip=1e9
    )
    assert history.diverged_at.iloc[-1] > 0


def test_fit_many_takes_it():
    runs = training.fit_many(
        {"LSTM": model, "GRU": lambda: model(GRU)},
        data_of(),
        train=language.fit_text,
        seeds=[1, 2],
        grid={"lr": [0.01, 0.03]},
        steps=3,
        batch_size=4,
        length=10,
        n_jobs=1,
    )
    assert runs.final("test_loss").shape == (2, 4) and runs.final("valid_loss").notna().all(
        axis=None
    )


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"lr": -1.0}, {"lr": math.nan}])
def test_impossible_settings(wrong):
    with pytest.raises(ValueError, match="use positive numbers"):
        language.fit_text(model(), data_of(), **{"steps": 1, "lr": 0.1, "seed": 0} | wrong)


def test_a_text_shorter_than_one_update():
    with pytest.raises(DataError, match="longer text"):
        language.fit_text(model(), data_of(train=500), steps=1, lr=0.1, seed=0)


def test_the_greedy_continuation_of_a_learned_cycle():
    net = model(hidden=24)
    language.fit_text(net, data_of(), steps=150, lr=0.03, seed=1, batch_size=4, length=10)
    prompt = torch.stack([cyclic(10), cyclic(12)[2:]])
    drawn = language.continue_text(net, prompt, 9, top_k=1, generator=stream(0, "s"))
    assert torch.equal(drawn, torch.stack([cyclic(19)[10:], cyclic(21)[12:]]))


def test_continuations_repeat_themselves_and_never_draw_the_forbidden():
    net, prompt = model(), ids(3)[None].repeat(50, 1)
    twice = [language.continue_text(net, prompt, 40, generator=stream(0, "s")) for _ in range(2)]
    assert torch.equal(*twice) and twice[0].shape == (50, 40) and twice[0].min() >= 2
    drawn = language.continue_text(net, prompt, 40, forbid=(2, 3), generator=stream(0, "s"))
    assert set(drawn.unique().tolist()) == {0, 1, *range(4, SIZE)}
    with pytest.raises(DataError, match="count is 0"):
        language.continue_text(net, prompt, 0, generator=stream(0, "s"))
    with pytest.raises(DataError, match="temperature is 0"):
        language.continue_text(net, prompt, 1, temperature=0, generator=stream(0, "s"))


def test_a_network_and_counts_are_scored_on_the_same_tokens():
    tokens = ids(500)
    counted = NGrams(tokens, 2, SIZE).nats(tokens)[1:]
    assert counted.shape == language.surprise(model(), tokens).shape
