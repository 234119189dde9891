"""What it costs to keep the books of a sweep as it grows: ours, recorded in parquet, against stock Ray Tune.

After Ray's own scalability tests: many trials of one report, and few of many reports, none of which trains anything.
Ours goes through the real path (policy, searcher, driver, display, store). Stock is a function trainable with random
search, Ray's default loggers, snapshots and display; only its processes are reused as ours are, because otherwise
starting one per trial would be nearly all that is measured.

Each measurement is a process of its own, so that memory can be compared; both sides run in turn. CPU seconds are those
of the driver, all threads, from the first trial to the end of the sweep, after a small sweep that is not counted.
POSIX only.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fresh_process import measured_in_fresh_process
from trivial_sweep import metrics_of, run_trivial, trivial_sweep, wait_for_all

STOCK, OURS = "stock", "ours"


@dataclass(frozen=True)
class Load:
    """What is run.

    Args:
        trials: how many.
        reports: of each trial.
        slots: trials at a time.
        policy: of ours.
    """

    trials: int
    reports: int
    slots: int
    policy: str = "none"

    def __str__(self) -> str:
        return f"{self.trials} trials x {self.reports} reports, {self.slots} at a time"


@dataclass(frozen=True)
class Cost:
    """What one side needed for a load.

    Args:
        cpu: CPU seconds of the driver, all threads.
        wall: seconds.
        rss: the most memory that the driver held, MB.
        grown: by how much that is more than after a small sweep, MB.
        files: files left behind.
    """

    cpu: float
    wall: float
    rss: float
    grown: float
    files: int


# ---- one measurement, in a process of its own -----------------------------------------------------------------------


def measured(run: Callable[[Load, Path], object], load: Load, folder: Path) -> Cost:
    """A small sweep that is not counted, then the load."""
    run(Load(load.slots, 3, load.slots, load.policy), folder / "small")
    before = peak_megabytes()
    cpu, wall = time.process_time(), time.perf_counter()
    run(load, folder / "large")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    left = [path for path in (folder / "large").rglob("*") if path.is_file()]
    files = sum("workers" not in path.parts for path in left)
    return Cost(cpu, wall, peak_megabytes(), peak_megabytes() - before, files)


def peak_megabytes() -> float:
    """The most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure_ours(load: Load, folder: Path) -> Cost:
    """Through everything but the training."""
    from rich.console import Console

    from results import ResultsStore
    from tune.driver import run_on_ray
    from tune.loggers import LoggedSweep
    from tune.runtime import ray_runtime

    def sweep_of(load: Load) -> Any:
        return trivial_sweep(
            configs=load.trials, epochs=load.reports, slots=load.slots, policy=load.policy, seeds=1
        )

    def run(load: Load, folder: Path) -> None:
        folder.mkdir()
        terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
        none = LoggedSweep((), folder, "nothing", "s", "s")
        run_trivial(
            sweep_of(load),
            folder,
            lambda execution, workplace: run_on_ray(
                execution, workplace, slots=load.slots, console=terminal, log=none
            ),
            slots=load.slots,
        )
        rows = ResultsStore.read(folder / "run").epochs().num_rows
        assert load.policy != "none" or rows == load.trials * load.reports, rows

    with ray_runtime(sweep_of(load), None):
        return measured(run, load, folder)


def measure_stock(load: Load, folder: Path) -> Cost:
    """A function trainable under Ray Tune as it is."""
    import ray
    from ray import tune as ray_tune

    def run(load: Load, folder: Path) -> None:
        folder.mkdir()

        def trial(config: Mapping[str, Any]) -> None:
            wait_for_all(folder / "workers", load.slots)
            rng = np.random.default_rng()
            for _ in range(load.reports):
                ray_tune.report(metrics_of(rng))

        tuner = ray_tune.Tuner(
            ray_tune.with_resources(trial, {"cpu": 1 / load.slots}),
            param_space={"lr": ray_tune.loguniform(1e-4, 1e-2)},
            tune_config=ray_tune.TuneConfig(
                metric="val_iou",
                mode="max",
                num_samples=load.trials,
                max_concurrent_trials=load.slots,
                reuse_actors=True,
            ),
            run_config=ray_tune.RunConfig(name="sweep", storage_path=str(folder / "ray")),
        )
        assert len(tuner.fit()) == load.trials

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        return measured(run, load, folder)
    finally:
        ray.shutdown()


