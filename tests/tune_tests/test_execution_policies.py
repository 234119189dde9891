"""Every policy, live, killed and replayed: the log says all, and a resumed sweep is an uninterrupted one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from toy_sweeps import (
    TABLES,
    Killed,
    a_sweep,
    copy_as_version_2,
    decided,
    drive,
    execution_on,
    new_store,
    replayed,
    rows,
    sickly,
    trial,
)

from results import ResultsStore
from tune.schedulers import POLICIES

every_policy = pytest.mark.parametrize("policy", sorted(POLICIES))
every_fate = pytest.mark.parametrize("trials", [trial, sickly], ids=["sound", "sickly"])


def small(policy: str, **options: Any) -> Any:
    usual = {"policy": policy, "configs": 5, "seeds": None, "max_epochs": 5, "stop_regret": 1e-4}
    return a_sweep(**{**usual, **options})


#: The searcher of the second has fewer configs than were asked for, which nobody knows before it is asked.
SEARCHES = {"random": {}, "grid": {"searcher": "grid", "grid_points": 4, "configs": 7}}


@every_policy
@pytest.mark.parametrize(
    ("trials", "search"),
    [(trial, "random"), (sickly, "random"), (trial, "grid")],
    ids=["sound", "sickly", "exhausted"],
)
def test_a_sweep_killed_after_any_epoch_and_resumed_has_the_rows_of_an_uninterrupted_one(
    tmp_path: Path, policy: str, trials: Any, search: str
) -> None:
    sweep = small(policy, **SEARCHES[search])
    with new_store(tmp_path / "whole", sweep) as whole:
        drive(execution_on(sweep, whole), trials=trials)
        expected = {table: rows(whole, table) for table in TABLES}
    for killed_after in range(0, len(expected["epochs"]), 11):
        folder = tmp_path / f"killed-{killed_after}"
        with new_store(folder, sweep) as store, pytest.raises(Killed):
            drive(execution_on(sweep, store), epochs=killed_after, trials=trials)
        with ResultsStore.open(folder) as store:
            drive(execution_on(sweep, store), trials=trials)
            assert {table: rows(store, table) for table in TABLES} == expected, killed_after


@every_policy
@every_fate
@pytest.mark.parametrize("slots", [1, 4])
def test_the_decisions_of_a_sweep_replay_identically_from_its_own_log(
    tmp_path: Path, policy: str, trials: Any, slots: int
) -> None:
    sweep = small(policy)
    with new_store(tmp_path / "run", sweep) as store:
        drive(execution_on(sweep, store), slots=slots, trials=trials)
        assert replayed(store, sweep) == decided(store)


@every_policy
def test_several_slots_killed_again_and_again_lose_nothing(tmp_path: Path, policy: str) -> None:
    sweep = small(policy)
    store = new_store(tmp_path / "run", sweep)
    for _ in range(100):
        with store:
            before = rows(store, "epochs")
            try:
                drive(execution_on(sweep, store), slots=3, epochs=6)
            except Killed:
                assert len(rows(store, "epochs")) == len(before) + 6
            else:
                break
        store = ResultsStore.open(tmp_path / "run")
    with ResultsStore.open(tmp_path / "run") as whole:
        execution = execution_on(sweep, whole)
        drive(execution)
        assert execution.complete
        events = [row["event"] for row in whole.epochs().to_pylist()]
        assert len(events) == len(set(events))
        ends = {row["trial_key"]: row["epochs"] for row in whole.runs().to_pylist()}
        assert set(ends) == set(execution.runs)
        assert sum(ends.values()) == len(events)
        assert replayed(whole, sweep) == decided(whole)


@pytest.mark.parametrize("policy", ["asha", "none"])
def test_a_sweep_that_an_older_version_began_is_resumed_to_the_same_rows(tmp_path: Path, policy: str) -> None:
    """Their order of arrival is all that is known of what it did."""
    sweep = a_sweep(policy=policy, configs=4, max_epochs=5)
    names = ("epochs", "runs")
    with new_store(tmp_path / "whole", sweep) as whole:
        drive(execution_on(sweep, whole))
        expected = {name: without_events(rows(whole, name)) for name in names}
        last = max(row["event"] for row in whole.runs().to_pylist())
        for event in range(1, last + 1, 5):
            with new_store(tmp_path / f"old-{event}", sweep) as old:
                copy_as_version_2(whole, old, event)
                drive(execution_on(sweep, old), epochs=None)
                assert {name: without_events(rows(old, name)) for name in names} == expected, event
                again = execution_on(sweep, old)
                drive(again)
                assert {name: without_events(rows(old, name)) for name in names} == expected, event


def without_events(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "event"} for row in found]
