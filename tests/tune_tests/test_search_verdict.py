"""The verdict of a search names the config that the search has chosen, and claims no more than its seeds allow."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent.parent / "results_tests"))  # importlib mode does not
sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from sim_adaptive import EPOCHS, FRESH, NOISES, TRUTHS, Curves, outcome, ranked, searches

from results import judge
from tune.replay import replay
from tune.schedulers.noise_aware import NoiseAware
from tune.schedulers.policy import PolicyOptions


@pytest.mark.parametrize("seed", range(4))
def test_verdict_and_search_name_the_same_config(seed: int) -> None:
    rng, configs = np.random.default_rng(seed), 10
    curves = Curves(rng, TRUTHS["crowded, 12 % duds"](rng, configs), NOISES["normal"])
    policy = NoiseAware(PolicyOptions(max_epochs=EPOCHS, configs=configs, confirm=FRESH))
    done = replay(policy, curves, configs=configs, workers=3)
    ranking = ranked(done, configs)
    verdict = judge(ranking)
    assert verdict.best == f"c{done.chosen}" == ranking.rows[0].config_id
    assert done.finish is not None
    assert verdict.expected is not None
    assert verdict.expected.expected == pytest.approx(done.finish.statistic)
    assert verdict.confirmed is not None
    assert verdict.confirmed.n == FRESH


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["normal", "now and then a bad run", "normal, shared 0.5"])
def test_equal_configs_are_rarely_told_apart_whatever_the_seeds_were_given_for(noise: str) -> None:
    """The rate is at most 0.02; more than 5 in 60 would happen once in 700 times."""
    found = searches(60, 16, truth=TRUTHS["all equal"], seeds=NOISES[noise], seed=9)
    outcomes = [outcome(search) for search in found]
    assert sum(one["false, all pairs"] for one in outcomes) <= 5
    assert np.mean([one["confirmed covers"] for one in outcomes]) > 0.88
