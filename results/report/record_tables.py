"""The tables of the report that are made of recorded rows: failures, budget. Decisions are in `search_views.py`.

Adds up epochs and seconds, on whole columns; judges nothing. Escaping is the business of whoever prints.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from results.audited import AUDIT, Audits
from results.naming import NONE
from results.records import FAILURES
from results.report.tables import MOST_ROWS, Table, cut, duration
from results.scores import reopened

_STAGES = ("screen", "allocate", "confirm", "study")
#: status of a stage that was not the run's last one.
_WENT_ON = "went on later"


def failure_table(runs: pa.Table, names: Mapping[str, str]) -> Table:
    """Runs that ended without a score through no choice of the policy.

    Args:
        runs: `ResultsStore.runs()`.
        names: config_id -> name.
    """
    failed = runs.filter(pc.field("status").isin([str(status) for status in FAILURES]))
    rows = [
        (
            names.get(row["config_id"], row["config_id"]),
            str(row["replicate"]),
            row["status"],
            str(row["epochs"]),
            row["reason"],
            row["error"] or NONE,
        )
        for row in failed.slice(0, MOST_ROWS).to_pylist()
    ]
    headings = ("Run", "replicate", "status", "epochs", "reason", "error")
    return Table(headings, frozenset((headings[1], headings[3])), tuple(rows), cut(failed.num_rows).strip())


def budget_table(runs: pa.Table, epochs: pa.Table, audits: Audits | None = None) -> Table:
    """Runs, epochs and seconds by the stage in which they were spent and by how the run ended there.

    Args:
        runs: `ResultsStore.runs()`.
        epochs: `ResultsStore.epochs()`, read after it.
        audits: what audits of the stopping have spent since; their rows are in neither table.
    """
    ended = {
        row["trial_key"]: (row["stage"], row["status"])
        for row in runs.select(["trial_key", "stage", "status"]).to_pylist()
    }
    sums = [("epoch", "count"), ("epoch", "max"), ("epoch_seconds", "sum")]
    spells = epochs.group_by(["trial_key", "stage"]).aggregate(sums).to_pylist()
    last = {row["trial_key"]: row["stage"] for row in sorted(spells, key=lambda row: row["epoch_max"])}
    members: dict[tuple[str, str], set[str]] = defaultdict(set)
    spent: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    for key, where in ended.items():
        if not reopened(where[0], last.get(key, where[0])):
            members[where].add(key)
    for row in spells:
        key, stage = row["trial_key"], row["stage"]
        final, status = ended.get(key, (last[key], "not ended"))
        if reopened(final, last[key]):
            final, status = last[key], "not ended"
        where = (stage, status if stage == final else _WENT_ON)
        members[where].add(key)
        spent[where][0] += row["epoch_count"]
        spent[where][1] += row["epoch_seconds_sum"] or 0.0
    rows = [
        (*where, str(len(keys)), *_spent(spent[where]))
        for where, keys in sorted(members.items(), key=_by_stage)
    ]
    everything = set().union(*members.values())
    total = [sum(column) for column in zip(*spent.values(), strict=True)] if spent else [0, 0.0]
    note = "Time: training and validation of the recorded epochs; no start-up, no waiting."
    if any(status == _WENT_ON for _, status in members):
        note += " A run that went on in a later stage counts in both, and once in the last line."
    if audits and audits.runs:
        spent["audit", ""] = [audits.epochs, audits.seconds]
        rows.append((AUDIT, f"{audits.ended} finished", str(audits.runs), *_spent(spent["audit", ""])))
        total = [sum(column) for column in zip(*spent.values(), strict=True)]
        note += " Audited runs are stopped runs: they count where they were stopped too, and once in the last line."
    headings = ("stage", "status", "runs", "epochs", "time")
    last_line = ("all", "", str(len(everything)), *_spent(total))
    return Table(headings, frozenset(headings[2:]), (*rows, last_line), note)


def _by_stage(item: tuple[tuple[str, str], object]) -> tuple[int, str, str]:
    """In the order in which a sweep spends them."""
    stage, status = item[0]
    return (_STAGES.index(stage) if stage in _STAGES else len(_STAGES)), stage, status


def _spent(cell: Sequence[float]) -> tuple[str, str]:
    return str(int(cell[0])), duration(cell[1])
