"""The noise-aware search, stage by stage: who is looked at, stopped, resumed, repeated, confirmed, and what ends it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from results import RunStatus
from results.statistics.posterior import Evidence, posterior
from tune.replay import Replayed, replay
from tune.replicates import FIRST_FRESH
from tune.schedulers import (
    ALLOCATE,
    CONFIRM,
    SCREEN,
    Action,
    Finish,
    History,
    PolicyOptions,
    Run,
    Start,
    Wait,
)
from tune.schedulers.ledger import Ledger
from tune.schedulers.noise_aware import NoiseAware


def options(**changes: object) -> PolicyOptions:
    base = {"max_epochs": 9, "grace": 1, "eta": 3, "configs": 9, "budget_epochs": 400, "stop_regret": 0.0}
    return PolicyOptions(**{**base, **changes})  # type: ignore[arg-type]


def noisy(config: int, replicate: int, *, sd: float = 0.01, epochs: int = 9) -> list[float]:
    """Better with its number, with seed noise; rises over the epochs."""
    rng = np.random.default_rng([config, replicate])
    top = 0.4 + 0.005 * config + sd * rng.standard_normal()
    return [float(top - 0.2 * 0.5**epoch + 0.002 * rng.standard_normal()) for epoch in range(epochs)]


class Sweep:
    """Runs moves by hand: a config is run epoch by epoch until the test says otherwise."""

    def __init__(self, **changes: object) -> None:
        self.policy, self.history = NoiseAware(options(**changes)), History()

    def move(self) -> Start | Wait | Finish:
        return self.policy.next_move(self.history)

    def take(self) -> tuple[Start, Run]:
        move = self.move()
        assert isinstance(move, Start), move
        config = self.history.add_config() if move.config is None else move.config
        run = self.history.run(config, move.replicate)
        if run is None:
            run = self.history.start(Run(config, move.replicate, move.stage))
        else:
            self.history.reopen(run, move.stage)
        return move, run

    def report(self, run: Run, *values: float) -> Action:
        for value in values:
            self.history.report(run, value)
            action = self.policy.judge(run, self.history).action
        if action is Action.STOP:
            self.history.end(run, RunStatus.STOPPED)
        return action

    def finish(self, run: Run, score: float) -> None:
        """To its end, without being judged: what happens at rungs is another test's."""
        for _ in range(9 - run.epochs):
            self.history.report(run, score)
        self.history.end(run, RunStatus.FINISHED)

    def screened(self, *scores: float) -> None:
        for score in scores:
            self.finish(self.take()[1], score)


def search(
    curve: Callable[[int, int], Sequence[float]] = noisy, workers: int = 3, **changes: object
) -> Replayed:
    return replay(NoiseAware(options(**changes)), curve, configs=9, workers=workers)


# ---- screen ---------------------------------------------------------------------------------------------------------


def test_every_config_is_looked_at_once_before_anything_is_repeated() -> None:
    starts = [row for row in search().log if row.action is Action.START]
    assert [row.config for row in starts[:9]] == list(range(9))
    assert {row.stage for row in starts[:9]} == {SCREEN}
    assert all(row.replicate == 0 for row in starts[:9])
    assert starts[2].reason.startswith("config 2 (3 of at most 9) is screened")


def test_the_weaker_runs_are_stopped_at_rungs_with_numbers() -> None:
    sweep = Sweep(eta=2)
    runs = [sweep.take()[1] for _ in range(3)]
    assert sweep.report(runs[0], 0.30) is Action.CONTINUE
    assert sweep.report(runs[1], 0.40) is Action.CONTINUE
    sweep.history.report(runs[2], 0.20)
    decision = sweep.policy.judge(runs[2], sweep.history)
    assert (decision.action, decision.rung, decision.n) == (Action.STOP, 1, 2)
    assert decision.statistic == 0.20
    assert decision.threshold == pytest.approx(0.35)
    assert (
        decision.reason
        == "best value 0.2000 by epoch 1 is below 0.3500, the least of the upper 1/2 of 2 others"
    )


