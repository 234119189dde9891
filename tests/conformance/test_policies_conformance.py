"""What every policy in `POLICIES` promises; a new one is tested here by being in that dict."""

from __future__ import annotations

import copy
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from results import RunStatus
from tune.schedulers import (
    ALLOCATE,
    CONFIRM,
    POLICIES,
    SCREEN,
    Action,
    History,
    Policy,
    PolicyOptions,
    Run,
    Start,
    make_policy,
)

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `policy_driver` lies beside us
from policy_driver import FIRST_FRESH, Driver, Log, dyadic, noisy, replayed, snapshot

OPTIONS = PolicyOptions(max_epochs=9, grace=1, eta=3, configs=10, confirm=2)
#: Those that run every config on the same number of replicates, and compare within a replicate.
PER_REPLICATE = sorted(set(POLICIES) - {"noise-aware"})

every_policy = pytest.mark.parametrize("name", sorted(POLICIES))
every_crowd = pytest.mark.parametrize("workers", [1, 3, 16])


def policy_of(name: str, **changes: object) -> Policy:
    return make_policy(name, replace(OPTIONS, **changes))  # type: ignore[arg-type]


def searched(name: str, driver: Driver | None = None, **changes: object) -> tuple[Log, History]:
    return (driver or Driver()).drive(policy_of(name, **changes))


def digests() -> dict[str, str]:
    """What every policy did, in short; also run in a fresh process."""
    return {name: searched(name)[0].digest() for name in sorted(POLICIES)}


# ---- the course of a search ---------------------------------------------------------------------------------------


@every_policy
@every_crowd
@pytest.mark.parametrize("seeds", [None, 1, 2])
@pytest.mark.parametrize("budget", [None, 60, 150])
def test_a_search_ends_and_says_why(name: str, workers: int, seeds: int | None, budget: int | None) -> None:
    for seed in range(2):
        log, history = searched(name, Driver(workers=workers, seed=seed), seeds=seeds, budget_epochs=budget)
        assert log.finish is not None
        assert log.finish.reason.strip()
        assert history.epochs > 0
        assert not any(run.pending for run in history.runs)
        assert {run.replicate for run in history.runs if run.stage != CONFIRM} <= set(range(FIRST_FRESH))


@every_policy
def test_all_configs_are_tried_when_nothing_limits_it(name: str) -> None:
    _, history = searched(name)
    assert {run.config for run in history.runs} == set(range(10))


@every_policy
@pytest.mark.parametrize("seeds", [1, 2])
def test_the_search_keeps_to_the_replicates_that_it_was_given(name: str, seeds: int) -> None:
    _, history = searched(name, seeds=seeds)
    assert {run.replicate for run in history.runs if run.stage != CONFIRM} <= set(range(seeds))


@every_policy
@every_crowd
def test_a_budget_is_overdrawn_by_what_is_under_way_at_most(name: str, workers: int) -> None:
    for budget in (20, 60, 100, 150):
        log, history = searched(name, Driver(workers=workers), budget_epochs=budget)
        searching = sum(run.epochs for run in history.runs if run.stage != CONFIRM)
        assert searching <= budget + workers * OPTIONS.max_epochs
        assert log.finish is not None


@pytest.mark.parametrize("name", PER_REPLICATE)
def test_a_larger_budget_is_used(name: str) -> None:
    spent = [searched(name, budget_epochs=budget, seeds=4)[1].epochs for budget in (30, 100, 200)]
    assert spent[0] < spent[1] < spent[2]


@every_policy
def test_numbers_that_are_compared_come_with_the_starts(name: str) -> None:
    log, _ = searched(name)
    resumed = [start for start in log.starts if start.stage == ALLOCATE or start.statistic is not None]
    for start in resumed:
        assert start.statistic is None or math.isfinite(start.statistic)
        assert start.threshold is None or math.isfinite(start.threshold)


# ---- the same answers ---------------------------------------------------------------------------------------------


@every_policy
@every_crowd
def test_the_same_reports_get_the_same_answers_whatever_the_global_generators(
    name: str, workers: int
) -> None:
    first = searched(name, Driver(workers=workers))[0]
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002 - disturbing it is the point
    random.random()
    assert searched(name, Driver(workers=workers))[0] == first


@pytest.mark.slow
def test_a_fresh_process_with_another_hash_seed_gives_the_same_answers() -> None:
    code = f"import json, runpy; print(json.dumps(runpy.run_path({str(Path(__file__))!r})['digests']()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == digests()


@every_policy
@every_crowd
def test_asking_twice_changes_nothing(name: str, workers: int) -> None:
    once = searched(name, Driver(workers=workers))[0]
    assert searched(name, Driver(workers=workers, asks=3))[0] == once


