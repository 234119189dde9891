"""What is known of the trials while a sweep runs: each with its spec, and all as the policy sees them.

Values only: no file, no Ray, no decision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from results import RunStatus
from search_spaces import Config
from tune.faults import Fault
from tune.proposals import Proposals
from tune.schedulers import Action, History, Run
from tune.sweep import Sweep
from tune.trial import TrialSpec


@dataclass
class RunState:
    """One trial, from its start to its end.

    Args:
        spec: the trial, in its latest stage.
        run: the same in numbers, as the history has it.
        seconds: training time so far.
        share: the share of a GPU that it holds or gets next; 0 = none.
        faults: that took it since its last new epoch.
        reason: why it ended, if it said so itself.
    """

    spec: TrialSpec
    run: Run
    seconds: float = 0.0
    share: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    reason: str = ""

    @property
    def status(self) -> RunStatus | None:
        """How it ended; None while it has not (under way, paused, interrupted or being brought to its end)."""
        return self.run.status

    @property
    def epochs(self) -> int:
        """Epochs recorded."""
        return self.run.epochs

    @property
    def best(self) -> tuple[int, float] | None:
        """Epoch (from 1) and value of the best epoch so far; the earliest of equals; None without a value."""
        return (self.run.best_epoch, self.run.best) if self.run.best_epoch else None


class SweepRuns:
    """All trials of a sweep and its history: the same steps for what happens now and for what is replayed.

    Args:
        sweep: what was declared.
        proposals: its configs.
        share_of: the share of a GPU that a trial of a config begins with.

    Attributes:
        by_key: every trial that was ever started, by its key, in the order of the first start.
        history: the same, as the policy sees it.
    """

    def __init__(self, sweep: Sweep, proposals: Proposals, *, share_of: Callable[[Config], float]) -> None:
        self._sweep, self._proposals, self._share_of = sweep, proposals, share_of
        self.by_key: dict[str, RunState] = {}
        self.history = History()
        self._grown: dict[int, float] = {}

    def spec(self, config: int, replicate: int, stage: str) -> TrialSpec:
        """The trial of a config on a replicate."""
        return TrialSpec(self._proposals.configs[config], self._sweep.replicate(replicate), stage)

    def of(self, run: Run) -> RunState:
        """The trial that a run of the history is."""
        return self.by_key[self.spec(run.config, run.replicate, run.stage).trial_key]

    def open(self, config: int, replicate: int, stage: str) -> tuple[RunState, Action]:
        """Begin the run of a config on a replicate, or go on with it."""
        spec = self.spec(config, replicate, stage)
        state = self.by_key.get(spec.trial_key)
        grown = self._grown.get(config, 0.0)
        if state is not None:
            self.history.reopen(state.run, stage)
            state.spec, state.share = spec, max(state.share, grown)
            return state, Action.RESUME
        while self.history.configs <= config:
            self.history.add_config()
        # At once, and not when the policy asks for one more: a replay, which does not ask, must come to the same.
        self.history.exhausted |= self.history.configs >= self._sweep.configs
        run = self.history.start(Run(config, replicate, stage))
        state = RunState(spec, run, share=max(self._share_of(spec.config), grown))
        self.by_key[spec.trial_key] = state
        return state, Action.START

    def grow(self, state: RunState, share: float | None) -> None:
        """A trial gets a larger share of a GPU from now on, and so do trials of its config that begin later.

        Args:
            state: the trial.
            share: None = as before.
        """
        if share is not None:
            state.share = share
            self._grown[state.run.config] = max(share, self._grown.get(state.run.config, 0.0))

    def begin_again(self) -> None:
        """The sweep was extended."""
        self.history.begin_again()
        self.history.exhausted = self.history.configs >= self._sweep.configs

    def report(self, state: RunState, metrics: Mapping[str, Any]) -> None:
        """One more epoch of a run; a metric that it did not measure is NaN, never a number."""
        value = metrics.get(self._sweep.metric)
        self.history.report(state.run, math.nan if value is None else float(value))
        state.faults.clear()
        state.seconds += float(metrics.get("epoch_seconds") or 0.0)
