"""An S3 server on localhost whose answers a test can spoil: errors, resets, silence, bodies that break off.

A proxy in front of moto's server. A module beside the tests, made importable by `conftest.py`.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto.server import ThreadedMotoServer

#: what can happen to a request: the server says that it is ill; the connection is reset before the request is looked
#: at, or after it was carried out; no answer comes; the answer's body breaks off; half of what is stored arrives, and
#: the server compares checksums as S3 does, or takes it as it is.
FAULTS = ("500", "503", "reset", "lost", "silence", "truncated", "half", "half unseen")


#: headers that are between two neighbours only.
_HOP = ("content-length", "connection", "expect")


@dataclass
class FaultyS3:
    """The server.

    Attributes:
        endpoint: its URL.
        fault: method and path of a request -> one of `FAULTS`, or None for an honest answer.
        seen: method and path of every request so far.
    """

    endpoint: str
    fault: Callable[[str, str], str | None]
    seen: list[tuple[str, str]]

    def well(self) -> None:
        """Answer honestly from now on."""
        self.fault = lambda method, path: None

    def ill(self, fault: str, *, method: str = "", name: str = "") -> None:
        """Spoil every request with this method to paths that hold this name."""
        assert fault in FAULTS
        self.fault = lambda m, path: fault if method in m and name in path else None


@contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    """A server for as long as the block runs."""
    logging.getLogger("werkzeug").setLevel(
        logging.WARNING
    )  # a line per request says nothing about a failed test
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    server = _Server(("127.0.0.1", 0), _Proxy)
    faulty = FaultyS3(f"http://127.0.0.1:{server.server_port}", lambda method, path: None, [])
    server.faulty, server.behind, server.over = faulty, port, threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        moto.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone, perhaps because a test has killed it, is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        faulty: FaultyS3 = self.server.faulty  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        faulty.seen.append((self.command, self.path))
        fault = faulty.fault(self.command, self.path)
        self.close_connection = fault is not None
        if fault in ("500", "503"):
            self._answer(
                int(fault), {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>"
            )
        elif fault == "silence":
            self.server.over.wait(30)  # type: ignore[attr-defined]
        elif fault == "reset":
            self._reset()
        elif fault == "half" and "Content-MD5" in self.headers:
            self._answer(400, {"Content-Type": "application/xml"}, b"<Error><Code>BadDigest</Code></Error>")
        else:
            status, headers, data = self._forward(body[: len(body) // 2] if fault == "half unseen" else body)
            if fault == "lost":
                self._reset()
            else:
                self._answer(
                    status, headers, data, shown=len(data) // 2 if fault == "truncated" else len(data)
                )

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _handle

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind)  # type: ignore[attr-defined]
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        connection.request(self.command, self.path, body=body or None, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
        connection.close()
        return answer.status, kept, data

    def _answer(self, status: int, headers: dict[str, str], data: bytes, shown: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:shown])

    def _reset(self) -> None:
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        )
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
