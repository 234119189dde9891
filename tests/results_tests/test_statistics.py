"""Statistics by properties, by comparison with a textbook computation, and by simulation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from results.statistics.blocks import (
    config_means,
    config_sds,
    critical_value,
    fit_blocks,
    mean_intervals,
    not_distinguishable,
    pooled_noise,
    tukey_against,
    tukey_kramer,
)
from results.statistics.power import power_of, seeds_needed
from results.statistics.shrinkage import expected_scores

Matrix = npt.NDArray[np.float64]


def noisy(
    rng: np.random.Generator, means: npt.ArrayLike, replicates: int, *, sd: float = 0.02, shared: float = 0.0
) -> Matrix:
    """Scores with independent noise and noise that all configs share on a replicate."""
    column = np.asarray(means, dtype=float)[:, None]
    return (
        column
        + rng.normal(0, sd, (len(column), replicates))
        + (rng.normal(0, shared, (1, replicates)) if shared else 0.0)
    )


def holed(rng: np.random.Generator, scores: Matrix, share: float) -> Matrix:
    """The scores with some cells missing, at least one left in each row."""
    holes = rng.random(scores.shape) < share
    holes[np.arange(len(scores)), rng.integers(scores.shape[1], size=len(scores))] = False
    return np.where(holes, np.nan, scores)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.2, 0.4]))
def test_permuting_configs_permutes_the_answer(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    scores = holed(rng, noisy(rng, [0.4, 0.42, 0.44, 0.3, 0.41], 4, shared=0.01), share)
    order = rng.permutation(5)
    fit, permuted = fit_blocks(scores), fit_blocks(scores[order])
    np.testing.assert_allclose(permuted.effects, fit.effects[order], rtol=1e-9)
    np.testing.assert_allclose(permuted.noise.sd, fit.noise.sd, rtol=1e-9)
    np.testing.assert_allclose(
        tukey_kramer(permuted).low, tukey_kramer(fit).low[np.ix_(order, order)], rtol=1e-7
    )
    np.testing.assert_allclose(mean_intervals(scores[order]), mean_intervals(scores)[order])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_shift_shared_by_a_replicate_changes_no_comparison(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = holed(rng, noisy(rng, [0.4, 0.42, 0.44, 0.3], 4), 0.2)
    fit, shifted = fit_blocks(scores), fit_blocks(scores + rng.normal(0, 1, (1, 4)))
    if fit.blocked:
        np.testing.assert_allclose(
            shifted.effects - shifted.effects[0], fit.effects - fit.effects[0], atol=1e-12
        )
        np.testing.assert_allclose(shifted.noise.sd, fit.noise.sd, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_block_fit_equals_least_squares_on_the_full_design(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = holed(rng, noisy(rng, rng.normal(0.4, 0.05, 6), 4, shared=0.02), 0.2)
    fit = fit_blocks(scores)
    if not fit.blocked:
        return
    rows, columns = np.nonzero(np.isfinite(scores))
    design = np.zeros((len(rows), 10))
    design[np.arange(len(rows)), rows] = design[np.arange(len(rows)), 6 + columns] = 1
    solution, _, rank, _ = np.linalg.lstsq(design, scores[rows, columns], rcond=None)
    residual = scores[rows, columns] - design @ solution
    df = len(rows) - rank
    assert fit.noise.df == df
    contrast = np.zeros(10)
    contrast[:2] = 1, -1
    error = np.sqrt((residual**2).sum() / df * contrast @ np.linalg.pinv(design.T @ design) @ contrast)
    comparisons = tukey_kramer(fit)
    assert comparisons.estimate[0, 1] == pytest.approx(contrast @ solution, rel=1e-6)
    half = critical_value(6, df, 0.05) * error
    assert comparisons.high[0, 1] == pytest.approx(contrast @ solution + half, rel=1e-6)


@pytest.mark.parametrize("replicates", [3, 5, 10])
def test_complete_data_are_paired_however_many_configs_there_are(replicates: int) -> None:
    """Rounding errors of sums over a hundred configs must not pass for a link between replicates."""
    for configs in (100, 128, 256, 300):
        fit = fit_blocks(noisy(np.random.default_rng(configs), np.zeros(configs), replicates, shared=0.05))
        assert fit.blocked
        np.testing.assert_allclose(fit.own_variance, 1 / replicates)
        np.testing.assert_allclose(fit.shared, 0.0, atol=1e-9)


def test_two_complete_configs_give_the_paired_t_test() -> None:
    scores = noisy(np.random.default_rng(3), [0.40, 0.43], 6, shared=0.03)
    comparisons = tukey_kramer(fit_blocks(scores))
    expected = stats.ttest_rel(scores[1], scores[0]).confidence_interval(0.95)
    assert (comparisons.low[1, 0], comparisons.high[1, 0]) == pytest.approx((expected.low, expected.high))


def test_unpaired_data_give_the_pooled_t_test() -> None:
    scores = noisy(np.random.default_rng(3), [0.40, 0.43], 6)
    scores[0, 3:] = scores[1, :3] = np.nan
    fit = fit_blocks(scores)
    assert not fit.blocked
    comparisons = tukey_kramer(fit)
    expected = stats.ttest_ind(scores[1, 3:], scores[0, :3]).confidence_interval(0.95)
    assert (comparisons.low[1, 0], comparisons.high[1, 0]) == pytest.approx((expected.low, expected.high))


def test_tukey_agrees_with_scipy_on_unpaired_groups() -> None:
    groups = [np.random.default_rng(i).normal(0.4 + 0.01 * i, 0.02, 4) for i in range(4)]
    scores = np.full((4, 16), np.nan)
    for i, group in enumerate(groups):
        scores[i, 4 * i : 4 * i + 4] = group
    comparisons = tukey_kramer(fit_blocks(scores))
    expected = stats.tukey_hsd(*groups).confidence_interval(0.95)
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(comparisons.low[off], expected.low[off], rtol=1e-6)


def test_nan_never_becomes_a_number() -> None:
    scores = np.array([[0.4, np.nan, 0.42], [np.nan] * 3, [0.5, np.inf, 0.52]])
    means, counts = config_means(scores)
    assert counts.tolist() == [2, 0, 2]
    assert means[[0, 2]] == pytest.approx([0.41, 0.51])
    assert np.isnan(means[1])
    assert np.isnan(config_sds(scores)[1])
    assert np.isnan(mean_intervals(scores)[1]).all()
    fit = fit_blocks(scores)
    assert np.isnan(fit.effects[1])
    assert np.isnan(tukey_kramer(fit).estimate[1]).all()
    assert not_distinguishable(tukey_kramer(fit), 2) in ([2], [0, 2])


@pytest.mark.parametrize("scores", [np.full((2, 3), np.nan), np.empty((0, 0)), np.empty((3, 0))])
def test_no_score_at_all_is_unknown_not_an_error(scores: Matrix) -> None:
    fit = fit_blocks(scores)
    assert fit.noise.df == 0
    assert np.isnan(fit.effects).all()
    assert np.isnan(pooled_noise(scores).sd)


def test_one_seed_measures_no_noise() -> None:
    scores = np.array([[0.4], [0.5], [0.3]])
    assert pooled_noise(scores).df == 0
    assert np.isnan(mean_intervals(scores)).all()
    comparisons = tukey_kramer(fit_blocks(scores))
    assert np.isnan(comparisons.low).all()
    assert comparisons.estimate[1, 0] == pytest.approx(0.1)
    assert not_distinguishable(comparisons, 1) == [0, 1, 2]


def test_scores_must_be_a_matrix() -> None:
    with pytest.raises(ValueError, match=r"\(n_configs, n_replicates\), not \(3,\)"):
        config_means(np.zeros(3))


def test_noise_interval_covers_and_correlation_of_pairs_is_found() -> None:
    rng = np.random.default_rng(11)
    covered, correlations = 0, []
    for _ in range(400):
        scores = noisy(rng, np.zeros(6), 4, sd=0.02, shared=0.02)
        correlations.append(fit_blocks(scores).pair_correlation)
        noise = pooled_noise(noisy(rng, np.zeros(6), 4))
        covered += noise.low <= 0.02 <= noise.high
    assert 0.92 < covered / 400 < 0.98
    assert 0.38 < np.mean(correlations) < 0.5  # true value 0.5, biased down with so few blocks


@pytest.mark.parametrize("shared", [0.0, 0.02])
def test_equal_configs_are_called_different_at_most_alpha_of_the_time(shared: float) -> None:
    """Family-wise over all pairs, so also for the best picked after looking: 5 % +- 4 standard errors."""
    rng = np.random.default_rng(17)
    critical = critical_value(6, 10, 0.05)
    wrong = 0
    for _ in range(1500):
        fit = fit_blocks(noisy(rng, np.zeros(6), 3, shared=shared))
        wrong += np.ptp(fit.effects) > critical * fit.noise.sd * np.sqrt(2 / 3)
    assert wrong / 1500 < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1500)
    assert wrong > 0  # the test would not notice intervals that are far too wide


def test_an_injected_effect_is_found() -> None:
    rng = np.random.default_rng(23)
    found = 0
    for _ in range(40):
        comparisons = tukey_kramer(fit_blocks(noisy(rng, [0.4, 0.4, 0.5, 0.4], 4, sd=0.01)))
        found += not_distinguishable(comparisons, 2) == [2]
    assert found == 40


def test_a_larger_family_widens_every_interval() -> None:
    fit = fit_blocks(noisy(np.random.default_rng(1), [0.4, 0.5, 0.45], 3))
    narrow, wide = tukey_kramer(fit), tukey_kramer(fit, family=30)
    off = ~np.eye(3, dtype=bool)
    assert (wide.low[off] < narrow.low[off]).all()
    np.testing.assert_allclose(wide.low, -wide.high.T)


def test_expected_score_of_the_winner_is_honest_where_the_raw_one_flatters() -> None:
    rng = np.random.default_rng(29)
    raw, expected, covered, n = [], [], 0, 400
    for _ in range(n):
        truth = rng.normal(0.4, 0.015, 12)
        scores = noisy(rng, truth, 3)
        means, _ = config_means(scores)
        result = expected_scores(scores, rng=rng, draws=1000)
        winner = int(np.argmax(means))
        raw.append(means[winner] - truth[winner])
        expected.append(result.means[winner] - truth[winner])
        covered += result.low[winner] <= truth[winner] <= result.high[winner]
    assert np.mean(raw) > 0.007
    assert abs(np.mean(expected)) < 0.003
    assert covered / n > 0.92


def test_equal_means_are_drawn_together_most_and_very_different_ones_hardly() -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 0.02, (8, 3))
    noise -= noise.mean(axis=1, keepdims=True)
    near = expected_scores(np.linspace(0.40, 0.41, 8)[:, None] + noise, rng=rng)
    far = expected_scores(np.linspace(0.1, 0.9, 8)[:, None] + noise, rng=rng)
    assert near.means[-1] - near.means[0] < 0.007
    assert far.means[-1] - far.means[0] == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("difference", "sd", "seeds"), [(0.01, 0.018, 53), (0.02, 0.03, 38), (0.05, 0.05, 18), (0.05, 0.018, 5)]
)
def test_seeds_needed_for_a_paired_comparison(difference: float, sd: float, seeds: int) -> None:
    assert seeds_needed(difference, sd) == seeds
    assert power_of(seeds, difference, sd) >= 0.8 > power_of(seeds - 1, difference, sd)


def test_seeds_needed_keeps_its_promise_in_simulation() -> None:
    rng = np.random.default_rng(31)
    n = seeds_needed(0.03, 0.02, configs=4)
    assert n is not None
    critical = critical_value(4, 3 * (n - 1), 0.05)
    found = 0
    for _ in range(600):
        fit = fit_blocks(noisy(rng, [0.4, 0.43, 0.4, 0.4], n))
        found += fit.effects[1] - fit.effects[0] > critical * fit.noise.sd * np.sqrt(2 / n)
    assert 0.76 < found / 600 < 0.9


def test_seeds_needed_knows_when_there_is_no_answer() -> None:
    assert seeds_needed(0.0, 0.02) is None
    assert seeds_needed(0.01, float("nan")) is None
    assert seeds_needed(1e-9, 0.02) is None
    assert seeds_needed(0.01, 0.0) == 2
    assert seeds_needed(-0.05, 0.05) == seeds_needed(0.05, 0.05)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.3]))
def test_comparing_with_one_config_gives_its_row_of_all_pairs(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    fit = fit_blocks(holed(rng, noisy(rng, rng.normal(0.4, 0.05, 6), 4, shared=0.02), share))
    everything, row = tukey_kramer(fit), tukey_against(fit, 2)
    for name in ("estimate", "low", "high"):
        np.testing.assert_allclose(getattr(row, name), getattr(everything, name)[2], atol=1e-14)
    assert not_distinguishable(row, 2) == not_distinguishable(everything, 2)
