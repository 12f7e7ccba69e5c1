"""Text to tensors: round trips, vocabularies, batches, windows, n-grams, sampling, bad input."""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import text as texts
from helpers.data.dataset import IGNORED, PAD, DataError
from helpers.data.loading import load_plays, load_reviews
from helpers.text.ngrams import NGrams, sample_next
from helpers.text.tokens import UNK, Vocabulary, characters, read_text, words
from helpers.text.windows import length_buckets, mask, pad, padding_share, parallel_streams, windows

ROOT = Path(__file__).resolve().parents[2]
quick = settings(max_examples=60, deadline=None)
any_text = st.text(min_size=1, max_size=60)  # all of Unicode but surrogates
with_surrogates = st.text(st.characters(codec=None), min_size=1, max_size=30)
letters = st.text("abc ", min_size=1, max_size=40)
rows = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=20)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ids(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


# ---------------------------------------------------------------- tokens


@quick
@given(any_text)
def test_reading_bytes_and_characters_keep_the_text(text):
    assert read_text(text.encode()) == text == "".join(characters(text))


def test_read_text_from_a_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("é\r\n".encode())
    assert read_text(path) == read_text(str(path)) == "é\r\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I'm here, Sir!", ["i'm", "here", ",", "sir", "!"]),
        ("''Tis a well-kept  secret''", "' ' tis a well - kept secret ' '".split()),
        ("naïve 漢字\n3.5%", ["naïve", "漢字", "3", ".", "5", "%"]),
    ],
)
def test_words(text, found):
    assert words(text) == found


@quick
@given(any_text)
def test_words_lose_nothing_but_blanks(text):
    if text.strip():
        assert "".join(words(text, lower=False)) == "".join(text.split())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: characters(""), r"text is empty"),
        (lambda: characters(b"abc"), r"text is a bytes: give a str \(read_text"),
        (lambda: words(""), r"text is empty"),
        (lambda: words(" \n\t"), r"only blanks"),
        (lambda: read_text(b""), r"text is empty"),
        (lambda: read_text(b"caf\xe9"), r"byte 3 of the text \(0xe9\) is not UTF-8.*latin-1"),
        (lambda: read_text("no/such/file"), r"no/such/file cannot be read .*name a file"),
    ],
)
def test_bad_text_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


# ---------------------------------------------------------------- vocabulary


@quick
@given(with_surrogates)
def test_characters_survive_encoding_and_a_file(tmp_path_factory, text):
    vocabulary = Vocabulary.build(characters(text))
    path = tmp_path_factory.getbasetemp() / "vocabulary.json"
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    encoded = loaded.encode(characters(text), strict=True)
    assert encoded.dtype == torch.int64 and encoded.min() > UNK and encoded.max() < len(loaded)
    assert "".join(vocabulary.decode(encoded)) == text
    assert loaded.tokens == vocabulary.tokens and loaded.fingerprint == vocabulary.fingerprint


def test_order_is_by_frequency_then_alphabet():
    vocabulary = Vocabulary.build("b a c a b d é".split())
    assert vocabulary.tokens == ("<pad>", "<unk>", "a", "b", "c", "d", "é")
    assert len(vocabulary) == 7 and "a" in vocabulary and "<pad>" not in vocabulary
    assert Vocabulary.build("b a c a b d".split(), min_count=2).tokens[2:] == ("a", "b")
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


def test_every_process_numbers_tokens_alike():
    code = (
        "from helpers.text import *; from helpers.data import load_reviews\n"
        "reviews = load_reviews().text[:300]\n"
        "print(Vocabulary.build(w for r in reviews for w in words(r)).fingerprint)\n"
    )
    if bpe_is_here():
        code += "from helpers.byte_pairs import *; print(train_bpe(' '.join(reviews)).fingerprint)"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and len(runs[0]) >= 17


