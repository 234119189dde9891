"""Keeps a bucket like a run directory of this machine, from a thread of its own: a slow server delays nobody.

Rows cannot be lost here, because they are on this machine's disk. A failure is told once and made good at the next
call. What is uploaded, and in which order, is decided in `upload.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from results.errors import StoreError

#: seconds without any progress after which the end of a sweep waits no longer; requests fail much earlier.
STALL_SECONDS = 60.0


class Mirror:
    """Runs passes of an upload when it is asked to.

    Args:
        upload: one pass: takes the names of the files that count, and a function that says whether to go on.
        place: where to, for messages.
        safe_in: where the rows are meanwhile, for messages.
    """

    def __init__(
        self, upload: Callable[[Sequence[str], Callable[[], bool]], None], *, place: str, safe_in: str
    ) -> None:
        self._upload, self._place, self._safe_in = upload, place, safe_in
        self._changed = threading.Condition()
        self._wanted: Sequence[str] = ()
        self._asked = self._tried = self._steps = 0
        self._problem: StoreError | None = None
        self._told = self._stopped = False
        self._thread: threading.Thread | None = None

    def ask(self, names: Sequence[str]) -> None:
        """Have the bucket made like the folder; returns at once.

        Args:
            names: all files that count now, in the order in which they must appear.
        """
        with self._changed:
            self._wanted, self._asked = names, self._asked + 1
            self._changed.notify_all()
        if self._thread is None:
            # A daemon: an upload that hangs must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, name="results mirror", daemon=True)
            self._thread.start()

    def news(self) -> StoreError | None:
        """What has gone wrong since the bucket was last complete, the first time that it is asked for."""
        with self._changed:
            if self._told:
                return None
            self._told = self._problem is not None
            return self._problem

    def finish(self) -> None:
        """Wait until all that was asked for is there or cannot be; afterwards nothing more is uploaded.

        Raises:
            StoreError: the bucket lacks something; it says where the rows are and what to do. `rows_kept` is true.
        """
        with self._changed:
            while self._tried < self._asked:
                before = self._steps
                if not self._changed.wait_for(self._is_beyond(before), timeout=STALL_SECONDS):
                    self._problem = self._not_there(f"nothing arrived for {STALL_SECONDS:.0f} seconds")
                    break
            self.stop()
            if self._problem is not None:
                raise self._problem

    def stop(self) -> None:
        """Upload nothing more than what is under way."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # ----- in the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._tried < self._asked)
                if self._stopped:
                    return
                names, number = self._wanted, self._asked
            problem = self._attempt(names)
            with self._changed:
                self._problem, self._tried = problem, number
                self._told = self._told and problem is not None
                self._advance()

    def _attempt(self, names: Sequence[str]) -> StoreError | None:
        try:
            self._upload(names, self._go_on)
        except StoreError as error:
            return self._not_there("; ".join(error.problems))
        except Exception as error:  # whatever it is, the thread must live to try again
            return self._not_there(f"{type(error).__name__}: {error}")
        return None

    def _go_on(self) -> bool:
        with self._changed:
            self._advance()
            return not self._stopped

    def _advance(self) -> None:
        self._steps += 1
        self._changed.notify_all()

    def _is_beyond(self, step: int) -> Callable[[], bool]:
        return lambda: self._steps != step

    def _not_there(self, why: str) -> StoreError:
        return StoreError(
            f"{self._place} does not have all results yet ({why}); every row is safe in {self._safe_in} on this "
            "machine and is uploaded as soon as that works, at the latest when the sweep is resumed",
            "results could not be uploaded",
            rows_kept=True,
        )
