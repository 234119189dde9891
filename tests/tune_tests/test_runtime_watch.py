"""What is said when a runtime goes away in mid-sweep. No Ray is needed: a port that listens, or not."""

from __future__ import annotations

import queue
import socket

from tune.runtime_watch import watched

#: Between two looks: as short as a test can have it.
SOON = 0.001


def listening(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=100)


def test_a_runtime_that_goes_is_told_once_each_time() -> None:
    told = queue.SimpleQueue[str]()
    server = listening()
    port = server.getsockname()[1]
    with watched(f"127.0.0.1:{port}", told.put, seconds=SOON):
        server.accept()[0].close()  # it looks
        assert told.empty()
        server.close()
        gone = told.get(timeout=30)
        with listening(port) as back:
            back.accept()[0].close()
            assert told.empty()
        again = told.get(timeout=30)
    assert f"127.0.0.1:{port} does not answer" in gone
    assert "Everything recorded is kept" in gone
    assert again == gone
