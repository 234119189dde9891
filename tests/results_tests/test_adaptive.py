"""Differences between configs whose seeds were given out by looking: which may be judged, and by which noise."""

from __future__ import annotations

import numpy as np
import pytest

from results.statistics.adaptive import between_repeated, fit_selected, later_scores, repeated
from results.statistics.blocks import fit_blocks, tukey_against

NAN = np.nan
SCORES = np.array(
    [
        [0.50, 0.49, 0.52, 0.47],
        [0.48, 0.47, 0.46, NAN],
        [NAN, 0.45, 0.44, NAN],
        [0.46, NAN, NAN, NAN],
        [NAN, NAN, NAN, NAN],
    ]
)


def test_later_scores_are_those_after_the_first_of_each_config() -> None:
    wanted = [[NAN, 0.49, 0.52, 0.47], [NAN, 0.47, 0.46, NAN], [NAN, NAN, 0.44, NAN], [NAN] * 4, [NAN] * 4]
    np.testing.assert_array_equal(later_scores(SCORES), wanted)


def test_a_config_may_be_judged_from_two_scores_on() -> None:
    assert repeated(SCORES).tolist() == [True, True, True, False, False]


def test_effects_are_those_of_all_runs_and_the_noise_is_that_of_the_later_ones() -> None:
    fit, plain, later = fit_selected(SCORES), fit_blocks(SCORES), fit_blocks(later_scores(SCORES))
    np.testing.assert_array_equal(fit.effects, plain.effects)
    assert fit.noise == later.noise
    assert fit.noise != plain.noise


def test_without_a_repeat_among_the_later_runs_all_of_them_say_what_the_noise_is() -> None:
    scores = np.array([[0.5, 0.49], [0.48, 0.46], [0.45, NAN]])
    later = fit_blocks(later_scores(scores)).noise
    assert not later.known
    assert fit_selected(scores).noise == fit_blocks(scores).noise


def test_intervals_are_kept_between_repeated_configs_only() -> None:
    fit = fit_selected(SCORES)
    found = tukey_against(fit, 0, family=5)
    kept = between_repeated(found, SCORES, 0)
    np.testing.assert_array_equal(kept.estimate, found.estimate)
    assert np.isfinite(kept.low).tolist() == [True, True, True, False, False]
    assert kept.low[:3] == pytest.approx(found.low[:3])
    assert np.isnan(between_repeated(tukey_against(fit, 3, family=5), SCORES, 3).low).all()


def test_selection_makes_the_residual_noise_too_small_and_the_later_runs_do_not() -> None:
    """Equal configs: the better half of them on the first seed is repeated twice; the true sd is 1."""
    rng = np.random.default_rng(0)
    plain, selected = [], []
    for _ in range(400):
        first = rng.standard_normal(12)
        scores = np.full((12, 3), NAN)
        scores[:, 0] = first
        better = np.argsort(-first)[:4]
        scores[better, 1:] = rng.standard_normal((4, 2))
        plain.append(fit_blocks(scores).noise.sd ** 2)
        selected.append(fit_selected(scores).noise.sd ** 2)
    assert np.mean(plain) < 0.85
    assert np.mean(selected) == pytest.approx(1, abs=0.12)
