"""The seeds' part in the effect of a parameter: what shared seeds do to all configs alike is none of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded_searches import Search, record_search

from results import Ranking, ResultsStore, RunStatus, parameter_effects, rank_store
from results.effects import for_effects, seed_errors
from results.report.figures import _curves_of, _for_mean, effect_figure
from results.report.tables import effect_table

RankScores = Callable[..., Ranking]
OWN, SHARED = 0.005, 0.05


@pytest.fixture
def ranked(make_run_dir: Callable[..., Path]) -> RankScores:
    return lambda scores, **options: rank_store(ResultsStore.read(make_run_dir(scores, **options)))


def test_the_seed_error_of_an_effect_is_its_true_sd_under_strong_shared_seeds(ranked: RankScores) -> None:
    rng = np.random.default_rng(3)
    configs = [{"loss": "ab"[i % 2], "lr": 1e-4 * 2.0**i} for i in range(8)]
    scores = 0.5 + SHARED * rng.normal(size=6) + OWN * rng.normal(size=(8, 6))
    ranking = ranked(scores, configs=configs)
    found = {effect.parameter: effect.seed_error for effect in parameter_effects(ranking)}
    x = np.arange(8) / 7
    assert found["loss"] == pytest.approx(OWN * np.sqrt(2 / 4 / 6), rel=0.3)
    assert found["lr"] == pytest.approx(OWN / np.sqrt(6 * ((x - x.mean()) ** 2).sum()), rel=0.3)
    np.testing.assert_allclose(seed_errors(ranking).of_means(), OWN / np.sqrt(6), rtol=0.3)


def test_seeds_that_one_side_did_not_have_stay_in_the_error(ranked: RankScores) -> None:
    """The means compared are then over different seeds, whose effect does not cancel."""
    rng = np.random.default_rng(4)
    configs = [{"loss": "a"}, {"loss": "b"}, {"loss": "c"}, {"loss": "c"}]
    scores = 0.5 + np.array([[0.3], [0.0], [0.1], [0.1]])
    scores = scores + SHARED * rng.normal(size=12) + OWN * rng.normal(size=(4, 12))
    scores[0, 8:], scores[1, :4] = np.nan, np.nan
    (effect,) = parameter_effects(ranked(scores, configs=configs))
    assert [effect.levels[0].value, effect.levels[-1].value] == ["a", "b"]
    assert effect.seed_error == pytest.approx(np.sqrt(SHARED**2 / 8 + OWN**2 / 4), rel=0.6)
    assert effect.seed_error > 3 * OWN * np.sqrt(2 / 8)


def test_without_shared_seeds_the_error_is_from_the_sd_between_seeds(ranked: RankScores) -> None:
    scores = np.full((2, 6), np.nan)
    scores[0, :3], scores[1, 3:] = [0.40, 0.44, 0.42], [0.50, 0.54, 0.52]
    (effect,) = parameter_effects(ranked(scores, configs=[{"a": "x"}, {"a": "y"}], sweep={"replicates": 3}))
    assert effect.seed_error == pytest.approx(0.02 * np.sqrt(2 / 3))
    (effect,) = parameter_effects(ranked([[0.4], [0.5]], configs=[{"a": "x"}, {"a": "y"}]))
    assert effect.seed_error is None


def test_confirmations_do_not_enter_the_learning_curves(
    ranked: RankScores, make_run_dir: Callable[..., Path]
) -> None:
    scores = [[0.40, 0.42, 0.7, 0.8], [0.30, 0.31, np.nan, np.nan]]
    run_dir = make_run_dir(scores, confirm_from=2, endings={(0, 3): RunStatus.DIVERGED})
    store = ResultsStore.read(run_dir)
    ranking = rank_store(store)
    curves = _curves_of(ranking, store.epochs())
    assert {name: sorted(runs) for name, runs in curves.items()} == {
        "c0": ["c0-r0", "c0-r1"],
        "c1": ["c1-r0", "c1-r1"],
    }
    best = [max(value for _, value in points) for points in _for_mean(ranking.rows[0], curves["c0"])]
    assert sorted(best) == pytest.approx([0.40, 0.42])


def test_an_effect_is_not_shown_by_means_that_lie_together_by_chance(ranked: RankScores) -> None:
    """Levels whose means hardly scatter, and seeds that scatter by far more than the effect."""
    own = np.array([[0.03, -0.03], [-0.03, 0.03], [0.04, -0.04]])
    scores = 0.5 + np.vstack([own, own[::-1] + 0.01]) + 1e-5 * np.arange(6)[:, None]
    (effect,) = parameter_effects(ranked(scores, configs=[{"loss": "aaabbb"[i]} for i in range(6)]))
    assert effect.seed_error is not None
    assert effect.low is not None
    assert effect.high is not None
    assert (effect.high - effect.low) / 2 > 2 * effect.seed_error
    assert effect.finding == "no effect shown"


def test_one_degree_of_freedom_shows_no_effect(ranked: RankScores) -> None:
    scores = np.array([[0.4, 0.401], [0.5, 0.501], [0.6, 0.601]])
    (effect,) = parameter_effects(ranked(scores, configs=[{"lr": lr} for lr in (1.0, 2.0, 3.0)]))
    assert (effect.finding, effect.low) == ("too few configs", None)


def test_configs_that_a_search_ran_once_show_no_effects(tmp_path: Path) -> None:
    scores = {(i, j): 0.4 + 0.02 * i + 0.001 * j for i in range(6) for j in range(1 if i > 3 else 3)}
    ranking = rank_store(ResultsStore.read(record_search(tmp_path / "run", Search(scores))))
    assert {row.config_id for row in for_effects(ranking).scored} == {"c0", "c1", "c2", "c3"}
    effects = parameter_effects(ranking)
    assert max(effect.n_configs for effect in effects) == 4
    assert effect_figure(ranking, effects) is not None
    assert "2 configs with a single finished run are left out" in effect_table(effects, once=2).note
