"""Ray's Weights & Biases logger: one project per sweep title, one group per config, one run per trial."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, ClassVar

import ray
from ray.air.integrations.wandb import WandbLoggerCallback

from tune.loggers.logged import LoggedSweep, LoggedTrial

#: seconds that the end of a sweep waits for uploads.
UPLOAD_TIMEOUT = 300


class WandbRuns(WandbLoggerCallback):  # type: ignore[misc]
    """Runs that a resume continues; files lie in RUN_DIR/wandb; WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE are respected.

    Ray logs each run from a process of its own, which takes seconds to start and no CPU slot.
    """

    #: of a result, these go to the run's config.
    AUTO_CONFIG_KEYS: ClassVar[list[str]] = ["status", "reason"]

    def __init__(self, sweep: LoggedSweep) -> None:
        named = os.environ.get("WANDB_PROJECT") or os.environ.get("WANDB_PROJECT_NAME") or sweep.title
        super().__init__(
            project=re.sub(r"[/\\#?%:]", "-", named)[:128],  # what a project's name may not hold
            upload_timeout=UPLOAD_TIMEOUT,
            dir=str(sweep.run_dir),
            entity=os.environ.get("WANDB_ENTITY"),
            mode=os.environ.get("WANDB_MODE"),  # a worker on a running cluster has not our environment
            resume="allow",
        )
        self._run_dir = sweep.run_dir

    def folder(self, trial_key: str) -> Path:
        """Where the logging process works."""
        return self._run_dir

    def log_trial_start(self, trial: LoggedTrial) -> None:
        """Start the run, or continue it under its id."""
        if trial in self._trial_logging_futures:
            self._wait_for_upload(trial)
        self.kwargs["tags"] = [f"sweep-{trial.tags['sweep_id']}", f"replicate-{trial.tags['replicate']}"]
        super().log_trial_start(trial)

    def log_trial_end(self, trial: LoggedTrial, failed: bool = False) -> None:
        """Say how the run ended, and let its process finish."""
        ended = {"status": trial.status, "reason": trial.reason, "training_iteration": trial.epoch}
        self.log_trial_result(trial.epoch, trial, ended)
        super().log_trial_end(trial, failed)

    def _start_logging_actor(self, trial: LoggedTrial, exclude_results: list[str], **init: Any) -> None:
        """The seeds and ids go to the run's config, by which runs can be filtered and grouped."""
        init["config"] = {**init["config"], **trial.tags}
        super()._start_logging_actor(trial, exclude_results, **init)

    def _wait_for_upload(self, trial: LoggedTrial) -> None:
        """What the run logged before it was stopped or paused. Ray's own clean-up waits for the other runs as well.

        They have not ended: that would hold up the sweep until the timeout, and end their logging.
        """
        future = self._trial_logging_futures[trial]
        ray.wait([future], timeout=self._upload_timeout)
        self._logging_future_to_trial.pop(future)
        self._cleanup_logging_actor(trial)

    def _cleanup_logging_actor(self, trial: LoggedTrial) -> None:
        """Raise what the logging process died of, which Ray's logger would pass over in silence."""
        future = self._trial_logging_futures[trial]
        super()._cleanup_logging_actor(trial)
        ray.get(future)
