"""Asynchronous successive halving as Ray Tune has it, per replicate. Knows neither Ray nor the store."""

from __future__ import annotations

import math

from tune.schedulers.course import Course
from tune.schedulers.history import SCREEN, History, Run
from tune.schedulers.plan import Plan
from tune.schedulers.policy import CONTINUE, Action, Decision, Move, PolicyOptions
from tune.schedulers.rungs import Rung, milestones


class Asha:
    """Asynchronous successive halving in its stopping form, one ladder of rungs per replicate.

    A run is compared only with runs of other configs on the *same replicate*: they met the same seeds, and the
    siblings of one config never race each other. At each milestone grace * eta^k a run is stopped when its value there
    is strictly below the (1 - 1/eta) percentile of the values recorded there before it; so the first arrival always
    goes on and ties go on. A run whose value is undefined (NaN) at a milestone is neither recorded nor judged there.
    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2, in the stopping
    variant of Ray Tune's `ASHAScheduler` with one bracket, whose decisions it takes on the same stream of results.

    Every config is screened on replicate 0, then every config on replicate 1, and so on; then the finalists' stopped
    runs are resumed to the end (`finalists.choose_finalists`).

    Args:
        options: grace, eta, max_epochs, seeds (3 by default), configs and the budget.

    Raises:
        ValueError: for a grace, eta or max_epochs outside its range.
    """

    def __init__(self, options: PolicyOptions) -> None:
        self._eta = options.eta
        self._milestones = milestones(grace=options.grace, eta=options.eta, max_epochs=options.max_epochs)
        self._rungs: dict[tuple[int, int], Rung] = {}
        plan = Plan(options)
        self._course = Course(options, plan.next, seeds=plan.seeds)

    def next_move(self, history: History) -> Move:
        """What to do with a free slot."""
        return self._course.next_move(history)

    def judge(self, run: Run, history: History) -> Decision:
        """Compare the run with those that reached the milestone before it."""
        epoch, value = run.epochs, run.values[-1]
        if run.stage != SCREEN or epoch not in self._milestones or math.isnan(value):
            return CONTINUE
        rung = self._rungs.setdefault((run.replicate, epoch), Rung(epoch))
        threshold, n = rung.threshold(self._eta), len(rung)
        rung.record(value)
        stop = threshold is not None and value < threshold
        reason = self._reason(run, threshold, n)
        return Decision(Action.STOP if stop else Action.CONTINUE, epoch, value, threshold, n, reason)

    def _reason(self, run: Run, threshold: float | None, n: int) -> str:
        value = run.values[-1]
        if threshold is None:
            return f"{value:.4f}: first run to reach epoch {run.epochs} on this replicate"
        side = "below" if value < threshold else "not below"
        return (
            f"{value:.4f} at epoch {run.epochs} is {side} {threshold:.4f}, "
            f"percentile {(1 - 1 / self._eta) * 100:.0f} of the {n} run(s) there before it"
        )
