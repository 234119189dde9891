"""The audit with real trainings: a stopped run goes on as if it had never been stopped, in process and on Ray."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from results import ResultsStore, RunStatus, judge, rank_store
from tune.cli import main
from tune.launch import Place, run
from tune.sweep_file import declare

LIMIT = 300.0  # seconds after which something hangs
METRICS = ("train_loss", "val_loss", "val_iou", "val_f1", "best_threshold", "lr")
#: As few epochs of as few configs as it takes for a run to be stopped and to go on.
SIZE = {"configs": 3, "seeds": 1, "max_epochs": 3}
#: What a report has; nobody reads it here, and its figures take longer than the trainings.
REPORT = ("html", "markdown", "verdict_json", "verdict")


def verdict(run_dir: Path) -> dict[str, Any]:
    return judge(rank_store(ResultsStore.read(run_dir))).to_dict()


def epochs(run_dir: Path) -> dict[tuple[str, int], tuple[Any, ...]]:
    """(trial, epoch) -> its metrics, exactly."""
    rows = ResultsStore.read(run_dir).epochs().to_pylist()
    return {(row["trial_key"], row["epoch"]): tuple(row[name] for name in METRICS) for row in rows}


@pytest.fixture(scope="module")
def sweeps(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same configs twice, in this process: none is stopped, and some are."""
    folder: Path = tmp_path_factory.mktemp("sweeps")
    policies: dict[str, dict[str, Any]] = {"none": {}, "asha": {"grace": 1, "eta": 2}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tune.launch.write_report", lambda out: SimpleNamespace(**dict.fromkeys(REPORT, out)))
        for policy, options in policies.items():
            asked = {**SIZE, "policy": policy, **options}
            sweep = declare("smoke", data_dir=tiny_dataset, options=asked, pins={})
            outcome = run(sweep, folder / policy, place=Place(True), console=Console(file=StringIO()))
            assert outcome.complete
    return folder / "none", folder / "asha"


def audit_here(*words: str) -> str:
    result = CliRunner().invoke(main, [*words, "--in-process"])
    assert result.exit_code == 0, result.output
    return result.stdout


def audit_on_ray(*words: str) -> str:
    """In a process of its own, as a user starts it."""
    command, environment = [sys.executable, "-m", "tune", *words], {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "audit",
    [
        pytest.param(audit_here, id="in-process"),
        pytest.param(audit_on_ray, id="ray", marks=pytest.mark.ray),
    ],
)
def test_an_audited_run_has_the_bits_of_one_that_was_never_stopped(
    sweeps: tuple[Path, Path], tmp_path: Path, audit: Any
) -> None:
    never_stopped, audited = sweeps[0], tmp_path / "audited"
    shutil.copytree(sweeps[1], audited)
    before = verdict(audited)
    stopped = ResultsStore.read(audited).runs().column("status").to_pylist().count(RunStatus.STOPPED)
    assert stopped > 0
    assert set(epochs(audited)) < set(epochs(never_stopped))
    words = ("audit", str(audited), "--sample", "100", "--top", "1", "--replays", "10", "--json")
    found = json.loads(audit(*words))
    assert found["among_top"]["sampled"] == found["among_top"]["population"] == stopped
    assert found["among_top"]["low"] == found["among_top"]["high"]
    assert epochs(audited) == epochs(never_stopped)
    assert verdict(audited)["comparisons"] == before["comparisons"]
    assert found["replay"]["unseen"] == found["replay"]["absent"] == 0
