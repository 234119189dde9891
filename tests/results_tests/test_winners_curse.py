"""What the chosen config will score: posterior means, fresh replicates, and the estimates side by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from results.statistics.blocks import Noise, mean_intervals, noise_from, pooled_noise
from results.statistics.shrinkage import confirmed_mean, expected_scores

UNKNOWN = noise_from(0.0, 0, 0.05)


def noisy(
    seed: int, means: npt.ArrayLike, replicates: int, *, shared: float = 0.0
) -> npt.NDArray[np.float64]:
    """Scores with independent noise of sd 0.02 and an effect of the shared seeds."""
    rng = np.random.default_rng(seed)
    column = np.asarray(means, dtype=float)[:, None]
    own = rng.normal(0, 0.02, (len(column), replicates))
    return column + own + shared * rng.standard_normal((1, replicates))


def test_without_a_screening_fresh_seeds_give_the_plain_t_interval() -> None:
    values = [0.41, 0.44, 0.40, 0.45]
    found = confirmed_mean(values, UNKNOWN)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.n, found.n_failed, found.df) == (4, 0, 3)


def test_degrees_of_freedom_of_screening_and_fresh_seeds_add_up() -> None:
    screening = pooled_noise(noisy(1, [0.4, 0.42, 0.41], 4))
    values = np.array([0.41, 0.44, np.nan, 0.40])
    found = confirmed_mean(values, screening)
    squares = screening.sd**2 * 9 + np.nansum((values - np.nanmean(values)) ** 2)
    assert (found.n, found.n_failed, found.df) == (3, 1, 11)
    assert found.sd == pytest.approx(np.sqrt(squares / 11))
    half = stats.t.ppf(0.975, 11) * found.sd / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))


def test_one_fresh_seed_has_an_interval_by_the_noise_of_the_screening_alone() -> None:
    found = confirmed_mean([0.43], Noise(0.02, 10, 0.015, 0.03))
    assert (found.mean, found.df, found.sd) == (0.43, 10, pytest.approx(0.02))
    assert found.high - 0.43 == pytest.approx(0.02 * stats.t.ppf(0.975, 10))


@pytest.mark.parametrize(
    ("values", "noise", "mean"),
    [([0.43], UNKNOWN, 0.43), ([0.43, 0.43], UNKNOWN, 0.43), ([], Noise(0.02, 9, 0.01, 0.03), np.nan)],
)
def test_an_unknown_interval_is_nan(values: list[float], noise: Noise, mean: float) -> None:
    found = confirmed_mean(values, noise)
    np.testing.assert_equal(found.mean, mean)
    assert np.isnan([found.low, found.high, found.sd]).all()


def test_all_fresh_seeds_failed_is_counted() -> None:
    found = confirmed_mean([np.nan, np.inf], Noise(0.02, 9, 0.01, 0.03))
    assert (found.n, found.n_failed) == (0, 2)
    assert np.isnan(found.mean)


def test_fresh_values_must_be_a_list() -> None:
    with pytest.raises(ValueError, match=r"\(n_replicates,\), not \(1, 2\)"):
        confirmed_mean([[0.4, 0.5]], UNKNOWN)


def test_near_configs_are_drawn_together_and_far_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    near, far = noisy(2, [0.40, 0.41, 0.40, 0.41], 3), noisy(2, [0.1, 0.3, 0.5, 0.7], 3)
    for scores, least, most in ((near, 0.1, 0.9), (far, 0.97, 1.01)):
        found = expected_scores(scores, rng=rng)
        assert found.shrunk
        assert least < np.ptp(found.means) / np.ptp(scores.mean(axis=1)) < most
        assert ((found.low < found.means) & (found.means < found.high)).all()


def test_luck_of_shared_seeds_widens_intervals_and_shrinks_nothing() -> None:
    scores = noisy(3, [0.38, 0.40, 0.42, 0.44, 0.46], 3)
    lucky = scores + np.array([[-0.1, 0.02, 0.08]])
    plain, shifted = (expected_scores(x, rng=np.random.default_rng(4)) for x in (scores, lucky))
    np.testing.assert_allclose(shifted.means, plain.means, atol=1e-9)
    assert ((shifted.high - shifted.low) > 2 * (plain.high - plain.low)).all()


def test_one_config_keeps_its_mean_and_its_t_interval() -> None:
    scores = np.array([[0.40, 0.44, 0.41], [np.nan] * 3])
    found = expected_scores(scores, rng=np.random.default_rng(0))
    assert not found.shrunk
    np.testing.assert_allclose(np.column_stack([found.low, found.high])[0], mean_intervals(scores)[0])
    assert np.isnan([found.means[1], found.low[1], found.high[1]]).all()


@pytest.mark.parametrize("scores", [[[0.4], [0.5]], [[0.4, 0.4], [0.5, 0.5]]])
def test_with_unknown_noise_nothing_is_shrunken(scores: npt.ArrayLike) -> None:
    found = expected_scores(scores, rng=np.random.default_rng(0))
    assert not found.shrunk
    np.testing.assert_allclose(found.means, np.mean(scores, axis=1))
    assert np.isnan([*found.low, *found.high]).all()
