"""Shares of a finite set from a sample of it: known cases, and coverage by enumeration."""

from __future__ import annotations

import pytest
from scipy import stats

from results.statistics.proportions import sampled_share


@pytest.mark.parametrize(
    ("hits", "sampled", "population", "low", "high"),
    [
        (0, 0, 10, 0, 10),  # nothing was looked at: everything is possible
        (3, 10, 10, 3, 3),  # all were looked at: nothing is left open
        (
            0,
            5,
            10,
            0,
            3,
        ),  # with 4 hits in 10 a sample of 5 has none in 6 of 252, below 0.025; with 3 in 21 of 252
        (5, 5, 10, 7, 10),
        (1, 8, 34, 1, 16),
        (0, 1, 1, 0, 0),
    ],
)
def test_limits_of_known_cases(hits: int, sampled: int, population: int, low: int, high: int) -> None:
    found = sampled_share(hits, sampled, population)
    assert (found.low * population, found.high * population) == pytest.approx((low, high))


@pytest.mark.parametrize(("hits", "sampled"), [(0, 8), (1, 8), (4, 9), (9, 9)])
def test_in_a_very_large_set_the_limits_are_those_of_clopper_and_pearson(hits: int, sampled: int) -> None:
    found = sampled_share(hits, sampled, 200_000)
    low = stats.beta.ppf(0.025, hits, sampled - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, sampled - hits) if hits < sampled else 1.0
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("sampled", "population"), [(3, 12), (8, 34), (11, 12)])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_every_true_share_is_covered_often_enough(sampled: int, population: int, alpha: float) -> None:
    limits = [sampled_share(hits, sampled, population, alpha=alpha) for hits in range(sampled + 1)]
    for true in range(population + 1):
        chances = stats.hypergeom.pmf(range(sampled + 1), population, true, sampled)
        covered = sum(
            chance
            for chance, found in zip(chances, limits, strict=True)
            if found.low <= true / population + 1e-12 and true / population <= found.high + 1e-12
        )
        assert covered >= 1 - alpha - 1e-12, true


def test_hits_and_misses_are_mirror_images() -> None:
    one, other = sampled_share(2, 7, 20), sampled_share(5, 7, 20)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))
    assert one.estimate == pytest.approx(1 - other.estimate)


@pytest.mark.parametrize("numbers", [(-1, 3, 5), (4, 3, 5), (1, 6, 5), (0, 0, 0)])
def test_impossible_counts_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="0 <= hits <= sampled <= population"):
        sampled_share(*numbers)


def test_a_share_of_an_empty_sample_is_not_a_number() -> None:
    assert sampled_share(0, 0, 3).estimate != sampled_share(0, 0, 3).estimate
    with pytest.raises(ValueError, match="alpha"):
        sampled_share(0, 1, 3, alpha=1.0)
