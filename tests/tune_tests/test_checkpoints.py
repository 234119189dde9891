"""A trial's checkpoints in a bucket: any node goes on from the newest, and no kill in between is in the way."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faulty_s3 import FAULTS, FaultyS3

from landslide import DatasetError, Diverged, TrainSettings, open_packed
from landslide.checkpoint import saved_patches_epoch
from landslide.resume import saved_epochs
from results import StoreError
from results.storage.kept_checkpoints import KeptCheckpoint, best_checkpoint, has_last
from results.storage.location import RunUrl, local_copy, locate
from results.storage.object_store import RunObjects
from tune import checkpoints
from tune.checkpoints import CopiedFolder, bring, checkpoints_of
from tune.trial import RunEnd, TrialJob, run_trial

KEY = "abc-r00"
SECRET = "very-secret-value"


def place_of(bucket: str) -> RunUrl:
    place = locate(f"{bucket}/runs/first")
    assert isinstance(place, RunUrl)
    return place


@pytest.fixture
def kept(bucket: str, monkeypatch: pytest.MonkeyPatch) -> KeptCheckpoint:
    checkpoints._objects.cache_clear()  # it has the endpoint of the test before
    return KeptCheckpoint(RunObjects(place_of(bucket)), KEY)


@pytest.fixture
def job(kept: KeptCheckpoint, bucket: str) -> TrialJob:
    return TrialJob(
        {}, (1, 2, 3), "unused", f"/driver/{KEY}", "cpu", 1, 5, checkpoint_url=str(place_of(bucket))
    )


def here(bucket: str, key: str = KEY) -> Path:
    """The trial's folder on this machine."""
    return local_copy(place_of(bucket)) / "checkpoints" / key


