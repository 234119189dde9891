"""How often each epoch was computed and each dataset packed, whoever did it: `counting/sitecustomize.py` tells."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COUNTING = Path(__file__).parent / "counting"


class Pipe:
    """The reading end.

    Attributes:
        environment: variables of the processes that shall be counted.
        epochs: how often each epoch of each run was computed to its end.
        packed: how often a dataset was packed into a folder, by its path.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        before = os.environ.get("PYTHONPATH", "")
        self.environment = {
            "CHAOS_PIPE": str(path),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(COUNTING), before])),
        }
        self.epochs: Counter[str] = Counter()
        self.packed: Counter[str] = Counter()
        self._descriptor = descriptor

    @property
    def twice(self) -> int:
        """Epochs that were computed before."""
        return self.epochs.total() - len(self.epochs)

    def read(self) -> None:
        """Take in what was told since the last time; call it often, a pipe is short."""
        try:
            while told := os.read(self._descriptor, 65536):
                for line in told.decode().splitlines():
                    kind, _, what = line.partition(" ")
                    {"epoch": self.epochs, "packed": self.packed}[kind][what] += 1
        except BlockingIOError:
            pass

    def clear(self) -> None:
        """Forget the epochs."""
        self.read()
        self.epochs.clear()


@contextmanager
def counting_pipe(folder: Path) -> Iterator[Pipe]:
    """A pipe in this folder."""
    path = folder / "counts.pipe"
    os.mkfifo(path)
    descriptor = os.open(
        path, os.O_RDWR | os.O_NONBLOCK
    )  # also for writing: it must never be without a reader
    try:
        yield Pipe(path, descriptor)
    finally:
        os.close(descriptor)
