"""How often each epoch of each run was computed, whoever computed it: told by `counting/sitecustomize.py`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COUNTING = Path(__file__).parent / "counting"


class EpochsPipe:
    """The reading end.

    Attributes:
        environment: variables of the processes that shall be counted.
        times: how often each epoch of each run was computed.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        before = os.environ.get("PYTHONPATH", "")
        self.environment = {
            "CHAOS_EPOCHS_PIPE": str(path),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(COUNTING), before])),
        }
        self.times: Counter[str] = Counter()
        self._descriptor = descriptor

    def read(self) -> Counter[str]:
        """Take in what was told since the last time; call it often, a pipe is short."""
        try:
            while told := os.read(self._descriptor, 65536):
                self.times.update(told.decode().splitlines())
        except BlockingIOError:
            pass
        return self.times


@contextmanager
def epochs_pipe(folder: Path) -> Iterator[EpochsPipe]:
    """A pipe in this folder."""
    path = folder / "epochs.pipe"
    os.mkfifo(path)
    descriptor = os.open(
        path, os.O_RDWR | os.O_NONBLOCK
    )  # also for writing: it must never be without a reader
    try:
        yield EpochsPipe(path, descriptor)
    finally:
        os.close(descriptor)
