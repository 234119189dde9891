"""A run directory in a bucket: the same rows as on a disk, one order of arrival, readers anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bucket_sweeps import assert_bucket_is_like, epochs_of, fill, killed, objects, rows_of
from recorded_sweeps import SWEEP, epoch_record, run_record

from landslide.packed import CACHE_VARIABLE, default_cache_dir
from results import ConfigRecord, ResultsStore, StoreError
from results.snapshot import snapshot
from results.storage.location import RunUrl, cache_dir, local_copy, locate
from results.storage.object_store import RunObjects
from results.storage.upload import Upload, take_over
from results.storage.working_copy import working_copy

At = Callable[[str], None]


def test_a_bucket_gives_back_what_went_in_on_any_machine(run_url: str, at: At) -> None:
    with ResultsStore.create(run_url, SWEEP) as store:
        fill(store)
        store.note({"planned_runs": 1})
        written = rows_of(store)
        twin = store.run_dir
    assert twin == local_copy(run_url)
    assert rows_of(ResultsStore.read(twin)) == written
    at("b")
    seen = ResultsStore.read(run_url)
    assert rows_of(seen) == written
    assert seen.sweep == ResultsStore.read(twin).sweep
    assert not local_copy(run_url).exists()  # a reader leaves nothing behind
    with pytest.raises(StoreError, match="not open for writing"):
        seen.add_epoch(epoch_record())


def test_the_bucket_holds_the_files_of_the_twin(run_url: str) -> None:
    for epoch in range(1, 4):
        opened = ResultsStore.create(run_url, SWEEP) if epoch == 1 else ResultsStore.open(run_url)
        with opened as store:
            fill(store, range(epoch, epoch + 1))
    assert len(objects(run_url).names("epochs/")) == 3
    with ResultsStore.open(run_url) as store:
        store.compact()
    assert_bucket_is_like(run_url, store.run_dir)
    assert len(objects(run_url).names("epochs/")) == 1
    assert epochs_of(run_url) == [("c0-r0", 1), ("c0-r0", 2), ("c0-r0", 3)]


def test_a_reader_of_the_bucket_never_sees_a_row_before_what_it_refers_to(run_url: str) -> None:
    """A run's end is there only with all its epochs, a row only with its config, and no row ever vanishes."""
    store = ResultsStore.create(run_url, SWEEP)
    take_over(objects(run_url), "me")
    upload = Upload(store.run_dir, objects(run_url), owner="me")
    most = 0

    def look() -> bool:
        nonlocal most
        seen = snapshot(ResultsStore.read(run_url))
        configs = set(seen.configs.column("config_id").to_pylist())
        epochs = {(row["trial_key"], row["epoch"]) for row in seen.epochs.to_pylist()}
        assert {row["config_id"] for row in seen.epochs.to_pylist()} <= configs
        for run in seen.runs.to_pylist():
            assert {(run["trial_key"], n) for n in range(1, run["epochs"] + 1)} <= epochs
        assert len(epochs) >= most
        most = len(epochs)
        return True

    for i in range(2):
        store.add_config(ConfigRecord(f"c{i}", {"lr": i}, "random"))
        for epoch in (1, 2):
            store.add_epoch(epoch_record(trial_key=f"t{i}", config_id=f"c{i}", epoch=epoch))
        store.add_run(run_record(trial_key=f"t{i}", config_id=f"c{i}", epochs=2))
        store.flush()
        store._log().rotate()
        upload(store._log().files(), look)
        look()
    store._log().compact()
    upload(store._log().files(), look)
    look()
    assert most == 4
    killed(store)


def test_a_reader_goes_on_when_parts_are_compacted_away(
    run_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in (1, 2):
        opened = ResultsStore.create(run_url, SWEEP) if epoch == 1 else ResultsStore.open(run_url)
        with opened as store:
            store.add_epoch(epoch_record(epoch=epoch))
    listing = RunObjects.names
    compactions = []

    def compacted_meanwhile(self: RunObjects, folder: str = "", **options: Any) -> Any:
        found = listing(self, folder, **options)
        if folder == "epochs/" and not compactions:
            compactions.append(folder)
            monkeypatch.setattr(RunObjects, "names", listing)
            with ResultsStore.open(run_url) as store:
                store.compact()
        return found

    reader = ResultsStore.read(run_url)
    monkeypatch.setattr(RunObjects, "names", compacted_meanwhile)
    assert reader.epochs().num_rows == 2
    assert compactions


def test_what_is_there_already_is_not_mixed_with_a_new_sweep(run_url: str, at: At) -> None:
    ResultsStore.create(run_url, SWEEP).close()
    for machine in ("a", "b"):
        at(machine)
        with pytest.raises(StoreError, match=rf"{run_url} already holds this sweep .*use --resume"):
            ResultsStore.create(run_url, SWEEP)
        with pytest.raises(StoreError, match=r"another sweep \(sweep0001, named 'recorded'\)"):
            ResultsStore.create(run_url, {**SWEEP, "sweep_id": "other"})
    for name in ("thesis.txt", "epochs/part-000000.parquet"):
        objects(f"{run_url}/{name[0]}").put(name, b"mine")
        with pytest.raises(StoreError, match="not empty and not a run directory"):
            ResultsStore.create(f"{run_url}/{name[0]}", SWEEP)
    with pytest.raises(StoreError, match=r"has no sweep\.json"):
        ResultsStore.read(f"{run_url}/t")
    with pytest.raises(StoreError, match=r"has no sweep\.json"):
        ResultsStore.open(f"{run_url}/t")


def test_a_report_can_be_made_elsewhere_and_comes_into_the_bucket(
    run_url: str, at: At, tmp_path: Path
) -> None:
    with ResultsStore.create(run_url, SWEEP) as store:
        fill(store)
        written = rows_of(store)
    at("b")
    before = objects(run_url).names()
    with working_copy(run_url) as folder:
        assert rows_of(ResultsStore.read(folder)) == written
        (folder / "report.md").write_bytes(b"undecided")
    assert not folder.exists()
    assert objects(run_url).get("report.md") == b"undecided"
    assert objects(run_url).names().keys() - before.keys() == {"report.md"}
    with working_copy(tmp_path) as folder:
        assert folder == tmp_path


def test_urls_survive_a_path_and_name_a_readable_local_copy(tmp_path: Path) -> None:
    place = RunUrl("bucket", "deep/run")
    for text in (
        "s3://bucket/deep/run",
        "s3://bucket/deep/run/",
        "s3:/bucket/deep/run",
        "s3:\\bucket\\deep\\run",
    ):
        assert locate(text) == place
    assert locate(Path("s3://bucket/deep/run")) == place
    assert locate("C:\\runs\\first") == Path("C:\\runs\\first")
    assert local_copy(tmp_path) == tmp_path
    names = {local_copy(f"s3://bucket/{name}").name for name in ("deep/run", "deep-run", "x" * 300)}
    assert len(names) == 3
    assert all(name.startswith("bucket-") and len(name) < 80 for name in names)


@pytest.mark.parametrize("chosen", [None, "~/packed"])
def test_local_copies_lie_beside_the_packed_datasets(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    """`results` may not import `landslide`, so both know the folder of caches."""
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    if chosen:
        monkeypatch.setenv(CACHE_VARIABLE, chosen)
    assert cache_dir() == default_cache_dir()
