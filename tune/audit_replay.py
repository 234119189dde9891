"""What a stopping policy would have done to runs whose whole curves are recorded: no training, no files.

Each seed is replayed by itself, with the recorded runs arriving in random orders, and only the screening: what a policy
resumes later depends on other seeds. Where the search stopped runs, only the survivors of its own stopping have whole
curves; they are a biased choice, and the answer says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from results.stopping_cost import default_top
from tune.replay import Replayed, replay
from tune.schedulers import (
    SCREEN,
    WAIT,
    Decision,
    Finish,
    History,
    Move,
    Policy,
    PolicyOptions,
    Run,
    Start,
    make_policy,
)

#: One seed: the metric of each run after each epoch, higher is better, to the end of the run.
SeedCurves = Sequence[Sequence[float]]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReplayPlan:
    """How recorded runs are replayed.

    Args:
        policy: a name in `POLICIES`.
        options: of a search with as many configs as a seed has curves, on one seed.
        replays: random orders of arrival.
        workers: runs at a time.
        top: how many of the best runs of a seed are watched; None = `default_top` of the runs there.
    """

    policy: str
    options: PolicyOptions
    replays: int = 200
    workers: int = 4
    top: int | None = None

    def problems(self) -> list[str]:
        """Everything that is wrong with it."""
        least = {"replays": 1, "workers": 1, "top": 1}
        found = [
            f"{name}: {value} is too small; at least {low}"
            for name, low in least.items()
            if (value := getattr(self, name)) is not None and value < low
        ]
        try:
            make_policy(self.policy, self.options)
        except ValueError as error:
            found.append(str(error))
        return found


@dataclass(frozen=True)
class Counterfactual:
    """What the policy would have done to the best runs; shares are 0 to 1, means over the orders of arrival.

    Attributes:
        policy, grace, eta, replays, workers: how it was replayed.
        seeds: seeds that were replayed; each has at least two whole curves.
        runs: their whole curves.
        watched: the best runs of each seed, together: those that should not be stopped.
        stopped: share of the watched runs that had no final score when the screening was over.
        error: its standard error from the finite number of orders, None with one; it says nothing about other curves.
        best_stopped: the same share of the seeds' single best runs.
        spent: epochs, as a share of those of running everything to its end.
        unseen: runs of these seeds that the search stopped and no audit has run to their end.
        absent: runs of these seeds that the search never started; both 0 = nothing is missing.
        undefined: runs left out because the metric is not defined after each of their epochs.
    """

    policy: str
    grace: int
    eta: float
    replays: int
    workers: int
    seeds: int
    runs: int
    watched: int
    stopped: float
    error: float | None
    best_stopped: float
    spent: float
    unseen: int
    absent: int
    undefined: int


def counterfactual(
    curves: Mapping[int, SeedCurves],
    plan: ReplayPlan,
    *,
    rng: np.random.Generator,
    unseen: int = 0,
    absent: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Counterfactual | None:
    """Replay a policy on every seed, in random orders of arrival.

    Args:
        curves: replicate -> the whole curves of its runs.
        plan: the policy, and how often.
        rng: of the orders of arrival.
        unseen: see `Counterfactual`.
        absent: see `Counterfactual`.
        on_step: told how many of how many seeds are done.

    Returns:
        None when no seed has two curves that are defined throughout.
    """
    whole = {r: [c for c in group if c and all(map(math.isfinite, c))] for r, group in sorted(curves.items())}
    undefined = sum(len(group) for group in curves.values()) - sum(len(group) for group in whole.values())
    usable = [group for group in whole.values() if len(group) > 1]
    if not usable:
        return None
    weights, shares = [], []
    for done, group in enumerate(usable):
        on_step(done, len(usable))
        top = min(plan.top or default_top(len(group)), len(group) - 1)
        weights.append(top)
        shares.append(_seed(group, plan, top, rng))
    on_step(len(usable), len(usable))
    by_order = np.average(shares, axis=0, weights=weights)
    stopped, _, spent = by_order.mean(axis=0).tolist()
    error = by_order[:, 0].std(ddof=1) / math.sqrt(plan.replays) if plan.replays > 1 else None
    return Counterfactual(
        policy=plan.policy,
        grace=plan.options.grace,
        eta=plan.options.eta,
        replays=plan.replays,
        workers=plan.workers,
        seeds=len(usable),
        runs=sum(map(len, usable)),
        watched=sum(weights),
        stopped=stopped,
        error=None if error is None else float(error),
        best_stopped=float(np.mean([share[:, 1] for share in shares])),
        spent=spent,
        unseen=unseen,
        absent=absent,
        undefined=undefined,
    )


def _seed(curves: SeedCurves, plan: ReplayPlan, top: int, rng: np.random.Generator) -> Shares:
    """(replays, 3): share of the best `top` runs that were stopped; the best one was; share of the epochs spent."""
    best = np.argsort([-max(curve) for curve in curves], kind="stable")[:top].tolist()
    everything = sum(map(len, curves))
    found = np.empty((plan.replays, 3))
    for i in range(plan.replays):
        order = rng.permutation(len(curves)).tolist()
        seen = _replayed(plan, curves, order)
        kept = {order[run.config] for run in seen.history.runs if run.score is not None}
        stopped = [run not in kept for run in best]
        found[i] = np.mean(stopped), stopped[0], seen.history.epochs / everything
    return found


def _replayed(plan: ReplayPlan, curves: SeedCurves, order: Sequence[int]) -> Replayed:
    """The screening of one seed, its runs in this order."""
    n = len(curves)
    options = replace(plan.options, configs=n, seeds=1, confirm=0, budget_epochs=None)
    policy = _Screening(make_policy(plan.policy, options))
    return replay(policy, lambda config, _: curves[order[config]], configs=n, workers=plan.workers)


class _Screening:
    """A policy as far as its screening goes.

    Args:
        policy: the whole one.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def next_move(self, history: History) -> Move:
        """What the policy does, until it wants to resume a run in a later stage."""
        move = self._policy.next_move(history)
        if not isinstance(move, Start) or move.stage == SCREEN:
            return move
        return WAIT if any(history.pending()) else Finish("the screening is over")

    def judge(self, run: Run, history: History) -> Decision:
        """What the policy says."""
        return self._policy.judge(run, history)


