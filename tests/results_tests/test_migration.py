"""What an older version wrote is read as it was meant, and a program never reads what it does not understand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded_sweeps import SWEEP, epoch_record, patch_record, run_record, threshold_record

from results import ResultsStore, StoreError, schema
from results.ranking import rank_store
from results.schema import SCHEMA_VERSION, VERSION_KEY, TableSchema
from results.storage import run_dir
from results.storage.migration import STEPS, Step, conform, upgraded_rows, upgraded_sweep
from results.storage.wal import WriteAheadFile

#: The columns of version 1, for good: what is on people's disks does not change with this program.
TRIAL_1 = "sweep_id:str! trial_key:str! config_id:str! replicate:int!"
SEEDS_1 = "seed_init:int! seed_order:int! seed_augment:int!"
VERSION_1 = {
    "epochs": f"{TRIAL_1} {SEEDS_1} epoch:int! stage:str! train_loss:real val_loss:real val_iou:real val_f1:real "
    "val_precision:real val_recall:real best_threshold:real best_threshold_iou:real lr:real epoch_seconds:real "
    "data_seconds:real patches_per_second:real peak_memory_bytes:int node:str! device:str! timestamp:real!",
    "runs": f"{TRIAL_1} {SEEDS_1} stage:str! status:str! epochs:int! best_epoch:int best_value:real reason:str! "
    "error:str wall_seconds:real! timestamp:real!",
    "patches": f"{TRIAL_1} epoch:int! patch_id:int! tp:int! fp:int! fn:int!",
    "configs": "config_id:str! label:str origin:str! values_json:str! lr:real",
}
TYPES = {"str": pa.string(), "int": pa.int64(), "real": pa.float64()}
CONFIG = {"config_id": "c0", "label": None, "origin": "random", "values_json": '{"lr": 0.1}', "lr": 0.1}


def rows_of_version_1(table: str, *rows: dict[str, Any]) -> pa.Table:
    fields = []
    for column in VERSION_1[table].split():
        name, kind = column.rstrip("!").split(":")
        fields.append(pa.field(name, TYPES[kind], nullable=not column.endswith("!")))
    declared = pa.schema(fields, metadata={VERSION_KEY: b"1"})
    return pa.Table.from_pylist([{f.name: row[f.name] for f in fields} for row in rows], schema=declared)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run directory of version 1 whose program was killed: one run in parts, its last epoch under wal/."""
    folder = tmp_path / "run"
    for name in ("wal", "checkpoints", "epochs", "decisions", "patches", "runs"):
        (folder / name).mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({**SWEEP, "schema_version": 1}, indent=2) + "\n", "utf-8")
    first, last = (dataclasses.asdict(epoch_record(epoch=epoch, val_iou=0.1 * epoch)) for epoch in (1, 2))
    ended = {**dataclasses.asdict(run_record(epochs=2, best_epoch=2, best_value=0.2)), "status": "finished"}
    pq.write_table(rows_of_version_1("configs", CONFIG), folder / "configs.parquet")
    pq.write_table(rows_of_version_1("epochs", first), folder / "epochs" / "part-000000.parquet")
    patches = rows_of_version_1("patches", dataclasses.asdict(patch_record()))
    pq.write_table(patches, folder / "patches" / "part-000000.parquet")
    pq.write_table(rows_of_version_1("runs", ended), folder / "runs" / "part-000000.parquet")
    leftover = rows_of_version_1("epochs", last)
    wal = WriteAheadFile(folder / "wal" / "epochs-000001.arrows", leftover.schema)
    wal.append(leftover.to_batches()[0])
    wal.close()
    return folder


