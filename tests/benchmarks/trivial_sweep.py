"""Sweeps of trials that train nothing, run by what runs real ones: the load of the benchmarks of bookkeeping.

Only the training is left out: the `Execution`, the adapter, Ray Tune with reused actors and the store are real.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from results import ResultsStore
from search_spaces import space_from_mapping
from tune.execution import Execution
from tune.recorder import Recorder
from tune.sweep import Sweep
from tune.trial import RunEnd, TrialJob
from tune.workplace import Workplace

SPACE = {
    "space": "nothing",
    "constants": {"backbone": "tu-mobilenetv3_small_050"},
    "parameters": {"lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
}
METRICS = (
    *("train_loss", "val_loss", "val_iou", "val_f1", "val_precision", "val_recall", "best_threshold"),
    *("best_threshold_iou", "lr", "epoch_seconds", "data_seconds", "patches_per_second"),
)
THRESHOLDS = 39


class NoRecorder:
    """Stands for the `Recorder` where nothing of ours is written."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: None


def trivial_sweep(*, configs: int, epochs: int, slots: int, **options: Any) -> Sweep:
    """So many configs of which all trials run to their end, unless the options say otherwise.

    Args:
        configs: how many.
        epochs: reports of a trial.
        slots: trials at a time on a machine with one CPU.
        options: of the sweep.
    """
    usual: dict[str, Any] = {"seeds": 1, "policy": "none", "cpus_per_trial": 1 / slots}
    space = space_from_mapping(SPACE, source="benchmark")
    return Sweep(space, Path("data"), configs=configs, max_epochs=epochs, **(usual | options))


def metrics_of(rng: np.random.Generator) -> dict[str, float]:
    """One report."""
    return dict(zip(METRICS, rng.random(len(METRICS)).tolist(), strict=True))


def trivial_events(job: TrialJob, *, epochs: int, patches: int) -> Iterator[Mapping[str, Any] | RunEnd]:
    """What a trial tells, without a training: as many metrics, and the counts per patch beside its checkpoint."""
    rng = np.random.default_rng(job.seeds[0])
    for epoch in range(job.known_epochs + 1, epochs + 1):
        yield {"epoch": epoch, "device": "cpu", "peak_memory_bytes": 10**9, **metrics_of(rng)}
    if patches:
        folder = Path(job.checkpoint_dir)
        folder.mkdir(parents=True, exist_ok=True)
        counts = {name: rng.integers(0, 16384, patches) for name in ("tp", "fp", "fn")}
        pooled = {f"threshold_{name}": rng.integers(0, 10**6, THRESHOLDS) for name in counts}
        thresholds = np.arange(1, THRESHOLDS + 1) / (THRESHOLDS + 1)
        arrays = {"patch_id": np.arange(patches), "threshold": thresholds, **counts, **pooled}
        np.savez(folder / "best_patches.npz", epoch=epochs, **arrays)
    yield RunEnd("finished", f"ran all {epochs} epochs")


def trivial_trial(*, epochs: int, patches: int, slots: int) -> type:
    """The Trainable of a sweep, with trials that train nothing."""
    from tune.ray_trial import LandslideTrial

    class TrivialTrial(LandslideTrial):
        def setup(self, config: dict[str, Any]) -> None:
            job = TrialJob.from_text(config["job"])
            wait_for_all(Path(job.checkpoint_dir).parents[2] / "workers", slots)
            self._events = trivial_events(job, epochs=epochs, patches=patches)

    return TrivialTrial


def wait_for_all(folder: Path, slots: int) -> None:
    """Begin when every slot has a process: Ray gives up one that starts more slowly than these trials end."""
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < slots:
        time.sleep(0.01)


def run_trivial(
    sweep: Sweep,
    folder: Path,
    run: Callable[[Execution, Workplace], object],
    *,
    slots: int,
    patches: int = 0,
    recorded: bool = True,
) -> None:
    """Run a whole sweep of trials that train nothing, as `launch` runs one that does.

    Args:
        sweep: of `trivial_sweep`.
        folder: where `run/`, the run directory, and `workers/` are made.
        run: runs all trials of the execution.
        slots: how many of them run at a time.
        patches: counts per patch that each trial leaves.
        recorded: whether our store gets rows.
    """
    about = {"sweep_id": "s", "name": "nothing", "metric": "val_iou", "mode": "max"}
    about |= {"max_epochs": sweep.max_epochs, "replicates": sweep.planned_seeds}
    with ResultsStore.create(folder / "run", about) as store:
        workplace = Workplace(sweep, folder, store.run_dir)
        recorder: Any = NoRecorder()
        if recorded:
            recorder = Recorder(store, sweep_id="s", checkpoints=workplace.checkpoints, warn=print)
        execution = Execution(sweep, store, recorder=recorder, node=platform.node())
        trial = trivial_trial(epochs=sweep.max_epochs, patches=patches, slots=slots)
        with patch("tune.ray_trial.LandslideTrial", trial):
            run(execution, workplace)
        assert execution.complete
        execution.interrupt()
        if recorded:
            store.note({"planned_runs": execution.planned})
            store.compact()
