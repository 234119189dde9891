"""Tells the user in time that the Ray runtime of a sweep is gone: Ray ends the process then, from code in C++.

It cannot be caught, so that no other line of ours would follow. Ends nothing itself: a runtime may come back.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

#: Seconds between two looks, and until one is given up; after a minute without an answer Ray ends the process.
LOOK_SECONDS = 5.0
#: So many looks in a row without an answer are told.
SILENT_LOOKS = 2


@contextmanager
def watched(address: str, warn: Callable[[str], None], *, seconds: float = LOOK_SECONDS) -> Iterator[None]:
    """Look every few seconds whether a runtime still takes connections, in a thread, for as long as the block.

    Args:
        address: HOST:PORT of the control store of its head.
        warn: tells the user, from the thread, that it does not answer: once, until it answers again.
        seconds: between two looks.
    """
    over = Event()
    thread = Thread(target=_watch, args=(address, warn, over, seconds), name="runtime-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()  # not joined: it may wait for a connection, and says nothing more


def _watch(address: str, warn: Callable[[str], None], over: Event, seconds: float) -> None:
    silent = 0
    while not over.wait(seconds):
        silent = 0 if _answers(address) else silent + 1
        if silent == SILENT_LOOKS and not over.is_set():
            warn(
                f"the Ray runtime at {address} does not answer; unless it comes back, Ray ends this command within "
                "about a minute. Everything recorded is kept"
            )


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_SECONDS).close()
    except OSError:
        return False
    return True
