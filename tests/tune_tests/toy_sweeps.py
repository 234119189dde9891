"""Sweeps whose trials are formulas: driven through a real store and the real state machine, without a training.

A module beside the tests, imported by those that drive an `Execution`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from results import ConfigRecord, DecisionRecord, EpochRecord, ResultsStore, RunRecord, RunStatus
from results.schema import config_values
from search_spaces import space_from_mapping
from tune.execution import Execution
from tune.recorder import Recorder
from tune.schedulers import Action, Finish, History, Policy, Run, Start, make_policy
from tune.sweep import Sweep
from tune.trial import RunEnd, TrialSpec

SPACE = {
    "space": "toy",
    "constants": {"backbone": "tu-mobilenetv3_small_050"},
    "parameters": {"lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
}
TABLES = ("configs", "epochs", "runs", "decisions")
Trial = Iterator[Mapping[str, Any] | RunEnd]


class Killed(Exception):
    """Stands for kill -9 of the driver."""


def a_sweep(**options: Any) -> Sweep:
    """Six configs of nine epochs under the policy `asha`, unless the options say otherwise."""
    space = space_from_mapping(SPACE, source="test")
    usual = {"configs": 6, "seeds": 2, "max_epochs": 9, "grace": 1, "policy": "asha"}
    return Sweep(space=space, data_dir=Path("data"), **{**usual, **options})


def value(spec: TrialSpec, epoch: int) -> float:
    """A learning curve that depends on the config and on the replicate, with some epoch noise."""
    noise = random.Random(f"{spec.trial_key}/{epoch}").gauss(0, 0.02)
    return spec.config["lr"] * 30 * (1 - 0.7**epoch) + 0.01 * (spec.replicate.index % 7) + noise  # type: ignore[operator]


def trial(spec: TrialSpec, known: int, sweep: Sweep) -> Trial:
    """What a trial tells from the epoch after `known` on."""
    for epoch in range(known + 1, sweep.max_epochs + 1):
        yield {"epoch": epoch, "val_iou": value(spec, epoch), "device": "cpu", "epoch_seconds": 1.0}
    yield RunEnd("finished", "ran all epochs")


def sickly(spec: TrialSpec, known: int, sweep: Sweep) -> Trial:
    """The same, but a third of the runs die: at the start, in the middle, and without a value."""
    fate = random.Random(spec.trial_key).randrange(9)
    for event in trial(spec, known, sweep):
        if isinstance(event, Mapping) and fate == 0:
            yield RunEnd("out_of_memory", "does not fit")
            return
        if isinstance(event, Mapping) and fate == 1 and event["epoch"] == 4:
            yield RunEnd("diverged", "loss is NaN")
            return
        yield {**event, "val_iou": None} if isinstance(event, Mapping) and fate == 2 else event


def execution_on(
    sweep: Sweep,
    store: ResultsStore,
    *,
    backwards: bool = False,
    policy: Policy | None = None,
    share: float = 0.0,
) -> Execution:
    """An execution with a clock of its own, which may run backwards; all trials begin with the share of a GPU."""
    ticks = count(0, -1) if backwards else count()
    offset = store.epochs().num_rows * 1000.0
    recorder = Recorder(
        store,
        sweep_id="s",
        checkpoints=store.run_dir / "checkpoints",
        warn=pytest.fail,
        clock=lambda: offset + next(ticks),
    )
    return Execution(
        sweep, store, recorder=recorder, node="here", policy=policy, share_of=lambda config: share
    )


def drive(execution: Execution, *, slots: int = 1, epochs: int | None = None, trials: Any = trial) -> None:
    """Run trials in `slots` interleaved slots; after `epochs` epochs the driver is killed."""
    running: dict[TrialSpec, Trial] = {}
    budget = count()
    while True:
        while len(running) < slots and (spec := execution.next_trial()) is not None:
            running[spec] = trials(spec, execution.known_epochs(spec), execution.sweep)
        if not running:
            assert execution.done
            return
        for spec, events in list(running.items()):
            event = next(events)
            if isinstance(event, RunEnd):
                execution.on_end(spec, event)
                del running[spec]
            else:
                if epochs is not None and next(budget) >= epochs:
                    raise Killed
                if execution.on_epoch(spec, event) is not Action.CONTINUE:
                    del running[spec]


def run_to_its_end(execution: Execution, spec: TrialSpec) -> None:
    """One trial by itself, until it ends or is stopped."""
    for event in trial(spec, execution.known_epochs(spec), execution.sweep):
        if isinstance(event, RunEnd):
            execution.on_end(spec, event)
        elif execution.on_epoch(spec, event) is not Action.CONTINUE:
            return


def rows(store: ResultsStore, table: str) -> list[dict[str, Any]]:
    """The rows of a table in an order of their own, without what depends on the clock."""
    volatile = {"timestamp", "wall_seconds"}
    found = getattr(store, table)().to_pylist()
    plain = [{k: v for k, v in row.items() if k not in volatile} for row in found]
    return sorted(
        plain, key=lambda row: (row.get("trial_key", row.get("config_id")), row.get("epoch") or 0, str(row))
    )


def new_store(folder: Path, sweep: Sweep) -> ResultsStore:
    """A store for a sweep."""
    about = {
        "sweep_id": "s",
        "name": "toy",
        "metric": "val_iou",
        "mode": "max",
        "max_epochs": sweep.max_epochs,
    }
    return ResultsStore.create(folder, {**about, "replicates": sweep.planned_seeds})


def copy_torn(source: ResultsStore, target: ResultsStore, event: int) -> None:
    """A sweep as a crash leaves it that comes after an epoch is on disk, and before what follows from it is.

    Args:
        source: a whole sweep.
        target: an empty store.
        event: of that epoch.
    """
    decisions = [row for row in source.decisions().to_pylist() if row["event"] < event]
    _copy_configs(source, target, dict.fromkeys(row["config_id"] for row in decisions))
    for row in source.epochs().to_pylist():
        if row["event"] <= event:
            target.add_epoch(EpochRecord(**row))
    for row in decisions:
        target.add_decision(DecisionRecord(**row))
    for row in source.runs().to_pylist():
        if row["event"] < event:
            target.add_run(RunRecord(**{**row, "status": RunStatus(row["status"])}))


def copy_as_version_2(source: ResultsStore, target: ResultsStore, event: int) -> None:
    """A sweep as version 2 of the schema had it: no events, no stage of a decision, no starts on record.

    Args:
        source: a whole sweep.
        target: an empty store.
        event: the sweep was interrupted after this one.
    """
    epochs = [row for row in source.epochs().to_pylist() if row["event"] <= event]
    _copy_configs(source, target, dict.fromkeys(row["config_id"] for row in epochs))
    for row in epochs:
        target.add_epoch(EpochRecord(**{**row, "event": None}))
    for row in source.decisions().to_pylist():
        if row["event"] <= event and row["action"] in ("continue", "stop"):
            target.add_decision(DecisionRecord(**{**row, "event": None, "stage": None}))
    for row in source.runs().to_pylist():
        if row["event"] <= event:
            target.add_run(RunRecord(**{**row, "event": None, "status": RunStatus(row["status"])}))


def _copy_configs(source: ResultsStore, target: ResultsStore, config_ids: Iterable[str]) -> None:
    values = config_values(source.configs())
    for config_id in config_ids:
        target.add_config(ConfigRecord(config_id, values[config_id], "random"))


def decided(store: ResultsStore) -> list[tuple[Any, ...]]:
    """The recorded decisions of the policy in the order of the log."""
    faults = (Action.RETRY, Action.SET_ASIDE)
    recorded = [row for row in store.decisions().to_pylist() if row["action"] not in faults]
    found = sorted(recorded, key=lambda row: row["event"])
    return [(row["event"], row["trial_key"], row["action"], row["rung"], row["reason"]) for row in found]


def replayed(store: ResultsStore, sweep: Sweep) -> list[tuple[Any, ...]]:
    """The decisions of a fresh policy that is told the log event by event: as `decided`, if all is well.

    An implementation of its own, that shares nothing with how a sweep is resumed.
    """
    policy, history = make_policy(sweep.policy, sweep.policy_options()), History()
    number = {config_id: i for i, config_id in enumerate(store.configs().column("config_id").to_pylist())}
    found: list[tuple[Any, ...]] = []
    log = [
        (row["event"], order, row)
        for order, table in enumerate(("epochs", "decisions", "runs"))
        for row in getattr(store, table)().to_pylist()
    ]
    for event, order, row in sorted(log, key=lambda item: item[:2]):
        run = history.run(number[row["config_id"]], row["replicate"])
        if order == 0:
            assert run is not None
            history.report(run, math.nan if row["val_iou"] is None else row["val_iou"])
            decision = policy.judge(run, history)
            if decision.rung is not None:
                found.append((event, row["trial_key"], decision.action.value, decision.rung, decision.reason))
            if decision.action is Action.PAUSE:
                history.pause(run)
            elif decision.action is Action.STOP:
                history.end(run, RunStatus.STOPPED)
        elif order == 2:
            if run is not None and run.status is None:
                history.end(run, RunStatus(row["status"]))
        elif row["action"] in ("start", "resume", "choose"):
            move = policy.next_move(history)
            config = number[row["config_id"]]
            if isinstance(move, Start) and move.config is None and config != history.configs:
                history.exhausted = True  # the searcher had nothing left
                move = policy.next_move(history)
            assert isinstance(move, Finish if row["action"] == "choose" else Start), move
            found.append((event, row["trial_key"], row["action"], None, move.reason))
            if isinstance(move, Finish):
                assert move.chosen == config
                continue
            assert (move.config, move.replicate, move.stage) in (
                (config, row["replicate"], row["stage"]),
                (None, row["replicate"], row["stage"]),
            )
            _open(history, run, move, config=config, limit=sweep.configs)
    return found


def _open(history: History, run: Run | None, move: Start, *, config: int, limit: int) -> None:
    if run is not None:
        history.reopen(run, move.stage)
        return
    if config == history.configs:
        history.add_config()
        history.exhausted = history.configs >= limit
    history.start(Run(config, move.replicate, move.stage))
