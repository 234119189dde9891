"""Runs a declared sweep from its checks to its report: `from tune import Sweep, run`.

The order of things lives here; what each step does lives in its own module.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from results import ReportPaths, ResultsStore, StoreError, Verdict, write_report
from results.storage.location import RunDir, RunUrl, locate
from results.storage.working_copy import publish
from tune.allotment import Allotment, allotted
from tune.errors import SweepError
from tune.execution import Execution
from tune.extension import extend
from tune.gpu_shares import note_shares
from tune.in_process import run_in_process
from tune.loggers import LoggedSweep, logged_sweep, tool_problems
from tune.prepare import prepare
from tune.progress import Progress, shown
from tune.recorder import Recorder
from tune.reopened import lost_epochs, reopen, told_lost
from tune.run_dir import check_other_place, check_run_dir, open_store
from tune.runtime import address_problems, server_problems, upload_problems
from tune.schedulers.history import AUDIT
from tune.signals import graceful_signals
from tune.sweep import Sweep
from tune.workplace import Workplace


@dataclass(frozen=True)
class Place:
    """Where trials run.

    Args:
        in_process: in this process, without Ray, one after the other.
        address: a running Ray runtime; None starts one here.
        log: tools that Ray's own loggers tell as well, names in `tune.loggers.TOOLS`; no part of the sweep.
        hang_minutes: a trial that finishes no batch for so long is ended and goes on in another process; 0 = never.
    """

    in_process: bool = False
    address: str | None = None
    log: tuple[str, ...] = ()
    hang_minutes: float = 30.0

    @property
    def hang_seconds(self) -> float | None:
        """The same for a worker; None in this process, which is the user's."""
        return 60.0 * self.hang_minutes if self.hang_minutes and not self.in_process else None

    def problems(self) -> list[str]:
        """Everything that is wrong with it, as far as it can be known before anything is started."""
        if not 0 <= self.hang_minutes < math.inf:
            return [f"hang_minutes is {self.hang_minutes}; allowed: 0 (never), or more"]
        if self.log and self.in_process:
            return ["log: the loggers are Ray's, and --in-process has no Ray; leave one of the two out"]
        address = None if self.in_process else self.address
        return [*address_problems(address), *tool_problems(self.log)]


@dataclass(frozen=True)
class Outcome:
    """How a sweep went.

    Args:
        place: the run directory as it was named: a folder, or a URL.
        run_dir: where everything lies on this machine.
        complete: the search has ended and every row is at its place; False after an interruption or a fault.
        ended: what ended the search, one sentence; None when it has not ended.
        verdict: what can be said about the configs.
        report: the written report.
    """

    place: Path | RunUrl
    run_dir: Path
    complete: bool
    ended: str | None
    verdict: Verdict
    report: ReportPaths


