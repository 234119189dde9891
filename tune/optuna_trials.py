"""Recorded runs as Optuna's frozen trials: params, curve, state, dates. Pure: no file and no storage is touched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from results import RunStatus, StoreError
from results.schema import config_values
from results.scores import reopened
from results.snapshot import Snapshot
from search_spaces import Choice, Domain, SearchSpace, SpaceError, space_from_mapping
from search_spaces.config import same
from tune.optuna_terms import distribution

#: how each ending is called in Optuna; a run that has not ended is RUNNING, also after an interruption.
STATES = {
    RunStatus.FINISHED: TrialState.COMPLETE,
    RunStatus.STOPPED: TrialState.PRUNED,
    RunStatus.FAILED: TrialState.FAIL,
    RunStatus.DIVERGED: TrialState.FAIL,
    RunStatus.OUT_OF_MEMORY: TrialState.FAIL,
}
_ATTRIBUTES = ("trial_key", "config_id", "replicate", "stage")
_SEEDS = ("seed_init", "seed_order", "seed_augment")


def study_trials(seen: Snapshot) -> list[FrozenTrial]:
    """One trial per run, in the order in which the runs began.

    A run that finished without a value of the metric is a FAIL, and a stopped run has no value, only its curve: it has
    no final score. Epochs without a value are absent from the curve.

    Raises:
        StoreError: sweep.json holds no space that can be read.
    """
    domains = searched_domains(_space(seen))
    values = config_values(seen.configs)
    labels = dict(
        zip(*(seen.configs.column(name).to_pylist() for name in ("config_id", "label")), strict=True)
    )
    ends = {row["trial_key"]: row for row in seen.runs.to_pylist()}
    curves: dict[str, list[dict[str, Any]]] = {key: [] for key in ends}
    for row in seen.epochs.to_pylist():
        curves.setdefault(row["trial_key"], []).append(row)
    metric = str(seen.sweep["metric"])
    drafts = []
    for key, epochs in curves.items():
        config_id = (ends.get(key) or epochs[0])["config_id"]
        chosen = {"label": labels.get(config_id), "values": values.get(config_id, {})}
        drafts.append(
            _trial(sorted(epochs, key=lambda row: int(row["epoch"])), ends.get(key), chosen, domains, metric)
        )
    drafts.sort(key=lambda trial: (trial.datetime_start, trial.user_attrs["trial_key"]))
    for number, trial in enumerate(drafts):
        trial.number = number
    return drafts


def searched_domains(space: SearchSpace) -> dict[str, Domain]:
    """What Optuna will call the parameters: those of the space; in a list of fixed configs, what differs."""
    if space.parameters:
        return {parameter.name: parameter.domain for parameter in space.parameters}
    found: dict[str, Domain] = {}
    for name in space.names:
        values: list[Any] = []
        for config in space.configs:
            if name in config and not any(same(config[name], value) for value in values):
                values.append(config[name])
        if len(values) > 1 or any(name not in config for config in space.configs):
            found[name] = Choice(tuple(values))
    return found


def _space(seen: Snapshot) -> SearchSpace:
    declared = seen.sweep.get("space")
    if not isinstance(declared, Mapping):
        raise StoreError(
            "sweep.json has no `space`, so its parameters are unknown: export a sweep that was run by this program"
        )
    try:
        return space_from_mapping(declared, source="sweep.json, space")
    except SpaceError as error:
        raise StoreError([f"sweep.json: space: {problem}" for problem in error.problems]) from error


def _trial(
    epochs: Sequence[Mapping[str, Any]],
    end: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    domains: Mapping[str, Domain],
    metric: str,
) -> FrozenTrial:
    if end and epochs and reopened(end["stage"], epochs[-1]["stage"]):
        end = None
    state, value = _outcome(end)
    row = end or epochs[-1]
    params = {
        name: v for name, v in config["values"].items() if name in domains and domains[name].contains(v)
    }
    fixed = {f"fixed.{name}": v for name, v in config["values"].items() if name not in params}
    attributes = {name: row[name] for name in _ATTRIBUTES}
    attributes |= {name: str(row[name]) for name in _SEEDS}  # as text: a browser's numbers end at 53 bits
    attributes |= {"label": config["label"]} if config["label"] else {}
    attributes |= (
        {name: end[name] for name in ("status", "reason", "epochs", "best_epoch")}
        if end
        else {"epochs": len(epochs)}
    )
    curve = {int(e["epoch"]): float(e[metric]) for e in epochs if _defined(e[metric])}
    return FrozenTrial(
        number=0,
        trial_id=0,
        state=state,
        value=value,
        datetime_start=_began(epochs, end),
        datetime_complete=datetime.fromtimestamp(end["timestamp"]) if end else None,
        params=params,
        distributions={name: distribution(domains[name]) for name in params},
        user_attrs={**attributes, **fixed},
        system_attrs={},
        intermediate_values=curve,
    )


def _outcome(end: Mapping[str, Any] | None) -> tuple[TrialState, float | None]:
    if end is None:
        return TrialState.RUNNING, None
    state = STATES[RunStatus(end["status"])]
    if state is not TrialState.COMPLETE:
        return state, None
    return (state, float(end["best_value"])) if _defined(end["best_value"]) else (TrialState.FAIL, None)


def _began(epochs: Sequence[Mapping[str, Any]], end: Mapping[str, Any] | None) -> datetime:
    """When the first epoch began, or the run that never had one; local time, as Optuna writes it."""
    if epochs:
        return datetime.fromtimestamp(epochs[0]["timestamp"] - (epochs[0]["epoch_seconds"] or 0.0))
    assert end is not None
    return datetime.fromtimestamp(end["timestamp"] - end["wall_seconds"])


def _defined(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
