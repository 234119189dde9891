"""A process that stands still ends itself and says where; one that goes on, rests or was left alone does not."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tune.watchdog import NOTE, Watchdog, take_note

#: In which even a loaded machine has started Python and run the few lines.
LIMIT = 120.0


def run(folder: Path, lines: str, *, after: str = "") -> subprocess.CompletedProcess[str]:
    """The lines in a process of their own, within a watchdog of one second; then those after it."""
    before = "import time\nfrom pathlib import Path\nfrom tune.watchdog import Watchdog\n"
    script = f"{before}with Watchdog(1.0, Path({str(folder)!r})) as dog:\n{textwrap.indent(lines, '    ')}\n{after}"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


def test_a_call_that_holds_pythons_lock_is_ended_and_named(tmp_path: Path) -> None:
    lines = """
    for _ in range(30):
        time.sleep(0.05)
        dog.beat()
    with dog.resting():
        time.sleep(1.5)
    print("went on", flush=True)
    def stuck():
        sum(range(10**12))  # one call, in C
    stuck()
    """
    ended = run(tmp_path / "trial", textwrap.dedent(lines))
    assert (ended.returncode, ended.stdout) == (1, "went on\n"), ended.stderr
    stood = take_note(tmp_path / "trial")
    assert stood is not None
    assert "in stuck" in stood


def test_it_is_stopped_at_the_end_of_a_trial(tmp_path: Path) -> None:
    ended = run(
        tmp_path / "trial", "print('one batch')\n", after="time.sleep(2.0)\nprint('the next trial')\n"
    )
    assert (ended.returncode, ended.stdout) == (0, "one batch\nthe next trial\n"), ended.stderr
    assert not list((tmp_path / "trial").iterdir())


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_no_clock_and_no_note_is_left(tmp_path: Path, how: str) -> None:
    def work() -> None:
        with Watchdog(3600.0, tmp_path) as dog:
            assert (tmp_path / NOTE.format(os.getpid())).exists()
            dog.beat()
            if how == "raises":
                raise OSError("no space")

    if how == "raises":
        with pytest.raises(OSError, match="no space"):
            work()
    else:
        work()
    assert not list(tmp_path.iterdir())


def test_who_lets_go_of_a_trial_leaves_the_note_of_who_went_on_with_it(tmp_path: Path) -> None:
    with Watchdog(3600.0, tmp_path):
        ended = run(tmp_path, "time.sleep(60)")
        assert ended.returncode == 1, ended.stderr
    stood = take_note(tmp_path)
    assert stood is not None
    assert "most recent call first" in stood
    assert not list(tmp_path.iterdir())


def test_without_seconds_nothing_is_watched(tmp_path: Path) -> None:
    with Watchdog(None, tmp_path / "none") as dog:
        dog.beat()
        with dog.resting():
            pass
    assert not (tmp_path / "none").exists()