def save(folder: Path, epochs: int, best: int) -> None:
    """What a run leaves after so many epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"history": [{"epoch": i} for i in range(epochs)]}, folder / "last.pt")
    (folder / "best.pt").write_bytes(f"the weights of epoch {best}".encode())
    np.savez(folder / "best_patches.npz", epoch=np.int64(best))


def state_of(folder: Path) -> tuple[int, bytes, int | None]:
    """Epochs, the best weights, and the epoch of the counts."""
    best = folder / "best.pt"
    return (
        saved_epochs(folder),
        best.read_bytes() if best.exists() else b"",
        saved_patches_epoch(folder / "best_patches.npz"),
    )


def puts(server: FaultyS3) -> list[str]:
    return [path.rpartition("/")[2] for method, path in server.seen if method == "PUT"]


def test_a_folder_that_all_nodes_see_is_used_as_it_is(job: TrialJob, tmp_path: Path) -> None:
    leftover = tmp_path / f".last.pt.{'0' * 32}.tmp"
    leftover.write_bytes(b"of a killed process")
    with checkpoints_of(replace(job, checkpoint_url=None, checkpoint_dir=str(tmp_path))) as kept:
        assert kept.folder == tmp_path
        kept.saved()
        kept.told()
    assert not leftover.exists()


def test_what_one_node_leaves_another_finds(
    job: TrialJob, bucket: str, kept: KeptCheckpoint, at: Callable[[str], None], s3_server: FaultyS3
) -> None:
    with checkpoints_of(job) as trial:
        assert trial.folder == here(bucket)
        save(trial.folder, 3, best=2)
    assert puts(s3_server) == ["best.pt", "best_patches.npz", "last.pt"]
    assert not here(bucket).exists(), "a node keeps nothing of a trial that has left it"
    at("b")
    with checkpoints_of(job) as trial:
        assert state_of(trial.folder) == (3, b"the weights of epoch 2", 2)
        s3_server.seen.clear()
    assert not puts(s3_server), "nothing has changed"
    assert kept.epochs() == 3
    assert kept.listed().keys() == {"best.pt", "best_patches.npz", "last.pt"}


def test_who_lets_go_of_a_paused_trial_leaves_the_folder_to_who_went_on_with_it(
    job: TrialJob, bucket: str
) -> None:
    """Ray keeps the process of a paused trial for another one, and asks it to let go only then."""

    def trial() -> Any:
        with checkpoints_of(job) as kept:
            save(kept.folder, 3, best=2)
            yield

    paused = trial()
    next(paused)
    with checkpoints_of(job) as went_on:
        assert saved_epochs(went_on.folder) == 3
        save(went_on.folder, 4, best=4)
        paused.close()
        assert state_of(went_on.folder) == (4, b"the weights of epoch 4", 4)
    assert not here(bucket).exists()


def test_the_machine_of_the_driver_keeps_its_copy(job: TrialJob, bucket: str) -> None:
    (here(bucket).parent.parent).mkdir(parents=True)
    (here(bucket).parent.parent / "sweep.json").write_text("{}")
    with checkpoints_of(job) as trial:
        save(trial.folder, 1, best=1)
    assert state_of(here(bucket))[0] == 1


def test_the_newer_of_both_wins(job: TrialJob, bucket: str, kept: KeptCheckpoint, tmp_path: Path) -> None:
    for ours, theirs, newest in ((2, 5, 5), (5, 2, 5), (0, 4, 4), (4, 0, 4), (3, 3, 3)):
        key = f"ours-{ours}-theirs-{theirs}"
        there = KeptCheckpoint(kept._objects, key)
        if ours:
            save(here(bucket, key), ours, best=ours)
        if theirs:
            save(tmp_path / key, theirs, best=theirs)
            files = {path.name: path.read_bytes() for path in (tmp_path / key).iterdir()}
            there.store(files, epochs=theirs)
        with checkpoints_of(replace(job, checkpoint_dir=f"/driver/{key}")) as trial:
            assert state_of(trial.folder) == (newest, f"the weights of epoch {newest}".encode(), newest)
        assert there.epochs() == newest


def test_what_an_earlier_sweep_of_the_same_url_left_on_a_node_does_not_count(
    job: TrialJob, bucket: str
) -> None:
    save(here(bucket), 4, best=4)
    with checkpoints_of(replace(job, known_epochs=0)) as trial:
        assert saved_epochs(trial.folder) == 0


def test_what_killed_trials_left_on_a_node_goes_a_day_later(job: TrialJob, bucket: str) -> None:
    folders = {name: here(bucket).with_name(name) for name in ("old-r00", "new-r00")}
    for folder in folders.values():
        save(folder, 2, best=1)
    for path in (*folders["old-r00"].iterdir(), folders["old-r00"]):
        os.utime(path, (0, 0))
    with checkpoints_of(job):
        assert [name for name, folder in folders.items() if folder.exists()] == ["new-r00"]
    (here(bucket).parent.parent / "sweep.json").write_text("{}")
    for path in (*folders["new-r00"].iterdir(), folders["new-r00"]):
        os.utime(path, (0, 0))
    with checkpoints_of(job):
        assert folders["new-r00"].exists(), "the driver's copy is complete"


def test_counts_are_there_before_anybody_is_told_and_the_rest_when_it_is_time(
    kept: KeptCheckpoint, tmp_path: Path, s3_server: FaultyS3
) -> None:
    now = [0.0]
    trial = CopiedFolder(kept, tmp_path, clock=lambda: now[0])
    trial.begin()

    def epoch(number: int, *, best: int, seconds: float) -> list[str]:
        s3_server.seen.clear()
        if best == number:
            save(tmp_path, number, best)
        else:
            torch.save({"history": [{}] * number}, tmp_path / "last.pt")
        trial.saved()
        now[0] += seconds
        trial.told()
        if trial._copying is not None:
            trial._copying.result()
        return puts(s3_server)

    assert epoch(1, best=1, seconds=1) == ["best_patches.npz"]
    assert epoch(2, best=1, seconds=1) == []
    assert epoch(3, best=1, seconds=60) == ["best.pt", "last.pt"]
    assert epoch(4, best=1, seconds=59) == []
    assert epoch(5, best=5, seconds=59) == ["best_patches.npz", "best.pt", "last.pt"]
    assert kept.epochs() == 5
    s3_server.seen.clear()
    trial.end(keep=True)
    assert puts(s3_server) == []


def test_whatever_upload_is_the_last_a_run_goes_on_from_there(
    kept: KeptCheckpoint, tmp_path: Path, s3_server: FaultyS3
) -> None:
    """Of each pass every request may be the last: `_restore` takes best files of the best epoch, or of one to come."""
    for last in range(7):
        folder, copy = tmp_path / f"node {last}", tmp_path / f"other {last}"
        bucket = KeptCheckpoint(kept._objects, f"run-{last}")
        done = count()
        s3_server.fault = lambda method, path, done=done, last=last: (
            "500" if method == "PUT" and next(done) >= last else None
        )
        with pytest.raises(OSError, match="s3://") if last < 6 else nullcontext():
            for epochs, best in ((3, 2), (7, 5)):
                save(folder, epochs, best)
                trial = CopiedFolder(bucket, folder)
                trial.end(keep=True)
        s3_server.well()
        CopiedFolder(bucket, copy).begin()
        epochs, weights, counts = state_of(copy)
        assert epochs == (0 if last < 3 else 3 if last < 6 else 7)
        if epochs:
            best = {3: 2, 7: 5}[epochs]
            assert counts == best or (counts is not None and counts > epochs)
            assert weights


def test_a_fault_at_any_request_is_overcome(
    job: TrialJob, s3_server: FaultyS3, at: Callable[[str], None]
) -> None:
    def spoiled(fault: str) -> Callable[[str, str], str | None]:
        requests = count()
        return lambda method, path: fault if next(requests) % 4 == 1 else None

    for fault in FAULTS:
        spoilt = replace(job, checkpoint_dir=f"/driver/{fault}")
        s3_server.fault = spoiled(fault)
        for machine in "ab":
            at(machine)
            with checkpoints_of(spoilt) as trial:
                if machine == "a":
                    save(trial.folder, 3, best=2)
                    trial.saved()
                assert state_of(trial.folder) == (3, b"the weights of epoch 2", 2)


def test_a_bucket_that_stays_away_is_a_fault_of_storage_and_loses_nothing(
    job: TrialJob, bucket: str, s3_server: FaultyS3
) -> None:
    s3_server.ill("503", method="PUT")
    with pytest.raises(OSError, match=r"s3://.*cannot be written") as caught, checkpoints_of(job) as trial:
        save(trial.folder, 3, best=2)
    assert SECRET not in str(caught.value)
    with pytest.raises(OSError, match="cannot be written"), checkpoints_of(job) as trial:
        raise Diverged("which would be a final end")
    s3_server.well()
    with checkpoints_of(job) as trial:
        assert saved_epochs(trial.folder) == 3
    s3_server.ill("reset", method="HEAD")
    with pytest.raises(OSError, match="cannot be read"), checkpoints_of(job):
        pytest.fail("it began without knowing what there is")


def test_a_trial_that_is_stopped_meanwhile_stops_all_the_same(
    job: TrialJob, bucket: str, s3_server: FaultyS3, caplog: pytest.LogCaptureFixture
) -> None:
    def trial() -> Any:
        with checkpoints_of(job) as kept:
            save(kept.folder, 3, best=2)
            yield 1

    for ill, told in ((False, ""), (True, "on this node only")):
        events = trial()
        next(events)
        s3_server.ill("503", method="PUT") if ill else s3_server.well()
        save(here(bucket), 4 + ill, best=4)
        events.close()
        assert told in caplog.text
    assert saved_epochs(here(bucket)) == 5
    s3_server.well()


def test_a_copy_that_failed_on_the_way_is_made_later(
    kept: KeptCheckpoint, tmp_path: Path, s3_server: FaultyS3
) -> None:
    now = [0.0]
    trial = CopiedFolder(kept, tmp_path, clock=lambda: now[0])
    save(tmp_path, 2, best=2)
    s3_server.ill("500", method="PUT")
    now[0] = 60.0
    trial.told()
    assert trial._copying is not None
    assert isinstance(trial._copying.exception(), StoreError)
    trial.told()  # too early
    s3_server.well()
    trial.end(keep=True)
    assert kept.epochs() == 2


def test_export_and_audit_take_what_was_trained_elsewhere(
    job: TrialJob, bucket: str, kept: KeptCheckpoint, at: Callable[[str], None]
) -> None:
    place = place_of(bucket)
    with checkpoints_of(job) as trial:
        save(trial.folder, 3, best=2)
    at("driver")
    assert has_last(place, KEY)
    assert not has_last(place, "another")
    assert not best_checkpoint(place, "another").exists()
    save(here(bucket), 1, best=1)
    assert best_checkpoint(place, KEY).read_bytes() == b"the weights of epoch 2"
    save(here(bucket), 5, best=5)
    assert best_checkpoint(place, KEY).read_bytes() == b"the weights of epoch 5", "ours is newer"
    save(here(bucket), 1, best=1)
    bring(place, KEY, ("best_patches.npz",))
    assert state_of(here(bucket)) == (1, b"the weights of epoch 1", 2)
    assert best_checkpoint(place, KEY).read_bytes() == b"the weights of epoch 2", "counts were brought alone"


def test_weights_here_are_not_replaced_by_those_of_a_bucket_that_lacks_the_newest(
    bucket: str, kept: KeptCheckpoint, tmp_path: Path
) -> None:
    save(tmp_path, 3, best=2)
    kept.store({path.name: path.read_bytes() for path in tmp_path.iterdir()}, epochs=3)
    save(here(bucket), 5, best=5)
    counts = (here(bucket) / "best_patches.npz").read_bytes()
    kept.store({"best_patches.npz": counts}, epochs=5)  # the driver is killed before the weights follow
    assert best_checkpoint(place_of(bucket), KEY).read_bytes() == b"the weights of epoch 5"


# ---- a real trial ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_trial_goes_on_elsewhere_as_if_nothing_had_happened(
    job: TrialJob, tiny_dataset: Path, bucket: str, at: Callable[[str], None], tmp_path: Path
) -> None:
    settings = TrainSettings(backbone="tu-mobilenetv3_small_050", epochs=4).to_dict()
    at("driver")
    data = open_packed(tiny_dataset)
    job = replace(job, settings=settings, cache_path=str(data.path), data_id=data.data_id, known_epochs=0)
    job = replace(job, data_source=str(tiny_dataset))
    whole = list(run_trial(replace(job, checkpoint_url=None, checkpoint_dir=str(tmp_path / "whole"))))
    at("b")
    events = run_trial(job)
    begun = [next(events), next(events)]
    events.close()
    at("c")
    rest = list(run_trial(replace(job, known_epochs=2)))
    assert isinstance(rest[-1], RunEnd)
    assert rest[-1] == whole[-1]
    for one, other in zip([*begun, *rest[:-1]], whole[:-1], strict=True):
        assert isinstance(one, dict)
        assert isinstance(other, dict)
        assert {name: one[name] for name in ("epoch", "train_loss", "val_loss", "val_iou")} == {
            name: other[name] for name in ("epoch", "train_loss", "val_loss", "val_iou")
        }
    at("driver")
    theirs = torch.load(io.BytesIO(best_checkpoint(place_of(bucket), KEY).read_bytes()), weights_only=True)
    ours = torch.load(tmp_path / "whole" / "best.pt", weights_only=True)
    assert all(
        torch.equal(theirs["model_state_dict"][name], value)
        for name, value in ours["model_state_dict"].items()
    )
    with pytest.raises(DatasetError, match="holds other data"):
        next(run_trial(replace(job, data_id="another")))
