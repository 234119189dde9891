"""The state machine of a sweep: stages, early stopping, statuses, and a resume at any point that changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from results import ResultsStore, RunStatus, StoreError
from search_spaces import space_from_mapping
from tune.execution import MAX_LOST, Execution
from tune.recorder import Recorder
from tune.schedulers import Action
from tune.sweep import Sweep
from tune.trial import RunEnd, TrialSpec

SPACE = {
    "space": "toy",
    "constants": {"backbone": "tu-mobilenetv3_small_050"},
    "parameters": {"lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
}


class Killed(Exception):
    """Stands for kill -9 of the driver."""


def a_sweep(**options: Any) -> Sweep:
    space = space_from_mapping(SPACE, source="test")
    return Sweep(
        space=space,
        data_dir=Path("data"),
        **{"configs": 6, "seeds": 2, "max_epochs": 9, "grace": 1, "policy": "asha", **options},
    )


def value(spec: TrialSpec, epoch: int) -> float:
    """A learning curve that depends on the config and on the replicate, with some epoch noise."""
    noise = random.Random(f"{spec.trial_key}/{epoch}").gauss(0, 0.02)
    return spec.config["lr"] * 30 * (1 - 0.7**epoch) + 0.01 * spec.replicate.index + noise


def execution_on(sweep: Sweep, store: ResultsStore, *, backwards: bool = False) -> Execution:
    ticks = count(0, -1) if backwards else count()
    offset = store.epochs().num_rows * 1000.0
    recorder = Recorder(
        store,
        sweep_id="s",
        checkpoints=store.run_dir / "checkpoints",
        warn=pytest.fail,
        clock=lambda: offset + next(ticks),
    )
    return Execution(sweep, store, recorder=recorder, node="here")


def events(spec: TrialSpec, known: int, sweep: Sweep) -> Iterator[Mapping[str, Any] | RunEnd]:
    for epoch in range(known + 1, sweep.max_epochs + 1):
        yield {"epoch": epoch, "val_iou": value(spec, epoch), "device": "cpu", "epoch_seconds": 1.0}
    yield RunEnd("finished", "ran all epochs")


def drive(execution: Execution, *, slots: int = 1, epochs: int | None = None) -> None:
    """Run trials in `slots` interleaved slots; after `epochs` epochs the driver is killed."""
    running: dict[TrialSpec, Iterator[Mapping[str, Any] | RunEnd]] = {}
    budget = count()
    while True:
        while len(running) < slots and (spec := execution.next_trial()) is not None:
            running[spec] = events(spec, execution.known_epochs(spec), execution.sweep)
        if not running:
            assert execution.done
            return
        for spec, trial in list(running.items()):
            event = next(trial)
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
    for event in events(spec, execution.known_epochs(spec), execution.sweep):
        if isinstance(event, RunEnd):
            execution.on_end(spec, event)
        elif execution.on_epoch(spec, event) is not Action.CONTINUE:
            return


def rows(store: ResultsStore, table: str) -> list[dict[str, Any]]:
    volatile = {"timestamp", "wall_seconds"}
    found = getattr(store, table)().to_pylist()
    plain = [{k: v for k, v in row.items() if k not in volatile} for row in found]
    return sorted(
        plain, key=lambda row: (row.get("trial_key", row.get("config_id")), row.get("epoch") or 0, str(row))
    )


def new_store(folder: Path, sweep: Sweep) -> ResultsStore:
    about = {
        "sweep_id": "s",
        "name": "toy",
        "metric": "val_iou",
        "mode": "max",
        "max_epochs": sweep.max_epochs,
    }
    return ResultsStore.create(folder, {**about, "replicates": sweep.planned_seeds})


def test_without_stopping_every_config_runs_every_replicate_to_the_end(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none")
    with new_store(tmp_path / "run", sweep) as store:
        drive(execution_on(sweep, store), slots=3)
        assert store.configs().num_rows == 6
        assert store.runs().num_rows == 12
        assert set(store.runs().column("status").to_pylist()) == {"finished"}
        assert store.epochs().num_rows == 12 * 9


def test_all_configs_meet_the_same_seeds(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none")
    with new_store(tmp_path / "run", sweep) as store:
        drive(execution_on(sweep, store))
        seeds = {
            (r["replicate"], r["seed_init"], r["seed_order"], r["seed_augment"])
            for r in store.runs().to_pylist()
        }
        assert len(seeds) == sweep.seeds


def test_asha_stops_runs_and_the_finalists_are_completed_on_every_replicate(tmp_path: Path) -> None:
    sweep = a_sweep()
    with new_store(tmp_path / "run", sweep) as store:
        drive(execution_on(sweep, store), slots=2)
        runs = store.runs().to_pylist()
        decisions = store.decisions().to_pylist()
    by_config: dict[str, list[str]] = {}
    for run in runs:
        by_config.setdefault(run["config_id"], []).append(run["status"])
    complete = [config for config, statuses in by_config.items() if set(statuses) == {"finished"}]
    assert len(complete) >= 2
    assert any("stopped" in statuses for statuses in by_config.values())
    completed = {d["trial_key"] for d in decisions if d["action"] == "resume"}
    assert completed
    assert all(
        run["stage"] == "allocate" and run["epochs"] == 9 for run in runs if run["trial_key"] in completed
    )
    assert all(d["reason"] for d in decisions)


@pytest.mark.parametrize("policy", ["asha", "none"])
def test_a_sweep_killed_after_any_epoch_and_resumed_has_the_rows_of_an_uninterrupted_one(
    tmp_path: Path, policy: str
) -> None:
    sweep = a_sweep(policy=policy, configs=4, max_epochs=5)
    with new_store(tmp_path / "whole", sweep) as whole:
        drive(execution_on(sweep, whole))
        expected = {table: rows(whole, table) for table in ("configs", "epochs", "runs", "decisions")}
    for killed_after in range(0, len(expected["epochs"]), 3):
        folder = tmp_path / f"killed-{killed_after}"
        with new_store(folder, sweep) as store, pytest.raises(Killed):
            drive(execution_on(sweep, store), epochs=killed_after)
        with ResultsStore.open(folder) as store:
            drive(execution_on(sweep, store))
            assert {table: rows(store, table) for table in expected} == expected, killed_after


def test_a_clock_that_jumps_backwards_changes_nothing(tmp_path: Path) -> None:
    sweep = a_sweep(configs=4, max_epochs=5)
    with new_store(tmp_path / "run", sweep) as store:
        first = execution_on(sweep, store, backwards=True)
        drive(first)
        again = execution_on(sweep, store)
        assert {key: run.values for key, run in again.runs.items()} == {
            k: run.values for k, run in first.runs.items()
        }
        assert again.next_trial() is None
        assert again.complete


def test_an_interruption_between_two_completions_is_not_the_end(tmp_path: Path) -> None:
    sweep = a_sweep()
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        while (spec := execution.next_trial()) is not None and spec.stage == "screen":
            run_to_its_end(execution, spec)
        assert spec is not None
        waiting = sum(row["action"] == "complete" for row in rows(store, "decisions")) - 1
        assert waiting > 0
        run_to_its_end(execution, spec)
        assert not execution.running
        assert not execution.complete
        assert not execution.done


def test_trials_taken_by_a_fault_have_no_end_and_a_resume_runs_them(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=6, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        for _ in range(MAX_LOST):
            spec = execution.next_trial()
            assert spec is not None
            execution.on_lost(spec, "OSError: no space left on device")
        assert execution.next_trial() is None, "a full disk would take the next trials as well"
        assert execution.done
        assert not execution.complete
        assert len(execution.lost) == MAX_LOST
        assert store.runs().num_rows == 0
        drive(execution_on(sweep, store))
        assert store.runs().column("status").to_pylist() == ["finished"] * 6


def test_a_store_whose_configs_would_not_be_proposed_is_refused(tmp_path: Path) -> None:
    with new_store(tmp_path / "run", a_sweep()) as store:
        drive(execution_on(a_sweep(), store))
        with pytest.raises(StoreError, match="cannot be resumed"):
            execution_on(a_sweep(seed=1), store)


def test_a_finite_space_plans_only_the_configs_that_it_has(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", searcher="grid", grid_points=2, configs=16, seeds=2)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        drive(execution)
        assert execution.planned == store.runs().num_rows == 4


def test_a_torn_file_of_patch_counts_is_a_warning(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=1, seeds=1)
    warnings: list[str] = []
    with new_store(tmp_path / "run", sweep) as store:
        checkpoints = store.run_dir / "checkpoints"
        recorder = Recorder(store, sweep_id="s", checkpoints=checkpoints, warn=warnings.append)
        execution = Execution(sweep, store, recorder=recorder, node="here")
        spec = execution.next_trial()
        assert spec is not None
        (checkpoints / spec.trial_key).mkdir(parents=True)
        (checkpoints / spec.trial_key / "best_patches.npz").write_bytes(b"PK torn")
        run_to_its_end(execution, spec)
        assert store.runs().num_rows == 1
    assert [spec.trial_key in warning for warning in warnings] == [True]


def test_resuming_a_complete_sweep_runs_nothing(tmp_path: Path) -> None:
    sweep = a_sweep()
    with new_store(tmp_path / "run", sweep) as store:
        drive(execution_on(sweep, store))
        before = rows(store, "epochs")
        again = execution_on(sweep, store)
        assert again.next_trial() is None
        assert again.done
        assert rows(store, "epochs") == before


def test_a_failure_is_a_status_with_its_reason_and_the_sweep_goes_on(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=2, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        broken, sound = execution.next_trial(), execution.next_trial()
        assert broken is not None
        assert sound is not None
        execution.on_end(broken, RunEnd("diverged", "loss is NaN in epoch 1"))
        run_to_its_end(execution, sound)
        runs = {run["trial_key"]: run for run in store.runs().to_pylist()}
    assert runs[broken.trial_key]["status"] == RunStatus.DIVERGED
    assert runs[broken.trial_key]["best_value"] is None
    assert runs[broken.trial_key]["reason"] == "loss is NaN in epoch 1"
    assert runs[sound.trial_key]["status"] == RunStatus.FINISHED


def test_an_epoch_that_is_reported_again_is_recorded_once_and_judged_once(tmp_path: Path) -> None:
    sweep = a_sweep(configs=1, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        spec = execution.next_trial()
        assert spec is not None
        for epoch in (1, 2, 1, 2, 3):
            event = {"epoch": epoch, "val_iou": 0.1 * epoch, "device": "cpu", "epoch_seconds": 1.0}
            execution.on_epoch(spec, event)
        assert store.epochs().column("epoch").to_pylist() == [1, 2, 3]
        assert store.decisions().num_rows == 2


def test_a_missing_metric_stays_missing(tmp_path: Path) -> None:
    sweep = a_sweep(configs=1, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        spec = execution.next_trial()
        assert spec is not None
        execution.on_epoch(spec, {"epoch": 1, "val_iou": None, "device": "cpu", "epoch_seconds": 1.0})
        execution.on_end(spec, RunEnd("failed", "gave up"))
        assert store.epochs().column("val_iou").to_pylist() == [None]
        assert store.runs().column("best_value").to_pylist() == [None]