@graceful_signals()
def run(
    sweep: Sweep,
    out: RunDir,
    *,
    place: Place = Place(),
    resume: bool = False,
    console: Console | None = None,
    packing: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run a sweep, or what is missing of it.

    Args:
        sweep: what was declared.
        out: the run directory, new unless `resume`: a folder, or ``s3://bucket/prefix`` with a local copy.
        place: where trials run.
        resume: go on with the sweep in `out`; one that asks for more than the recorded one extends it.
        console: where progress is shown; stderr by default.
        packing: told about the packing of the dataset.

    Raises:
        SweepError, SpaceError, DatasetError, StoreError: bad input, before any training, with every problem.
        KeyboardInterrupt: Ctrl-C or SIGTERM before the first trial or after the last; in between they end the search.
    """
    out = locate(out)
    problems = [*sweep.problems(), *place.problems(), *upload_problems(out)]
    if problems := [*problems, *server_problems(out=out, data=sweep.data_dir)]:
        raise SweepError(problems)
    console = console or Console(stderr=True)
    found = check_run_dir(sweep, out, resume=resume)
    if found.ended is not None:
        check_other_place(sweep, out, progress=packing)
        return _as_it_is(out, found.ended, console)
    here = place.in_process or place.address is None
    data = prepare(sweep, on_this_machine=here, progress=packing, recorded=found.configs)
    with allotted(sweep, place, data=data, out=out, console=console, recorded=found.configs) as allotment:
        store = open_store(sweep, data, out, resume=resume)
        _say(console, f"run directory: {out} (go on with: landslide-tune sweep --resume --out {out})")
        if store.run_dir != out:
            console.print(
                f"local copy, with rows that have not been uploaded yet: {store.run_dir}",
                markup=False,
                highlight=False,
            )
        workplace = Workplace.of(sweep, data, out, hang_seconds=place.hang_seconds)
        complete = _execute(sweep, workplace, store, allotment=allotment, console=console, log=place.log)
    report = write_report(store.run_dir)
    complete &= _published(report, out, console)
    return Outcome(out, store.run_dir, complete, store.sweep.get("ended"), report.verdict, report)


def _as_it_is(out: Path | RunUrl, ended: str, console: Console) -> Outcome:
    """Nothing is missing: only what a crash after the end may have left undone is done, and the report written anew."""
    _say(console, f"nothing is missing: {ended}")
    store = ResultsStore.open(out)
    try:
        store.compact()
        complete = True
    except StoreError as error:
        _warn(console, str(error))
        complete = False
    complete &= close_store(store, partial(_warn, console))
    report = write_report(store.run_dir)
    complete &= _published(report, out, console)
    return Outcome(out, store.run_dir, complete, ended, report.verdict, report)


def _take_up(workplace: Workplace, store: ResultsStore, console: Console) -> None:
    """Put on record what the sweep is to do beyond what it set out to do, and say what that means."""
    sweep = workplace.sweep
    if (extension := extend(sweep, store)) is not None:
        _say(console, extension.sentence())
    if again := reopen(sweep, store):
        _say(console, f"{again} run(s) that had all their epochs go on to {sweep.max_epochs}")
    if lost := lost_epochs(store, workplace.url):
        _warn(console, told_lost(lost, workplace.checkpoints))


def _execute(
    sweep: Sweep,
    workplace: Workplace,
    store: ResultsStore,
    *,
    allotment: Allotment,
    console: Console,
    log: tuple[str, ...],
) -> bool:
    """Run the trials; what the disk or bucket does not take at the end is a warning, since everything else is done."""
    warn = partial(_warn, console)
    if AUDIT in store.decisions().column("policy").to_pylist():
        return close_store(store, warn)  # only a sweep that is over is audited: nothing is missing
    recorder = Recorder(
        store,
        sweep_id=str(store.sweep["sweep_id"]),
        checkpoints=workplace.checkpoints,
        warn=warn,
        bring=workplace.bring_counts if workplace.url else None,
    )
    try:
        _take_up(workplace, store, console)
        note_shares(allotment.shares, store)
        execution = Execution(
            sweep, store, recorder=recorder, node=platform.node(), share_of=allotment.shares.of
        )
        recorder.owe(execution.ended_runs())
        logged = logged_sweep(log, sweep, store)
        complete = run_trials(execution, workplace, allotment=allotment, console=console, log=logged)
        complete &= recorder.settle()
        for trial_key, why in execution.lost.items():
            warn(f"{trial_key} was not finished and will be run again by --resume: {why}")
        if complete:
            store.note({"planned_runs": execution.planned, "ended": execution.ended})
            store.compact()
    except StoreError as error:
        warn(str(error))
        complete = False
    finally:
        closed = close_store(store, warn)
    return complete and closed


def run_trials(
    execution: Execution, workplace: Workplace, *, allotment: Allotment, console: Console, log: LoggedSweep
) -> bool:
    """Run what is missing on the Ray runtime, or in this process; True when nothing is left."""
    if allotment.slots is None:
        with shown(Progress(execution, slots=1), console) as on_step:
            return run_in_process(execution, workplace, on_step=on_step)
    from tune.driver import run_on_ray

    slots, seats = allotment.slots, allotment.seats
    return run_on_ray(execution, workplace, slots=slots, seats=seats, console=console, log=log)


def close_store(store: ResultsStore, warn: Callable[[str], None]) -> bool:
    """Close a store; what the disk or bucket does not take is a warning and False."""
    try:
        store.close()
    except StoreError as error:
        warn(str(error))
        return False
    return True


def _published(report: ReportPaths, out: Path | RunUrl, console: Console) -> bool:
    """Bring the report to where the rows are."""
    try:
        publish(out, [report.html, report.markdown, report.verdict_json])
    except StoreError as error:
        _warn(console, f"{error}\nthe report is {report.html}")
        return False
    return True


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _warn(console: Console, text: str) -> None:
    console.print(f"warning: {text}", style="yellow", markup=False, highlight=False)
