"""What Ray says when a trial breaks off, as a `Fault` or as the end of its run. Reads and translates; starts nothing.

Ray Tune hands over an exception where it has one: of the trial's own code (`RayTaskError`), or of a lost process
(`RayActorError`). Of everything else, such as a process that could not be started, it keeps the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from landslide import DatasetError
from results import StoreError
from tune.faults import Cause, Fault
from tune.ray_trial import Spoilt
from tune.trial import RunEnd

#: Of a disk, a bucket or a dataset, none of them the config's.
_STORAGE = (OSError, DatasetError, StoreError)
#: How Ray names what it has no exception of its own for, in lower case; the first that is found counts.
_TOLD = {
    "low on memory": Cause.HOST_MEMORY,
    "memory pressure": Cause.HOST_MEMORY,
    "node has died": Cause.NODE_LOST,
    "node was preempted": Cause.NODE_LOST,
    "node was terminated": Cause.NODE_LOST,
    "placement group corresponding": Cause.NODE_LOST,
    "receives a sigterm": Cause.NODE_LOST,  # a machine that is taken away tells its processes so
}
#: Lines that introduce what is said, or label it.
_LABEL = re.compile(r"Failure # |The actor died unexpectedly before|[a-z_]+: ")
_LONGEST = 300
#: What Ray adds about why processes die in general.
_GUESSES = re.compile(r" Some common causes include| There are some potential root causes")
#: Ray colours its tracebacks.
_COLOUR = re.compile(r"\x1b\[\d*m")
#: Where the process was, in the text of a `RayActorError`.
_ADDRESS = re.compile(r"^\s*ip: (\S+)$", re.MULTILINE)
#: One process of those that Ray considered to end for want of memory: of an actor, which is named, or of a task.
_CONSIDERED = re.compile(r"\((?:Actor\((\w+)\)|Task): [^\n]*actual memory used=([\d.]+)GB")
#: What Ray Tune puts before what it did not expect.
_UNEXPECTED = "Caught unexpected exception: "


@dataclass(frozen=True)
class Shortage:
    """A node that ran low on memory, as Ray tells of it.

    Args:
        actor: the id of the actor that held most; None = it was no actor.
        gigabytes: so much it held.
        told: what Ray says of the node, in one line.
    """

    actor: str | None
    gigabytes: float
    told: str


def shortage_in(text: str) -> Shortage | None:
    """The shortage that an error of Ray's tells of; None if it tells of none, or not what each process held.

    Whom Ray ends says little: it takes the processes that began last, and goes on until enough is free.
    """
    considered = [(float(size), actor or None) for actor, size in _CONSIDERED.findall(text)]
    if "low on memory" not in text or not considered:
        return None
    size, actor = max(considered, key=lambda item: item[0])
    return Shortage(actor, size, _sentence(_COLOUR.sub("", text)).removeprefix(_UNEXPECTED))


def error_of(trial: Any) -> BaseException | str | None:
    """What broke a trial of Ray's off; its text where Ray keeps no exception, or one that cannot be read here.

    From its folder on the driver: `Trial.get_pickled_error` looks into Ray's storage, to which that is copied later.
    """
    with suppress(Exception):  # whatever unpickling the exceptions of others may raise
        if path := trial.pickled_error_file:
            error = cloudpickle.loads(Path(path).read_bytes())
            assert isinstance(error, BaseException)
            return error
    with suppress(OSError):
        if path := trial.error_file:
            return Path(path).read_text(errors="replace")
    return None


def fault_of(
    error: BaseException | str | None,
    *,
    addresses: Callable[[], Collection[str]],
    hang: Callable[[], str | None],
) -> Fault | RunEnd:
    """What became of a trial.

    Args:
        error: what Ray has of it; the text where it has no exception.
        addresses: the nodes that are alive.
        hang: where the process was when it ended itself because nothing went on; None = it did not.

    Returns:
        A `RunEnd` for an exception that only the trial's own code can be the reason of.
    """
    if isinstance(error, RayTaskError):
        return _raised(error)
    told = _COLOUR.sub("", str(error or "the process broke off, and Ray does not say why"))
    known = next((cause for words, cause in _TOLD.items() if words in told.lower()), None)
    if known is not None:
        return Fault(known, _sentence(told), told)
    if not isinstance(error, RayActorError) or error.actor_init_failed:
        return Fault(Cause.NOT_STARTED, _sentence(told), told)
    if isinstance(error, ActorUnavailableError) or error.preempted or _is_gone(told, addresses()):
        return Fault(Cause.NODE_LOST, _sentence(told), told)
    if stood := hang():
        return Fault(Cause.HUNG, _stood_at(stood), stood)
    return Fault(Cause.PROCESS_LOST, _sentence(told), told)


def _raised(error: RayTaskError) -> Fault | RunEnd:
    cause = error.cause
    if isinstance(cause, Spoilt):
        return cause.end
    told = f"{type(cause).__name__}: {cause}"
    if isinstance(cause, _STORAGE):
        return Fault(Cause.STORAGE, told, _COLOUR.sub("", str(error)))
    return RunEnd("failed", told, _COLOUR.sub("", str(error)))


def _is_gone(told: str, addresses: Collection[str]) -> bool:
    found = _ADDRESS.search(told)
    return found is not None and bool(addresses) and found[1] not in addresses


def _sentence(told: str) -> str:
    """The line of a text of Ray's that tells most."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    telling = [line for line in lines if not _LABEL.match(line)] or lines
    line = telling[-1 if "raised in its creation task" in told else 0]  # the last line of a traceback
    return _GUESSES.split(line.rpartition("Worker exit detail: ")[2])[0][:_LONGEST].rstrip(". ")


def _stood_at(stood: str) -> str:
    """Where a process stood still, from what `faulthandler` has written: it comes to the main thread last."""
    frame = re.search(r"^\s+(File .*)$", stood.split("most recent call first):")[-1], re.MULTILINE)
    where = f"; {frame[1]}" if frame else ""
    return f"no batch was finished for too long, so the process ended itself{where}"
