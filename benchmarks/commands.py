"""How long the commands take here, one after the other, and what the evidence took to prove.

Nothing is proved again: each table of the evidence holds its seconds.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import pages
import pandas as pd

from helpers.evidence import store
from helpers.evidence.files import ROOT

COMMANDS = {
    "run-all": "all notebooks, each experiment's first networks trained again",
    "check": "lint, architecture, types, fast tests",
    "test": "lint, all tests but the nightly ones, every stored output",
}
LINE = re.compile(r"^(\d\d_\w+) +(\d+) s +\d+ cells +(\d+) networks", re.MULTILINE)


def measure(command: str) -> tuple[float, str]:
    """Seconds and output of a make target. Raises CalledProcessError where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(["make", command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begun
    print(done.stdout[-500:], file=sys.stderr, flush=True)
    done.check_returncode()
    return seconds, done.stdout


def notebooks(said: str) -> pd.DataFrame:
    """A row for each notebook, from what `make run-all` said and from its evidence."""
    rows = []
    for stem, seconds, networks in sorted(LINE.findall(said)):
        made = [store.read(file).made for file in (store.reference() / stem).glob("*.json")]
        hours = sum(one.get("seconds", 0) for one in made) / 3600  # two cores, not all idle
        rows.append(
            {
                "notebook": stem,
                "replayed in": f"{seconds} s",
                "stored networks": f"{int(networks):,}",
                "proved in": f"{hours:.1f} h",
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Time the chosen commands, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument(
        "--page", type=Path, help="write the tables to this file, with their origin"
    )
    args = parser.parse_args()
    rows, parts = [], []
    for command in args.commands:
        seconds, said = measure(command)
        time_taken = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
        rows.append({"command": f"make {command}", "what": COMMANDS[command], "time": time_taken})
        if command == "run-all":
            parts = [pages.markdown(notebooks(said))]
    tables = [pages.markdown(pd.DataFrame(rows)), *parts]
    pages.write(args.page, "The commands", *tables, pages.machine("cpu"))


if __name__ == "__main__":
    main()
