"""What tests of a run directory in a bucket do again and again. A module beside the tests, as `recorded_sweeps`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from recorded_sweeps import decision_record, epoch_record, patch_record, run_record

from results import ConfigRecord, ResultsStore
from results.schema import TABLES
from results.storage.location import RunUrl, locate
from results.storage.object_store import RunObjects
from results.storage.row_log import RowLog
from results.storage.upload import OWNER


def objects(url: str) -> RunObjects:
    """What is in the bucket."""
    place = locate(url)
    assert isinstance(place, RunUrl)
    return RunObjects(place)


def killed(store: ResultsStore) -> None:
    """As if the process had died after its rows came to disk: nothing is folded or uploaded."""
    store.flush()
    store._release()


def fill(store: ResultsStore, epochs: range = range(1, 4)) -> None:
    """Record a run and everything that belongs to it."""
    store.add_config(ConfigRecord("c0", {"lr": 0.1}, "random"))
    for epoch in epochs:
        store.add_epoch(epoch_record(epoch=epoch))
    store.add_decision(decision_record())
    store.add_patches([patch_record(patch_id=i) for i in range(3)])
    store.add_run(run_record())


def rows_of(store: ResultsStore) -> dict[str, list[dict[str, Any]]]:
    """All rows of a store, by table."""
    tables: dict[str, pa.Table] = {name: getattr(store, name)() for name in ("configs", *TABLES)}
    return {name: table.to_pylist() for name, table in tables.items()}


def epochs_of(place: str | Path) -> list[tuple[str, int]]:
    """Trial and epoch of every epoch that a reader finds, sorted; a row that is doubled is there twice."""
    rows = ResultsStore.read(place).epochs().to_pylist()
    return sorted((row["trial_key"], row["epoch"]) for row in rows)


def assert_bucket_is_like(url: str, run_dir: Path) -> None:
    """The bucket holds the same files as the folder, byte for byte, and no others."""
    stored = {name: objects(url).get(name) for name in objects(url).names() if name != OWNER}
    assert sorted(stored) == sorted(RowLog(run_dir).files())
    assert stored == {name: (run_dir / name).read_bytes() for name in stored}
