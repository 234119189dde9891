"""Asks a joined Ray runtime that can grow for room for a sweep's trials, and waits for its first node.

Which machines that takes is the affair of Ray's autoscaler. Without being asked it would see nothing that waits: a
trial is handed to Ray only when it can start at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from tune.runtime import alive_nodes
from tune.slots import fits
from tune.sweep import AUTO, Sweep

#: Minutes in which the first node has to come: a machine is started, packages are installed there, Ray joins.
NODE_MINUTES = 30.0
_LOOK_SECONDS = 2.0


def room_for(sweep: Sweep, share: float, trials: int) -> list[dict[str, float]]:
    """What the autoscaler is asked for: one entry per trial, which has to fit on one node.

    Args:
        sweep: whose trials they are.
        share: of a GPU that each gets; 0 = none.
        trials: at a time.
    """
    trial = {"CPU": float(sweep.cpus_per_trial), "GPU": share}
    return [{name: amount for name, amount in trial.items() if amount > 0} for _ in range(trials)]


@contextmanager
def grown(sweep: Sweep, console: Console) -> Iterator[Callable[[float], None]]:
    """Ask for room for `max_concurrent` trials for as long as the block, and return when a node is there.

    Where the sweep does not say how many, nobody is asked for anything; nor does anything change on a runtime that
    cannot grow, except that its first node is waited for.

    Yields:
        Told the share of a GPU that trials get, once it has been measured.
    """
    from ray.autoscaler.sdk import request_resources

    most = sweep.max_concurrent
    if most is None:
        yield lambda share: None
        return
    first = 1 if sweep.gpus_per_trial == AUTO else most  # one node will do to measure on
    request_resources(bundles=room_for(sweep, sweep.gpu_share, first))
    try:
        _wait(sweep, console)
        yield lambda share: request_resources(bundles=room_for(sweep, share, most))
    finally:
        with suppress(Exception):  # the runtime may be gone, and then so is what it was asked for
            request_resources(bundles=[])


def _wait(sweep: Sweep, console: Console) -> None:
    """Until a node can hold a trial, or for so long that none will."""
    until, told = time.monotonic() + 60 * NODE_MINUTES, False
    while not any(fits(sweep, node) for node in alive_nodes().values()) and time.monotonic() < until:
        if not told:
            console.print(
                f"no node can hold a trial yet: room for {sweep.max_concurrent} is asked for; waiting for the first "
                f"node, up to {NODE_MINUTES:g} minutes (Ctrl-C ends it)",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
            told = True
        time.sleep(_LOOK_SECONDS)
