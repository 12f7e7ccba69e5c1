"""Training, scoring and sampling of language models on running text."""

import pytest
import torch
from pandas.testing import assert_frame_equal
from torch.nn import functional as F
from zoo import assert_close_weights

from helpers import training
from helpers.data.dataset import IGNORED, DataError
from helpers.data.streams import stream, stream_seed
from helpers.nets.modes import evaluating
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import LanguageModel
from helpers.nets.starts import initialise
from helpers.text import language
from helpers.text.sampling import continue_text
from helpers.text.tokens import Vocabulary
from helpers.training.batches import reading_order

VOCABULARY = Vocabulary(list("abcdefgh"))
SIZE = len(VOCABULARY)


def model(cell=LSTM, hidden=12, seed=0):
    return initialise(lambda: LanguageModel(SIZE, cell(6, hidden)), seed)


def ids(count, seed=0):
    return torch.randint(2, SIZE, (count,), generator=stream(seed, "text"))


def cyclic(count):
    return torch.arange(count) % (SIZE - 2) + 2


def data_of(make=cyclic, train=3001, length=10):
    texts = make(train), make(300), make(250)
    return language.text_data("letters", *texts, VOCABULARY, length)


def carried(cell=LSTM, batch_size=4, count=300, hidden=12):
    return lambda: language.Stateful(model(cell, hidden), batch_size, count)


READING = {"order": reading_order, "schedule": training.linear_decay, "batch_size": 4}


def test_text_data_is_the_text_and_its_next_tokens():
    data = data_of(ids)
    assert data.train.x.shape == (300, 10)
    assert torch.equal(data.train.x.flatten(), ids(3000))
    assert torch.equal(data.train.y[:, :-1], data.train.x[:, 1:])
    assert data.valid.x.shape == (1, 299) and torch.equal(data.valid.y[0], ids(300)[1:])
    long = language.text_data("t", ids(99), ids(1500), ids(1024), VOCABULARY)
    assert long.valid.x.shape == (3, 512) and (long.valid.y != IGNORED).sum() == 1499


@pytest.mark.parametrize("sizes", [(1, 9, 9), (64, 9, 9), (99, 1, 9), (99, 9, 1)])
def test_a_text_shorter_than_a_window(sizes):
    with pytest.raises(DataError, match="longer text"):
        language.text_data("t", *map(ids, sizes), VOCABULARY)


def oracle(net, tokens):
    logits = net(tokens[None, :-1])
    return F.cross_entropy(logits, tokens[None, 1:], reduction="none")[0].detach()


@pytest.mark.parametrize("count", [2, 3, 250, 600])
def test_nats_in_one_go_or_in_chunks_is_that_of_the_whole_text(count, monkeypatch):
    monkeypatch.setattr(language, "CHUNK", 64)
    net, tokens = model(), ids(count)
    found = language.nats(net, tokens)
    torch.testing.assert_close(found, oracle(net, tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "batch_size"), [(2001, 4), (2002, 7), (1999, 3), (1403, 7)])
def test_nats_side_by_side_scores_every_token_once(count, batch_size, monkeypatch):
    monkeypatch.setattr(language, "BURN_IN", 150)
    monkeypatch.setattr(language, "ROWS", batch_size)
    net, tokens = model(GRU), ids(count)
    found = language.nats(net, tokens)
    assert found.shape == (count - 1,)
    # An untrained GRU has forgotten what came 150 tokens ago.
    torch.testing.assert_close(found, oracle(net, tokens), rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="give two or more"):
        language.nats(net, tokens[:1])


def test_ids_that_the_model_does_not_know():
    stranger = torch.tensor([2, SIZE])
    with pytest.raises(DataError, match=rf"tokens run from 2 to {SIZE}, and only 0 to"):
        language.nats(model(), stranger)
    with pytest.raises(DataError, match="use the vocabulary that encoded"):
        continue_text(model(), stranger[None], 3, generator=stream(0, "s"))


@pytest.mark.parametrize("given", ["the cat", ["the", "cat"], torch.ones(3)])
def test_text_that_is_not_yet_encoded(given):
    with pytest.raises(DataError, match=r"tokens are .*integer"):
        language.nats(model(), given)
    with pytest.raises(DataError, match=r"the prompt's ids are .*integer"):
        continue_text(model(), given, 3, generator=stream(0, "s"))
    with pytest.raises(DataError, match=r"the valid ids are .*integer"):
        language.text_data("t", ids(99), given, ids(99), VOCABULARY)


