"""Which configs are brought to the end on every replicate after the screening, and the runs that this takes.

Early stopping leaves a config with some replicates finished and others stopped, and the finished ones are its lucky
ones: their mean flatters. So the most promising configs get their stopped replicates resumed to the end, and only
configs that are complete are compared. Re-running the best sqrt(M) of M configs after a single-seed screening recovers
most of what smarter allocation rules gain in simulation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from results import RunStatus
from tune.schedulers.budget import expected_length
from tune.schedulers.history import ALLOCATE, SCREEN, History, Run
from tune.schedulers.policy import PolicyOptions, Start


@dataclass(frozen=True)
class Finalist:
    """A config to be completed.

    Args:
        config: its number.
        merit: the mean that it was chosen by, higher is better.
        finished: whether that mean is of finished runs; else of the epochs that all runs reached.
        n: how many runs it is the mean of.
    """

    config: int
    merit: float
    finished: bool
    n: int


def choose_finalists(runs: Iterable[Run]) -> list[Finalist]:
    """The configs to be completed: the best max(2, ceil(sqrt(M))) of M configs.

    Only what the screening saw counts, also when some of the runs were resumed since. A config is ordered by the mean
    of its finished runs' best values. That mean is of its lucky replicates and flatters, which is right here: who might
    be the best is completed, and then the mean is honest. Configs without a finished run come after, by the mean over
    replicates of the best value up to the largest epoch that *all* runs reached, so that no run is credited for being
    longer. Equal configs keep the order in which they were first started. Failed runs and runs without an epoch do not
    count.

    Args:
        runs: in the order of their first start.

    Returns:
        the most promising first.
    """
    by_config: dict[int, list[Run]] = {}
    common = math.inf
    for run in runs:
        if _screened_epochs(run) and not (run.failed and run.stage == SCREEN):
            by_config.setdefault(run.config, []).append(run)
            common = min(common, _screened_epochs(run))
    if not by_config:
        return []
    keep = max(2, math.ceil(math.sqrt(len(by_config))))
    found = [_finalist(config, group, int(common)) for config, group in by_config.items()]
    return sorted(found, key=lambda finalist: (finalist.finished, finalist.merit), reverse=True)[:keep]


def _finalist(config: int, group: Sequence[Run], common: int) -> Finalist:
    ended = [run.best for run in group if _finished_in_screening(run)]
    values = ended or [run.best_at(common) for run in group]
    return Finalist(config, statistics.fmean(values), bool(ended), len(values))


def _screened_epochs(run: Run) -> int:
    return run.epochs if run.screen_epochs is None else run.screen_epochs


def _finished_in_screening(run: Run) -> bool:
    return run.stage == SCREEN and run.status is RunStatus.FINISHED


class Completion:
    """The second stage of a search that stops runs: the finalists' stopped runs, resumed to the end one by one.

    Args:
        options: for the length that a run is expected to have.
    """

    def __init__(self, options: PolicyOptions) -> None:
        self._options = options
        self._finalists: list[Finalist] | None = None
        self._queue: list[tuple[int, Run]] = []
        self._place = 0

    def next(self, history: History) -> Start | None:
        """The next run to resume; None when all were. To be asked once the screening is over, and not before.

        The finalists are chosen at the first call and stay: they depend on the screening alone, which is over.
        """
        if self._finalists is None:
            self._finalists = choose_finalists(history.runs)
            self._queue = _stopped(history, self._finalists)
        while self._place < len(self._queue) and self._queue[self._place][1].stage != SCREEN:
            self._place += 1
        if self._place == len(self._queue):
            return None
        place, run = self._queue[self._place]
        finalist, total = self._finalists[place], len(self._finalists)
        kind = "finished run(s)" if finalist.finished else "run(s) at the epochs that all reached"
        reason = (
            f"its config is finalist {place + 1} of {total}, {finalist.merit:.4f} over {finalist.n} {kind}, "
            f"and is to be complete: this run was stopped at epoch {run.epochs}"
        )
        return Start(run.config, run.replicate, reason, ALLOCATE, finalist.merit, None, finalist.n)

    @property
    def finalists(self) -> int:
        """How many were chosen; 0 before."""
        return len(self._finalists or ())

    def need(self, history: History) -> float:
        """Epochs that it would take to complete those who would be finalists by the runs that have ended so far."""
        length = expected_length(history, self._options)
        queue = _stopped(history, choose_finalists(run for run in history.runs if not run.pending))
        return sum(max(0.0, length - run.epochs) for _, run in queue)


def _stopped(history: History, finalists: Sequence[Finalist]) -> list[tuple[int, Run]]:
    """(place of its config, run) of every run of a finalist that was stopped or paused and never resumed to its end."""
    return [
        (place, run)
        for place, finalist in enumerate(finalists)
        for run in history.of(finalist.config)
        if run.stage == SCREEN and (run.paused or run.status is RunStatus.STOPPED)
    ]
