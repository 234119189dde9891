"""The strategies that are compared: what runs, which config is chosen in the end, and what is announced of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import stats

from results.statistics.blocks import Noise
from results.statistics.posterior import Posterior, chance_near, expected_regret, posterior
from results.statistics.shrinkage import confirmed_mean
from search_bench.bench_policies import OneLadder, Ordered, TopAgain, in_blocks
from search_bench.problems import Problem
from tune.replay import Replayed, replay
from tune.replicates import FIRST_FRESH
from tune.schedulers import History, Policy, PolicyOptions, make_policy
from tune.schedulers.ledger import Ledger

CONFIRM = 3  # fresh replicates of `noise-aware+confirm`, for the choice and for its rival
DRAWS = 2000


@dataclass(frozen=True)
class Rules:
    """What all strategies share.

    Args:
        workers: slots.
        tolerance: a difference that does not matter; the noise-aware search states how likely it is within.
        grace, eta: rungs of all strategies that stop runs are grace * eta^k.
        seed: of the posterior draws.
    """

    workers: int = 8
    tolerance: float = 0.005
    grace: int = 5
    eta: float = 4
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a search came to; NaN = it says nothing of the kind.

    Args:
        chosen: the config.
        announced: the score that is announced for it.
        low, high: ends of the announced 95 % interval.
        near: stated probability that it is within the tolerance of the best.
        regret: stated expected regret.
        time: wall-clock, in epochs.
        epochs: epochs spent.
    """

    chosen: int
    announced: float
    low: float = math.nan
    high: float = math.nan
    near: float = math.nan
    regret: float = math.nan
    time: int = 0
    epochs: int = 0


Strategy = Callable[[Problem, int, Rules], Outcome]


def best_run(history: History) -> Outcome:
    """The config of the highest value that any run has shown, finished or not, announced as its score."""
    runs = [run for run in history.runs if run.best_epoch and not run.failed]
    if not runs:
        return Outcome(0, math.nan)
    run = max(runs, key=lambda run: run.best)
    return Outcome(run.config, run.best)


def best_mean(history: History, *, among: Callable[[int], bool]) -> Outcome:
    """The config with the highest mean of finished runs, announced with its own t interval."""
    scores = {
        c: [run.score for run in history.of(c) if run.score is not None] for c in range(history.configs)
    }
    able = [c for c, values in scores.items() if values and among(c)]
    if not able:
        return best_run(history)
    chosen = max(able, key=lambda c: float(np.mean(scores[c])))
    values = np.array(scores[chosen])
    half = math.nan
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    mean = float(values.mean())
    return Outcome(chosen, mean, mean - half, mean + half)


def _searched(policy: Policy, problem: Problem, budget: int, rules: Rules) -> Replayed:
    return replay(policy, problem.curve, configs=problem.configs, workers=rules.workers, hard_stop=budget)


def _spent(outcome: Outcome, done: Replayed) -> Outcome:
    return replace(outcome, time=done.time, epochs=done.history.epochs)


def _options(problem: Problem, budget: int | None, rules: Rules) -> PolicyOptions:
    return PolicyOptions(
        max_epochs=problem.max_epochs,
        seeds=problem.replicates,
        grace=rules.grace,
        eta=rules.eta,
        budget_epochs=budget,
        stop_regret=0.0,
        confirm=0,
        configs=problem.configs,
        seed=rules.seed,
    )


# ---- what is compared -----------------------------------------------------------------------------------------------


