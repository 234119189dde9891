"""The contract of a searcher, and what it is told: `Searcher`, `Observation`. It neither runs nor judges configs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from results import RunStatus
from search_spaces import Config, SearchSpace
from tune.schedulers.history import CONFIRM, Run


@dataclass(frozen=True, slots=True)
class Observation:
    """What the runs of one config have shown so far; `observe` makes it. Higher values are better.

    Runs that have not ended are not counted; a config of which nothing is known yet has all defaults.

    Args:
        mean: the mean of its final scores, over however many replicates ended by themselves; None without one.
        n: how many scores that is.
        n_failed: runs that ended without a score through no choice of the policy.
        n_stopped: runs that the policy stopped.
        stopped_epoch: the latest epoch at which one was stopped after it had shown a value; 0 without one.
        stopped_value: the mean of the best values up to that epoch of the runs stopped there; None without one.
    """

    mean: float | None = None
    n: int = 0
    n_failed: int = 0
    n_stopped: int = 0
    stopped_epoch: int = 0
    stopped_value: float | None = None


class Searcher(Protocol):
    """Proposes the configs of a sweep, one after the other.

    Suggestion `index` is a pure function of the arguments of `suggest`: a searcher keeps nothing between calls
    that changes an answer, and touches no global generator. So the same sweep seed and the same results give
    the same configs, in any process.

    Attributes:
        learns: suggestions depend on `observed`, so that they cannot be told before results are in.
    """

    learns: ClassVar[bool]

    def suggest(
        self,
        index: int,
        history: Sequence[Config],
        *,
        space: SearchSpace,
        seed: int,
        observed: Sequence[Observation] = (),
    ) -> Config | None:
        """Propose one config that was not proposed before.

        Args:
            index: which suggestion this is, counted from 0.
            history: suggestions 0 to ``index - 1``, in order.
            space: what may be tried; the suggestion lies within it.
            seed: the sweep's seed, in [0, 2^63).
            observed: what is known of each config of `history`, in the same order; empty: nothing yet.

        Returns:
            The config, or None once there is nothing left to propose.

        Raises:
            SweepError: if the searcher cannot search this space at all.
        """
        ...


def observe(runs: Iterable[Run]) -> Observation:
    """Sum up the runs of one config for a searcher. Runs that confirm a choice are left out: they guide no search.

    A stopped run has no score and is never averaged with finished ones; of stopped runs only those that got
    furthest are averaged, since values at unequal epochs cannot be compared.
    """
    searched = [run for run in runs if run.stage != CONFIRM]
    scores = [run.score for run in searched if run.score is not None]
    stopped = [run for run in searched if run.status is RunStatus.STOPPED]
    furthest = max((run.epochs for run in stopped if run.best_epoch), default=0)
    values = [run.best for run in stopped if run.best_epoch and run.epochs == furthest]
    return Observation(
        mean=sum(scores) / len(scores) if scores else None,
        n=len(scores),
        n_failed=sum(run.failed for run in searched),
        n_stopped=len(stopped),
        stopped_epoch=furthest,
        stopped_value=sum(values) / len(values) if values else None,
    )