def test_who_came_first_is_judged_again_when_others_arrive() -> None:
    sweep = Sweep(grace=3)
    early, *others = [sweep.take()[1] for _ in range(4)]
    assert sweep.report(early, 0.10, 0.20, 0.30) is Action.CONTINUE
    sweep.report(early, 0.31)
    for run in others:
        sweep.report(run, 0.1, 0.2, 0.4)
    sweep.history.report(early, 0.32)
    decision = sweep.policy.judge(early, sweep.history)
    assert (decision.action, decision.rung, decision.statistic, decision.n) == (Action.STOP, 3, 0.30, 3)
    assert decision.reason.endswith("it had passed while fewer had arrived")


def test_a_run_with_all_its_epochs_is_not_stopped() -> None:
    sweep = Sweep(grace=3)
    early, *others = [sweep.take()[1] for _ in range(4)]
    assert sweep.report(early, *[0.30] * 8) is Action.CONTINUE
    for run in others:
        sweep.report(run, 0.1, 0.2, 0.4)
    assert sweep.report(early, 0.31) is Action.CONTINUE


def test_a_run_that_still_passes_leaves_no_second_row() -> None:
    sweep = Sweep(grace=3)
    first, second = sweep.take()[1], sweep.take()[1]
    sweep.report(first, 0.1, 0.2, 0.5)
    sweep.report(second, 0.1, 0.2, 0.4)
    sweep.history.report(first, 0.5)
    assert sweep.policy.judge(first, sweep.history).rung is None


def test_a_run_without_a_value_is_not_compared() -> None:
    sweep = Sweep()
    sweep.report(sweep.take()[1], 0.4)
    blank = sweep.take()[1]
    assert sweep.report(blank, math.nan) is Action.CONTINUE
    assert sweep.report(blank, 0.1) is Action.STOP


def test_screening_ends_with_its_share_of_the_budget() -> None:
    done = search(budget_epochs=90, configs=9, grace=9)
    looked_at = done.history.configs
    assert looked_at == 6  # the last three are started when 27 of 45 epochs are spent
    assert any(row.stage == ALLOCATE for row in done.log)


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "again"),
    [(RunStatus.DIVERGED, True), (RunStatus.FAILED, True), (RunStatus.OUT_OF_MEMORY, False)],
)
def test_a_config_whose_only_run_failed_is_screened_once_more(status: RunStatus, again: bool) -> None:
    sweep = Sweep()
    sweep.history.end(sweep.take()[1], status)
    move, run = sweep.take()
    assert (move.config, move.replicate, move.stage) == ((0, 1, SCREEN) if again else (None, 0, SCREEN))
    if again:
        assert "failed" in move.reason
        sweep.history.end(run, status)
        assert sweep.take()[0].config is None  # not a third time


def test_a_config_with_a_score_stays_in_the_search_when_a_further_seed_fails() -> None:
    sweep = Sweep(configs=2)
    sweep.screened(0.50, 0.51)
    failing = sweep.take()[1]
    sweep.history.end(failing, RunStatus.DIVERGED)
    seen = set()
    for _ in range(6):
        move, run = sweep.take()
        seen.add(move.config)
        sweep.finish(run, 0.5 + 0.01 * (move.replicate % 2))
    assert seen == {0, 1}
    assert [r.replicate for r in sweep.history.of(failing.config)][:3] == [0, 1, 2]


def test_a_search_in_which_everything_fails_ends_with_a_reason() -> None:
    done = search(lambda config, replicate: [0.1, math.nan])
    assert done.finish == Finish(
        "no config has a run that ended with a score, and none may have another one; no run has a score"
    )
    assert len(done.history.runs) == 18


