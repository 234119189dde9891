"""How far a sweep is: counts from its store, live or ended. Judges nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from results import ResultsStore


@dataclass(frozen=True)
class SweepStatus:
    """Counts of a sweep.

    Args:
        name: the sweep's name.
        sweep_id: its id.
        metric: what it is judged by.
        planned: configs x replicates; the number of the search that ended, or at most so many.
        ended: runs that have ended in any way.
        by_status: ended runs by how they ended, and `unfinished`: started or interrupted.
        epochs: epochs recorded.
        best: the best value of any run so far, None without a value.
        best_trial: the run that has it.
    """

    name: str
    sweep_id: str
    metric: str
    planned: int
    ended: int
    by_status: Mapping[str, int]
    epochs: int
    best: float | None
    best_trial: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def sweep_status(run_dir: Path) -> SweepStatus:
    """Read the counts of a run directory.

    Raises:
        StoreError: it is not one.
    """
    store = ResultsStore.read(run_dir)
    metric = str(store.sweep["metric"])
    ended = {
        row["trial_key"]: row["status"] for row in store.runs().select(["trial_key", "status"]).to_pylist()
    }
    epochs = store.epochs().select(["trial_key", metric]).to_pylist()
    unfinished = {row["trial_key"] for row in epochs} - set(ended)
    by_status = Counter(ended.values())
    if unfinished:
        by_status["unfinished"] = len(unfinished)
    valued = [(row[metric], row["trial_key"]) for row in epochs if row[metric] is not None]
    best, trial = max((pair for pair in valued if math.isfinite(pair[0])), default=(None, None))
    at_most = int(store.sweep["configs"]) * int(store.sweep["replicates"])
    return SweepStatus(
        name=str(store.sweep["name"]),
        sweep_id=str(store.sweep["sweep_id"]),
        metric=metric,
        planned=int(store.sweep.get("planned_runs") or at_most),
        ended=len(ended),
        by_status=dict(by_status),
        epochs=len(epochs),
        best=best,
        best_trial=trial,
    )
