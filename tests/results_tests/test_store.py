"""The store keeps what it was given: round trips, reopening, readers beside the writer, refusals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_sweeps import SWEEP, Clock, epoch_record, patch_record, run_record

from results import ConfigRecord, EpochRecord, ResultsStore, RunStatus, StoreError
from results.records import DecisionRecord, PatchRecord, RunRecord, ThresholdRecord
from results.schema import SCHEMA_VERSION, TABLES, config_values


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("table", "record"),
    [
        ("epochs", EpochRecord),
        ("runs", RunRecord),
        ("decisions", DecisionRecord),
        ("patches", PatchRecord),
        ("thresholds", ThresholdRecord),
    ],
)
def test_schema_and_record_declare_the_same_columns(table: str, record: Any) -> None:
    assert TABLES[table].arrow.names == [field.name for field in dataclasses.fields(record)]


_FLOATS = st.one_of(st.none(), st.floats())
_SEEDS = st.integers(0, 2**63 - 1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(min_size=1, max_size=20).filter(lambda text: "\x00" not in text and text.isprintable()),
    seed=_SEEDS,
    value=_FLOATS,
    memory=st.one_of(st.none(), _SEEDS),
    data=st.data(),
)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    seed: int,
    value: float | None,
    memory: int,
    data: Any,
) -> None:
    folder = tmp_path_factory.mktemp("trip") / "run"
    record = epoch_record(
        trial_key=text, seed_init=seed, val_iou=value, train_loss=data.draw(_FLOATS), peak_memory_bytes=memory
    )
    with ResultsStore.create(folder, SWEEP) as store:
        store.add_epoch(record)
        store.flush()
        live = ResultsStore.read(folder).epochs().to_pylist()
    closed = ResultsStore.read(folder).epochs().to_pylist()
    # repr: NaN equals itself, and 1 is not 1.0.
    assert repr(live) == repr(closed) == repr([dataclasses.asdict(record)])


def test_nan_stays_nan_and_null_stays_null(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        store.add_epoch(epoch_record(val_iou=float("nan"), val_f1=None))
    row = ResultsStore.read(run_dir).epochs().to_pylist()[0]
    assert row["val_iou"] != row["val_iou"]
    assert row["val_f1"] is None


_VALUES = st.dictionaries(
    st.sampled_from(["lr", "backbone", "label", "amp", "mixed"]),
    st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=5)),
)


@settings(max_examples=25, deadline=None)
@given(configs=st.lists(_VALUES, min_size=1, max_size=5))
def test_config_values_come_back_with_their_types(
    tmp_path_factory: pytest.TempPathFactory, configs: list[dict[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("configs") / "run"
    with ResultsStore.create(folder, SWEEP) as store:
        for i, values in enumerate(configs):
            store.add_config(ConfigRecord(f"c{i}", values, "grid"))
    read = config_values(ResultsStore.read(folder).configs())
    assert repr(read) == repr({f"c{i}": dict(sorted(values.items())) for i, values in enumerate(configs)})


def test_configs_have_one_typed_column_per_parameter(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        store.add_config(ConfigRecord("a", {"lr": 1, "amp": True, "cap": None}, "grid", "first"))
        store.add_config(ConfigRecord("b", {"lr": 0.5, "amp": False, "cap": "x", "label": 3}, "grid"))
    frame = pd.read_parquet(run_dir / "configs.parquet")
    assert frame["lr"].tolist() == [1.0, 0.5]
    assert frame["amp"].dtype == bool
    assert frame["label"].tolist()[0] == "first"
    assert frame["param.label"].tolist()[1] == 3


def test_the_last_row_of_a_key_counts(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        store.add_epoch(epoch_record(epoch=1, val_iou=0.1))
        store.add_epoch(epoch_record(epoch=2, val_iou=0.2))
        store.add_run(run_record(status=RunStatus.STOPPED))
    with ResultsStore.open(run_dir) as store:
        store.add_epoch(epoch_record(epoch=2, val_iou=0.9))
        store.add_run(run_record(status=RunStatus.FINISHED))
        assert store.epochs().column("val_iou").to_pylist() == [0.1, 0.9]
        store.compact()
    store = ResultsStore.read(run_dir)
    assert store.epochs().column("val_iou").to_pylist() == [0.1, 0.9]
    assert store.runs().column("status").to_pylist() == ["finished"]


def test_compaction_leaves_one_part_per_table_and_every_row(run_dir: Path) -> None:
    for epoch in range(1, 5):
        opened = ResultsStore.create(run_dir, SWEEP) if epoch == 1 else ResultsStore.open(run_dir)
        with opened as store:
            store.add_epoch(epoch_record(epoch=epoch))
            store.add_patches([patch_record(patch_id=epoch)])
    before = ResultsStore.read(run_dir).epochs()
    assert len(list((run_dir / "epochs").glob("*.parquet"))) == 4
    with ResultsStore.open(run_dir) as store:
        store.compact()
    assert len(list((run_dir / "epochs").glob("*.parquet"))) == 1
    assert not list((run_dir / "wal").iterdir())
    assert ResultsStore.read(run_dir).epochs() == before
    with ResultsStore.open(run_dir) as store:
        store.add_epoch(epoch_record(epoch=9))
    assert ResultsStore.read(run_dir).epochs().num_rows == 5


def test_rows_reach_the_disk_half_a_second_after_they_came(run_dir: Path) -> None:
    clock = Clock()
    store = ResultsStore.create(run_dir, SWEEP, clock=clock)
    store.add_epoch(epoch_record(epoch=1))
    clock.now = 0.4
    store.tick()
    assert ResultsStore.read(run_dir).epochs().num_rows == 0
    clock.now = 0.5
    store.tick()
    assert ResultsStore.read(run_dir).epochs().num_rows == 1
    clock.now = 1.2
    store.add_epoch(epoch_record(epoch=2))
    clock.now = 1.8
    store.add_epoch(epoch_record(epoch=3))
    assert ResultsStore.read(run_dir).epochs().num_rows == 3


def test_pandas_reads_a_live_sweep_even_if_the_first_part_has_only_nulls(run_dir: Path) -> None:
    clock = Clock()
    store = ResultsStore.create(run_dir, SWEEP, clock=clock)
    for epoch, value in ((1, None), (2, 0.5)):
        store.add_epoch(epoch_record(epoch=epoch, val_iou=value))
        clock.now += 31
        store.tick()
    store.add_epoch(epoch_record(epoch=3))
    frame = pd.read_parquet(run_dir / "epochs")
    assert frame["epoch"].tolist() == [1, 2]
    assert frame["val_iou"].dtype == float
    store.close()


def test_a_row_that_does_not_fit_is_refused_and_harms_no_other(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        store.add_epoch(epoch_record(epoch=1))
        with pytest.raises(StoreError, match=r"epochs: .*high") as caught:
            store.add_epoch(epoch_record(epoch=2, val_iou="high"))
        assert not caught.value.rows_kept
        with pytest.raises(StoreError, match="column 'node' must not be null"):
            store.add_epoch(epoch_record(epoch=2, node=None))
        with pytest.raises(StoreError, match="config c1"):
            store.add_config(ConfigRecord("c1", {"lr": object()}, "grid"))
    assert ResultsStore.read(run_dir).epochs().num_rows == 1


def test_missing_names_the_trials_that_have_not_ended(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        store.add_run(run_record(trial_key="b", status=RunStatus.FAILED))
        store.add_epoch(epoch_record(trial_key="c"))
        assert store.missing(["c", "b", "a"]) == ["c", "a"]


def test_sweep_comes_back_and_cannot_be_changed(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, {**SWEEP, "space": {"lr": [1, 2.5]}}) as store:
        assert store.sweep["space"] == {"lr": [1, 2.5]}
        with pytest.raises(TypeError):
            store.sweep["name"] = "other"  # type: ignore[index]


def test_notes_are_added_to_the_sweep_and_survive(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        store.note({"planned_runs": None})
        store.note({"planned_runs": 12, "ended_at": 1.5})
        assert (store.sweep["planned_runs"], store.sweep["name"]) == (12, "recorded")
        with pytest.raises(TypeError):
            store.sweep["planned_runs"] = 3  # type: ignore[index]
    sweep = ResultsStore.read(run_dir).sweep
    assert sweep == {**SWEEP, "schema_version": SCHEMA_VERSION, "planned_runs": 12, "ended_at": 1.5}


def test_a_note_cannot_change_what_the_sweep_is(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, SWEEP) as store:
        before = (run_dir / "sweep.json").read_bytes()
        store.note({"name": "recorded"})  # says nothing new
        with pytest.raises(StoreError, match="'metric' says what the sweep is") as caught:
            store.note({"metric": "val_f1", "mode": "min", "planned_runs": 3})
        assert len(caught.value.problems) == 2
        with pytest.raises(StoreError, match="not JSON"):
            store.note({"ended_at": object()})
        assert (run_dir / "sweep.json").read_bytes() == before
        assert "planned_runs" not in store.sweep
    with pytest.raises(StoreError, match="not open for writing"):
        ResultsStore.read(run_dir).note({"planned_runs": 3})


def test_one_writer_at_a_time_and_readers_never_write(run_dir: Path) -> None:
    with ResultsStore.create(run_dir, SWEEP):
        with pytest.raises(StoreError, match="another process is writing"):
            ResultsStore.open(run_dir)
        with pytest.raises(StoreError, match="not open for writing"):
            ResultsStore.read(run_dir).add_epoch(epoch_record())
    ResultsStore.open(run_dir).close()


def test_same_sweep_is_referred_to_resume_and_another_sweep_is_protected(run_dir: Path) -> None:
    ResultsStore.create(run_dir, SWEEP).close()
    with pytest.raises(StoreError, match="use --resume"):
        ResultsStore.create(run_dir, SWEEP)
    with pytest.raises(StoreError, match=r"another sweep \(sweep0001, named 'recorded'\)"):
        ResultsStore.create(run_dir, {**SWEEP, "sweep_id": "other"})


def test_a_newer_schema_version_is_refused(run_dir: Path) -> None:
    ResultsStore.create(run_dir, SWEEP).close()
    path = run_dir / "sweep.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "schema_version": SCHEMA_VERSION + 1}), encoding="utf-8")
    for attempt in (ResultsStore.open, ResultsStore.read):
        with pytest.raises(
            StoreError, match=rf"schema version {SCHEMA_VERSION + 1}.*up to {SCHEMA_VERSION}.*upgrade"
        ):
            attempt(run_dir)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "has no sweep.json"),
        (lambda path: (path.mkdir(), (path / "sweep.json").write_text("{", "utf-8")), "cannot be read"),
        (lambda path: (path.mkdir(), (path / "sweep.json").write_text("[1]", "utf-8")), "cannot be read"),
    ],
)
def test_what_is_not_a_run_directory_is_refused(
    run_dir: Path, prepare: Callable[[Path], object], message: str
) -> None:
    prepare(run_dir)
    with pytest.raises(StoreError, match=message):
        ResultsStore.open(run_dir)


def test_create_refuses_foreign_files_bad_places_and_incomplete_sweeps(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="not empty and not a run directory"):
        ResultsStore.create(tmp_path, SWEEP)
    with pytest.raises(StoreError, match="cannot be written"):
        ResultsStore.create(tmp_path / "thesis.txt" / "run", SWEEP)
    for url in ("gs://bucket/run", "s3://bucket", "https://bucket/run", "s3://bucket/../run"):
        with pytest.raises(StoreError, match=r"not a run directory: give a folder or s3://bucket/prefix"):
            ResultsStore.create(url, SWEEP)
    with pytest.raises(StoreError) as caught:
        ResultsStore.create(tmp_path / "run", {"sweep_id": "x", "name": "y"})
    assert len(caught.value.problems) == 4
    with pytest.raises(StoreError, match="not JSON"):
        ResultsStore.create(tmp_path / "run", {**SWEEP, "now": object()})
