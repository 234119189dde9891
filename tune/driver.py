"""Runs a sweep on a Ray runtime: hands the trials to Ray Tune, and ends cleanly. Decides nothing.

Ray does processes and resources; it restarts nothing, see `tune.faults`. It does not hold the sweep's state: its
loggers are off, its experiment snapshot is written to a folder that is thrown away, and `Tuner.restore` is never used
(it forgets the scheduler's rungs and loses rows).
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tune.errors import PolicyError
from tune.execution import Execution
from tune.faults import Cause, Fault
from tune.progress import Progress, shown
from tune.signals import graceful_signals
from tune.slots import Seats
from tune.workplace import Workplace

if TYPE_CHECKING:
    from ray import tune as ray_tune

    from tune.loggers import LoggedSweep
    from tune.ray_adapter import Desk

_LOG = logging.getLogger(__name__)
#: Trials at a time, where seats say whether one more fits: more than any cluster has room for.
MOST_TRIALS = 10_000
#: Characters of an error of Ray's that are passed on; it may bring a page of advice.
LONGEST = 300


def run_on_ray(
    execution: Execution,
    workplace: Workplace,
    *,
    slots: int,
    console: Console,
    log: LoggedSweep,
    seats: Seats | None = None,
) -> bool:
    """Run what is missing on the Ray runtime that `ray_runtime` has started or joined.

    Args:
        execution: the sweep being executed.
        workplace: its paths.
        slots: trials at a time.
        console: where progress is shown.
        log: the tools that are told as well, if any.
        seats: where trials fit, on nodes that come and go; None = `slots` of them fit, whatever their shares.

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
                desk = Desk(execution, workplace, on_step=on_step, say=say, seats=seats)
                loggers = make_loggers(log, desk)
                try:
                    while (error := _run_loop(desk, loggers, slots=slots, storage=storage)) is not None:
                        told = _told(error)
                        console.print(f"warning: Ray gave up: {told}", style="yellow", markup=False)
                        if not _take_back(desk, error, told=told):
                            break
                finally:
                    for logger in loggers:
                        logger.close()
        except KeyboardInterrupt:
            pass
    complete = execution.complete
    execution.interrupt()
    return complete


def _run_loop(
    desk: Desk, loggers: Sequence[ray_tune.Callback], *, slots: int, storage: Path
) -> Exception | None:
    """Ray Tune's loop until its end; what broke it off, if something did.

    It raises for whatever it does not expect of one trial, such as a process that a node has ended for want of memory.

    Raises:
        PolicyError: the policy broke its contract; what else it raised while it judged is raised as it is.
    """
    from ray.exceptions import RayError
    from ray.tune import TuneError

    try:
        _fit(desk, loggers, slots=slots, storage=storage)
    except PolicyError:
        raise  # a fault of the program, which a resume would meet again; it must not pass for an interruption
    except (RuntimeError, OSError, RayError, TuneError) as error:  # none of the last two is a RuntimeError
        if desk.broken is not None:
            raise desk.broken from None
        if desk.execution.complete:  # all that Ray does after its last trial is for files that we throw away
            _LOG.debug("Ray broke off at its end", exc_info=error)
            return None
        return error
    return None


def _told(error: Exception) -> str:
    """In one line. Of what was raised while it handled a result, Ray keeps the traceback alone, as a text."""
    text = str(error).strip()
    if text.startswith("Traceback (most recent call last)"):
        text = text.splitlines()[-1]
    return " ".join(f"{type(error).__name__}: {text}".split())[:LONGEST]


def _take_back(desk: Desk, error: Exception, *, told: str) -> bool:
    """Ray's loop broke off, as is told in one line, and took all running trials with it.

    One of them gets on, or uses up its retries, so that this comes to an end: all of them, or, where a node ran out of
    memory, the one that held most of it, as the others would pay for it otherwise.

    Returns:
        Whether there is something to go on with in another loop.
    """
    from tune.ray_faults import shortage_in

    execution, shortage = desk.execution, shortage_in(str(error))
    hungry = None if shortage is None else desk.in_actor(shortage.actor)
    desk.everyone_left()
    taken = [execution.runs[key].spec for key in sorted(execution.running)]
    for spec in taken:
        if shortage is None or hungry not in taken:
            fault = Fault(Cause.RUNTIME, told)
        elif spec == hungry:
            held = f"held {shortage.gigabytes:g} GB, the most of all that Ray counted"
            fault = Fault(Cause.HOST_MEMORY, f"its process {held}: {shortage.told}", str(error))
        else:
            why = f"Ray's loop broke off because of the memory of {hungry.trial_key}"
            fault = Fault(Cause.NEIGHBOUR, f"{why}: {shortage.told}")
        execution.on_fault(spec, fault)
    return bool(taken)


@cache  # trials with equal shares have one object, because Ray is slow to find out that two are equal
def request_of(cpus: float, gpus: float) -> ray_tune.PlacementGroupFactory:
    """What Ray is asked for one trial. Not within `_fit`: Ray pickles what asks it, and a local cache cannot be."""
    from ray import tune as ray_tune

    return ray_tune.PlacementGroupFactory([{"CPU": cpus, "GPU": gpus}])


def _fit(desk: Desk, loggers: Sequence[ray_tune.Callback], *, slots: int, storage: Path) -> None:
    from ray import tune as ray_tune

    from tune.ray_adapter import SpecScheduler, SpecSearcher, StepCallback
    from tune.ray_trial import LandslideTrial

    cpus = desk.workplace.sweep.cpus_per_trial

    def resources(config: dict[str, Any]) -> ray_tune.PlacementGroupFactory:
        return request_of(cpus, config["gpu_share"])

    tuner = ray_tune.Tuner(
        ray_tune.with_resources(LandslideTrial, resources),
        tune_config=ray_tune.TuneConfig(
            search_alg=SpecSearcher(desk),
            scheduler=SpecScheduler(desk),
            num_samples=-1,
            max_concurrent_trials=slots if desk.seats is None else MOST_TRIALS,
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
