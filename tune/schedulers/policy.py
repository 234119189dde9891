"""Early-stopping policies as plain Python: what to do with a run, given what was seen. Knows neither Ray nor the store.

A policy sees values for which higher is better; the direction of the metric was settled by the sweep.
Replaying the same reports in the same order gives the same decisions, which is how a resumed sweep gets its rungs back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np


class Action(StrEnum):
    """What happens to a run."""

    CONTINUE = "continue"
    STOP = "stop"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Decision:
    """One judgement of one run.

    Args:
        action: go on, stop, or (decided for finalists, not by a policy) bring a stopped run to its end.
        rung: the milestone in epochs at which the run was judged; None when nothing was due.
        statistic: the run's value that was compared (higher is better).
        threshold: the value below which it would be stopped; None when there was nothing to compare with.
        n: how many earlier runs the threshold was computed from.
    """

    action: Action
    rung: int | None = None
    statistic: float | None = None
    threshold: float | None = None
    n: int = 0


CONTINUE = Decision(Action.CONTINUE)


class Policy(Protocol):
    """Decides after each epoch of each run."""

    def decide(self, trial_key: str, *, replicate: int, epoch: int, value: float) -> Decision:
        """Judge one report.

        Args:
            trial_key: which run.
            replicate: its replicate index; runs of different replicates met different seeds.
            epoch: epochs done, from 1.
            value: the sweep's metric after this epoch, higher is better; NaN when it is not defined.

        Returns:
            The decision; the same reports in the same order give the same decisions.
        """
        ...


class RunAll:
    """Never stops a run (policy `none`)."""

    def decide(self, trial_key: str, *, replicate: int, epoch: int, value: float) -> Decision:
        """Go on."""
        return CONTINUE


@dataclass
class Rung:
    """The values recorded at one milestone of one replicate, in order of arrival."""

    milestone: int
    values: dict[str, float] = field(default_factory=dict)

    def threshold(self, eta: float) -> float | None:
        """The (1 - 1/eta) percentile of the values so far; None while there are none."""
        if not self.values:
            return None
        return float(np.percentile(list(self.values.values()), (1 - 1 / eta) * 100))


class Asha:
    """Asynchronous successive halving in its stopping form, one ladder of rungs per replicate.

    A run is compared only with runs of other configs on the *same replicate*: they met the same seeds, and the
    siblings of one config never race each other. At each milestone grace * eta^k a run is stopped when its value is
    strictly below the (1 - 1/eta) percentile of the values recorded there before it; so the first arrival always goes
    on and ties go on. Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2, in
    the stopping variant of Ray Tune's `ASHAScheduler` with one bracket.

    Args:
        grace: the first milestone, in epochs (at least 1).
        eta: the reduction factor (above 1): about 1/eta of the runs pass each milestone.
        max_epochs: no milestone lies at or beyond it, since a run ends there anyway.

    Raises:
        ValueError: for an argument outside its range.
    """

    def __init__(self, *, grace: int, eta: float, max_epochs: int) -> None:
        if grace < 1 or eta <= 1 or max_epochs < 1:
            raise ValueError(
                f"ASHA needs grace >= 1, eta > 1 and max_epochs >= 1, not {grace}, {eta}, {max_epochs}"
            )
        self.eta = eta
        self.milestones = milestones(grace=grace, eta=eta, max_epochs=max_epochs)
        self._ladders: dict[int, list[Rung]] = {}

    def decide(self, trial_key: str, *, replicate: int, epoch: int, value: float) -> Decision:
        """Judge the run at the highest milestone that it has reached and was not judged at yet.

        An undefined value (NaN) is neither recorded nor judged: it is not a number to compare.
        """
        if math.isnan(value):
            return CONTINUE
        ladder = self._ladders.setdefault(replicate, [Rung(m) for m in reversed(self.milestones)])
        for rung in ladder:
            if epoch < rung.milestone or trial_key in rung.values:
                continue
            threshold, n = rung.threshold(self.eta), len(rung.values)
            rung.values[trial_key] = value
            stop = threshold is not None and value < threshold
            return Decision(Action.STOP if stop else Action.CONTINUE, rung.milestone, value, threshold, n)
        return CONTINUE


def milestones(*, grace: int, eta: float, max_epochs: int) -> tuple[int, ...]:
    """The epochs grace * eta^k below `max_epochs`, rising."""
    found = []
    rung = float(grace)
    while int(rung) < max_epochs:
        found.append(int(rung))
        rung *= eta
    return tuple(found)


#: policy name -> what it does, for help texts and messages.
POLICIES = {
    "asha": "stop the weaker runs at rising milestones, compared within each replicate",
    "none": "run everything to the end",
}


def make_policy(name: str, *, grace: int, eta: float, max_epochs: int) -> Policy:
    """The policy of that name.

    Raises:
        ValueError: for a name that is not in `POLICIES`.
    """
    if name == "asha":
        return Asha(grace=grace, eta=eta, max_epochs=max_epochs)
    if name == "none":
        return RunAll()
    raise ValueError(f"policy {name!r} is not known; known: {', '.join(sorted(POLICIES))}")
