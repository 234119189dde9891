"""How far a sweep is: counts from its store, live or ended. Judges nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from results import ResultsStore, RunStatus
from results.curves import Curves, read_curves
from results.faults import RETRY, SET_ASIDE, Faults, read_faults
from results.plan import Plan
from results.scores import CONFIRM, SCREEN, RankedRun, read_runs
from results.snapshot import Snapshot, snapshot
from results.storage.location import RunDir, RunUrl, local_copy, locate
from results.storage.run_dir import being_written


@dataclass(frozen=True)
class SweepStatus:
    """Counts of a sweep. Runs that confirm its choice on fresh seeds are extra: only `confirmations` counts them.

    Args:
        name: the sweep's name.
        sweep_id: its id.
        metric: what it is judged by.
        planned: runs of the search that ended, or at most so many; None = nobody said.
        ended: runs that have ended in any way, and were not resumed since.
        by_status: ended runs by how they ended; `paused`: waiting to be resumed; and `unfinished`: under way, or
            interrupted; `set_aside`: waiting after several faults in a row.
        by_stage: runs by the stage that they were last started or resumed in, those that confirm included.
        confirmations: runs that confirm the choice, ended or not.
        epochs: epochs recorded.
        search_epochs: of these, epochs that do not confirm.
        budget_epochs: so many the search may spend; None = no limit.
        best: the best value of any run so far, None without a value.
        best_trial: the run that has it.
        last_row: when the newest epoch or end was received, in Unix seconds; None without any.
        over: the search has ended; of sweeps of older versions: every planned run has, and none waits to be resumed.
        reason: what ended the search, if that was noted.
        running: a process writes to the run directory; None = not known, as of a bucket that others may write to.
        faults: what a fault took and went on, and what waits after some.
    """

    name: str
    sweep_id: str
    metric: str
    planned: int | None
    ended: int
    by_status: Mapping[str, int]
    by_stage: Mapping[str, int]
    confirmations: int
    epochs: int
    search_epochs: int
    budget_epochs: int | None
    best: float | None
    best_trial: str | None
    last_row: float | None
    over: bool
    reason: str | None
    running: bool | None
    faults: Faults = field(default_factory=Faults)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def sweep_status(run_dir: RunDir) -> SweepStatus:
    """Read the counts of a run directory.

    Raises:
        StoreError: it is not one.
    """
    seen = snapshot(ResultsStore.read(run_dir))
    plan = Plan.of(seen.sweep)
    curves = read_curves(seen.epochs, plan.metric)
    every = [run for group in read_runs(seen.runs, curves, plan.sign).values() for run in group]
    runs = [run for run in every if run.stage != CONFIRM]
    paused, resumed = _paused_and_resumed(seen)
    faults = read_faults(seen.decisions, epochs=seen.epochs, runs=seen.runs)
    by_status = Counter(_state(run, paused, resumed, faults.waiting) for run in runs)
    by_status["set_aside"] = len(faults.waiting)  # also of runs without an epoch
    ended = by_status.total() - sum(by_status[name] for name in ("unfinished", "paused", "set_aside"))
    planned = plan.runs if plan.runs is not None else (seen.configs.num_rows * plan.replicates or None)
    best, trial = _best(curves, runs, plan.sign)
    newest = [pc.max(table.column("timestamp")).as_py() for table in (seen.epochs, seen.runs)]
    over = 0 < ended >= (planned or 0) and not by_status["unfinished"] and not _waiting(seen, runs)
    if _notes_its_end(seen):
        over = "ended" in seen.sweep
    return SweepStatus(
        name=str(seen.sweep["name"]),
        sweep_id=str(seen.sweep["sweep_id"]),
        metric=plan.metric,
        planned=planned,
        ended=ended,
        by_status={name: count for name, count in by_status.items() if count},
        by_stage=dict(Counter(run.stage for run in every)),
        confirmations=len(every) - len(runs),
        epochs=seen.epochs.num_rows,
        search_epochs=seen.epochs.filter(pc.field("stage") != CONFIRM).num_rows,
        budget_epochs=seen.sweep.get("budget_epochs"),
        best=best,
        best_trial=trial,
        last_row=max((at for at in newest if at is not None), default=None),
        over=over,
        reason=seen.sweep.get("ended"),
        running=_running(run_dir),
        faults=faults,
    )


def _running(run_dir: RunDir) -> bool | None:
    found = being_written(local_copy(run_dir))
    return found or None if isinstance(locate(run_dir), RunUrl) else found


def _best(curves: Curves, runs: Sequence[RankedRun], sign: int) -> tuple[float | None, str | None]:
    """The best finite value of any of the runs, and whose it is; of equals the last by name."""
    rows = curves.best_rows(sign)
    keys = [run.trial_key for run in runs if run.trial_key in curves.position]
    known = [(key, int(rows[curves.position[key]])) for key in keys if rows[curves.position[key]] >= 0]
    if not known:
        return None, None
    values = curves.values[np.array([row for _, row in known])]
    best = float(sign * np.max(sign * values))
    return best, max(key for (key, _), value in zip(known, values, strict=True) if value == best)


def _notes_its_end(seen: Snapshot) -> bool:
    """Whether the version that records the sweep notes what ended it: it numbers its events."""
    return any(table.column("event").null_count < table.num_rows for table in (seen.epochs, seen.decisions))


def _state(
    run: RankedRun, paused: Collection[str], resumed: Collection[str], set_aside: Collection[str]
) -> str:
    if run.status and run.trial_key not in resumed:
        return run.status.value
    if run.trial_key in set_aside:
        return "set_aside"
    return "paused" if run.trial_key in paused else "unfinished"


def _paused_and_resumed(seen: Snapshot) -> tuple[set[str], set[str]]:
    """The trials whose newest decision was to pause them, and those that it resumed after their recorded end."""
    columns = seen.decisions.select(["event", "trial_key", "action"]).filter(
        pc.field("event").is_valid() & ~pc.field("action").isin([RETRY, SET_ASIDE])
    )
    newest = {row["trial_key"]: row for row in columns.sort_by("event").to_pylist()}
    ends = {
        row["trial_key"]: row["event"] or 0 for row in seen.runs.select(["trial_key", "event"]).to_pylist()
    }
    paused = {key for key, row in newest.items() if row["action"] == "pause"}
    resumed = {key for key, row in newest.items() if row["action"] == "resume"}
    return paused, {key for key in resumed if newest[key]["event"] > ends.get(key, 0)}


def _waiting(seen: Snapshot, runs: Sequence[RankedRun]) -> bool:
    """Whether a stopped run is to be brought to its end and has not begun to."""
    chosen = seen.decisions.filter(pc.field("action") == "complete").column("trial_key").to_pylist()
    stopped = {run.trial_key for run in runs if run.status is RunStatus.STOPPED and run.stage == SCREEN}
    return not stopped.isdisjoint(chosen)


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
