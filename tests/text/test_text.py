"""Text to tensors: round trips, vocabularies, batches, windows, n-grams, sampling, bad input."""

import math
import re
import sys
import unicodedata
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from helpers.data.dataset import IGNORED, PAD, DataError
from helpers.data.loading import load_plays, load_reviews
from helpers.text.byte_pairs import BytePairs, train_bpe
from helpers.text.ngrams import NGrams
from helpers.text.sampling import sample_next
from helpers.text.tokens import UNK, Vocabulary, as_ids, characters, words
from helpers.text.windows import mask, pad, windows

quick = settings(max_examples=60, deadline=None)
any_text = st.text(min_size=1, max_size=60)  # all of Unicode but surrogates
with_surrogates = st.text(st.characters(codec=None), min_size=1, max_size=30)
letters = st.text("abc ", min_size=1, max_size=40)
rows = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=20)


PAIRS = train_bpe(load_plays().valid, 400)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ids(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


# ---------------------------------------------------------------- tokens


@quick
@given(any_text)
def test_characters_keep_the_text(text):
    assert "".join(characters(text)) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I'm here, Sir!", ["i'm", "here", ",", "sir", "!"]),
        ("''Tis a well-kept  secret''", "' ' tis a well - kept secret ' '".split()),
        ("naïve 漢字\n3.5%", ["naïve", "漢字", "3", ".", "5", "%"]),
        ("हिन्दी, শ্রী", ["हिन्दी", ",", "শ্রী"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # a joiner belongs to the word
        ("don’t ‘l’homme’", ["don't", "‘", "l'homme", "’"]),
        ("nai\u0308ve", ["na\u00efve"]),
        ("\ufeffThe\u200b \u200eco\u00adop", ["the", "coop"]),
        ("İstanbul", ["i\u0307stanbul"]),
        ("👩\u200d👩\u200d👧🇮🇳👍🏽!", ["👩\u200d👩\u200d👧", "🇮🇳", "👍🏽", "!"]),
        ("½ a\ud800", ["½", "a", "\ud800"]),
    ],
)
def test_words(text, found):
    assert words(text) == found


@quick
@given(any_text)
def test_words_lose_nothing_that_can_be_seen(text):
    """All but what stays after the letters of any script: blanks, controls, invisible signs."""
    seen = [c for c in text if c.isalnum()]
    if seen:
        found = "".join(words(text))
        assert Counter(normal(text.lower())) - Counter(normal(found)) == Counter()


def normal(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if c.isalnum())


def simple_words(text: str) -> list[str]:
    return re.findall(r"\w+(?:'\w+)*|[^\w\s]", text.lower())


@pytest.mark.slow
def test_words_of_the_plays_and_reviews_are_those_of_the_simple_rule():
    assert all(words(part) == simple_words(part) for part in load_plays())
    reviews = load_reviews()
    other = reviews[[words(text) != simple_words(text) for text in reviews.text]]
    assert other.split.tolist() == ["test"] and "We’ve seen" in other.text.item()


# ---------------------------------------------------------------- vocabulary


@quick
@given(with_surrogates)
def test_characters_survive_encoding(text):
    vocabulary = Vocabulary.build(characters(text))
    encoded = vocabulary.encode(characters(text), strict=True)
    assert encoded.dtype == torch.int64 and encoded.min() > UNK and encoded.max() < len(vocabulary)
    assert "".join(vocabulary.decode(encoded)) == text
    again = Vocabulary(vocabulary.content())
    assert again.tokens == vocabulary.tokens and again.fingerprint == vocabulary.fingerprint


ROWS = [
    list,
    tuple,
    iter,
    np.array,
    lambda row: pd.Series(row, index=range(5, 5 + len(row))),
]


@pytest.mark.parametrize("row", ROWS)
def test_any_row_of_strings_is_tokens(row):
    cat = ["the", "cat", "sat", "the"]
    vocabulary = Vocabulary.build(row(cat))
    assert vocabulary.tokens[2:] == ("the", "cat", "sat") == Vocabulary(row(cat[:3])).tokens[2:]
    assert vocabulary.fingerprint == Vocabulary(cat[:3]).fingerprint
    assert vocabulary.encode(row(cat), strict=True).tolist() == [2, 3, 4, 2]
    assert vocabulary.out_of_vocabulary_rate(row(["a", "cat"])) == 0.5


@pytest.mark.parametrize(
    "row",
    [
        *(make for make in ROWS if make is not iter),
        torch.tensor,
        lambda row: torch.tensor(row, dtype=torch.int32),
        lambda row: [torch.tensor(i) for i in row],
    ],
)
def test_any_row_of_whole_numbers_is_ids(row):
    given = row([2, 3, 4, 2, 3])
    expected = ids(2, 3, 4, 2, 3)
    assert torch.equal(as_ids(given), expected) and as_ids(given).dtype == torch.int64
    assert all(map(torch.equal, windows(given, 2), windows(expected, 2)))
    assert pad([given, [7]])[0].tolist() == [[2, 3, 4, 2, 3], [7, 0, 0, 0, 0]]
    assert torch.equal(mask(given), mask(expected))
    assert "".join(Vocabulary("a b c d".split()).decode(given)) == "abcab"
    counts = NGrams(given, 2, 5)
    assert torch.equal(counts.nats(given), NGrams(expected, 2, 5).nats(expected))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("the cat", r"are a str of what is no integer: encode text with its vocabulary first"),
        (["the", "cat"], r"are a list of what is no integer: encode"),
        (pd.Series(["the"]), r"are a Series of what is no integer"),
        ([[1, 2], [3]], r"are a list of what is no integer"),
        (None, r"are a NoneType"),
        ([1.0, 2.0], r"are torch\.float64 of shape \(2,\): expected integers"),
        (torch.ones(2, dtype=torch.bool), r"are torch\.bool"),
        ([[1, 2]], r"of shape \(1, 2\): expected integers in 1 dim"),
        (7, r"of shape \(\)"),
    ],
)
def test_what_is_no_row_of_ids_is_named(given, message):
    for call in (
        lambda: windows(given, 1),
        lambda: pad([given]),
        lambda: mask(given),
        lambda: Vocabulary(["a"]).decode(given),
        lambda: NGrams(given, 1, 9),
        lambda: NGrams([1], 1, 9).nats(given),
        lambda: train_bpe("a").decode(given),
    ):
        with pytest.raises(DataError, match=message):
            call()


