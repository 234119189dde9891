"""Which configs are brought to the end on every replicate after the screening. Pure: values in, names out.

Early stopping leaves a config with some replicates finished and others stopped, and the finished ones are its lucky
ones: their mean flatters. So the most promising configs get their stopped replicates resumed to the end, and only
configs that are complete are compared. Re-running the best sqrt(M) of M configs after a single-seed screening recovers
most of what smarter allocation rules gain in simulation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ScreenedRun:
    """What the screening saw of one run.

    Args:
        config_id: whose run it is.
        finished: it ended by itself rather than being stopped or failing.
        failed: it died; its values say nothing about where it would have gone.
        values: the metric after each epoch from 1 on, higher is better; NaN where it is not defined.
    """

    config_id: str
    finished: bool
    values: Sequence[float]
    failed: bool = False


def choose_finalists(runs: Sequence[ScreenedRun]) -> list[str]:
    """The configs to be completed: the best max(2, ceil(sqrt(M))) of M configs.

    A config is ordered by the mean of its finished runs' best values. That mean is of its lucky replicates and
    flatters, which is right here: who might be the best is completed, and then the mean is honest. Configs without a
    finished run come after, by the mean over replicates of the best value up to the largest epoch that *all* runs
    reached, so that no run is credited for being longer. Equal configs keep the order in which they were proposed.
    Failed runs and runs without a single value do not count.

    Returns:
        config ids, the most promising first.
    """
    by_config: dict[str, list[ScreenedRun]] = {}
    for run in runs:
        if run.values and not run.failed:
            by_config.setdefault(run.config_id, []).append(run)
    if not by_config:
        return []
    common = min(len(run.values) for group in by_config.values() for run in group)
    keep = max(2, math.ceil(math.sqrt(len(by_config))))
    merits = {config_id: _merit(group, common) for config_id, group in by_config.items()}
    return sorted(by_config, key=lambda config_id: merits[config_id], reverse=True)[:keep]


def _merit(group: Sequence[ScreenedRun], common: int) -> tuple[bool, float]:
    finished = [_best(run.values) for run in group if run.finished]
    early = [_best(run.values[:common]) for run in group]
    return bool(finished), statistics.fmean(finished or early)


def _best(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=-math.inf)
