"""What a policy may ask of a sweep, what becomes of it, and what is on record of it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from toy_sweeps import Killed, a_sweep, drive, execution_on, new_store

from results import ResultsStore, RunStatus
from tune.errors import PolicyError
from tune.execution import Execution
from tune.replicates import FIRST_FRESH
from tune.schedulers import (
    ALLOCATE,
    CONFIRM,
    CONTINUE,
    POLICIES,
    SCREEN,
    WAIT,
    Action,
    Decision,
    Finish,
    History,
    Move,
    Policy,
    Run,
    Start,
    make_policy,
)
from tune.trial import RunEnd, TrialSpec


@dataclasses.dataclass
class Scripted:
    """Starts what it is told to start, as soon as nothing is pending, then waits or finishes."""

    starts: list[Start]
    then: Move = WAIT
    name: str = "scripted"

    def next_move(self, history: History) -> Move:
        if any(history.pending()):
            return WAIT
        done = sum(run.epochs > 0 for run in history.runs)
        return self.starts[done] if done < len(self.starts) else self.then

    def judge(self, run: Run, history: History) -> Decision:
        return CONTINUE


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (Start(3, 0, "no such config"), "config 3 on replicate 0, a config that was not proposed"),
        (Start(0, 0, "again", ALLOCATE), "config 0 on replicate 0 to allocate, which has ended as finished"),
        (Start(0, FIRST_FRESH, "fresh", ALLOCATE), "from 1000 on are for confirmation, and only they"),
        (Start(0, 1, "confirm", CONFIRM), "from 1000 on are for confirmation, and only they"),
        (Start(None, 0, "one more"), "asks for a further config, and there is none"),
    ],
)
def test_a_policy_that_asks_for_what_cannot_be_done_is_told(tmp_path: Path, start: Start, told: str) -> None:
    sweep = a_sweep(configs=1)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store, policy=Scripted([Start(None, 0, "the first"), start]))
        with pytest.raises(PolicyError, match=told):
            drive(execution)


def test_a_policy_that_waits_for_nothing_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    sweep = a_sweep()
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store, policy=Scripted([Start(None, 0, "the only one")]))
        with pytest.raises(
            PolicyError, match="policy scripted waits for a run to report, and none is under way"
        ):
            drive(execution)


def test_a_choice_is_one_row_on_the_first_run_of_its_config(tmp_path: Path) -> None:
    sweep = a_sweep()
    end = Finish("the script is at its end", chosen=1, statistic=0.3, threshold=0.2)
    starts = [Start(None, 0, "first"), Start(None, 0, "second"), Start(1, 1, "third", ALLOCATE)]
    with new_store(tmp_path / "run", sweep) as store:
        for _ in range(3):  # a sweep that is over stays as it is
            execution = execution_on(sweep, store, policy=Scripted(starts, end))
            drive(execution)
            assert execution.complete
            assert (execution.ended, execution.planned) == ("the script is at its end", 3)
            assert max(store.decisions().column("event").to_pylist()) == 3 * (1 + 9 + 1) + 1
        (chosen,) = (row for row in store.decisions().to_pylist() if row["action"] == "choose")
    config = execution.configs[1].config_id
    assert (chosen["config_id"], chosen["replicate"], chosen["policy"]) == (config, 0, "scripted")
    assert (chosen["statistic"], chosen["threshold"], chosen["reason"]) == (
        0.3,
        0.2,
        "the script is at its end",
    )


def test_every_start_is_a_row_with_its_reason_and_stage(tmp_path: Path) -> None:
    sweep = a_sweep()
    starts = [
        Start(None, 0, "first"),
        Start(0, 1, "second", ALLOCATE, 0.5, 0.25, 1),
        Start(0, FIRST_FRESH, "third", CONFIRM),
    ]
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store, policy=Scripted(starts, Finish("done")))
        drive(execution)
        found = store.decisions().to_pylist()
        keys = set(store.runs().column("trial_key").to_pylist())
    told = [(row["action"], row["stage"], row["reason"], row["statistic"], row["n"]) for row in found]
    assert told == [
        ("start", "screen", "first", None, 0),
        ("start", "allocate", "second", 0.5, 1),
        ("start", "confirm", "third", None, 0),
    ]
    assert {key.split("-")[1] for key in keys} == {"r00", "r01", "r1000"}
    assert execution.planned == 2, "runs that confirm are no part of the search"


@dataclasses.dataclass
class PauseAt2:
    """Pauses every run at epoch 2; resumes the better one, and leaves the other behind."""

    def next_move(self, history: History) -> Move:
        if any(history.pending()):
            return WAIT
        if history.configs < 2:
            return Start(None, 0, "both are looked at")
        best = max(history.runs, key=lambda run: run.best)
        return (
            Start(best.config, 0, "the better one goes on", SCREEN)
            if best.paused
            else Finish("it has ended", best.config)
        )

    def judge(self, run: Run, history: History) -> Decision:
        return Decision(Action.PAUSE, 2, run.best, None, 0, "looked at") if run.epochs == 2 else CONTINUE


def test_a_paused_run_gives_its_slot_back_goes_on_where_it_was_and_has_one_end(tmp_path: Path) -> None:
    sweep = a_sweep(configs=2)
    with new_store(tmp_path / "run", sweep) as store:
        execution = execution_on(sweep, store, policy=PauseAt2())
        first = execution.next_trial()
        assert first is not None
        assert execution.running == {first.trial_key}
        assert [execution.on_epoch(first, metrics(epoch, 0.1)) for epoch in (1, 2)] == [
            Action.CONTINUE,
            Action.PAUSE,
        ]
        assert execution.running == frozenset()
        assert store.runs().num_rows == 0
        assert execution.on_epoch(first, metrics(3, 0.9)) is Action.STOP, (
            "a late report of a paused run is not heard"
        )
        second = execution.next_trial()
        assert second is not None
        for epoch in (1, 2):
            execution.on_epoch(second, metrics(epoch, 0.2))
        again = execution.next_trial()
        assert again is not None
        assert (again.trial_key, execution.known_epochs(again)) == (second.trial_key, 2)
        drive_on(execution, again)
        assert execution.complete
        ends = {
            row["trial_key"]: (row["status"], row["epochs"], row["reason"])
            for row in store.runs().to_pylist()
        }
        actions = [(row["trial_key"], row["action"]) for row in store.decisions().to_pylist()]
    assert ends == {
        first.trial_key: ("stopped", 2, "it has ended"),
        second.trial_key: ("finished", 3, "done"),
    }
    one, two = first.trial_key, second.trial_key
    assert actions == [
        *[(one, "start"), (one, "pause"), (two, "start"), (two, "pause"), (two, "resume"), (two, "choose")],
    ]


class Watching:
    """Notes what a policy is shown while it judges.

    Args:
        policy: the policy that decides.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy, self.seen = policy, list[tuple[Any, ...]]()

    def next_move(self, history: History) -> Move:
        return self.policy.next_move(history)

    def judge(self, run: Run, history: History) -> Decision:
        pending = sorted((other.config, other.replicate) for other in history.pending())
        ended = [(other.config, other.replicate, other.status) for other in history.runs if other.status]
        self.seen.append((run.config, run.replicate, run.stage, run.epochs, pending, ended))
        self.seen.append((history.configs, history.exhausted, history.epochs, sorted(history.stages)))
        return self.policy.judge(run, history)


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("searcher", [{}, {"searcher": "grid", "grid_points": 4}], ids=["random", "grid"])
def test_a_replay_shows_a_policy_what_it_saw_live(
    tmp_path: Path, policy: str, searcher: dict[str, Any]
) -> None:
    """Also the end of the searcher's configs, which is known when it is asked for one more and not before."""
    sweep = a_sweep(policy=policy, configs=6, seeds=None, **searcher)

    def watching() -> Watching:
        return Watching(make_policy(policy, sweep.policy_options()))

    live, resumed = watching(), watching()
    with new_store(tmp_path / "run", sweep) as store:
        drive(execution_on(sweep, store, policy=live), slots=3)
        execution = execution_on(sweep, store, policy=resumed)
        assert resumed.seen == live.seen
        assert execution.history.exhausted


