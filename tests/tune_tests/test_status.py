"""How far a sweep is: counts that add up, also when runs died before their first epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from results import ResultsStore
from tune.cli import main
from tune.execution import Execution
from tune.recorder import Recorder
from tune.status import sweep_status
from tune.sweep_file import declare
from tune.trial import RunEnd


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """3 configs, one seed: one finished, one died before its first epoch, one is running."""
    sweep = declare(
        "smoke", data_dir=Path("d"), options={"configs": 3, "seeds": 1, "policy": "none"}, pins={}
    )
    about = {"sweep_id": "s", "metric": "val_iou", "mode": "max", "max_epochs": 30}
    with ResultsStore.create(
        tmp_path / "run", {**about, "name": "toy", "replicates": 1, "configs": 3}
    ) as store:
        recorder = Recorder(store, sweep_id="s", checkpoints=tmp_path, warn=pytest.fail)
        execution = Execution(sweep, store, recorder=recorder, node="here")
        first, second, third = (execution.next_trial() for _ in range(3))
        assert first is not None
        assert second is not None
        assert third is not None
        execution.on_epoch(first, epoch(1, 0.4))
        execution.on_end(first, RunEnd("finished", "ran all epochs"))
        execution.on_end(second, RunEnd("failed", "no"))
        execution.on_epoch(third, epoch(1, 0.3))
        execution.on_epoch(third, epoch(2, None))
    return tmp_path / "run"


def epoch(number: int, value: float | None) -> Mapping[str, Any]:
    return {"epoch": number, "val_iou": value, "device": "cpu", "epoch_seconds": 1.0}


def test_the_counts_add_up(run_dir: Path) -> None:
    status = sweep_status(run_dir)
    assert (status.planned, status.ended, status.epochs) == (3, 2, 3)
    assert status.by_status == {"finished": 1, "failed": 1, "unfinished": 1}
    assert (status.best, status.best_trial is not None) == (0.4, True)


def test_the_command_prints_them_as_text_and_as_json(run_dir: Path) -> None:
    text = CliRunner().invoke(main, ["status", str(run_dir)])
    assert "2 of 3 runs ended" in text.stdout
    assert "not a verdict" in text.stdout
    assert json.loads(CliRunner().invoke(main, ["status", str(run_dir), "--json"]).stdout)["ended"] == 2


def test_a_folder_that_is_no_run_directory(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["status", str(tmp_path)])
    assert result.exit_code == 2
    assert "sweep.json" in result.stderr
