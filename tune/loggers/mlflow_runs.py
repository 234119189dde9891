"""Ray's MLflow logger: one experiment per sweep title, one run per trial, in RUN_DIR/mlflow.db or on a server.

A database file, since MLflow has closed its folders of files (`mlruns`) to new writers.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at its import: nothing is sent unasked

from mlflow import MlflowClient
from mlflow.entities import Metric
from ray.air.integrations.mlflow import MLflowLoggerCallback

from tune.loggers.logged import LoggedSweep, LoggedTrial


class MlflowRuns(MLflowLoggerCallback):  # type: ignore[misc]
    """Runs that a resume continues; MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME are respected.

    A run that was stopped, paused or interrupted has the status KILLED; the tag `status` says which.
    """

    def __init__(self, sweep: LoggedSweep) -> None:
        server = os.environ.get("MLFLOW_TRACKING_URI")
        super().__init__(
            tracking_uri=server or f"sqlite:///{(sweep.run_dir / 'mlflow.db').as_posix()}",
            experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME") or sweep.title,
        )
        self._sweep = sweep
        self._artifacts = None if server else (sweep.run_dir / "mlflow-artifacts").as_uri()
        for noisy in ("mlflow", "alembic"):  # a line per table that they make
            logging.getLogger(noisy).setLevel(logging.WARNING)

    def folder(self, trial_key: str) -> Path:
        """Not used by this logger."""
        return self._sweep.run_dir

    def setup(self, *args: Any, **info: Any) -> None:
        """Find or make the experiment; a new one in our own file keeps its artifacts beside it."""
        self.mlflow_util.setup_mlflow(
            tracking_uri=self.tracking_uri,
            experiment_name=self.experiment_name,
            artifact_location=self._artifacts,
        )
        super().setup()
        self._client = MlflowClient(tracking_uri=self.tracking_uri)

    def log_trial_start(self, trial: LoggedTrial) -> None:
        """Start the run, or continue the one that this sweep has begun before."""
        run_id = self._trial_runs.get(trial) or self._begun_before(trial)
        if run_id:
            self._trial_runs[trial] = run_id
            self._client.update_run(run_id, status="RUNNING")
        self.tags = trial.tags
        super().log_trial_start(trial)

    def log_trial_result(self, iteration: int, trial: LoggedTrial, result: dict[str, Any]) -> None:
        """Log an epoch in one request; Ray's logger sends two per metric, and the driver waits for each."""
        now, step = int(time.time() * 1000), result["training_iteration"]
        metrics = [
            Metric(name, value, now, step) for name, value in result.items() if name != "training_iteration"
        ]
        self._client.log_batch(self._trial_runs[trial], metrics=metrics)

    def log_trial_end(self, trial: LoggedTrial, failed: bool = False) -> None:
        """End the run and say how in its tags."""
        run_id = self._trial_runs[trial]
        self._client.set_tag(run_id, "status", trial.status)
        self._client.set_tag(run_id, "reason", trial.reason)
        super().log_trial_end(trial, failed)
        if trial.status in ("stopped", "interrupted", "paused"):
            self._client.set_terminated(run_id, "KILLED")

    def _begun_before(self, trial: LoggedTrial) -> str | None:
        wanted = " and ".join(f"tags.{name} = '{trial.tags[name]}'" for name in ("tracking_id", "trial_key"))
        found = self._client.search_runs([self.mlflow_util.experiment_id], wanted, max_results=1)
        return str(found[0].info.run_id) if found else None