def test_without_any_score_the_stopped_run_that_came_furthest_goes_on() -> None:
    sweep = Sweep(configs=3, eta=2)
    best, *others = [sweep.take()[1] for _ in range(3)]
    sweep.report(best, 0.5, 0.5)
    assert sweep.report(others[0], 0.3) is Action.STOP
    assert sweep.report(others[1], 0.35) is Action.STOP
    sweep.history.end(best, RunStatus.OUT_OF_MEMORY)
    move = sweep.move()
    assert isinstance(move, Start)
    assert (move.config, move.replicate, move.stage) == (2, 0, ALLOCATE)


# ---- allocate -------------------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_before_a_fresh_seed_is_spent() -> None:
    done = search(budget_epochs=600)
    fresh, resumed = set(), set()
    for row in done.log:
        if row.stage != ALLOCATE:
            continue
        if row.action is Action.RESUME:
            assert row.config not in fresh
            assert "goes on to its end" in row.reason
            resumed.add(row.config)
        elif row.action is Action.START:
            fresh.add(row.config)
            assert all(run.status is not RunStatus.STOPPED for run in done.history.of(row.config))
    assert resumed
    assert fresh


def test_leader_and_challenger_get_the_seeds_not_the_hopeless() -> None:
    sweep = Sweep(configs=4)
    sweep.screened(0.30, 0.50, 0.505, 0.31)
    got = []
    for _ in range(12):
        move, run = sweep.take()
        got.append(move.config)
        sweep.finish(run, {0: 0.30, 1: 0.50, 2: 0.505, 3: 0.31}[run.config] + 0.01 * (-1) ** run.replicate)
    assert {1, 2} <= set(got)
    assert got.count(1) + got.count(2) >= 10
    assert abs(got.count(1) - got.count(2)) <= 4


def test_a_run_under_way_counts_as_evidence_to_come() -> None:
    sweep = Sweep(configs=2)
    sweep.screened(0.50, 0.505)
    configs = [sweep.take()[1].config for _ in range(6)]
    assert sorted(configs) == [0, 0, 0, 1, 1, 1]


def test_replicates_of_a_config_are_started_in_order_and_below_the_fresh_ones() -> None:
    history = search(budget_epochs=500).history
    for config in range(9):
        replicates = [run.replicate for run in history.of(config) if run.stage != CONFIRM]
        assert replicates == list(range(len(replicates)))


def test_seeds_cap_the_replicates() -> None:
    done = search(seeds=3, budget_epochs=10_000)
    assert max(run.replicate for run in done.history.runs) == 2
    assert done.finish is not None
    assert done.finish.reason.startswith("no config may be run again: each has all of its 3 seeds")


def test_reasons_carry_their_numbers() -> None:
    rows = [row for row in search().log if row.stage == ALLOCATE and row.rung is None]
    assert rows
    for row in rows:
        assert row.statistic is not None
        assert row.threshold is not None
        assert f"{row.statistic:.4f}" in row.reason
        assert f"{row.threshold:.4f}" in row.reason


# ---- the end --------------------------------------------------------------------------------------------------------


def test_the_search_ends_when_little_is_to_be_gained() -> None:
    done = search(lambda c, r: [0.1 + 0.1 * c + 0.001 * (r % 2)] * 9, stop_regret=0.002, budget_epochs=5000)
    assert done.finish is not None
    assert done.finish.chosen == 8
    assert done.finish.reason.startswith("expected regret ")
    assert done.finish.reason.endswith("is below 0.002")
    assert done.history.epochs < 300


@pytest.mark.parametrize("budget", [40, 90, 200])
def test_the_budget_ends_the_search_and_is_kept_within_a_run(budget: int) -> None:
    done = search(budget_epochs=budget)
    assert done.finish is not None
    assert done.finish.reason.startswith(f"the budget of {budget} epochs is spent (")
    assert budget - 9 <= done.history.epochs <= budget + 9


