"""The user of the command line: starts a sweep, and types `--resume` when it has ended too early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO


@dataclass
class User:
    """One sweep, in one process after the other.

    Args:
        words: of the command after `landslide-tune sweep`.
        environment: variables of the process besides this one's.

    Attributes:
        stdout: what the newest process has printed so far, as data.
        stderr: what all of them have told.
        endings: exit codes of the processes that have ended.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    endings: list[int] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _readers: list[threading.Thread] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Of the driver that runs, or has run last."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, resume: bool) -> None:
        """Type the command."""
        command = [sys.executable, "-m", "tune", "sweep", *self.words, *(["--resume"] if resume else [])]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment},
            start_new_session=True,
        )
        self.stdout = []
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=_collect, args=ends, daemon=True)
            for ends in ((self._process.stdout, self.stdout), (self._process.stderr, self.stderr))
        ]  # a file could be as full as the disk of the sweep
        for reader in self._readers:
            reader.start()

    def ended(self) -> bool:
        """Whether the process has ended; then its exit code is the last of `endings`."""
        assert self._process is not None
        if self._process.poll() is None:
            return False
        for reader in self._readers:
            reader.join(timeout=10)
        self._readers = []
        self.endings.append(self._process.returncode)
        return True

    def end(self) -> None:
        """Leave no process behind."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _collect(source: IO[str], lines: list[str]) -> None:
    lines.extend(source)  # blocks until the process ends
    source.close()
