"""Sums over the runs of a sweep for who watches it, brought up to date from what has changed. Draws and prints nothing.

A sweep may have thousands of runs, of which a few are under way: a run that has not moved since the last look is not
looked at, so that watching costs the same in a large sweep as in a small one.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from results import RunStatus
from tune.execution import Execution
from tune.run_state import RunState
from tune.schedulers import CONFIRM
from tune.schedulers.history import AUDIT, Run

#: Names of sums; the others are the values of `RunStatus`, for how many runs ended so.
SEARCHED, CONFIRMED = "runs of the search", "runs that confirm"
SEARCHED_EPOCHS, CONFIRMED_EPOCHS = "epochs of the search", "epochs that confirm"
ENDED, ENDED_EPOCHS = "runs that have ended", "epochs of runs that have ended"
PAUSED = "paused"


@dataclass(frozen=True)
class ConfigLine:
    """One config and what its runs say, once they were asked: a line is replaced when one of them has moved.

    Args:
        config: its number.
        runs: its trials so far.
    """

    config: int
    runs: tuple[RunState, ...]

    @cached_property
    def scores(self) -> list[float]:
        """Best values of its finished runs, without those that confirm: what the search chooses by."""
        searched = (run for run in self.runs if run.run.stage != CONFIRM)
        return [run.best[1] for run in searched if run.status is RunStatus.FINISHED and run.best]

    @cached_property
    def order(self) -> tuple[int, float]:
        """Configs with most finished runs first, then by their mean (not compared across unequal epochs)."""
        scores = self.scores
        return len(scores), statistics.fmean(scores) if scores else max(
            (r.best[1] for r in self.runs if r.best), default=-1
        )

    @cached_property
    def seconds(self) -> float:
        """Training time of its runs."""
        return sum(run.seconds for run in self.runs)

    @cached_property
    def sums(self) -> Counter[str]:
        """What it adds to the sums of the sweep."""
        sums: Counter[str] = Counter()
        for run in self.runs:
            confirms = run.run.stage == CONFIRM
            sums[CONFIRMED if confirms else SEARCHED] += 1
            sums[CONFIRMED_EPOCHS if confirms else SEARCHED_EPOCHS] += run.epochs
            sums[PAUSED] += run.run.paused
            if run.status is not None:
                sums[run.status.value] += 1
                sums[ENDED] += 1
                sums[ENDED_EPOCHS] += run.epochs
        return sums


class Tally:
    """The runs of a sweep, summed up.

    Args:
        execution: whose runs.

    Attributes:
        sums: of all runs, by the names above.
        seconds: training time of all runs.
        lines: by the number of the config, those with a run.
        newest: the run that was started last; one that confirms before all others.
        audited: runs that an audit has begun to bring to their end since this was made, by trial key.
    """

    def __init__(self, execution: Execution) -> None:
        self._execution, self._history = execution, execution.history
        self.sums: Counter[str] = Counter()
        self.seconds = 0.0
        self.lines: dict[int, ConfigLine] = {}
        self.newest: RunState | None = None
        self.audited: dict[str, RunState] = {}
        self._states: dict[tuple[int, int], RunState] = {}
        self._opened = self._ended = 0
        self._told = len(execution.history.ended)
        self._moving: list[Run] = []
        self._audited_before = {
            key for key, run in execution.runs.items() if run.spec.stage == AUDIT and run.status
        }

    def look(self) -> None:
        """Take in what has happened since the last time."""
        history = self._history
        self._find_new()
        moved = [*self._moving, *history.opened[self._opened :], *history.ended[self._ended :]]
        self._opened, self._ended = len(history.opened), len(history.ended)
        self._moving = list(history.pending())
        for number in {run.config for run in moved}:
            line = ConfigLine(number, tuple(self._states[r.config, r.replicate] for r in history.of(number)))
            if before := self.lines.get(number):
                self.sums.subtract(before.sums)
                self.seconds -= before.seconds
            self.sums.update(line.sums)
            self.seconds += line.seconds
            self.lines[number] = line
        for run in moved:
            state = self._states[run.config, run.replicate]
            if run.stage == AUDIT and state.spec.trial_key not in self._audited_before:
                self.audited[state.spec.trial_key] = state

    def news(self) -> Iterator[RunState]:
        """Every run that has ended since the last time, and was not resumed meanwhile: it ends once more."""
        self._find_new()
        ended, self._told = self._history.ended[self._told :], len(self._history.ended)
        for run in ended:
            if run.status is not None:
                yield self._states[run.config, run.replicate]

    def _find_new(self) -> None:
        """Runs are only ever added, at the end."""
        runs = self._execution.runs
        new = list(islice(reversed(runs.values()), len(runs) - len(self._states)))
        for state in reversed(new):
            self._states[state.run.config, state.run.replicate] = state
            if self.newest is None or state.run.stage == CONFIRM or self.newest.run.stage != CONFIRM:
                self.newest = state
