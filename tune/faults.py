"""What took a trial that its config is not to blame for, and what follows: again, an end, or open for a resume.

Knows neither Ray nor the store: whoever runs trials names the cause, and the `Execution` does what is said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tune.shares import larger_share
from tune.trial import RunEnd


class Cause(StrEnum):
    """Why a trial broke off."""

    NODE_LOST = "node lost"  #: preempted, shut down or unreachable
    PROCESS_LOST = "process lost"  #: its worker died on a node that lives
    HUNG = "hung"  #: no batch was finished for too long, so its worker ended itself
    HOST_MEMORY = "host memory"  #: the node ran out of memory and its worker was ended for it
    GPU_MEMORY = "GPU memory"  #: its share of a GPU was too small
    STORAGE = "storage"  #: a disk, a bucket or the dataset could not be read or written


#: How often a trial is run again after faults of a cause; None = as often as it takes. A node that was taken away says
#: nothing about the trial; a process that dies again and again on living nodes does.
LIMITS: Mapping[Cause, int | None] = {
    Cause.NODE_LOST: None,
    Cause.PROCESS_LOST: 2,
    Cause.HUNG: 1,
    Cause.HOST_MEMORY: 2,
    Cause.GPU_MEMORY: None,
    Cause.STORAGE: 1,
}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        cause: of it.
        detail: what was seen, one sentence.
        error: a traceback, if there is one.
    """

    cause: Cause
    detail: str
    error: str | None = None


@dataclass(frozen=True)
class Retry:
    """The trial goes on from its last checkpoint.

    Args:
        reason: one sentence.
        share: the share of a GPU that it gets from now on; None = as before.
    """

    reason: str
    share: float | None = None


@dataclass(frozen=True)
class Leave:
    """The trial gets no end: a resume runs it again, once what is wrong was mended."""

    reason: str


def what_follows(fault: Fault, *, before: Sequence[Fault], share: float) -> Retry | RunEnd | Leave:
    """What becomes of a trial after a fault.

    Args:
        fault: the newest.
        before: earlier faults of the same trial.
        share: the share of a GPU that it had; 0 = none.
    """
    times = sum(earlier.cause is fault.cause for earlier in before) + 1
    told = f"{fault.cause}: {fault.detail}"
    if fault.cause is Cause.GPU_MEMORY:
        if not 0 < share < 1:
            return RunEnd("out_of_memory", fault.detail, fault.error)
        larger = larger_share(share)
        return Retry(f"{told}; again with {larger:g} of a GPU instead of {share:g}", larger)
    limit = LIMITS[fault.cause]
    if limit is None or times <= limit:
        return Retry(
            f"{told}; goes on from its last epoch" + (f" (time {times} of {limit})" if limit else "")
        )
    if fault.cause is Cause.STORAGE:
        return Leave(told)
    return RunEnd("failed", f"{told}, for the {times}. time", fault.error)
