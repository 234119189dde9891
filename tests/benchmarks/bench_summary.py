"""Seconds and memory of a summary: ranking with intervals, then the whole report, over a million epoch rows.

The alternative reads the same rows with pandas and groups them there: the mean of each config's best values, without
statuses, intervals or checks. Each way runs in a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.connection
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from results import ConfigRecord, ResultsStore
from results.schema import EPOCHS, RUNS

EPOCHS_PER_RUN = 50


def record(run_dir: Path, configs: int, seeds: int) -> None:
    """Write a finished sweep of configs x seeds x 50 epochs straight into parquet parts."""
    rng = np.random.default_rng(0)
    sweep = {
        "sweep_id": "bench",
        "name": "bench",
        "metric": "val_iou",
        "mode": "max",
        "max_epochs": EPOCHS_PER_RUN,
    }
    with ResultsStore.create(run_dir, {**sweep, "replicates": seeds}) as store:
        for i in range(configs):
            values = {"backbone": f"resnet{18 + i % 3}", "lr": float(f"{10 ** rng.uniform(-5, -3):.6g}")}
            store.add_config(ConfigRecord(f"c{i:05d}", values, "random"))
    runs, n = configs * seeds, configs * seeds * EPOCHS_PER_RUN
    config, replicate = np.repeat(np.arange(configs), seeds), np.tile(np.arange(seeds), configs)
    who = {
        "sweep_id": pa.array(["bench"] * runs),
        "trial_key": pa.array([f"c{i:05d}-r{j:02d}" for i, j in zip(config, replicate, strict=True)]),
        "config_id": pa.array([f"c{i:05d}" for i in config]),
        "replicate": replicate,
        **dict.fromkeys(("seed_init", "seed_order", "seed_augment"), replicate),
        "stage": pa.array(["screen"] * runs),
    }
    final = rng.normal(0.44, 0.01, configs)[config] + rng.normal(0, 0.02, runs)
    curve = final[:, None] * (1 - 0.8 ** np.arange(1, EPOCHS_PER_RUN + 1)) + rng.normal(
        0, 0.005, (runs, EPOCHS_PER_RUN)
    )
    spread = np.repeat(np.arange(runs), EPOCHS_PER_RUN)
    rows = {name: pa.array(column).take(pa.array(spread)) for name, column in who.items()}
    rows |= {"epoch": np.tile(np.arange(1, EPOCHS_PER_RUN + 1), runs), "val_iou": curve.ravel()}
    rows |= {
        name: np.full(n, 0.5)
        for name in ("train_loss", "val_f1", "val_precision", "val_recall", "epoch_seconds")
    }
    rows |= {
        "node": pa.array(["here"] * n),
        "device": pa.array(["cpu"] * n),
        "timestamp": np.arange(n, dtype=float),
    }
    _write(run_dir / "epochs", EPOCHS, rows, n)
    ends = {**who, "status": pa.array(["finished"] * runs), "epochs": np.full(runs, EPOCHS_PER_RUN)}
    ends |= {
        "best_epoch": curve.argmax(axis=1) + 1,
        "best_value": curve.max(axis=1),
        "reason": pa.array(["end"] * runs),
    }
    _write(
        run_dir / "runs",
        RUNS,
        {**ends, "wall_seconds": np.ones(runs), "timestamp": np.arange(runs, dtype=float)},
        runs,
    )


def _write(folder: Path, schema: pa.Schema, columns: dict[str, object], rows: int) -> None:
    """One part with every declared column; those that are not given are null."""
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    pq.write_table(pa.table(arrays, schema=schema), folder / "part-000000.parquet", compression="zstd")


def with_pandas(run_dir: Path) -> None:
    """What a user would write: the mean and sd of each config's best values."""
    import pandas as pd

    epochs = pd.read_parquet(run_dir / "epochs")
    best = epochs.groupby(["config_id", "trial_key"])["val_iou"].max()
    best.groupby("config_id").agg(["mean", "std", "count"]).sort_values("mean", ascending=False)


def ranking(run_dir: Path) -> None:
    """The ranking with its intervals."""
    from results import rank_store

    rank_store(ResultsStore.read(run_dir))


def verdict(run_dir: Path) -> None:
    """The ranking, and the best config compared with all others."""
    from results import judge, rank_store

    judge(rank_store(ResultsStore.read(run_dir)))


def report(run_dir: Path) -> None:
    """All of it, with tables and figures."""
    from results import write_report

    write_report(run_dir)


WAYS: dict[str, Callable[[Path], None]] = {
    "pandas group-by": with_pandas,
    "ranking with intervals": ranking,
    "verdict": verdict,
    "whole report": report,
}


def _measured(name: str, run_dir: Path, pipe: multiprocessing.connection.Connection) -> None:
    begun = time.perf_counter()
    WAYS[name](run_dir)
    pipe.send((time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))


def measure(name: str, run_dir: Path) -> tuple[float, float]:
    """Seconds (imports included) and peak resident memory in GiB of one way in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(name, run_dir, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()  # type: ignore[no-any-return]
    finally:
        process.join()


def main() -> None:
    """Measure each way in turn, several rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        record(run_dir, chosen.configs, chosen.seeds)
        rows = chosen.configs * chosen.seeds * EPOCHS_PER_RUN
        print(f"{chosen.configs} configs x {chosen.seeds} seeds x {EPOCHS_PER_RUN} epochs: {rows:,} rows")
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
        for _ in range(chosen.rounds):
            for name in WAYS:
                measured[name].append(measure(name, run_dir))
        first = np.median([seconds for seconds, _ in measured["pandas group-by"]])
        for name, found in measured.items():
            seconds, memory = np.median(np.array(found), axis=0)
            print(f"{name:24s} {seconds:7.2f} s   {memory:6.2f} GiB   {seconds / first:6.2f}x the first")


if __name__ == "__main__":
    main()
