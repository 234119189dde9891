"""From the recorded rows to a ranking of configs, by rules that never flatter.

- A run has a score only if it ended by itself (all its epochs, or its own patience): the best value of the
  metric over its epochs. Runs at unequal budgets are never averaged.
- A run that gets more epochs because the sweep was extended has no score, and is missing, until it has ended again.
- A run stopped by the policy has no final score; its config is listed after those with final scores, with its
  value at the largest epoch that all its runs reached. That stays so while the run is resumed and under way, because
  the runs that were not stopped are the config's lucky ones; the run itself is missing until it ends.
- Failed runs are counted beside the mean, missing runs (interrupted sweep) too; neither is ever filled in.
- Configs with some missing runs are ranked among the complete ones, by what they have.
- Where the search decided itself how many seeds a config gets, configs with final scores are ranked by the posterior
  that it allotted them by (`evidence.py`), and so are the stopped ones after them: a plain mean would put one lucky
  run before thirty.
- Confirmation runs, on seeds that took no part in choosing, are kept apart: they rank nothing.

Says nothing about which difference is real: that is `verdict.py`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from results.curves import Curves, read_curves
from results.evidence import expectations
from results.extended import choice_of
from results.naming import descriptions
from results.plan import Plan
from results.ranked_config import ConfigState, RankedConfig
from results.records import FAILURES, RunStatus
from results.schema import config_values
from results.scores import CONFIRM, RankedRun, finite, read_runs
from results.snapshot import Snapshot, snapshot
from results.statistics.blocks import Floats, config_sds, mean_intervals
from results.statistics.variances import noise_of_means

if TYPE_CHECKING:
    import pyarrow as pa

    from results.store import ResultsStore

__all__ = ["ALPHA", "ConfigState", "RankedConfig", "Ranking", "rank", "rank_snapshot", "rank_store"]

#: one minus the coverage of every interval.
#: Not an argument: it is not to be chosen after a look at the data.
ALPHA = 0.05


@dataclass(frozen=True)
class Ranking:
    """Configs from the best to the worst, and what they were ranked by.

    Attributes:
        plan: the metric, and how many runs were planned.
        alpha: one minus the coverage of every interval.
        rows: the configs.
        chosen: id of the config that the search recorded as its choice; None without such a record.
        n_audits: stopped runs that were brought to their end afterwards, to audit the stopping: here they are stopped.
    """

    plan: Plan
    alpha: float
    rows: tuple[RankedConfig, ...]
    chosen: str | None = None
    n_audits: int = 0

    @property
    def metric(self) -> str:
        """A column of `epochs`."""
        return self.plan.metric

    @property
    def sign(self) -> int:
        """+1 when higher is better, -1 when lower is."""
        return self.plan.sign

    @property
    def n_missing(self) -> int:
        """Planned runs that have not ended; an upper bound unless the plan is final."""
        ended = sum(run.status is not None for row in self.rows for run in row.runs)
        return max((self.plan.runs or 0) - ended, sum(row.n_missing for row in self.rows))

    @property
    def scored(self) -> tuple[RankedConfig, ...]:
        """The configs that have final scores and may be compared."""
        return tuple(
            row for row in self.rows if row.state in (ConfigState.COMPLETE, ConfigState.INCOMPLETE) and row.n
        )

    @property
    def n_started(self) -> int:
        """Configs of which a run was started: the family over which the verdict's intervals hold."""
        return sum(1 for row in self.rows if row.runs)

    def matrix(self) -> Floats:
        """Scores of `scored`, (n_configs, n_replicates), turned so that higher is better; NaN = none."""
        return _matrix([row.runs for row in self.scored], self.sign)

    def row(self, config_id: str) -> RankedConfig | None:
        """The row of a config, if it is in the ranking."""
        return next((row for row in self.rows if row.config_id == config_id), None)

    def named(self, name: str) -> tuple[RankedConfig, ...]:
        """The configs with this label, else those whose id begins so; one if the name is good."""
        labelled = tuple(row for row in self.rows if name == row.label)
        return labelled or tuple(row for row in self.rows if name and row.config_id.startswith(name))

    def not_named(self, name: str) -> str:
        """The problem with a name that is not exactly one config's."""
        known = ", ".join(row.short for row in self.rows[:10])
        word = "more than one" if self.named(name) else "no"
        return f"{word} config matches {name!r}: choose one of {known}"


