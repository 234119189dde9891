"""Named pairs: textbook tests where they apply, claims that agree with their intervals, and error rates."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from results.statistics.blocks import fit_blocks, pooled_noise
from results.statistics.differences import holm
from results.statistics.pairs import OWN_PAIRS, compare_pairs
from results.statistics.power import seeds_needed

Matrix = npt.NDArray[np.float64]


def noisy(rng: np.random.Generator, means: npt.ArrayLike, replicates: int, *, shared: float = 0.02) -> Matrix:
    column = np.asarray(means, dtype=float)[:, None]
    return column + rng.normal(0, 0.02, (len(column), replicates)) + rng.normal(0, shared, (1, replicates))


def holed(rng: np.random.Generator, scores: Matrix) -> Matrix:
    return np.where(rng.random(scores.shape) < 0.25, np.nan, scores)


@pytest.mark.parametrize("n", [3, OWN_PAIRS])
def test_two_complete_configs_give_the_paired_t_test(n: int) -> None:
    scores = noisy(np.random.default_rng(3), [0.43, 0.40], n)
    (pair,) = compare_pairs(scores, [(0, 1)])
    test = stats.ttest_rel(*scores)
    interval = test.confidence_interval(0.95)
    for seen in (pair.own, pair.pooled):
        assert seen is not None
        assert (seen.p, seen.low, seen.high) == pytest.approx((test.pvalue, interval.low, interval.high))
    assert (pair.p, pair.p_holm, pair.low, pair.high, pair.level) == pytest.approx(
        (test.pvalue, test.pvalue, interval.low, interval.high, 0.95)
    )


def test_few_pairs_borrow_the_noise_of_all_configs_and_many_do_not() -> None:
    scores = noisy(np.random.default_rng(4), [0.43, 0.40, 0.41, 0.42], OWN_PAIRS)
    (few,), (many,) = compare_pairs(scores[:, :3], [(0, 1)]), compare_pairs(scores, [(0, 1)])
    assert (few.used, many.used) == ("pooled", "own")
    assert few.pooled is not None
    noise = fit_blocks(scores[:, :3]).noise
    assert (few.pooled.df, few.pooled.error) == pytest.approx((6, noise.sd * np.sqrt(2 / 3)))
    assert few.p == few.pooled.p
    assert few.own is not None
    assert few.own.df == 2


def test_configs_without_a_common_seed_are_compared_unpaired_and_it_is_said() -> None:
    scores = noisy(np.random.default_rng(5), [0.43, 0.40], 6, shared=0)
    scores[0, 3:] = scores[1, :3] = np.nan
    (pair,) = compare_pairs(scores, [(0, 1)])
    test = stats.ttest_ind(scores[0, :3], scores[1, 3:])
    assert (pair.used, pair.n_shared, pair.variance_ratio) == ("unpaired", 0, None)
    assert pair.p == pytest.approx(test.pvalue)
    assert pair.correlation is None


def test_many_unpaired_scores_give_welchs_test() -> None:
    scores = noisy(np.random.default_rng(6), [0.43, 0.40], 25, shared=0)
    scores[0, 12:] = scores[1, :12] = np.nan
    scores[1] *= 2
    (pair,) = compare_pairs(scores, [(0, 1)])
    test = stats.ttest_ind(scores[0, :12], scores[1, 12:], equal_var=False)
    assert pair.unpaired is not None
    assert (pair.p, pair.unpaired.df) == pytest.approx((test.pvalue, test.df))


def test_the_reader_sees_whether_pairing_pays() -> None:
    rng = np.random.default_rng(7)
    together, apart = noisy(rng, [0.43, 0.40], 200, shared=0.04), noisy(rng, [0.43, 0.40], 200, shared=0)
    pays, costs = (compare_pairs(scores, [(0, 1)])[0].variance_ratio for scores in (together, apart))
    assert pays == pytest.approx(5, rel=0.2)  # (0.02^2 + 0.04^2) / 0.02^2
    assert costs == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("n", [4, 9])
def test_correlation_has_fishers_interval(n: int) -> None:
    scores = noisy(np.random.default_rng(8), [0.43, 0.40], n)
    (pair,) = compare_pairs(scores, [(0, 1)])
    expected = stats.pearsonr(*scores).confidence_interval(0.95)
    assert (pair.correlation_low, pair.correlation_high) == pytest.approx((expected.low, expected.high))
    assert pair.correlation == pytest.approx(stats.pearsonr(*scores).statistic)


def test_correlation_of_few_or_equal_scores_is_not_invented() -> None:
    (two,) = compare_pairs(noisy(np.random.default_rng(8), [0.43, 0.40], 2), [(0, 1)])
    (three,) = compare_pairs(noisy(np.random.default_rng(8), [0.43, 0.40], 3), [(0, 1)])
    (equal,) = compare_pairs([[0.4, 0.4, 0.4, 0.4], [0.41, 0.42, 0.44, 0.39]], [(0, 1)])
    assert (two.correlation, equal.correlation) == (None, None)
    assert three.correlation is not None
    assert three.correlation_low is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.sampled_from([3, 5, 11]), spread=st.sampled_from([0.0, 0.03, 0.2]))
def test_a_claim_never_contradicts_the_interval_beside_it(seed: int, n: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    scores = holed(rng, noisy(rng, rng.normal(0.4, spread, 5), n))
    for pair in compare_pairs(scores, list(combinations(range(5), 2))):
        if pair.used == "none":
            assert (pair.claim, pair.low, pair.p_holm) == ("undecided", None, None)
            continue
        assert pair.low is not None
        assert pair.high is not None
        assert pair.p_holm is not None
        excludes_zero = pair.low > 0 or pair.high < 0
        assert excludes_zero == (pair.claim != "undecided") == (pair.p_holm < 0.05)
        if excludes_zero:
            assert pair.claim == ("better" if pair.low > 0 else "worse")
        assert (pair.more_seeds is None) or pair.claim == "undecided"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_turning_a_pair_around_turns_the_answer_around(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = holed(rng, noisy(rng, [0.4, 0.45, 0.42], 4))
    pairs = [(0, 1), (1, 2), (2, 0)]
    for one, turned in zip(
        compare_pairs(scores, pairs), compare_pairs(scores, [(b, a) for a, b in pairs]), strict=True
    ):
        assert turned.estimate == pytest.approx(-one.estimate, nan_ok=True)
        assert turned.p_holm == pytest.approx(one.p_holm)
        assert turned.low == (None if one.high is None else pytest.approx(-one.high))
        assert {one.claim, turned.claim} in ({"undecided"}, {"better", "worse"})


@settings(max_examples=15, deadline=None)  # statsmodels collects garbage on every call
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12), extra=st.integers(0, 5))
def test_holm_agrees_with_statsmodels(p: list[float], extra: int) -> None:
    from statsmodels.stats.multitest import multipletests

    expected = multipletests([*p, *[1.0] * extra], method="holm")[1][: len(p)]
    np.testing.assert_allclose(holm(p, len(p) + extra)[0], expected, rtol=1e-9)


def test_a_larger_family_is_harder_to_convince() -> None:
    scores = noisy(np.random.default_rng(9), [0.45, 0.40], 5)
    (alone,), (of_many,) = compare_pairs(scores, [(0, 1)]), compare_pairs(scores, [(0, 1)], family=45)
    assert of_many.p == alone.p
    assert of_many.p_holm == pytest.approx(min(45 * (alone.p or 0), 1))
    assert (of_many.low or 0) < (alone.low or 0)


@pytest.mark.parametrize(
    "scores",
    [
        [[0.4], [0.5]],  # one seed each
        [[0.4, 0.41, 0.43], [0.5, 0.51, 0.53]],  # differing by exactly the same on every seed
        [[np.nan, np.nan], [0.5, 0.4]],
    ],
)
def test_unknown_noise_claims_nothing(scores: list[list[float]]) -> None:
    (pair,) = compare_pairs(scores, [(1, 0)])
    assert (pair.used, pair.claim, pair.p, pair.low, pair.more_seeds) == (
        "none",
        "undecided",
        None,
        None,
        None,
    )


def test_configs_that_share_no_chain_of_seeds_do_not_spoil_a_pair() -> None:
    """Noise is pooled over the configs that are connected with the pair by shared seeds."""
    scores = np.full((4, 8), np.nan)
    rng = np.random.default_rng(10)
    scores[:2, :4], scores[2:, 4:] = noisy(rng, [0.4, 0.45], 4), noisy(rng, [0.4, 0.45], 4, shared=0.5)
    alone, within = compare_pairs(scores[:2], [(0, 1)])[0], compare_pairs(scores, [(0, 1)])[0]
    assert within.pooled == alone.pooled
    assert within.used == "pooled"


def test_more_seeds_are_those_of_the_plan_for_the_difference_of_interest() -> None:
    scores = noisy(np.random.default_rng(12), [0.400, 0.401, 0.4], 4)
    (pair,) = compare_pairs(scores, [(0, 1)], difference=0.02, family=3)
    seeds = seeds_needed(0.02, fit_blocks(scores).noise.sd, configs=3, comparisons=3)
    assert pair.claim == "undecided"
    assert seeds is not None
    assert pair.more_seeds == max(seeds - 4, 1)
    assert pair.difference == 0.02


def test_a_pair_must_be_two_rows() -> None:
    with pytest.raises(ValueError, match=r"two different rows of 0 to 1, not \(0, 0\), \(0, 2\)"):
        compare_pairs(np.zeros((2, 3)), [(0, 0), (0, 1), (0, 2)])


def test_no_pair_has_no_answer() -> None:
    assert compare_pairs(np.zeros((2, 3)), []) == ()


@pytest.mark.parametrize(
    ("means", "n"), [([0.4, 0.4, 0.4, 0.4], 3), ([0.4, 0.4, 0.4, 0.4], OWN_PAIRS), ([0.4, 0.4, 0.43, 0.6], 3)]
)
def test_a_wrong_claim_among_all_pairs_is_rare(means: list[float], n: int) -> None:
    """Calling equal configs different, or the worse one better: at most 5 % of the time, + 4 standard errors."""
    rng = np.random.default_rng(17)
    pairs, truth, wrong, runs = list(combinations(range(4), 2)), np.array(means), 0, 300
    for _ in range(runs):
        found = compare_pairs(noisy(rng, means, n), pairs, difference=1.0)
        wrong += any(
            pair.claim != "undecided"
            and np.sign(pair.estimate) != np.sign(truth[pair.first] - truth[pair.second])
            for pair in found
        )
    assert 0 < wrong / runs < 0.05 + 4 * np.sqrt(0.05 * 0.95 / runs)


def test_an_injected_difference_is_found() -> None:
    rng = np.random.default_rng(19)
    claims = [compare_pairs(noisy(rng, [0.5, 0.4, 0.4], 4), [(0, 1), (2, 0)]) for _ in range(30)]
    assert {(a.claim, b.claim) for a, b in claims} == {("better", "worse")}


def test_the_within_noise_is_not_what_pairs_are_judged_by() -> None:
    scores = noisy(np.random.default_rng(20), [0.43, 0.40, 0.41], 5, shared=0.1)
    (pair,) = compare_pairs(scores, [(0, 1)])
    assert pair.pooled is not None
    assert pair.unpaired is not None
    assert pair.unpaired.error == pytest.approx(pooled_noise(scores).sd * np.sqrt(2 / 5))
    assert pair.pooled.error < pair.unpaired.error / 2
