"""A sweep that is to do more: `sweep.json` changes all at once, and what said that it was over never comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bucket_sweeps import killed
from recorded_sweeps import SWEEP, decision_record, epoch_record, run_record

from results import ResultsStore, RunStatus, StoreError, rank_store
from results.extended import choice_of, ended_runs, going_on
from results.records import EXTENSION
from results.snapshot import snapshot
from results.storage import run_dir as run_dir_module
from results.storage.extended_sweep import in_order, reconciled
from results.storage.location import local_copy
from results.storage.object_store import RunObjects

At = Callable[[str], None]
OVER = {"ended": "the plan is done", "planned_runs": 3, "tracking_id": "t1"}
MORE: dict[str, Any] = {"max_epochs": 9, "replicates": 4}


def entry(after: int) -> dict[str, Any]:
    return {"after_event": after, "changed": {"max_epochs": [3, 9]}}


def extend(store: ResultsStore, after: int = 7) -> None:
    store.extend(MORE, entry=entry(after), forget=["configs_exhausted_after"])


def assert_extended(sweep: Any) -> None:
    assert {"ended", "planned_runs", "configs_exhausted_after"}.isdisjoint(sweep)
    assert {name: sweep[name] for name in MORE} == MORE
    assert sweep["tracking_id"] == "t1"
    assert [found["after_event"] for found in sweep["extensions"]] == [7]


def test_what_said_that_the_sweep_was_over_goes_and_all_else_stays(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", SWEEP) as store:
        store.note({**OVER, "configs_exhausted_after": 5})
        extend(store)
        assert_extended(store.sweep)
    assert_extended(ResultsStore.read(tmp_path / "run").sweep)
    with ResultsStore.open(tmp_path / "run") as store:
        store.extend({"max_epochs": 12}, entry=entry(9))
        assert [found["after_event"] for found in store.sweep["extensions"]] == [7, 9]


def test_an_extension_cannot_make_another_sweep_of_it(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", SWEEP) as store:
        before = dict(store.sweep)
        with pytest.raises(StoreError) as raised:
            store.extend({"sweep_id": "other", "metric": "val_f1", **MORE}, entry=entry(1))
        assert [problem.split(" ")[0] for problem in raised.value.problems] == ["'sweep_id'", "'metric'"]
        assert dict(store.sweep) == before
    with pytest.raises(StoreError, match="not open for writing"):
        extend(ResultsStore.read(tmp_path / "run"))


def test_a_disk_that_does_not_take_it_leaves_the_sweep_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with ResultsStore.create(tmp_path / "run", SWEEP) as store:
        store.note(OVER)
        with monkeypatch.context() as patch:
            patch.setattr(run_dir_module, "replace_text", full)
            with pytest.raises(StoreError, match="No space left"):
                extend(store)
        assert store.sweep["ended"] == ResultsStore.read(tmp_path / "run").sweep["ended"] == OVER["ended"]


# ---- a bucket and its twin ----------------------------------------------------------------------------------------


def test_an_extension_that_never_came_to_the_bucket_is_not_undone_by_it(run_url: str) -> None:
    with ResultsStore.create(run_url, SWEEP) as store:
        store.note(OVER)
    store = ResultsStore.open(run_url)
    assert store._mirror is not None
    store._mirror.stop()  # the server is slow
    extend(store)
    killed(store)
    assert "ended" in ResultsStore.read(run_url).sweep
    with ResultsStore.open(run_url) as store:
        assert_extended(store.sweep)
    assert_extended(ResultsStore.read(run_url).sweep)


def test_a_copy_that_was_left_behind_does_not_bring_the_end_back(run_url: str, at: At) -> None:
    with ResultsStore.create(run_url, SWEEP) as store:
        store.note(OVER)
    at("b")
    with ResultsStore.open(run_url) as store:
        extend(store)
    at("a")
    assert "ended" in ResultsStore.read(local_copy(run_url)).sweep
    with ResultsStore.open(run_url) as store:
        assert_extended(store.sweep)
        store.note({"ended": "again"})
    assert ResultsStore.read(run_url).sweep["ended"] == "again"


def test_rows_of_an_extension_never_come_to_a_bucket_before_the_sweep_that_they_belong_to(
    run_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ResultsStore.create(run_url, SWEEP) as store:
        store.note(OVER)
        store.add_epoch(epoch_record(epoch=1))
    put, stored = RunObjects.put, list[str]()

    def watched(self: RunObjects, name: str, data: bytes, **words: Any) -> None:
        stored.append(name)
        put(self, name, data, **words)

    monkeypatch.setattr(RunObjects, "put", watched)
    with ResultsStore.open(run_url) as store:
        stored.clear()
        with monkeypatch.context() as patch:  # the server is slow: one pass has to bring both
            patch.setattr(ResultsStore, "_upload", lambda self: None)
            extend(store)
        store.add_epoch(epoch_record(epoch=2))
    assert any(name.startswith("epochs/") for name in stored)
    assert stored[0] == "sweep.json"


def test_the_copy_that_was_extended_further_counts_alone() -> None:
    old, new = {"a": 1, "ended": "x"}, {"a": 2, "extensions": [entry(1)]}
    for ours_counts in (True, False):
        assert reconciled(old, new, ours_counts=ours_counts) == new
        assert reconciled(new, old, ours_counts=ours_counts) == new
        assert reconciled(None, old, ours_counts=ours_counts) == old
    assert reconciled({"a": 1, "b": 1}, {"a": 2, "c": 2}, ours_counts=True) == {"a": 2, "b": 1, "c": 2}
    assert reconciled({"a": 1, "b": 1}, {"a": 2, "c": 2}, ours_counts=False) == {"a": 1, "b": 1, "c": 2}


def test_the_sweep_comes_first_only_while_it_goes_on() -> None:
    names = ["configs.parquet", "epochs/part-0.parquet", "sweep.json"]
    going = {"extensions": [entry(1)]}
    assert in_order(names, going) == ["sweep.json", *names[:2]]
    assert in_order(names, {}) == in_order(names, {**going, "ended": "done"}) == names


# ---- rows ---------------------------------------------------------------------------------------------------------


def test_a_run_that_was_given_more_epochs_has_no_end_until_it_ends_again(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", {**SWEEP, "replicates": 1, "configs": 1}) as store:
        for epoch in (1, 2, 3):
            store.add_epoch(epoch_record(epoch=epoch, event=epoch))
        store.add_run(run_record(event=4, epochs=3, status=RunStatus.FINISHED))
        (key,) = store.runs().column("trial_key").to_pylist()
        assert rank_store(store).rows[0].n == 1
        store.extend({"max_epochs": 9}, entry=entry(7))
        given = {"trial_key": key, "action": "resume", "policy": EXTENSION, "rung": None, "stage": "screen"}
        store.add_decision(decision_record(event=8, epoch=3, **given))
        assert going_on(store.runs(), store.decisions()) == {key}
        assert snapshot(store).runs.num_rows == ended_runs(store.runs(), store.decisions()).num_rows == 0
        (row,) = rank_store(store).rows
        assert (row.n, row.n_missing, [run.extended for run in row.runs]) == (0, 1, [True])
        store.add_epoch(epoch_record(epoch=4, event=9))
        store.add_run(run_record(event=10, epochs=4, status=RunStatus.FINISHED))
        (row,) = rank_store(store).rows
        assert (row.n, row.n_missing, [run.extended for run in row.runs]) == (1, 0, [False])


def test_the_newest_choice_counts_and_none_from_before_an_extension(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", SWEEP) as store:
        for config, event in (("c1", 20), ("c0", 5)):
            chosen = {"config_id": config, "trial_key": f"{config}-r0", "action": "choose", "rung": None}
            store.add_decision(decision_record(event=event, **chosen))
        assert choice_of(store.decisions(), store.sweep) == "c1"
        extend(store, after=20)
        assert choice_of(store.decisions(), store.sweep) is None
        store.add_decision(decision_record(event=21, **{**chosen, "config_id": "c0"}))
        assert choice_of(store.decisions(), store.sweep) == "c0"
