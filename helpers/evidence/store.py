"""The store: what an experiment found on all its seeds, one file an experiment.

`data/evidence/<notebook>/<experiment>.json` holds a header (what was declared, the rates that were
chosen, the replay, when and where it was made), the tuning table and a row for every network as
lines that a diff can show, and whole curves packed. It is written whole or not at all. Effects,
intervals and verdicts are not in it: notebooks compute them from it, every time.
"""

import base64
import errno
import gzip
import hashlib
import io
import json
import os
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.evidence.files import ROOT, cure, write_whole

SCHEMA = 2
DIGITS = "%.6g"  # what a network's numbers are rounded to
LINE = 100  # characters of packed curves
NUMBERS = re.compile(r"\[[^\[\]{}\"]*\]")  # a list of numbers in JSON


class EvidenceError(ValueError):
    """Evidence that is missing, damaged or not that of this experiment; says how to renew it."""


@dataclass(frozen=True)
class Record:
    """What is stored of one experiment.

    `table` has a row per network and evaluation: arm, settings, seed, step, metrics; the last of a
    network also holds what was measured. `tuning` has a row per point of the grid.
    """

    notebook: str
    name: str
    declared: Mapping[str, Any]
    table: pd.DataFrame = field(repr=False)
    tuning: pd.DataFrame | None = field(default=None, repr=False)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    replay: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)


def reference() -> Path:
    """The folder of the committed evidence."""
    return ROOT / "data" / "evidence"


def place(notebook: str, name: str, root: Path | None = None) -> Path:
    """The file of an experiment."""
    return (root or reference()) / notebook / f"{name}.json"


def renewal(notebook: str, name: str) -> str:
    """The command that makes an experiment's evidence anew."""
    return f"make prove NOTEBOOK={notebook[:2]} EXPERIMENT={name}"


def write(record: Record, file: Path) -> Path:
    """Write a record whole or not at all. Raises EvidenceError where the disk does not take it."""
    final, curves = _split(record.table)
    axes, searched = (record.declared.get(name) or {} for name in ("grid", "tune"))
    tuning = None if record.tuning is None else _lines(record.tuning.reset_index(), searched)
    kept = {
        "schema": SCHEMA,
        "notebook": record.notebook,
        "experiment": record.name,
        "made": record.made,
        "declared": record.declared,
        "chosen": record.chosen,
        "replay": record.replay,
        "tuning": tuning,
        "final": _lines(final, axes),
        "curves": None if curves.empty else _packed(curves),
    }
    kept = json.loads(json.dumps(kept))
    kept["sha256"] = _checksum(kept)
    text = json.dumps(kept, indent=1, allow_nan=False)
    try:
        return write_whole(file, on_one_line(text) + "\n")
    except OSError as error:
        raise _unwritable(file, error) from error


def require_writable(file: Path) -> None:
    """Raise EvidenceError where a file cannot be written, before anything is computed for it."""
    folder = next(folder for folder in file.parents if folder.exists())
    if not os.access(folder, os.W_OK):
        raise _unwritable(file, OSError(errno.EROFS, "it is read-only", str(folder)))


def _unwritable(file: Path, cause: OSError) -> EvidenceError:
    again = f"{cure(cause) or 'mend this'}, then {renewal(file.parent.name, file.stem)}"
    return EvidenceError(f"{file} cannot be written ({cause}): {again}")


def on_one_line(text: str) -> str:
    """JSON whose lists of numbers have no line breaks."""
    return NUMBERS.sub(lambda found: f"[{' '.join(found.group()[1:-1].split())}]", text)


def read(file: Path) -> Record:
    """The record in a file.

    Raises EvidenceError for a file that is missing, damaged, edited or of another schema.
    """
    again = f"restore it with git, or {renewal(file.parent.name, file.stem)}"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["schema"] != SCHEMA:
            raise EvidenceError(f"{file} has schema {kept['schema']}, not {SCHEMA}: {again}")
        if kept.pop("sha256") != _checksum(kept):
            raise EvidenceError(f"{file} was edited or is damaged (its checksum differs): {again}")
        axes = kept["declared"].get("grid", {})
        final = _table(kept["final"], axes)
        curves = _unpacked(kept["curves"]) if kept["curves"] else pd.DataFrame()
        tuning = None
        if kept["tuning"] is not None:
            searched = kept["declared"]["tune"]
            tuning = _table(kept["tuning"], searched).set_index(list(searched)).fillna(np.inf)
        parts = ("notebook", "declared", "chosen", "replay", "made")
        table, name = _joined(final, curves), kept["experiment"]
        return Record(**{part: kept[part] for part in parts}, name=name, table=table, tuning=tuning)
    except FileNotFoundError:
        raise EvidenceError(f"{file} is missing: {again}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(f"{file} is malformed ({error!r}): {again}") from error


def _checksum(kept: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The last row of every network, and all others with the network's number."""
    names = list(table.columns[: table.columns.get_loc("step")])
    network = numbered(table)
    last = network != network.shift(-1)
    curves = table[~last].drop(columns=names).assign(network=network[~last])
    return table[last], curves.dropna(axis="columns", how="all")


def numbered(table: pd.DataFrame) -> pd.Series:
    """For every row the number of its network, counted from 0."""
    names = list(table.columns[: table.columns.get_loc("step")])
    return table.groupby(names, sort=False, dropna=False).ngroup()


def _joined(final: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The table that `_split` took apart."""
    final = final.assign(network=range(len(final)))
    if not curves.empty:
        names = [*final.columns[: final.columns.get_loc("step")], "network"]
        curves = curves.merge(final[names], on="network")
    table = pd.concat([final, curves]).sort_values(["network", "step"], kind="stable")
    return table.drop(columns="network").reset_index(drop=True)


def _lines(table: pd.DataFrame, axes: Mapping[str, Any]) -> list[str]:
    """A table as lines of CSV; an infinite number is an empty field."""
    finite = table.replace([np.inf, -np.inf], np.nan)
    for axis, labels in axes.items():
        printed = {label: _printed(label) for label in labels}
        finite[axis] = finite[axis].astype(object).map(printed.get)
    return finite.to_csv(index=False, float_format=DIGITS).splitlines()


def rounded(number: float) -> str:
    """A number as the store keeps it."""
    return DIGITS % number


def _table(lines: list[str], axes: Mapping[str, Any]) -> pd.DataFrame:
    """A table from its lines; settings of the grid as they were declared, not as they print."""
    text, columns = "\n".join(lines), lines[0].split(",")
    present: dict[Hashable, type[str]] = {n: str for n in ("arm", *axes) if n in columns}
    table = pd.read_csv(io.StringIO(text), dtype=present, keep_default_na=False, na_values=[""])
    for axis, labels in axes.items():
        if axis in table:
            printed = {_printed(label): label for label in labels}
            table[axis] = table[axis].fillna("").map(printed).astype(object)
            table[axis] = table[axis].infer_objects()
    return table


def _printed(label: Any) -> str:
    """A setting as it stands in a line."""
    if label is None:
        return ""
    return rounded(label) if isinstance(label, float) else str(label)


def _packed(curves: pd.DataFrame) -> list[str]:
    text = curves.to_csv(index=False, float_format=DIGITS)
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return [packed[k : k + LINE] for k in range(0, len(packed), LINE)]


def _unpacked(packed: list[str]) -> pd.DataFrame:
    text = gzip.decompress(base64.b64decode("".join(packed))).decode()
    return pd.read_csv(io.StringIO(text))
