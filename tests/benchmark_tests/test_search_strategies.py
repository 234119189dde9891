"""Each strategy chooses and announces as its name says, within its budget and with the seeds that there are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from search_bench.bench_policies import OneLadder, TopAgain, in_blocks
from search_bench.learning_curves import CurveModel, SimulatedProblem
from search_bench.problems import budget_epochs
from search_bench.recorded import Recorded
from search_bench.strategies import STRATEGIES, Rules, best_mean, best_run

from results import RunStatus
from tune.schedulers import ALLOCATE, History, PolicyOptions, Run, Start, make_policy


def constant(*values: float, epochs: int = 4) -> Recorded:
    """Configs that have the same value in every epoch of every seed."""
    return Recorded("constant", [[np.full(epochs, value)] * 3 for value in values])


@pytest.mark.parametrize("name", STRATEGIES)
def test_without_noise_every_strategy_finds_the_best(name: str) -> None:
    problem = SimulatedProblem(0, CurveModel(configs=6, seed_sd=0.0, noise=0.0, late=0.0, gap=0.05, duds=0.0))
    outcome = STRATEGIES[name](problem, budget_epochs(problem, 16), Rules(workers=3))
    assert outcome.chosen == int(problem.truth.argmax())
    assert outcome.announced == pytest.approx(problem.truth.max(), abs=0.01)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("factor", [0.02, 0.3, 1.0])
def test_no_strategy_exceeds_its_budget(name: str, factor: float) -> None:
    problem = SimulatedProblem(2, CurveModel(configs=8, diverging=0.3))
    budget = budget_epochs(problem, factor)
    outcome = STRATEGIES[name](problem, budget, Rules(workers=4))
    assert outcome.epochs <= budget
    assert outcome.time * 4 >= outcome.epochs
    assert 0 <= outcome.chosen < problem.configs
    assert outcome == STRATEGIES[name](problem, budget, Rules(workers=4)) or math.isnan(outcome.low)


def test_strategies_use_no_replicate_that_was_not_recorded() -> None:
    problem = constant(0.1, 0.3, 0.2, 0.25).problem(0)
    for name, strategy in STRATEGIES.items():
        if "confirm" not in name:
            assert problem.truth[strategy(problem, 10_000, Rules(workers=2)).chosen] == pytest.approx(0.3), (
                name
            )


def ended(values: dict[tuple[int, int], float | None]) -> History:
    """(config, replicate) -> its score; None = it failed."""
    history = History()
    for (config, replicate), score in values.items():
        while history.configs <= config:
            history.add_config()
        run = history.start(Run(config, replicate))
        history.report(run, 0.9 if score is None else score)
        history.end(run, RunStatus.FAILED if score is None else RunStatus.FINISHED)
    return history


def test_the_best_run_is_announced_as_it_is() -> None:
    outcome = best_run(ended({(0, 0): 0.3, (1, 0): 0.5, (1, 1): 0.1, (2, 0): None}))
    assert (outcome.chosen, outcome.announced) == (1, 0.5)
    assert math.isnan(outcome.low)
    assert math.isnan(best_run(History()).announced)


def test_the_best_mean_is_of_finished_runs_with_its_own_interval() -> None:
    history = ended({(0, 0): 0.3, (0, 1): 0.5, (1, 0): 0.45, (2, 0): 0.3, (2, 1): None})
    outcome = best_mean(history, among=lambda config: config != 1)
    assert (outcome.chosen, outcome.announced) == (0, pytest.approx(0.4))
    half = 12.706 * math.sqrt(0.02) / math.sqrt(2)  # t with one degree of freedom
    assert (outcome.high - outcome.low) / 2 == pytest.approx(half, rel=1e-3)
    assert best_mean(history, among=lambda config: True).chosen == 1
    assert math.isnan(best_mean(history, among=lambda config: True).low)
    assert best_mean(history, among=lambda config: False).announced == 0.5  # nothing to average: the best run


def test_blocks_finish_a_config_before_the_next_and_then_begin_again() -> None:
    order, history, starts = in_blocks(2, 2, 5), History(), []
    while (start := order(history)) is not None:
        config = history.add_config() if start.config is None else start.config
        history.start(Run(config, start.replicate))
        starts.append((config, start.replicate))
    assert starts == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (0, 2),
        (0, 3),
        (1, 2),
        (1, 3),
        (0, 4),  # what is left after whole blocks
        (1, 4),
    ]


def test_the_best_of_the_screening_are_run_again_in_turn() -> None:
    order = TopAgain(4, None, budget_epochs=100)
    history = ended({(0, 0): 0.3, (1, 0): 0.5, (2, 0): None})
    assert order(history) == Start(None, 0, "screening")
    history.add_config()
    waiting = history.start(Run(3, 0))
    history.report(waiting, 0.4)
    assert order(history) is None  # the screening is ending
    history.end(waiting, RunStatus.STOPPED)
    starts = []
    for _ in range(3):
        start = order(history)
        assert start is not None
        assert start.stage == ALLOCATE
        starts.append((start.config, start.replicate))
        history.start(Run(start.config or 0, start.replicate, ALLOCATE))
    assert order.top == [1, 0]  # finished runs before stopped ones
    assert starts == [(1, 1), (0, 1), (1, 2)]


def test_stock_schedulers_do_not_tell_replicates_apart() -> None:
    options = PolicyOptions(max_epochs=8, grace=1, eta=2, configs=2)
    stock, ours = OneLadder(make_policy("asha", options)), make_policy("asha", options)
    history, second = ended({(0, 0): 0.5}), Run(1, 1)
    history.add_config()
    second = history.start(second)
    history.report(second, 0.1)
    verdicts = [
        policy.judge(run, history).action for policy in (stock, ours) for run in (history.runs[0], second)
    ]
    assert verdicts == ["continue", "stop", "continue", "continue"]
