"""What a search may still spend, in epochs. Looks at counts only, never at a value."""

from __future__ import annotations

from tune.schedulers.history import History
from tune.schedulers.policy import PolicyOptions


def expected_length(history: History, options: PolicyOptions) -> float:
    """Epochs that a run takes to its end: the mean over the runs that ended by themselves; before, all of them."""
    return history.finished_epochs / history.finished if history.finished else float(options.max_epochs)


def due(history: History, options: PolicyOptions) -> float:
    """Epochs that the pending runs are expected to need still, if none of them is stopped."""
    length = expected_length(history, options)
    done = [run.epochs for run in history.pending() if run.epochs < length]
    return length * len(done) - sum(done)


def has_room(history: History, options: PolicyOptions, *, reserve: float = 0.0) -> bool:
    """Whether a run may be started: epochs spent, due and held back have not reached the budget, if there is one.

    Args:
        history: the runs so far.
        options: with the budget; None = no limit.
        reserve: epochs to be held back for something else.
    """
    if options.budget_epochs is None:
        return True
    if history.epochs >= options.budget_epochs:
        return False
    return history.epochs + due(history, options) + reserve < options.budget_epochs


def spent(history: History, options: PolicyOptions) -> str:
    """The sentence for a search that its budget ended."""
    return f"the budget of {options.budget_epochs} epochs ended the search, {history.epochs} of them spent"