def test_order_is_by_frequency_then_alphabet():
    vocabulary = Vocabulary.build("b a c a b d é".split())
    assert vocabulary.tokens == ("<pad>", "<unk>", "a", "b", "c", "d", "é")
    assert len(vocabulary) == 7 and "a" in vocabulary and "<pad>" not in vocabulary
    assert Vocabulary.build("b a c a b d".split(), max_size=5).tokens[2:] == ("a", "b", "c")


@quick
@given(letters, letters)
def test_unknown_tokens_are_counted(train, test):
    vocabulary = Vocabulary.build(characters(train))
    encoded = vocabulary.encode(characters(test))
    unknown = [c not in train for c in test]
    assert (encoded == UNK).tolist() == unknown
    assert vocabulary.out_of_vocabulary_rate(characters(test)) == pytest.approx(
        sum(unknown) / len(test)
    )
    read = "".join("<unk>" if u else c for u, c in zip(unknown, test, strict=True))
    assert "".join(vocabulary.decode(encoded)) == read


# ---------------------------------------------------------------- byte pairs


@quick
@given(any_text)
def test_byte_pairs_lose_nothing(text):
    encoded = PAIRS.encode(text)
    assert encoded.dtype == torch.int64 and UNK < encoded.min() and encoded.max() < len(PAIRS)
    assert PAIRS.decode(encoded) == text


@pytest.mark.parametrize(
    "text", ["<pad><unk>", " a", "a ", "\x00\r\n", "\ufeffa", "👩‍👩‍👧", "\ufffd"]
)
def test_byte_pairs_keep_awkward_text(text):
    assert PAIRS.decode(PAIRS.encode(text)) == text


def test_byte_pairs_are_learned_and_kept(tmp_path):
    held_out = load_plays().test[:2000]
    assert len(PAIRS) == 400 and len(PAIRS.encode(held_out)) < 0.7 * len(held_out)
    pieces = PAIRS.pieces("of the king")
    assert "".join(pieces) == "of the king" and " the" in pieces
    PAIRS.tokenizer.save(str(tmp_path / "pairs.json"))
    kept = BytePairs(Tokenizer.from_file(str(tmp_path / "pairs.json")))
    assert torch.equal(kept.encode(held_out), PAIRS.encode(held_out)) and len(kept) == 400


