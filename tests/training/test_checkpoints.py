"""Checkpoints: what is saved comes back, and nothing else is ever believed."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from helpers.data.dataset import DataError
from helpers.nets.recurrent import LSTM
from helpers.nets.sequences import LanguageModel
from helpers.nets.starts import initialise
from helpers.text.tokens import Vocabulary
from helpers.training import checkpoints

VOCABULARY = Vocabulary(["a", "b", "é", "\n"])


def model(hidden=5, seed=0):
    return initialise(lambda: LanguageModel(len(VOCABULARY), LSTM(3, hidden)), seed)


@pytest.fixture
def path(tmp_path):
    checkpoints.save(tmp_path / "m.safetensors", model(), VOCABULARY, {"made by": "a test"})
    return tmp_path / "m.safetensors"


def test_what_was_saved_comes_back(path):
    other = model(seed=1)
    checkpoint = checkpoints.load(path, other, VOCABULARY)
    assert all(map(torch.equal, other.state_dict().values(), model().state_dict().values()))
    assert checkpoint.vocabulary.tokens == VOCABULARY.tokens
    assert checkpoint.notes == {"made by": "a test"}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_half_precision_is_rounded_once(tmp_path):
    checkpoints.save(tmp_path / "h", model(), VOCABULARY, dtype=torch.float16)
    other = model(seed=1)
    checkpoints.load(tmp_path / "h", other)
    for a, b in zip(other.parameters(), model().parameters(), strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b.half().float())


def test_another_vocabulary_is_refused_and_the_model_left_alone(path):
    other = model(seed=1)
    with pytest.raises(DataError, match="not the one that the checkpoint was trained with"):
        checkpoints.load(path, other, Vocabulary(["b", "a", "é", "\n"]))
    assert torch.equal(other.head.weight, model(seed=1).head.weight)


@pytest.mark.parametrize("other", [model(6), nn.Linear(2, 2)])
def test_another_model_is_refused(path, other):
    with pytest.raises(DataError, match=r"saved from another model: .* in the file and"):
        checkpoints.load(path, other)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(No such file .*\): name a checkpoint"):
        checkpoints.read(tmp_path / "none")


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_is_never_opened(tmp_path, new):
    torch.save({"w": Trap()}, tmp_path / "t.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(DataError, match="is a pickle"):
        checkpoints.read(tmp_path / "t.pt")
    (tmp_path / "p").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="is a pickle"):
        checkpoints.read(tmp_path / "p")


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda whole, size=size: whole[:size] for size in (0, 1, 7, 8, 100, -1)),
        *(lambda whole, part=part: part * 100 for part in (b"hello", b"\x00", b"\xff")),
    ],
)
def test_truncated_and_foreign_files(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="damaged or no safetensors file"):
        checkpoints.read(path)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"vocabulary": "[]", "notes": "{}", "fingerprint": "x"},
        {"vocabulary": "not json", "notes": "{}", "fingerprint": "x"},
        {"vocabulary": '["a"]', "notes": "{}", "fingerprint": "altered"},
    ],
)
def test_weights_of_others(tmp_path, metadata):
    save_file({"w": torch.ones(2)}, tmp_path / "f", metadata)
    with pytest.raises(DataError):
        checkpoints.read(tmp_path / "f")


def test_weights_that_are_not_finite(tmp_path, path):
    broken = model()
    with torch.no_grad():
        broken.head.bias[0] = 1e5
    too_large = r"head\.bias is not finite: it is too large for torch\.float16; store float32"
    with pytest.raises(DataError, match=too_large):
        checkpoints.save(tmp_path / "b", broken, VOCABULARY, dtype=torch.float16)
    with torch.no_grad():
        broken.head.bias[0] = float("inf")
    with pytest.raises(DataError, match=r"head\.bias is not finite: the run diverged"):
        checkpoints.save(tmp_path / "b", broken, VOCABULARY, dtype=torch.float16)
    assert not (tmp_path / "b").exists()
    weights = {**checkpoints.read(path).weights, "head.bias": torch.tensor([float("nan")])}
    own = {"vocabulary": '["a"]', "notes": "{}", "fingerprint": Vocabulary(["a"]).fingerprint}
    save_file(weights, path, own)
    with pytest.raises(DataError, match="not finite"):
        checkpoints.read(path)


class Counts(nn.Module):
    """Whole numbers that half precision cannot hold, beside a weight that it can."""

    def __init__(self, *values: int):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, 1 / 3]))
        self.register_buffer("ids", torch.tensor(values))
        self.register_buffer("small", torch.tensor([200, 255], dtype=torch.uint8))
        self.register_buffer("mask", torch.tensor([True, False]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, None])
@pytest.mark.parametrize("value", [2049, 40_001, 100_000, 2**40 + 1])
def test_whole_numbers_are_never_rounded(tmp_path, dtype, value):
    checkpoints.save(tmp_path / "c", Counts(value, -value), VOCABULARY, dtype=dtype)
    other = Counts(0, 0)
    weights = checkpoints.load(tmp_path / "c", other).weights
    assert other.ids.tolist() == [value, -value] and other.small.tolist() == [200, 255]
    assert other.mask.tolist() == [True, False]
    assert weights["weight"].dtype == (dtype or torch.float32)
    third = torch.tensor(1 / 3).to(dtype or torch.float32)
    assert torch.equal(weights["weight"][1], third)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(4, 3), nn.Linear(3, 4)
        self.head.weight = self.table.weight
        self.register_buffer("two_biases", self.head.bias.detach()[:2])  # a view of another


def test_tied_weights_come_back_tied(tmp_path):
    torch.manual_seed(0)
    checkpoints.save(tmp_path / "t", one := Tied(), VOCABULARY)
    checkpoints.load(tmp_path / "t", other := Tied())
    assert other.head.weight is other.table.weight
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_notes_are_text_and_numbers_of_any_kind(tmp_path):
    notes = {
        "loss": np.float32(0.5),
        "steps": np.int64(3),
        "clipped": np.True_,
        "rates": np.array([0.25, 0.5]),
        "best": torch.tensor(2.0),
        "made by": "a test",
        "nothing": None,
    }
    checkpoints.save(tmp_path / "n", model(), VOCABULARY, notes)
    assert checkpoints.read(tmp_path / "n").notes == {
        "loss": 0.5,
        "steps": 3,
        "clipped": True,
        "rates": [0.25, 0.5],
        "best": 2.0,
        "made by": "a test",
        "nothing": None,
    }
    with pytest.raises(DataError, match=r"is a set: notes are text, numbers and lists"):
        checkpoints.save(tmp_path / "m", model(), VOCABULARY, {"seeds": {1, 2}})
    assert not (tmp_path / "m").exists()


def test_places_that_cannot_be_written_are_named(tmp_path, path):
    with pytest.raises(DataError, match=r"none is no folder: create it first"):
        checkpoints.save(tmp_path / "none" / "m", model(), VOCABULARY)
    with pytest.raises(DataError, match=r"m\.safetensors is no folder: create it first"):
        checkpoints.save(path / "m", model(), VOCABULARY)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder cannot be written .*: name another place"):
        checkpoints.save(tmp_path / "folder", model(), VOCABULARY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", path.name]
