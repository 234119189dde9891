"""Makes faults happen to the processes of a sweep, and mends what is to be mended. Which and when is `plan.py`'s.

The full disk is a limit on the size of files, set from outside on one process (prlimit): writes stop in the middle
with an OSError, as on a full disk, though with another number. It needs neither privileges nor a file system of its
own, so that it works in a container, and other processes on the same disk go on. Linux only.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_bench.nodes import Nodes
from chaos_bench.plan import Planned
from chaos_bench.user import User

if TYPE_CHECKING:
    from faulty_s3 import FaultyS3

#: Bytes that a file may have on a full disk: nothing, or a row or two; nothing, or the beginning of a checkpoint.
DRIVER_SIZES, WORKER_SIZES = (0, 2_000), (0, 100_000)
#: How a driver tells of it.
FULL = "File too large"
#: Answers of a server that is ill, see `faulty_s3`.
ANSWERS = ("500", "503", "reset", "lost", "silence", "truncated", "half")
#: Seconds after which a fault that nobody has met is over; a driver uploads rows every half a minute.
_PATIENCE = 40.0


@dataclass(frozen=True)
class Struck:
    """A fault that happened.

    Args:
        planned: it.
        epochs: that were computed by then.
        what: was hit, for the table.
    """

    planned: Planned
    epochs: int
    what: str


@dataclass
class _Lasting:
    """What is to be mended.

    Args:
        until: on the monotonic clock.
        mend: does it.
        met: whether the fault has hit anything yet.
    """

    until: float
    mend: Callable[[], object]
    met: Callable[[], bool]


class Faults:
    """The hands that do it.

    Args:
        nodes: of the cluster.
        user: of the sweep.
        server: of the bucket, if there is one.

    Attributes:
        spoilt: requests that were not answered as they should have been.
        unmet: faults that lasted, and were over before anything met them.
    """

    def __init__(self, nodes: Nodes, user: User, server: FaultyS3 | None) -> None:
        self._nodes, self._user, self._server = nodes, user, server
        self._lasting: list[_Lasting] = []
        self.spoilt = self.unmet = 0

    def strike(self, fault: Planned) -> str | None:
        """Do it now; says what was hit, None where nothing is there to be hit."""
        act = {
            "worker": self._kill_worker,
            "driver": self._kill_driver,
            "node": self._kill_node,
            "s3": self._spoil,
            "driver disk": self._fill_driver,
            "worker disk": self._fill_worker,
            "pause": self._pause,
        }[fault.kind]
        try:
            return act(fault)
        except ProcessLookupError:
            return None

    def mend(self, *, everything: bool = False) -> None:
        """End what has lasted long enough, and has been met or was not for a long time."""
        now = time.monotonic()
        for lasting in list(self._lasting):
            over = now > lasting.until + (0 if lasting.met() else _PATIENCE)
            if over or everything:
                self._lasting.remove(lasting)
                self.unmet += not lasting.met()
                with suppress(ProcessLookupError):
                    lasting.mend()

    # ---- kinds ------------------------------------------------------------------------------------------------

    def _kill_worker(self, fault: Planned) -> str | None:
        pid = self._worker(fault)
        if pid is None:
            return None
        os.kill(pid, signal.SIGKILL)
        return "a process in an epoch"

    def _kill_driver(self, fault: Planned) -> str:
        os.kill(self._user.pid, signal.SIGKILL)
        return "the driver"

    def _kill_node(self, fault: Planned) -> str | None:
        names = self._nodes.names
        if len(names) < 2:
            return None
        name = names[int(fault.draw * len(names))]
        self._nodes.kill(name)
        self._lasts(fault, self._nodes.add)
        return f"{name}, {fault.lasts:.1f} s later another is added"

    def _spoil(self, fault: Planned) -> str:
        assert self._server is not None
        server, before, answer = self._server, self.spoilt, ANSWERS[int(fault.draw * len(ANSWERS))]

        def spoil(method: str, path: str) -> str:
            self.spoilt += 1
            return answer

        server.fault = spoil
        self._lasts(fault, server.well, met=lambda: self.spoilt > before)
        return f"all requests for {fault.lasts:.1f} s: {answer}"

    def _fill_driver(self, fault: Planned) -> str:
        told, before = self._user.stderr, len(self._user.stderr)
        self._fill(
            self._user.pid, fault, DRIVER_SIZES, met=lambda: any(FULL in line for line in told[before:])
        )
        return f"the driver, {_told(fault, DRIVER_SIZES)}"

    def _fill_worker(self, fault: Planned) -> str | None:
        pid = self._worker(fault)
        if pid is None:
            return None
        gone = Path(f"/proc/{pid}")  # a process whose trial could not write is not used for another one
        self._fill(pid, fault, WORKER_SIZES, met=lambda: not gone.exists())
        return f"a process in an epoch, {_told(fault, WORKER_SIZES)}"

    def _pause(self, fault: Planned) -> str | None:
        pid = self._worker(fault)
        if pid is None:
            return None
        os.kill(pid, signal.SIGSTOP)
        self._lasts(fault, lambda: os.kill(pid, signal.SIGCONT))
        return f"a process in an epoch for {fault.lasts:.1f} s"

    def _fill(self, pid: int, fault: Planned, sizes: Sequence[int], *, met: Callable[[], bool]) -> None:
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        _limit(pid, _size(fault, sizes), hard)
        self._lasts(fault, lambda: _limit(pid, soft, hard), met=met)

    def _worker(self, fault: Planned) -> int | None:
        pids = self._nodes.trial_workers()
        return pids[int(fault.draw * len(pids))] if pids else None

    def _lasts(
        self, fault: Planned, mend: Callable[[], object], *, met: Callable[[], bool] = lambda: True
    ) -> None:
        self._lasting.append(_Lasting(time.monotonic() + fault.lasts, mend, met))


def _limit(pid: int, soft: int, hard: int) -> None:
    """How large the files of a process may become."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def _size(fault: Planned, sizes: Sequence[int]) -> int:
    """The one that was drawn."""
    return sizes[int(fault.draw * len(sizes))]


def _told(fault: Planned, sizes: Sequence[int]) -> str:
    """How full the disk is, for the table."""
    return f"files up to {_size(fault, sizes)} bytes for {fault.lasts:.1f} s"
