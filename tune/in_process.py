"""Runs a sweep in this process, one trial after the other: the twin of the Ray driver, and a debugger's friend."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from landslide import LandslideError
from tune.execution import Execution
from tune.faults import Cause, Fault
from tune.schedulers import Action
from tune.trial import RunEnd, TrialSpec, run_trial
from tune.workplace import Workplace


def run_in_process(execution: Execution, workplace: Workplace, *, on_step: Callable[[], None]) -> bool:
    """Run what is missing, in order.

    Args:
        execution: the sweep being executed.
        workplace: its paths.
        on_step: called after every epoch, for a progress display.

    Returns:
        True when the sweep is complete, False when Ctrl-C or a fault ended it; nothing recorded is lost either way.
    """
    try:
        while (spec := execution.next_trial()) is not None:
            try:
                _run_one(spec, execution, workplace, on_step)
            except (OSError, LandslideError) as error:
                told = f"{type(error).__name__}: {error}"
                execution.on_fault(spec, Fault(Cause.STORAGE, told, traceback.format_exc()))
    except KeyboardInterrupt:
        pass
    complete = execution.complete
    execution.interrupt()
    return complete


def _run_one(
    spec: TrialSpec, execution: Execution, workplace: Workplace, on_step: Callable[[], None]
) -> None:
    known, share = execution.known_epochs(spec), execution.share(spec)
    for event in run_trial(workplace.job(spec, known_epochs=known, share=share)):
        if isinstance(event, RunEnd):
            execution.on_end(spec, event)
        elif execution.on_epoch(spec, event) is not Action.CONTINUE:
            break
        execution.flush()
        on_step()