def rank_store(store: ResultsStore) -> Ranking:
    """`rank` a run directory by its own sweep."""
    return rank_snapshot(snapshot(store))


def rank_snapshot(seen: Snapshot) -> Ranking:
    """`rank` what was read from a run directory, by its own sweep."""
    plan = Plan.of(seen.sweep)
    ranking = rank(seen.epochs, seen.runs, seen.configs, plan, going_on=seen.going_on)
    return replace(ranking, chosen=choice_of(seen.decisions, seen.sweep), n_audits=seen.audits.runs)


def rank(
    epochs: pa.Table, runs: pa.Table, configs: pa.Table, plan: Plan, *, going_on: Collection[str] = ()
) -> Ranking:
    """Rank configs by the mean of their runs' final scores, or by their posterior when the plan is adaptive.

    Ties keep the order of the config ids.

    Args:
        epochs: `ResultsStore.epochs()`.
        runs: `ResultsStore.runs()`, read before `epochs`: a run that ended has all its epochs there.
        configs: `ResultsStore.configs()`.
        plan: the metric, and how many runs were planned.
        going_on: the keys of runs that get more epochs because the sweep was extended; `runs` has no end of theirs.

    Raises:
        ValueError: unknown metric.
    """
    metric, sign = plan.metric, plan.sign
    if metric not in epochs.column_names:
        raise ValueError(f"metric {metric!r} is not a column of epochs: {', '.join(epochs.column_names)}")
    curves = read_curves(epochs, metric)
    by_config = read_runs(runs, curves, sign, going_on=going_on)
    labels = dict(
        zip(configs.column("config_id").to_pylist(), configs.column("label").to_pylist(), strict=True)
    )
    values = config_values(configs)
    described = descriptions(values)
    drafts = [
        _draft(config_id, by_config.get(config_id, ()), plan.replicates)
        | {"label": labels.get(config_id), "values": values.get(config_id, {})}
        | {"description": described.get(config_id, "")}
        for config_id in sorted({*labels, *by_config})
    ]
    _add_common(drafts, curves, sign)
    _add_intervals(drafts, sign)
    _add_expected(drafts, curves, plan)
    drafts.sort(key=lambda draft: _order(draft, sign))
    rows = tuple(RankedConfig(position=i, **draft) for i, draft in enumerate(drafts, start=1))
    return Ranking(plan, ALPHA, rows)


def _draft(config_id: str, found: tuple[RankedRun, ...], replicates: int) -> dict[str, Any]:
    """Everything of a row that needs neither its curves nor another config."""
    runs = tuple(run for run in found if run.stage != CONFIRM)
    stopped = [run for run in runs if run.status is RunStatus.STOPPED]
    # A run that finished without one finite value of the metric has failed at its task.
    failed = [
        run
        for run in runs
        if run.status in FAILURES or (run.status is RunStatus.FINISHED and run.score is None)
    ]
    ended = {run.replicate for run in runs if run.status is not None}
    expected = {*range(replicates), *(run.replicate for run in runs)}
    scores = [run.score for run in runs if run.score is not None]
    if stopped or any(run.reopened for run in runs):
        state = ConfigState.STOPPED
    elif expected - ended or not runs:
        state = ConfigState.INCOMPLETE
    else:
        state = ConfigState.COMPLETE if scores else ConfigState.FAILED
    final = state in (ConfigState.COMPLETE, ConfigState.INCOMPLETE)
    return {
        "config_id": config_id,
        "state": state,
        "runs": runs,
        "confirmations": tuple(run for run in found if run.stage == CONFIRM),
        "n": len(scores),
        "mean": sum(scores) / len(scores) if scores and final else None,
        "n_failed": len(failed),
        "n_stopped": len(stopped),
        "n_missing": len(expected - ended),
        "epochs": sum(run.epochs for run in found),
    }


