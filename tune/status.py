"""How far a sweep is: counts from its store, live or ended. Judges nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from results import ResultsStore
from results.storage.location import RunDir


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
        last_row: when the newest epoch or end was received, in Unix seconds; None without any.
        over: every planned run has ended.
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
    last_row: float | None
    over: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def sweep_status(run_dir: RunDir) -> SweepStatus:
    """Read the counts of a run directory.

    Raises:
        StoreError: it is not one.
    """
    store = ResultsStore.read(run_dir)
    metric = str(store.sweep["metric"])
    runs = store.runs().select(["trial_key", "status", "timestamp"])
    epochs = store.epochs().select(["trial_key", metric, "timestamp"])
    by_status = Counter(runs.column("status").to_pylist())
    started, ended = (set(table.column("trial_key").unique().to_pylist()) for table in (epochs, runs))
    if unfinished := started - ended:
        by_status["unfinished"] = len(unfinished)
    best, trial = _best(epochs, metric)
    at_most = int(store.sweep["configs"]) * int(store.sweep["replicates"])
    planned = int(store.sweep.get("planned_runs") or at_most)
    newest = [pc.max(table.column("timestamp")).as_py() for table in (epochs, runs)]
    return SweepStatus(
        name=str(store.sweep["name"]),
        sweep_id=str(store.sweep["sweep_id"]),
        metric=metric,
        planned=planned,
        ended=runs.num_rows,
        by_status=dict(by_status),
        epochs=epochs.num_rows,
        best=best,
        best_trial=trial,
        last_row=max((at for at in newest if at is not None), default=None),
        over=runs.num_rows >= planned and not unfinished,
    )


def _best(epochs: pa.Table, metric: str) -> tuple[float | None, str | None]:
    """The best finite value of any run, and whose it is; higher is better for every metric of a sweep."""
    known = epochs.filter(pc.is_finite(pc.field(metric)))
    if not known.num_rows:
        return None, None
    best = pc.max(known.column(metric)).as_py()
    return best, max(known.filter(pc.field(metric) == best).column("trial_key").to_pylist())


def follow(
    read: Callable[[], SweepStatus], show: Callable[[SweepStatus], None], pause: Callable[[], None]
) -> SweepStatus:
    """Show the status again and again until the sweep is over; returns the last one.

    Args:
        read: the status now.
        show: told every status.
        pause: waits between two readings.
    """
    while True:
        found = read()
        show(found)
        if found.over:
            return found
        pause()
