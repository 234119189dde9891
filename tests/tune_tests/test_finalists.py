"""Which configs are completed: finished runs first, then the value at the largest epoch that all runs reached."""

from __future__ import annotations

import math
from collections.abc import Sequence

from results import RunStatus
from tune.schedulers import ALLOCATE, History, PolicyOptions, Run, Start
from tune.schedulers.finalists import Completion, choose_finalists

STOPPED, FINISHED, FAILED = RunStatus.STOPPED, RunStatus.FINISHED, RunStatus.FAILED
Row = tuple[int, RunStatus, list[float]]


def history_of(*rows: Row) -> History:
    history = History()
    for config, status, values in rows:
        while history.configs <= config:
            history.add_config()
        run = history.start(Run(config, len(history.of(config))))
        for value in values:
            history.report(run, value)
        history.end(run, status)
    return history


def chosen(rows: Sequence[Row]) -> list[int]:
    return [finalist.config for finalist in choose_finalists(history_of(*rows).runs)]


def test_configs_with_a_finished_run_come_first() -> None:
    rows = [(0, FINISHED, [0.1, 0.2]), (1, STOPPED, [0.9]), (2, STOPPED, [0.3]), (3, STOPPED, [0.2])]
    assert chosen(rows) == [0, 1]


def test_the_best_mean_of_finished_runs_wins_although_a_replicate_was_stopped() -> None:
    steady, strong, weak = 0, 1, 2
    rows = [
        (steady, FINISHED, [0.1, 0.20]), (steady, FINISHED, [0.1, 0.22]),
        (strong, FINISHED, [0.1, 0.30]), (strong, STOPPED, [0.05]),
        (weak, FINISHED, [0.1, 0.1]), (weak, STOPPED, [0.05]),
    ]  # fmt: skip
    assert chosen(rows) == [strong, steady]


def test_a_longer_run_gets_no_credit_for_its_later_epochs() -> None:
    assert chosen([(0, STOPPED, [0.1, 0.9]), (1, STOPPED, [0.2]), (2, STOPPED, [0.05])])[0] == 1


def test_the_mean_is_over_all_replicates() -> None:
    lucky, steady = 0, 1
    rows = [
        (lucky, STOPPED, [0.9]),
        (lucky, STOPPED, [0.1]),
        (steady, STOPPED, [0.6]),
        (steady, STOPPED, [0.6]),
    ]
    assert chosen(rows)[0] == steady


def test_about_the_square_root_of_the_configs_are_kept_and_at_least_two() -> None:
    many: list[Row] = [(i, STOPPED, [i / 100]) for i in range(10)]
    assert chosen(many) == [9, 8, 7, 6]
    assert chosen(many[:2]) == [1, 0]


def test_equal_configs_keep_the_order_of_their_first_start() -> None:
    assert chosen([(i, STOPPED, [0.5]) for i in range(9)]) == [0, 1, 2]


def test_a_stopped_run_without_a_defined_value_comes_last() -> None:
    assert chosen([(0, STOPPED, [math.nan]), (1, STOPPED, [0.1]), (2, STOPPED, [])]) == [1, 0]


def test_a_failed_run_neither_counts_nor_shortens_the_common_epochs() -> None:
    slow, fast, mid = 0, 1, 2
    sound: list[Row] = [(slow, STOPPED, [0.1, 0.9]), (fast, STOPPED, [0.5, 0.6]), (mid, STOPPED, [0.2, 0.7])]
    assert chosen([*sound, (fast, FAILED, [0.5])]) == chosen(sound) == [slow, mid]
    assert chosen([*sound, (fast, FINISHED, [math.nan])]) == [slow, mid]


def test_nothing_recorded_gives_no_finalists() -> None:
    assert chosen([]) == []


def complete(history: History, values: Sequence[float] = (0.9,)) -> list[tuple[int, int]]:
    """Resume what is to be completed, with a new object before each, as if the sweep were killed in between."""
    resumed = []
    while (start := Completion(PolicyOptions(max_epochs=3)).next(history)) is not None:
        assert isinstance(start, Start)
        assert start.stage == ALLOCATE
        run = history.run(start.config or 0, start.replicate)
        assert run is not None
        history.reopen(run, ALLOCATE)
        for value in values:
            history.report(run, value)
        history.end(run, FINISHED)
        resumed.append((run.config, run.replicate))
    return resumed


def test_the_finalists_stopped_runs_are_resumed_the_best_config_first_and_no_other() -> None:
    history = history_of(
        (0, FINISHED, [0.3]), (1, FINISHED, [0.5]), (2, FINISHED, [0.1]),
        (0, STOPPED, [0.2]), (1, STOPPED, [0.1]), (2, STOPPED, [0.1]), (1, FAILED, [0.1]),
    )  # fmt: skip
    assert complete(history) == [(1, 1), (0, 1)]


def test_what_a_resumed_run_shows_changes_no_choice() -> None:
    rows: list[Row] = [(i, STOPPED, [i / 10]) for i in range(4)]
    assert complete(history_of(*rows), values=[-9.0]) == complete(history_of(*rows)) == [(3, 0), (2, 0)]


def test_a_paused_run_is_completed_like_a_stopped_one() -> None:
    history = history_of((0, FINISHED, [0.1, 0.5]))
    run = history.start(Run(0, 1))
    history.report(run, 0.4)
    history.pause(run)
    start = Completion(PolicyOptions(max_epochs=3)).next(history)
    assert start is not None
    assert (start.config, start.replicate, start.statistic, start.n) == (0, 1, 0.5, 1)
    assert start.reason == (
        "its config is finalist 1 of 1, 0.5000 over 1 finished run(s), and is to be complete: "
        "this run was stopped at epoch 1"
    )
