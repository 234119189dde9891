"""A sweep from its first command to its end, with faults on the way: the user starts it again as often as it takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chaos_bench.faults import Faults, Struck
from chaos_bench.pipe import Pipe
from chaos_bench.plan import Planned
from chaos_bench.user import User

#: The user gives up after so many commands beyond those that followed a kill.
_MOST_COMMANDS = 12


@dataclass
class Course:
    """How it went.

    Attributes:
        seconds: from the first command to the end of the last one.
        struck: the faults that happened.
        left: those that did not, because the time for them was over or the sweep had ended.
        by_itself: exit codes of commands that neither completed the sweep nor were killed.
        complete: whether the last command completed it.
    """

    seconds: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    left: list[Planned] = field(default_factory=list)
    by_itself: list[int] = field(default_factory=list)
    complete: bool = False


def run_sweep(
    user: User,
    pipe: Pipe,
    *,
    faults: Faults | None = None,
    planned: Sequence[Planned] = (),
    strike_seconds: float = float("inf"),
    limit_seconds: float,
    say: Callable[[str], None] = lambda text: None,
) -> Course:
    """Run a sweep until it is complete.

    Args:
        user: has not started anything yet.
        pipe: tells how far the sweep is.
        faults: makes them happen.
        planned: in the order in which they are due.
        strike_seconds: after so many seconds no more of them happen.
        limit_seconds: after so many the sweep is ended and is not complete.
        say: told about every fault, and about commands that fail.
    """
    course, waiting, begun = Course(), deque(planned), time.monotonic()
    pipe.clear()
    user.start(resume=False)
    try:
        while (passed := time.monotonic() - begun) < limit_seconds:
            pipe.read()
            if faults is not None:
                faults.mend()
            if user.ended():
                pipe.read()
                if not (_goes_on(user, course, say) and pipe.epochs):
                    break
                user.start(resume=True)
                continue
            if faults is not None and waiting and passed < strike_seconds:
                _strike(faults, waiting, len(pipe.epochs), course=course, say=say)
            time.sleep(0.05)
    finally:
        if faults is not None:
            faults.mend(everything=True)
        user.end()
    pipe.read()
    course.seconds, course.left = time.monotonic() - begun, list(waiting)
    return course


def _goes_on(user: User, course: Course, say: Callable[[str], None]) -> bool:
    """After the end of a command: whether there is any use in typing it again."""
    code = user.endings[-1]
    course.complete = code == 0
    if code >= 0 and not course.complete:
        course.by_itself.append(code)
        say(f"the command ended with {code}: {''.join(user.stderr[-6:]).strip()}")
    return not course.complete and len(course.by_itself) <= _MOST_COMMANDS


def _strike(
    faults: Faults,
    waiting: deque[Planned],
    epochs: int,
    *,
    course: Course,
    say: Callable[[str], None],
) -> None:
    """Let the next fault happen if it is due; one without a victim waits until there is one."""
    fault = waiting[0]
    if epochs < fault.epochs:
        return
    if fault.delay:
        time.sleep(fault.delay)
        waiting[0] = Planned(fault.kind, fault.epochs, 0.0, fault.lasts, fault.draw)
    what = faults.strike(fault)
    if what is not None:
        waiting.popleft()
        course.struck.append(Struck(fault, epochs, what))
        say(f"{len(course.struck):3d}. after {epochs:4d} epochs  {fault.kind:12s} {what}")