@pytest.mark.parametrize("policy", ["asha", "successive-halving"])
def test_what_is_on_record_wins_over_what_a_policy_says_now(tmp_path: Path, policy: str) -> None:
    """Another version of it, or that of an audit, which stops nothing."""
    sweep = a_sweep(policy=policy)
    with new_store(tmp_path / "run", sweep) as store:
        with pytest.raises(Killed):
            drive(execution_on(sweep, store), epochs=20)
        now = execution_on(sweep, store).history.runs
        lenient = execution_on(sweep, store, policy=Scripted([], Finish("nothing"))).history.runs
    assert any(run.status is RunStatus.STOPPED or run.paused for run in now)
    assert lenient == now


def test_a_start_is_on_disk_before_its_trial_runs(tmp_path: Path) -> None:
    sweep = a_sweep()
    with new_store(tmp_path / "run", sweep) as store:
        spec = execution_on(sweep, store).next_trial()
        assert spec is not None
        (start,) = ResultsStore.read(tmp_path / "run").decisions().to_pylist()
    assert (start["trial_key"], start["action"], start["event"]) == (spec.trial_key, "start", 1)


def metrics(epoch: int, value: float) -> dict[str, Any]:
    return {"epoch": epoch, "val_iou": value, "device": "cpu", "epoch_seconds": 1.0}


def drive_on(execution: Execution, spec: TrialSpec) -> None:
    execution.on_epoch(spec, metrics(3, 0.3))
    execution.on_end(spec, RunEnd("finished", "done"))
    assert execution.next_trial() is None
