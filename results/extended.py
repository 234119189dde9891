"""Runs that get more epochs because their sweep was extended: until they end again, they have no end.

Such a run had all the epochs that there were. Its end is still on record, with a score of fewer epochs than those that
the others are given now, and must not be averaged with theirs. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from results.records import EXTENSION
from results.storage.extended_sweep import EXTENSIONS


def going_on(runs: pa.Table, decisions: pa.Table) -> frozenset[str]:
    """The trial keys of runs that were given more epochs after their recorded end.

    Args:
        runs: `ResultsStore.runs()`.
        decisions: `ResultsStore.decisions()`, read after `runs`.
    """
    given = decisions.filter(pc.field("policy") == EXTENSION)
    if not given.num_rows:
        return frozenset()
    again: dict[str, int] = {}
    for row in given.select(["trial_key", "event"]).to_pylist():
        again[row["trial_key"]] = max(row["event"], again.get(row["trial_key"], 0))
    ends = {row["trial_key"]: row["event"] or 0 for row in runs.select(["trial_key", "event"]).to_pylist()}
    return frozenset(key for key, event in again.items() if event > ends.get(key, 0))


def without_ends(runs: pa.Table, keys: frozenset[str]) -> pa.Table:
    """The table without the ends of these runs."""
    if not keys:
        return runs
    return runs.filter(pc.invert(pc.is_in(runs.column("trial_key"), value_set=pa.array(sorted(keys)))))


def ended_runs(runs: pa.Table, decisions: pa.Table) -> pa.Table:
    """The runs that have ended and were not given more epochs since; arguments as in `going_on`."""
    return without_ends(runs, going_on(runs, decisions))


def choice_of(decisions: pa.Table, sweep: Mapping[str, Any]) -> str | None:
    """The id of the config that the search has chosen; None if it has not, or not since it was extended.

    Args:
        decisions: `ResultsStore.decisions()`.
        sweep: content of `sweep.json`.
    """
    choices = decisions.filter(pc.field("action") == "choose").select(["config_id", "event"]).to_pylist()
    newest = max(choices, key=lambda row: row["event"] or 0, default=None)
    extensions = sweep.get(EXTENSIONS) or ()
    began = max((int(entry["after_event"]) for entry in extensions), default=-1)
    return newest["config_id"] if newest is not None and (newest["event"] or 0) > began else None