def test_an_absent_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match="pip install tokenizers"):
        train_bpe("abc")


# ---------------------------------------------------------------- padding


@pytest.mark.slow
@quick
@given(rows, st.none() | st.integers(1, 10))
def test_pad_and_mask_agree(sequences, limit):
    x, lengths = pad(sequences, limit)
    cut = [sequence[:limit] for sequence in sequences]
    assert x.dtype == lengths.dtype == torch.int64 and x.shape[1] == max(map(len, cut))
    assert lengths.tolist() == [len(sequence) for sequence in cut]
    present = mask(lengths)
    assert present.dtype == torch.bool and torch.equal(present, x != PAD)
    assert [row[p].tolist() for row, p in zip(x, present, strict=True)] == cut
    assert torch.equal(mask(lengths, 12)[:, : x.shape[1]], present)


# ---------------------------------------------------------------- windows


@quick
@given(st.integers(1, 20), st.integers(0, 70))
def test_windows_cover_every_target_exactly_once(length, more):
    tokens = torch.arange(100, 101 + length + more)
    x, y = windows(tokens, length)
    scored = y != IGNORED
    assert x.shape == y.shape and x.shape[1] == length and scored.any(1).all()
    assert sorted(y[scored].tolist()) == tokens[1:].tolist()
    assert torch.equal(x[scored] + 1, y[scored])
    assert torch.equal(x, x[:, :1] + torch.arange(length))


@quick
@given(st.integers(1, 20), st.integers(0, 70), st.integers(1, 25))
def test_windows_with_a_stride(length, more, stride):
    tokens = torch.arange(100, 101 + length + more)
    x, y = windows(tokens, length, stride)
    assert x[:, 0].tolist() == list(range(100, 101 + more, stride))
    assert torch.equal(y, x + 1) and y.max() <= tokens[-1]


# ---------------------------------------------------------------- n-grams


def grams(train: list[int], order: int) -> list[tuple[int, ...]]:
    return [tuple(train[i : i + order]) for i in range(len(train) - order + 1)]


def kneser_ney_counts(train: list[int], order: int, highest: bool) -> Counter:
    if highest:
        return Counter(grams(train, order))
    return Counter(gram[1:] for gram in set(grams(train, order + 1)))


def discount(counts: Counter, count: int) -> float:
    n = [sum(c == k for c in counts.values()) for k in range(5)]
    d = [0.0, 0.5, 1.0, 1.5]
    if n[1] and n[2] and n[3]:
        y = n[1] / (n[1] + 2 * n[2])
        better = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        d = [0.0, *better] if min(better) > 0 else d
    return d[min(count, 3)]


def by_definition(train, context, token, size, order, highest=True) -> float:
    """Share of a token from the formulas alone: all is counted anew for each question."""
    if order == 0:
        return 1 / size
    lower = by_definition(train, context, token, size, order - 1, False)
    if order - 1 > len(context):
        h = None
    else:
        h = tuple(context[len(context) - (order - 1) :])
    counts = kneser_ney_counts(train, order, highest)
    after = Counter({gram[-1]: c for gram, c in counts.items() if gram[:-1] == h})
    if h is None or not after:
        return lower
    cut = {w: discount(counts, c) for w, c in after.items()}
    gain = after[token] - cut[token] if token in after else 0
    return (gain + sum(cut.values()) * lower) / after.total()


token_lists = st.lists(st.integers(0, 3), min_size=4, max_size=40)


