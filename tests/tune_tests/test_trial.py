"""How a trial ends: with a status for what the config is to blame for, with an exception for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import landslide
from landslide import Diverged, OutOfMemory, TrainSettings, open_packed
from search_spaces import Config
from tune.replicates import replicate
from tune.trial import RunEnd, TrialJob, TrialSpec, run_trial


@pytest.fixture
def job(tiny_dataset: Path, tmp_path: Path) -> TrialJob:
    settings = TrainSettings(backbone="tu-mobilenetv3_small_050", epochs=3)
    cache = str(open_packed(tiny_dataset).path)
    return TrialJob(settings.to_dict(), (1, 2, 3), cache, str(tmp_path / "trial"), device="cpu", threads=1)


def training_that(raises: Exception | None, epochs: int) -> Callable[..., Iterator[Any]]:
    class Metrics:
        def __init__(self, epoch: int) -> None:
            self.epoch = epoch

        def to_dict(self) -> dict[str, int]:
            return {"epoch": self.epoch}

    def train(*_: Any, **__: Any) -> Iterator[Metrics]:
        yield from map(Metrics, range(1, epochs + 1))
        if raises is not None:
            raise raises

    return train


@pytest.mark.parametrize(
    ("error", "epochs", "status", "reason"),
    [
        (None, 3, "finished", "ran all 3 epochs"),
        (None, 2, "finished", "no better epoch in 15"),
        (Diverged("loss is NaN"), 1, "diverged", "loss is NaN"),
        (OutOfMemory("batches of 16"), 0, "out_of_memory", "batches of 16"),
        (ZeroDivisionError("a bug"), 1, "failed", "ZeroDivisionError: a bug"),
    ],
)
def test_a_run_ends_with_a_status_and_one_sentence(
    job: TrialJob,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    epochs: int,
    status: str,
    reason: str,
) -> None:
    monkeypatch.setattr(landslide, "train", training_that(error, epochs))
    *metrics, end = run_trial(job)
    assert metrics == [{"epoch": epoch} for epoch in range(1, epochs + 1)]
    assert isinstance(end, RunEnd)
    assert (end.status, end.reason) == (status, reason)
    assert (end.error is not None) == (status == "failed")


def test_a_full_disk_is_not_the_configs_fault(job: TrialJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landslide, "train", training_that(OSError(28, "No space left on device"), 1))
    events = run_trial(job)
    next(events)
    with pytest.raises(OSError, match="No space left"):
        next(events)


def test_a_missing_dataset_is_not_the_configs_fault(job: TrialJob, tmp_path: Path) -> None:
    elsewhere = replace(job, cache_path=str(tmp_path / "gone"))
    with pytest.raises(landslide.DatasetError, match="gone"):
        next(run_trial(elsewhere))


def test_a_job_survives_the_way_to_a_worker(job: TrialJob) -> None:
    assert TrialJob.from_text(job.to_text()) == job


def test_a_trial_is_named_by_its_config_and_replicate_only() -> None:
    config = Config({"lr": 0.1})
    specs = [
        TrialSpec(config, replicate(seed, 2), stage) for seed in (0, 1) for stage in ("screen", "allocate")
    ]
    assert {spec.trial_key for spec in specs} == {f"{config.config_id}-r02"}
