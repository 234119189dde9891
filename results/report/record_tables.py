"""The tables of the report that are made of recorded rows: decisions, failures, budget.

Adds up epochs and seconds, on whole columns; judges nothing. Escaping is the business of whoever prints.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from results.naming import NONE
from results.records import FAILURES
from results.report.tables import MOST_ROWS, Table, cut, duration, number
from results.scores import reopened

_STAGES = ("screen", "allocate", "confirm", "study")
#: status of a stage that was not the run's last one.
_WENT_ON = "went on later"


def decision_table(decisions: pa.Table, names: Mapping[str, str]) -> Table:
    """What the policy stopped or completed, and on what grounds; decisions to go on are only counted.

    Args:
        decisions: `ResultsStore.decisions()`.
        names: config_id -> name.
    """
    shown = decisions.filter(pc.field("action") != "continue")
    rows = [
        (
            names.get(row["config_id"], row["config_id"]),
            str(row["replicate"]),
            str(row["epoch"]),
            row["action"],
            number(row["statistic"]),
            number(row["threshold"]),
            NONE if row["n"] is None else str(row["n"]),
            row["reason"],
        )
        for row in shown.slice(0, MOST_ROWS).to_pylist()
    ]
    headings = ("Run", "replicate", "epoch", "action", "value", "threshold", "n", "reason")
    counts = Counter(decisions.column("action").to_pylist())
    note = "Decisions: " + ", ".join(f"{n} {action}" for action, n in sorted(counts.items())) + "."
    hidden = " Those to continue are not listed." if counts["continue"] else ""
    numeric = frozenset((*headings[1:3], *headings[4:7]))
    return Table(headings, numeric, tuple(rows), note + hidden + cut(shown.num_rows))


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


def budget_table(runs: pa.Table, epochs: pa.Table) -> Table:
    """Runs, epochs and seconds by the stage in which they were spent and by how the run ended there.

    Args:
        runs: `ResultsStore.runs()`.
        epochs: `ResultsStore.epochs()`, read after it.
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
    headings = ("stage", "status", "runs", "epochs", "time")
    last_line = ("all", "", str(len(everything)), *_spent(total))
    return Table(headings, frozenset(headings[2:]), (*rows, last_line), note)


def _by_stage(item: tuple[tuple[str, str], object]) -> tuple[int, str, str]:
    """In the order in which a sweep spends them."""
    stage, status = item[0]
    return (_STAGES.index(stage) if stage in _STAGES else len(_STAGES)), stage, status


def _spent(cell: Sequence[float]) -> tuple[str, str]:
    return str(int(cell[0])), duration(cell[1])
