"""Asynchronous rungs on which a run is judged again: who came first has no advantage. Knows no posterior.

As in ASHA (Li et al. 2020, MLSys, arXiv:1810.05934), a run goes on while it is among the upper 1/eta of those that have
reached its rung. Unlike there, a run that passed while few had arrived is judged again when others have: under many
workers the first arrivals would otherwise all go on, whatever they are worth.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass

from tune.schedulers.history import Run
from tune.schedulers.policy import CONTINUE, Action, Decision, PolicyOptions
from tune.schedulers.rungs import milestones


@dataclass
class _Place:
    """Where a run was judged last: the number of the rung, its value there, and how many values the rung had."""

    rung: int = -1
    value: float = -math.inf
    seen: int = 0


class Screening:
    """The rungs of one search and the runs that have reached them.

    Args:
        options: `grace`, `eta`, `max_epochs`.
    """

    def __init__(self, options: PolicyOptions) -> None:
        self._eta, self._max_epochs = options.eta, options.max_epochs
        self._rungs = milestones(grace=options.grace, eta=options.eta, max_epochs=options.max_epochs)
        self._values: list[list[float]] = [[] for _ in self._rungs]
        self._places: dict[tuple[int, int], _Place] = {}

    def judge(self, run: Run) -> Decision:
        """Compare at a rung, or again at the last one when others have arrived there; O(log runs).

        A run that has all its epochs goes on to its end: stopping it would save nothing and lose its score.
        """
        if run.epochs >= self._max_epochs:
            return CONTINUE
        place = self._places.setdefault((run.config, run.replicate), _Place())
        following = place.rung + 1
        if following < len(self._rungs) and run.epochs >= self._rungs[following] and run.best_epoch:
            place.rung, place.value = following, run.best
            insort(self._values[following], run.best)
            return self._decide(place, first=True)
        if place.rung < 0 or place.seen == len(self._values[place.rung]):
            return CONTINUE
        return self._decide(place, first=False)

    def _decide(self, place: _Place, *, first: bool) -> Decision:
        values, epoch = self._values[place.rung], self._rungs[place.rung]
        place.seen = len(values)
        others = len(values) - 1
        threshold = None
        if others:
            threshold = _quantile_of_others(values, bisect_left(values, place.value), 1 - 1 / self._eta)
        stop = threshold is not None and place.value < threshold
        if not (stop or first):
            return CONTINUE
        action = Action.STOP if stop else Action.CONTINUE
        reason = self._reason(place.value, epoch, threshold, others)
        if stop and not first:
            reason += "; it had passed while fewer had arrived"
        return Decision(action, epoch, place.value, threshold, others, reason)

    def _reason(self, value: float, epoch: int, threshold: float | None, others: int) -> str:
        start = f"best value {value:.4f} by epoch {epoch}"
        if threshold is None:
            return f"{start}: the first one there"
        verb = "is below" if value < threshold else "reaches"
        return f"{start} {verb} {threshold:.4f}, the least of the upper 1/{self._eta:g} of {others} others"


def _quantile_of_others(values: list[float], own: int, share: float) -> float:
    """The quantile (linear, as numpy's default) of sorted values without the one at index `own`."""
    at = share * (len(values) - 2)
    low = int(at)
    first = values[low + (low >= own)]
    if at == low:
        return first
    return first + (at - low) * (values[low + 1 + (low + 1 >= own)] - first)