def measure_here(side: str, load: Load, answer: Path) -> None:
    """The child's part: measure, and leave the cost in a file."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        cost = {STOCK: measure_stock, OURS: measure_ours}[side](load, Path(folder))
    answer.write_text(json.dumps(asdict(cost)), encoding="utf-8")


# ---- all of them ----------------------------------------------------------------------------------------------------


def measure(side: str, load: Load, folder: Path) -> Cost:
    """Measure one side in a fresh process."""
    size = f"{load.trials}x{load.reports}x{load.slots}"
    arguments = ["--child", side, "--load", size, "--policy", load.policy]
    return Cost(**measured_in_fresh_process(__file__, arguments, folder))


def tell(load: Load, costs: Mapping[str, list[Cost]]) -> None:
    """Medians of both sides, and their ratios."""
    results = load.trials * load.reports
    print(f"\n{load}, medians of {len(costs[OURS])} round(s)")
    titles = ("CPU ms/trial", "CPU ms/result", "results/s", "peak MB", "grown MB", "files")
    print(" " * 8 + "".join(f"{title:>15s}" for title in titles))
    for side, rounds in costs.items():
        cost = median(rounds)
        print(
            f"{side:8s}{1e3 * cost.cpu / load.trials:15.2f}{1e3 * cost.cpu / results:15.3f}"
            f"{results / cost.wall:15.0f}{cost.rss:15.0f}{cost.grown:15.0f}{cost.files:15d}"
        )
    stock, ours = median(costs[STOCK]), median(costs[OURS])
    print(
        f"stock / ours: driver CPU {stock.cpu / ours.cpu:.2f}x, wall {stock.wall / ours.wall:.2f}x, "
        f"peak memory {stock.rss / ours.rss:.2f}x, files {stock.files / ours.files:.0f}x"
    )


def median(rounds: list[Cost]) -> Cost:
    """Of every number."""
    numbers = {name: statistics.median(getattr(cost, name) for cost in rounds) for name in asdict(rounds[0])}
    return Cost(**{**numbers, "files": round(numbers["files"])})


def tell_growth(costs: Mapping[Load, Mapping[str, list[Cost]]]) -> None:
    """Between the smallest and the largest number of trials of one report: cost ~ trials ** exponent."""
    single = sorted((load for load in costs if load.reports == 1), key=lambda load: load.trials)
    if len(single) < 2:
        return
    small, large = single[0], single[-1]
    more = math.log(large.trials / small.trials)
    print(f"\nfrom {small.trials} to {large.trials} trials of one report")
    for side in (STOCK, OURS):
        before, after = median(costs[small][side]), median(costs[large][side])
        print(
            f"{side:8s}driver CPU ~ trials^{math.log(after.cpu / before.cpu) / more:.2f}, "
            f"wall ~ trials^{math.log(after.wall / before.wall) / more:.2f}, "
            f"{1e3 * (after.rss - before.rss) / (large.trials - small.trials):.0f} kB of memory per trial"
        )


def main() -> None:
    """Measure both sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", default="1000x1x8,4000x1x8,16x2000x16", help="TRIALSxREPORTSxSLOTS, ...")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--policy", default="none", help="of ours")
    parser.add_argument("--child", choices=(STOCK, OURS), help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    loads = [Load(*map(int, text.split("x")), chosen.policy) for text in chosen.load.split(",")]
    if chosen.child:
        measure_here(chosen.child, loads[0], chosen.answer)
        return
    costs: dict[Load, dict[str, list[Cost]]] = {load: {STOCK: [], OURS: []} for load in loads}
    with tempfile.TemporaryDirectory() as folder:
        for index in range(chosen.rounds):
            for load in loads:
                for side, rounds in costs[load].items():
                    rounds.append(measure(side, load, Path(folder)))
                    print(f"round {index + 1}, {load}, {side}: {rounds[-1]}", flush=True)
    for load, found in costs.items():
        tell(load, found)
    tell_growth(costs)


if __name__ == "__main__":
    main()
