"""What faults took from a sweep: trials that went on after one, and trials that wait, counted from recorded rows.

A fault is what a config is not to blame for: a lost node, a full disk, a share of a GPU that was too small. Its row in
`decisions` has the action `retry` or `set aside`, and a reason that begins with the cause and a colon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

RETRY, SET_ASIDE = "retry", "set aside"

#: cause -> what one and several of them are called after a number; others are called by their cause.
_CALLED = {
    "node lost": ("lost node", "lost nodes"),
    "process lost": ("lost process", "lost processes"),
    "not started": ("process that did not start", "processes that did not start"),
    "hung": ("hung", "hung"),
    "host memory": ("out of host memory", "out of host memory"),
    "GPU memory": ("out of GPU memory", "out of GPU memory"),
    "storage": ("storage error", "storage errors"),
    "runtime": ("end of Ray's loop", "ends of Ray's loop"),
    "neighbour": ("broken off for another's memory", "broken off for another's memory"),
}


@dataclass(frozen=True)
class Faults:
    """Faults of a sweep.

    Args:
        retries: cause -> how often a trial went on after it.
        trials: that went on after a fault, each counted once.
        waiting: trial key -> why it was set aside; it has neither gone on nor ended since.
    """

    retries: Mapping[str, int] = field(default_factory=dict)
    trials: int = 0
    waiting: Mapping[str, str] = field(default_factory=dict)


def read_faults(decisions: pa.Table, *, epochs: pa.Table, runs: pa.Table) -> Faults:
    """Count them.

    Args:
        decisions: `ResultsStore.decisions()`, read first.
        epochs: `ResultsStore.epochs()`.
        runs: `ResultsStore.runs()`.
    """
    retried = decisions.filter(pc.field("action") == RETRY).select(["trial_key", "reason"]).to_pylist()
    causes = Counter(row["reason"].partition(":")[0] for row in retried)
    columns = ["trial_key", "event", "reason"]
    aside = decisions.filter(pc.field("action") == SET_ASIDE).select(columns).sort_by("event").to_pylist()
    newest = {row["trial_key"]: row for row in aside}
    later = {key: row["event"] for key, row in newest.items()}
    for table in (decisions, epochs, runs):
        mine = pc.is_in(table.column("trial_key"), value_set=pa.array(newest, pa.string()))
        for row in table.select(["trial_key", "event"]).filter(mine).to_pylist():
            later[row["trial_key"]] = max(later[row["trial_key"]], row["event"] or 0)
    waiting = {key: row["reason"] for key, row in newest.items() if later[key] == row["event"]}
    return Faults(dict(causes), len({row["trial_key"] for row in retried}), waiting)


def fault_sentences(faults: Faults) -> tuple[str, ...]:
    """What happened, for people; nothing where nothing did."""
    said = []
    if faults.retries:
        n = faults.trials
        who = "1 trial was" if n == 1 else f"{n} trials were"
        said.append(f"{who} taken by faults and went on from the last epoch: {told(faults.retries)}.")
    if n := len(faults.waiting):
        who = "1 trial was" if n == 1 else f"{n} trials were"
        causes = Counter(reason.partition(":")[0] for reason in faults.waiting.values())
        said.append(
            f"{who} set aside after several faults in a row and wait{'s' * (n == 1)} for --resume, if the sweep does "
            f"not run any more: {told(causes)}."
        )
    return tuple(said)


def told(causes: Mapping[str, int]) -> str:
    """`3 lost nodes, 1 out of GPU memory`: the most frequent first."""
    ordered = sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n} {_CALLED.get(cause, (cause, cause))[n > 1]}" for cause, n in ordered)
