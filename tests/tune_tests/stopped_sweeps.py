"""Small sweeps that stop runs, run through the program itself with trials that are a formula instead of a training.

A module beside the tests that use it; they put this folder on the path.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from results import ResultsStore, judge, rank_store
from search_spaces import space_from_mapping
from tune.launch import Outcome, Place, run
from tune.sweep import Sweep
from tune.trial import RunEnd, TrialJob

SPACE = {
    "space": "toy",
    "constants": {"backbone": "tu-mobilenetv3_small_050"},
    "parameters": {"lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
}
EPOCHS = 9
DATA = SimpleNamespace(
    data_id="data0001", path=Path("packed"), bands=3, patch_size=8, positive_ratio=0.1, splits={}
)


def value(trial_key: str, lr: float, epoch: int) -> float:
    """A learning curve of the config; the slower half of the runs catches up late."""
    rng = random.Random(trial_key)
    speed = rng.choice([0.3, 0.8])
    return min(0.99, 20 * lr * (1 - speed**epoch) + rng.gauss(0, 0.02) + 0.3)


def fake_trial(job: TrialJob) -> Iterator[Mapping[str, Any] | RunEnd]:
    """What `run_trial` yields, from the epoch after the known ones, with a checkpoint that is empty."""
    folder = Path(job.checkpoint_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for epoch in range(job.known_epochs + 1, job.settings["epochs"] + 1):
        (folder / "last.pt").touch()
        found = value(folder.name, job.settings["lr"], epoch)
        yield {"epoch": epoch, "val_iou": found, "device": "cpu", "epoch_seconds": 1.0}
    yield RunEnd("finished", "ran all epochs")


def use_formula(patch: pytest.MonkeyPatch) -> None:
    """Trials are a formula, the dataset is always there, and a report is a verdict without figures."""
    patch.setattr("tune.in_process.run_trial", fake_trial)
    patch.setattr("tune.launch.prepare", lambda *_, **__: DATA)
    patch.setattr("tune.audit_training.prepare", lambda *_, **__: DATA)
    patch.setattr("tune.launch.write_report", _report)


def _report(run_dir: Path) -> SimpleNamespace:
    verdict = judge(rank_store(ResultsStore.read(run_dir)))
    return SimpleNamespace(html=run_dir, markdown=run_dir, verdict_json=run_dir, verdict=verdict)


def a_sweep(**options: Any) -> Sweep:
    """Twelve configs on two seeds under ASHA, unless told otherwise."""
    space = space_from_mapping(SPACE, source="test")
    usual = {"configs": 12, "seeds": 2, "max_epochs": EPOCHS, "grace": 1, "policy": "asha"}
    return Sweep(space=space, data_dir=Path("data"), **{**usual, **options})


def run_sweep(out: Path, *, resume: bool = False, **options: Any) -> Outcome:
    """Run it in this process."""
    place = Place(in_process=True)
    return run(a_sweep(**options), out, place=place, resume=resume, console=Console(file=StringIO()))
