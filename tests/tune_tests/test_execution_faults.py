"""Faults in a sweep: what follows each, that any number of them loses or doubles no row, and when it breaks off."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from toy_sweeps import (
    Killed,
    Trial,
    a_sweep,
    decided,
    drive,
    execution_on,
    new_store,
    replayed,
    rows,
    run_to_its_end,
    trial,
)

from results import DecisionRecord, ResultsStore
from tune.execution import MAX_IN_A_ROW, Execution
from tune.faults import RULES, Cause, Fault, Retry, SetAside, what_follows
from tune.schedulers import Action
from tune.shares import SHARES
from tune.trial import RunEnd, TrialSpec

DISK_FULL = Fault(Cause.STORAGE, "OSError: no space left on device")
GONE = Fault(Cause.NODE_LOST, "the node was preempted")


# ----- what follows, by itself


@pytest.mark.parametrize("cause", RULES)
def test_a_trial_is_run_again_as_often_in_a_row_as_its_cause_allows(cause: Cause) -> None:
    rule, fault = RULES[cause], Fault(cause, "what was seen", "a traceback")
    for times in range(rule.retries):
        follows = what_follows(fault, before=[fault] * times, share=0.0)
        assert isinstance(follows, Retry)
        assert follows.reason.startswith(f"{cause}: what was seen; goes on")
        assert follows.share is None
    follows = what_follows(fault, before=[fault] * rule.retries, share=0.0)
    if rule.then is None:
        assert isinstance(follows, SetAside)
    else:
        assert isinstance(follows, RunEnd)
        assert (follows.status, follows.error) == (rule.then, "a traceback")
    assert f"{rule.retries + 1} times in a row" in follows.reason


def test_only_faults_of_the_same_cause_count() -> None:
    others = [Fault(cause, "earlier") for cause in RULES if cause is not Cause.HUNG] * 9
    assert isinstance(what_follows(Fault(Cause.HUNG, "now"), before=others, share=0.0), Retry)


def test_out_of_memory_climbs_the_shares_of_a_gpu_and_ends_at_a_whole_one() -> None:
    fault, share, tried = Fault(Cause.GPU_MEMORY, "batches of 16 do not fit"), min(SHARES), list[float]()
    while isinstance(follows := what_follows(fault, before=[fault] * len(tried), share=share), Retry):
        assert follows.share is not None
        assert follows.share >= share * 4 / 3 - 1e-3
        tried.append(share := follows.share)
    assert tried[-1] == 1.0
    assert follows == RunEnd("out_of_memory", fault.detail)
    for whole in (0.0, 1.0, 2.0):
        assert isinstance(what_follows(fault, before=[], share=whole), RunEnd)


def test_what_another_trial_is_to_blame_for_is_never_counted() -> None:
    fault = Fault(Cause.NEIGHBOUR, "the memory of another broke the loop off")
    assert isinstance(what_follows(fault, before=[fault] * 99, share=0.0), Retry)
    assert isinstance(what_follows(Fault(Cause.RUNTIME, "now"), before=[fault] * 99, share=0.0), Retry)


def test_the_cause_is_read_from_a_recorded_reason() -> None:
    for cause in Cause:
        assert Fault.recorded(f"{cause}: it: broke").cause is cause
    with pytest.raises(ValueError, match="the plan"):
        Fault.recorded("the plan runs every config")


# ----- a sweep with faults


def drive_with_faults(
    execution: Execution, chance: random.Random, causes: list[Cause], *, slots: int
) -> None:
    """Trials in slots, of which any may meet any fault, or the driver be killed, between any two events."""
    running: dict[TrialSpec, Trial] = {}
    while True:
        while len(running) < slots and (spec := execution.next_trial()) is not None:
            assert spec not in running, "it runs twice"
            running[spec] = trial(spec, execution.known_epochs(spec), execution.sweep)
        if not running:
            assert execution.done
            return
        spec = chance.choice(list(running))
        fault = Fault(chance.choice(causes), "it broke off")
        state = execution.runs[spec.trial_key]
        follows = what_follows(fault, before=state.faults, share=state.share)
        if chance.random() < 0.2 and not isinstance(follows, RunEnd):
            assert execution.on_fault(spec, fault) == follows
            assert execution.on_fault(spec, fault) is None, (
                "a second word about the same fault changes nothing"
            )
            del running[spec]
        elif chance.random() < 0.01:
            raise Killed
        elif isinstance(event := next(running[spec]), RunEnd):
            execution.on_end(spec, event)
            del running[spec]
        elif execution.on_epoch(spec, event) is not Action.CONTINUE:
            del running[spec]


def unnumbered(store: ResultsStore) -> dict[str, list[dict[str, Any]]]:
    """Epochs and ends without their place in the log, which faults move."""
    return {
        table: [{name: value for name, value in row.items() if name != "event"} for row in rows(store, table)]
        for table in ("epochs", "runs")
    }


@pytest.mark.parametrize("seed", range(8))
def test_any_faults_at_any_time_lose_and_double_no_row(tmp_path: Path, seed: int) -> None:
    sweep, chance = a_sweep(policy="none", configs=4, max_epochs=5), random.Random(seed)
    with new_store(tmp_path / "calm", sweep) as calm:
        drive(execution_on(sweep, calm), slots=3)
        expected = unnumbered(calm)
    with new_store(tmp_path / "faults", sweep) as store:
        for _ in range(200):
            execution = execution_on(sweep, store, share=0.25)
            try:
                drive_with_faults(execution, chance, list(Cause), slots=3)
            except Killed:
                continue
            if execution.complete:
                break
        assert execution.complete
        assert unnumbered(store) == expected
        assert "retry" in store.decisions().column("action").to_pylist()


@pytest.mark.parametrize("policy", ["asha", "successive-halving", "noise-aware"])
def test_faults_change_no_decision_of_a_policy(tmp_path: Path, policy: str) -> None:
    options: dict[str, Any] = {"policy": policy, "configs": 4, "max_epochs": 4}
    if policy == "noise-aware":
        options |= {"seeds": None, "budget_epochs": 30, "confirm": 1}
    sweep, chance = a_sweep(**options), random.Random(policy)
    with new_store(tmp_path / "calm", sweep) as calm:
        drive(execution_on(sweep, calm))
        expected, decisions = unnumbered(calm), [row[1:] for row in decided(calm)]
    with new_store(tmp_path / "faults", sweep) as store:
        for _ in range(200):
            execution = execution_on(sweep, store)
            try:
                drive_with_faults(execution, chance, [Cause.NODE_LOST, Cause.PROCESS_LOST], slots=1)
            except Killed:
                continue
            break
        assert execution.complete
        assert unnumbered(store) == expected
        assert [row[1:] for row in decided(store)] == decisions
        assert replayed(store, sweep) == decided(store)
        assert store.decisions().num_rows > len(decisions), "there were faults"


def test_a_new_epoch_counts_faults_from_the_beginning(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=1, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        for epoch in range(1, 9):
            for _ in range(2):
                spec = execution.next_trial()
                assert spec is not None
                execution.on_fault(spec, Fault(Cause.PROCESS_LOST, "killed"))
            spec = execution.next_trial()
            assert spec is not None
            assert execution.known_epochs(spec) == epoch - 1
            execution.on_epoch(spec, next(trial(spec, epoch - 1, sweep)))  # type: ignore[arg-type]
            execution.on_fault(spec, GONE)
        spec = execution.next_trial()
        assert spec is not None
        run_to_its_end(execution, spec)
        assert store.runs().column("status").to_pylist() == ["finished"]


def test_a_trial_whose_process_dies_again_and_again_fails_with_what_was_seen(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=2, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        spec = execution.next_trial()
        assert spec is not None
        for _ in range(RULES[Cause.PROCESS_LOST].retries + 1):
            execution.on_fault(
                spec, Fault(Cause.PROCESS_LOST, "Worker exits unexpectedly", "all that Ray says")
            )
            following = execution.next_trial()
        assert following != spec, "its config fails alone"
        assert following is not None
        run_to_its_end(execution, following)
        assert execution.next_trial() is None
        assert execution.complete
        failed = next(run for run in store.runs().to_pylist() if run["trial_key"] == spec.trial_key)
    assert (failed["status"], failed["error"]) == ("failed", "all that Ray says")
    assert failed["reason"] == "process lost: Worker exits unexpectedly; 3 times in a row without a new epoch"


def test_a_resume_counts_the_faults_before_it_and_keeps_the_share(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=1, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        first = execution_on(sweep, store, share=0.25)
        for cause in (Cause.PROCESS_LOST, Cause.GPU_MEMORY, Cause.PROCESS_LOST):
            spec = first.next_trial()
            assert spec is not None
            first.on_fault(spec, Fault(cause, "it broke off"))
        second = execution_on(sweep, store, share=0.25)
        spec = second.next_trial()
        assert spec is not None
        assert second.share(spec) == pytest.approx(1 / 3, abs=1e-3)
        assert isinstance(second.on_fault(spec, Fault(Cause.PROCESS_LOST, "again")), RunEnd)


def test_a_cause_of_another_version_keeps_no_sweep_from_being_resumed(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=1, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        first = execution_on(sweep, store)
        spec = first.next_trial()
        assert spec is not None
        first.on_fault(spec, GONE)
        row = next(row for row in store.decisions().to_pylist() if row["action"] == "retry")
        store.add_decision(
            DecisionRecord(**{**row, "event": row["event"] + 1, "reason": "solar flare: bits fell"})
        )
        drive(execution_on(sweep, store))
        assert store.runs().column("status").to_pylist() == ["finished"]


def test_out_of_memory_on_a_part_of_a_gpu_is_no_failed_seed(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=1, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store, share=0.5)
        spec = execution.next_trial()
        assert spec is not None
        execution.on_end(spec, RunEnd("out_of_memory", "batches of 16 do not fit"))
        assert execution.next_trial() == spec
        assert execution.share(spec) == 1.0
        (retry,) = (row for row in store.decisions().to_pylist() if row["action"] == "retry")
        assert (retry["statistic"], retry["reason"].partition(":")[0]) == (1.0, "GPU memory")
        execution.on_end(spec, RunEnd("out_of_memory", "batches of 16 do not fit"))
        assert store.runs().column("status").to_pylist() == ["out_of_memory"]


# ----- set aside, and when a sweep breaks off


def take(execution: Execution, fault: Fault) -> None:
    """The next trial meets the fault until it is set aside."""
    spec = execution.next_trial()
    assert spec is not None
    while isinstance(execution.on_fault(spec, fault), Retry):
        assert execution.next_trial() == spec, "it goes on before anything else"


def test_a_full_disk_breaks_a_sweep_off_at_once_and_a_resume_runs_everything(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=6, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        for _ in range(MAX_IN_A_ROW):
            take(execution, DISK_FULL)
        assert execution.next_trial() is None, "a full disk would take the next trials as well"
        assert execution.done
        assert not execution.complete
        assert store.runs().num_rows == 0
        assert Counter(store.decisions().column("action").to_pylist()) == {
            "start": 3, "retry": 3, "set aside": 3}  # fmt: skip
        drive(execution_on(sweep, store))
        assert store.runs().column("status").to_pylist() == ["finished"] * 6


def test_unlucky_trials_end_no_sweep_and_are_run_when_nothing_else_is_left(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=6, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution, unlucky = execution_on(sweep, store), list[str]()
        for _ in range(3):
            take(execution, GONE)
            unlucky = list(execution.lost)
            spec = execution.next_trial()
            assert spec is not None
            run_to_its_end(execution, spec)
        drive(execution)
        assert execution.complete
        assert not execution.lost
        ended = store.runs().sort_by("event")
        assert ended.column("status").to_pylist() == ["finished"] * 6
        assert ended.column("trial_key").to_pylist()[3:] == unlucky


def test_what_was_set_aside_is_not_tried_for_ever(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=2, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        take(execution, DISK_FULL)
        (aside,) = execution.lost
        spec = execution.next_trial()
        assert spec is not None
        run_to_its_end(execution, spec)
        take(execution, DISK_FULL)  # its second go
        assert list(execution.lost) == [aside]
        assert execution.next_trial() is None
        assert execution.done
        assert not execution.complete


def test_a_trial_that_runs_on_takes_the_break_back(tmp_path: Path) -> None:
    sweep = a_sweep(policy="none", configs=6, seeds=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store)
        healthy = execution.next_trial()
        assert healthy is not None
        for _ in range(MAX_IN_A_ROW):
            take(execution, DISK_FULL)
        assert execution.broken_off
        assert execution.next_trial() is None
        assert not execution.done, "a trial is running"
        event = next(trial(healthy, 0, sweep))
        assert isinstance(event, Mapping)
        execution.on_epoch(healthy, event)
        assert execution.next_trial() is not None
