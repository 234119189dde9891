"""Runs a sweep on Ray: starts or joins a runtime, hands the trials to Ray Tune, ends cleanly. Decides nothing.

Ray does processes, resources and restarts of lost workers. It does not hold the sweep's state: its loggers are off,
its experiment snapshot is written to a folder that is thrown away, and `Tuner.restore` is never used (it forgets the
scheduler's rungs and loses rows).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from tune.errors import SweepError
from tune.execution import Execution
from tune.progress import Progress, shown
from tune.sweep import Sweep
from tune.workplace import Workplace

#: Ray's own settings, fixed before Ray is imported; each saves time, files or noise (see the package's README).
_RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard of every trial: ours is the store
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # one result without the metric must not end a sweep
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # snapshots that nobody reads
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # start all slots together, not one after the other
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a user's relative paths keep their meaning
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_AIR_NEW_OUTPUT": "0",  # we have our own display
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default: leave CUDA_VISIBLE_DEVICES alone without GPUs
}
#: A worker's environment: weights were fetched before the first trial, so that no trial waits for a network.
_WORKER_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
#: How often Ray may restart a trial whose process was lost; it goes on from its own last checkpoint.
MAX_PROCESS_LOSSES = 2


def run_on_ray(execution: Execution, workplace: Workplace, *, address: str | None, console: Console) -> bool:
    """Run what is missing on Ray.

    Args:
        execution: the sweep being executed.
        workplace: its paths.
        address: None for a runtime of our own on this machine, else `auto` or host:port of a running one.
        console: where progress is shown.

    Returns:
        True when the sweep is complete, False when it was interrupted; nothing recorded is lost either way.

    Raises:
        SweepError: no runtime can be reached, or it cannot hold a single trial.
    """
    with ray_runtime(workplace.sweep, address) as slots, _scratch() as storage:
        _forward_sigterm()
        try:
            with shown(Progress(execution, slots=slots), console) as on_step:
                _fit(execution, workplace, slots=slots, storage=storage, on_step=on_step)
        except KeyboardInterrupt:
            pass
    complete = execution.done
    execution.interrupt()
    return complete


@contextmanager
def ray_runtime(sweep: Sweep, address: str | None) -> Iterator[int]:
    """A Ray runtime for the sweep; yields how many trials it can run at a time."""
    os.environ.update({name: os.environ.get(name, value) for name, value in _RAY_ENVIRONMENT.items()})
    import ray

    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "include_dashboard": False}
    runtime_env = {"env_vars": {**_WORKER_ENVIRONMENT, "OMP_NUM_THREADS": str(sweep.threads)}}
    try:
        ray.init(**options, runtime_env=runtime_env, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SweepError(f"address: no Ray runtime at {address or 'this machine'}: {error}") from error
    try:
        yield _slots(sweep, ray.cluster_resources())
    finally:
        ray.shutdown()


def _slots(sweep: Sweep, resources: dict[str, float]) -> int:
    """How many trials fit at a time."""
    shares = [(resources.get("CPU", 0.0), sweep.cpus_per_trial)]
    if sweep.gpus_per_trial > 0:
        shares.append((resources.get("GPU", 0.0), sweep.gpus_per_trial))
    slots = int(min(have / want + 1e-9 for have, want in shares))
    if slots < 1:
        have = ", ".join(f"{resources.get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU"))
        raise SweepError(
            f"a trial asks for {sweep.cpus_per_trial:g} CPUs and {sweep.gpus_per_trial:g} GPUs, the Ray runtime has "
            f"{have}: lower --cpus-per-trial or --gpus-per-trial"
        )
    return min(slots, sweep.max_concurrent or slots)


def _fit(
    execution: Execution, workplace: Workplace, *, slots: int, storage: Path, on_step: Callable[[], None]
) -> None:
    from ray import tune as ray_tune

    from tune.ray_adapter import Desk, SpecScheduler, SpecSearcher, StepCallback
    from tune.ray_trial import LandslideTrial

    sweep, desk = workplace.sweep, Desk(execution, workplace, on_step)
    resources = {"cpu": sweep.cpus_per_trial, "gpu": sweep.gpus_per_trial}
    tuner = ray_tune.Tuner(
        ray_tune.with_resources(LandslideTrial, resources),
        tune_config=ray_tune.TuneConfig(
            search_alg=SpecSearcher(desk),
            scheduler=SpecScheduler(desk),
            num_samples=-1,
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=ray_tune.RunConfig(
            name="sweep",
            storage_path=str(storage),
            callbacks=[StepCallback(desk)],
            verbose=0,
            failure_config=ray_tune.FailureConfig(max_failures=MAX_PROCESS_LOSSES),
            checkpoint_config=ray_tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    tuner.fit()


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for Ray's own files, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="landslide-tune-ray-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _forward_sigterm() -> None:
    """Turn SIGTERM (Kubernetes, Slurm, spot) into the signal on which Ray Tune ends gracefully; POSIX only."""
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
