"""Policies that only the benchmark has: what people do by hand, spending whatever budget there is.

They start runs by a rule that looks at no value, or re-run the best of a first screening; what stops a run, if anything
does, is a policy of `tune`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tune.schedulers import (
    ALLOCATE,
    CONTINUE,
    SCREEN,
    WAIT,
    Decision,
    Finish,
    History,
    Move,
    Policy,
    PolicyOptions,
    Run,
    Start,
)

Order = Callable[[History], Start | None]


class Ordered:
    """Runs in a given order while the budget allows a further one.

    A run is started when at least 0.7 of its expected epochs are expected to fit: what is cut off by the end of the
    budget is lost to those who compare finished runs, and all strategies are spared that alike.

    Args:
        order: the next run; None when there is none, or none yet.
        options: with the budget, which must be given.
        usual_epochs: epochs of an unstopped run, until the search knows better.
        judge: whose verdicts stop runs; None = nobody's.
    """

    def __init__(
        self, order: Order, options: PolicyOptions, *, usual_epochs: float, judge: Policy | None = None
    ) -> None:
        assert options.budget_epochs is not None
        self._order, self._budget, self._usual, self._judge = (
            order,
            options.budget_epochs,
            usual_epochs,
            judge,
        )

    def next_move(self, history: History) -> Move:
        """The next of the order, if there is room."""
        start = self._order(history) if self._has_room(history) else None
        if start is not None:
            return start
        return WAIT if any(history.pending()) else Finish("no further run fits")

    def judge(self, run: Run, history: History) -> Decision:
        """As the other policy says."""
        return CONTINUE if self._judge is None else self._judge.judge(run, history)

    def _has_room(self, history: History) -> bool:
        usual = (5 * self._usual + history.finished_epochs) / (5 + history.finished)
        due = sum(max(usual - run.epochs, 3.0) for run in history.pending())
        return history.epochs + due + 0.7 * usual <= self._budget


class OneLadder:
    """Has all runs judged as if they were on one replicate: stock schedulers know nothing of replicates.

    Args:
        policy: whose verdicts they are.
    """

    def __init__(self, policy: Policy) -> None:
        self.next_move, self._policy = policy.next_move, policy

    def judge(self, run: Run, history: History) -> Decision:
        """As the policy says of the same values on replicate 0."""
        alike = Run(run.config, 0, run.stage, run.values, run.best, run.best_epoch)
        return self._policy.judge(alike, history)


def in_blocks(configs: int, block: int, replicates: int | None) -> Order:
    """`block` replicates of a config, then the next config; after the last one, the next replicates of the first.

    With a limit on the replicates, the last blocks are as large as it allows.
    """
    whole = math.inf if replicates is None else replicates // block * block * configs
    rest = 0 if replicates is None else replicates % block

    def order(history: History) -> Start | None:
        number, first, size = len(history.runs), 0, block
        if number >= whole:
            assert replicates is not None
            number, first, size = number - int(whole), replicates - rest, rest
            if number >= rest * configs:
                return None
        turn, place = divmod(number, configs * size)
        config, replicate = place // size, first + turn * size + place % size
        known = config if config < history.configs else None
        return Start(known, replicate, f"run {len(history.runs) + 1}, in blocks of {size}")

    return order


class TopAgain:
    """Screen configs on replicate 0 with half of the budget, then run the best sqrt(M) again, in turn.

    The best are those with the best finished run, after them those with the best unfinished one, chosen once, when
    the screening has ended.

    Args:
        configs: M.
        replicates: the most of a config; None = no limit.
        budget_epochs: of the whole search.
    """

    def __init__(self, configs: int, replicates: int | None, budget_epochs: int) -> None:
        self._configs, self._replicates, self._budget = configs, replicates, budget_epochs
        self.top: list[int] = []

    def __call__(self, history: History) -> Start | None:
        """The next run; None while the screening is ending."""
        if not self.top and history.configs < self._configs and history.epochs < 0.5 * self._budget:
            return Start(None, 0, "screening")
        if not self.top:
            if any(run.stage == SCREEN for run in history.pending()):
                return None
            self.top = self._best(history)
        able = [c for c in self.top if self._replicates is None or len(history.of(c)) < self._replicates]
        if not able:
            return None
        config = min(able, key=lambda config: len(history.of(config)))
        place = self.top.index(config) + 1
        return Start(config, len(history.of(config)), f"it was number {place} of the screening", ALLOCATE)

    def _best(self, history: History) -> list[int]:
        runs = [run for run in history.runs if run.best_epoch and not run.failed]
        runs.sort(key=lambda run: (run.score is not None, run.best), reverse=True)
        return [run.config for run in runs[: math.ceil(math.sqrt(self._configs))]]
