"""Synchronous halving: who waits, who goes on, in which order; what a budget pays for."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from results import RunStatus
from tune.schedulers import (
    ALLOCATE,
    SCREEN,
    WAIT,
    Action,
    Decision,
    Finish,
    History,
    PolicyOptions,
    Run,
    Start,
)
from tune.schedulers.halving import SuccessiveHalving, affordable, cost


class Search:
    """A search whose runs are told what to report."""

    def __init__(self, **options: object) -> None:
        base = {"max_epochs": 9, "grace": 1, "eta": 3, "configs": 6, "seeds": 1}
        self.policy = SuccessiveHalving(PolicyOptions(**{**base, **options}))  # type: ignore[arg-type]
        self.history = History()

    def start(self) -> Run:
        move = self.policy.next_move(self.history)
        assert isinstance(move, Start), move
        config = self.history.add_config() if move.config is None else move.config
        run = self.history.run(config, move.replicate)
        if run is None:
            return self.history.start(Run(config, move.replicate, move.stage))
        self.history.reopen(run, move.stage)
        return run

    def report(self, run: Run, value: float) -> Decision:
        self.history.report(run, value)
        decision = self.policy.judge(run, self.history)
        if decision.action is Action.PAUSE:
            self.history.pause(run)
        return decision

    def screen(self, values: Mapping[int, float]) -> None:
        """Every config reports its value and pauses at epoch 1."""
        for value in values.values():
            assert self.report(self.start(), value).action is Action.PAUSE


def test_a_run_pauses_at_a_rung_until_the_others_are_there_and_the_best_third_go_on() -> None:
    search = Search()
    runs = [search.start() for _ in range(6)]
    for run in runs[:5]:
        decision = search.report(run, run.config / 10)
        assert (decision.action, decision.rung, decision.n) == (Action.PAUSE, 1, run.config)
        assert search.policy.next_move(search.history) == WAIT
    assert (
        decision.reason
        == "0.4000 at epoch 1: waits for the other runs of replicate 0, number 5 to arrive there"
    )
    search.report(runs[5], 0.35)
    move = search.policy.next_move(search.history)
    assert isinstance(move, Start)
    assert (move.config, move.stage, move.statistic, move.threshold, move.n) == (4, SCREEN, 0.4, 0.35, 6)
    assert (
        move.reason == "0.4000 at epoch 1 is number 1 of the 6 run(s) of replicate 0 there; the best 2 go on"
    )
    assert [search.start().config for _ in range(2)] == [4, 5]
    assert search.policy.next_move(search.history) == WAIT


def test_at_the_next_rung_those_who_went_on_halve_again_and_the_last_one_ends_by_itself() -> None:
    search = Search()
    search.screen(dict.fromkeys(range(6), 0.5))
    first, second = search.start(), search.start()
    assert (first.config, second.config) == (0, 1)  # equal values: in the order of their first start
    assert [search.report(first, 0.6).action, search.report(first, 0.7).action] == [
        Action.CONTINUE,
        Action.PAUSE,
    ]
    search.report(second, 0.6)
    search.report(second, 0.8)
    winner = search.start()
    assert (winner.config, winner.stage) == (1, SCREEN)
    assert [search.report(winner, 0.9).action for _ in range(6)] == [Action.CONTINUE] * 6
    search.history.end(winner, RunStatus.FINISHED)
    completing = search.policy.next_move(search.history)
    assert isinstance(completing, Start)
    assert completing.stage == ALLOCATE


def test_a_failed_run_is_not_waited_for_and_does_not_count() -> None:
    search = Search(configs=4)
    runs = [search.start() for _ in range(4)]
    for run in runs[:3]:
        search.report(run, run.config / 10)
    assert search.policy.next_move(search.history) == WAIT
    search.history.end(runs[3], RunStatus.FAILED)
    move = search.policy.next_move(search.history)
    assert isinstance(move, Start)
    assert (move.config, move.n) == (2, 3)


def test_a_run_without_a_value_at_the_rung_waits_and_comes_last() -> None:
    search = Search(configs=3, eta=1.5)
    runs = [search.start() for _ in range(3)]
    decision = search.report(runs[0], math.nan)
    assert (decision.action, decision.statistic) == (Action.PAUSE, None)
    assert decision.reason.startswith("undefined at epoch 1")
    search.report(runs[1], -5.0)
    search.report(runs[2], -6.0)
    assert [search.start().config for _ in range(2)] == [1, 2]
    assert search.policy.next_move(search.history) == WAIT


def test_a_free_slot_starts_the_next_replicate_while_stragglers_hold_up_a_rung() -> None:
    search = Search(configs=3, seeds=2)
    runs = [search.start() for _ in range(3)]
    search.report(runs[0], 0.9)
    search.report(runs[1], 0.2)
    ahead = search.start()
    assert (ahead.config, ahead.replicate) == (0, 1)
    search.report(runs[2], 0.1)
    assert search.start() is runs[0], "who goes on has precedence"
    assert search.start().replicate == 1


def test_without_a_rung_before_the_end_nothing_pauses() -> None:
    search = Search(max_epochs=3, grace=3)
    run = search.start()
    assert [search.report(run, 0.1).action for _ in range(3)] == [Action.CONTINUE] * 3


def test_the_cost_is_that_of_the_halving_and_of_its_finalists() -> None:
    # 9 x 1 epoch, 3 x 2 epochs, 1 x 6 epochs; then at most 3 finalists from epoch 1 on
    assert cost(9, PolicyOptions(max_epochs=9, grace=1, eta=3, seeds=1)) == 9 + 6 + 6 + 3 * 8
    assert cost(9, PolicyOptions(max_epochs=9, grace=1, eta=3, seeds=2)) == 2 * cost(
        9, PolicyOptions(max_epochs=9, grace=1, eta=3, seeds=1)
    )


@pytest.mark.parametrize(("budget", "expected"), [(None, 50), (10**6, 50), (45, 9), (44, 8), (0, 1)])
def test_a_budget_pays_for_a_whole_halving_of_fewer_configs(budget: int | None, expected: int) -> None:
    options = PolicyOptions(max_epochs=9, grace=1, eta=3, seeds=1, configs=50, budget_epochs=budget)
    assert affordable(options) == expected


def test_the_end_names_what_the_budget_paid_for() -> None:
    search = Search(configs=50, budget_epochs=30)
    while isinstance(search.policy.next_move(search.history), Start):
        run = search.start()
        while run.pending:
            search.report(run, 0.5)
            if run.epochs == 9:
                search.history.end(run, RunStatus.FINISHED)
    move = search.policy.next_move(search.history)
    assert isinstance(move, Finish)
    tried = search.history.configs
    assert move.reason == (
        f"the plan is done: {tried} config(s), {tried} run(s), and 2 finalist(s) were brought to their end; "
        f"the budget of 30 epochs pays for {tried} of 50 configs"
    )
    assert search.history.epochs <= 30
