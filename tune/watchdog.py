"""Ends a process whose training stands still, and leaves behind where it stood.

A clock of `faulthandler` that is wound up again with every batch: it runs in a thread of C, so that it also strikes
while a call that never returns holds Python's lock (a broken driver of a GPU, a file system that is gone). Knows
neither Ray nor the store. The user's own process is never watched: see `Workplace.hang_seconds`.
"""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

#: Lies beside the checkpoints of a trial; only of one that hung is it left there. Each process has its own: one that
#: keeps a paused trial lets go of it when it gets its next trial, and another may have gone on with it by then.
NOTE = "hung-{}.txt"
#: Winding up starts a thread, so it is not done for every batch: the clock may strike by such a part too early.
_SLACK = 0.05


class Watchdog:
    """A context in which `beat` has to be called at least every so many seconds.

    Args:
        seconds: without a beat, after which the process ends; None = never.
        folder: for the note; made if it is not there.
    """

    def __init__(self, seconds: float | None, folder: Path) -> None:
        self._seconds, self._path = seconds, folder / NOTE.format(os.getpid())
        self._note: IO[str] | None = None
        self._wound_up = 0.0

    def __enter__(self) -> Self:
        """Wind it up."""
        if self._seconds is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._note = self._path.open("w")
            self._wind_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Stop it, and take the empty note away."""
        if self._note is not None:
            faulthandler.cancel_dump_traceback_later()
            self._note.close()
            self._path.unlink(missing_ok=True)
            self._note = None

    def beat(self) -> None:
        """Something was finished."""
        if self._seconds is not None and time.monotonic() - self._wound_up > self._seconds * _SLACK:
            self._wind_up()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Within this the process may wait for others as long as it takes."""
        if self._note is not None:
            faulthandler.cancel_dump_traceback_later()
        yield
        if self._note is not None:
            self._wind_up()

    def _wind_up(self) -> None:
        assert self._seconds is not None
        assert self._note is not None
        self._wound_up = time.monotonic()
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._note)


def take_note(folder: Path) -> str | None:
    """Where the process of a trial stood when it ended itself; None if it did not, or on a disk that is not ours.

    The note is taken away, so that it is not told of a later fault.
    """
    stood = ""
    for path in folder.glob(NOTE.format("*")):
        with suppress(OSError):
            stood = path.read_text() or stood
            path.unlink()
    return stood or None