def test_a_checkpoint_knows_its_vocabulary():
    one, other = Vocabulary(["a", "b"]), Vocabulary(["b", "a"])
    one.require(one.fingerprint)
    with pytest.raises(DataError, match=rf"{other.fingerprint}.*{one.fingerprint}.*load the voc"):
        other.require(one.fingerprint)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Vocabulary([]), r"one or more strings"),
        (lambda: Vocabulary(["a", 1]), r"one or more strings"),
        (lambda: Vocabulary(["a", "b", "a"]), r"'a' is reserved or comes twice"),
        (lambda: Vocabulary.build(["<unk>"]), r"'<unk>' is reserved"),
        (lambda: Vocabulary.build([]), r"no token comes 1 times or more"),
        (lambda: Vocabulary.build(["a"], min_count=2), r"no token comes 2 times.*lower min_count"),
        (lambda: Vocabulary.build(["a"], min_count=0), r"min_count is 0"),
        (lambda: Vocabulary.build(["a"], max_size=2), r"max_size 2.*PAD and UNK"),
        (lambda: Vocabulary.build("abc"), r"tokens is one str"),
        (lambda: Vocabulary("abc"), r"tokens is one str"),
        (lambda: Vocabulary.build({"a": 3}), r"tokens is a mapping.*give Vocabulary.build the tok"),
        (lambda: Vocabulary.build(Counter("abca")), r"tokens is a mapping"),
        (lambda: Vocabulary({"a": 0}), r"tokens is a mapping"),
        (lambda: Vocabulary.build([["a"]]), r"one or more strings"),
        (lambda: Vocabulary.build(7), r"tokens is 7: give a list"),
        (lambda: Vocabulary(["a"]).encode([]), r"no tokens to encode"),
        (lambda: Vocabulary(["a"]).encode("aéa漢", strict=True), r"vocabulary: 'é', '漢'; replace"),
        (lambda: Vocabulary(["a"]).decode([3]), r"3 is no id to decode.*from 0 to 2"),
        (lambda: Vocabulary(["a"]).decode(ids(-1)), r"-1 is no id"),
        (lambda: Vocabulary(["a"]).decode([1.5]), r"1\.5 is no id"),
        (lambda: Vocabulary(["a"]).decode([[1, 2]]), r"shape \(1, 2\): decode one row"),
        (lambda: Vocabulary(["a"]).out_of_vocabulary_rate([]), r"no tokens"),
    ],
)
def test_bad_vocabulary_input_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read .*name a saved file"),
        ("", r"holds no Vocabulary"),
        ("[1]", r"holds no Vocabulary"),
        ('{"content": ["a"]}', r"holds no Vocabulary .*fingerprint"),
        ('{"content": 3, "fingerprint": "x"}', r"holds no Vocabulary"),
        ('{"content": ["a"], "fingerprint": "0"}', r"was altered"),
        ("é", r"holds no Vocabulary"),
    ],
)
def test_a_spoilt_file_is_named(tmp_path, content, message):
    path = tmp_path / "vocabulary.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        Vocabulary.load(path)


def test_saving_leaves_no_parts(tmp_path):
    Vocabulary(["a"]).save(tmp_path / "v.json")
    Vocabulary(["b"]).save(tmp_path / "v.json")
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]
    assert json.loads((tmp_path / "v.json").read_text())["content"] == ["b"]


# ---------------------------------------------------------------- byte pairs


def bpe_is_here() -> bool:
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        return False
    return True


needs_bpe = pytest.mark.skipif(not bpe_is_here(), reason="tokenizers is not installed")


@pytest.fixture(scope="module")
def pairs():
    from helpers.text.byte_pairs import train_bpe

    return train_bpe(load_plays().valid, 400)


@needs_bpe
@quick
@given(any_text)
def test_byte_pairs_lose_nothing(pairs, text):
    encoded = pairs.encode(text)
    assert encoded.dtype == torch.int64 and UNK < encoded.min() and encoded.max() < len(pairs)
    assert pairs.decode(encoded) == text


@needs_bpe
@pytest.mark.parametrize(
    "text", ["<pad><unk>", " a", "a ", "\x00\r\n", "\ufeffa", "👩‍👩‍👧", "\ufffd"]
)
def test_byte_pairs_keep_awkward_text(pairs, text):
    assert pairs.decode(pairs.encode(text)) == text


@needs_bpe
def test_byte_pairs_are_learned_and_saved(pairs, tmp_path):
    from helpers.text.byte_pairs import BytePairs

    held_out = load_plays().test[:2000]
    assert len(pairs) == 400 and len(pairs.encode(held_out)) < 0.7 * len(held_out)
    pieces = pairs.pieces("of the king")
    assert "".join(pieces) == "of the king" and " the" in pieces
    pairs.save(tmp_path / "pairs.json")
    loaded = BytePairs.load(tmp_path / "pairs.json")
    loaded.require(pairs.fingerprint)
    assert torch.equal(loaded.encode(held_out), pairs.encode(held_out))
    Vocabulary(["a"]).save(tmp_path / "other.json")
    with pytest.raises(DataError, match="holds no BytePairs"):
        BytePairs.load(tmp_path / "other.json")


