"""Recorded sweeps to test against: built through the store, deterministic, without training.

A module beside the tests, made importable by `conftest.py`; the command line's tests use it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from results import (
    ConfigRecord,
    DecisionRecord,
    EpochRecord,
    PatchRecord,
    ResultsStore,
    RunRecord,
    RunStatus,
)
from results.records import ThresholdRecord

SWEEP: dict[str, Any] = {
    "sweep_id": "sweep0001",
    "name": "recorded",
    "metric": "val_iou",
    "mode": "max",
    "max_epochs": 6,
    "replicates": 3,
    "data_id": "data0001",
}
SIX_CONFIGS: tuple[Mapping[str, Any], ...] = tuple(
    {"backbone": backbone, "loss": loss, "lr": lr, "batch_size": batch, "scheduler": "cosine"}
    for backbone, loss, lr, batch in (
        ("resnet34", "dice-bce", 1e-4, 16),
        ("resnet34", "dice-focal", 1e-4, 32),
        ("resnet50", "dice-bce", 1e-4, 32),
        ("resnet34", "dice-focal", 5e-5, 32),
        ("resnet50", "dice-bce", 1e-3, 16),
        ("resnet34", "dice-bce", 3e-4, 16),
    )
)


class Clock:
    """Seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def epoch_record(**changes: Any) -> EpochRecord:
    """An epoch row with plausible values."""
    record = EpochRecord(
        sweep_id="sweep0001",
        trial_key="c0-r0",
        config_id="c0",
        replicate=0,
        seed_init=1,
        seed_order=2,
        seed_augment=3,
        epoch=1,
        stage="screen",
        train_loss=0.9,
        val_loss=0.8,
        val_iou=0.3,
        val_f1=0.46,
        val_precision=0.4,
        val_recall=0.55,
        best_threshold=0.4,
        best_threshold_iou=0.31,
        lr=1e-4,
        epoch_seconds=12.0,
        data_seconds=1.0,
        patches_per_second=80.0,
        peak_memory_bytes=10**9,
        node="host",
        device="cpu",
        timestamp=1.7e9,
    )
    return replace(record, **changes)


def run_record(**changes: Any) -> RunRecord:
    """The end of a run."""
    record = RunRecord(
        sweep_id="sweep0001",
        trial_key="c0-r0",
        config_id="c0",
        replicate=0,
        seed_init=1,
        seed_order=2,
        seed_augment=3,
        stage="screen",
        status=RunStatus.FINISHED,
        epochs=1,
        best_epoch=1,
        best_value=0.3,
        reason="all epochs",
        error=None,
        wall_seconds=12.5,
        timestamp=1.7e9,
    )
    return replace(record, **changes)


def decision_record(**changes: Any) -> DecisionRecord:
    """A decision of the policy."""
    record = DecisionRecord(
        sweep_id="sweep0001",
        trial_key="c0-r0",
        config_id="c0",
        replicate=0,
        epoch=3,
        rung=3,
        statistic=0.21,
        n=4,
        threshold=0.3,
        action="stop",
        reason="below the best third at epoch 3",
        policy="asha",
        timestamp=1.7e9,
    )
    return replace(record, **changes)


def patch_record(**changes: Any) -> PatchRecord:
    """Pixel counts of one patch."""
    record = PatchRecord("sweep0001", "c0-r0", "c0", 0, 4, 17, tp=100, fp=20, fn=30)
    return replace(record, **changes)


def threshold_record(**changes: Any) -> ThresholdRecord:
    """Pixel counts of the validation split at one threshold."""
    record = ThresholdRecord("sweep0001", "c0-r0", "c0", 0, 4, 0.5, tp=1000, fp=200, fn=300)
    return replace(record, **changes)


Endings = Mapping[tuple[int, int], RunStatus]


