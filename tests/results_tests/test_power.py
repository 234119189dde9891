"""Planning: the tables that everybody quotes, inverses, and the promise kept in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from results.statistics.power import (
    difference_detectable,
    expected_range,
    paired_sd,
    power_of,
    seeds_for_sd,
    seeds_needed,
)


@pytest.mark.parametrize(
    ("within", "seeds"), [(0.1, (84, 137, 193)), (0.2, (22, 35, 49)), (0.3, (11, 16, 23)), (0.5, (5, 7, 9))]
)
def test_repeats_needed_to_know_the_sd_itself(within: float, seeds: tuple[int, int, int]) -> None:
    found = tuple(seeds_for_sd(within, probability=p) for p in (0.8, 0.9, 0.95))
    assert found == seeds


@pytest.mark.parametrize("configs", [2, 5, 12])
def test_configs_share_the_repeats_that_the_sd_needs(configs: int) -> None:
    """The same degrees of freedom, spread over the configs."""
    n = seeds_for_sd(0.1, probability=0.9, configs=configs)
    assert n is not None
    assert configs * (n - 1) >= 136 > configs * (n - 2)


def test_an_sd_that_needs_too_many_seeds_has_no_answer() -> None:
    assert seeds_for_sd(0.001, probability=0.9) is None


@pytest.mark.parametrize(("within", "probability", "configs"), [(0, 0.9, 1), (0.1, 1, 1), (0.1, 0.9, 0)])
def test_impossible_wishes_for_the_sd_are_refused(within: float, probability: float, configs: int) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1, configs \(\d\) at least 1"):
        seeds_for_sd(within, probability=probability, configs=configs)


@pytest.mark.parametrize("comparisons", [None, 3])
@pytest.mark.parametrize(("n", "configs"), [(2, 2), (3, 4), (5, 12), (30, 2)])
def test_difference_detectable_is_the_inverse_of_seeds_needed(
    n: int, configs: int, comparisons: int | None
) -> None:
    difference = difference_detectable(n, 0.02, configs=configs, comparisons=comparisons)
    assert difference is not None
    power = power_of(n, difference, 0.02, configs=configs, comparisons=comparisons)
    assert power == pytest.approx(0.8, abs=1e-4)
    needed = [
        seeds_needed(difference * f, 0.02, configs=configs, comparisons=comparisons) for f in (1.001, 0.98)
    ]
    assert needed[0] == n < (needed[1] or 0)


def test_nothing_is_detectable_without_repeats_or_noise() -> None:
    assert difference_detectable(1, 0.02) is None
    assert difference_detectable(3, float("nan")) is None
    assert difference_detectable(3, 0.0) == 0.0


def test_one_planned_pair_of_two_configs_is_the_t_test() -> None:
    assert power_of(5, 0.03, 0.02, comparisons=1) == pytest.approx(power_of(5, 0.03, 0.02))
    assert power_of(5, 0.03, 0.02, comparisons=2) < power_of(5, 0.03, 0.02)


def test_power_is_that_of_the_t_test_in_simulation() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 0.02, (20_000, 2, 4)) + np.array([0.03, 0.0])[None, :, None]
    found = stats.ttest_rel(scores[:, 0], scores[:, 1], axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(power_of(4, 0.03, 0.02), abs=0.012)


def test_power_is_a_number_however_large_the_difference() -> None:
    """The far tail of the noncentral t is where scipy's series gives NaN."""
    grid = [
        power_of(n, d, 0.02, configs=k)
        for n in (2, 5, 6, 40)
        for k in (2, 6)
        for d in np.geomspace(1e-3, 5, 40)
    ]
    assert np.isfinite(grid).all()
    assert min(grid) > 0
    assert max(grid) == pytest.approx(1)


def test_pairs_that_go_together_need_fewer_seeds() -> None:
    assert paired_sd(0.03, 0.0) == 0.03
    assert paired_sd(0.03, 0.75) == pytest.approx(0.015)
    with pytest.raises(ValueError, match="correlation of pairs must be in"):
        paired_sd(0.03, 1.0)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_expected_range_is_that_of_simulated_runs(n: int) -> None:
    ranges = np.ptp(np.random.default_rng(n).normal(0.4, 0.02, (40_000, n)), axis=1)
    found = expected_range(n, 0.02)
    assert ranges.mean() == pytest.approx(found.mean, rel=0.01)
    assert (ranges < found.high).mean() == pytest.approx(0.95, abs=0.005)


def test_a_single_run_has_no_range() -> None:
    with pytest.raises(ValueError, match="at least 2 runs, not 1"):
        expected_range(1, 0.02)