def test_every_part_keeps_its_mode_come_what_may():
    net = LanguageModel(SIZE, GRU(6, 12), dropout=0.5).train()
    net.dropout.eval()  # as one freezes a part
    modes = [part.training for part in net.modules()]
    language.nats(net, ids(5))
    continue_text(net, ids(3)[None], 2, generator=stream(0, "s"))
    with pytest.raises(DataError, match="temperature is 0"):
        continue_text(net, ids(3)[None], 2, temperature=0, generator=stream(0, "s"))
    net.cell.run = None  # an error in the midst of reading
    with pytest.raises(TypeError):
        language.nats(net, ids(5))
    with pytest.raises(KeyboardInterrupt), evaluating(net):
        assert not any(part.training for part in net.modules())
        raise KeyboardInterrupt
    assert [part.training for part in net.modules()] == modes and net.training


@pytest.mark.slow
@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_the_state_is_carried_from_update_to_update(cell):
    """With a learning rate of nearly zero the losses are those of each stream in one go."""
    net, data = carried(cell, batch_size=2, count=20)(), data_of(ids, train=201)
    history = training.fit(
        net, data, steps=25, lr=1e-30, seed=3, evaluate_every=1, **READING | {"batch_size": 2}
    )
    starts = torch.Generator().manual_seed(stream_seed(3, "batches"))
    expected = []
    for steps in (10, 10, 5):  # a pass is ten windows; each begins with an empty state
        start = 10 * int(torch.randint(20, (1,), generator=starts))
        x, y = (part.flatten().roll(-start).view(2, 100) for part in data.train)
        nats = F.cross_entropy(net.model(x), y, reduction="none").view(2, 10, 10)
        expected += nats.mean((0, 2))[:steps].tolist()
    assert history.train_loss.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_a_stack_carries_the_state_of_each_network(cell):
    def build():
        return carried(cell)().double()

    recipe = READING | {"steps": 80, "clip": 1.0, "evaluate_every": 40, "n_jobs": 1}
    runs = [
        training.fit_many(
            {"a": build}, data_of(ids), seeds=[1, 2], grid={"lr": [0.01, 0.03]}, pack=pack, **recipe
        )
        for pack in (1, 4)
    ]
    assert_frame_equal(runs[0].table, runs[1].table, check_exact=False, rtol=1e-9)
    for alone, stacked in zip(*(r.models.values() for r in runs), strict=True):
        assert_close_weights(alone, stacked, 1e-9)


def test_evaluation_and_new_networks_know_no_state():
    net, data = carried()(), data_of(ids)
    whole = net.eval()(data.valid.x)
    net.train()(data.train.x[:4])
    assert torch.equal(net.eval()(data.valid.x), whole)
    assert not [name for name in net.state_dict() if "state" in name or "read" in name]
    assert torch.equal(net.model(data.valid.x), whole)


def test_batches_that_cannot_be():
    with pytest.raises(ValueError, match="use 1 to 300 rows"):
        carried(batch_size=301)()
    with pytest.raises(ValueError, match="a batch of 5 rows, where 4 are carried on"):
        carried()().train()(data_of(ids).train.x[:5])


@pytest.mark.slow
def test_the_greedy_continuation_of_a_learned_cycle():
    trained = carried(hidden=24)()
    training.fit(trained, data_of(), steps=150, lr=0.03, seed=1, **READING)
    net = trained.model
    prompt = torch.stack([cyclic(10), cyclic(12)[2:]])
    drawn = continue_text(net, prompt, 9, top_k=1, generator=stream(0, "s"))
    assert torch.equal(drawn, torch.stack([cyclic(19)[10:], cyclic(21)[12:]]))


def test_continuations_repeat_themselves_and_never_draw_the_forbidden():
    net, prompt = model(), ids(3)[None].repeat(50, 1)
    twice = [continue_text(net, prompt, 40, generator=stream(0, "s")) for _ in range(2)]
    assert torch.equal(*twice) and twice[0].shape == (50, 40) and twice[0].min() >= 2
    drawn = continue_text(net, prompt, 40, forbid=(2, 3), generator=stream(0, "s"))
    assert set(drawn.unique().tolist()) == {0, 1, *range(4, SIZE)}
    with pytest.raises(DataError, match="forbidden ids run from 0 to 10"):
        continue_text(net, prompt, 1, forbid=(0, SIZE), generator=stream(0, "s"))


def test_a_continuation_may_be_trained_on():
    net = model()
    drawn = continue_text(net, ids(3)[None], 5, generator=stream(0, "s"))
    net(drawn).sum().backward()
    assert net.embedding.weight.grad is not None