def _add_common(drafts: list[dict[str, Any]], curves: Curves, sign: int) -> None:
    """For every stopped config: the largest epoch that all its unfailed runs reached, and their mean best up to it."""
    last, until = curves.last_epochs(), curves.last_epochs().copy()
    own: dict[str, list[int]] = {}
    for draft in drafts:
        draft |= {"common_epoch": None, "common_value": None}
        if draft["state"] is not ConfigState.STOPPED:
            continue
        keys = [run.trial_key for run in draft["runs"] if run.status not in FAILURES]
        own[draft["config_id"]] = [curves.position[key] for key in keys if key in curves.position]
        if members := own[draft["config_id"]]:
            draft["common_epoch"] = int(last[members].min())
            until[members] = draft["common_epoch"]
    if not own:
        return
    rows = curves.best_rows(sign, until)
    for draft in drafts:
        best = rows[own.get(draft["config_id"], [])]
        if len(best) and (best >= 0).all():
            draft["common_value"] = float(curves.values[best].mean())


def _add_intervals(drafts: list[dict[str, Any]], sign: int) -> None:
    """Standard deviation and pooled t interval of every draft that has a mean; None elsewhere."""
    for draft in drafts:
        draft |= {"sd": None, "low": None, "high": None}
    final = [draft for draft in drafts if draft["mean"] is not None]
    if not final:
        return
    matrix = sign * _matrix([draft["runs"] for draft in final], sign)
    intervals = mean_intervals(matrix, noise=noise_of_means(matrix, alpha=ALPHA), alpha=ALPHA)
    for draft, sd, (low, high) in zip(final, config_sds(matrix), intervals, strict=True):
        draft |= {"sd": finite(sd), "low": finite(low), "high": finite(high)}


def _add_expected(drafts: list[dict[str, Any]], curves: Curves, plan: Plan) -> None:
    """What every draft is expected to score, if the number of its seeds depended on its scores."""
    runs = {draft["config_id"]: draft["runs"] for draft in drafts if plan.adaptive}
    found = expectations(runs, curves, sign=plan.sign, alpha=ALPHA)
    for draft in drafts:
        draft["expected"] = found.get(draft["config_id"])


def _matrix(groups: list[tuple[RankedRun, ...]], sign: int) -> Floats:
    width = max((run.replicate for runs in groups for run in runs), default=-1) + 1
    matrix = np.full((len(groups), width), np.nan)
    for i, runs in enumerate(groups):
        for run in runs:
            if run.score is not None:
                matrix[i, run.replicate] = sign * run.score
    return matrix


#: complete and incomplete configs are ranked together: a gap does not make a score worse.
_GROUPS = {ConfigState.COMPLETE: 0, ConfigState.INCOMPLETE: 0, ConfigState.STOPPED: 1, ConfigState.FAILED: 2}


def _order(draft: Mapping[str, Any], sign: int) -> tuple[float, float, float, str]:
    """Sort key: final scores or not, then (for stopped configs) how far it got, then the value, then the id.

    Expected scores make stopped configs comparable at whatever epoch they were stopped.
    """
    value = draft["mean"] if draft["mean"] is not None else draft["common_value"]
    if expected := draft["expected"]:
        value = expected.mean
    return (
        _GROUPS[draft["state"]],
        0 if expected else -(draft["common_epoch"] or 0),
        -sign * value if value is not None else math.inf,
        draft["config_id"],
    )
