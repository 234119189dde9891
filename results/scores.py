"""The score of one run: the best value of the metric over its epochs, if the run ended by itself.

Knows single runs only; configs are put together in `ranking.py`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.records import RunStatus

if TYPE_CHECKING:
    import pyarrow as pa

#: metrics shown beside the one that ranks, at each run's best epoch.
SIDE_METRICS = ("val_iou", "val_f1", "val_precision", "val_recall")


@dataclass(frozen=True)
class RankedRun:
    """One run of a config as the ranking sees it.

    Attributes:
        trial_key: names the run.
        replicate: index of its seeds.
        status: how it ended; None = it has not.
        epochs: epochs recorded.
        score: best value of the metric in its own direction; None unless it finished with a finite value.
        best_epoch: epoch of that value.
        at_best: the other metrics at that epoch.
    """

    trial_key: str
    replicate: int
    status: RunStatus | None
    epochs: int
    score: float | None
    best_epoch: int | None
    at_best: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """The epochs of one run: (epoch, metric, side metrics), in order; None = not finite."""

    config_id: str
    replicate: int
    points: tuple[tuple[int, float | None, Mapping[str, float]], ...]

    def best(self, sign: int, until: int | None = None) -> tuple[float, int, Mapping[str, float]] | None:
        """Best finite value, its epoch (the first of equals), and the side metrics there."""
        known = [
            (value, epoch, side)
            for epoch, value, side in self.points
            if value is not None and (until is None or epoch <= until)
        ]
        return max(known, key=lambda point: (sign * point[0], -point[1]), default=None)


def finite(value: Any) -> float | None:
    """The value as a float; None for None, NaN and infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def read_curves(epochs: pa.Table, metric: str) -> dict[str, Curve]:
    """Read `epochs` into trial_key -> curve."""
    names = ("trial_key", "config_id", "replicate", "epoch", metric, *SIDE_METRICS)
    columns = [epochs.column(name).to_pylist() for name in names]
    owner: dict[str, tuple[str, int]] = {}
    points: dict[str, list[tuple[int, float | None, Mapping[str, float]]]] = defaultdict(list)
    for key, config_id, replicate, epoch, value, *side in zip(*columns, strict=True):
        owner[key] = (config_id, replicate)
        known = {n: float(v) for n, v in zip(SIDE_METRICS, side, strict=True) if finite(v) is not None}
        points[key].append((epoch, finite(value), known))
    return {key: Curve(*owner[key], tuple(sorted(points[key], key=lambda point: point[0]))) for key in points}


def read_runs(runs: pa.Table, curves: Mapping[str, Curve], sign: int) -> dict[str, tuple[RankedRun, ...]]:
    """config_id -> its runs by replicate, each with its score if it finished."""
    ended = {row["trial_key"]: row for row in runs.to_pylist()}
    grouped: dict[str, list[RankedRun]] = defaultdict(list)
    for key in sorted({*ended, *curves}):
        row, curve = ended.get(key), curves.get(key)
        status = RunStatus(row["status"]) if row else None
        best = curve.best(sign) if curve and status is RunStatus.FINISHED else None
        config_id = curve.config_id if curve else str(ended[key]["config_id"])
        replicate = curve.replicate if curve else int(ended[key]["replicate"])
        run = RankedRun(
            trial_key=key,
            replicate=replicate,
            status=status,
            epochs=len(curve.points) if curve else 0,
            score=best[0] if best else None,
            best_epoch=best[1] if best else None,
            at_best=best[2] if best else {},
        )
        grouped[config_id].append(run)
    return {key: tuple(sorted(group, key=lambda run: run.replicate)) for key, group in grouped.items()}
