"""The virtual sweep: what a policy asks for is what happens, epoch by epoch and slot by slot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from results import RunStatus
from tune.replay import Replayed, replay
from tune.schedulers.history import ALLOCATE, History, Run
from tune.schedulers.policy import CONTINUE, WAIT, Action, Decision, Finish, Move, Start

NAN = math.nan


@dataclass
class Scripted:
    """Starts what is listed; stops or pauses at the listed (config, epoch); notes what it was shown."""

    starts: list[Start]
    verdicts: dict[tuple[int, int], Action] = field(default_factory=dict)
    seen: list[tuple[int, int, float]] = field(default_factory=list)

    def next_move(self, history: History) -> Move:
        for start in self.starts:
            run = None if start.config is None else history.run(start.config, start.replicate)
            if start.config is not None and start.stage == ALLOCATE:
                if (
                    run is not None
                    and (run.paused or run.status is RunStatus.STOPPED)
                    and run.stage != ALLOCATE
                ):
                    return start
            elif run is None and (start.config is not None or not history.exhausted):
                return start
        return WAIT if any(True for _ in history.pending()) else Finish("all was run", chosen=0)

    def judge(self, run: Run, history: History) -> Decision:
        self.seen.append((run.config, run.epochs, run.values[-1]))
        action = self.verdicts.get((run.config, run.epochs))
        return (
            CONTINUE
            if action is None or run.stage == ALLOCATE
            else Decision(action, rung=run.epochs, reason="told so")
        )


def fresh(replicate: int = 0) -> Start:
    return Start(None, replicate, "next")


def curves(*lengths: int) -> Callable[[int, int], Sequence[float]]:
    """Config c has `lengths[c]` epochs of value c.epoch."""
    return lambda config, replicate: [config + epoch / 100 for epoch in range(1, lengths[config] + 1)]


def statuses(done: Replayed) -> list[tuple[int, int, RunStatus | None, int]]:
    return [(run.config, run.replicate, run.status, run.epochs) for run in done.history.runs]


@pytest.mark.parametrize(
    ("workers", "lengths", "time"),
    [
        (1, (3, 5, 2), 10),
        (2, (3, 5, 2), 5),  # slot 1 is free at 3 and takes the third run until 5
        (3, (3, 5, 2), 5),
        (8, (3, 5, 2), 5),
        (2, (4, 4, 4), 8),
        (2, (1, 1, 1), 2),
    ],
)
def test_slots_work_in_parallel(workers: int, lengths: tuple[int, ...], time: int) -> None:
    done = replay(Scripted([fresh()]), curves(*lengths), configs=3, workers=workers)
    assert done.time == time
    assert statuses(done) == [(c, 0, RunStatus.FINISHED, n) for c, n in enumerate(lengths)]
    assert done.history.epochs == sum(lengths)
    assert done.history.exhausted
    assert done.chosen == 0


def test_epochs_of_parallel_runs_arrive_in_turn() -> None:
    policy = Scripted([fresh()])
    replay(policy, curves(2, 3, 2), configs=3, workers=2)
    assert [(config, epoch) for config, epoch, _ in policy.seen] == [
        (0, 1), (1, 1), (0, 2), (1, 2), (2, 1), (1, 3), (2, 2),
    ]  # fmt: skip
    assert policy.seen[-1][2] == 2.02


def test_a_stopped_run_gives_its_slot_away_and_may_be_completed_later() -> None:
    starts = [fresh(), Start(0, 0, "it can still be the best", stage=ALLOCATE)]
    policy = Scripted(starts, {(0, 2): Action.STOP})
    done = replay(policy, curves(4, 3), configs=2)
    assert [(entry.time, entry.action, entry.config, entry.epoch) for entry in done.log] == [
        (0, Action.START, 0, 0),
        (2, Action.STOP, 0, 2),
        (2, Action.START, 1, 0),
        (5, Action.RESUME, 0, 2),
    ]
    assert done.log[3].stage == ALLOCATE
    assert done.log[1].event == 2  # the position of its own epoch
    assert statuses(done) == [(0, 0, RunStatus.FINISHED, 4), (1, 0, RunStatus.FINISHED, 3)]
    run = done.history.runs[0]
    assert run.values == [0.01, 0.02, 0.03, 0.04]  # nothing was run twice
    assert run.screen_epochs == 2
    assert done.time == 7


def test_a_paused_run_is_resumed_where_it_was() -> None:
    starts = [fresh(), Start(0, 0, "go on", stage=ALLOCATE)]
    done = replay(Scripted(starts, {(0, 1): Action.PAUSE}), curves(3, 2), configs=2)
    assert statuses(done) == [(0, 0, RunStatus.FINISHED, 3), (1, 0, RunStatus.FINISHED, 2)]
    assert [entry.action for entry in done.log] == [Action.START, Action.PAUSE, Action.START, Action.RESUME]


def test_a_run_that_stays_paused_ends_as_stopped() -> None:
    done = replay(Scripted([fresh()], {(0, 1): Action.PAUSE}), curves(3, 2), configs=2)
    assert statuses(done) == [(0, 0, RunStatus.STOPPED, 1), (1, 0, RunStatus.FINISHED, 2)]


def test_a_run_stopped_on_its_last_epoch_is_complete_once_resumed() -> None:
    starts = [fresh(), Start(0, 0, "complete it", stage=ALLOCATE)]
    done = replay(Scripted(starts, {(0, 2): Action.STOP}), curves(2), configs=1)
    assert statuses(done) == [(0, 0, RunStatus.FINISHED, 2)]
    assert done.time == 2


@pytest.mark.parametrize(
    ("values", "epochs", "time"),
    [([0.1, NAN, NAN], 1, 2), ([NAN], 0, 1), ([0.1, 0.2, math.inf], 2, 3), ([0.1, -math.inf, 0.3], 1, 2)],
)
def test_a_diverged_run_ends_with_a_status_and_reports_no_such_epoch(
    values: list[float], epochs: int, time: int
) -> None:
    policy = Scripted([fresh()])
    done = replay(policy, lambda config, replicate: values, configs=1)
    assert statuses(done) == [(0, 0, RunStatus.DIVERGED, epochs)]
    assert done.time == time
    assert all(math.isfinite(value) for _, _, value in policy.seen)
    assert done.history.runs[0].failed


def test_a_hard_stop_drops_what_is_under_way() -> None:
    done = replay(Scripted([fresh()]), curves(4, 9, 9), configs=3, workers=2, hard_stop=10)
    assert done.history.epochs == 10
    assert statuses(done)[:2] == [(0, 0, RunStatus.FINISHED, 4), (1, 0, None, 5)]
    assert done.finish is None
    assert done.chosen is None


def test_replicates_are_told_apart() -> None:
    asked = []

    def curve(config: int, replicate: int) -> list[float]:
        asked.append((config, replicate))
        return [0.5]

    replay(Scripted([fresh(), Start(0, 7, "again")]), curve, configs=2)
    assert asked == [(0, 0), (1, 0), (0, 7)]


def test_the_same_replay_gives_the_same_log() -> None:
    def one() -> Replayed:
        return replay(Scripted([fresh()], {(1, 2): Action.STOP}), curves(4, 9, 3, 5), configs=4, workers=3)

    assert one().log == one().log
    assert one().time == one().time


class Waits:
    def next_move(self, history: History) -> Move:
        return WAIT

    def judge(self, run: Run, history: History) -> Decision:
        return CONTINUE


class Insists(Waits):
    def next_move(self, history: History) -> Move:
        return fresh()


class StartsTwice(Waits):
    def next_move(self, history: History) -> Move:
        return Start(0, 0, "again") if history.configs else fresh()


class StartsUnknown(Waits):
    def next_move(self, history: History) -> Move:
        return Start(3, 0, "it was never proposed")


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Waits(), "waits, but nothing is under way"),
        (Insists(), "exhausted searcher"),
        (StartsTwice(), "config 0, replicate 0 is started again, but it is under way"),
        (StartsUnknown(), "config 3 is started, but only 0 were proposed"),
    ],
)
def test_a_policy_that_breaks_its_contract_is_named(policy: Waits, why: str) -> None:
    with pytest.raises(RuntimeError, match=why):
        replay(policy, curves(1), configs=1, workers=2)


def test_bad_arguments_are_reported_together() -> None:
    with pytest.raises(ValueError, match=r"configs is 0.*workers is -1.*hard_stop is 0"):
        replay(Scripted([fresh()]), curves(1), configs=0, workers=-1, hard_stop=0)
    with pytest.raises(ValueError, match="config 0, replicate 0 has no epoch"):
        replay(Scripted([fresh()]), curves(0), configs=1)
