"""What recording adds to a sweep on Ray: our recorder against Ray's default loggers (CSV, JSON, TensorBoard) and none.

Trials that train nothing go through the real path: the `Execution`, the adapter, Ray Tune with reused actors, and for
ours the `Recorder` and a store on disk. The three ways run in turn; what is compared is the driver's CPU time per
result, all threads, from the first trial to the closed store, so that waiting and the workers do not count. The wall
time is beside it, and at the end every row must be there.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from results import ResultsStore
from search_spaces import space_from_mapping
from tune.driver import _fit
from tune.execution import Execution
from tune.recorder import Recorder
from tune.runtime import ray_runtime
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
NONE, DEFAULT, OURS = "no loggers", "Ray's default loggers", "our recorder"


@dataclass(frozen=True)
class Cost:
    """What one way of recording cost in one round.

    Args:
        cpu: driver CPU seconds, all threads.
        wall: seconds.
        files: files it left behind.
        size: their bytes.
    """

    cpu: float
    wall: float
    files: int
    size: int


class NoRecorder:
    """Stands for the `Recorder` where nothing of ours is written."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: None


def trivial_events(job: TrialJob, *, epochs: int, patches: int) -> Iterator[Mapping[str, Any] | RunEnd]:
    """What a trial tells, without a training: as many metrics, and the counts per patch beside its checkpoint."""
    rng = np.random.default_rng(job.seeds[0])
    for epoch in range(1, epochs + 1):
        measured = dict(zip(METRICS, rng.random(len(METRICS)).tolist(), strict=True))
        yield {"epoch": epoch, "device": "cpu", "peak_memory_bytes": 10**9, **measured}
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
            job = TrialJob.from_dict(config["job"])
            wait_for_all(Path(job.checkpoint_dir).parents[2] / "workers", slots)
            self._events = trivial_events(job, epochs=epochs, patches=patches)

    return TrivialTrial


def wait_for_all(folder: Path, slots: int) -> None:
    """Begin when every slot has a process: Ray gives up one that starts more slowly than these trials end."""
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < slots:
        time.sleep(0.01)


def default_loggers() -> list[Any]:
    """What Ray Tune adds to a sweep unless it is told not to."""
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback

    return [CSVLoggerCallback(), JsonLoggerCallback(), TBXLoggerCallback()]


def measure(way: str, sweep: Sweep, folder: Path, *, patches: int, slots: int) -> Cost:
    """Run the whole sweep once, recorded in one of the three ways."""
    from tune.ray_adapter import Desk

    about = {"sweep_id": "s", "name": "nothing", "metric": "val_iou", "mode": "max"}
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    with ResultsStore.create(
        folder / "run", {**about, "max_epochs": sweep.max_epochs, "replicates": sweep.seeds}
    ) as store:
        workplace = Workplace(sweep, folder, store.run_dir)
        recorder: Any = NoRecorder()
        if way == OURS:
            recorder = Recorder(store, sweep_id="s", checkpoints=workplace.checkpoints, warn=print)
        execution = Execution(sweep, store, recorder=recorder, node=platform.node())
        desk = Desk(execution, workplace, on_step=lambda: None, say=print)
        trial = trivial_trial(epochs=sweep.max_epochs, patches=patches, slots=slots)
        with patch("tune.ray_trial.LandslideTrial", trial):
            _fit(desk, default_loggers() if way == DEFAULT else [], slots=slots, storage=folder / "ray")
        assert execution.complete
        execution.interrupt()
        if way == OURS:
            store.note({"planned_runs": execution.planned})
            store.compact()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    check_rows(way, sweep, folder, patches=patches)
    made = [path for kind in ("run", "ray") for path in (folder / kind).rglob("*")]
    written = [path for path in made if path.is_file() and path.suffix != ".npz"]
    return Cost(cpu, wall, len(written), sum(path.stat().st_size for path in written))


def check_rows(way: str, sweep: Sweep, folder: Path, *, patches: int) -> None:
    """Every result must have been written, by the loggers as by us."""
    runs, results = sweep.configs, sweep.configs * sweep.max_epochs
    if way == OURS:
        store = ResultsStore.read(folder / "run")
        found = store.epochs().num_rows, store.runs().num_rows, store.patches().num_rows
        assert found == (results, runs, runs * patches), found
    if way == DEFAULT:
        lines = sum(path.read_bytes().count(b"\n") for path in (folder / "ray").rglob("result.json"))
        assert lines == results + runs, lines  # the end of a run is a result as well


def tell(costs: Mapping[str, list[Cost]], *, results: int) -> None:
    """What each way cost, what it adds to none, and the ratio of what ours adds to what the default loggers add."""
    print(f"{'':24s}{'driver CPU, ms per result':>40s}{'wall, s':>24s}{'files':>8s}{'MB':>8s}")
    for way, rounds in costs.items():
        cpu = spread([1e3 * cost.cpu / results for cost in rounds], digits=3)
        wall = spread([cost.wall for cost in rounds], digits=1)
        print(f"{way:24s}{cpu:>40s}{wall:>24s}{rounds[0].files:8d}{rounds[0].size / 1e6:8.1f}")
    each = {way: [1e3 * cost.cpu / results for cost in rounds] for way, rounds in costs.items()}
    # Whatever else the machine does only adds to a time, so the lowest round is the least disturbed one.
    for name, of in (("median round", statistics.median), ("lowest round", min)):
        default, ours = (of(each[way]) - of(each[NONE]) for way in (DEFAULT, OURS))
        print(
            f"{name}: Ray's default loggers add {default:.3f} ms of driver CPU per result, "
            f"our recorder {ours:.3f} ms; ours / default = {ours / default:.3f}"
        )


def spread(values: list[float], *, digits: int) -> str:
    """Median, and lowest to highest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Measure the three ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument(
        "--patches", type=int, default=0, help="counts per patch that ours records at each end"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    chosen = parser.parse_args()
    logging.getLogger("ray").setLevel(logging.ERROR)
    space = space_from_mapping(SPACE, source="benchmark")
    options: dict[str, Any] = {"seeds": 1, "policy": "none", "cpus_per_trial": 1 / chosen.slots}
    sweep = Sweep(space, Path("data"), configs=chosen.trials, max_epochs=chosen.epochs, **options)
    small = Sweep(space, Path("data"), configs=4, max_epochs=5, **options)
    costs: dict[str, list[Cost]] = {NONE: [], DEFAULT: [], OURS: []}
    sizes: dict[str, int] = {"patches": chosen.patches, "slots": chosen.slots}
    with ray_runtime(sweep, None), tempfile.TemporaryDirectory() as folder:
        for way in costs:  # imports and first calls, not counted
            measure(way, small, Path(folder, f"warm {way}"), **sizes)
        for index in range(chosen.rounds):
            for way, rounds in costs.items():
                rounds.append(measure(way, sweep, Path(folder, f"{index} {way}"), **sizes))
                print(f"round {index + 1}, {way}: {rounds[-1]}", flush=True)
    tell(costs, results=chosen.trials * chosen.epochs)


if __name__ == "__main__":
    main()
