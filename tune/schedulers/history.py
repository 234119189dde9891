"""What a policy may look at: the runs of a sweep as they happened, in numbers. Knows neither Ray nor files.

Configs are numbers from 0 in the order in which the searcher proposed them, replicates are numbers from 0, and higher
values are better: the direction of the metric was settled by the sweep. The same object is kept by a live sweep, by a
resumed one and by the replay of recorded or simulated curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from results import RunStatus
from results.records import ALLOCATE as ALLOCATE
from results.records import AUDIT as AUDIT
from results.records import CONFIRM as CONFIRM
from results.records import FAILURES
from results.records import SCREEN as SCREEN


@dataclass(slots=True)
class Run:
    """One run: a config on a replicate, from its start to its end.

    Args:
        config: number of the config.
        replicate: number of the seeds; the same number means the same seeds for every config.
        stage: why it is run now; a run that is brought to its end later changes its stage.
        values: the metric after each epoch, from epoch 1 on, higher is better; NaN where it is not defined.
        best: the best defined value so far; -inf without one.
        best_epoch: its epoch, the earliest of equals; 0 without one.
        status: how it ended; None while it has not.
        paused: it waits, without a slot, for the policy to resume it.
        screen_epochs: epochs done when its screening ended, or when it was last given more of them; None while it is
            screened for the first time.
    """

    config: int
    replicate: int
    stage: str = SCREEN
    values: list[float] = field(default_factory=list)
    best: float = -math.inf
    best_epoch: int = 0
    status: RunStatus | None = None
    paused: bool = False
    screen_epochs: int | None = None

    @property
    def epochs(self) -> int:
        """Epochs reported."""
        return len(self.values)

    @property
    def pending(self) -> bool:
        """It has been started, has not ended and is not paused: its outcome is on its way."""
        return self.status is None and not self.paused

    @property
    def score(self) -> float | None:
        """Its best value, if it ended by itself; None otherwise: a stopped or failed run has no score."""
        return self.best if self.status is RunStatus.FINISHED and self.best_epoch else None

    @property
    def failed(self) -> bool:
        """It ended without a score through no choice of the policy: an error, divergence, memory, never a value."""
        return self.status in FAILURES or (self.status is RunStatus.FINISHED and not self.best_epoch)

    def best_at(self, epoch: int) -> float:
        """The best defined value of its first `epoch` epochs; -inf without one."""
        if self.best_epoch and self.best_epoch <= epoch:
            return self.best
        return max((value for value in self.values[:epoch] if not math.isnan(value)), default=-math.inf)


class History:
    """The runs so far. A policy reads it; only who runs the trials writes it.

    Attributes:
        runs: in the order of their first start.
        configs: configs proposed so far; their numbers are 0 to ``configs - 1``.
        exhausted: the searcher has no further config to propose.
        epochs: epochs reported by all runs together.
        finished: runs that ended by themselves.
        finished_epochs: their epochs together.
        stages: the stages that a run was started or resumed in so far; since the sweep was last extended, if it was.
        opened: runs in the order in which they were started or went on, each as often as it was.
        ended: the same for their ends: what has happened since the last look, without a look at every run.
        first_run: so many of the runs had been started when the sweep was last extended; 0 = it never was.
        spent_before: so many epochs had the search reported by then, those that confirm not counted.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.configs = 0
        self.exhausted = False
        self.epochs = 0
        self.finished = 0
        self.finished_epochs = 0
        self.stages: set[str] = set()
        self.opened: list[Run] = []
        self.ended: list[Run] = []
        self.first_run = 0
        self.spent_before = 0
        self._pending: dict[tuple[int, int], Run] = {}
        self._by_key: dict[tuple[int, int], Run] = {}
        self._by_config: dict[int, list[Run]] = {}

    # ---- what a policy asks -------------------------------------------------------------------------------------

    def run(self, config: int, replicate: int) -> Run | None:
        """The run of that config on that replicate, if it was ever started."""
        return self._by_key.get((config, replicate))

    def of(self, config: int) -> list[Run]:
        """The runs of a config, in the order of their first start."""
        return self._by_config.get(config, [])

    def pending(self) -> Iterator[Run]:
        """The runs whose outcome is on its way, in the order in which they were last started or resumed."""
        return iter(self._pending.values())

    # ---- what who runs the trials tells -------------------------------------------------------------------------

    def add_config(self) -> int:
        """A config was proposed; returns its number."""
        self.configs += 1
        return self.configs - 1

    def start(self, run: Run) -> Run:
        """A run was started for the first time."""
        key = (run.config, run.replicate)
        assert key not in self._by_key, f"run {key} was started twice"
        self._by_key[key] = run
        self._by_config.setdefault(run.config, []).append(run)
        self.runs.append(run)
        self._set_pending(run)
        return run

    def reopen(self, run: Run, stage: str) -> None:
        """A paused or stopped run goes on, from its last epoch."""
        if run.screen_epochs is None and stage != SCREEN:
            run.screen_epochs = run.epochs
        run.stage, run.status, run.paused = stage, None, False
        self._set_pending(run)

    def begin_again(self) -> None:
        """The sweep was extended: what the search had closed is open again, and its searcher may have more."""
        self.stages.clear()
        self.exhausted = False
        self.first_run = len(self.runs)
        self.spent_before = sum(run.epochs for run in self.runs if run.stage != CONFIRM)

    def go_on(self, run: Run) -> None:
        """A run that had all its epochs before the sweep was extended gets more of them, in its own stage."""
        if run.status is RunStatus.FINISHED:
            self.finished -= 1
            self.finished_epochs -= run.epochs
        run.screen_epochs = run.epochs  # until it has ended, this is what is known of it
        run.status, run.paused = None, False
        self.opened.append(run)
        self._pending.pop((run.config, run.replicate), None)
        self._pending[run.config, run.replicate] = run

    def report(self, run: Run, value: float) -> None:
        """A run reported one more epoch; `value` is NaN where the metric is not defined."""
        run.values.append(value)
        self.epochs += 1
        if value > run.best:
            run.best, run.best_epoch = value, run.epochs

    def pause(self, run: Run) -> None:
        """A run gave back its slot and waits."""
        run.paused = True
        self._pending.pop((run.config, run.replicate), None)

    def end(self, run: Run, status: RunStatus) -> None:
        """A run ended."""
        run.status, run.paused = status, False
        self.ended.append(run)
        self._pending.pop((run.config, run.replicate), None)
        if status is RunStatus.FINISHED:
            self.finished += 1
            self.finished_epochs += run.epochs
        if run.stage == SCREEN:
            run.screen_epochs = run.epochs

    def _set_pending(self, run: Run) -> None:
        self.stages.add(run.stage)
        self.opened.append(run)
        if run.pending:
            self._pending[run.config, run.replicate] = run
