"""Does a start that a policy asks for make sense? A policy that asks for another one is at fault."""

from __future__ import annotations

from results import RunStatus
from tune.replicates import FIRST_FRESH
from tune.schedulers import CONFIRM, SCREEN, History, Start


def start_problem(history: History, move: Start, *, config: int) -> str | None:
    """What keeps a start from being one that makes sense; a fault of the policy.

    Args:
        history: the runs so far.
        move: the start.
        config: number of its config; that after the last is new.
    """
    name = f"config {config} on replicate {move.replicate}"
    if config > history.configs or (move.config is not None and config == history.configs):
        return f"{name}, a config that was not proposed"
    if (move.stage == CONFIRM) != (move.replicate >= FIRST_FRESH):
        return f"{name} to {move.stage}; replicates from {FIRST_FRESH} on are for confirmation, and only they"
    run = history.run(config, move.replicate)
    if run is None or run.paused or (run.status is RunStatus.STOPPED and move.stage != SCREEN):
        return None
    return f"{name} to {move.stage}, which {'is under way' if run.pending else f'has ended as {run.status}'}"