def record_scores(
    run_dir: Path,
    scores: Sequence[Sequence[float]],
    *,
    endings: Endings | None = None,
    configs: Sequence[Mapping[str, Any]] | None = None,
    sweep: Mapping[str, Any] | None = None,
    confirm_from: int | None = None,
    counts: bool = False,
) -> Path:
    """Record a sweep whose run of config i on replicate j scores exactly ``scores[i][j]``.

    Args:
        run_dir: where; it must not exist.
        scores: (n_configs, n_replicates) best value of each run; NaN = the run was never started.
        endings: (config, replicate) -> how it ended, if not finished. Stopped runs stop after epoch 3.
        configs: values of each config; the first ones of `SIX_CONFIGS` otherwise.
        sweep: changes to `SWEEP`.
        confirm_from: replicates from this one on are confirmations, which took no part in choosing.
        counts: whether finished runs have pixel counts by patch and by threshold.
    """
    matrix = np.asarray(scores, dtype=float)
    chosen_on = matrix.shape[1] if confirm_from is None else confirm_from
    content = {**SWEEP, "replicates": chosen_on, **(sweep or {})}
    with ResultsStore.create(run_dir, content) as store:
        for i, values in enumerate(configs or SIX_CONFIGS[: len(matrix)]):
            store.add_config(ConfigRecord(f"c{i}", values, "random", None))
        for (i, j), score in np.ndenumerate(matrix):
            if np.isfinite(score):
                stage = "screen" if j < chosen_on else "confirm"
                ending = (endings or {}).get((i, j), RunStatus.FINISHED)
                if counts and ending is RunStatus.FINISHED:
                    record_counts(store, (i, j), float(score))
                _record_run(store, (i, j), float(score), ending, stage=stage)
    return run_dir


def record_audit(
    run_dir: Path, cell: tuple[int, int], score: float, *, ending: RunStatus | None = RunStatus.FINISHED
) -> None:
    """An audit runs a stopped run from epoch 4 to epoch 6, where it has `score` at once; None: it has not ended yet."""
    i, j = cell
    who: dict[str, Any] = {"trial_key": f"c{i}-r{j}", "config_id": f"c{i}", "replicate": j}
    with ResultsStore.open(run_dir) as store:
        store.add_decision(decision_record(action="resume", rung=None, reason="drawn", policy="audit", **who))
        for epoch in (4, 5, 6):
            store.add_epoch(epoch_record(epoch=epoch, val_iou=score, stage="audit", **who))
        if ending is not None:
            record_counts(store, cell, score)
            end = {"best_epoch": 4, "best_value": score, "stage": "audit", "status": ending}
            store.add_run(run_record(epochs=6, **end, **who))


def record_counts(store: ResultsStore, cell: tuple[int, int], score: float, *, patches: int = 20) -> None:
    """Pixel counts of a run's best epoch whose IoU at 0.5 is the score, by validation patch and by threshold.

    Patches differ in size; the IoU is highest at 0.6, by a hundredth.
    """
    i, j = cell
    who: dict[str, Any] = {"trial_key": f"c{i}-r{j}", "config_id": f"c{i}", "replicate": j, "epoch": 5}
    rng = np.random.default_rng([i, j])
    tp = rng.integers(0, 20_000, patches) * 10**9  # so many pixels that rounding does not move the score
    wrong = rng.multinomial(round(tp.sum() / score) - tp.sum(), rng.dirichlet(np.ones(patches)))
    fp = wrong // 3
    rows = zip(range(patches), tp.tolist(), fp.tolist(), (wrong - fp).tolist(), strict=True)
    store.add_patches([patch_record(patch_id=p, tp=t, fp=f, fn=n, **who) for p, t, f, n in rows])
    for k in range(1, 40):
        threshold = k / 40
        iou = score + 0.01 - abs(threshold - 0.6) / 10
        found = round(1e6 * iou)
        alarms = round((1e6 - found) * (1 - threshold))
        store.add_thresholds(
            [ThresholdRecord("sweep0001", *who.values(), threshold, found, alarms, 10**6 - found - alarms)]
        )


def _record_run(
    store: ResultsStore, cell: tuple[int, int], score: float, status: RunStatus, *, stage: str
) -> None:
    """Six epochs with the best at epoch 5, or as far as the ending allows."""
    i, j = cell
    who: dict[str, Any] = {"trial_key": f"c{i}-r{j}", "config_id": f"c{i}", "replicate": j, "seed_init": j}
    who["stage"] = stage
    curve = [score - 0.1, score - 0.05, score - 0.03, score - 0.01, score, score - 0.002]
    epochs = {RunStatus.FINISHED: 6, RunStatus.STOPPED: 3}.get(status, 2)
    for epoch, value in enumerate(curve[:epochs], start=1):
        store.add_epoch(epoch_record(epoch=epoch, val_iou=value, timestamp=1.7e9 + epoch, **who))
    failed = status not in (RunStatus.FINISHED, RunStatus.STOPPED)
    if status is RunStatus.STOPPED:
        store.add_decision(decision_record(statistic=curve[2], **{k: who[k] for k in list(who)[:3]}))
    store.add_run(
        run_record(
            status=status,
            epochs=epochs,
            best_epoch=None if failed else min(epochs, 5),
            best_value=None if failed else max(curve[:epochs]),
            reason=str(status),
            error="CUDA ran out of memory <b>&</b>" if failed else None,
            **who,
        )
    )