def replay_sentences(found: Counterfactual | None) -> tuple[str, ...]:
    """The answer in words, with what it cannot tell."""
    if found is None:
        return ("No seed has two runs with whole curves, so no policy can be replayed.",)
    error = "" if found.error is None else f" (standard error over the orders {100 * found.error:.1f} %)"
    said = [
        f"Replayed in {found.replays} random orders with {found.workers} at a time, the screening of {found.policy} "
        f"(grace {found.grace}, eta {found.eta:g}) stops {100 * found.stopped:.1f} %{error} of the best "
        f"{found.watched} of {found.runs} runs on {_counted(found.seeds, 'seed')}, {100 * found.best_stopped:.1f} % of "
        f"the single best, and spends {100 * found.spent:.0f} % of the epochs. What it would resume later is not "
        "counted.",
    ]
    if found.unseen or found.absent:
        said.append(
            f"Only runs that reached their end can be replayed; {_missing(found)}, and the others are a choice "
            "that the search has made: this is no estimate for all runs."
        )
    else:
        said.append("Every run of these seeds reached its end, so nothing is missing from the replay.")
    if found.undefined:
        said.append(f"{_counted(found.undefined, 'run')} without a value after every epoch left out.")
    return tuple(said)


def _missing(found: Counterfactual) -> str:
    """The runs of the replayed seeds that have no whole curve, by why."""
    absent = f"{'was' if found.absent == 1 else 'were'} never started"
    if not found.unseen:
        return f"{_counted(found.absent, 'run')} of these seeds {absent}"
    stopped = f"{_counted(found.unseen, 'run')} of these seeds did not"
    return f"{stopped} and {found.absent} more {absent}" if found.absent else stopped


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
