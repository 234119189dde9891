"""The sums that are kept up to date are those of all runs, counted anew, whatever happens between two looks."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `toy_sweeps` lies beside us
from toy_sweeps import a_sweep, execution_on, new_store, sickly

from results import RunStatus
from tune.execution import Execution
from tune.schedulers import CONFIRM, Action
from tune.tally import (
    CONFIRMED,
    CONFIRMED_EPOCHS,
    ENDED,
    ENDED_EPOCHS,
    PAUSED,
    SEARCHED,
    SEARCHED_EPOCHS,
    ConfigLine,
    Tally,
)
from tune.trial import RunEnd


def counted_anew(execution: Execution) -> Counter[str]:
    """By one pass over all runs."""
    states = list(execution.runs.values())
    confirm = [state for state in states if state.run.stage == CONFIRM]
    ended = [state for state in states if state.status is not None]
    sums = Counter({state.value: sum(run.status is state for run in states) for state in RunStatus})
    sums[SEARCHED], sums[CONFIRMED] = len(states) - len(confirm), len(confirm)
    sums[CONFIRMED_EPOCHS] = sum(state.epochs for state in confirm)
    sums[SEARCHED_EPOCHS] = sum(state.epochs for state in states) - sums[CONFIRMED_EPOCHS]
    sums[PAUSED] = sum(state.run.paused for state in states)
    sums[ENDED], sums[ENDED_EPOCHS] = len(ended), sum(state.epochs for state in ended)
    return +sums


def compare(tally: Tally, execution: Execution) -> None:
    tally.look()
    states = list(execution.runs.values())
    assert +tally.sums == counted_anew(execution)
    assert tally.seconds == pytest.approx(sum(state.seconds for state in states))
    for number, line in tally.lines.items():
        runs = tuple(state for state in states if state.run.config == number)
        anew = ConfigLine(number, runs)
        assert (line.runs, line.scores, line.order) == (runs, anew.scores, anew.order)
    confirm = [state for state in states if state.run.stage == CONFIRM]
    assert tally.newest is next(reversed(confirm or states), None)


@pytest.mark.parametrize("policy", ["asha", "successive-halving", "noise-aware", "none"])
def test_the_sums_are_those_of_all_runs_at_every_look(tmp_path: Path, policy: str) -> None:
    options: dict[str, Any] = {"seeds": None} if policy == "noise-aware" else {}
    sweep = a_sweep(policy=policy, **options)
    execution = execution_on(sweep, new_store(tmp_path / "run", sweep))
    tally, told, chance = Tally(execution), Counter[str](), random.Random(0)
    running: dict[Any, Any] = {}
    while True:
        while len(running) < 3 and (spec := execution.next_trial()) is not None:
            running[spec] = sickly(spec, execution.known_epochs(spec), sweep)
        if not running:
            break
        spec = chance.choice(list(running))
        event = next(running[spec])
        if isinstance(event, RunEnd):
            execution.on_end(spec, event)
            del running[spec]
        elif execution.on_epoch(spec, event) is not Action.CONTINUE:
            del running[spec]
        if chance.random() < 0.2:
            compare(tally, execution)
            told.update(state.spec.trial_key for state in tally.news())
    compare(tally, execution)
    told.update(state.spec.trial_key for state in tally.news())
    assert execution.complete
    assert told.keys() == execution.runs.keys()
    resumed = [state.spec.trial_key for state in execution.runs.values() if state.spec.stage == "allocate"]
    assert set(told.values()) <= {1, 2}
    assert {key for key, times in told.items() if times == 2} <= set(resumed)
