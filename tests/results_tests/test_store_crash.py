"""What a crash, a torn file or a full disk leaves behind: everything that was promised."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded_sweeps import SWEEP, decision_record, epoch_record, patch_record, run_record

from results import ConfigRecord, ResultsStore, StoreError
from results.schema import TABLES
from results.snapshot import snapshot
from results.storage.parquet_file import read_parquet
from results.storage.wal import WriteAheadFile, read_wal

REAL_WRITE = WriteAheadFile.append


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_a_crash_during_compaction_neither_loses_nor_doubles_rows(run_dir: Path) -> None:
    for epoch in (1, 2):
        opened = ResultsStore.create(run_dir, SWEEP) if epoch == 1 else ResultsStore.open(run_dir)
        with opened as store:
            store.add_decision(decision_record(epoch=epoch))
    parts = {path: path.read_bytes() for path in (run_dir / "decisions").glob("*.parquet")}
    with ResultsStore.open(run_dir) as store:
        store.compact()
    for path, content in parts.items():  # the crash came before the old parts were removed
        path.write_bytes(content)
    assert ResultsStore.read(run_dir).decisions().num_rows == 2
    ResultsStore.open(run_dir).close()
    assert len(list((run_dir / "decisions").glob("*.parquet"))) == 1


def test_torn_write_ahead_file_gives_its_complete_batches(run_dir: Path) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    for epoch in (1, 2, 3):
        store.add_epoch(epoch_record(epoch=epoch))
        store.flush()
    store._release()  # as if the process had died: nothing is folded
    wal = next((run_dir / "wal").glob("epochs-*"))
    whole = wal.read_bytes()
    rows = [_rows_of(wal, whole[:length]) for length in [*range(0, len(whole), 97), len(whole)]]
    assert rows == sorted(rows)
    assert set(rows) == {0, 1, 2, 3}
    wal.write_bytes(whole[:-20])
    with ResultsStore.open(run_dir) as reopened:
        assert reopened.epochs().column("epoch").to_pylist() == [1, 2]
        reopened.add_epoch(epoch_record(epoch=3))
    assert ResultsStore.read(run_dir).epochs().column("epoch").to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"PAR1 nothing PAR1", None])
@pytest.mark.parametrize("name", ["epochs/part-000000.parquet", "configs.parquet"])
def test_a_damaged_file_is_named(run_dir: Path, name: str, content: bytes | None) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        store.add_config(ConfigRecord("c0", {"lr": 1.0}, "random"))
        store.add_epoch(epoch_record())
    path = run_dir / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(StoreError, match=r"part-000000\.parquet|configs\.parquet") as caught:
        snapshot(ResultsStore.read(run_dir))
    assert "damaged" in str(caught.value)
    assert name in str(caught.value).replace(os.sep, "/")


def test_a_file_that_is_locked_for_a_moment_is_read_again(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        store.add_epoch(epoch_record())
    monkeypatch.setattr("results.storage.parquet_file.PAUSES", (0.0, 0.0))
    refused: list[Path] = []

    def locked(times: int) -> None:
        def read(path: Path) -> pa.Table:
            refused.append(path)
            if len(refused) <= times:
                raise PermissionError(13, "being used by another process")
            return read_parquet(path)

        refused.clear()
        monkeypatch.setattr("results.storage.segments.read_parquet", read)

    locked(2)
    assert ResultsStore.read(run_dir).epochs().num_rows == 1
    locked(9)
    with pytest.raises(StoreError, match="being used by another process"):
        ResultsStore.read(run_dir).epochs()


def _rows_of(path: Path, content: bytes) -> int:
    torn = path.with_name("torn.arrows")
    torn.write_bytes(content)
    rows = read_wal(torn, TABLES["epochs"].arrow).num_rows
    torn.unlink()
    return int(rows)


def test_part_and_its_write_ahead_file_together_count_once(run_dir: Path) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    store.add_decision(decision_record())
    store.flush()
    wal = next((run_dir / "wal").glob("decisions-*"))
    content = wal.read_bytes()
    store.close()
    wal.write_bytes(content)  # the crash came between writing the part and removing the file
    assert ResultsStore.read(run_dir).decisions().num_rows == 1
    ResultsStore.open(run_dir).close()
    assert pq.read_table(run_dir / "decisions").num_rows == 1


def test_a_full_disk_loses_nothing(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    store.add_epoch(epoch_record(epoch=1))
    store.flush()

    def no_space(self: WriteAheadFile, batch: pa.RecordBatch) -> None:
        self._file.write(b"\xff\xff\xff\xff torn")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WriteAheadFile, "append", no_space)
    for epoch in (2, 3):
        store.add_epoch(epoch_record(epoch=epoch))
        with pytest.raises(StoreError, match=rf"No space left.*memory only: epochs .{epoch - 1}.;") as caught:
            store.flush()
        assert caught.value.rows_kept
    assert store.epochs().num_rows == 3
    monkeypatch.setattr(WriteAheadFile, "append", REAL_WRITE)
    store.add_epoch(epoch_record(epoch=4))
    store.flush()
    assert ResultsStore.read(run_dir).epochs().column("epoch").to_pylist() == [1, 2, 3, 4]
    store.close()
    assert ResultsStore.read(run_dir).epochs().column("epoch").to_pylist() == [1, 2, 3, 4]


def _no_space(*args: object, **options: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_at_the_end_says_that_flushed_rows_are_safe(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    store.add_epoch(epoch_record())
    store.flush()
    with monkeypatch.context() as patch:
        patch.setattr("results.storage.segments.replace_file", _no_space)
        with pytest.raises(StoreError, match=r"No space left.*every row is safe on disk") as caught:
            store.close()
        assert caught.value.rows_kept
        assert "memory" not in str(caught.value)
    store._release()  # the process ends all the same
    with ResultsStore.open(run_dir) as reopened:
        assert reopened.epochs().num_rows == 1


def test_no_row_comes_to_disk_before_its_config(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    store.add_config(ConfigRecord("c0", {"lr": 1.0}, "random"))
    store.add_epoch(epoch_record())
    store.add_decision(decision_record())

    def no_space_for_configs(self: WriteAheadFile, batch: pa.RecordBatch) -> None:
        if "configs" in self.path.name:
            raise OSError(28, "No space left on device")
        REAL_WRITE(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(WriteAheadFile, "append", no_space_for_configs)
        with pytest.raises(
            StoreError, match=r"memory only: configs, epochs \(1\), decisions \(1\)"
        ) as caught:
            store.flush()
        assert caught.value.rows_kept
    seen = ResultsStore.read(run_dir)
    assert (seen.configs().num_rows, seen.epochs().num_rows, seen.decisions().num_rows) == (0, 0, 0)
    store.flush()
    seen = ResultsStore.read(run_dir)
    assert (seen.configs().num_rows, seen.epochs().num_rows, seen.decisions().num_rows) == (1, 1, 1)
    store.close()


def test_the_end_of_a_run_never_comes_to_disk_before_its_epochs(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultsStore.create(run_dir, SWEEP)

    def no_space_for_much(self: WriteAheadFile, batch: pa.RecordBatch) -> None:
        if "epochs" in self.path.name:
            raise OSError(28, "No space left on device")
        REAL_WRITE(self, batch)

    store.add_run(run_record())
    store.add_epoch(epoch_record())
    with monkeypatch.context() as patch:
        patch.setattr(WriteAheadFile, "append", no_space_for_much)
        with pytest.raises(StoreError, match=r"memory only: epochs \(1\), runs \(1\)"):
            store.flush()
    assert ResultsStore.read(run_dir).runs().num_rows == 0
    store.close()
    assert ResultsStore.read(run_dir).runs().num_rows == 1


def test_a_note_that_the_disk_refuses_leaves_the_sweep_readable(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        with monkeypatch.context() as patch:
            patch.setattr("results.storage.run_dir.replace_text", _no_space)
            with pytest.raises(
                StoreError, match=r"sweep\.json cannot be written.*without planned_runs"
            ) as caught:
                store.note({"planned_runs": 12})
            assert caught.value.rows_kept
        assert "planned_runs" not in store.sweep
        assert "planned_runs" not in ResultsStore.read(run_dir).sweep
        store.note({"planned_runs": 12})
    assert ResultsStore.read(run_dir).sweep["planned_runs"] == 12


def test_a_failed_append_is_cut_off_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = TABLES["patches"].arrow
    batch = pa.RecordBatch.from_pylist([dataclasses.asdict(patch_record())], schema=schema)
    wal = WriteAheadFile(tmp_path / "patches-000000.arrows", schema)
    wal.append(batch)

    def broken_sync(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken_sync)
        with pytest.raises(OSError, match="Input/output"):
            wal.append(batch)
    wal.append(batch)
    wal.close()
    assert read_wal(wal.path, schema).num_rows == 2
