"""Pairs of configs say what the verdict says, unless they were named before anybody looked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from results import ResultsError, ResultsStore, RunStatus, compare, judge, rank_store
from results.statistics.blocks import critical_value

MakeRun = Callable[..., Path]


@pytest.mark.parametrize("seed", range(12))
def test_a_pair_with_the_best_has_the_interval_and_the_claim_of_the_verdict(
    make_run_dir: MakeRun, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.4, 0.02, (5, 1)) + rng.normal(0, 0.01, (1, 4)) + rng.normal(0, 0.012, (5, 4))
    scores[rng.random(scores.shape) < 0.1] = np.nan
    endings = {(4, 0): RunStatus.STOPPED}
    ranking = rank_store(ResultsStore.read(make_run_dir(scores, endings=endings)))
    verdict = judge(ranking)
    found = {
        frozenset((item.first.config_id, item.second.config_id)): item for item in compare(ranking).pairs
    }
    for other in verdict.comparisons:
        item = found[frozenset((str(verdict.best), other.config_id))]
        sign = 1 if item.first.config_id == verdict.best else -1
        ends = sorted((sign * item.pair.low, sign * item.pair.high))
        assert sign * item.pair.estimate == pytest.approx(other.estimate)
        assert ends == pytest.approx([other.low, other.high])
        assert (item.pair.claim != "undecided") == (other.claim == "better")
        assert item.pair.p_holm is not None
        assert (item.pair.p_holm < ranking.alpha) == (item.pair.claim != "undecided")


def test_the_family_is_all_configs_that_were_started_also_those_that_were_stopped(
    make_run_dir: MakeRun,
) -> None:
    scores = 0.4 + np.random.default_rng(1).normal(0, 0.01, (6, 3))
    endings = {(i, 0): RunStatus.STOPPED for i in range(2, 6)}
    ranking = rank_store(ResultsStore.read(make_run_dir(scores, endings=endings)))
    found = compare(ranking)
    assert (found.family, len(found.pairs)) == (6, 1)
    assert "6 configs started" in found.correction
    (item,) = found.pairs
    pooled = item.pair.pooled
    assert pooled is not None
    half = critical_value(6, pooled.df, 0.05) * pooled.error
    assert item.pair.high == pytest.approx(item.pair.estimate + half)


def test_pairs_named_before_are_held_to_their_own_number(make_run_dir: MakeRun) -> None:
    scores = np.array([0.45, 0.43, 0.41])[:, None] + np.random.default_rng(3).normal(0, 0.004, (3, 4))
    ranking = rank_store(ResultsStore.read(make_run_dir(scores)))
    before, after = compare(ranking, ["c0", "c1"], named_before=True), compare(ranking, ["c0", "c1"])
    assert before.correction == "Holm over 1 comparison named before looking"
    one, other = before.pairs[0].pair, after.pairs[0].pair
    assert one.low is not None
    assert other.low is not None
    assert one.low > other.low
    assert one.p_holm == one.p


def test_unknown_noise_gives_no_interval_and_too_few_configs_an_error(make_run_dir: MakeRun) -> None:
    (item,) = compare(rank_store(ResultsStore.read(make_run_dir([[0.4], [0.5]])))).pairs
    assert (item.pair.used, item.pair.low, item.pair.claim) == ("none", None, "undecided")
    with pytest.raises(ResultsError, match="fewer than two configs"):
        compare(rank_store(ResultsStore.read(make_run_dir([[0.4, 0.5]]))))
