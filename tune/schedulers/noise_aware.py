"""The search that is right about noise: screen cheaply, repeat what can still be the best, confirm on fresh seeds.

Three stages. *Screen*: every config once, with asynchronous rungs; a run that has passed a rung is judged there again
when others arrive. *Allocate*: on the posterior of `results.statistics.posterior`, the leader and its strongest
challenger; the less certain of the two gets its next evidence, first the rest of its own stopped run, then a fresh
replicate in full (top-two expected improvement; Qin, Klabjan and Russo 2017, arXiv:1705.10033). *Confirm*: the choice
and its closest rival on replicates that took no part in choosing.

Decides only; knows neither Ray, nor torch, nor files. The choice is a function of the search's runs alone.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from results import RunStatus
from results.statistics.posterior import Floats, Posterior, expected_regret, posterior
from tune.schedulers.history import ALLOCATE, CONFIRM, SCREEN, History, Run
from tune.schedulers.ledger import FIRST_FRESH, Ledger
from tune.schedulers.policy import CONTINUE, WAIT, Action, Decision, Finish, Move, PolicyOptions, Start
from tune.schedulers.rungs import milestones

#: share of the budget after which no further config is screened.
_SCREENED_SHARE = 0.5
#: a run is started if at least this much of it is expected to fit into the budget.
_LEAST_REST = 0.7
_DRAWS = 1000


class NoiseAware:
    """Screen, allocate, confirm; see the module.

    Args:
        options: `seeds` caps the replicates of a config in the search, None = no cap; `budget_epochs` None = twice
            what running every config once in full would take.
    """

    def __init__(self, options: PolicyOptions) -> None:
        self._options = options
        full = options.configs * options.max_epochs
        self._budget = 2 * full if options.budget_epochs is None else options.budget_epochs
        self._screen = _Screen(options)
        self._ledger = Ledger(options.max_epochs)
        self._belief: tuple[int, Posterior] = (-1, posterior(self._ledger.evidence(0)))
        self._regret: tuple[int, float] = (-1, math.inf)

    def judge(self, run: Run, history: History) -> Decision:
        """What becomes of a run after its newest epoch: only runs that are screened may be stopped."""
        return self._screen.judge(run) if run.stage == SCREEN else CONTINUE

    def next_move(self, history: History) -> Move:
        """What to do with a free slot."""
        ledger = self._ledger
        ledger.update(history)
        if ledger.fresh:
            return self._confirm(history, self._why_over(history) or "the search is over")
        left = self._budget - ledger.spent(history) - ledger.outstanding()
        if left >= _LEAST_REST * ledger.usual_epochs() and (move := self._look(history)):
            return move
        if why := self._why_over(history, left):
            if any(run.pending for run in ledger.open):
                return WAIT
            return self._confirm(history, why)
        return self._allocate(history) or WAIT

    # ---- screen -------------------------------------------------------------------------------------------------

    def _look(self, history: History) -> Start | None:
        """A first look at a config: one whose only run failed, otherwise a new one."""
        ledger, total = self._ledger, self._options.configs
        for config in ledger.failures:
            if self._deserves_retry(config, history):
                replicate = ledger.used[config]
                reason = f"the only run of config {config} failed; it gets one more, on replicate {replicate}"
                return Start(config, replicate, reason)
        if history.exhausted or history.configs >= total:
            return None
        spent, share = ledger.spent(history), _SCREENED_SHARE * self._budget
        if spent >= share and history.configs:
            return None
        reason = f"config {history.configs + 1} of at most {total} is screened; {spent} of {share:.0f} epochs for that"
        return Start(None, 0, f"{reason} are spent")

    def _deserves_retry(self, config: int, history: History) -> bool:
        runs = history.of(config)
        only = len(runs) == 1 and runs[0].failed and runs[0].status is not RunStatus.OUT_OF_MEMORY
        return only and self._options.seeds != 1

    # ---- allocate -----------------------------------------------------------------------------------------------

    def _posterior(self, history: History) -> Posterior:
        if self._belief[0] != self._ledger.version or len(self._belief[1].n) != history.configs:
            self._belief = (self._ledger.version, posterior(self._ledger.evidence(history.configs)))
        return self._belief[1]

    def _allocate(self, history: History) -> Start | None:
        belief = self._posterior(history)
        able = np.array([self._may_repeat(int(c), history) for c in np.flatnonzero(belief.known)], dtype=bool)
        at = np.flatnonzero(belief.known)
        if not able.any():
            return None
        pending = np.array([self._ledger.pending.get(int(c), 0) for c in at])
        mean = belief.mean[at]
        variance = 1 / (1 / belief.variance[at] + pending / belief.seed_sd**2)
        leader = int(mean.argmax())
        gain = _improvement(mean - mean[leader], np.sqrt(variance + variance[leader]))
        gain[leader] = -1.0
        rival = int(np.where(able, gain, -2.0).argmax())
        second = rival != leader and (not able[leader] or variance[rival] >= variance[leader])
        chosen, other = (rival, leader) if second else (leader, rival)
        role = "the strongest challenger" if chosen != leader else "the leader"
        known_as = f"{role} ({mean[chosen]:.4f} +- {math.sqrt(variance[chosen]):.4f})"
        versus = f"config {at[other]} ({mean[other]:.4f} +- {math.sqrt(variance[other]):.4f})"
        reason = f"config {at[chosen]} is {known_as} and less certain than {versus}"
        return self._evidence_for(int(at[chosen]), reason, float(mean[chosen]), float(mean[other]))

    def _evidence_for(self, config: int, reason: str, statistic: float, threshold: float) -> Start:
        """The rest of its own stopped run, otherwise a fresh replicate."""
        stopped = self._stopped(config)
        n = self._ledger.finished.get(config, 0)
        if stopped is not None:
            what = (
                f"its replicate {stopped.replicate}, stopped after {stopped.epochs} epochs, is run to the end"
            )
            return Start(config, stopped.replicate, f"{reason}: {what}", ALLOCATE, statistic, threshold, n)
        replicate = self._ledger.used[config]
        what = f"it gets replicate {replicate}"
        return Start(config, replicate, f"{reason}: {what}", ALLOCATE, statistic, threshold, n)

    def _stopped(self, config: int) -> Run | None:
        runs = (run for run in self._ledger.open if run.config == config and not run.pending)
        return min(runs, key=lambda run: run.replicate, default=None)

    def _may_repeat(self, config: int, history: History) -> bool:
        """Whether it may have a further run: seeds are left, and it does not fail more often than it ends."""
        ledger, cap = self._ledger, self._options.seeds or FIRST_FRESH
        if ledger.failures.get(config, 0) > ledger.finished.get(config, 0):
            return False
        return ledger.used[config] < min(cap, FIRST_FRESH) or self._stopped(config) is not None

    # ---- the end ------------------------------------------------------------------------------------------------

    def _why_over(self, history: History, left: float | None = None) -> str | None:
        """The rule that ends the search, as a sentence; None while none does."""
        ledger, options = self._ledger, self._options
        if not any(run.pending and run.stage == SCREEN for run in ledger.open) and options.stop_regret > 0:
            regret = self._expected_regret(history)
            if regret < options.stop_regret:
                return f"expected regret {regret:.2g} is below {options.stop_regret:g}"
        if left is None:
            left = self._budget - ledger.spent(history) - ledger.outstanding()
        if left < _LEAST_REST * ledger.usual_epochs():
            spent = ledger.spent(history)
            return f"the budget of {self._budget} epochs is spent: {spent} are used and a further run would exceed it"
        belief = self._posterior(history)
        if any(self._may_repeat(int(c), history) for c in np.flatnonzero(belief.known)):
            return None
        if any(run.pending for run in ledger.open):
            return None
        if not belief.known.any():
            return "no config has a run that can be compared"
        return f"every config that can be the best has all of its {options.seeds} seeds"

    def _expected_regret(self, history: History) -> float:
        """Of the choice; infinite while there is none. The largest single improvement bounds it from below."""
        belief = self._posterior(history)
        choice = belief.choice
        if choice is None:
            return math.inf
        if self._regret[0] != self._ledger.version:
            others = belief.known.copy()
            others[choice] = False
            spread = np.sqrt(belief.variance[others] + belief.variance[choice])
            regret = float(_improvement(belief.mean[others] - belief.mean[choice], spread).max(initial=0.0))
            if regret < self._options.stop_regret:
                rng = np.random.default_rng(self._options.seed)
                regret = expected_regret(belief, choice, rng=rng, draws=_DRAWS)
            self._regret = (self._ledger.version, regret)
        return self._regret[1]

    def _confirm(self, history: History, why: str) -> Move:
        """Fresh replicates for the choice and its closest rival, pair by pair; then the end."""
        belief = self._posterior(history)
        choice = belief.choice
        if choice is None:
            return Finish(f"{why}; no run finished")
        mean = float(belief.mean[choice])
        rival = self._rival(belief, choice)
        for index in range(FIRST_FRESH, FIRST_FRESH + self._options.confirm):
            for config, role in ((choice, "the choice"), (rival, "its closest rival")):
                if config is not None and history.run(config, index) is None:
                    reason = f"{why}; config {config}, {role} ({belief.mean[config]:.4f}), is confirmed on fresh seeds"
                    return Start(config, index, reason, CONFIRM, float(belief.mean[config]), mean)
        if any(run.pending for run in self._ledger.fresh):
            return WAIT
        second = None if rival is None else float(belief.mean[rival])
        return Finish(why, choice, mean, second)

    def _rival(self, belief: Posterior, choice: int) -> int | None:
        """The config with a finished run that is most likely to be better than the choice."""
        others = (belief.n > 0) & (np.arange(len(belief.n)) != choice)
        if not others.any():
            return None
        spread = np.sqrt(belief.variance + belief.variance[choice])
        return int(np.where(others, (belief.mean - belief.mean[choice]) / spread, -np.inf).argmax())


def _improvement(ahead: Floats, sd: Floats) -> Floats:
    """Expected positive part of N(ahead, sd^2)."""
    z = ahead / sd
    return np.asarray(sd * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)))


@dataclass
class _Passed:
    """Where a run was judged last: the rung, its value there, and how many values the rung had."""

    rung: int = -1
    value: float = -math.inf
    seen: int = 0


@dataclass
class _Screen:
    """Asynchronous rungs: a run goes on while it is among the upper 1/eta of all that have reached its rung."""

    options: PolicyOptions
    rungs: tuple[int, ...] = field(init=False)
    values: list[list[float]] = field(init=False)
    passed: dict[tuple[int, int], _Passed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = self.options
        self.rungs = milestones(grace=options.grace, eta=options.eta, max_epochs=options.max_epochs)
        self.values = [[] for _ in self.rungs]

    def judge(self, run: Run) -> Decision:
        """Compare at a rung, or again at the last one when others have arrived there."""
        place = self.passed.setdefault((run.config, run.replicate), _Passed())
        following = place.rung + 1
        if following < len(self.rungs) and run.epochs >= self.rungs[following] and run.best_epoch:
            place.rung, place.value = following, run.best
            insort(self.values[following], run.best)
            return self._decide(place, True)
        if place.rung < 0 or place.seen == len(self.values[place.rung]):
            return CONTINUE
        return self._decide(place, False)

    def _decide(self, place: _Passed, first: bool) -> Decision:
        values, rung = self.values[place.rung], self.rungs[place.rung]
        place.seen = len(values)
        n = len(values) - 1
        threshold = _upper(values, bisect_left(values, place.value), 1 - 1 / self.options.eta) if n else None
        stop = threshold is not None and place.value < threshold
        if not (stop or first):
            return CONTINUE
        top = f"the upper 1/{self.options.eta:g} of {n} others"
        if threshold is None:
            reason = f"best value {place.value:.4f} at epoch {rung}: the first one there"
        elif stop:
            again = "" if first else ", now that others have arrived there"
            reason = f"best value {place.value:.4f} at epoch {rung} is below {threshold:.4f}, {top}{again}"
        else:
            reason = f"best value {place.value:.4f} at epoch {rung} reaches {threshold:.4f}, {top}"
        return Decision(Action.STOP if stop else Action.CONTINUE, rung, place.value, threshold, n, reason)


def _upper(values: list[float], own: int, share: float) -> float:
    """The quantile (linear, as numpy's default) of sorted values without the one at index `own`."""
    at = share * (len(values) - 2)
    low = int(at)
    first = values[low + (low >= own)]
    if at == low:
        return first
    return first + (at - low) * (values[low + 1 + (low + 1 >= own)] - first)
