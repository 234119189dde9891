"""What a stopping policy would have done to runs whose whole curves are recorded: no training, no files.

Each seed is replayed by itself, with the recorded runs arriving in random orders. Where the search stopped runs, only
the survivors of its own stopping have whole curves; they are a biased choice, and the answer says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from results import RunStatus
from results.stopping_cost import default_top
from tune.replay import Replayed, replay
from tune.schedulers import Action, Policy, PolicyOptions, make_policy

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
        stopped: share of the watched runs that the policy stopped, whatever became of them later.
        lost: share that had no final score when the policy's search was over.
        lost_error: standard error of `lost` from the finite number of orders; it says nothing about other curves.
        best_lost: share of the seeds' best runs that were lost.
        spent: epochs, as a share of those of running everything to its end.
        unseen: runs of these seeds that the search stopped and no audit has run to their end: 0 = nothing is missing.
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
    lost: float
    lost_error: float
    best_lost: float
    spent: float
    unseen: int
    undefined: int


def counterfactual(
    curves: Mapping[int, SeedCurves],
    plan: ReplayPlan,
    *,
    rng: np.random.Generator,
    unseen: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Counterfactual | None:
    """Replay a policy on every seed, in random orders of arrival.

    Args:
        curves: replicate -> the whole curves of its runs.
        plan: the policy, and how often.
        rng: of the orders of arrival.
        unseen: see `Counterfactual`.
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
    stopped, lost, _, spent = by_order.mean(axis=0)
    error = by_order[:, 1].std(ddof=1) / math.sqrt(plan.replays) if plan.replays > 1 else math.nan
    return Counterfactual(
        policy=plan.policy,
        grace=plan.options.grace,
        eta=plan.options.eta,
        replays=plan.replays,
        workers=plan.workers,
        seeds=len(usable),
        runs=sum(map(len, usable)),
        watched=sum(weights),
        stopped=float(stopped),
        lost=float(lost),
        lost_error=float(error),
        best_lost=float(np.mean([share[:, 2] for share in shares])),
        spent=float(spent),
        unseen=unseen,
        undefined=undefined,
    )


def _seed(curves: SeedCurves, plan: ReplayPlan, top: int, rng: np.random.Generator) -> Shares:
    """(replays, 4): of the best `top` runs the share stopped and the share lost; best run lost; epochs spent."""
    best = np.argsort([-max(curve) for curve in curves], kind="stable")[:top].tolist()
    everything = sum(map(len, curves))
    found = np.empty((plan.replays, 4))
    for i in range(plan.replays):
        order = rng.permutation(len(curves)).tolist()
        seen = _replayed(_policy(plan, len(curves)), curves, order, workers=plan.workers)
        stopped = {order[entry.config] for entry in seen.log if entry.action is Action.STOP}
        stopped |= {order[run.config] for run in seen.history.runs if run.status is RunStatus.STOPPED}
        kept = {order[run.config] for run in seen.history.runs if run.score is not None}
        lost = [run not in kept for run in best]
        found[i] = (
            np.mean([run in stopped for run in best]),
            np.mean(lost),
            lost[0],
            seen.history.epochs / everything,
        )
    return found


def _policy(plan: ReplayPlan, configs: int) -> Policy:
    return make_policy(
        plan.policy, replace(plan.options, configs=configs, seeds=1, confirm=0, budget_epochs=None)
    )


def _replayed(policy: Policy, curves: SeedCurves, order: Sequence[int], *, workers: int) -> Replayed:
    return replay(policy, lambda config, _: curves[order[config]], configs=len(curves), workers=workers)


def replay_sentences(found: Counterfactual | None) -> tuple[str, ...]:
    """The answer in words, with what it cannot tell."""
    if found is None:
        return ("No seed has two runs with whole curves, so no policy can be replayed.",)
    error = f" +- {100 * found.lost_error:.1f}" if math.isfinite(found.lost_error) else ""
    said = [
        f"Replayed in {found.replays} random orders with {found.workers} at a time, {found.policy} "
        f"(grace {found.grace}, eta {found.eta:g}) stops {100 * found.stopped:.0f} % of the best {found.watched} "
        f"of {found.runs} runs on {_counted(found.seeds, 'seed')}.",
        f"In the end {100 * found.lost:.1f}{error} % of them have no final score, of the single best runs "
        f"{100 * found.best_lost:.1f} %; it spends {100 * found.spent:.0f} % of the epochs.",
    ]
    if found.unseen:
        said.append(
            f"Only runs that reached their end can be replayed; {_counted(found.unseen, 'run')} of these seeds "
            "did not, and those that did are a choice that stopping has made: this is no estimate for all runs."
        )
    else:
        said.append("Every run of these seeds reached its end, so nothing is missing from the replay.")
    if found.undefined:
        said.append(f"{_counted(found.undefined, 'run')} without a value after every epoch left out.")
    return tuple(said)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
