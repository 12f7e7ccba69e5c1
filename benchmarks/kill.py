"""A sweep killed with SIGKILL at random moments, again and again, ends with the same table.

500 small networks in 63 packs train undisturbed, then once more in a folder of their own,
while the process and all its workers are killed ten times over. What was finished is found again.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.data.mnist1d import make_mnist1d
from helpers.nets.cnn import MLP
from helpers.training.many import fit_many

PACK = 8
RATES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]


def sweep(seeds: int, folder: Path, result: Path) -> None:
    """Train every learning rate on so many seeds and leave the table in `result`."""
    arms, grid = {"MLP": partial(MLP, 40, 32)}, {"lr": RATES}
    settings = {"steps": 100, "pack": PACK, "n_jobs": 2, "keep_models": False, "folder": folder}
    data = make_mnist1d(size=1000)
    fit_many(arms, data, seeds=range(seeds), grid=grid, **settings).table.to_csv(result)


def start(seeds: int, folder: Path) -> subprocess.Popen:
    """The sweep in a process group of its own, which can be killed as a whole."""
    command = [sys.executable, __file__, "--seeds", str(seeds), "--sweep", str(folder)]
    return subprocess.Popen(command, start_new_session=True)


def kept(folder: Path) -> int:
    """Number of finished packs in the folder."""
    return len([*folder.rglob("*.json")])


def undisturbed(seeds: int, folder: Path) -> tuple[float, float]:
    """Seconds until the first pack is finished, and until the sweep is."""
    begin, first = time.monotonic(), None
    process = start(seeds, folder)
    while process.poll() is None:
        if first is None and kept(folder):
            first = time.monotonic() - begin
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"the undisturbed sweep failed with exit status {process.returncode}")
    return first or 0.0, time.monotonic() - begin


def kill_once(seeds: int, folder: Path, packs: int, seconds: float) -> bool:
    """Start the sweep, kill it so long after so many new packs; False if it was finished by then.

    Counted in packs, because on a busy machine seconds say little about how far a sweep has come.
    """
    before, process = kept(folder), start(seeds, folder)
    while process.poll() is None and kept(folder) < before + packs:
        time.sleep(0.05)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def main() -> None:
    """Parse the command line; train undisturbed, train with kills, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100, help=f"times {len(RATES)} networks")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--moments", type=int, default=0, help="seed of the random moments")
    parser.add_argument("--sweep", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sweep:
        sweep(options.seeds, options.sweep / "cache", options.sweep / "table.csv")
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options.seeds, options.kills, options.moments, Path(folder))


def compare(seeds: int, kills: int, moments: int, folder: Path) -> None:
    """Print what every kill left behind; raises AssertionError if the tables differ."""
    calm, rough = folder / "calm", folder / "rough"
    calm.mkdir(), rough.mkdir()
    first, whole = undisturbed(seeds, calm)
    packs = kept(calm)
    print(f"undisturbed: {len(RATES) * seeds} networks, {packs} packs, {whole:.1f} s", flush=True)
    chance, most, done = random.Random(moments), packs // (kills + 4), 0
    for number in range(1, kills + 1):
        new = chance.randint(0, most)  # 0: while the process or its workers are starting
        delay = chance.uniform(0, (whole - first) / packs if new else first)
        assert kill_once(seeds, rough, new, delay), "finished before the last kill: use more seeds"
        before, done = done, kept(rough)
        print(f"kill {number}: {done} packs kept, {done - before} of them new", flush=True)
    begin = time.monotonic()
    assert start(seeds, rough).wait() == 0, "the sweep failed after the last kill"
    seconds = time.monotonic() - begin
    print(f"last run: {done} packs found again, {kept(rough) - done} trained, {seconds:.1f} s")
    tables = [(part / "table.csv").read_text() for part in (calm, rough)]
    assert tables[0] == tables[1], "the tables differ"
    print(f"{kills} kills, same table: {tables[0].count(chr(10)) - 1} rows, equal to the last bit")


if __name__ == "__main__":
    main()
