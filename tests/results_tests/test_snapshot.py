"""A snapshot is of one moment, also for what it reads later, and reads nothing that nobody asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from recorded_sweeps import SWEEP, epoch_record, patch_record, record_scores, run_record, threshold_record

from results import ConfigRecord, ResultsStore, StoreError
from results.ranking import rank_snapshot
from results.snapshot import snapshot


def record_run(store: ResultsStore, i: int) -> None:
    who = {"trial_key": f"c{i}-r0", "config_id": f"c{i}"}
    store.add_config(ConfigRecord(f"c{i}", {"lr": 0.1 * i}, "random", None))
    store.add_epoch(epoch_record(**who))
    store.add_patches([patch_record(**who)])
    store.add_thresholds([threshold_record(**who)])
    store.add_run(run_record(**who))


def test_what_is_read_later_is_of_the_same_moment(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", SWEEP) as store:
        record_run(store, 0)
        store.flush()
        seen = snapshot(ResultsStore.read(tmp_path / "run"))
        record_run(store, 1)
        store.flush()
        for table in (seen.runs, seen.patches, seen.thresholds):
            assert table.column("trial_key").to_pylist() == ["c0-r0"]
        later = snapshot(ResultsStore.read(tmp_path / "run"))
        assert sorted(later.thresholds.column("trial_key").to_pylist()) == ["c0-r0", "c1-r0"]


def test_counts_of_a_run_without_an_end_wait_for_it(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", SWEEP) as store:
        store.add_thresholds([threshold_record()])
        store.add_patches([patch_record()])
        seen = snapshot(store)
        assert (seen.patches.num_rows, seen.thresholds.num_rows) == (0, 0)


def test_the_counts_are_not_read_by_a_ranking(tmp_path: Path) -> None:
    run_dir = record_scores(tmp_path / "run", [[0.4, 0.5], [0.3, 0.2]])
    (run_dir / "patches" / "part-000009.parquet").write_bytes(b"damaged")
    seen = snapshot(ResultsStore.read(run_dir))
    assert [row.config_id for row in rank_snapshot(seen).rows] == ["c0", "c1"]
    with pytest.raises(StoreError, match=r"part-000009\.parquet is damaged"):
        _ = seen.patches


def test_a_later_row_of_the_same_threshold_counts(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", SWEEP) as store:
        store.add_thresholds([threshold_record(tp=1), replace(threshold_record(), threshold=0.75)])
        store.add_thresholds([threshold_record(tp=2)])
        found = {row["threshold"]: row["tp"] for row in store.thresholds().to_pylist()}
    assert found == {0.5: 2, 0.75: threshold_record().tp}
