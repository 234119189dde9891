"""Configs come to disk by appending, whatever happens before configs.parquet is written again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from recorded_sweeps import SWEEP, Clock, epoch_record

from results import ConfigRecord, ResultsStore, StoreError
from results.storage import config_file


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every writing of configs.parquet."""
    found: list[Path] = []
    really = config_file.replace_file

    def noted(path: Path, write: Callable[[BinaryIO], object]) -> None:
        found.append(path)
        really(path, write)

    monkeypatch.setattr(config_file, "replace_file", noted)
    return found


def config(number: int, label: str | None = None) -> ConfigRecord:
    return ConfigRecord(f"c{number:03d}", {"lr": float(number)}, "random", label)


def ids(store: ResultsStore) -> list[str]:
    return list(store.configs().column("config_id").to_pylist())


def crash(store: ResultsStore) -> None:
    """The process dies: nothing is folded."""
    store._release()


def test_the_whole_file_is_written_at_rotations_only(run_dir: Path, written: list[Path]) -> None:
    clock = Clock()
    store = ResultsStore.create(run_dir, SWEEP, clock=clock)
    proposed = [f"c{number:03d}" for number in reversed(range(100))]
    for number in reversed(range(100)):
        store.add_config(config(number))
        store.flush()
    assert not written
    assert ids(ResultsStore.read(run_dir)) == proposed
    clock.now = 31.0
    store.tick()
    store.tick()
    assert len(written) == 1
    assert not list((run_dir / "wal").glob("configs-*"))
    store.add_config(config(100))
    store.flush()
    assert ids(ResultsStore.read(run_dir)) == ids(store) == [*proposed, "c100"]
    store.close()
    assert len(written) == 2
    assert ids(ResultsStore.read(run_dir)) == [*proposed, "c100"]


def test_a_crash_keeps_the_configs_in_their_order(run_dir: Path) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    for number in (3, 1):
        store.add_config(config(number))
        store.flush()
    crash(store)
    assert ids(ResultsStore.read(run_dir)) == ["c003", "c001"]
    store = ResultsStore.open(run_dir)
    assert not list((run_dir / "wal").glob("configs-*"))
    store.add_config(config(2))
    store.add_config(config(3, "renamed"))
    store.flush()
    crash(store)
    with ResultsStore.open(run_dir) as store:
        table = store.configs()
    assert table.column("config_id").to_pylist() == ["c003", "c001", "c002"]
    assert table.column("label").to_pylist() == ["renamed", None, None]
    assert table.column("lr").to_pylist() == [3.0, 1.0, 2.0]


def test_a_torn_append_costs_the_config_that_was_not_promised(run_dir: Path) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    for number in (1, 2):
        store.add_config(config(number))
        store.flush()
    crash(store)
    wal = next((run_dir / "wal").glob("configs-*"))
    wal.write_bytes(wal.read_bytes()[:-20])
    assert ids(ResultsStore.read(run_dir)) == ["c001"]
    with ResultsStore.open(run_dir) as store:
        store.add_config(config(2))
    assert ids(ResultsStore.read(run_dir)) == ["c001", "c002"]


def test_a_leftover_that_could_not_be_removed_changes_nothing(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            config_file, "remove_if_possible", lambda path: None
        )  # Windows, while a reader holds it open
        with ResultsStore.create(run_dir, SWEEP) as store:
            store.add_config(config(1, "old"))
        with ResultsStore.open(run_dir) as store:
            store.add_config(config(1, "new"))
    assert len(list((run_dir / "wal").glob("configs-*"))) == 2
    assert ResultsStore.read(run_dir).configs().column("label").to_pylist() == ["new"]
    with ResultsStore.open(run_dir) as store:
        assert store.configs().column("label").to_pylist() == ["new"]
    assert not list((run_dir / "wal").glob("configs-*"))


def test_there_is_no_part_whose_configs_are_not_in_parquet(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    store.add_config(ConfigRecord("c0", {"lr": 1.0}, "random"))
    store.add_epoch(epoch_record())

    def no_space(path: Path, write: Callable[[BinaryIO], object]) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(config_file, "replace_file", no_space)
        with pytest.raises(StoreError, match=r"No space left.*every row is safe on disk"):
            store.close()
    assert not list((run_dir / "epochs").glob("*.parquet"))
    seen = ResultsStore.read(run_dir)
    assert (seen.configs().num_rows, seen.epochs().num_rows) == (1, 1)
    store.close()
    assert (run_dir / "configs.parquet").exists()
    assert list((run_dir / "epochs").glob("*.parquet"))


def test_an_append_that_fails_is_made_good(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultsStore.create(run_dir, SWEEP)
    store.add_config(config(1))
    store.flush()

    def broken(self: object, batch: object) -> None:
        raise OSError(5, "Input/output error")

    store.add_config(config(2))
    with monkeypatch.context() as patch:
        patch.setattr(config_file.WriteAheadFile, "append", broken)
        with pytest.raises(StoreError, match="memory only: configs"):
            store.flush()
    assert ids(ResultsStore.read(run_dir)) == ["c001"]
    store.flush()
    crash(store)
    assert ids(ResultsStore.read(run_dir)) == ["c001", "c002"]
