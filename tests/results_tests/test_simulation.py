"""What the statistics say, against simulated scores whose truth is known. Larger: tests/benchmarks/sim_statistics.py.

Bounds are the promise itself (95 % means 93.5 to 96.5), and the sizes make the standard error of what is compared a
third of the margin or less, so that a pass is not luck. Seeds are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
from simulated_scores import (
    INTERVALS,
    Problem,
    Seeds,
    Share,
    calibration,
    called_better,
    covered,
    crowded_truth,
    equal_truth,
    normal_truth,
    problems,
    ranked,
)

from results import Claim, judge
from results.statistics.blocks import config_means, fit_blocks
from results.statistics.probability import probability_best
from results.statistics.shrinkage import confirmed_mean, expected_scores
from results.statistics.variances import noise_of_means


def coverage(name: str, replicates: int, *, seeds: Seeds, configs: int = 8, count: int = 500) -> Share:
    """Share of the config means inside their intervals."""
    made = problems(count, configs, replicates, truth=normal_truth(0.02), seeds=seeds, seed=41)
    shares = [covered(INTERVALS[name](p.scores, rng), p.truth).mean() for p, rng in made]
    return Share.of([float(share) for share in shares])


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("replicates", [3, 5, 10])
@pytest.mark.parametrize(("name", "configs"), [("pooled t", 8), ("pooled t, shared", 8), ("posterior", 12)])
def test_intervals_of_means_cover_what_they_say(
    name: str, configs: int, replicates: int, skewed: bool
) -> None:
    found = coverage(name, replicates, seeds=Seeds(skewed=skewed), configs=configs)
    assert found.error < 0.005
    assert 0.935 < found.mean < 0.965


def test_what_is_usually_printed_covers_less() -> None:
    """The reason for pooling: own-sd t intervals fail under skewed noise, the percentile bootstrap always does."""
    assert coverage("own-sd t", 3, seeds=Seeds(skewed=True)).mean < 0.935
    assert coverage("bootstrap", 3, seeds=Seeds(), count=100).mean < 0.80


def test_shared_seeds_are_allowed_for() -> None:
    """Half of the variance is the seeds' and common to all configs: the pooled df then promise too much."""
    seeds = Seeds(shared=0.5)
    assert coverage("pooled t", 3, seeds=seeds).mean < 0.935
    assert 0.935 < coverage("pooled t, shared", 3, seeds=seeds).mean < 0.965
    assert coverage("posterior", 3, seeds=seeds).mean > 0.92


@pytest.mark.parametrize(
    "seeds", [Seeds(), Seeds(shared=0.5), Seeds(skewed=True), Seeds(shared=0.5, skewed=True)]
)
@pytest.mark.parametrize(("configs", "replicates"), [(3, 3), (8, 3), (16, 5)])
def test_equal_configs_are_called_better_at_most_alpha_of_the_time(
    configs: int, replicates: int, seeds: Seeds
) -> None:
    """Over the family, the best picked after looking: 5 % + 3 standard errors of 1500 problems."""
    made = problems(1500, configs, replicates, truth=equal_truth, seeds=seeds, seed=43)
    found = Share.of([float(called_better(fit_blocks(p.scores))) for p, _ in made])
    assert 0 < found.mean < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)


def test_the_verdict_claims_what_the_simulation_counts() -> None:
    """The whole path from recorded rows to the claim, on problems with and without a difference."""
    claims = []
    for truth in (equal_truth, normal_truth(0.05)):
        for p, _ in problems(6, 5, 3, truth=truth, seeds=Seeds(shared=0.3), seed=47):
            verdict = judge(ranked(p.scores))
            better = any(comparison.claim == "better" for comparison in verdict.comparisons)
            assert better == called_better(fit_blocks(p.scores))
            assert (verdict.claim is Claim.ONE_BEST) == all(c.claim == "better" for c in verdict.comparisons)
            claims.append(better)
    assert 0 < sum(claims[6:]) <= 6
    assert sum(claims[:6]) < 3


@pytest.mark.slow
def test_stated_probabilities_come_true() -> None:
    """P(best) and P(within 0.005 of the best) in ten bins each, every bin within 0.05 of its frequency.

    True means are normal; as nobody knows the spread of a search beforehand, it varies between a quarter of the seed
    sd and one and a half times it.
    """
    seeds, truth = Seeds(0.03, shared=0.3), normal_truth(0.0075, 0.045)
    best, is_best, near, is_near = [], [], [], []
    for p, rng in problems(7000, 8, 3, truth=truth, seeds=seeds, seed=53):
        found = probability_best(fit_blocks(p.scores), rng=rng, draws=1000, tolerance=0.005)
        best.append(found.best)
        near.append(found.near)
        is_best.append(p.truth == p.truth.max())
        is_near.append(p.truth >= p.truth.max() - 0.005)
    for bins in (calibration(best, is_best), calibration(near, is_near)):
        assert len(bins) == 10
        assert max(b.error for b in bins) < 0.02
        assert [b for b in bins if abs(b.observed - b.stated) > 0.05] == []


def winner(p: Problem) -> int:
    return int(np.argmax(fit_blocks(p.scores).effects))


@pytest.mark.parametrize(("configs", "sd"), [(16, 0.03), (64, 0.018), (64, 0.05)])
def test_fresh_seeds_undo_the_winners_curse(configs: int, sd: float) -> None:
    """Bias of the confirmed mean below 0.002 where the best run of the sweep flatters by more than 0.03.

    Truths crowd below a ceiling and one config in eight is a dud, with three seeds each and five fresh ones.
    """
    naive, expected, confirmed, inside = [], [], [], []
    for p, rng in problems(1200, configs, 3, truth=crowded_truth(), seeds=Seeds(sd, shared=0.3), seed=59):
        best, seeds = winner(p), Seeds(sd)
        top = int(np.argmax(p.scores)) // 3
        naive.append(float(p.scores.max() - p.truth[top]))
        fresh = seeds.scores(rng, p.truth[[best]], p.sds[[best]], 5)[0]
        found = confirmed_mean(fresh, noise_of_means(p.scores))
        confirmed.append(found.mean - float(p.truth[best]))
        inside.append(float(found.low <= p.truth[best] <= found.high))
        if len(expected) < 200:
            said = expected_scores(p.scores, rng=rng, draws=1000).means[best]
            expected.append(float(config_means(p.scores)[0][best] - said))
    assert Share.of(naive).mean > 0.03
    assert Share.of(confirmed).error < 0.0007
    assert abs(Share.of(confirmed).mean) < 0.002
    assert 0.93 < Share.of(inside).mean < 0.97
    assert Share.of(expected).mean > 0.005  # the posterior takes off a part without any fresh seed


def test_the_posterior_mean_of_the_winner_is_honest_where_the_plain_one_flatters() -> None:
    plain, posterior, inside = [], [], []
    for p, rng in problems(500, 12, 3, truth=normal_truth(0.015), seeds=Seeds(0.02, shared=0.3), seed=61):
        best = winner(p)
        found = expected_scores(p.scores, rng=rng, draws=1000)
        plain.append(float(config_means(p.scores)[0][best] - p.truth[best]))
        posterior.append(float(found.means[best] - p.truth[best]))
        inside.append(float(found.low[best] <= p.truth[best] <= found.high[best]))
    assert Share.of(plain).mean > 0.005
    assert abs(Share.of(posterior).mean) < 0.002
    assert Share.of(inside).mean > 0.92