def test_a_budget_that_ends_the_search_too_soon_says_how_much_is_still_to_be_gained() -> None:
    finish, unasked = (search(stop_regret=least, budget_epochs=81).finish for least in (0.0001, 0.0))
    assert finish is not None
    assert unasked is not None
    words = (
        r"the budget of 81 epochs is spent \(\d+ used\); expected regret is still (.+), 0\.0001 was asked for"
    )
    said = re.fullmatch(words, finish.reason)
    assert said, finish.reason
    assert 0.0001 <= float(said[1]) < 0.1
    assert "regret" not in unasked.reason


def test_the_default_budget_is_twice_all_configs_in_full() -> None:
    done = search(budget_epochs=None)
    assert done.finish is not None
    assert done.finish.reason.startswith("the budget of 162 epochs is spent")


def test_epochs_of_the_confirmation_are_not_the_searchs() -> None:
    without, with_it = search(budget_epochs=100), search(budget_epochs=100, confirm=3)
    assert with_it.history.epochs == without.history.epochs + 6 * 9
    assert with_it.chosen == without.chosen


def test_choice_and_rival_are_confirmed_pair_by_pair_on_fresh_seeds() -> None:
    done = search(confirm=3, workers=1)
    belief = posterior(_evidence(done))
    fresh = [run for run in done.history.runs if run.stage == CONFIRM]
    choice, rival = fresh[0].config, fresh[1].config
    assert [(run.config, run.replicate) for run in fresh] == [
        (config, FIRST_FRESH + i) for i in range(3) for config in (choice, rival)
    ]
    assert choice == done.chosen == belief.choice
    assert rival != choice
    assert belief.n[rival] > 0
    assert all(run.status is RunStatus.FINISHED for run in fresh)


def test_a_failed_confirmation_is_not_repeated_and_changes_nothing() -> None:
    def curve(config: int, replicate: int) -> list[float]:
        return [0.1, math.nan] if replicate == FIRST_FRESH else noisy(config, replicate)

    plain, failing = search(confirm=2), search(curve, confirm=2)
    assert failing.chosen == plain.chosen
    assert len(failing.history.runs) == len(plain.history.runs)


def test_fresh_replicates_take_no_part_in_the_choice() -> None:
    def curve(config: int, replicate: int) -> list[float]:
        return [0.01] * 9 if replicate >= FIRST_FRESH else noisy(config, replicate)

    plain, other = search(confirm=3), search(curve, confirm=3)
    assert other.finish == plain.finish


def test_the_choice_is_a_function_of_the_searchs_runs() -> None:
    done = search(budget_epochs=300)
    assert done.chosen == posterior(_evidence(done)).choice


def _evidence(done: Replayed) -> Evidence:
    ledger = Ledger(9)
    ledger.update(done.history)
    return ledger.evidence(done.history.configs)


def test_one_config_is_enough() -> None:
    done = replay(NoiseAware(options(configs=1, stop_regret=0.002, confirm=2)), noisy, configs=1)
    assert done.chosen == 0
    assert [run.replicate for run in done.history.runs] == [0, FIRST_FRESH, FIRST_FRESH + 1]


# ---- determinism ----------------------------------------------------------------------------------------------------


def test_the_same_search_twice_is_the_same() -> None:
    assert search(confirm=2).log == search(confirm=2).log


def test_a_policy_that_reads_the_history_at_once_answers_as_one_that_followed_it() -> None:
    sweep = Sweep(configs=5)
    sweep.screened(0.44, 0.48, 0.47, 0.46, 0.475)
    for _ in range(8):
        run = sweep.take()[1]
        sweep.finish(run, noisy(run.config, run.replicate)[-1])
        late = NoiseAware(options(configs=5))
        assert late.next_move(sweep.history) == sweep.move()


def test_asking_changes_nothing() -> None:
    sweep = Sweep(configs=3)
    sweep.screened(0.44, 0.48, 0.47)
    moves = [sweep.move() for _ in range(5)]
    assert moves == [moves[0]] * 5
