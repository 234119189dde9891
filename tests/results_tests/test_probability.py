"""Probabilities of being best: against direct integration, by properties, and what they refuse to say."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from results.statistics.blocks import BlockFit, Noise, fit_blocks
from results.statistics.hierarchy import draw_means
from results.statistics.probability import BestProbabilities, probability_best

Matrix = npt.NDArray[np.float64]


def noisy(
    seed: int, means: npt.ArrayLike, replicates: int, *, sd: float = 0.02, holes: float = 0.0
) -> Matrix:
    """Scores with independent noise and an effect of the shared seeds; a share of them missing."""
    rng = np.random.default_rng(seed)
    column = np.asarray(means, dtype=float)[:, None]
    scores = column + rng.normal(0, sd, (len(column), replicates)) + rng.normal(0, sd, (1, replicates))
    scores[rng.random(scores.shape) < holes] = np.nan
    return scores


def chances(scores: npt.ArrayLike, *, seed: int = 0, draws: int = 20_000, tolerance: float = 0.005) -> Matrix:
    """(3, n_configs): best, near, regret."""
    fit = fit_blocks(scores)
    found = probability_best(fit, rng=np.random.default_rng(seed), draws=draws, tolerance=tolerance)
    return np.array([found.best, found.near, found.regret])


def two_by_integration(fit: BlockFit, tolerance: float) -> tuple[float, float]:
    """P(first best), P(first within the tolerance) for two complete configs, by the closed form given rho.

    The difference y of the effects is normal around the true one with variance 2 sigma^2 d, the true one around 0
    with 2 sigma^2 rho^2; sigma^2 integrates to a t distribution with df + 1 degrees of freedom.
    """
    d, df, y = fit.own_variance[0], fit.noise.df, fit.effects[0] - fit.effects[1]
    u = (np.arange(200_000) + 0.5) / 200_000
    rho = np.sqrt((1 - u) / u)  # uniform shrinkage of one score: every u weighs the same
    variance = 2 * (d + rho**2)
    scale = (df * fit.noise.sd**2 + y**2 / variance) / (df + 1)
    weight = variance**-0.5 * scale ** (-(df + 1) / 2)
    kept = rho**2 / (d + rho**2)
    spread = np.sqrt(scale * 2 * d * kept)
    best, near = (
        np.average(stats.t.cdf((kept * y + slack) / spread, df + 1), weights=weight)
        for slack in (0.0, tolerance)
    )
    return float(best), float(near)


@pytest.mark.parametrize("replicates", [2, 3, 8])
@pytest.mark.parametrize("gap", [0.0, 0.01, 0.04])
def test_two_configs_agree_with_direct_integration(replicates: int, gap: float) -> None:
    fit = fit_blocks(noisy(1, [0.40 + gap, 0.40], replicates))
    found = probability_best(fit, rng=np.random.default_rng(2), draws=40_000)
    best, near = two_by_integration(fit, 0.005)
    assert found.best[0] == pytest.approx(best, abs=0.012)  # 4 standard errors and the grid of sigma
    assert found.near[0] == pytest.approx(near, abs=0.012)


def test_draws_of_incomplete_blocks_have_the_dense_mean_and_covariance() -> None:
    """With hardly any noise in sigma and rho, the draws must have the moments of normal theory.

    Many degrees of freedom fix sigma; given each draw's own m and rho the posterior is linear in the effects.
    """
    fit = fit_blocks(noisy(5, [0.40, 0.43, 0.41, 0.44], 3, holes=0.3))
    assert fit.blocked
    assert np.abs(fit.shared).max() > 0.1
    known = BlockFit(fit.effects, fit.own_variance, fit.shared, Noise(0.02, 10**6, 0.02, 0.02), True, 0.0)
    drawn = draw_means(known, rng=np.random.default_rng(3), draws=60_000)
    assert drawn is not None
    ratio = np.median(drawn.spread / drawn.sd)
    near = np.abs(drawn.spread / drawn.sd / ratio - 1) < 0.05
    means = drawn.means[near] - drawn.means[near].mean(axis=1, keepdims=True)
    centring = np.eye(4) - 0.25
    total = fit.unit_covariance + ratio**2 * np.eye(4)
    inverse = np.linalg.inv(total)
    centre = inverse.sum(axis=0) @ fit.effects / inverse.sum()
    expected = centring @ (centre + ratio**2 * inverse @ (fit.effects - centre))
    np.testing.assert_allclose(means.mean(axis=0), expected, atol=0.0012)
    rest = inverse - np.outer(inverse.sum(axis=0), inverse.sum(axis=0)) / inverse.sum()
    covariance = 0.02**2 * (ratio**2 * centring - ratio**4 * centring @ rest @ centring)
    np.testing.assert_allclose(np.cov(means.T), covariance, atol=0.12 * covariance.max())


@pytest.mark.parametrize("design", ["many shared seeds", "runs without shared seeds"])
def test_many_replicates_do_not_fill_the_memory(design: str) -> None:
    """A run table that names no seed gives every run a replicate of its own."""
    if design == "many shared seeds":
        scores = noisy(8, np.linspace(0.38, 0.42, 4), 300, holes=0.01)
    else:
        scores = np.full((30, 900), np.nan)
        for i, own in enumerate(noisy(8, np.linspace(0.38, 0.42, 30), 30)):
            scores[i, 30 * i : 30 * i + 30] = own
    tracemalloc.start()
    fit = fit_blocks(scores)
    drawn = draw_means(fit, rng=np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn is not None
    assert drawn.means.shape == (10_000, len(scores))
    assert fit.blocked == (design == "many shared seeds")
    assert fit.shared.shape[1] == (300 if fit.blocked else 0)
    assert peak < 200e6


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_numbers_are_probabilities(holes: float) -> None:
    best, near, regret = chances(noisy(6, np.linspace(0.38, 0.42, 9), 4, holes=holes))
    assert best.sum() == pytest.approx(1)
    assert ((best <= near) & (near <= 1) & (regret >= 0)).all()
    assert np.argmin(regret) == np.argmax(
        fit_blocks(noisy(6, np.linspace(0.38, 0.42, 9), 4, holes=holes)).effects
    )


def test_a_config_far_ahead_is_the_best_and_far_behind_is_not() -> None:
    best, near, regret = chances(noisy(7, [0.40, 0.60, 0.41, 0.20], 3, sd=0.01))
    assert best[1] > 0.999
    assert near[3] == 0
    assert regret[1] < 1e-5
    assert regret[3] == pytest.approx(0.4, abs=0.03)


def test_equal_configs_are_equally_probable() -> None:
    """Ties in the scores and equal numbers of them: the same up to chance."""
    row = [0.40, 0.43, 0.41]
    scores = np.array([row, row[::-1], [0.41, 0.40, 0.43], [0.43, 0.41, 0.40]])
    best, near, regret = chances(scores)
    np.testing.assert_allclose(best, 0.25, atol=0.015)
    assert np.ptp(near) < 0.015
    assert np.ptp(regret) < 3e-4


def test_permuting_configs_permutes_the_answer_up_to_chance() -> None:
    scores = noisy(8, [0.40, 0.42, 0.44, 0.30, 0.41], 4, holes=0.2)
    order = [3, 1, 4, 0, 2]
    np.testing.assert_allclose(chances(scores[order], seed=1), chances(scores)[:, order], atol=0.02)


def test_unit_and_level_of_the_metric_do_not_matter() -> None:
    scores = noisy(9, [0.40, 0.42, 0.43, 0.41], 3)
    percent = chances(100 * scores + 7, tolerance=0.5)
    np.testing.assert_allclose(percent[:2], chances(scores)[:2], atol=1e-3)
    np.testing.assert_allclose(percent[2], 100 * chances(scores)[2], rtol=1e-3)


def test_a_larger_tolerance_or_more_seeds_make_the_leader_more_probable() -> None:
    scores = noisy(10, [0.40, 0.43, 0.41, 0.39], 3)
    leader = int(np.argmax(fit_blocks(scores).effects))
    near = [chances(scores, tolerance=tolerance)[1][leader] for tolerance in (0.0, 0.005, 0.02, 1.0)]
    assert near == sorted(near)
    assert near[0] == chances(scores)[0][leader]
    assert near[-1] == 1
    assert chances(np.hstack([scores] * 4))[0][leader] > chances(scores)[0][leader]


def test_duds_say_nothing_about_how_far_the_good_ones_differ() -> None:
    good = noisy(11, [0.43, 0.44, 0.45, 0.44, 0.435, 0.445], 3, sd=0.015)
    alone = chances(good)
    with_duds = chances(np.vstack([good, noisy(12, [0.12, 0.10], 3, sd=0.015)]))
    np.testing.assert_allclose(with_duds[0][:6], alone[0], atol=0.08)
    np.testing.assert_array_equal(with_duds[0][6:], 0)
    assert with_duds[2][6] == pytest.approx(0.32, abs=0.04)  # not drawn towards the good ones


def unknown(found: BestProbabilities) -> bool:
    return bool(np.isnan([*found.best, *found.near, *found.regret, found.error]).all()) and found.draws == 0


@pytest.mark.parametrize(
    "scores",
    [
        [[0.4], [0.5]],  # one seed measures no noise
        [[0.4, 0.4], [0.5, 0.5]],  # identical repeats neither
        [[0.4, 0.45, 0.43]],  # nothing to compare with
        [[0.4, 0.45, 0.43], [np.nan] * 3],
        [[np.nan, np.nan]],
        np.empty((0, 0)),
    ],
)
def test_nothing_comes_from_nothing(scores: npt.ArrayLike) -> None:
    assert unknown(probability_best(fit_blocks(scores), rng=np.random.default_rng(0)))


def test_a_config_without_a_score_has_no_probability() -> None:
    scores = noisy(13, [0.40, 0.43, 0.41], 3)
    scores[1] = np.nan
    best, near, regret = chances(scores)
    assert np.isnan([best[1], near[1], regret[1]]).all()
    assert best[0] + best[2] == pytest.approx(1)


def test_same_seed_same_answer_whatever_the_global_generators_do(
    disturb_global_generators: Callable[[], None],
) -> None:
    scores = noisy(14, [0.40, 0.42, 0.41], 3)
    first = chances(scores, seed=5)
    disturb_global_generators()
    np.testing.assert_array_equal(chances(scores, seed=5), first)
    assert (chances(scores, seed=6) != first).any()


def test_the_stated_monte_carlo_errors_are_those_of_repeated_calls() -> None:
    fit = fit_blocks(noisy(15, [0.40, 0.42, 0.41, 0.415], 3))
    found = [probability_best(fit, rng=np.random.default_rng(i), draws=400) for i in range(60)]
    assert found[0].error == pytest.approx(0.025)
    assert np.std([result.best for result in found], axis=0).max() < 1.2 * found[0].error
    ratio = np.std([result.regret for result in found], axis=0) / found[0].regret_error
    assert ((ratio > 0.6) & (ratio < 1.4)).all()


def test_three_hundred_incomplete_configs_are_no_limit() -> None:
    best, near, _ = chances(noisy(16, np.linspace(0.3, 0.45, 300), 3, holes=0.2), draws=2000)
    assert np.nansum(best) == pytest.approx(1)
    assert np.nansum(best[:150]) < 0.05
    assert np.nanmax(near) > 0.1


@pytest.mark.parametrize(("options", "word"), [({"tolerance": -0.1}, "tolerance"), ({"draws": 0}, "draws")])
def test_impossible_questions_are_refused(options: dict[str, float], word: str) -> None:
    fit = fit_blocks(noisy(17, [0.4, 0.5], 3))
    with pytest.raises(ValueError, match=word):
        probability_best(fit, rng=np.random.default_rng(0), **options)  # type: ignore[arg-type]