@pytest.mark.slow
@quick
@given(token_lists, st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_ngrams_equal_their_definition(train, test):
    model = NGrams(torch.tensor(train), 4, 5)
    for order in range(1, 5):
        found = model.nats(torch.tensor(test), order)
        assert found.dtype == torch.float64 and len(found) == len(test)
        for t, token in enumerate(test):
            # The shorter context of the first tokens counts as a lower order would.
            share = by_definition(train, test[:t], token, 5, order)
            assert found[t].item() == pytest.approx(-math.log(share), abs=1e-12)


def test_first_order_by_hand():
    counts = NGrams(ids(2, 2, 2, 3), 1, 4)  # three 2s and one 3 of four ids
    shares = [math.exp(-counts.nats(ids(token)).item()) for token in range(4)]
    # Cut by 1.5 and 0.5, a quarter each back.
    assert shares == pytest.approx([0.5 / 4, 0.5 / 4, 2 / 4, 1 / 4])


@pytest.mark.slow
def test_more_context_foretells_the_plays_better():
    plays = load_plays()
    vocabulary = Vocabulary.build(characters(plays.train))
    train, test = (vocabulary.encode(list(t), strict=True) for t in (plays.train, plays.test))
    kneser_ney = NGrams(train[:300_000], 5, len(vocabulary))
    curve = [kneser_ney.nats(test, order).mean().item() for order in range(1, 6)]
    assert curve == sorted(curve, reverse=True) and 1.6 < curve[-1] < 1.9


def test_many_words_do_not_overflow():
    train = torch.arange(1000) * 997
    model = NGrams(train, 6, 1_000_000)
    assert model.nats(train)[-1].item() < 2 < model.nats(train.flip(0))[-1].item()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: characters(b"abc"), r"text is a bytes: give one str"),
        (lambda: words(["a", "b"]), r"text is a list: .*' '\.join"),
        (lambda: words(""), r"text is empty"),
        (lambda: words(" \n\t\ufeff"), r"only blanks"),
        (lambda: Vocabulary([]), r"one or more strings"),
        (lambda: Vocabulary(["a", 1]), r"token 1 is 1: tokens are strings"),
        (lambda: Vocabulary(["a", "b", "a"]), r"'a' is reserved or comes twice"),
        (lambda: Vocabulary.build([]), r"one or more strings"),
        (lambda: Vocabulary.build(["a"], max_size=2), r"max_size is 2: use 3 or more"),
        (lambda: Vocabulary.build("abc"), r"'abc' is a text where tokens are wanted: cut it"),
        (lambda: Vocabulary(["a"]).encode("the cat sat"), r"'the cat sat' is a text .*words\(text"),
        (lambda: Vocabulary(["a"]).encode(b"the cat"), r"token 0 is 116: tokens are strings"),
        (lambda: Vocabulary(["a"]).encode(pd.Series(["a", None])), r"token 1 is (None|nan)"),
        (
            lambda: Vocabulary(["a"]).encode(pd.DataFrame({"a": ["b"]})),
            r"DataFrame of shape \(1, 1",
        ),
        (
            lambda: Vocabulary(["a"]).encode(np.array("abc")),
            r"ndarray of shape \(\): give one",
        ),
        (lambda: Vocabulary({"a", "b"}), r"tokens is a set, which would lose their order"),
        (
            lambda: Vocabulary.build({"a": 3}),
            r"tokens is a dict.*Vocabulary.build, which counts",
        ),
        (lambda: Vocabulary.build([["a"]]), r"token 0 is \['a'\]"),
        (lambda: Vocabulary.build(7), r"tokens is 7: give a list"),
        (lambda: Vocabulary(["a"]).encode([]), r"no tokens to encode"),
        (lambda: Vocabulary(["a"]).encode([*"aéa漢"], strict=True), r"ulary: 'é', '漢'; replace"),
        (lambda: Vocabulary(["a"]).decode([3]), r"run from 3 to 3, and only 0 to 2"),
        (lambda: pad([]), r"no sequences to pad"),
        (lambda: pad([[2, 3], []]), r"sequence 1 is \[\]: .*drop an empty one"),
        (lambda: pad(["the", "cat"]), r"ids of sequence 0 are a str .*encode text"),
        (lambda: pad([[2, 0, 3]]), r"sequence 0 is \[2, 0, 3\].*0 is PAD.*with a Vocab"),
        (lambda: mask(ids(0, 2)), r"a length is 0: .*drop empty ones"),
        (lambda: mask(ids(3), 2), r"a length is 3, beyond the 2 steps"),
        (lambda: mask(ids()), r"no lengths"),
        (lambda: windows(torch.arange(5), 5), r"has 5 token\(s\), and 6 are needed.*longer text"),
        (lambda: NGrams(ids(1, 2), 3, 5), r"3-grams need 3 tokens or more"),
        (lambda: NGrams(ids(1, 5), 1, 5), r"run from 1 to 5, and only 0 to 4"),
        (lambda: NGrams(ids(1, 2), 1, 5).nats(ids(7)), r"run from 7 to 7"),
        (lambda: NGrams(ids(1, 2), 1, 5).nats(ids()), r"no tokens to score"),
        (lambda: NGrams(ids(1, 2), 1, 5).nats(ids(1), 2), r"order is 2: .*orders 1 to 1"),
        (lambda: train_bpe("abc", 257), r"size is 257: .*258"),
        (lambda: PAIRS.encode("a\ud800"), r"character 1 of the text.*no UTF-8 form"),
        (lambda: train_bpe(["a", "b"]), r"text is a list: give one str"),
        (lambda: PAIRS.decode([5, PAD]), r"PAD or UNK stands among the ids.*leave them out"),
        (lambda: PAIRS.decode([400]), r"run from 400 to 400, and only 0 to 399"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


# ---------------------------------------------------------------- sampling


LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -float("inf")])


