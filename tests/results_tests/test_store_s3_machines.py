"""A run directory in a bucket that several machines write to, one after the other or at the same time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bucket_sweeps import epochs_of, killed, objects, rows_of
from recorded_sweeps import SWEEP, epoch_record, run_record

from results import ConfigRecord, ResultsStore, RunStatus, StoreError
from results.storage import atomic
from results.storage.location import local_copy
from results.storage.object_store import RunObjects

At = Callable[[str], None]


def test_only_one_of_two_machines_can_start(run_url: str, at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = RunObjects.put

    def late(self: RunObjects, name: str, data: bytes, *, new: bool = False) -> None:
        monkeypatch.setattr(RunObjects, "put", stored)
        at("b")
        ResultsStore.create(run_url, {**SWEEP, "sweep_id": "faster"}).close()
        self.put(name, data, new=new)

    monkeypatch.setattr(RunObjects, "put", late)
    with pytest.raises(StoreError, match="another machine has just started a sweep"):
        ResultsStore.create(run_url, SWEEP)
    assert ResultsStore.read(run_url).sweep["sweep_id"] == "faster"
    at("a")
    ResultsStore.open(run_url).close()  # the attempt left nothing in the way


def test_another_sweep_in_the_local_copy_is_told(run_url: str) -> None:
    ResultsStore.create(run_url, SWEEP).close()
    path = local_copy(run_url) / "sweep.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "sweep_id": "other"}), "utf-8")
    with pytest.raises(StoreError, match=r"sweep0001, but its local copy .* the sweep other"):
        ResultsStore.open(run_url)


def test_another_machine_resumes_and_the_first_one_later(run_url: str, at: At) -> None:
    """No row of either is lost or doubled, also those that the first one never uploaded."""
    with ResultsStore.create(run_url, SWEEP) as store:
        store.add_config(ConfigRecord("c0", {"lr": 0.1}, "random"))
        store.add_epoch(epoch_record(epoch=1))
    store = ResultsStore.open(run_url)
    store.add_config(ConfigRecord("c1", {"lr": 0.2}, "random"))
    store.add_epoch(epoch_record(epoch=2, val_iou=0.1))
    store.add_epoch(epoch_record(epoch=3, val_iou=0.1))
    killed(store)

    at("b")
    with ResultsStore.open(run_url) as store:
        assert epochs_of(store.run_dir) == [("c0-r0", 1)]
        store.add_config(ConfigRecord("c2", {"lr": 0.3}, "random"))
        store.add_epoch(epoch_record(epoch=2, val_iou=0.9))
        store.add_epoch(epoch_record(trial_key="b", epoch=1))
        store.compact()

    at("a")
    with ResultsStore.open(run_url) as store:
        store.add_run(run_record(status=RunStatus.FINISHED, epochs=3))
        here = rows_of(store)
    everything = rows_of(ResultsStore.read(run_url))
    assert everything == here
    assert [row["config_id"] for row in everything["configs"]] == ["c0", "c1", "c2"]
    assert epochs_of(run_url) == [("b", 1), ("c0-r0", 1), ("c0-r0", 2), ("c0-r0", 3)]
    iou = {(row["trial_key"], row["epoch"]): row["val_iou"] for row in everything["epochs"]}
    assert (iou["c0-r0", 2], iou["c0-r0", 3]) == (0.9, 0.1)  # what came later counts


def test_who_was_overtaken_stops_uploading_and_loses_nothing(run_url: str, at: At) -> None:
    slow = ResultsStore.create(run_url, SWEEP)
    slow.add_epoch(epoch_record(epoch=1))
    at("b")
    other = ResultsStore.open(run_url)
    other.add_epoch(epoch_record(trial_key="b"))
    with pytest.raises(StoreError, match=r"does not own .*any more: \S+ has written there since") as caught:
        slow.close()
    assert caught.value.rows_kept
    other.close()
    assert epochs_of(run_url) == [("b", 1)]
    at("a")
    ResultsStore.open(run_url).close()
    assert epochs_of(run_url) == [("b", 1), ("c0-r0", 1)]


@pytest.mark.parametrize("compact", [False, True])
def test_two_machines_with_one_part_number_keep_the_rows_of_both(
    run_url: str, tmp_path: Path, compact: bool
) -> None:
    """The other part comes after every check but the last: it is neither replaced nor hidden nor removed."""
    store = ResultsStore.create(run_url, SWEEP)
    with ResultsStore.create(tmp_path / "stranger", SWEEP) as stranger:
        stranger.add_epoch(epoch_record(trial_key="stranger"))
    theirs = (tmp_path / "stranger" / "epochs" / "part-000000.parquet").read_bytes()
    objects(run_url).put("epochs/part-000000.parquet", theirs)
    for epoch in (1, 2):
        store.add_epoch(epoch_record(epoch=epoch))
        store.flush()
        store._log().rotate()
    if compact:
        store.compact()
    with pytest.raises(
        StoreError, match=r"epochs/part-000000\.parquet was written by another machine"
    ) as caught:
        store.close()
    assert caught.value.rows_kept
    assert objects(run_url).get("epochs/part-000000.parquet") == theirs
    assert epochs_of(run_url) == [("stranger", 1)]
    with ResultsStore.open(run_url) as store:
        store.compact()
    assert epochs_of(run_url) == [("c0-r0", 1), ("c0-r0", 2), ("stranger", 1)]
    assert len(objects(run_url).names("epochs/")) == 1


#: writes of files in one `ResultsStore.open` that brings two machines together: parts, configs, sweep.json, owner.
_WRITES = 8


@pytest.mark.parametrize("failing", range(_WRITES + 1))
def test_bringing_two_machines_together_can_be_cut_off_anywhere(
    run_url: str, at: At, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    with ResultsStore.create(run_url, SWEEP) as store:
        store.add_config(ConfigRecord("c0", {"lr": 0.1}, "random"))
        store.add_epoch(epoch_record(epoch=1))
    store = ResultsStore.open(run_url)
    store.add_epoch(epoch_record(epoch=2, val_iou=0.1))
    store.add_epoch(epoch_record(trial_key="a", epoch=1))
    killed(store)
    at("b")
    for epoch in (2, 3):
        with ResultsStore.open(run_url) as store:
            store.add_config(ConfigRecord(f"c{epoch}", {"lr": 0.1}, "random"))
            store.add_epoch(epoch_record(epoch=epoch, val_iou=0.9))
    at("a")
    with monkeypatch.context() as patch:
        writes = full_disk(patch, failing)
        if failing < _WRITES:
            with pytest.raises(StoreError, match="No space left"):
                ResultsStore.open(run_url)
        else:
            killed(ResultsStore.open(run_url))
            assert next(writes) == _WRITES
    with ResultsStore.open(run_url) as store:
        iou = {(row["trial_key"], row["epoch"]): row["val_iou"] for row in store.epochs().to_pylist()}
    assert iou == {("c0-r0", 1): 0.3, ("c0-r0", 2): 0.9, ("c0-r0", 3): 0.9, ("a", 1): 0.3}
    assert epochs_of(run_url) == sorted(iou)
    assert ResultsStore.read(run_url).configs().column("config_id").to_pylist() == ["c0", "c2", "c3"]


def full_disk(patch: pytest.MonkeyPatch, failing: int) -> Iterator[int]:
    """Let the n-th write of a whole file find a full disk; gives the counter."""
    writes, real = count(), atomic.replace_file

    def write(path: Path, content: Any) -> None:
        if next(writes) == failing:
            raise OSError(28, "No space left on device")
        real(path, content)

    for module in ("atomic", "segments", "config_file"):
        patch.setattr(f"results.storage.{module}.replace_file", write)
    return writes
