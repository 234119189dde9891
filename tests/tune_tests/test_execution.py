"""The state machine of a sweep: statuses, and a resume at any point that changes nothing; faults have a file beside."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from toy_sweeps import (
    a_sweep,
    copy_torn,
    drive,
    execution_on,
    new_store,
    rows,
    run_to_its_end,
)

from results import ConfigRecord, RunStatus, StoreError
from tune.execution import Execution
from tune.recorder import Recorder
from tune.schedulers import (
    ALLOCATE,
    SCREEN,
)
from tune.trial import RunEnd


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


def test_a_clock_that_jumps_backwards_changes_nothing(tmp_path: Path) -> None:
    sweep = a_sweep(configs=4, max_epochs=5)
    with new_store(tmp_path / "run", sweep) as store:
        first = execution_on(sweep, store, backwards=True)
        drive(first)
        again = execution_on(sweep, store)
        assert list(again.runs) == list(first.runs)
        assert {k: s.run for k, s in again.runs.items()} == {k: s.run for k, s in first.runs.items()}
        assert again.next_trial() is None
        assert again.complete


def test_an_interruption_between_two_completions_is_not_the_end(tmp_path: Path) -> None:
    sweep = a_sweep()
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        while (spec := execution.next_trial()) is not None and spec.stage == SCREEN:
            run_to_its_end(execution, spec)
        assert spec is not None
        run_to_its_end(execution, spec)
        assert not execution.running
        assert not execution.complete
        assert not execution.done
        following = execution.next_trial()
        assert following is not None
        assert following.stage == ALLOCATE


def test_recorded_configs_are_taken_as_they_are_and_not_proposed_again(tmp_path: Path) -> None:
    with new_store(tmp_path / "run", a_sweep()) as store:
        drive(execution_on(a_sweep(), store))
        other = execution_on(a_sweep(searcher="grid", seed=1), store)
        assert [config.config_id for config in other.configs] == store.configs().column(
            "config_id"
        ).to_pylist()


def test_recorded_configs_that_are_not_of_the_space_are_refused_all_together(tmp_path: Path) -> None:
    with new_store(tmp_path / "run", a_sweep()) as store:
        backbone = {"backbone": "tu-mobilenetv3_small_050"}
        store.add_config(ConfigRecord("not-its-hash", {**backbone, "lr": 2e-3}, "random"))
        store.add_config(ConfigRecord("outside", {**backbone, "lr": 7.0, "depth": 3}, "random"))
        with pytest.raises(StoreError, match="cannot be resumed") as raised:
            execution_on(a_sweep(), store)
    told = [problem.split(":")[0] for problem in raised.value.problems]
    assert told == [
        "config not-its-hash",
        "config outside",
        *["config outside is recorded, but lies outside space toy"] * 2,
    ]


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
        actions = store.decisions().column("action").to_pylist()
        assert actions == ["start", "continue", "continue"]


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


def test_a_crash_between_an_epoch_and_what_becomes_of_it_is_repaired(tmp_path: Path) -> None:
    """The rows come to disk epochs first: here nothing that followed from the last epoch did."""
    sweep = a_sweep(configs=3, seeds=1)
    with new_store(tmp_path / "whole", sweep) as whole:
        drive(execution_on(sweep, whole))
        expected = {table: rows(whole, table) for table in ("epochs", "decisions", "runs")}
        events = {name: getattr(whole, name)().to_pylist() for name in expected}
    stops = [row for row in events["decisions"] if row["action"] == "stop"]
    assert stops
    for stop in stops:
        with new_store(tmp_path / f"torn-{stop['event']}", sweep) as torn:
            copy_torn(whole, torn, stop["event"])
            drive(execution_on(sweep, torn))
            assert {table: rows(torn, table) for table in expected} == expected
