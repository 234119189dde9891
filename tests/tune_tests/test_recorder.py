"""The counts that a trial leaves beside its best checkpoint come into the store as they are, or are told missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landslide.checkpoint import save_patches
from landslide.metrics import KEPT_THRESHOLDS, PatchCounts, ThresholdCounts
from results import ResultsStore, RunStatus
from results.snapshot import snapshot
from search_spaces import space_from_mapping
from tune.execution import Execution
from tune.recorder import Recorder
from tune.sweep import Sweep
from tune.trial import TrialSpec

ENDED: dict[str, Any] = {
    "status": RunStatus.FINISHED, "epochs": 5, "best_epoch": 2, "best_value": 0.4, "reason": "all epochs",
    "error": None, "wall_seconds": 1.0,
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultsStore]:
    content = {
        "sweep_id": "s",
        "name": "n",
        "metric": "val_iou",
        "mode": "max",
        "max_epochs": 5,
        "replicates": 1,
    }
    with ResultsStore.create(tmp_path / "run", content) as store:
        yield store


def a_recorded_trial(store: ResultsStore, warn: Callable[[str], Any]) -> tuple[Recorder, TrialSpec, Path]:
    """A recorder, a trial, and the file in which that trial leaves its counts."""
    lr = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}
    space = space_from_mapping({"space": "toy", "parameters": {"lr": lr}}, source="test")
    sweep = Sweep(space=space, data_dir=Path("data"), configs=1, seeds=1, max_epochs=5, policy="none")
    recorder = Recorder(store, sweep_id="s", checkpoints=store.run_dir / "checkpoints", warn=warn)
    spec = Execution(sweep, store, recorder=recorder, node="here").next_trial()
    assert spec is not None
    folder = store.run_dir / "checkpoints" / spec.trial_key
    folder.mkdir()
    return recorder, spec, folder / "best_patches.npz"


def leave_counts(path: Path, *, epoch: int) -> None:
    ids, kept = np.array([3, 8]), np.array(KEPT_THRESHOLDS)
    pooled = ThresholdCounts(threshold=kept, tp=np.arange(39)[::-1], fp=np.arange(39), fn=np.arange(39) * 2)
    save_patches(path, PatchCounts(ids, ids + 1, ids + 2, ids + 3), thresholds=pooled, epoch=epoch)


def test_the_counts_carry_the_epoch_of_the_checkpoint_that_they_belong_to(store: ResultsStore) -> None:
    """The sweep's metric may have its best elsewhere: the counts are those of the weights in best.pt."""
    recorder, spec, path = a_recorded_trial(store, pytest.fail)
    leave_counts(path, epoch=4)
    recorder.run(spec, **ENDED)
    seen = snapshot(ResultsStore.read(store.run_dir))
    assert [(row["patch_id"], row["tp"], row["fp"], row["fn"]) for row in seen.patches.to_pylist()] == [
        (3, 4, 5, 6),
        (8, 9, 10, 11),
    ]
    rows = seen.thresholds.to_pylist()
    assert [row["threshold"] for row in rows] == list(KEPT_THRESHOLDS)
    assert [(row["tp"], row["fp"], row["fn"]) for row in rows] == [(38 - i, i, 2 * i) for i in range(39)]
    who = (spec.trial_key, spec.config.config_id, spec.replicate.index, 4)
    both = [*seen.patches.to_pylist(), *rows]
    assert {(row["trial_key"], row["config_id"], row["replicate"], row["epoch"]) for row in both} == {who}


def test_a_trial_of_an_older_version_has_patches_and_no_thresholds(store: ResultsStore) -> None:
    recorder, spec, path = a_recorded_trial(store, pytest.fail)
    leave_counts(path, epoch=2)
    with np.load(path) as arrays:
        old = {name: arrays[name] for name in ("patch_id", "tp", "fp", "fn", "epoch")}
    np.savez(path, **old)
    recorder.run(spec, **ENDED)
    assert (store.patches().num_rows, store.thresholds().num_rows) == (2, 0)


def test_counts_of_a_trial_that_ran_elsewhere_are_brought_and_those_that_are_here_are_not(
    store: ResultsStore,
) -> None:
    brought: list[str] = []
    _, spec, path = a_recorded_trial(store, pytest.fail)

    def bring(trial_key: str) -> None:
        brought.append(trial_key)
        leave_counts(path, epoch=2)

    checkpoints = store.run_dir / "checkpoints"
    recorder = Recorder(store, sweep_id="s", checkpoints=checkpoints, warn=pytest.fail, bring=bring)
    leave_counts(path, epoch=1)  # of an earlier life of the run on this node
    recorder.run(spec, **ENDED)
    assert set(store.patches().column("epoch").to_pylist()) == {2}
    recorder.run(spec, **ENDED)
    assert brought == [spec.trial_key]


@pytest.mark.parametrize("killed", [False, True])
def test_counts_that_cannot_be_brought_are_said_and_recorded_when_they_can(
    store: ResultsStore, killed: bool
) -> None:
    def bring(trial_key: str) -> None:
        if ill:
            raise OSError("the server does not answer")
        leave_counts(path, epoch=2)

    ill, warnings = True, list[str]()
    _, spec, path = a_recorded_trial(store, pytest.fail)
    checkpoints = store.run_dir / "checkpoints"
    recorder = Recorder(store, sweep_id="s", checkpoints=checkpoints, warn=warnings.append, bring=bring)
    recorder.run(spec, **ENDED)
    told = f"the counts of {spec.trial_key} could not be fetched yet: the server does not answer"
    assert warnings == [told]
    assert (store.runs().num_rows, store.patches().num_rows) == (1, 0)
    assert not recorder.settle()
    ill = False
    if killed:  # the next process does not remember, but sees what is missing
        recorder = Recorder(store, sweep_id="s", checkpoints=checkpoints, warn=pytest.fail, bring=bring)
        assert recorder.settle()
        recorder.owe([(spec, 2)])
    assert recorder.settle()
    assert set(store.patches().column("epoch").to_pylist()) == {2}


@pytest.mark.parametrize("name", ["tp", "threshold_fn", "epoch"])
def test_counts_that_contradict_each_other_are_not_recorded_and_the_run_is(
    store: ResultsStore, name: str
) -> None:
    warnings: list[str] = []
    recorder, spec, path = a_recorded_trial(store, warnings.append)
    leave_counts(path, epoch=2)
    with np.load(path) as arrays:
        content = {key: arrays[key] for key in arrays}
    content[name] = np.array([1, 2, 3])
    np.savez(path, **content)
    recorder.run(spec, **ENDED)
    assert (store.patches().num_rows, store.thresholds().num_rows, store.runs().num_rows) == (0, 0, 1)
    assert [spec.trial_key in warning and str(path) in warning for warning in warnings] == [True]
