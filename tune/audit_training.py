"""Runs the drawn runs of an audit to their end: the sweep is declared again, its data found again, its policy replaced.

Each run goes on from its own last checkpoint, in the sweep's run directory, in a stage of its own. Draws nothing and
judges nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from landslide import PackedDataset
from results import ResultsStore, StoreError
from results.stopping_claims import StoppedRun
from results.storage.location import RunDir
from tune.allotment import allotted
from tune.audit_policy import AuditPolicy
from tune.errors import SweepError
from tune.execution import Execution
from tune.launch import Place, close_store, run_trials
from tune.loggers import logged_sweep
from tune.prepare import prepare
from tune.recorded_sweep import recorded_sweep
from tune.recorder import Recorder
from tune.signals import graceful_signals
from tune.sweep import Sweep
from tune.workplace import Workplace

Bar = Callable[[int, int], None]
_HERE = Place()


@dataclass(frozen=True)
class Training:
    """Where and how the runs are trained; what is not given is as in the sweep.

    Args:
        place: on Ray or in this process.
        data_dir: where the dataset is now.
        gpus_per_trial: another share of a GPU; what was trained on a CPU stays there.
        max_concurrent: at most so many runs at a time.
    """

    place: Place = _HERE
    data_dir: Path | None = None
    gpus_per_trial: float | str | None = None
    max_concurrent: int | None = None


@graceful_signals()
def bring_to_their_end(
    run_dir: RunDir,
    drawn: Sequence[StoppedRun],
    training: Training,
    *,
    reason: str,
    console: Console,
    packing: Bar | None,
) -> None:
    """Train the drawn runs on, as far as nothing interrupts it; what has not ended is gone on with another time.

    Args:
        run_dir: of the sweep.
        drawn: stopped runs with their checkpoints, in the order in which they are run.
        training: where and how.
        reason: why these, one sentence for their rows.
        console: where progress is shown.
        packing: told about the packing of the dataset.

    Raises:
        SweepError, StoreError, DatasetError: they cannot go on; before any training, with every problem.
    """
    stored = ResultsStore.read(run_dir).sweep
    sweep, place = _sweep_now(stored, training), training.place
    data = prepare(sweep, on_this_machine=place.in_process or place.address is None, progress=packing)
    _refuse_other_data(data, sweep, stored)
    with allotted(sweep, place, data=data, out=run_dir, console=console) as allotment:
        store = ResultsStore.open(run_dir)
        warn = partial(console.print, "warning:", style="yellow", markup=False, highlight=False)
        try:
            workplace = Workplace.of(sweep, data, run_dir, hang_seconds=place.hang_seconds)
            sweep_id, checkpoints = str(stored["sweep_id"]), workplace.checkpoints
            bring = workplace.bring_counts if workplace.url else None
            recorder = Recorder(store, sweep_id=sweep_id, checkpoints=checkpoints, warn=warn, bring=bring)
            policy = AuditPolicy(_numbered(drawn, store), reason=reason)
            execution = Execution(
                sweep,
                store,
                recorder=recorder,
                node=platform.node(),
                policy=policy,
                share_of=allotment.shares.of,
            )
            log = logged_sweep((), sweep, store)
            run_trials(execution, workplace, allotment=allotment, console=console, log=log)
            for trial_key, why in execution.lost.items():
                warn(f"{trial_key} has not ended, and the next audit goes on with it: {why}")
            recorder.settle()
        except StoreError as error:
            warn(str(error))
        finally:
            close_store(store, warn)


def _sweep_now(stored: Mapping[str, Any], training: Training) -> Sweep:
    """The sweep as it was run, with the changes that leave its numbers alone."""
    then = recorded_sweep(stored)
    names = ("data_dir", "gpus_per_trial", "max_concurrent")
    given = {name: getattr(training, name) for name in names if getattr(training, name) is not None}
    now = replace(then, **given)
    problems = now.problems()
    if now.device != then.device:
        problems.append(
            f"gpus_per_trial: the sweep was trained on {then.device}, its stopped runs cannot go on on {now.device}"
        )
    if problems:
        raise SweepError(problems, "the stopped runs cannot go on")
    return now


def _refuse_other_data(data: PackedDataset, sweep: Sweep, stored: Mapping[str, Any]) -> None:
    if data.data_id != stored["data_id"]:
        raise SweepError(
            f"data: {sweep.data_dir} holds other data than the sweep was run on (data id {data.data_id}, recorded "
            f"{stored['data_id']}); bring the old ones back, or say with --data where they are",
            "the stopped runs cannot go on",
        )


def _numbered(drawn: Sequence[StoppedRun], store: ResultsStore) -> list[tuple[int, int]]:
    """(number of the config, replicate): configs are numbered in the order in which they are recorded."""
    numbers = {config_id: i for i, config_id in enumerate(store.configs().column("config_id").to_pylist())}
    return [(numbers[run.config_id], run.replicate) for run in drawn]