def on_disk(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_store_of_version_1_is_read_and_stays_as_it_is(old: Path) -> None:
    before = on_disk(old)
    store = ResultsStore.read(old)
    assert store.epochs().column("val_iou").to_pylist() == [0.1, 0.2]
    assert store.epochs().column("event").to_pylist() == [None, None]
    assert store.runs().column("event").to_pylist() == [None]
    assert store.patches().num_rows == 1
    assert store.thresholds().num_rows == 0
    assert store.thresholds().schema.equals(schema.THRESHOLDS)
    assert store.configs().to_pylist() == [CONFIG]
    assert [(row.config_id, row.mean) for row in rank_store(store).rows] == [("c0", 0.2)]
    assert on_disk(old) == before


def test_opened_to_write_it_is_of_this_version_with_the_same_rows(old: Path) -> None:
    before = {
        name: getattr(ResultsStore.read(old), name)() for name in ("epochs", "runs", "patches", "configs")
    }
    with ResultsStore.open(old) as store:
        assert json.loads((old / "sweep.json").read_text("utf-8")) == {
            **SWEEP,
            "schema_version": SCHEMA_VERSION,
        }
        assert store.sweep["schema_version"] == SCHEMA_VERSION
        store.add_thresholds([threshold_record()])
        store.add_epoch(epoch_record(epoch=3, val_iou=0.3))
        store.compact()
    after = ResultsStore.read(old)
    assert after.epochs().slice(0, 2).equals(before["epochs"])
    assert all(getattr(after, name)().equals(before[name]) for name in ("runs", "patches", "configs"))
    assert after.epochs().num_rows == 3
    assert after.thresholds().num_rows == 1


def test_an_upgraded_store_is_refused_by_the_version_before(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ResultsStore.open(old).close()
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 1)
    before = on_disk(old)
    for attempt in (ResultsStore.open, ResultsStore.read):
        with pytest.raises(
            StoreError, match=rf"sweep\.json has schema version {SCHEMA_VERSION}, .*up to 1: upgrade"
        ):
            attempt(old)
    assert on_disk(old) == before


def test_a_disk_that_refuses_the_upgrade_leaves_version_1(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    before = on_disk(old)
    with monkeypatch.context() as patch:
        patch.setattr(run_dir, "replace_text", full)
        with pytest.raises(StoreError, match="No space left"):
            ResultsStore.open(old)
    assert {name: content for name, content in on_disk(old).items() if name != ".writer.lock"} == before
    ResultsStore.open(old).close()


def test_a_file_of_a_newer_version_is_refused_by_name(old: Path) -> None:
    """Someone may copy single parts; a part says itself which version wrote it."""
    part = old / "epochs" / "part-000000.parquet"
    rows = pq.read_table(part).replace_schema_metadata({VERSION_KEY: str(SCHEMA_VERSION + 1).encode()})
    pq.write_table(rows, part)
    with pytest.raises(
        StoreError, match=rf"part-000000\.parquet has schema version {SCHEMA_VERSION + 1}, .*upgrade"
    ):
        ResultsStore.read(old).epochs()


def test_every_version_has_its_step_and_its_reason() -> None:
    assert [step.version for step in STEPS] == list(range(2, SCHEMA_VERSION + 1))
    assert all(step.reason.endswith(".") for step in STEPS)


# ----- columns that come and go

TABLE = TableSchema(
    "epochs",
    pa.schema(
        [
            pa.field("trial_key", pa.string(), nullable=False),
            pa.field("stage", pa.string(), nullable=False),
            pa.field("power_watts", pa.float64()),
        ]
    ),
    ("trial_key",),
)


def read(content: dict[str, list[Any]], *steps: Step, version: bytes = b"1") -> pa.Table:
    rows = pa.table(content).replace_schema_metadata({VERSION_KEY: version})
    return conform(rows, TABLE, "part-000000.parquet", steps=steps)


def put(name: str, value: str) -> Step:
    """A step to version 2 that declares what older rows have in a column."""
    return Step(
        2,
        "A test.",
        tables={"epochs": lambda rows: rows.append_column(name, pa.array([value] * rows.num_rows))},
    )


def test_a_column_that_came_later_is_null_in_older_rows_and_one_that_went_is_ignored() -> None:
    rows = read({"gone": [1, 2], "stage": ["screen", "study"], "trial_key": ["a", "b"]})
    assert rows.schema.equals(TABLE.arrow, check_metadata=True)
    assert rows.column("power_watts").to_pylist() == [None, None]


def test_a_required_column_that_came_later_has_the_declared_value_in_older_rows_only() -> None:
    assert (
        read({"trial_key": ["a", "b"]}, put("stage", "screen")).column("stage").to_pylist() == ["screen"] * 2
    )
    newer = read({"trial_key": ["a"], "stage": ["confirm"]}, put("stage", "screen"), version=b"2")
    assert newer.column("stage").to_pylist() == ["confirm"]


def test_a_required_column_without_a_declared_value_is_an_error_and_never_null() -> None:
    with pytest.raises(StoreError, match=r"part-000000\.parquet: column 'stage' .*it is not there"):
        read({"trial_key": ["a"]})
    with pytest.raises(StoreError) as caught:
        read({"trial_key": ["a", None], "stage": [None, None], "power_watts": ["much", "more"]})
    assert len(caught.value.problems) == 3
    assert "1 of 2 rows have no value" in caught.value.problems[0]


def test_steps_are_applied_in_order_and_only_those_after_the_version() -> None:
    def renamed(old_name: str, new_name: str) -> Step:
        names = {old_name: new_name}
        return Step(
            int(new_name[-1]),
            "A test.",
            sweep=lambda sweep: {names.get(key, key): value for key, value in sweep.items()},
            tables={"epochs": lambda rows: rows.rename_columns([names.get(n, n) for n in rows.column_names])},
        )

    steps = (renamed("v1", "v2"), renamed("v2", "v3"))
    assert upgraded_sweep({"schema_version": 1, "v1": "x"}, steps=steps) == {"schema_version": 3, "v3": "x"}
    assert upgraded_sweep({"schema_version": 2, "v1": "x"}, steps=steps) == {"schema_version": 3, "v1": "x"}
    rows = pa.table({"v1": [1]})
    assert upgraded_rows(rows, "epochs", 1, steps=steps).column_names == ["v3"]
    assert upgraded_rows(rows, "epochs", 2, steps=steps).column_names == ["v1"]
    assert upgraded_rows(rows, "runs", 1, steps=steps).column_names == ["v1"]
