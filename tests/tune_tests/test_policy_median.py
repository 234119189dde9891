"""The median rule: best value against the median of the others' running averages, on the same replicate."""

from __future__ import annotations

import math
import random
import statistics

from tune.schedulers import ALLOCATE, Action, Decision, History, PolicyOptions, Run
from tune.schedulers.median import MedianStopping


class Search:
    """Feeds values of runs to the policy."""

    def __init__(self, grace: int = 2) -> None:
        self.policy = MedianStopping(PolicyOptions(max_epochs=20, grace=grace))
        self.history = History()

    def report(self, config: int, *values: float, replicate: int = 0) -> Decision:
        run = self.history.run(config, replicate) or self.history.start(Run(config, replicate))
        for value in values:
            self.history.report(run, value)
            decision = self.policy.judge(run, self.history)
        return decision


def test_a_run_whose_best_is_below_the_median_of_the_others_averages_stops() -> None:
    search = Search()
    for config, values in enumerate([(0.1, 0.3), (0.2, 0.4), (0.6, 0.8)]):  # averages 0.2, 0.3, 0.7
        assert search.report(config, *values).action is Action.CONTINUE
    worse = search.report(3, 0.25, 0.1)
    assert (worse.action, worse.rung, worse.statistic, worse.n) == (Action.STOP, 2, 0.25, 3)
    assert worse.reason == (
        "best value 0.2500 by epoch 2 is below 0.3000, the median of the running averages of the 3 other run(s) there"
    )


def test_a_tie_goes_on() -> None:
    search = Search()
    for config in range(3):
        search.report(config, 0.25, 0.25)
    assert search.report(3, 0.25, 0.0).action is Action.CONTINUE
    assert search.report(4, 0.125, 0.24).action is Action.STOP


def test_before_the_grace_and_with_fewer_than_three_others_nothing_is_judged() -> None:
    search = Search(grace=2)
    assert search.report(0, 0.9, 0.9).rung is None
    assert search.report(1, 0.1, 0.1).rung is None
    assert search.report(2, 0.1, 0.1).rung is None
    assert search.report(3, 0.0).rung is None
    assert search.report(3, 0.0).rung == 2


def test_every_epoch_from_the_grace_on_is_the_textbook_rule() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        grace = rng.randint(1, 4)
        search = Search(grace)
        curves: dict[int, list[float]] = {}
        for _ in range(200):
            config = rng.randrange(12)
            values = curves.setdefault(config, [])
            if len(values) == 20:
                continue
            values.append(rng.choice([math.nan] + [rng.random()] * 30))
            epoch = len(values)
            decision = search.report(config, values[-1])
            averages = [
                sum(other[:epoch]) / epoch
                for name, other in curves.items()
                if name != config and len(other) >= epoch and not any(map(math.isnan, other[:epoch]))
            ]
            best = max((v for v in values if not math.isnan(v)), default=None)
            if epoch < grace or len(averages) < 3 or best is None:
                assert decision.rung is None
                continue
            assert (decision.rung, decision.n, decision.statistic) == (epoch, len(averages), best)
            assert decision.threshold is not None
            assert math.isclose(decision.threshold, statistics.median(averages))
            assert (decision.action is Action.STOP) == (best < decision.threshold)


def test_other_seeds_and_runs_brought_to_their_end_are_no_others() -> None:
    search = Search(grace=1)
    for config in range(3):
        search.report(config, 0.9)
    assert search.report(3, 0.1, replicate=1).rung is None
    run = search.history.run(3, 1)
    assert run is not None
    run.stage = ALLOCATE
    assert search.report(3, 0.1, replicate=1).rung is None
    for config in range(3):
        search.report(config, 0.9, 0.9, replicate=1)
    assert search.report(4, 0.1, 0.1, replicate=1).n == 3