@needs_bpe
def test_bad_byte_pair_input_is_named(pairs):
    from helpers.text.byte_pairs import train_bpe

    for call, message in (
        (lambda: train_bpe("abc", 257), r"size is 257: .*258"),
        (lambda: train_bpe(""), r"text is empty"),
        (lambda: pairs.encode(""), r"text is empty"),
        (lambda: pairs.encode("a\ud800"), r"character 1 of the text.*no UTF-8 form"),
        (lambda: pairs.decode([PAD]), r"0 is no id to decode.*from 2 to 399"),
        (lambda: pairs.decode([400]), r"400 is no id"),
    ):
        with pytest.raises(DataError, match=message):
            call()


def test_an_absent_library_is_named(monkeypatch, tmp_path):
    from helpers.text.byte_pairs import BytePairs, train_bpe

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    for call in (lambda: train_bpe("abc"), lambda: BytePairs.load(tmp_path / "pairs.json")):
        with pytest.raises(DataError, match="pip install tokenizers"):
            call()


# ---------------------------------------------------------------- padding


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


@quick
@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 9), st.booleans())
def test_buckets_partition_the_indices(lengths, batch_size, mixed):
    lengths = torch.tensor(lengths)
    batches = length_buckets(lengths, batch_size, generator() if mixed else None)
    assert sorted(torch.cat(batches).tolist()) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    if len(lengths) % batch_size:
        return  # where a batch is not full, another order can be better by luck
    in_order = list(torch.arange(len(lengths)).split(batch_size))
    assert padding_share(lengths, batches) <= padding_share(lengths, in_order) + 1e-12
    assert padding_share(lengths, in_order) <= padding_share(lengths) + 1e-12


def test_mixed_buckets_are_determined_by_the_generator_and_differ():
    lengths = torch.tensor([3] * 20 + [5] * 20)
    one, two, other = (length_buckets(lengths, 4, generator(s)) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_padding_share_by_hand():
    lengths = ids(1, 2, 3, 6)
    assert padding_share(lengths) == pytest.approx(12 / 24)
    assert padding_share(lengths, [ids(0, 1), ids(2, 3)]) == pytest.approx(4 / 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pad([]), r"no sequences to pad"),
        (lambda: pad([[2, 3], []]), r"sequence 1 has shape \(0,\): all-PAD rows.*drop it"),
        (lambda: pad([2, 3]), r"sequence 0 has shape \(\)"),
        (lambda: pad([[2, 0, 3]]), r"sequence 0 holds 0 .*0 is PAD; encode with a Vocabulary"),
        (lambda: pad([[2, -1]]), r"sequence 0 holds -1"),
        (lambda: pad([[2.0]]), r"torch\.float32\): ids are int64"),
        (lambda: pad([[2]], max_length=0), r"max_length is 0"),
        (lambda: mask(ids(0, 2)), r"a length is 0: .*drop empty ones"),
        (lambda: mask(ids(3), 2), r"a length is 3, beyond the 2 steps"),
        (lambda: mask(ids(3), 0), r"a length is 3, beyond the 0 steps"),
        (lambda: mask(torch.tensor([1.0])), r"no.* int64 tensor|not an int64 tensor"),
        (lambda: mask(ids()), r"no lengths"),
        (lambda: length_buckets([1, 2], 1), r"lengths are not an int64 tensor"),
        (lambda: length_buckets(ids(1), 0), r"batch_size is 0"),
        (lambda: padding_share(ids(1), []), r"no batches"),
        (lambda: padding_share(ids(1), [ids()]), r"an empty one"),
    ],
)
def test_bad_lengths_are_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


# ---------------------------------------------------------------- windows and streams


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


@quick
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 60))
def test_streams_carry_on_where_they_ended(batch_size, length, more):
    tokens = torch.arange(batch_size * length + 1 + more)
    x, y = parallel_streams(tokens, batch_size, length)
    assert x.shape == y.shape == (len(x), batch_size, length) and torch.equal(y, x + 1)
    assert torch.equal(x[1:, :, 0], y[:-1, :, -1])
    targets = sorted(y.flatten().tolist())
    assert targets == list(range(1, len(targets) + 1))
    assert 0 <= len(tokens) - 1 - len(targets) < batch_size * length


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: windows(ids(5), 1), r"has 1 token\(s\), and 2 are needed"),
        (lambda: windows(ids(), 1), r"has 0 token"),
        (lambda: windows(torch.arange(5), 5), r"has 5 token\(s\), and 6 are needed.*longer text"),
        (lambda: windows(torch.arange(5), 0), r"length is 0"),
        (lambda: windows(torch.arange(5), 2, 0), r"stride is 0"),
        (lambda: windows([1, 2, 3], 2), r"int64 tensor \(tokens,\): use what encode"),
        (lambda: windows(torch.zeros(2, 3).long(), 2), r"int64 tensor"),
        (lambda: windows(torch.zeros(9), 2), r"int64 tensor"),
        (lambda: parallel_streams(torch.arange(6), 2, 3), r"has 6 token\(s\), and 7 are needed"),
        (lambda: parallel_streams(torch.arange(6), 0, 3), r"batch_size is 0"),
    ],
)
def test_bad_windows_are_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


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


