"""What a policy is: the contract, and the values that it answers with. Knows neither Ray nor the store.

A policy is asked two things: what to start when a slot is free, and what becomes of a run that has reported an epoch.
It sees the `History` and nothing else, and it says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tune.schedulers.history import SCREEN, History, Run


class Action(StrEnum):
    """What happens to a run; the word that its decision row has."""

    START = "start"  #: it is run for the first time
    RESUME = "resume"  #: it was paused or stopped and goes on from its last epoch
    CONTINUE = "continue"
    PAUSE = "pause"  #: it gives back its slot and may be resumed
    STOP = "stop"  #: it ends here, without a score; it may be resumed in a later stage
    CHOOSE = "choose"  #: the search is over and this run's config is its choice
    RETRY = "retry"  #: a fault took it, not its config; it goes on from its last epoch. No policy says this
    SET_ASIDE = "set aside"  #: faults took it again and again; it is run when nothing else is left. No policy says this


@dataclass(frozen=True)
class Decision:
    """What becomes of one run.

    Args:
        action: CONTINUE, PAUSE or STOP.
        rung: the epoch at which the run was compared with others; None when nothing was due, and then no row is kept.
        statistic: the run's value that was compared (higher is better).
        threshold: what it was compared with; None when there was nothing to compare with.
        n: how many other runs the threshold rests on.
        reason: one sentence with these numbers.
    """

    action: Action
    rung: int | None = None
    statistic: float | None = None
    threshold: float | None = None
    n: int = 0
    reason: str = ""


#: Nothing was due.
CONTINUE = Decision(Action.CONTINUE)


@dataclass(frozen=True)
class Start:
    """Run a config on a replicate, from its beginning, or from its last epoch when it was paused or stopped.

    Args:
        config: number of the config; None for the next one that the searcher proposes.
        replicate: number of the seeds.
        reason: one sentence.
        stage: SCREEN, ALLOCATE or CONFIRM.
        statistic, threshold: the numbers behind the reason, if there are any (higher is better).
        n: how many runs they rest on.
    """

    config: int | None
    replicate: int
    reason: str
    stage: str = SCREEN
    statistic: float | None = None
    threshold: float | None = None
    n: int = 0


@dataclass(frozen=True)
class Wait:
    """Nothing to start before a run that is under way reports or ends."""


@dataclass(frozen=True)
class Finish:
    """Nothing to start any more. Paused runs end as stopped.

    Args:
        reason: what ended the search, one sentence.
        chosen: number of the config that the search has chosen; None when the policy leaves that to the verdict.
        statistic, threshold: the numbers behind the reason, if there are any.
    """

    reason: str
    chosen: int | None = None
    statistic: float | None = None
    threshold: float | None = None


Move = Start | Wait | Finish
WAIT = Wait()


class Policy(Protocol):
    """Decides what a sweep runs and when a run is stopped.

    A policy may keep what it has computed, but owes the same answers to the same history: `judge` is called once for
    every reported epoch, in order of arrival, also when a sweep is resumed and its rows are replayed; `next_move` may
    be called any number of times in between, changes nothing, and is not called for starts that are replayed. It uses
    no global random state and no clock.

    After a `Start` with ``config=None`` the searcher may turn out to have nothing left: then `History.exhausted` is
    set and the policy is asked again. A policy that answers `Wait` while nothing is pending is at fault.

    A sweep that is extended gets a new policy, made with the new options and told the whole history, which says how far
    it was (`History.begin_again`); that policy is not asked about what was decided before.
    """

    def next_move(self, history: History) -> Move:
        """What to do with a free slot."""
        ...

    def judge(self, run: Run, history: History) -> Decision:
        """What becomes of a run after its newest epoch, which the history has already.

        Runs of the stages ALLOCATE and CONFIRM are reported too; policies let them go on.
        """
        ...


@dataclass(frozen=True)
class PolicyOptions:
    """What a sweep says about its policy; each policy uses what it has a use for.

    Args:
        max_epochs: epochs of a run that is not stopped.
        seeds: replicates per config of a policy that fixes their number, the most of one that does not; None = its own
            default.
        grace: epochs before a run is first judged, at least 1.
        eta: reduction factor, above 1: about one in `eta` runs passes each rung.
        budget_epochs: epochs of the whole search, confirmation not counted; None = the policy's own default.
        stop_regret: expected simple regret, in the unit of the metric, below which a noise-aware search ends.
        confirm: fresh replicates for the choice and for its closest rival; 0 = none.
        configs: configs that the sweep asked for; the searcher may have fewer.
        seed: of posterior draws.
    """

    max_epochs: int
    seeds: int | None = None
    grace: int = 3
    eta: float = 3
    budget_epochs: int | None = None
    stop_regret: float = 0.002
    confirm: int = 0
    configs: int = 16
    seed: int = 0
