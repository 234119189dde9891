"""What a user sees while a sweep runs: lines without a terminal, a table with one, an honest spread."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results import RunStatus
from tune.progress import Progress, clock_time, mean_and_sd, shown
from tune.replicates import replicate
from tune.run_state import RunState
from tune.schedulers import CONFIRM, SCREEN, History, Run
from tune.sweep_file import declare
from tune.trial import TrialSpec


class FakeExecution:
    """Just what the display reads."""

    def __init__(self, **options: Any) -> None:
        self.sweep = declare(
            "smoke",
            data_dir=Path("d"),
            options={"configs": 3, "seeds": 2, "max_epochs": 4, "policy": "asha", **options},
            pins={},
        )
        self.configs = list(self.sweep.space.grid(2))[:3]
        self.runs: dict[str, RunState] = {}
        self.running = frozenset[str]()
        self.planned: int | None = 6
        self.complete = False
        self.history = History()

    def add(
        self, config: int, index: int, values: list[float], status: RunStatus | None, *, stage: str = SCREEN
    ) -> RunState:
        run = self.history.start(Run(config, index, stage))
        for value in values:
            self.history.report(run, value)
        if status is not None:
            self.history.end(run, status)
        spec = TrialSpec(self.configs[config], replicate(0, index), stage)
        self.runs[spec.trial_key] = RunState(spec, run, seconds=10.0 * len(values))
        return self.runs[spec.trial_key]


def shown_on(execution: Any, *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160)
    console.print(Progress(execution, slots=2).render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_runs_epochs_and_the_spread_of_finished_runs_only() -> None:
    execution: Any = FakeExecution()
    execution.add(0, 0, [0.1, 0.3], RunStatus.FINISHED)
    execution.add(0, 1, [0.1, 0.5], RunStatus.FINISHED)
    execution.add(1, 0, [0.9], RunStatus.STOPPED)
    text = shown_on(execution)
    assert "0.4000 ± 0.1414 (2)" in text
    assert "0.9000" in text
    assert text.index("0.4000 ± 0.1414") < text.index("0.9000"), (
        "a stopped run is not ranked above finished ones"
    )
    assert "2 finished, 1 stopped" in text
    assert "3 of 6 runs started" in text


def test_fresh_seeds_that_confirm_are_not_mixed_into_the_scores_of_the_search() -> None:
    execution: Any = FakeExecution(policy="noise-aware", seeds=None)
    execution.add(0, 0, [0.3], RunStatus.FINISHED)
    execution.add(0, 1, [0.5], RunStatus.FINISHED)
    execution.add(0, 1000, [0.9], RunStatus.FINISHED, stage=CONFIRM)
    text = shown_on(execution)
    assert "0.4000 ± 0.1414 (2)" in text
    name = execution.configs[0].config_id
    assert name[:8] in text
    assert name not in text


def test_time_left_counts_waiting_and_running_epochs_over_the_slots() -> None:
    execution: Any = FakeExecution()
    assert Progress(execution, slots=2).seconds_left() is None
    execution.add(0, 0, [0.1] * 4, RunStatus.FINISHED)
    execution.add(1, 0, [0.1] * 2, None)
    # one running run has 2 epochs to go, 4 waiting runs have 4 each; 10 s an epoch, two at a time
    assert Progress(execution, slots=2).seconds_left() == pytest.approx((2 + 4 * 4) * 10 / 2)


def test_an_adaptive_search_shows_its_stage_and_its_budget_and_promises_no_number_of_runs() -> None:
    execution: Any = FakeExecution(policy="noise-aware", seeds=None, budget_epochs=20)
    execution.planned = None
    execution.add(0, 0, [0.1] * 4, RunStatus.FINISHED)
    execution.add(1, 0, [0.1] * 2, None)
    progress = Progress(execution, slots=2)
    # 14 epochs are left, 10 s each, two at a time
    expected = "screening · 2 runs started · 1 finished · 6 of 20 epochs · at most about 70 s left"
    assert progress.headline() == expected
    execution.add(0, 1000, [0.1] * 3, None, stage=CONFIRM)
    assert "confirming · 2 runs started and 1 to confirm" in progress.headline()
    assert "6 of 20 epochs and 3 to confirm" in progress.headline()


def test_a_paused_run_is_told_apart_from_one_that_runs() -> None:
    execution: Any = FakeExecution()
    execution.history.pause(execution.add(0, 0, [0.1] * 2, None).run)
    assert "1 paused" in Progress(execution, slots=1).headline()


def test_without_a_terminal_each_end_is_one_line_and_told_once() -> None:
    execution: Any = FakeExecution()
    console = Console(file=io.StringIO(), force_terminal=False, width=200)
    with shown(Progress(execution, slots=1), console) as on_step:
        on_step()
        execution.add(0, 0, [0.25], RunStatus.OUT_OF_MEMORY)
        on_step()
        on_step()
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert sum("out of memory after 1 epoch, best val_iou 0.2500 at epoch 1" in line for line in lines) == 1


def test_a_run_that_was_stopped_and_then_completed_is_told_twice() -> None:
    execution: Any = FakeExecution()
    progress = Progress(execution, slots=1)
    run = execution.add(0, 0, [0.25], RunStatus.STOPPED)
    assert len(list(progress.news())) == 1
    run.spec = replace(run.spec, stage="allocate")
    execution.history.reopen(run.run, "allocate")
    assert list(progress.news()) == []
    execution.history.end(run.run, RunStatus.FINISHED)
    assert len(list(progress.news())) == 1


def test_spread_and_time_for_people() -> None:
    assert mean_and_sd([]) == "-"
    assert mean_and_sd([0.5]) == "0.5000 (1)"
    assert [clock_time(s) for s in (0.2, 89, 91, 3600 * 3 + 300)] == ["1 s", "89 s", "2 min", "3 h 05 min"]
