"""Synchronous successive halving, per replicate. Knows neither Ray nor the store."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from tune.schedulers.course import Course
from tune.schedulers.history import SCREEN, History, Run
from tune.schedulers.plan import SEEDS, Plan
from tune.schedulers.policy import CONTINUE, Action, Decision, Finish, Move, PolicyOptions, Start
from tune.schedulers.rungs import milestones


@dataclass
class _Ladder:
    """How far the runs of one replicate are.

    Args:
        closed: rungs whose runs all have arrived.
        promoted: those that go on from the last closed rung, the best first.
        place: of the first of them that may be waiting still; moves forward only.
    """

    closed: int = 0
    promoted: list[Run] = field(default_factory=list)
    place: int = 0


class SuccessiveHalving:
    """Every run pauses at a rung until the others are there; the best ceil(n / eta) of n go on.

    Rungs are at the epochs grace * eta^k. The runs of one replicate halve among themselves; they met the same seeds.
    At a rung a run gives back its slot. When no run of its replicate can still arrive (all were started, and each has
    arrived, ended or failed), the best by their value at that epoch are resumed, equal values in the order of their
    first start, and an undefined value (NaN) after all others. Source: Jamieson & Talwalkar 2016, "Non-stochastic Best
    Arm Identification and Hyperparameter Optimization", figure 3.

    Replicates overlap so that no slot waits for stragglers: runs that go on have precedence, those of a lower replicate
    first, and what is left starts the configs of the next replicate. When all have halved, the finalists' runs that
    were left behind are resumed to the end (`finalists.choose_finalists`), so that compared configs are complete.

    A budget decides beforehand how many configs are tried: as many of those asked for as it pays, with finalists and
    without a run that ends early. So it is a whole halving of fewer configs that it leaves, not a part of a larger one.

    Args:
        options: grace, eta, max_epochs, seeds (3 by default), configs and the budget.

    Raises:
        ValueError: for a grace, eta or max_epochs outside its range.
    """

    def __init__(self, options: PolicyOptions) -> None:
        self._eta = options.eta
        self._milestones = milestones(grace=options.grace, eta=options.eta, max_epochs=options.max_epochs)
        self._arrived: dict[tuple[int, int], list[Run]] = {}
        self._options, self._plan = options, Plan(options, configs=affordable(options))
        self._ladders = [_Ladder() for _ in range(self._plan.seeds)]
        self._course = Course(options, self._screen, seeds=self._plan.seeds, reserves=False)

    def next_move(self, history: History) -> Move:
        """What to do with a free slot."""
        move = self._course.next_move(history)
        if isinstance(move, Finish) and self._plan.configs < self._options.configs:
            tried = f"the budget of {self._options.budget_epochs} epochs pays for {self._plan.configs} of "
            return replace(move, reason=f"{move.reason}; {tried}{self._options.configs} configs")
        return move

    def judge(self, run: Run, history: History) -> Decision:
        """Pause the run at a rung."""
        epoch, value = run.epochs, run.values[-1]
        if run.stage != SCREEN or epoch not in self._milestones:
            return CONTINUE
        arrived = self._arrived.setdefault((run.replicate, epoch), [])
        arrived.append(run)
        reason = (
            f"{'undefined' if math.isnan(value) else f'{value:.4f}'} at epoch {epoch}: waits for the other runs of "
            f"replicate {run.replicate}, number {len(arrived)} to arrive there"
        )
        statistic = None if math.isnan(value) else value
        return Decision(Action.PAUSE, epoch, statistic, None, len(arrived) - 1, reason)

    def _screen(self, history: History) -> Start | None:
        for replicate, ladder in enumerate(self._ladders):
            if (start := self._promotion(replicate, ladder, history)) is not None:
                return start
        return self._plan.next(history)

    def _promotion(self, replicate: int, ladder: _Ladder, history: History) -> Start | None:
        """The next run of the replicate that goes on; None when none can now."""
        while True:
            while ladder.place < len(ladder.promoted):
                run = ladder.promoted[ladder.place]
                if run.paused and run.epochs == self._milestones[ladder.closed - 1]:
                    return self._resume(run, ladder)
                ladder.place += 1
            if ladder.closed == len(self._milestones) or not self._all_there(replicate, ladder, history):
                return None
            epoch = self._milestones[ladder.closed]
            arrived = self._arrived.get((replicate, epoch), [])
            ladder.promoted = best(arrived, epoch, history)[: math.ceil(len(arrived) / self._eta)]
            ladder.closed, ladder.place = ladder.closed + 1, 0

    def _all_there(self, replicate: int, ladder: _Ladder, history: History) -> bool:
        epoch = self._milestones[ladder.closed]
        if self._plan.opened(history) <= replicate:
            return False
        return all(run.replicate != replicate or run.epochs >= epoch for run in history.pending())

    def _resume(self, run: Run, ladder: _Ladder) -> Start:
        epoch = self._milestones[ladder.closed - 1]
        n, kept = len(self._arrived[run.replicate, epoch]), len(ladder.promoted)
        value, least = run.values[epoch - 1], ladder.promoted[-1].values[epoch - 1]
        reason = (
            f"{value:.4f} at epoch {epoch} is number {ladder.place + 1} of the {n} run(s) of replicate {run.replicate} "
            f"there; the best {kept} go on"
        )
        statistic, threshold = (None if math.isnan(number) else number for number in (value, least))
        return Start(run.config, run.replicate, reason, SCREEN, statistic, threshold, n)


def best(runs: list[Run], epoch: int, history: History) -> list[Run]:
    """The runs by their value at that epoch, the best first; equal values by first start, undefined ones last."""
    started = {(run.config, run.replicate): order for order, run in enumerate(history.runs)}

    def rank(run: Run) -> tuple[bool, float, int]:
        value, order = run.values[epoch - 1], started[run.config, run.replicate]
        return (True, 0.0, order) if math.isnan(value) else (False, -value, order)

    return sorted(runs, key=rank)


def affordable(options: PolicyOptions) -> int:
    """The most configs, of those asked for, whose halving and completion the budget pays for; at least 1."""
    if options.budget_epochs is None:
        return options.configs
    fits = (n for n in range(options.configs, 1, -1) if cost(n, options) <= options.budget_epochs)
    return next(fits, 1)


def cost(configs: int, options: PolicyOptions) -> int:
    """The most epochs that halving so many configs and completing the finalists can take."""
    rungs = milestones(grace=options.grace, eta=options.eta, max_epochs=options.max_epochs)
    epochs = begin = 0
    alive = configs
    for end in (*rungs, options.max_epochs):
        epochs += alive * (end - begin)
        alive, begin = math.ceil(alive / options.eta), end
    if rungs:
        finalists = min(configs, max(2, math.ceil(math.sqrt(configs))))
        epochs += finalists * (options.max_epochs - rungs[0])
    return epochs * (SEEDS if options.seeds is None else options.seeds)
