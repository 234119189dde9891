"""A Ray head of its own on this machine, as `ray start --head` makes it, ended with all that it started.

Never `ray stop`, which ends every Ray on the machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Head:
    """Where it can be reached.

    Args:
        address: of the runtime, for drivers and further nodes.
        jobs: of its job server.
        environment: that programs need that talk to it.
    """

    address: str
    jobs: str
    environment: Mapping[str, str]


@contextmanager
def ray_head(*options: str) -> Iterator[Head]:
    """A head with a dashboard and two CPUs, for as long as the block; `options` of `ray start` as well."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets lie below it, whose paths are limited
    port, dashboard, agent = free_ports(3)
    environment = {
        **os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    environment.pop("RAY_ADDRESS", None)
    command = [PROGRAMS / "ray", "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=2"]
    command += [f"--port={port}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"]
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(
            [*command, f"--temp-dir={folder / 'ray'}", *options],
            env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        jobs = f"http://127.0.0.1:{dashboard}"
        _wait(started, jobs, folder / "log")
        yield Head(f"127.0.0.1:{port}", jobs, environment)
    finally:
        _end(started)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(number: int) -> list[int]:
    """Ports of this machine that nobody listens on now."""
    with_all = [socket.socket() for _ in range(number)]
    for each in with_all:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in with_all]
    for each in with_all:
        each.close()
    return ports


def _wait(started: subprocess.Popen[bytes], jobs: str, log: Path) -> None:
    """Until its job server answers."""
    until = time.monotonic() + 180
    while time.monotonic() < until and started.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{jobs}/api/version", timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"no Ray head at {jobs}:\n{log.read_text()}")


def _end(started: subprocess.Popen[bytes]) -> None:
    """End the whole session: the head, and every process that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait(30)
