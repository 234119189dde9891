"""The course of a search that screens by a plan and completes its finalists, within a budget. Judges no run."""

from __future__ import annotations

import math
from collections.abc import Callable

from tune.schedulers.budget import expected_length, has_room, spent
from tune.schedulers.finalists import Completion
from tune.schedulers.history import ALLOCATE, History
from tune.schedulers.policy import WAIT, Finish, Move, PolicyOptions, Start


class Course:
    """Screening first; when all its runs have ended, the finalists' stopped runs are resumed to the end.

    With a budget, screening starts no run once what is spent and due reaches it less the epochs that completing the
    finalists would take: a screening that left nothing for that would leave nothing to compare. The first resumed run
    closes the screening for good.

    Args:
        options: with the budget.
        screening: the next run of the screening; None when all were started.
        seeds: replicates per config.
        completes: whether there are finalists to complete; False for a search that stops no run.
        reserves: whether screening holds back epochs for them.
    """

    def __init__(
        self,
        options: PolicyOptions,
        screening: Callable[[History], Start | None],
        *,
        seeds: int,
        completes: bool = True,
        reserves: bool = True,
    ) -> None:
        self._options, self._screening, self._seeds = options, screening, seeds
        self._completion = Completion(options) if completes else None
        self._reserves = completes and reserves
        self._known: tuple[tuple[int, int], float] = ((-1, -1), 0.0)

    def next_move(self, history: History) -> Move:
        """What to do with a free slot."""
        if ALLOCATE not in history.stages:
            start = self._screening(history)
            if start is not None and self._has_room(history):
                return start
            if any(history.pending()):
                return WAIT
        start = self._completion.next(history) if self._completion else None
        if start is not None and has_room(history, self._options):
            return start
        if any(history.pending()):
            return WAIT
        return Finish(self._reason(history, incomplete=start is not None))

    def _has_room(self, history: History) -> bool:
        if not self._reserves or self._options.budget_epochs is None:
            return has_room(history, self._options)
        most = max(2, math.ceil(math.sqrt(history.configs + 1))) * self._seeds
        if has_room(history, self._options, reserve=most * expected_length(history, self._options)):
            return True  # without looking who the finalists would be: they cannot need more
        return has_room(history, self._options, reserve=self._need(history))

    def _need(self, history: History) -> float:
        state = len(history.runs), sum(1 for _ in history.pending())  # it changes only with these
        if self._completion is not None and self._known[0] != state:
            self._known = (state, self._completion.need(history))
        return self._known[1]

    def _reason(self, history: History, *, incomplete: bool) -> str:
        runs, finalists = len(history.runs), self._completion.finalists if self._completion else 0
        completed = f", and {finalists} finalist(s) were brought to their end" if finalists else ""
        if incomplete:
            return f"{spent(history, self._options)}: {runs} run(s) were started, and not every finalist is complete"
        if self._screening(history) is not None:
            return f"{spent(history, self._options)}: {runs} run(s) were started{completed}"
        return f"the plan is done: {history.configs} config(s), {runs} run(s){completed}"
