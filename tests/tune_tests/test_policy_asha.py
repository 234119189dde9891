"""ASHA: the decisions of Ray's own scheduler, replicates apart, undefined values, sentences."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from results import RunStatus
from tune.schedulers import ALLOCATE, Action, Decision, History, PolicyOptions, Run, make_policy

#: (grace, eta, max_epochs); for 1.5 and 2.5 Ray's milestones are fractions of an epoch
LADDERS = [
    (1, 2, 9),
    (1, 3, 27),
    (3, 3, 30),
    (5, 4, 100),
    (2, 2.5, 40),
    (1, 1.5, 20),
    (4, 2, 4),
    (1, 4, 1),
    (2, 3, 19),
]


class Search:
    """Feeds values of runs to a policy; a run is named by its config on a replicate."""

    def __init__(self, **options: object) -> None:
        self.policy = make_policy("asha", PolicyOptions(**{"max_epochs": 8, "grace": 2, "eta": 2, **options}))  # type: ignore[arg-type]
        self.history = History()

    def report(self, config: int, *values: float, replicate: int = 0) -> Decision:
        run = self.history.run(config, replicate) or self.history.start(Run(config, replicate))
        for value in values:
            self.history.report(run, value)
            decision = self.policy.judge(run, self.history)
        return decision


@pytest.mark.parametrize(("grace", "eta", "max_epochs"), LADDERS)
@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_decisions_are_those_of_rays_own_scheduler(
    grace: int, eta: float, max_epochs: int, mode: str
) -> None:
    stopped = judged = 0
    for seed in range(30):
        rng = random.Random(f"{seed}-{grace}-{eta}-{max_epochs}-{mode}")
        ray = AsyncHyperBandScheduler(
            metric="m", mode=mode, max_t=max_epochs, grace_period=grace, reduction_factor=eta
        )
        ours = Search(grace=grace, eta=eta, max_epochs=max_epochs)
        sign, ties = (1 if mode == "max" else -1), rng.choice([3, 20, 10**6])
        waiting = [SimpleNamespace(trial_id=str(config)) for config in range(rng.randint(1, 40))]
        running: dict[str, tuple[SimpleNamespace, int]] = {}
        while waiting or running:
            if waiting and (not running or rng.random() < 0.2):
                trial = waiting.pop(0)
                ray.on_trial_add(None, trial)
                running[trial.trial_id] = trial, 1
                continue
            trial, epoch = running[rng.choice(list(running))]
            value = rng.randrange(ties) / ties + epoch / 100
            result = {"training_iteration": epoch, "m": value}
            theirs = ray.on_trial_result(None, trial, result)
            mine = ours.report(int(trial.trial_id), sign * value)
            if epoch == max_epochs:  # Ray ends it there, and here it ends by itself
                assert theirs == TrialScheduler.STOP
                assert mine.action is Action.CONTINUE
            else:
                assert mine.action.name == theirs, (seed, trial.trial_id, epoch)
                stopped += mine.action is Action.STOP
                judged += mine.rung is not None
            if theirs == TrialScheduler.STOP or rng.random() < 0.02:  # the latter: its own patience
                del running[trial.trial_id]
                if theirs != TrialScheduler.STOP:
                    ray.on_trial_complete(None, trial, result)
            else:
                running[trial.trial_id] = trial, epoch + 1
    if grace < max_epochs:
        assert 30 < stopped < judged  # the streams exercise both answers


def test_the_first_arrival_goes_on_and_a_run_strictly_below_the_percentile_stops() -> None:
    search = Search()
    first = search.report(0, 0.1, 0.5)
    assert (first.action, first.rung, first.threshold, first.n) == (Action.CONTINUE, 2, None, 0)
    assert first.reason == "0.5000: first run to reach epoch 2 on this replicate"
    worse = search.report(1, 0.1, 0.4)
    assert (worse.action, worse.threshold, worse.statistic, worse.n) == (Action.STOP, 0.5, 0.4, 1)
    assert worse.reason == "0.4000 at epoch 2 is below 0.5000, percentile 50 of the 1 run(s) there before it"
    tie = search.report(2, 0.1, (0.4 + 0.5) / 2)
    assert (tie.action, tie.n) == (Action.CONTINUE, 2)
    assert "is not below 0.4500" in tie.reason


def test_between_milestones_nothing_is_judged() -> None:
    search = Search()
    assert [search.report(0, 0.1).rung for _ in range(7)] == [None, 2, None, 4, None, None, None]


def test_runs_of_another_replicate_are_not_compared() -> None:
    search = Search(grace=1)
    search.report(0, 0.9)
    other_seeds = search.report(0, 0.1, replicate=1)
    assert (other_seeds.action, other_seeds.n) == (Action.CONTINUE, 0)


def test_an_undefined_value_is_neither_judged_nor_recorded() -> None:
    search = Search(grace=1)
    assert search.report(0, math.nan).rung is None
    assert search.report(0, 0.9).rung == 2  # the rung that it missed stays missed
    assert search.report(1, 0.0).n == 0


def test_a_run_brought_to_its_end_is_neither_judged_nor_recorded() -> None:
    search = Search(grace=1)
    search.report(0, 0.9)
    search.report(1, 0.1)
    run = search.history.run(1, 0)
    assert run is not None
    search.history.end(run, RunStatus.STOPPED)
    search.history.reopen(run, ALLOCATE)
    assert search.report(1, 0.0).rung is None
    assert search.report(2, 0.95, 0.95).n == 0
