"""The audit with real trainings: a stopped run goes on as if it had never been stopped, in process and on Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from results import ResultsStore

LIMIT = 300.0  # seconds after which something hangs
METRICS = ("train_loss", "val_loss", "val_iou", "val_f1", "best_threshold", "lr")


def landslide_tune(*words: object) -> dict[str, Any]:
    """The command line in a process of its own, as a user starts it; its JSON."""
    command = [sys.executable, "-m", "tune", *map(str, words), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def sweep(data: Path, out: Path, policy: str, *words: object) -> None:
    options = ("--configs", 5, "--seeds", 1, "--max-epochs", 4, "--policy", policy, "--in-process", *words)
    landslide_tune("sweep", "smoke", "--data", data, "--out", out, *options)


def epochs(run_dir: Path) -> dict[tuple[str, int], tuple[Any, ...]]:
    """(trial, epoch) -> its metrics, exactly."""
    rows = ResultsStore.read(run_dir).epochs().to_pylist()
    return {(row["trial_key"], row["epoch"]): tuple(row[name] for name in METRICS) for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [pytest.param(("--in-process",), id="in-process"), pytest.param((), id="ray", marks=pytest.mark.ray)],
)
def test_an_audited_run_has_the_bits_of_one_that_was_never_stopped(
    tiny_dataset: Path, tmp_path: Path, where: tuple[str, ...]
) -> None:
    never_stopped, audited = tmp_path / "none", tmp_path / "asha"
    sweep(tiny_dataset, never_stopped, "none")
    sweep(tiny_dataset, audited, "asha", "--grace", 1)
    before = landslide_tune("report", audited)
    found = landslide_tune("audit", audited, "--sample", 100, "--top", 1, "--replays", 10, *where)
    assert found["among_top"]["sampled"] == found["among_top"]["population"] > 0
    assert found["among_top"]["low"] == found["among_top"]["high"]
    assert epochs(audited) == epochs(never_stopped)
    assert landslide_tune("report", audited)["comparisons"] == before["comparisons"]
    assert found["replay"]["unseen"] == 0
