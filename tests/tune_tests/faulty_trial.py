"""A trial on Ray that meets a fault: the process of the first is killed, the second hangs, and so on.

A module beside the tests, which Ray's workers import by its name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import landslide
from tune.ray_trial import LandslideTrial
from tune.trial import TrialJob

_REAL = landslide.train


def killed() -> None:
    """As by the kernel, when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def terminated() -> None:
    """As on a machine that is taken away."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)


def hung() -> None:
    """As in a driver of a GPU that never returns."""
    time.sleep(600)


def no_space() -> None:
    """A full disk, which has room again a moment later."""
    raise OSError(28, "No space left on device")


def broken() -> None:
    """A mistake in the training."""
    raise ZeroDivisionError("a bug in a loss")


#: In the order in which the trials are started; those after them meet none.
FAULTS = (killed, terminated, hung, no_space, broken)


class FaultyTrial(LandslideTrial):
    """A trial that meets its fault once, when its second epoch is saved and not yet told."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the trial with a training that has a fault."""
        number = _number(Path(TrialJob.from_text(config["job"]).checkpoint_dir))
        train = partial(_faulty, FAULTS[number]) if number < len(FAULTS) else _REAL
        landslide.train = train  # type: ignore[assignment]
        super().setup(config)


def _number(folder: Path) -> int:
    """Which of all trials it is: each leaves a file for those that are started after it."""
    order = folder.parent.parent / "order"
    order.mkdir(exist_ok=True)
    place = order / folder.name
    if not place.exists():
        place.write_text(str(len(list(order.iterdir()))))
    return int(place.read_text())


def _faulty(fault: Callable[[], None], *args: Any, **options: Any) -> Iterator[Any]:
    for metrics in _REAL(*args, **options):
        met = options["checkpoint_dir"] / "met its fault"
        if metrics.epoch == 2 and not met.exists():
            met.touch()
            fault()
        yield metrics
