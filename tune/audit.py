"""How often did stopping early kill a run that would have been among the best? Asked of a sweep that is over.

Two answers. A random sample of the stopped runs is run to its end, in the sweep's own run directory, in a stage of its
own that changes nothing that is said of the sweep. And the recorded curves are replayed under a policy. The order of
things lives here; what is drawn, run, judged and replayed each in its own module.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from results import ResultsStore, RunStatus, StoreError
from results.curves import read_curves
from results.extended import ended_runs
from results.scores import CONFIRM, read_runs
from results.statistics.proportions import Share
from results.stopping_claims import StoppedRun, StoppingCost
from results.stopping_cost import stopping_cost
from results.stopping_words import cost_sentences
from results.storage.atomic import replace_text
from results.storage.location import RunDir, RunUrl, local_copy, locate
from results.storage.working_copy import publish
from tune.audit_replay import Counterfactual, ReplayPlan, counterfactual, replay_sentences
from tune.audit_sample import refuse_missing_checkpoints, sample_runs
from tune.audit_training import Training, bring_to_their_end
from tune.errors import SweepError
from tune.schedulers import PolicyOptions
from tune.status import sweep_status
from tune.sweep import Sweep

_USUAL = Training()
Bar = Callable[[int, int], None]
#: Policies that stop nothing: what they would have done to a run is no question.
_STOPPING_NOTHING = frozenset({"none", "fixed-repeats"})
#: Runs at a time in a replay, if the sweep did not say.
_WORKERS = 4
#: Share of wrongly stopped runs from which on a user is told what to change.
_COSTLY = 0.1
#: A seed is replayed if at least this share of the configs ran on it: on fewer, they were chosen by their scores.
_SHARE_OF_CONFIGS = 0.5


@dataclass(frozen=True)
class AuditPlan:
    """What is asked.

    Args:
        sample: stopped runs to bring to their end; None = 8, 0 = none.
        seed: of the draw and of the orders of arrival.
        top: a run counts if it would be among so many of the best of its seeds; None = root of the number of configs.
        policy: which policy is replayed; None = the sweep's own, or the default one if that stops nothing.
        grace, eta: for the replay; None = those of the sweep.
        replays: random orders of arrival.
        workers: runs at a time in the replay; None = as many as the sweep ran, or 4.
    """

    sample: int | None = None
    seed: int = 0
    top: int | None = None
    policy: str | None = None
    grace: int | None = None
    eta: float | None = None
    replays: int = 200
    workers: int | None = None

    def problems(self) -> list[str]:
        """Everything that is wrong with it by itself; `top` and what follows it are the replay's to check."""
        least = {"sample": 0, "seed": 0}
        return [
            f"{name}: {value} is too small; at least {low}"
            for name, low in least.items()
            if (value := getattr(self, name)) is not None and value < low
        ]


@dataclass(frozen=True)
class Audit:
    """The answers.

    Args:
        cost: from the runs that were brought to their end, by this audit and by those before it.
        replay: from the recorded curves; None = none can be replayed.
        complete: every drawn run has ended.
        path: audit.json on this machine.
    """

    cost: StoppingCost
    replay: Counterfactual | None
    complete: bool
    path: Path

    @property
    def empty(self) -> bool:
        """Neither answer says anything."""
        return self.replay is None and not self.cost.audited

    @property
    def costly(self) -> bool:
        """Stopping took good runs: one ended above the best config's, or a tenth would have been among the best."""
        top, above = self.cost.among_top, self.cost.above_winner
        return bool(above and above.hits) or bool(top and top.sampled and top.estimate >= _COSTLY)

    def sentences(self) -> tuple[str, ...]:
        """Both answers in words."""
        return (*cost_sentences(self.cost), *replay_sentences(self.replay))

    def to_dict(self) -> dict[str, Any]:
        """The content of audit.json: plain values."""
        content = asdict(self.cost)
        shares = {"among_top": self.cost.among_top, "above_winner": self.cost.above_winner}
        content |= {name: _share(share) for name, share in shares.items()}
        replayed = asdict(self.replay) if self.replay else None
        return {**content, "complete": self.complete, "replay": replayed, "sentences": list(self.sentences())}


def _share(share: Share | None) -> dict[str, Any] | None:
    """A share with its estimate; None where nothing was sampled."""
    return (
        share if share is None else {**asdict(share), "estimate": share.estimate if share.sampled else None}
    )