def by_definition(smoothing, train, context, token, size, order, highest=True) -> float:
    """Share of a token from the formulas alone: all is counted anew for each question."""
    if order == 0:
        return 1 / size
    lower = by_definition(smoothing, train, context, token, size, order - 1, False)
    if order - 1 > len(context):
        h = None
    else:
        h = tuple(context[len(context) - (order - 1) :])
    counts = kneser_ney_counts(train, order, highest or smoothing == "witten-bell")
    after = Counter({gram[-1]: c for gram, c in counts.items() if gram[:-1] == h})
    if h is None or not after:
        return lower
    if smoothing == "witten-bell":
        return (after[token] + len(after) * lower) / (after.total() + len(after))
    cut = {w: discount(counts, c) for w, c in after.items()}
    gain = after[token] - cut[token] if token in after else 0
    return (gain + sum(cut.values()) * lower) / after.total()


token_lists = st.lists(st.integers(0, 3), min_size=4, max_size=40)
smoothings = st.sampled_from(["kneser-ney", "witten-bell"])


@quick
@given(token_lists, st.lists(st.integers(0, 3), min_size=1, max_size=9), smoothings)
def test_ngrams_equal_their_definition(train, test, smoothing):
    model = NGrams(torch.tensor(train), 4, 5, smoothing)
    for order in range(1, 5):
        nats = model.nats(torch.tensor(test), order)
        assert nats.dtype == torch.float64 and len(nats) == len(test)
        for t, token in enumerate(test):
            # The shorter context of the first tokens counts as a lower order would.
            share = by_definition(smoothing, train, test[:t], token, 5, order)
            assert nats[t].item() == pytest.approx(-math.log(share), abs=1e-12)


@quick
@given(token_lists, st.lists(st.integers(0, 4), max_size=6), st.integers(1, 5), smoothings)
def test_ngram_probabilities_sum_to_one_and_agree_with_the_surprise(
    train, context, order, smoothing
):
    order = min(order, len(train))
    model = NGrams(torch.tensor(train), order, 5, smoothing)
    for k in range(1, order + 1):
        shares = model.probabilities(ids(*context), k)
        assert shares.sum().item() == pytest.approx(1, abs=1e-12) and (shares > 0).all()
        for token in range(5):
            surprise = model.nats(ids(*context, token), k)[-1]
            assert surprise.item() == pytest.approx(-shares[token].log().item(), abs=1e-12)


def test_first_order_by_hand():
    counts = ids(2, 2, 2, 3)  # three 2s and one 3 of four ids
    shares = NGrams(counts, 1, 4, "witten-bell").probabilities(ids())
    assert shares.tolist() == pytest.approx([0.5 / 6, 0.5 / 6, 3.5 / 6, 1.5 / 6])
    shares = NGrams(counts, 1, 4).probabilities(ids())  # cut by 1.5 and 0.5, a quarter each back
    assert shares.tolist() == pytest.approx([0.5 / 4, 0.5 / 4, 2 / 4, 1 / 4])


def test_kneser_ney_counts_what_came_before():
    """Chen and Goodman's San Francisco: frequent, but after one word only."""
    train = ids(0, 1, 0, 1, 0, 1, 2, 3, 4, 3, 5, 3)  # 1 always after 0, 3 after three others
    after_5 = NGrams(train, 2, 6).probabilities(ids(5))
    assert after_5[1] == after_5[0] < after_5[2] * 1.01 < after_5[3]


def test_ngrams_on_the_plays():
    plays = load_plays()
    vocabulary = Vocabulary.build(characters(plays.train))
    train, test = (vocabulary.encode(list(t), strict=True) for t in (plays.train, plays.test))
    train = train[:300_000]
    kneser_ney, witten_bell = (
        NGrams(train, 5, len(vocabulary), s) for s in ("kneser-ney", "witten-bell")
    )
    curve = [kneser_ney.nats(test, order).mean().item() for order in range(1, 6)]
    assert curve == sorted(curve, reverse=True) and 1.6 < curve[-1] < 1.9
    assert curve[-1] < witten_bell.nats(test).mean().item() - 0.1
    counts = torch.bincount(train, minlength=len(vocabulary)).double()
    kinds = (counts > 0).sum().item()
    shares = (counts + kinds / len(vocabulary)) / (300_000 + kinds)
    by_hand = -shares[test].log().mean().item()
    assert witten_bell.nats(test, 1).mean().item() == pytest.approx(by_hand, abs=1e-12)