def drawn_shares(**settings) -> torch.Tensor:
    logits = LOGITS.expand(20_000, -1)
    drawn = sample_next(logits, generator=generator(), **settings)
    assert drawn.dtype == torch.int64 and drawn.shape == (20_000,)
    return torch.bincount(drawn, minlength=5) / 20_000


@pytest.mark.parametrize(
    ("settings", "kept", "temperature"),
    [
        ({}, 4, 1.0),
        ({"temperature": 0.5}, 4, 0.5),
        ({"top_k": 2}, 2, 1.0),
        ({"top_k": 5}, 4, 1.0),
        ({"top_p": 0.64}, 1, 1.0),  # shares 0.644, 0.237, 0.087, 0.032
        ({"top_p": 0.65}, 2, 1.0),
        ({"top_k": 3, "top_p": 0.9}, 2, 1.0),
        ({"temperature": 0.5, "top_k": 2, "top_p": 1.0}, 2, 0.5),
    ],
)
def test_sampled_shares(settings, kept, temperature):
    expected = torch.zeros(5)
    expected[:kept] = torch.softmax(LOGITS[:kept] / temperature, 0)
    assert (drawn_shares(**settings) - expected).abs().max() < 0.015


def test_rows_are_drawn_apart_and_by_the_generator_alone():
    logits = torch.tensor([[0.0, 50.0, 0.0], [50.0, 0.0, 0.0]])
    assert sample_next(logits, top_k=2, generator=generator()).tolist() == [1, 0]
    flat = torch.zeros(50, 9)
    state = torch.get_rng_state()
    one, two = (sample_next(flat, generator=generator(3)) for _ in range(2))
    assert torch.equal(one, two) and torch.equal(state, torch.get_rng_state())


@quick
@given(
    st.lists(st.floats(-1e30, 1e30), min_size=2, max_size=6),
    st.floats(1e-300, 1e300),
    st.floats(1e-6, 1),
)
def test_no_temperature_breaks_sampling(logits, temperature, top_p):
    logits = torch.tensor([logits])
    token = sample_next(logits, temperature, top_p=top_p, generator=generator()).item()
    assert 0 <= token < logits.shape[1]
    if temperature < 1e-50:
        assert logits[0, token] == logits.max()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, r"temperature is 0: .*positive.*argmax"),
        ({"temperature": float("nan")}, r"temperature is nan"),
        ({"temperature": float("inf")}, r"temperature is inf"),
        ({"top_k": 0}, r"top_k is 0: use 1 to 3"),
        ({"top_p": 0.0}, r"top_p is 0\.0: use more than 0"),
        ({"top_p": float("nan")}, r"top_p is nan"),
        ({"logits": torch.zeros(3)}, r"shape \(3,\): expected floats \(batch, tokens\)"),
        ({"logits": torch.zeros(1, 3).long()}, r"logits are torch\.int64"),
        ({"logits": torch.tensor([[0.0, float("nan")]])}, r"a row is nan: .*diverged"),
        ({"logits": torch.tensor([[0.0, float("inf")]])}, r"a row is inf"),
        ({"logits": torch.full((2, 3), -float("inf"))}, r"a row is -inf"),
    ],
)
def test_bad_sampling_is_named(settings, message):
    with pytest.raises(DataError, match=message):
        sample_next(**{"logits": torch.zeros(1, 3), "generator": generator()} | settings)