def blocks(
    problem: Problem, budget: int, rules: Rules, *, block: int, judge: str | None, repeats: bool
) -> Outcome:
    """Every config in blocks of replicates, again and again; runs are stopped by the policy `judge`, if any.

    Args:
        problem: what is searched.
        budget: epochs.
        rules: shared ones.
        block: replicates of a config before the next config.
        judge: name of a policy.
        repeats: choose by the mean of the configs with a complete block; otherwise by the best single run.
    """
    block = min(block, problem.replicates or block)
    options = _options(problem, budget, rules)
    stopper = None if judge is None else OneLadder(make_policy(judge, replace(options, budget_epochs=None)))
    order = in_blocks(problem.configs, block, problem.replicates)
    policy = Ordered(order, options, usual_epochs=problem.usual_epochs, judge=stopper)
    done = _searched(policy, problem, budget, rules)
    if not repeats:
        return _spent(best_run(done.history), done)
    ended = [sum(run.status is not None for run in done.history.of(c)) for c in range(done.history.configs)]
    complete = min(block, max(ended, default=0))
    return _spent(best_mean(done.history, among=lambda c: ended[c] >= complete), done)


def top_again(problem: Problem, budget: int, rules: Rules) -> Outcome:
    """ASHA on replicate 0, then the best sqrt(M) on further seeds in turn; the best mean of these is announced."""
    options = _options(problem, budget, rules)
    order = TopAgain(problem.configs, problem.replicates, budget)
    judge = make_policy("asha", replace(options, budget_epochs=None))
    policy = Ordered(order, options, usual_epochs=problem.usual_epochs, judge=judge)
    done = _searched(policy, problem, budget, rules)
    top = set(order.top)
    return _spent(best_mean(done.history, among=lambda c: not top or c in top), done)


def noise_aware(problem: Problem, budget: int, rules: Rules, *, confirm: int = 0) -> Outcome:
    """The noise-aware search without its stopping rule; announces its posterior, or the confirmed mean.

    With confirmation, the search gets so much less that the whole is expected to keep within the budget, but at least
    half of it: then the end of the budget cuts the confirmation off.
    """
    fresh = math.ceil(2 * confirm * problem.usual_epochs)
    options = replace(_options(problem, max(budget - fresh, budget // 2, 1), rules), confirm=confirm)
    done = _searched(make_policy("noise-aware", options), problem, budget, rules)
    belief = beliefs(done.history, problem.max_epochs)
    chosen = belief.choice
    if chosen is None:
        return _spent(best_run(done.history), done)
    low, high = belief.interval()
    rng = np.random.default_rng(rules.seed)
    outcome = Outcome(
        chosen,
        float(belief.mean[chosen]),
        float(low[chosen]),
        float(high[chosen]),
        near=chance_near(belief, chosen, tolerance=rules.tolerance, rng=rng, draws=DRAWS),
        regret=expected_regret(belief, chosen, rng=rng, draws=DRAWS),
    )
    return _spent(_confirmed(outcome, done.history, belief) if confirm else outcome, done)


def beliefs(history: History, max_epochs: int) -> Posterior:
    """The posterior of a search's runs, those that confirm left out."""
    ledger = Ledger(max_epochs)
    ledger.update(history)
    return posterior(ledger.evidence(history.configs))


def _confirmed(outcome: Outcome, history: History, belief: Posterior) -> Outcome:
    """The mean of the choice's fresh replicates instead of the posterior mean, if one of them finished."""
    fresh = [run for run in history.of(outcome.chosen) if run.replicate >= FIRST_FRESH]
    scores = [run.score for run in fresh if run.score is not None]
    df = int((belief.n - 1).clip(0).sum())
    found = confirmed_mean(np.array(scores, dtype=float), Noise(belief.seed_sd, df, math.nan, math.nan))
    if not found.n:
        return outcome
    return replace(outcome, announced=found.mean, low=found.low, high=found.high)


#: name -> strategy. Those before the noise-aware ones are what it is compared with.
STRATEGIES: Mapping[str, Strategy] = {
    "random-best-run": partial(blocks, block=1, judge=None, repeats=False),
    "asha-best-run": partial(blocks, block=1, judge="asha", repeats=False),
    "asha-top-m": top_again,
    "repeats-3": partial(blocks, block=3, judge=None, repeats=True),
    "repeats-5": partial(blocks, block=5, judge=None, repeats=True),
    "noise-aware": noise_aware,
    "noise-aware+confirm": partial(noise_aware, confirm=CONFIRM),
}
