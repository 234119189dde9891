"""One sweep on a real Ray runtime whose trials meet a fault each: all go on, and the rows are those of a calm sweep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `faulty_trial` lies beside us
from faulty_trial import FaultyTrial

from results import ResultsStore
from tune import ray_trial
from tune.launch import Place, run
from tune.sweep_file import declare
from tune.watchdog import NOTE

pytestmark = [pytest.mark.ray, pytest.mark.slow]

METRICS = ("train_loss", "val_loss", "val_iou", "val_f1", "best_threshold", "best_threshold_iou", "lr")
OPTIONS = {"configs": 2, "seeds": 3, "max_epochs": 3, "policy": "none"}


@pytest.fixture
def address() -> Iterator[str]:
    """A Ray runtime of our own that the driver joins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # workers find `faulty_trial` there
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        yield cluster.address
        cluster.shutdown()


def measured(out: Path) -> dict[tuple[str, int], tuple[Any, ...]]:
    rows = ResultsStore.read(out).epochs().to_pylist()
    assert len(rows) == len({(row["trial_key"], row["epoch"]) for row in rows})
    return {(row["trial_key"], row["epoch"]): tuple(row[name] for name in METRICS) for row in rows}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_trial_that_meets_a_fault_goes_on_and_the_rows_are_those_of_a_calm_sweep(
    tiny_dataset: Path, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = declare("smoke", data_dir=tiny_dataset, options=OPTIONS, pins={})
    console = Console(file=StringIO(), width=300)
    run(sweep, tmp_path / "calm", place=Place(in_process=True), console=console)
    monkeypatch.setattr(ray_trial, "LandslideTrial", FaultyTrial)
    faults = run(sweep, tmp_path / "faults", place=Place(address=address, hang_minutes=0.25), console=console)
    said = console.file.getvalue()
    assert faults.complete, said
    store = ResultsStore.read(tmp_path / "faults")
    retries = [row for row in store.decisions().to_pylist() if row["action"] == "retry"]
    causes = {row["trial_key"]: row["reason"].partition(":")[0] for row in retries}
    assert sorted(causes.values()) == ["hung", "node lost", "process lost", "storage"]
    assert any("in hung" in row["reason"] for row in retries), "where it hung"
    assert all(reason in " ".join(said.split()) for reason in causes.values())
    (broken,) = (run for run in store.runs().to_pylist() if run["status"] != "finished")
    assert (broken["status"], broken["reason"]) == ("failed", "ZeroDivisionError: a bug in a loss")
    assert "in broken" in broken["error"]
    assert broken["trial_key"] not in causes, "what the config is to blame for is not tried again"
    assert faults.verdict.n_failed == 1
    calm, seen = measured(tmp_path / "calm"), measured(tmp_path / "faults")
    assert seen == {key: row for key, row in calm.items() if key[0] != broken["trial_key"] or key[1] == 1}
    assert not list((tmp_path / "faults").rglob(NOTE.format("*")))