@every_policy
@every_crowd
@pytest.mark.parametrize("budget", [None, 100])
def test_a_log_replays_to_the_same_decisions(name: str, workers: int, budget: int | None) -> None:
    log, history = searched(name, Driver(workers=workers, fails=sometimes), budget_epochs=budget)
    policy = policy_of(name, budget_epochs=budget)
    decisions, again = replayed(log.events, policy)
    assert decisions == [decision for *_, decision in log.decisions]
    assert snapshot(again) == snapshot(history)
    assert policy.next_move(again) == log.finish


@every_policy
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("budget", [None, 100])
def test_a_killed_search_goes_on_as_if_nothing_had_been(name: str, workers: int, budget: int | None) -> None:
    """After any prefix of its log a fresh policy starts what the first one started."""
    log, _ = searched(name, Driver(workers=workers, fails=sometimes), budget_epochs=budget)
    starts = iter(log.starts)
    for place, event in enumerate(log.events):
        if event[0] != "start":
            continue
        asked = place - 1 if log.events[place - 1] == ("config",) else place
        policy = policy_of(name, budget_epochs=budget)
        _, history = replayed(log.events[:asked], policy)
        move, expected = policy.next_move(history), next(starts)
        assert isinstance(move, Start)
        if move.config is None:
            assert expected.config == history.configs
        assert replace(move, config=expected.config) == expected


@every_policy
def test_a_copy_of_a_policy_goes_on_like_the_policy(name: str) -> None:
    log, _ = searched(name, Driver(workers=2))
    half = len(log.events) // 2
    policy = policy_of(name)
    _, history = replayed(log.events[:half], policy)
    assert copy.deepcopy((policy, history))[0].next_move(history) == policy.next_move(history)


# ---- what may go wrong --------------------------------------------------------------------------------------------


def sometimes(config: int, replicate: int) -> int | None:
    """One run in five dies, some before their first epoch."""
    rng = random.Random(f"fails-{config}-{replicate}")
    return rng.randrange(6) if rng.random() < 0.2 else None


def undefined(config: int, replicate: int) -> list[float]:
    return [math.nan] * 9


def gaps(config: int, replicate: int) -> list[float]:
    """Every third value is undefined, beginning elsewhere for every run."""
    values = noisy(config, replicate)
    return [math.nan if (epoch + config + replicate) % 3 == 0 else v for epoch, v in enumerate(values)]


def equal(config: int, replicate: int) -> list[float]:
    return [0.25] * 9


TROUBLE = {
    "some runs fail": Driver(fails=sometimes),
    "all runs fail at once": Driver(fails=lambda config, replicate: 0),
    "all runs fail later": Driver(fails=lambda config, replicate: 2),
    "one config always fails": Driver(fails=lambda config, replicate: 1 if config == 3 else None),
    "nothing is ever defined": Driver(curve=undefined),
    "some values are undefined": Driver(curve=gaps),
    "all values are equal": Driver(curve=equal),
    "a single config": Driver(available=1),
    "two configs": Driver(available=2),
    "no config at all": Driver(available=0),
    "fewer configs than were asked for": Driver(available=7),
}


@every_policy
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("budget", [None, 50])
def test_trouble_ends_with_a_finish(name: str, workers: int, trouble: str, budget: int | None) -> None:
    driver = replace(TROUBLE[trouble], workers=workers)
    log, _ = searched(name, driver, budget_epochs=budget)
    assert log.finish is not None
    policy = policy_of(name, budget_epochs=budget)
    decisions, again = replayed(log.events, policy)
    assert repr(decisions) == repr([decision for *_, decision in log.decisions])
    assert policy.next_move(again) == log.finish


@every_policy
@pytest.mark.parametrize("changes", [
    {"max_epochs": 1}, {"budget_epochs": 0}, {"budget_epochs": 1}, {"budget_epochs": 5}, {"configs": 1},
    {"configs": 1, "seeds": 1, "max_epochs": 1}, {"grace": 9}, {"grace": 20}, {"eta": 1.5}, {"confirm": 0},
], ids=str)  # fmt: skip
def test_small_plans_end_with_a_finish(name: str, changes: dict[str, float]) -> None:
    epochs = int(changes.get("max_epochs", 9))
    driver = Driver(curve=lambda config, replicate: noisy(config, replicate)[:epochs])
    log, history = searched(name, driver, **changes)
    assert log.finish is not None
    assert history.configs <= changes.get("configs", 10)


@every_policy
def test_a_failed_run_is_not_started_on_the_same_seeds_again_and_the_others_go_on(name: str) -> None:
    log, history = searched(name, Driver(fails=sometimes))
    failed = [run for run in history.runs if run.failed]
    assert failed
    assert any(run.score is not None for run in history.runs)
    for run in failed:
        end = log.events.index(("end", run.config, run.replicate, "failed"))
        assert ("start", run.config, run.replicate, SCREEN) not in log.events[end:]


@every_policy
def test_a_failing_config_does_not_hold_up_the_others(name: str) -> None:
    _, history = searched(name, TROUBLE["one config always fails"])
    finished = {run.config for run in history.runs if run.score is not None}
    assert len(finished) >= 2
    assert 3 not in finished


