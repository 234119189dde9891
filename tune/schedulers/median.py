"""The median stopping rule, per replicate. Knows neither Ray nor the store."""

from __future__ import annotations

import math

from tune.schedulers.course import Course
from tune.schedulers.history import SCREEN, History, Run
from tune.schedulers.plan import Plan
from tune.schedulers.policy import CONTINUE, Action, Decision, Move, PolicyOptions
from tune.schedulers.rungs import Rung

#: A median of fewer other runs says too little to stop one.
LEAST_OTHERS = 3


class MedianStopping:
    """Stop a run whose best value is below the median of what the others had on average by then.

    After each epoch e from `grace` on, the run's best value so far is compared with the median of the running averages
    (the mean of the values of the epochs 1 to e) of the other runs of the *same replicate* that have reached e, stopped
    ones included; it is stopped when it is strictly below, and when there are at least three of them. Source: Golovin
    et al. 2017, "Google Vizier: A Service for Black-Box Optimization", section 3.2.1, where only completed trials are
    the others; here trials that are as far count too, or the first wave of a sweep would never be stopped. A run with
    an undefined value (NaN) has no running average and is none of the others; without any defined value it is not
    judged.

    Every config is screened on replicate 0, then every config on replicate 1, and so on; then the finalists' stopped
    runs are resumed to the end (`finalists.choose_finalists`).

    Args:
        options: grace, seeds (3 by default), configs and the budget.
    """

    def __init__(self, options: PolicyOptions) -> None:
        self._grace = options.grace
        self._sums: dict[tuple[int, int], float] = {}
        self._averages: dict[tuple[int, int], Rung] = {}
        plan = Plan(options)
        self._course = Course(options, plan.next, seeds=plan.seeds)

    def next_move(self, history: History) -> Move:
        """What to do with a free slot."""
        return self._course.next_move(history)

    def judge(self, run: Run, history: History) -> Decision:
        """Compare the run's best value with the others' running averages."""
        if run.stage != SCREEN:
            return CONTINUE
        epoch = run.epochs
        others = self._averages.setdefault((run.replicate, epoch), Rung(epoch))
        median, n = others.percentile(50), len(others)
        key = run.config, run.replicate
        self._sums[key] = self._sums.get(key, 0.0) + run.values[-1]  # NaN from the first undefined value on
        if not math.isnan(self._sums[key]):
            others.record(self._sums[key] / epoch)
        if epoch < self._grace or n < LEAST_OTHERS or median is None or not run.best_epoch:
            return CONTINUE
        stop = run.best < median
        reason = (
            f"best value {run.best:.4f} by epoch {epoch} is {'below' if stop else 'not below'} {median:.4f}, "
            f"the median of the running averages of the {n} other run(s) there"
        )
        return Decision(Action.STOP if stop else Action.CONTINUE, epoch, run.best, median, n, reason)
