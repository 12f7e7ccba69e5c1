"""Timings: measured once on a named machine, and a little on this one beside them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from html import escape
from typing import Any

import pandas as pd
from IPython.display import display

from helpers.evidence import store
from helpers.evidence.machine import machine
from helpers.evidence.store import EvidenceError, Record

Measure = Callable[[int], Mapping[str, float]]


def conduct(
    notebook: str, name: str, measure: Measure, repetitions: int, here: int, how: Any
) -> pd.DataFrame:
    """The stored repetitions, a row each; `here` more are measured on this machine and shown.

    Raises EvidenceError for evidence that is missing, damaged, or of another number of repetitions
    or other measures.
    """
    if how.mode in ("register", "explore"):
        return _measured(measure, 1 if how.mode == "register" else repetitions)
    meant = how.mode != "replicate" or how.meant(name)
    file = store.place(notebook, name, how.root if meant else None)
    if how.mode in ("prove", "replicate") and how.meant(name):
        _write(notebook, name, measure, repetitions, how)
    try:
        record = store.read(file)
    except EvidenceError:
        if how.mode != "read" or file.exists():
            raise
        return _measured(measure, repetitions)  # a reader's own
    if "repetitions" not in record.declared:
        cure = store.renewal(notebook, name)
        raise EvidenceError(f"{file} holds networks that were trained, no timings: {cure}")
    fresh = _measured(measure, here)
    table = record.table.set_index("repetition").drop(columns="step")
    if len(table) != repetitions or (here and list(fresh) != list(table)):
        if how.mode == "read":
            return _measured(measure, repetitions)
        cure = store.renewal(notebook, name)
        raise EvidenceError(
            f"{name} has {len(table)} repetitions of {list(table)} in the evidence, declared are "
            f"{repetitions} of {list(fresh)}. To renew it: {cure}"
        )
    _show(name, record, table, fresh)
    return table


def _measured(measure: Measure, repetitions: int) -> pd.DataFrame:
    rows = [dict(measure(repetition)) for repetition in range(repetitions)]
    return pd.DataFrame(rows).rename_axis("repetition")


def _write(notebook: str, name: str, measure: Measure, repetitions: int, how: Any) -> None:
    found = _measured(measure, repetitions).reset_index()
    table = found.assign(step=1)[["repetition", "step", *found.columns[1:]]]
    made = machine() | {"date": datetime.now().date().isoformat()}
    declared = {"repetitions": repetitions, "measures": list(found.columns[1:])}
    record = Record(notebook, name, declared, table, made=made)
    store.write(record, store.place(notebook, name, how.root))


def _show(name: str, record: Record, table: pd.DataFrame, fresh: pd.DataFrame) -> None:
    """One stable line; what was measured here stands in the HTML beside it."""
    line = f"{name}: {len(table)} stored repetitions, on {record.made['processor']}"
    both = pd.DataFrame({"evidence (median)": table.median()})
    if len(fresh):
        both["here (median)"] = fresh.median()
    shown = {
        "text/plain": line,
        "text/html": f"<p>{escape(line)}</p>{both.to_html(float_format='{:.3g}'.format)}",
    }
    display(shown, raw=True)