# ---- fairness -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PER_REPLICATE)
@every_crowd
@pytest.mark.parametrize(
    "move", [lambda v: 4 * v, lambda v: v + 1, lambda v: 8 * v - 3], ids=["4v", "v+1", "8v-3"]
)
def test_the_unit_of_the_metric_changes_no_decision(
    name: str, workers: int, move: Callable[[float], float]
) -> None:
    def moved(config: int, replicate: int) -> list[float]:
        return [move(value) for value in noisy(config, replicate)]

    plain, other = (
        searched(name, Driver(workers=workers))[0],
        searched(name, Driver(moved, workers=workers))[0],
    )
    assert [d.action for *_, d in plain.decisions] == [d.action for *_, d in other.decisions]
    assert [(s.config, s.replicate) for s in plain.starts] == [(s.config, s.replicate) for s in other.starts]


@pytest.mark.parametrize("name", PER_REPLICATE)
def test_siblings_never_race_each_other(name: str) -> None:
    """What runs of replicate 1 show changes no judgement of replicate 0 in the same stream of reports."""
    log, _ = searched(name, Driver(workers=16))

    def disturbed(event: tuple[object, ...]) -> tuple[object, ...]:
        if event[0] == "epoch" and event[2] == 1:
            return (*event[:3], 5.0 - 3.0 * float(str(event[3])))
        return event

    judged = [place for place, (_, replicate, _, _) in enumerate(log.decisions) if replicate == 0]
    changed = [place for place, (_, replicate, _, _) in enumerate(log.decisions) if replicate == 1]
    before = replayed(log.events, policy_of(name))[0]
    after = replayed([disturbed(event) for event in log.events], policy_of(name))[0]
    assert [before[place] for place in judged] == [after[place] for place in judged]
    if any(before[place].statistic is not None for place in changed):
        assert [before[place] for place in changed] != [after[place] for place in changed]


@pytest.mark.parametrize("name", PER_REPLICATE)
@every_crowd
def test_who_is_compared_is_complete(name: str, workers: int) -> None:
    """Without failures the best configs have a score on every replicate that the plan has."""
    _, history = searched(name, Driver(workers=workers), seeds=2)
    complete = [
        config
        for config in range(history.configs)
        if all((run := history.run(config, r)) is not None and run.score is not None for r in range(2))
    ]
    assert len(complete) >= 4


@pytest.mark.parametrize("name", ["asha", "median", "successive-halving"])
@every_crowd
@pytest.mark.parametrize("budget", [60, 80, 120])
def test_a_budget_leaves_at_least_two_complete_configs(name: str, workers: int, budget: int) -> None:
    for seed in range(3):
        driver = Driver(workers=workers, seed=seed)
        log, history = searched(name, driver, seeds=1, budget_epochs=budget)
        assert sum(run.score is not None for run in history.runs) >= 2
        assert "not every finalist is complete" not in str(log.finish)


# ---- size ---------------------------------------------------------------------------------------------------------


class Counted(list[Run]):
    """Counts the runs that are walked over."""

    walked = 0

    def __iter__(self) -> Iterator[Run]:
        Counted.walked += len(self)
        return super().__iter__()


class Counting(History):
    """Counts how often a run is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = Counted.walked = 0
        self.runs = Counted()

    def run(self, config: int, replicate: int) -> Run | None:
        self.looked += 1
        return super().run(config, replicate)

    def of(self, config: int) -> list[Run]:
        self.looked += 1
        return super().of(config)

    def pending(self) -> Iterator[Run]:
        for run in super().pending():
            self.looked += 1
            yield run


@pytest.mark.parametrize("name", PER_REPLICATE)
@pytest.mark.parametrize("budget", [None, 10**6])
def test_the_next_of_many_runs_is_found_without_looking_at_all_before_it(
    name: str, budget: int | None
) -> None:
    """2,000 configs on 3 replicates, two epochs each: a scan of all per question would be 18 million looks."""
    policy = policy_of(name, configs=2000, seeds=3, budget_epochs=budget)
    history, asked = Counting(), 0
    while isinstance(move := policy.next_move(history), Start):
        config = history.add_config() if move.config is None else move.config
        run = history.run(config, move.replicate)
        if run is None:
            run = history.start(Run(config, move.replicate))
        else:
            history.reopen(run, move.stage)
        for epoch in (1, 2):
            history.report(run, dyadic((config * 37 % 2000) / 2000 + epoch / 10))
            action = policy.judge(run, history).action
            if action is Action.PAUSE:
                history.pause(run)
                break
            if action is Action.STOP:
                history.end(run, RunStatus.STOPPED)
                break
        else:
            history.end(run, RunStatus.FINISHED)
        asked += 1
    assert len(history.runs) == 6000
    assert history.looked + Counted.walked <= 20 * asked
