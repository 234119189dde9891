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
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tune.errors import PolicyError, SweepError
from tune.execution import Execution
from tune.progress import Progress, shown
from tune.sweep import Sweep
from tune.workplace import Workplace

if TYPE_CHECKING:
    from ray import tune as ray_tune

    from tune.loggers import LoggedSweep
    from tune.ray_adapter import Desk

#: Ray's own settings, fixed before Ray is imported; each saves time, files or noise.
_RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard of every trial: ours is the store
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # one result without the metric must not end a sweep
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # snapshots that nobody reads
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # start all slots together, not one after the other
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a user's relative paths keep their meaning
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_AIR_NEW_OUTPUT": "0",  # we have our own display
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default: leave CUDA_VISIBLE_DEVICES alone without GPUs
}
#: A worker's environment: weights were fetched before the first trial, so that no trial waits for a network.
_WORKER_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
#: Ray Tune's own loggers that print a traceback per lost process, or a line per trial.
_QUIET = (
    "ray.tune.analysis.experiment_analysis",
    "ray.tune.execution.tune_controller",
    "ray.tune.experiment.trial",
)


def run_on_ray(
    execution: Execution, workplace: Workplace, *, slots: int, console: Console, log: LoggedSweep
) -> bool:
    """Run what is missing on the Ray runtime that `ray_runtime` has started or joined.

    Args:
        execution: the sweep being executed.
        workplace: its paths.
        slots: trials at a time.
        console: where progress is shown.
        log: the tools that are told as well, if any.

    Returns:
        True when the sweep is complete, False when it was interrupted or Ray gave up; nothing recorded is lost.

    Raises:
        PolicyError: the policy broke its contract.
    """
    from tune.loggers import make_loggers
    from tune.ray_adapter import Desk

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    with graceful_signals(), _scratch() as storage:
        try:
            with shown(Progress(execution, slots=slots), console) as on_step:
                desk = Desk(execution, workplace, on_step=on_step, say=say)
                loggers = make_loggers(log, desk)
                try:
                    _fit(desk, loggers, slots=slots, storage=storage)
                finally:
                    for logger in loggers:
                        logger.close()
        except KeyboardInterrupt:
            pass
        except PolicyError:
            raise  # a fault of the program, which a resume would meet again; it must not pass for an interruption
        except RuntimeError as error:  # ray.tune.TuneError and Ray's own errors are all of these
            console.print(
                f"warning: Ray gave up: {type(error).__name__}: {error}", style="yellow", markup=False
            )
    complete = execution.complete
    execution.interrupt()
    return complete


@contextmanager
def ray_runtime(sweep: Sweep, address: str | None) -> Iterator[int]:
    """A Ray runtime for the sweep; yields how many trials it can run at a time.

    Args:
        sweep: what a trial asks for.
        address: None for a runtime of our own on this machine, else `auto` or host:port of a running one, whose nodes
            must see the run directory and the packed dataset under the same paths.

    Raises:
        SweepError: no runtime can be reached, or none of its nodes can hold a trial.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _RAY_ENVIRONMENT.items()})
    import ray

    for name in _QUIET:  # what they tell of a trial, our rows and lines tell as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "include_dashboard": False}
    runtime_env = {"env_vars": {**_WORKER_ENVIRONMENT, "OMP_NUM_THREADS": str(sweep.threads)}}
    try:
        ray.init(**options, runtime_env=runtime_env, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SweepError(f"address: no Ray runtime at {address or 'this machine'}: {error}") from error
    try:
        yield _slots(sweep, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    finally:
        ray.shutdown()


def _slots(sweep: Sweep, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many trials fit at a time; a trial runs on one node, and its share of a GPU is of one GPU."""
    slots = sum(_slots_on(sweep, node) for node in nodes)
    if slots < 1:
        have = "; ".join(f"{n.get('CPU', 0):g} CPUs and {n.get('GPU', 0):g} GPUs" for n in nodes) or "no node"
        raise SweepError(
            f"a trial asks for {sweep.cpus_per_trial:g} CPUs and {sweep.gpus_per_trial:g} GPUs on one node, the Ray "
            f"runtime has {have}: lower --cpus-per-trial or --gpus-per-trial"
        )
    return min(slots, sweep.max_concurrent or slots)


def _slots_on(sweep: Sweep, node: Mapping[str, float]) -> int:
    cpus, gpus, share = node.get("CPU", 0.0), node.get("GPU", 0.0), sweep.gpus_per_trial
    by_cpu = int(cpus / sweep.cpus_per_trial + 1e-9)
    if share == 0:
        return by_cpu
    by_gpu = int(gpus) * int(1 / share + 1e-9) if share < 1 else int(gpus / share)
    return min(by_cpu, by_gpu)


def _fit(desk: Desk, loggers: Sequence[ray_tune.Callback], *, slots: int, storage: Path) -> None:
    from ray import tune as ray_tune

    from tune.ray_adapter import SpecScheduler, SpecSearcher, StepCallback
    from tune.ray_trial import LandslideTrial

    sweep = desk.workplace.sweep
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
            callbacks=[StepCallback(desk), *loggers],  # a logger asks how a trial ended: ours first
            verbose=0,
            failure_config=ray_tune.FailureConfig(max_failures=0),  # `tune.faults` says what is run again
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


@contextmanager
def graceful_signals() -> Iterator[None]:
    """SIGTERM (Kubernetes, Slurm, spot notice) ends the sweep as Ctrl-C does: everything is kept.

    Ray Tune ends gracefully on SIGUSR1 while it runs, and installs handlers that it never takes away; before and after
    that, both signals are a KeyboardInterrupt. The caller's handlers are put back. POSIX, main thread; elsewhere only
    Ctrl-C works.
    """
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in ours}
    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
