"""Moderated standard deviations, degrees of freedom under shared seeds, and the test of equal noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from results.statistics.blocks import fit_blocks, pooled_noise
from results.statistics.variances import (
    equal_variances,
    moderated_noise,
    noise_of_config,
    noise_of_means,
)

Matrix = npt.NDArray[np.float64]


def noisy(rng: np.random.Generator, sds: npt.ArrayLike, replicates: int, *, shared: float = 0.0) -> Matrix:
    """Scores around 0.4 whose configs have these sds, and noise that all configs share."""
    column = np.asarray(sds, dtype=float)[:, None]
    own = rng.standard_normal((len(column), replicates))
    return 0.4 + column * own + shared * rng.standard_normal((1, replicates))


def inverse_chi_square(rng: np.random.Generator, df: float, sd: float, configs: int) -> Matrix:
    """True sds as the hierarchical model has them."""
    return sd * np.sqrt(df / rng.chisquare(df, configs))


def test_the_hyperparameters_of_many_configs_are_found_and_their_intervals_cover() -> None:
    rng = np.random.default_rng(1)
    sds = inverse_chi_square(rng, 6.0, 0.02, 4000)
    found = moderated_noise(noisy(rng, sds, 4))
    assert found.prior_df == pytest.approx(6.0, rel=0.15)
    assert found.prior_sd == pytest.approx(0.02, rel=0.03)
    assert ((found.low <= sds) & (sds <= found.high)).mean() == pytest.approx(0.95, abs=0.015)


def test_a_moderated_sd_is_nearer_to_the_truth_than_the_own_or_the_pooled_one() -> None:
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(200):
        sds = inverse_chi_square(rng, 6.0, 0.02, 24)
        scores = noisy(rng, sds, 4)
        found = moderated_noise(scores)
        guesses = (found.sd, found.own_sd, pooled_noise(scores).sd)
        errors.append([float(np.mean(np.log(guess / sds) ** 2)) for guess in guesses])
    moderated, own, pooled = np.mean(errors, axis=0)
    assert moderated < 0.9 * min(own, pooled)


def test_the_posterior_is_the_weighted_mean_of_both_variances() -> None:
    found = moderated_noise(noisy(np.random.default_rng(3), [0.01, 0.01, 0.01, 0.2, 0.02, 0.01], 4))
    assert 0 < found.prior_df < np.inf
    weighted = found.prior_df * found.prior_sd**2 + 3 * found.own_sd**2
    np.testing.assert_allclose(found.sd**2, weighted / (found.prior_df + 3))
    np.testing.assert_allclose(found.df, np.minimum(found.prior_df + 3, 18))
    # Smyth's moment equation, read backwards.
    centred = np.log(found.own_sd**2) - special.digamma(1.5) + np.log(1.5)
    expected = special.polygamma(1, found.prior_df / 2) + special.polygamma(1, 1.5)
    assert np.var(centred, ddof=1) == pytest.approx(expected, rel=1e-6)


def test_sds_that_differ_no_more_than_by_chance_are_pooled_altogether() -> None:
    scores = np.array([[0.40, 0.42, 0.47], [0.50, 0.57, 0.52], [0.37, 0.32, 0.30]])
    found, pooled = moderated_noise(scores), noise_of_means(scores)
    assert found.prior_df == np.inf
    np.testing.assert_allclose(found.sd, pooled.sd)
    np.testing.assert_allclose(found.df, pooled.df)
    np.testing.assert_allclose(np.column_stack([found.low, found.high]), [[pooled.low, pooled.high]] * 3)


def test_a_config_that_was_run_once_has_the_sd_of_the_others_and_none_has_nothing() -> None:
    scores = noisy(np.random.default_rng(4), [0.01, 0.1, 0.01, 0.02, 0.01], 4)
    scores[1, 1:], scores[3] = np.nan, np.nan
    found = moderated_noise(scores)
    assert found.sd[1] == pytest.approx(found.prior_sd)
    assert np.isnan(found.own_sd[1])
    assert np.isfinite([found.low[1], found.high[1], found.df[1]]).all()
    assert np.isnan([found.sd[3], found.low[3], found.high[3], found.df[3]]).all()


@pytest.mark.parametrize(
    "scores", [[[0.4], [0.5], [0.6]], [[0.4, 0.4], [0.5, 0.5]], [[np.nan, np.nan]], np.empty((0, 0))]
)
def test_without_repeats_that_differ_nothing_is_known(scores: npt.ArrayLike) -> None:
    found = moderated_noise(scores)
    assert np.isnan([*found.sd, *found.low, *found.high, *found.df, found.prior_sd, found.prior_df]).all()
    assert equal_variances(scores).p is None


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_permuting_configs_permutes_the_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, order = noisy(rng, rng.uniform(0.01, 0.05, 6), 3), rng.permutation(6)
    found, permuted = moderated_noise(scores), moderated_noise(scores[order])
    np.testing.assert_allclose(permuted.sd, found.sd[order], rtol=1e-9)


def test_degrees_of_freedom_by_hand() -> None:
    """Two configs that move together: 2 df between replicates with mean square 32, 2 df of residual with 2."""
    scores = np.array([[0.0, 4.0, 8.0], [0.0, 6.0, 6.0]]) + 1.0
    within, fit = pooled_noise(scores), fit_blocks(scores)
    assert within.sd**2 * 4 == pytest.approx(56)
    assert fit.noise.sd**2 == pytest.approx(2)
    found = noise_of_means(scores)
    assert found.sd == pytest.approx(within.sd)
    assert found.df == int(56**2 / (52**2 / 2 + 4**2 / 2))


def test_shared_seeds_cost_degrees_of_freedom_and_own_seeds_hardly_any() -> None:
    rng = np.random.default_rng(6)
    own = [noise_of_means(noisy(rng, [0.02] * 8, 4)).df for _ in range(50)]
    shared = [noise_of_means(noisy(rng, [0.02] * 8, 4, shared=0.06)).df for _ in range(50)]
    assert np.mean(own) > 20
    assert np.mean(shared) < 6
    assert min(shared) >= 3
    apart = np.full((3, 9), np.nan)
    for i in range(3):
        apart[i, 3 * i : 3 * i + 3] = rng.normal(0.4, 0.02, 3)
    assert noise_of_means(apart) == pooled_noise(apart)


def test_few_seeds_are_tested_by_bartlett_and_many_by_medians() -> None:
    rng = np.random.default_rng(7)
    few, many = noisy(rng, [0.02] * 4, 3), noisy(rng, [0.02] * 4, 10)
    assert equal_variances(few).method == "Bartlett"
    assert equal_variances(few).p == pytest.approx(stats.bartlett(*few).pvalue)
    assert equal_variances(many).method == "Brown-Forsythe"
    assert equal_variances(many).p == pytest.approx(stats.levene(*many, center="median").pvalue)
    few[0, 1:] = np.nan
    assert equal_variances(few).n_configs == 3
    assert "3 scores per config" in equal_variances(few).remark


@pytest.mark.parametrize("replicates", [3, 10])
def test_equal_noise_is_rejected_at_most_alpha_of_the_time(replicates: int) -> None:
    rng = np.random.default_rng(8)
    p = [equal_variances(noisy(rng, [0.02] * 8, replicates)).p for _ in range(600)]
    rejected = float(np.mean([value is not None and value < 0.05 for value in p]))
    assert 0 < rejected < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def test_very_unequal_noise_is_found_even_with_three_seeds() -> None:
    rng = np.random.default_rng(9)
    p = [equal_variances(noisy(rng, [0.01] * 6 + [0.2] * 2, 3)).p for _ in range(50)]
    assert np.mean([value is not None and value < 0.05 for value in p]) > 0.9


def test_identical_repeats_of_one_config_are_no_measurement_of_its_noise() -> None:
    scores = noisy(np.random.default_rng(10), [0.02] * 4, 3)
    scores[2] = 0.5
    result = equal_variances(scores)
    assert result.p is None
    assert "same score" in result.remark
    assert moderated_noise(scores).sd[2] > 0


def test_a_config_that_is_clearly_noisier_is_gone_by_its_own_noise() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(0.4, 0.01, (8, 6))
    assert noise_of_config(scores, 0) == noise_of_means(scores)
    scores[2] = 0.4 + 10 * (scores[2] - 0.4)
    own, others = noise_of_config(scores, 2), noise_of_config(scores, 0)
    assert others == noise_of_means(scores)
    assert own.sd > others.high
    assert own.sd == pytest.approx(moderated_noise(scores).sd[2])
    assert own.low < own.sd < own.high
    assert np.isnan(noise_of_config([[0.4], [0.5]], 0).sd)
