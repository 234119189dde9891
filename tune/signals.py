"""What ends a sweep from outside: SIGTERM and Ctrl-C, from its first check to its report. Nothing recorded is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def graceful_signals() -> Iterator[None]:
    """SIGTERM (Kubernetes, Slurm, spot notice) ends the sweep as Ctrl-C does: everything is kept.

    Ray Tune ends gracefully on SIGUSR1 while it runs, and installs handlers that it never takes away; before and after
    that, both signals are a KeyboardInterrupt. The caller's handlers are put back. POSIX, main thread; elsewhere only
    Ctrl-C works.
    """
    if not hasattr(signal, "SIGUSR1") or not _in_main_thread():
        yield
        return
    with _put_back(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
        yield


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Within this another library may take SIGTERM for itself, as `ray.init` does; afterwards it is as before."""
    if not _in_main_thread():
        yield
        return
    with _put_back(signal.SIGTERM):
        yield


@contextmanager
def _put_back(*numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one of C's, which Python cannot put back
                signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
