"""Beliefs of a search: formulas, symmetries, and whether what is stated is what happens."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from results.statistics.ceiling import _below_ceiling, _normal, learn_population
from results.statistics.posterior import (
    Evidence,
    Posterior,
    chance_near,
    draw_means,
    expected_regret,
    improvements,
    posterior,
)

NONE = np.array([], dtype=np.int64)


def evidence_of(
    scores: dict[int, list[float]],
    *,
    configs: int | None = None,
    stopped: list[tuple[int, int, float]] | None = None,
    epochs: int = 10,
    early: float = 0.0,
) -> Evidence:
    """Finished runs that lie `early` below their score until their last epoch, and (config, epoch, value) stopped."""
    runs = [(config, score) for config, values in sorted(scores.items()) for score in values]
    curves = np.array([score for _, score in runs])[:, None] - early * (np.arange(epochs) < epochs - 1)
    stopped = stopped or []
    return Evidence(
        n_configs=configs or 1 + max(scores),
        config=np.array([config for config, _ in runs], dtype=np.int64),
        curves=curves.reshape(-1, epochs),
        stopped_config=np.array([row[0] for row in stopped], dtype=np.int64),
        stopped_epoch=np.array([row[1] for row in stopped], dtype=np.int64),
        stopped_value=np.array([row[2] for row in stopped], dtype=np.float64),
    )


def a_search(seed: int = 0, *, configs: int = 20) -> Evidence:
    """Random evidence: half of the configs finished, with one to five runs, the others stopped at epoch 3."""
    rng = np.random.default_rng(seed)
    truth = 0.46 - rng.gamma(2, 0.012, configs)
    scores = {c: list(truth[c] + 0.02 * rng.standard_normal(1 + c % 5)) for c in range(0, configs, 2)}
    stopped = [(c, 3, float(truth[c] - 0.1 + 0.03 * rng.standard_normal())) for c in range(1, configs, 2)]
    return evidence_of(scores, configs=configs, stopped=stopped, early=0.1)


# ---- formulas -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [-0.03, 0.0, 0.004, 0.05])
@pytest.mark.parametrize("error", [0.002, 0.02])
def test_a_gap_below_the_ceiling_has_the_moments_of_its_density(gap: float, error: float) -> None:
    g = 0.012

    def moment(power: int) -> float:
        def density(d: float) -> float:
            return float(d**power * stats.gamma(2, scale=g).pdf(d) * stats.norm(gap, error).pdf(d))

        middle = max(gap, 0.0)
        return sum(
            integrate.quad(density, a, b, epsabs=1e-14, limit=400)[0]
            for a, b in ((0.0, middle), (middle, middle + 8 * error), (middle + 8 * error, 1.0))
        )

    mass, first, second = moment(0), moment(1), moment(2)
    log_density, mean, variance = _below_ceiling(np.array([gap]), np.array([error]), np.array([g]))
    if mass > 1e-12:
        assert log_density[0] == pytest.approx(np.log(mass), abs=1e-4)
        assert mean[0] == pytest.approx(first / mass, rel=1e-4)
        assert variance[0] == pytest.approx(second / mass - (first / mass) ** 2, rel=1e-3)
    assert mean[0] > 0


def test_without_a_ceiling_the_update_is_the_conjugate_one() -> None:
    log_density, mean, variance = _normal(np.array([0.03]), np.array([0.02**2]), np.array([0.01**2]))
    assert variance[0] == pytest.approx(1 / (1 / 0.02**2 + 1 / 0.01**2))
    assert mean[0] == pytest.approx(variance[0] * 0.03 / 0.02**2)
    assert log_density[0] == pytest.approx(stats.norm(0, np.hypot(0.01, 0.02)).logpdf(0.03))


def test_the_population_is_averaged_over_shapes_centres_and_spreads() -> None:
    estimate, variance = np.array([0.40, 0.44, 0.45, 0.46, 0.455]), np.full(5, 0.01**2)
    found = learn_population(estimate, variance, sigma=0.01, scale=0.01)
    assert found.weight.sum() == pytest.approx(1.0)
    assert 0.05 < found.weight[found.bounded].sum() < 0.95
    mean, total = found.moments()
    assert mean == pytest.approx(found.weight @ found.mean)
    # the law of total variance
    assert np.all(total >= found.weight @ found.variance)


def test_many_runs_outweigh_every_prior_and_few_are_drawn_to_the_others() -> None:
    rng = np.random.default_rng(0)
    few = {c: [0.44 + 0.002 * c] for c in range(8)} | {8: [0.485, 0.515]}
    many = few | {8: list(0.50 + 0.01 * rng.standard_normal(2000))}
    lucky, sure = posterior(evidence_of(few)), posterior(evidence_of(many))
    assert 0.46 < lucky.mean[8] < 0.495
    assert sure.mean[8] == pytest.approx(np.mean(many[8]), abs=3e-4)
    assert sure.own_sd is not None
    assert sure.own_sd[8] == pytest.approx(np.std(many[8]), rel=0.02)


def test_more_runs_shrink_the_variance() -> None:
    widths = []
    for times in (1, 2, 4, 16):
        scores = {c: [0.44 + 0.004 * c, 0.46 + 0.004 * c] * times for c in range(6)}
        widths.append(posterior(evidence_of(scores)).variance[3])
    assert all(later < earlier / 1.3 for earlier, later in pairwise(widths))


# ---- stopped runs ---------------------------------------------------------------------------------------------------


def test_a_stopped_run_is_predicted_by_the_line_through_the_finished_ones() -> None:
    # values at epoch 4 and scores lie on a line of slope 1/2, without seed noise
    curves = np.array([[x] * 4 + [0.3 + x / 2] * 6 for x in np.linspace(0.2, 0.3, 40)])
    stopped = {"stopped_config": np.array([40, 41]), "stopped_epoch": np.array([4, 4])}
    evidence = Evidence(42, np.arange(40), curves, stopped_value=np.array([0.15, 0.25]), **stopped)  # type: ignore[arg-type]
    found = posterior(evidence)
    assert found.predicted is not None
    assert np.isnan(found.predicted[:40]).all()
    assert found.predicted[40:] == pytest.approx(0.3 + np.array([0.15, 0.25]) / 2, abs=0.005)
    # what is predicted is not certain: the mean lies between it and that of all configs
    assert found.predicted[40] < found.mean[40] < found.mean[41]


def test_a_stopped_config_is_known_but_uncertain_and_never_chosen() -> None:
    evidence = evidence_of(
        {c: [0.44 + 0.002 * c] * 3 for c in range(6)}, configs=8, stopped=[(6, 9, 0.9)], early=0.1
    )
    found = posterior(evidence)
    assert list(found.known) == [True] * 7 + [False]
    assert np.isnan(found.mean[7])
    assert found.variance[6] > 2 * found.variance[5]
    assert found.choice == 5


def test_an_early_value_orders_the_stopped_configs() -> None:
    stopped = [(6 + i, 9, value) for i, value in enumerate([0.2, 0.3, 0.34, 0.36, 0.5])]
    evidence = evidence_of(
        {c: [0.44 + 0.002 * c] * 3 for c in range(6)}, stopped=stopped, configs=11, early=0.1
    )
    found = posterior(evidence)
    assert np.all(np.diff(found.mean[6:]) >= 0)
    assert found.mean[6] < found.mean[9]
    assert found.population is not None
    # none of them is expected at the ceiling, whatever its early value
    assert (
        found.mean[10] < found.population.weight @ found.population.ceiling - np.sqrt(found.variance[10]) / 2
    )


def test_a_config_with_a_score_no_longer_hears_its_stopped_run() -> None:
    scores = {c: [0.44 + 0.002 * c] * 2 for c in range(6)}
    with_it = posterior(evidence_of(scores, stopped=[(2, 3, 0.9)]))
    without = posterior(evidence_of(scores))
    assert with_it.mean == pytest.approx(without.mean)


def test_nothing_is_known_before_a_run_has_finished() -> None:
    found = posterior(Evidence(3, NONE, np.zeros((0, 5)), np.array([1]), np.array([2]), np.array([0.4])))
    assert not found.known.any()
    assert found.choice is None
    assert np.isnan(found.mean).all()
    with pytest.raises(ValueError, match="config 1 has no evidence"):
        expected_regret(found, 1, rng=np.random.default_rng(0))


def test_a_failed_config_far_below_does_not_widen_the_others() -> None:
    scores = {c: [0.44 + 0.002 * c, 0.445 + 0.002 * c] for c in range(8)}
    alone, beside = posterior(evidence_of(scores)), posterior(evidence_of(scores | {8: [0.02]}))
    assert beside.mean[:8] == pytest.approx(alone.mean[:8], abs=0.002)
    assert beside.mean[8] < 0.1


# ---- symmetries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_renumbering_the_configs_renumbers_the_answer(seed: int) -> None:
    evidence = a_search(seed)
    to = np.random.default_rng(seed).permutation(evidence.n_configs)
    other = replace(evidence, config=to[evidence.config], stopped_config=to[evidence.stopped_config])
    a, b = posterior(evidence), posterior(other)
    assert b.mean[to] == pytest.approx(a.mean, rel=1e-9)
    assert b.variance[to] == pytest.approx(a.variance, rel=1e-9)
    assert a.choice is not None
    assert b.choice == to[a.choice]


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 5.0), (0.01, 0.0), (300.0, -7.0)])
def test_the_unit_and_the_zero_of_the_metric_do_not_matter(scale: float, shift: float) -> None:
    evidence = a_search(1)
    other = replace(
        evidence,
        curves=scale * evidence.curves + shift,
        stopped_value=scale * evidence.stopped_value + shift,
    )
    a, b = posterior(evidence), posterior(other)
    assert b.mean == pytest.approx(scale * a.mean + shift, rel=1e-6)
    assert np.sqrt(b.variance) == pytest.approx(scale * np.sqrt(a.variance), rel=1e-6)
    assert b.seed_sd == pytest.approx(scale * a.seed_sd, rel=1e-6)


def test_equal_scores_are_no_division_by_zero() -> None:
    found = posterior(evidence_of({c: [0.4, 0.4] for c in range(5)}))
    assert found.mean == pytest.approx(np.full(5, 0.4), abs=1e-5)
    assert np.isfinite(found.variance).all()
    assert expected_regret(found, 0, rng=np.random.default_rng(0)) < 1e-5


# ---- what follows ---------------------------------------------------------------------------------------------------


def two_normals() -> Posterior:
    return Posterior(
        np.array([0.47, 0.45, np.nan]),
        np.array([0.01**2, 0.02**2, np.nan]),
        np.array([4, 1, 0]),
        0.02,
        np.array([True, True, False]),
    )


def test_regret_and_chance_of_two_normal_beliefs_are_the_exact_ones() -> None:
    sd, ahead = np.hypot(0.01, 0.02), 0.02
    rng = np.random.default_rng(0)
    exact = sd * stats.norm.pdf(ahead / sd) - ahead * stats.norm.sf(ahead / sd)
    assert expected_regret(two_normals(), 0, rng=rng, draws=200_000) == pytest.approx(exact, rel=0.02)
    near = chance_near(two_normals(), 0, tolerance=0.005, rng=rng, draws=200_000)
    assert near == pytest.approx(stats.norm.cdf((ahead + 0.005) / sd), abs=0.004)
    variance = np.array([0.01**2, 0.02**2, np.nan])
    assert improvements(two_normals(), 0, variance=variance)[1] == pytest.approx(exact)


def test_improvements_are_those_of_the_draws() -> None:
    found = replace(posterior(a_search(3)), df=np.inf)
    leader = found.choice
    assert leader is not None
    means = draw_means(found, rng=np.random.default_rng(0), draws=100_000)
    at = np.flatnonzero(found.known)
    ahead = means - means[:, at == leader]
    drawn = ahead.clip(0).mean(axis=0)
    stated = improvements(found, leader, variance=found.variance)[at]
    assert stated[at == leader] == 0
    stopped = found.n[at] == 0
    assert stated[stopped] == pytest.approx(drawn[stopped], rel=0.15, abs=1e-5)
    # for those with a score the formula takes both for normal and apart, the draws share a ceiling
    assert stated[~stopped] == pytest.approx(drawn[~stopped], rel=0.5, abs=5e-4)


def test_an_interval_is_symmetric_and_wider_at_a_smaller_alpha() -> None:
    found = posterior(a_search(2))
    low, high = found.interval()
    wide_low, wide_high = found.interval(alpha=0.01)
    known = found.known
    assert (low + high)[known] / 2 == pytest.approx(found.mean[known])
    assert np.all((wide_low < low)[known] & (wide_high > high)[known])
    assert np.isnan(low[~known]).all()


@pytest.mark.parametrize("tolerance", [-0.1, float("nan")])
def test_a_tolerance_below_zero_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance must be 0 or more"):
        chance_near(two_normals(), 0, tolerance=tolerance, rng=np.random.default_rng(0))


def test_the_same_generator_gives_the_same_draws() -> None:
    found = posterior(a_search(4))
    np.random.seed(1)  # noqa: NPY002 - disturbs the global generator, which must not matter
    first = draw_means(found, rng=np.random.default_rng(5), draws=20)
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(first, draw_means(found, rng=np.random.default_rng(5), draws=20))


# ---- is it true? ----------------------------------------------------------------------------------------------------


def stated_and_true(believe: object, *, problems: int = 120) -> tuple[float, float, float, float]:
    """Stated and observed chance to be within 0.005, coverage of 95 % intervals and bias, of the choices."""
    near, true, covered, bias = [], [], [], []
    for seed in range(problems):
        rng = np.random.default_rng([7, seed])
        truth = 0.46 - rng.gamma(2, 0.012, 24)
        first = truth + 0.018 * rng.standard_normal(24)
        runs = np.where(np.argsort(np.argsort(-first)) < 6, 8, 1)  # those that looked good are repeated
        scores = {c: [first[c], *(truth[c] + 0.018 * rng.standard_normal(runs[c] - 1))] for c in range(24)}
        found = believe(posterior(evidence_of(scores)))  # type: ignore[operator]
        choice = found.choice
        low, high = found.interval()
        near.append(chance_near(found, choice, tolerance=0.005, rng=rng, draws=400))
        true.append(truth.max() - truth[choice] <= 0.005)
        covered.append(low[choice] <= truth[choice] <= high[choice])
        bias.append(found.mean[choice] - truth[choice])
    return float(np.mean(near)), float(np.mean(true)), float(np.mean(covered)), float(np.mean(bias))


def test_what_is_stated_of_a_choice_is_what_happens() -> None:
    near, true, covered, bias = stated_and_true(lambda found: found)
    assert near == pytest.approx(true, abs=0.1)
    assert 0.91 <= covered <= 0.99
    assert abs(bias) < 0.002


def test_a_model_that_is_wrong_fails_the_same_check() -> None:
    def without_ceiling(found: Posterior) -> Posterior:
        wide = replace(found, variance=found.variance / 4 + 0.03**2 * (found.n < 2), population=None)
        return replace(wide, mean=np.where(found.n < 2, np.nanmedian(found.mean), found.mean))

    near, true, covered, _ = stated_and_true(without_ceiling)
    assert abs(near - true) > 0.2
    assert covered < 0.91
