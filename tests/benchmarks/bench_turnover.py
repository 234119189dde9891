"""From the end of one trial to the first batch of the next: ours, in a process that is used again, against stock Ray.

Both train the same one-epoch trials on the same tiny synthetic dataset, one at a time, by the same function. Stock is a
function trainable that imports torch and segmentation_models_pytorch, as Ray Tune runs it: with its default loggers,
and a new process for each trial. The times are taken where the training is: when the last epoch is done and when the
first batch is read. Each round is a process of its own, and the two sides run in turn.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fresh_process import measured_in_fresh_process

STOCK, OURS = "stock", "ours"
BACKBONE = "tu-mobilenetv3_small_050"


def timed_trial(text: str) -> Iterator[Any]:
    """What a trial tells; its times are left beside its checkpoint, with the time of the first batch and of the end."""
    import landslide
    from landslide.batches import load_batch
    from tune.trial import TrialJob, run_trial

    job, train, times = TrialJob.from_text(text), landslide.train, dict[str, float]()

    def first_batch(*args: Any, **options: Any) -> Any:
        times.setdefault("first", time.time())
        return load_batch(*args, **options)

    def timed_train(*args: Any, **options: Any) -> Iterator[Any]:
        for metrics in train(*args, **options):
            times["last"] = time.time()
            (Path(job.checkpoint_dir) / "times.json").write_text(json.dumps(times), encoding="utf-8")
            yield metrics

    loop = sys.modules["landslide.train"]  # as an attribute of the package, the name is the function
    with patch.object(landslide, "train", timed_train), patch.object(loop, "load_batch", first_batch):
        yield from run_trial(job)


def sweep_of(data: Path, trials: int) -> Any:
    """One epoch of so many configs, one at a time."""
    from search_spaces import space_from_mapping
    from tune.sweep import Sweep

    space = {
        "space": "turnover",
        "constants": {"backbone": BACKBONE, "encoder_weights": None, "batch_size": 8},
        "parameters": {"lr": {"type": "float", "low": 1e-4, "high": 1e-3, "log": True}},
    }
    options: dict[str, Any] = {"seeds": 1, "policy": "none", "cpus_per_trial": 1}
    return Sweep(space_from_mapping(space, source="benchmark"), data, configs=trials, max_epochs=1, **options)


def run_ours(sweep: Any, packed: Path, folder: Path) -> None:
    """Through the driver."""
    from rich.console import Console

    from results import ResultsStore
    from tune.driver import run_on_ray
    from tune.execution import Execution
    from tune.loggers import LoggedSweep
    from tune.ray_trial import LandslideTrial
    from tune.recorder import Recorder
    from tune.runtime import ray_runtime
    from tune.workplace import Workplace

    class TimedTrial(LandslideTrial):
        def setup(self, config: dict[str, Any]) -> None:
            self._events = timed_trial(config["job"])

    about = {"sweep_id": "s", "name": "turnover", "metric": "val_iou", "mode": "max"}
    about |= {"max_epochs": 1, "replicates": 1}
    with ray_runtime(sweep, None), ResultsStore.create(folder, about) as store:
        workplace = Workplace(sweep, packed, store.run_dir)
        recorder = Recorder(store, sweep_id="s", checkpoints=workplace.checkpoints, warn=print)
        execution = Execution(sweep, store, recorder=recorder, node=platform.node())
        none = LoggedSweep((), folder, "turnover", "s", "s")
        with patch("tune.ray_trial.LandslideTrial", TimedTrial):
            run_on_ray(execution, workplace, slots=1, console=Console(file=io.StringIO()), log=none)
        assert execution.complete


def run_stock(sweep: Any, packed: Path, folder: Path) -> None:
    """The same trials by a function trainable."""
    import ray
    from ray import tune as ray_tune

    from tune.trial import RunEnd, TrialSpec
    from tune.workplace import Workplace

    workplace = Workplace(sweep, packed, folder)
    specs = [TrialSpec(config, sweep.replicate(0)) for config in sweep.space.grid(sweep.configs)]
    jobs = [workplace.job(spec, known_epochs=0, share=0.0).to_text() for spec in specs]

    def trial(config: Mapping[str, Any]) -> None:
        import segmentation_models_pytorch  # noqa: F401 - what a trial imports anyway, named as people do
        import torch  # noqa: F401

        for event in timed_trial(config["job"]):
            if not isinstance(event, RunEnd):
                ray_tune.report(dict(event))

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        ray_tune.Tuner(
            ray_tune.with_resources(trial, {"cpu": 1}),
            param_space={"job": ray_tune.grid_search(jobs)},
            run_config=ray_tune.RunConfig(name="sweep", storage_path=str(folder / "ray")),
        ).fit()
    finally:
        ray.shutdown()


def gaps_of(folder: Path) -> list[float]:
    """Seconds from the end of each trial to the first batch of the one that followed."""
    files = (folder / "checkpoints").glob("*/times.json")
    times = sorted(
        (json.loads(path.read_text(encoding="utf-8")) for path in files), key=lambda time: time["first"]
    )
    return [after["first"] - before["last"] for before, after in pairwise(times)]


def measure_here(side: str, trials: int, data: Path, answer: Path) -> None:
    """The child's part."""
    from landslide import open_packed

    logging.getLogger("ray").setLevel(logging.ERROR)
    packed = open_packed(data).path
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        {STOCK: run_stock, OURS: run_ours}[side](sweep_of(data, trials), packed, run_dir)
        gaps = gaps_of(run_dir)
    assert len(gaps) == trials - 1, gaps
    answer.write_text(json.dumps(gaps), encoding="utf-8")


def main() -> None:
    """Measure both sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=6, help="of each side in a round")
    parser.add_argument("--rounds", type=int, default=3)
    for name, kind in (("--child", str), ("--data", Path), ("--answer", Path)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        measure_here(chosen.child, chosen.trials, chosen.data, chosen.answer)
        return
    from landslide import synthesize

    seconds: dict[str, list[list[float]]] = {STOCK: [], OURS: []}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LANDSLIDE_TUNE_CACHE"] = str(Path(folder) / "cache")
        synthesize(Path(folder) / "data", patches=16, seed=0, size=64)
        arguments = ["--trials", str(chosen.trials), "--data", str(Path(folder) / "data")]
        for index in range(chosen.rounds):
            for side, rounds in seconds.items():
                rounds.append(
                    measured_in_fresh_process(__file__, ["--child", side, *arguments], Path(folder))
                )
                print(
                    f"round {index + 1}, {side}: {' '.join(f'{gap:.3f}' for gap in rounds[-1])} s", flush=True
                )
    medians = {side: statistics.median(map(statistics.median, rounds)) for side, rounds in seconds.items()}
    for side, median in medians.items():
        each = [gap for gaps in seconds[side] for gap in gaps]
        print(f"{side:6s} median {median:.3f} s ({min(each):.3f} to {max(each):.3f}, {len(each)} turnovers)")
    print(f"stock / ours: {medians[STOCK] / medians[OURS]:.0f}x")


if __name__ == "__main__":
    main()
