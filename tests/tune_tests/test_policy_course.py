"""What is started when, and what ends a search: plans, budgets, the finalists' share, names and options."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from results import RunStatus
from tune.schedulers import (
    ALLOCATE,
    POLICIES,
    SCREEN,
    WAIT,
    Action,
    Finish,
    History,
    Policy,
    PolicyOptions,
    Run,
    Start,
    make_policy,
)
from tune.schedulers.plan import Plan


def options_of(**changes: object) -> PolicyOptions:
    return PolicyOptions(**{"max_epochs": 6, "grace": 2, "eta": 2, "configs": 3, "seeds": 2, **changes})  # type: ignore[arg-type]


def started(policy: Policy, history: History) -> Run:
    move = policy.next_move(history)
    assert isinstance(move, Start), move
    config = history.add_config() if move.config is None else move.config
    run = history.run(config, move.replicate)
    if run is None:
        return history.start(Run(config, move.replicate, move.stage))
    history.reopen(run, move.stage)
    return run


def report(policy: Policy, history: History, run: Run, *values: float) -> Action:
    action = Action.CONTINUE
    for value in values:
        history.report(run, value)
        action = policy.judge(run, history).action
    if action is Action.STOP:
        history.end(run, RunStatus.STOPPED)
    return action


def driven(policy: Policy, value: Callable[[Run], float] = lambda run: 0.5) -> tuple[list[Run], Finish]:
    """One slot: every run reports until it is stopped or has six epochs."""
    history, order = History(), []
    while isinstance(policy.next_move(history), Start):
        run = started(policy, history)
        order.append(run)
        while run.pending:
            report(policy, history, run, value(run))
            if run.pending and run.epochs == 6:
                history.end(run, RunStatus.FINISHED)
    move = policy.next_move(history)
    assert isinstance(move, Finish)
    return order, move


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]),
        ("asha", [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]),
        ("median", [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]),
        ("fixed-repeats", [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]),
    ],
)
def test_the_order_of_the_plan(name: str, expected: list[tuple[int, int]]) -> None:
    order, finish = driven(make_policy(name, options_of()))
    assert [(run.config, run.replicate) for run in order] == expected
    assert finish.reason.startswith("the plan is done: 3 config(s), 6 run(s)")


def test_three_replicates_unless_the_sweep_says_otherwise() -> None:
    order, _ = driven(make_policy("none", options_of(seeds=None)))
    assert [run.replicate for run in order] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_finalists_are_completed_when_the_screening_has_ended_and_not_before() -> None:
    policy, history = make_policy("asha", options_of(configs=2, seeds=1)), History()
    good, bad = started(policy, history), started(policy, history)
    report(policy, history, good, 0.5, 0.5)
    assert report(policy, history, bad, 0.1, 0.1) is Action.STOP
    assert policy.next_move(history) == WAIT
    report(policy, history, good, 0.5, 0.5, 0.5, 0.5)
    history.end(good, RunStatus.FINISHED)
    assert started(policy, history) is bad
    assert (bad.stage, bad.screen_epochs) == (ALLOCATE, 2)
    assert report(policy, history, bad, 0.0) is Action.CONTINUE
    assert policy.next_move(history) == WAIT
    history.end(bad, RunStatus.FAILED)
    finish = policy.next_move(history)
    assert isinstance(finish, Finish)
    assert "2 finalist(s) were brought to their end" in finish.reason


def test_a_budget_counts_what_is_under_way_in_full_until_a_run_has_ended() -> None:
    policy, history = make_policy("none", options_of(budget_epochs=13)), History()
    runs = [started(policy, history) for _ in range(3)]  # 0, 6 and 12 of 13 epochs are due
    assert policy.next_move(history) == WAIT  # 18
    for run in runs:
        report(policy, history, run, 0.5, 0.5)
        history.end(run, RunStatus.FINISHED)  # shorter than was expected: 6 epochs spent
    runs = [started(policy, history) for _ in range(3)]  # 6, 8, 10, and a run is expected to take 2
    report(policy, history, runs[0], 0.5)
    report(policy, history, runs[0], 0.5)
    report(policy, history, runs[0], 0.5)  # longer than expected: 9 spent, 4 due
    assert policy.next_move(history) == WAIT
    for run in runs:
        history.end(run, RunStatus.FAILED)
    assert isinstance(policy.next_move(history), Finish)


def test_the_reason_says_whether_the_budget_or_the_plan_ended_the_search() -> None:
    _, cut = driven(make_policy("none", options_of(budget_epochs=20)))
    assert cut.reason == "the budget of 20 epochs ended the search, 24 of them spent: 4 run(s) were started"
    _, whole = driven(make_policy("none", options_of(budget_epochs=36)))
    assert whole.reason == "the plan is done: 3 config(s), 6 run(s)"
    _, nothing = driven(make_policy("asha", options_of(budget_epochs=0)))
    assert nothing.reason == "the budget of 0 epochs ended the search, 0 of them spent: 0 run(s) were started"


def falling(run: Run) -> float:
    """Later configs are worse, so that ASHA stops all but the first."""
    return 1.0 - 0.1 * run.config


def test_screening_leaves_enough_of_the_budget_to_complete_the_finalists() -> None:
    policy = make_policy("asha", options_of(configs=40, seeds=1, budget_epochs=20))
    order, finish = driven(policy, falling)
    ended = {run.config: (run.stage, run.epochs) for run in order}
    assert ended == {0: (SCREEN, 6), 1: (ALLOCATE, 6), 2: (ALLOCATE, 6), 3: (SCREEN, 2), 4: (SCREEN, 2)}
    assert finish.reason == (
        "the budget of 20 epochs ended the search, 22 of them spent: 5 run(s) were started, "
        "and 3 finalist(s) were brought to their end"
    )


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=", ".join(sorted(POLICIES))):
        make_policy("ashaa", options_of())


def test_all_wrong_options_are_told_together() -> None:
    wrong = options_of(grace=0, eta=1, max_epochs=0, seeds=0, budget_epochs=-1, configs=0, confirm=-1)
    with pytest.raises(ValueError, match="policy asha: ") as caught:
        make_policy("asha", wrong)
    for name in ("grace", "eta", "max_epochs", "seeds", "budget_epochs", "configs", "confirm"):
        assert f"{name} is " in str(caught.value)


def test_every_policy_has_a_sentence_of_help() -> None:
    assert set(POLICIES) == {"noise-aware", "asha", "successive-halving", "median", "fixed-repeats", "none"}
    assert all(len(text) > 20 for text in POLICIES.values())


@pytest.mark.parametrize("by_config", [True, False])
def test_a_reason_calls_a_config_by_its_number(by_config: bool) -> None:
    """As rows, reports and the other policies do: from 0."""
    history, plan = History(), Plan(options_of(), by_config=by_config)
    for config, replicate in [(0, 0), (0, 1)] if by_config else [(0, 0), (1, 0)]:
        start = plan.next(history)
        assert start is not None
        assert start.reason.startswith(f"config {config} ({config + 1} of 3) on replicate {replicate}; ")
        if config == history.configs:
            history.add_config()
        history.start(Run(config, replicate))
