"""Ray's TensorBoard logger with plain names: RUN_DIR/tensorboard/TRIAL_KEY, one folder per run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune.logger import TBXLoggerCallback
from tensorboardX import SummaryWriter

from tune.loggers.logged import LoggedSweep, LoggedTrial

_PREFIX = "ray/tune/"  # what Ray puts before every name


class PlainNames(SummaryWriter):  # type: ignore[misc]
    """A writer that takes Ray's prefix off again."""

    def add_scalar(self, tag: str, *values: Any, **options: Any) -> None:
        """One value of a curve."""
        super().add_scalar(tag.removeprefix(_PREFIX), *values, **options)


class TensorboardFiles(TBXLoggerCallback):  # type: ignore[misc]
    """Curves by epoch, and a table of hyperparameters. After a resume a run gets a second file in its folder."""

    def __init__(self, sweep: LoggedSweep) -> None:
        super().__init__()
        self._summary_writer_cls = PlainNames
        self._root = sweep.run_dir / "tensorboard"

    def folder(self, trial_key: str) -> Path:
        """Where the run's files go."""
        return self._root / trial_key

    def log_trial_end(self, trial: LoggedTrial, failed: bool = False) -> None:
        """Write how the run ended, and its hyperparameters."""
        if trial in self._trial_writer:
            told = f"{trial.status}: {trial.reason}" if trial.reason else trial.status
            self._trial_writer[trial].add_text("how it ended", told, trial.epoch)
        super().log_trial_end(trial, failed)

    def _try_log_hparams(self, trial: LoggedTrial, result: dict[str, Any]) -> None:
        plain = {name.removeprefix(_PREFIX): value for name, value in result.items()}
        super()._try_log_hparams(trial, plain)
