"""A disk that is full at any byte, or becomes read-only: rows wait in memory, and nothing that was written is torn."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bucket_sweeps import epochs_of, fill, rows_of
from recorded_sweeps import SWEEP, epoch_record

from results import ResultsStore, StoreError
from results.storage.wal import WriteAheadFile


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes: a write stops in the middle, as on a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of the size of files on Windows")
@pytest.mark.parametrize("size", [0, 100, 2000, 2500, 3000, 4000, 5000, 6000, 7000])
def test_a_disk_that_is_full_at_any_byte_loses_nothing(tmp_path: Path, size: int) -> None:
    store = ResultsStore.create(tmp_path / "run", SWEEP)
    fill(store, range(1, 3))
    with files_up_to(size):
        refused = []
        for epoch in range(3, 12):
            store.add_epoch(epoch_record(epoch=epoch))
            try:
                store.flush()
            except StoreError as error:
                refused.append(error.rows_kept)
            assert store.epochs().num_rows == epoch
        seen = len(epochs_of(tmp_path / "run"))
        with pytest.raises(StoreError) as caught:
            store.compact()
        assert caught.value.rows_kept
        assert len(epochs_of(tmp_path / "run")) >= seen  # what was on disk stays there
    assert refused
    assert all(refused)
    store.close()
    assert epochs_of(tmp_path / "run") == [("c0-r0", epoch) for epoch in range(1, 12)]
    assert len(ResultsStore.read(tmp_path / "run").patches()) == 3


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_becomes_read_only_keeps_the_rows_in_memory(tmp_path: Path) -> None:
    store = ResultsStore.create(tmp_path / "run", SWEEP)
    (tmp_path / "run" / "wal").chmod(0o500)
    try:
        store.add_epoch(epoch_record())
        with pytest.raises(StoreError, match=r"Permission denied.*memory only: epochs \(1\)"):
            store.flush()
    finally:
        (tmp_path / "run" / "wal").chmod(0o700)
    store.close()
    assert epochs_of(tmp_path / "run") == [("c0-r0", 1)]


def test_a_file_system_that_becomes_read_only_keeps_the_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultsStore.create(tmp_path / "run", SWEEP)

    def read_only(self: WriteAheadFile, path: Path, schema: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(WriteAheadFile, "__init__", read_only)
        fill(store)
        with pytest.raises(
            StoreError, match=r"Read-only file system.*memory only: configs, epochs \(3\)"
        ) as caught:
            store.flush()
        assert caught.value.rows_kept
        written = rows_of(store)
    store.close()
    assert rows_of(ResultsStore.read(tmp_path / "run")) == written


def test_rows_without_a_sweep_are_not_taken_for_those_of_a_new_one(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", SWEEP) as store:
        store.add_epoch(epoch_record())
    (tmp_path / "run" / "sweep.json").unlink()
    with pytest.raises(StoreError, match="not empty and not a run directory"):
        ResultsStore.create(tmp_path / "run", SWEEP)
