"""What took a trial that its config is not to blame for, and what follows: again, an end, or set aside.

Knows neither Ray nor the store: whoever runs trials names the cause, and the `Execution` does what is said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tune.shares import larger_share
from tune.trial import RunEnd


class Cause(StrEnum):
    """Why a trial broke off. The reasons of its rows begin with the cause and a colon: reports count by it."""

    NODE_LOST = "node lost"  #: preempted, shut down or unreachable
    PROCESS_LOST = "process lost"  #: its worker died on a node that lives
    NOT_STARTED = "not started"  #: no worker could be made for it: the environment of a node, or its packages
    HUNG = "hung"  #: no batch was finished for too long, so its worker ended itself
    HOST_MEMORY = "host memory"  #: the node ran out of memory and its worker was ended for it
    GPU_MEMORY = "GPU memory"  #: its share of a GPU was too small
    STORAGE = "storage"  #: a disk, a bucket or the dataset could not be read or written
    RUNTIME = "runtime"  #: Ray's own loop broke off, and all that ran with it
    NEIGHBOUR = "neighbour"  #: so it did, because another trial ran a node out of memory


@dataclass(frozen=True)
class Rule:
    """What follows faults of one cause.

    Args:
        retries: so often in a row, without a new epoch of the trial in between, it is run again. A trial that gets on
            is not to blame for its surroundings, so every new epoch counts from the beginning; and as each costs a
            bounded number of retries, none is run for ever.
        then: the status of its end after that; None = it is set aside without one, as its config tells nothing about
            the cause.
    """

    retries: int
    then: str | None


RULES: Mapping[Cause, Rule] = {
    Cause.NODE_LOST: Rule(5, None),
    Cause.PROCESS_LOST: Rule(2, "failed"),
    Cause.NOT_STARTED: Rule(2, None),
    Cause.HUNG: Rule(1, "failed"),
    Cause.HOST_MEMORY: Rule(2, "out_of_memory"),
    Cause.STORAGE: Rule(1, None),
    Cause.RUNTIME: Rule(2, None),
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

    @classmethod
    def recorded(cls, reason: str) -> Fault:
        """The fault that a recorded reason tells of.

        Raises:
            ValueError: it tells of none.
        """
        cause, _, detail = reason.partition(": ")
        return cls(Cause(cause), detail)


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
class SetAside:
    """The trial gets no end: it is run again when nothing else is left and others got on since, or by a resume."""

    reason: str


def what_follows(fault: Fault, *, before: Sequence[Fault], share: float) -> Retry | RunEnd | SetAside:
    """What becomes of a trial after a fault.

    Args:
        fault: the newest.
        before: earlier faults of the same trial since its last new epoch.
        share: the share of a GPU that it had; 0 = none.
    """
    told = f"{fault.cause}: {fault.detail}"
    if fault.cause is Cause.GPU_MEMORY:
        if not 0 < share < 1:
            return RunEnd("out_of_memory", fault.detail, fault.error)
        larger = larger_share(share)
        return Retry(f"{told}; again with {larger:g} of a GPU instead of {share:g}", larger)
    if fault.cause is Cause.NEIGHBOUR:  # never counted: each is one of another trial's, and those are
        return Retry(f"{told}; goes on from its last epoch")
    rule = RULES[fault.cause]
    times = sum(earlier.cause is fault.cause for earlier in before) + 1
    if times <= rule.retries:
        return Retry(f"{told}; goes on from its last epoch (time {times} of at most {rule.retries} in a row)")
    told += f"; {times} times in a row without a new epoch"
    return SetAside(told) if rule.then is None else RunEnd(rule.then, told, fault.error)
