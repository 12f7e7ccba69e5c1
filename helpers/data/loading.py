"""Every dataset of the course, as plain tensors on one device.

Embedded files (`load`, `load_plays`, `load_reviews`), full public sets from a folder
(`load_public`); helpers/data/mnist1d.py generates another. Nothing here opens a connection unless
`download=True` says so. What each file holds and where it is from: data/sets/README.md.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.data.dataset import SPLITS, DataError, Dataset, Split, check_split

if TYPE_CHECKING:
    import pandas as pd

DATA_FOLDER = Path(__file__).resolve().parents[2] / "data" / "sets"
DIGITS = tuple("0123456789")
GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
GARMENTS += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
OBJECTS = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
EMBEDDED = {"mnist-5k": DIGITS, "fashion-9k": GARMENTS}
PUBLIC = {  # name here: (class in torchvision.datasets, names of the labels)
    "mnist": ("MNIST", DIGITS),
    "fashion-mnist": ("FashionMNIST", GARMENTS),
    "cifar10": ("CIFAR10", OBJECTS),
}
VALID_SEED = 3  # fixes which tenth of a public training set is held out for validation


class Plays(NamedTuple):
    """Plain ASCII text: seven plays to train on, the two halves of an eighth to judge by."""

    train: str
    valid: str
    test: str


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """The device called auto, cpu, cuda, cuda:N or mps; auto takes a CUDA GPU where there is one.

    An Apple GPU (mps) is taken only where it is asked for: no run of the course was tried on one.

    Raises DataError if the name is unknown or this machine has no such device.
    """
    name = str(name)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    match = re.fullmatch(r"cpu|mps|cuda(?::(\d+))?", name)
    if match is None:
        raise DataError(f"unknown device {name!r}: use 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'")
    if name.startswith("cuda") and int(match[1] or 0) >= gpus:
        seen = f"sees {gpus} CUDA device(s), counted from 0" if gpus else "sees no CUDA device"
        raise DataError(
            f"{name} asked for, but this PyTorch {seen}: use device='cpu' or 'auto', "
            "or install a CUDA build of PyTorch and a driver"
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise DataError("mps asked for, but this PyTorch sees no Apple GPU: use device='cpu'")
    return torch.device(name)


def _read_verified(name: str) -> bytes:
    """Content of an embedded file, once its size and SHA-256 fit data/sets/checksums.sha256."""
    path, manifest = DATA_FOLDER / name, DATA_FOLDER / "checksums.sha256"
    cure = "restore it with 'git checkout data/' or rebuild it with 'python data/sets/build.py'"
    for file in (manifest, path):
        if not file.is_file():
            raise DataError(f"{file} is missing: {cure}")
    pattern = rf"^# {re.escape(name)} (\d+) bytes\n([0-9a-f]{{64}})  "
    entry = re.search(pattern, manifest.read_text("ascii", "replace"), re.MULTILINE)
    if entry is None:
        raise DataError(f"{manifest} does not list {name}: {cure}")
    content, size = path.read_bytes(), int(entry[1])
    if len(content) < size:
        raise DataError(f"{path} is truncated ({len(content):,} of {size:,} bytes): {cure}")
    if hashlib.sha256(content).hexdigest() != entry[2]:
        raise DataError(f"{path} was altered (its SHA-256 is not the recorded one): {cure}")
    return content


def load(name: str, device: str | torch.device = "cpu") -> Dataset:
    """The embedded images "mnist-5k" or "fashion-9k": x float32 (N, 1, 28, 28), y int64 (N,).

    Pixels are scaled to [0, 1], then standardised with mean and std of the training pixels.
    Raises DataError on an unknown name or device, and on a missing, truncated or altered file.
    """
    classes = _look_up(name, EMBEDDED)
    device = resolve_device(device)
    with np.load(io.BytesIO(_read_verified(f"{name}.npz")), allow_pickle=False) as arrays:
        raw = [(arrays[f"{s}_x"][:, None], arrays[f"{s}_y"]) for s in SPLITS]
    return _assemble(name, raw, classes, device)


def load_plays() -> Plays:
    """Eight plays of Shakespeare: training text about 980 kB, validation and test 50 kB each.

    Raises DataError on a missing, truncated or altered file.
    """
    return Plays(*(_read_verified(f"plays-{split}.txt").decode("ascii") for split in Plays._fields))


def load_reviews() -> pd.DataFrame:
    """Rated film review snippets: a row each, with columns text, rating, label and split.

    rating is a mean of human ratings from -4 to 4, label its sign ("positive", "negative"),
    split "train", "valid" or "test". Raises DataError as `load_plays`.
    """
    import pandas as pd

    content = _read_verified("reviews.csv")
    return pd.read_csv(io.BytesIO(content), keep_default_na=False)  # a text may read "null"


def _look_up(name: str, known: dict) -> tuple:
    if name not in known:
        raise DataError(f"unknown dataset {name!r}: choose one of {', '.join(known)}")
    return known[name]


def _assemble(name: str, raw: list, classes: tuple[str, ...], device: torch.device) -> Dataset:
    """Dataset from three pairs of arrays: x uint8 (N, channels, height, width), y (N,)."""
    for x, _ in raw:
        if x.dtype != np.uint8 or x.ndim != 4:
            raise DataError(
                f"{name} holds {x.dtype} images of shape {x.shape}: expected uint8 (N, channels, "
                "height, width); use the files that data/sets/README.md describes"
            )
    images = [torch.from_numpy(np.ascontiguousarray(x)) for x, _ in raw]
    mean, std = _pixel_statistics(images[0])
    splits = []
    for x, (_, y) in zip(images, raw, strict=True):
        x = x.to(device).float().div_(255).sub_(mean.to(device)).div_(std.to(device))
        splits.append(Split(x, torch.from_numpy(y.astype(np.int64)).to(device)))
        check_split(splits[-1], classes, name)
    mean, std = (s.item() if s.numel() == 1 else tuple(s.flatten().tolist()) for s in (mean, std))
    train, valid, test = splits
    return Dataset(name, train, valid, test, classes, mean, std)


def _pixel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and std, each (channels, 1, 1), of uint8 pixels in [0, 1] scale.

    Counted from histograms: exact, so the same on every machine and number of threads.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.stack([c.flatten().bincount(minlength=256) for c in x.unbind(1)]).double()
    share = counts / counts.sum(1, keepdim=True)
    mean = (share * levels).sum(1, keepdim=True)
    std = (share * (levels - mean) ** 2).sum(1, keepdim=True).sqrt()
    return mean.float()[..., None], std.float()[..., None]


def load_public(
    name: str, folder: str | Path, device: str | torch.device = "cpu", download: bool = False
) -> Dataset:
    """The full "mnist", "fashion-mnist" or "cifar10" from `folder`, standardised as in `load`.

    folder is torchvision's root; for the first two also a flat folder of their idx files,
    gzipped or not (both sets use the same file names: the folder decides which one it is).
    x is float32 (N, 1, 28, 28) or (N, 3, 32, 32); valid is a fixed tenth of each training class.
    Only download=True uses the network (through torchvision, into folder).
    Raises DataError on an unknown name or device, and if files are missing or damaged.
    """
    torchvision_class, classes = _look_up(name, PUBLIC)
    device, folder = resolve_device(device), Path(folder)
    if name == "cifar10" or download:
        sets = _torchvision_sets(torchvision_class, folder, download)
    if name == "cifar10":
        (x, y), test = ((s.data.transpose(0, 3, 1, 2), np.array(s.targets)) for s in sets)
    else:
        root = folder / torchvision_class / "raw"
        (x, y), test = (_read_idx_pair([folder, root], kind) for kind in ("train", "t10k"))
    held = _tenth_of_each_class(y)
    return _assemble(name, [(x[~held], y[~held]), (x[held], y[held]), test], classes, device)


def _tenth_of_each_class(y: np.ndarray) -> np.ndarray:
    """Mask (N,) of a fixed random tenth, rounded up, of every class."""
    order = np.random.default_rng(VALID_SEED).permutation(len(y))
    held = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        held[order[y[order] == label][::10]] = True
    return held


def _torchvision_sets(torchvision_class: str, folder: Path, download: bool) -> list:
    try:
        import torchvision.datasets as sets
    except ImportError as error:
        raise DataError("this dataset needs torchvision: pip install torchvision") from error
    try:
        make = getattr(sets, torchvision_class)
        return [make(folder, train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"no usable {torchvision_class} in {folder.resolve()} ({error}): name the folder that "
            "holds torchvision's files (cifar-10-batches-py), or pass download=True"
        ) from error


def _read_idx_pair(folders: list[Path], kind: str) -> tuple[np.ndarray, np.ndarray]:
    x = _read_idx(folders, f"{kind}-images-idx3-ubyte", dimensions=3)[:, None]
    y = _read_idx(folders, f"{kind}-labels-idx1-ubyte", dimensions=1)
    if len(x) != len(y):
        raise DataError(
            f"{len(x)} {kind} images but {len(y)} labels: the files do not belong together"
        )
    return x, y


def _read_idx(folders: list[Path], stem: str, dimensions: int) -> np.ndarray:
    """Array uint8 from an idx file: two zeros, type 8, dimensions, big-endian sizes, bytes."""
    stems = (stem, stem.replace("-idx", ".idx"))  # Kaggle copies have the dot
    paths = [f / (s + end) for f in folders for s in stems for end in ("", ".gz")]
    path = next((p for p in paths if p.is_file()), None)
    if path is None:
        places = " or ".join(str(folder.resolve()) for folder in folders)
        raise DataError(
            f"looked for {stem}, plain or .gz, in {places}, and found none: name the folder that "
            "holds the idx files, or pass download=True"
        )
    header = 4 + 4 * dimensions
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        shape = np.frombuffer(content, ">i4", dimensions, offset=4)
        if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) != header + shape.prod():
            raise ValueError(f"not a whole idx file of {dimensions} dimension(s)")
    except (ValueError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path} is damaged ({error}): fetch the file again") from error
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