def audit(
    run_dir: RunDir,
    plan: AuditPlan,
    *,
    training: Training = _USUAL,
    console: Console | None = None,
    packing: Bar | None = None,
    replaying: Bar = lambda done, total: None,
) -> Audit:
    """Audit the early stopping of a sweep that is over; write audit.json beside its report.

    Args:
        run_dir: a folder, or ``s3://bucket/prefix`` whose checkpoints are on this machine.
        plan: what is asked.
        training: where and how the drawn runs are trained.
        console: where progress is shown; stderr by default.
        packing: told about the packing of the dataset.
        replaying: told about the replay.

    Raises:
        SweepError, StoreError, DatasetError: bad input, before any training, with every problem.
    """
    console = console or Console(stderr=True)
    store = ResultsStore.read(run_dir)
    replay_plan = _replay_plan(plan, store.sweep)
    if problems := [*plan.problems(), *training.place.problems(), *replay_plan.problems()]:
        raise SweepError(problems, "this cannot be audited")
    drawn = _drawn(run_dir, store, plan)
    if drawn:
        reason = (
            f"drawn with seed {plan.seed} to be run to its end, one of {len(drawn)}: what did stopping cost?"
        )
        bring_to_their_end(run_dir, drawn, training, reason=reason, console=console, packing=packing)
        store = ResultsStore.read(run_dir)
    cost = stopping_cost(store, top=plan.top)
    done = {run.trial_key for run in cost.audited}
    found = Audit(
        cost,
        _replay(store, cost, replay_plan, rng=np.random.default_rng([plan.seed, 1]), on_step=replaying),
        complete=all(run.trial_key in done for run in drawn),
        path=local_copy(run_dir) / "audit.json",
    )
    _write(found, run_dir, sweep_id=str(store.sweep["sweep_id"]))
    return found


# ---- the sample -------------------------------------------------------------------------------------------------


def _drawn(run_dir: RunDir, store: ResultsStore, plan: AuditPlan) -> tuple[StoppedRun, ...]:
    """The runs to bring to their end, all of which can go on."""
    if plan.sample == 0:
        return ()
    if not sweep_status(run_dir).over:
        raise SweepError(
            f"{run_dir}: the sweep is not over, and a stopped run may still be resumed by it; end it with `sweep "
            "--resume`, or use --sample 0 for the replay of what is there",
            "this cannot be audited",
        )
    cost = stopping_cost(store, top=plan.top)
    if plan.sample and not cost.runs:
        raise SweepError(
            f"sample: {plan.sample} stopped runs are asked for, and none was stopped; leave --sample out for the "
            "replay alone",
            "this cannot be audited",
        )
    drawn = sample_runs(cost, sample=plan.sample, seed=plan.seed)
    refuse_missing_checkpoints(drawn, run_dir)
    return drawn


# ---- the replay -------------------------------------------------------------------------------------------------


def _replay_plan(plan: AuditPlan, stored: Mapping[str, Any]) -> ReplayPlan:
    """The replay that is asked for; what nobody says is as in the sweep."""
    own = str(stored.get("policy", Sweep.policy))
    policy = plan.policy or (Sweep.policy if own in _STOPPING_NOTHING else own)
    options = PolicyOptions(
        max_epochs=int(stored["max_epochs"]),
        grace=plan.grace if plan.grace is not None else int(stored.get("grace", Sweep.grace)),
        eta=plan.eta if plan.eta is not None else float(stored.get("eta", Sweep.eta)),
        stop_regret=float(stored.get("stop_regret", Sweep.stop_regret)),
        seed=plan.seed,
    )
    workers = plan.workers if plan.workers is not None else _workers(stored)
    return ReplayPlan(policy, options, replays=plan.replays, workers=workers, top=plan.top)


def _workers(stored: Mapping[str, Any]) -> int:
    return int(stored.get("resources", {}).get("max_concurrent") or _WORKERS)


def _replay(
    store: ResultsStore,
    cost: StoppingCost,
    plan: ReplayPlan,
    *,
    rng: np.random.Generator,
    on_step: Bar,
) -> Counterfactual | None:
    """Replay the runs that reached their end, those of audits among them, seed by seed."""
    sign = 1 if cost.mode == "max" else -1
    runs, curves = ended_runs(store.runs(), store.decisions()), read_curves(store.epochs(), cost.metric)
    whole: dict[int, list[list[float]]] = defaultdict(list)
    failed: dict[int, int] = defaultdict(int)
    started: dict[int, int] = defaultdict(int)
    by_config = read_runs(runs, curves, sign)
    for run in (run for group in by_config.values() for run in group if run.stage != CONFIRM):
        started[run.replicate] += 1
        i = curves.position.get(run.trial_key)
        if run.status is RunStatus.FINISHED and i is not None:
            values = curves.values[curves.starts[i] : curves.starts[i + 1]]
            whole[run.replicate].append((sign * values).tolist())
        elif run.status not in (None, RunStatus.STOPPED):
            failed[run.replicate] += 1
    used = {r: group for r, group in whole.items() if started[r] >= _SHARE_OF_CONFIGS * len(by_config)}
    unseen = sum(started[r] - len(group) - failed[r] for r, group in used.items())
    absent = sum(len(by_config) - started[r] for r in used)
    return counterfactual(used, plan, rng=rng, unseen=unseen, absent=absent, on_step=on_step)


# ---- the file ---------------------------------------------------------------------------------------------------


def _write(found: Audit, run_dir: RunDir, *, sweep_id: str) -> None:
    """audit.json, here and in the bucket that the sweep is in."""
    content = {"sweep_id": sweep_id, **found.to_dict()}
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    place = locate(run_dir)
    try:
        found.path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(found.path, text)
    except OSError as error:
        raise StoreError(f"{found.path} cannot be written ({error})") from error
    if isinstance(place, RunUrl):
        publish(place, [found.path])
