"""The score of one run: the best value of the metric over its epochs, if the run ended by itself.

Knows single runs only; configs are put together in `ranking.py`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.curves import Curves
from results.records import CONFIRM as CONFIRM
from results.records import SCREEN as SCREEN
from results.records import RunStatus

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class RankedRun:
    """One run of a config as the ranking sees it.

    Attributes:
        trial_key: names the run.
        replicate: index of its seeds.
        stage: why it was run last: screen, allocate, confirm or study.
        status: how it ended; None = it has not, or was resumed since.
        reopened: the policy had stopped it, and it is being brought to its end: so is its config, which has no final
            score before that.
        epochs: epochs trained: the last one recorded.
        score: best value of the metric in its own direction; None unless it finished with a finite value.
        best_epoch: epoch of that value.
        at_best: the other metrics at that epoch.
        extended: it had all its epochs when the sweep was given more of them, and has not ended since.
    """

    trial_key: str
    replicate: int
    stage: str
    status: RunStatus | None
    reopened: bool
    epochs: int
    score: float | None
    best_epoch: int | None
    at_best: Mapping[str, float]
    extended: bool = False


def finite(value: Any) -> float | None:
    """The value as a float; None for None, NaN and infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def reopened(end_stage: str, newest_stage: str) -> bool:
    """Whether a run with a recorded end has gone on since: its newest epoch is of a later stage than that end.

    Args:
        end_stage: of its row in `ResultsStore.runs()`.
        newest_stage: of its newest row in `ResultsStore.epochs()`.
    """
    return end_stage == SCREEN and newest_stage != SCREEN


def read_runs(
    runs: pa.Table, curves: Curves, sign: int, *, going_on: Collection[str] = ()
) -> dict[str, tuple[RankedRun, ...]]:
    """config_id -> its runs by replicate, each with its score if it finished.

    Args:
        runs: `ResultsStore.runs()`.
        curves: the epochs of the runs, read after `runs`.
        sign: +1 when higher is better, -1 when lower is.
        going_on: the keys of runs that get more epochs because the sweep was extended.
    """
    columns = ("trial_key", "status", "stage", "config_id", "replicate")
    ended = {row["trial_key"]: row for row in runs.select(columns).to_pylist()}
    rows, last = curves.best_rows(sign), curves.last_epochs()
    grouped: dict[str, list[RankedRun]] = defaultdict(list)
    for key in sorted({*ended, *curves.position}):
        end, i = ended.get(key), curves.position.get(key)
        again = end is not None and i is not None and reopened(end["stage"], curves.stages[i])
        end = None if again else end
        status = RunStatus(end["status"]) if end else None
        row = int(rows[i]) if i is not None and status is RunStatus.FINISHED else -1
        config_id, replicate, stage = _owner(end, curves, i)
        run = RankedRun(
            trial_key=key,
            replicate=replicate,
            stage=stage,
            status=status,
            reopened=again,
            epochs=0 if i is None else int(last[i]),
            score=float(curves.values[row]) if row >= 0 else None,
            best_epoch=int(curves.epochs[row]) if row >= 0 else None,
            at_best=curves.at(row) if row >= 0 else {},
            extended=key in going_on,
        )
        grouped[config_id].append(run)
    return {key: tuple(sorted(group, key=lambda run: run.replicate)) for key, group in grouped.items()}


def _owner(end: Mapping[str, Any] | None, curves: Curves, i: int | None) -> tuple[str, int, str]:
    """Config, replicate and stage of a run, from its end, or from its epochs when it has none."""
    if end is not None:
        return str(end["config_id"]), int(end["replicate"]), str(end["stage"])
    assert i is not None, "a run has an end or an epoch"
    return curves.config_ids[i], int(curves.replicates[i]), curves.stages[i]
