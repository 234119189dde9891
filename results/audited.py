"""Runs that an audit of early stopping brought to their end, as they were before it: stopped.

An audit asks what stopping has cost. If its rows counted, asking would change the answer: a few configs, picked at
random, would have more runs than the search gave them. So everything that is said of a sweep is said of its rows
without those of the audit. Nothing is written here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from results.records import AUDIT as AUDIT
from results.records import RunStatus


@dataclass(frozen=True)
class Rows:
    """Three tables of `ResultsStore`, read in this order: an end refers to epochs that are there."""

    runs: pa.Table
    decisions: pa.Table
    epochs: pa.Table


@dataclass(frozen=True)
class Audits:
    """What audits spent: runs that they brought further, how many of them ended, epochs, seconds of these epochs."""

    runs: int = 0
    ended: int = 0
    epochs: int = 0
    seconds: float = 0.0


def audits_in(rows: Rows) -> Audits:
    """Count the rows that `without_audits` leaves out."""
    audited = pc.field("stage") == AUDIT
    epochs, ends = rows.epochs.filter(audited), rows.runs.filter(audited).column("trial_key").to_pylist()
    runs = {*ends, *epochs.column("trial_key").to_pylist()}
    seconds = pc.sum(epochs.column("epoch_seconds")).as_py() or 0.0
    return Audits(len(runs), len(ends), epochs.num_rows, float(seconds))


def without_audits(rows: Rows, sweep: Mapping[str, Any]) -> Rows:
    """The rows as they would be without audits; the same object when there was none.

    Only runs that the policy had stopped are audited. A run keeps one end, and the audit's has replaced that of the
    policy: it is put together again from the epochs before the audit and from the decision to stop.

    Args:
        rows: as they are stored.
        sweep: content of `sweep.json`, for the metric and its direction.
    """
    if not (_has_audit(rows.runs) or _has_audit(rows.epochs)):
        return rows
    audited, policy = pc.field("stage") == AUDIT, pc.field("policy")
    decisions, epochs = rows.decisions.filter(policy != AUDIT), rows.epochs.filter(~audited)
    ends = rows.runs.filter(audited).to_pylist()
    before = _by_trial(epochs, [end["trial_key"] for end in ends])
    stops = decisions.filter(pc.field("action") == "stop")
    reasons = {row["trial_key"]: row["reason"] for row in stops.select(["trial_key", "reason"]).to_pylist()}
    restored = [
        _stopped(end, before[end["trial_key"]], sweep)
        | {"reason": reasons.get(end["trial_key"], "stopped by the policy")}
        for end in ends
    ]
    kept = rows.runs.filter(~audited)
    runs = pa.concat_tables([kept, pa.Table.from_pylist(restored, schema=rows.runs.schema)])
    return Rows(runs, decisions, epochs)


def _has_audit(table: pa.Table) -> bool:
    return bool(pc.any(pc.equal(table.column("stage"), AUDIT)).as_py())


def _by_trial(epochs: pa.Table, trials: Sequence[str]) -> Mapping[str, list[dict[str, Any]]]:
    """The epochs of some trials, by epoch."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    mine = epochs.filter(pc.is_in(epochs.column("trial_key"), value_set=pa.array(trials, pa.string())))
    for row in mine.sort_by("epoch").to_pylist():
        found[row["trial_key"]].append(row)
    return found


def _stopped(
    end: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]], sweep: Mapping[str, Any]
) -> dict[str, Any]:
    """The end that a run had before the audit; a stopped run has reported at least one epoch."""
    metric, sign = str(sweep["metric"]), 1 if sweep["mode"] == "max" else -1
    defined = [row for row in epochs if row[metric] is not None and math.isfinite(row[metric])]
    best = max(defined, key=lambda row: (sign * row[metric], -row["epoch"]), default=None)
    last = epochs[-1]
    return {
        **end,
        "stage": last["stage"],
        "status": RunStatus.STOPPED.value,
        "epochs": len(epochs),
        "best_epoch": best["epoch"] if best else None,
        "best_value": best[metric] if best else None,
        "error": None,
        "wall_seconds": math.fsum(row["epoch_seconds"] or 0.0 for row in epochs),
        "timestamp": last["timestamp"],
        "event": last["event"],
    }
