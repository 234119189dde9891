"""What is known of one trial while a sweep runs. Values only: no file, no Ray, no decision."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from results import RunStatus
from tune.finalists import ScreenedRun
from tune.trial import TrialSpec

SCREEN, ALLOCATE = "screen", "allocate"


@dataclass
class RunState:
    """One trial, from its first epoch to its end.

    Args:
        spec: the trial, in its latest stage.
        values: the metric after each epoch, from 1 on; NaN where it is not defined.
        status: how it ended; None while it has not (waiting, running, interrupted or being completed).
        screen_status: how the screening ended for it; None while it has not.
        screen_epochs: epochs done at that moment.
        seconds: training time so far.
    """

    spec: TrialSpec
    values: list[float] = field(default_factory=list)
    status: RunStatus | None = None
    screen_status: RunStatus | None = None
    screen_epochs: int = 0
    seconds: float = 0.0

    @property
    def best(self) -> tuple[int, float] | None:
        """Epoch (from 1) and value of the best epoch so far; the earliest of equals; None without a value."""
        defined = [
            (value, -epoch) for epoch, value in enumerate(self.values, start=1) if not math.isnan(value)
        ]
        if not defined:
            return None
        value, epoch = max(defined)
        return -epoch, value

    def settle(self, status: RunStatus) -> None:
        """The run ended in its present stage."""
        self.status = status
        if self.spec.stage == SCREEN:
            self.screen_status, self.screen_epochs = status, len(self.values)

    def reopen(self, spec: TrialSpec) -> None:
        """The run goes on in another stage, or again after an interruption."""
        if self.screen_status is None and spec.stage != SCREEN:
            self.settle(RunStatus.STOPPED)
        self.spec, self.status = spec, None

    def screened(self) -> ScreenedRun:
        """What the screening saw of it, and nothing later."""
        finished, stopped = (
            self.screen_status is status for status in (RunStatus.FINISHED, RunStatus.STOPPED)
        )
        values = tuple(self.values[: self.screen_epochs])
        return ScreenedRun(self.spec.config.config_id, finished, values, failed=not finished and not stopped)
