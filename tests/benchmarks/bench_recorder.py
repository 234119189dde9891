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
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivial_sweep import run_trivial, trivial_sweep

from results import ResultsStore
from tune.driver import _fit
from tune.execution import Execution
from tune.runtime import ray_runtime
from tune.sweep import Sweep
from tune.workplace import Workplace

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


def default_loggers() -> list[Any]:
    """What Ray Tune adds to a sweep unless it is told not to."""
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback

    return [CSVLoggerCallback(), JsonLoggerCallback(), TBXLoggerCallback()]


def measure(way: str, sweep: Sweep, folder: Path, *, patches: int, slots: int) -> Cost:
    """Run the whole sweep once, recorded in one of the three ways."""
    from tune.ray_adapter import Desk

    def run(execution: Execution, workplace: Workplace) -> None:
        desk = Desk(execution, workplace, on_step=lambda: None, say=print)
        _fit(desk, default_loggers() if way == DEFAULT else [], slots=slots, storage=folder / "ray")

    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    run_trivial(sweep, folder, run, slots=slots, patches=patches, recorded=way == OURS)
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
    sweep = trivial_sweep(configs=chosen.trials, epochs=chosen.epochs, slots=chosen.slots)
    small = trivial_sweep(configs=4, epochs=5, slots=chosen.slots)
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