def test_many_words_do_not_overflow():
    train = torch.arange(1000) * 997
    model = NGrams(train, 6, 1_000_000)
    assert model.nats(train)[-1].item() < 2 < model.nats(train.flip(0))[-1].item()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NGrams(ids(1, 2), 0, 5), r"order is 0"),
        (lambda: NGrams(ids(1, 2), 3, 5), r"3-grams need .* 3 tokens or more"),
        (lambda: NGrams(ids(1, 2), 1, 5, "laplace"), r"unknown smoothing 'laplace': use 'kneser"),
        (lambda: NGrams([1, 2], 1, 5), r"1-grams need a tensor"),
        (lambda: NGrams(ids(1, 5), 1, 5), r"run from 1 to 5: they must lie in 0\.\.4"),
        (lambda: NGrams(ids(1, -1), 1, 5), r"run from -1 to 1"),
        (lambda: NGrams(torch.ones(3), 1, 5), r"not an int64 tensor"),
        (lambda: NGrams(ids(1, 2), 1, 5).nats(ids(7)), r"run from 7 to 7"),
        (lambda: NGrams(ids(1, 2), 1, 5).nats(ids()), r"no tokens to score"),
        (lambda: NGrams(ids(1, 2), 1, 5).nats(ids(1), 2), r"order is 2: .*orders 1 to 1"),
        (lambda: NGrams(ids(1, 2), 1, 5).probabilities(ids(), 0), r"order is 0"),
    ],
)
def test_bad_ngram_input_is_named(call, message):
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
        ({"temperature": 3.0}, 4, 3.0),
        ({"top_k": 2}, 2, 1.0),
        ({"top_k": 5}, 4, 1.0),
        ({"top_p": 0.64}, 1, 1.0),  # shares 0.644, 0.237, 0.087, 0.032
        ({"top_p": 0.65}, 2, 1.0),
        ({"top_p": 0.9}, 3, 1.0),
        ({"top_p": 1e-9}, 1, 1.0),
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
        ({"temperature": -1.0}, r"temperature is -1"),
        ({"temperature": float("nan")}, r"temperature is nan"),
        ({"temperature": float("inf")}, r"temperature is inf"),
        ({"top_k": 0}, r"top_k is 0: use 1 to 3"),
        ({"top_k": 4}, r"top_k is 4"),
        ({"top_p": 0.0}, r"top_p is 0\.0: use more than 0"),
        ({"top_p": 1.1}, r"top_p is 1\.1"),
        ({"top_p": float("nan")}, r"top_p is nan"),
        ({"logits": torch.zeros(3)}, r"shape \(3,\): expected floats \(batch, tokens\)"),
        ({"logits": torch.zeros(1, 3).long()}, r"logits are torch\.int64"),
        ({"logits": torch.zeros(1, 0)}, r"shape \(1, 0\)"),
        ({"logits": torch.tensor([[0.0, float("nan")]])}, r"a row is nan: .*diverged"),
        ({"logits": torch.tensor([[0.0, float("inf")]])}, r"a row is inf"),
        ({"logits": torch.full((2, 3), -float("inf"))}, r"a row is -inf"),
    ],
)
def test_bad_sampling_is_named(settings, message):
    with pytest.raises(DataError, match=message):
        sample_next(**{"logits": torch.zeros(1, 3), "generator": generator()} | settings)


# ---------------------------------------------------------------- the real texts


def test_reviews_become_batches():
    reviews = load_reviews()
    train = [words(t) for t in reviews.text[reviews.split == "train"]]
    vocabulary = Vocabulary.build((w for review in train for w in review), min_count=2)
    x, lengths = pad([vocabulary.encode(review) for review in train], max_length=40)
    assert x.shape == (len(train), 40) and (x[:, 0] != PAD).all()
    bucketed = padding_share(lengths, length_buckets(lengths, 64))
    assert bucketed < 0.02 < 0.3 < padding_share(lengths)
    held_out = [w for t in reviews.text[reviews.split == "test"] for w in words(t)]
    assert 0.01 < vocabulary.out_of_vocabulary_rate(held_out) < 0.2


def test_reserved_ids_are_what_the_names_say():
    assert (texts.RESERVED[PAD], texts.RESERVED[UNK]) == ("<pad>", "<unk>") and PAD == 0
