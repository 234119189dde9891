"""The search that is right about noise: screen cheaply, repeat what can still be the best, confirm on fresh seeds.

Three stages. *Screen*: every config once, on the rungs of `screening.py`. *Allocate*: on the posterior of
`results.statistics.posterior`, the leader and the challenger that is expected to improve on it most; the less certain
of the two gets its next evidence, first the rest of its own stopped run, then a fresh replicate in full (top-two
expected improvement; Qin, Klabjan and Russo 2017, arXiv:1705.10033). *Confirm*: the choice and its closest rival on
replicates that took no part in choosing. A search that is extended goes on from the first stage, chooses again, and
confirms what it chooses then; what was confirmed before counts for a config that is chosen again.

Decides only; knows neither Ray, nor torch, nor files. The choice is a function of the search's runs alone.
"""

from __future__ import annotations

import math

import numpy as np

from results import RunStatus
from results.statistics.ceiling import Floats
from results.statistics.posterior import (
    Mask,
    Posterior,
    expected_regret,
    improvements,
    posterior,
    surely_behind,
)
from tune.replicates import FIRST_FRESH
from tune.schedulers.history import ALLOCATE, CONFIRM, SCREEN, History, Run
from tune.schedulers.ledger import Ledger
from tune.schedulers.policy import CONTINUE, WAIT, Decision, Finish, Move, PolicyOptions, Start
from tune.schedulers.screening import Screening

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
        self._screening = Screening(options)
        self._ledger = Ledger(options.max_epochs)
        self._belief: tuple[int, Posterior] = (-1, posterior(self._ledger.evidence(0)))
        self._regret: tuple[int, float] = (-1, math.inf)

    def judge(self, run: Run, history: History) -> Decision:
        """What becomes of a run after its newest epoch: only runs that are screened may be stopped."""
        return self._screening.judge(run) if run.stage == SCREEN else CONTINUE

    def next_move(self, history: History) -> Move:
        """What to do with a free slot."""
        self._ledger.update(history)
        if len(self._ledger.fresh) > self._ledger.fresh_before:
            return self._confirm(history, self._rule(history) or self._nothing_left())
        if self._affordable(history) and (move := self._look(history)):
            return move
        why = self._rule(history)
        if not why and (move := self._allocate(history)):
            return move
        return WAIT if self._under_way() else self._confirm(history, why or self._nothing_left())

    def _affordable(self, history: History) -> bool:
        """Whether one more run is expected to end within the budget, the runs under way counted."""
        ledger = self._ledger
        left = self._budget - ledger.spent(history) - ledger.outstanding()
        return left >= _LEAST_REST * ledger.usual_epochs()

    def _under_way(self, stage: str | None = None) -> bool:
        return any(run.pending and stage in (None, run.stage) for run in self._ledger.open)

    # ---- screen -------------------------------------------------------------------------------------------------

    def _look(self, history: History) -> Start | None:
        """A first look at a config: one whose only run failed, otherwise a new one."""
        for config in self._ledger.failures:
            if self._deserves_retry(config, history):
                replicate = self._ledger.used[config]
                reason = f"the only run of config {config} failed; it gets one more, on replicate {replicate}"
                return Start(config, replicate, reason)
        if not self._looks_on(history):
            return None
        spent, share = self._ledger.spent(history), self._screened_share(history)
        number = f"config {history.configs} ({history.configs + 1} of at most {self._options.configs})"
        return Start(
            None, 0, f"{number} is screened; {spent} of the {share:.0f} epochs for screening are spent"
        )

    def _screened_share(self, history: History) -> float:
        """Epochs spent after which no further config is screened: of an extended search half of what came on top."""
        return history.spent_before + _SCREENED_SHARE * max(self._budget - history.spent_before, 0)

    def _looks_on(self, history: History) -> bool:
        """Whether there are further configs to look at, and either epochs to do so or nothing else to find out."""
        if history.exhausted or history.configs >= self._options.configs:
            return False
        if not history.configs or self._ledger.spent(history) < self._screened_share(history):
            return True
        return self._expected_regret(history) < self._options.stop_regret

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
        leader = belief.choice
        if leader is None:
            return self._furthest()
        able, variance, gain = self._candidates(belief, leader)
        rival = int(np.where(able, gain, -1.0).argmax())
        if not able[rival]:
            rival = leader
        second = rival != leader and (not self._may_repeat(leader) or variance[rival] >= variance[leader])
        chosen, other = (rival, leader) if second else (leader, rival)
        if not self._may_repeat(chosen):
            return None
        mean, sd = belief.mean, np.sqrt(variance)
        sides = [f"config {c} ({mean[c]:.4f} +- {sd[c]:.4f})" for c in (chosen, other)]
        if chosen == leader:
            why = f"the leader, {sides[0]}, is less certain than its challenger, {sides[1]}"
        else:
            why = f"{sides[0]} is expected to improve by {gain[chosen]:.2g} on the leader, {sides[1]}"
        return self._evidence_for(chosen, why, float(mean[chosen]), float(mean[other]))

    def _candidates(self, belief: Posterior, leader: int) -> tuple[Mask, Floats, Floats]:
        """Which configs may be challengers, variances with the runs under way counted as done, and improvements.

        A config that is known by a stopped run alone, which goes on already, waits for what comes of it.
        """
        able, pending = np.zeros((2, len(belief.n)))
        for config, count in self._ledger.pending.items():
            pending[config] = count
        for config in map(int, np.flatnonzero(belief.known)):
            waits = pending[config] and not belief.n[config]
            able[config] = config != leader and not waits and self._may_repeat(config)
        assert belief.own_sd is not None
        variance = 1 / (1 / belief.variance + pending / belief.own_sd**2)
        return able.astype(bool), variance, improvements(belief, leader, variance=variance)

    def _furthest(self) -> Start | None:
        """Without any score: the stopped run that went furthest, the best of those."""
        if self._under_way():
            return None
        able = [run for run in self._ledger.open if run.best_epoch and self._may_repeat(run.config)]
        if not able:
            return None
        run = max(able, key=lambda run: (run.epochs, run.best))
        return self._evidence_for(
            run.config, f"no run has a score yet; config {run.config} came furthest", run.best
        )

    def _evidence_for(self, config: int, why: str, statistic: float, threshold: float | None = None) -> Start:
        """The rest of its own stopped run, otherwise a fresh replicate."""
        stopped, n = self._stopped(config), self._ledger.finished.get(config, 0)
        if stopped is None:
            replicate = self._ledger.used[config]
            what = f"replicate {replicate} is next after {n} finished"
        else:
            replicate = stopped.replicate
            what = f"its replicate {replicate}, stopped after {stopped.epochs} epochs, goes on to its end"
        return Start(config, replicate, f"{why}: {what}", ALLOCATE, statistic, threshold, n)

    def _stopped(self, config: int) -> Run | None:
        runs = (run for run in self._ledger.stopped.get(config, ()) if not run.pending)
        return min(runs, key=lambda run: run.replicate, default=None)

    def _may_repeat(self, config: int) -> bool:
        """Whether it may have a further run: seeds are left, and it does not fail more often than it ends."""
        ledger, cap = self._ledger, self._options.seeds or FIRST_FRESH
        if ledger.failures.get(config, 0) > ledger.finished.get(config, 0) + (config in ledger.stopped):
            return False
        return ledger.used[config] < min(cap, FIRST_FRESH) or self._stopped(config) is not None

    # ---- the end ------------------------------------------------------------------------------------------------

    def _rule(self, history: History) -> str | None:
        """The rule that ends the search although there is more to run, as a sentence; None while none does."""
        if not self._looks_on(history) and not self._under_way(SCREEN):
            regret, least = self._expected_regret(history), self._options.stop_regret
            if regret < least:
                return f"expected regret {regret:.2g} is below {least:g}"
        if not self._affordable(history):
            spent = self._ledger.spent(history)
            return f"the budget of {self._budget} epochs is spent ({spent} used){self._shortfall(history)}"
        return None

    def _shortfall(self, history: History) -> str:
        """How far the search is from the regret that was asked for, as a clause; empty when it is there."""
        belief, least = self._posterior(history), self._options.stop_regret
        if not least or belief.choice is None or self._expected_regret(history) < least:
            return ""
        rng = np.random.default_rng(self._options.seed)
        regret = expected_regret(belief, belief.choice, rng=rng, draws=_DRAWS)
        return f"; expected regret is still {regret:.2g}, {least:g} was asked for"

    def _nothing_left(self) -> str:
        if not self._ledger.finished:
            return "no config has a run that ended with a score, and none may have another one"
        seeds = self._options.seeds
        most = "all seeds that there are" if seeds is None else f"all of its {seeds} seeds"
        return f"no config may be run again: each has {most}, or fails more often than it ends"

    def _expected_regret(self, history: History) -> float:
        """Of the choice; infinite without one, and where a few draws show that it is far from ending the search.

        Without any draw, the largest single improvement bounds it from below.
        """
        belief = self._posterior(history)
        choice = belief.choice
        if choice is None or not self._options.stop_regret:
            return math.inf
        if self._regret[0] != self._ledger.version:
            regret = float(np.nanmax(improvements(belief, choice, variance=belief.variance)))
            if regret < (least := self._options.stop_regret):
                seed = self._options.seed
                if surely_behind(belief, choice, least=least, rng=np.random.default_rng(seed)):
                    regret = math.inf
                else:
                    regret = expected_regret(belief, choice, rng=np.random.default_rng(seed), draws=_DRAWS)
            self._regret = (self._ledger.version, regret)
        return self._regret[1]

    def _confirm(self, history: History, why: str) -> Move:
        """Fresh replicates for the choice and its closest rival, pair by pair; then the end."""
        belief = self._posterior(history)
        choice = belief.choice
        if choice is None:
            return Finish(f"{why}; no run has a score")
        mean, rival = float(belief.mean[choice]), _rival(belief, choice)
        for index in range(FIRST_FRESH, FIRST_FRESH + self._options.confirm):
            for config, role in ((choice, "the choice"), (rival, "its closest rival")):
                if config is not None and history.run(config, index) is None:
                    own = float(belief.mean[config])
                    reason = f"{why}; config {config}, {role} ({own:.4f}), is confirmed on fresh seeds"
                    return Start(config, index, reason, CONFIRM, own, mean, int(belief.n[config]))
        if any(run.pending for run in self._ledger.fresh):
            return WAIT
        reused = sum(run.config == choice for run in self._ledger.fresh[: self._ledger.fresh_before])
        if reused:
            are = "is" if reused == 1 else "are"
            why += f"; {reused} of the runs that confirm the choice {are} from before the sweep was extended"
        return Finish(why, choice, mean, None if rival is None else float(belief.mean[rival]))


def _rival(belief: Posterior, choice: int) -> int | None:
    """The config with a finished run that is most likely to be better than the choice; None without one."""
    others = (belief.n > 0) & (np.arange(len(belief.n)) != choice)
    if not others.any():
        return None
    spread = np.sqrt(belief.variance + belief.variance[choice])
    return int(np.where(others, (belief.mean - belief.mean[choice]) / spread, -np.inf).argmax())
