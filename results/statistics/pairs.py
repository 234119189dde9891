"""Named configs against each other, pair by pair on shared seeds, whether named before or after looking.

Pure functions of a matrix of scores, as in `blocks.py` (higher is better, NaN = no score). Pairs that were named
before looking are a family of their own. Whoever picks a pair because of its scores must hand over all pairs of
the set, or state the size of that family. The verdict's question, which config is best, is answered by
`blocks.tukey_kramer`, not here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csgraph

from results.statistics.blocks import Floats, Mask, Noise, as_scores, config_means, fit_blocks, pooled_noise
from results.statistics.differences import (
    Difference,
    correlation,
    from_noise,
    holm,
    t_interval,
    unpaired_difference,
)
from results.statistics.power import seeds_needed

#: with at least this many pairs a comparison rests on its own pairs alone; see `compare_pairs`.
OWN_PAIRS = 10


@dataclass(frozen=True)
class PairComparison:
    """Two configs, first minus second; a positive difference means that the first is better.

    Attributes:
        first, second: row numbers of the scores.
        n_first, n_second, n_shared: scores of each, and replicates on which both have one.
        own: from the shared replicates, with the variance of their differences only; None with fewer than two of
            them, or when all differences are the same.
        pooled: from the shared replicates, with the residual variance of all configs; None when that is unknown.
        unpaired: what a comparison that ignores the seeds would give, from all scores of the two.
        used: ``own``, ``pooled`` or ``unpaired``: which of them is judged; ``none`` when the noise is unknown,
            ``single`` when one of the two has the single run for which a search has left it.
        estimate: the difference judged; NaN when a config has no score.
        p, p_holm: two-sided p of the difference judged, and adjusted by Holm over the family; None = unknown.
        low, high, level: the interval that belongs to `claim`, and the level at which it holds for this pair:
            Holm's procedure tested the pair at 1 - level. It excludes zero if and only if the claim is not
            ``undecided``. None = unknown noise.
        claim: ``better`` or ``worse`` (the first than the second), or ``undecided``.
        correlation, correlation_low, correlation_high: of the two configs' scores over the shared replicates, from
            three of them on, with its interval from four on; None otherwise.
        variance_ratio: variance of the unpaired difference over that of the paired one judged: 2 means that the
            pairing was worth as much as twice the seeds; below 1 it cost. None when not paired.
        difference: the true difference that `more_seeds` is about; None when there is none.
        more_seeds: about how many more shared replicates would show it; None when the claim is made already,
            nothing can be said, or the number is beyond reason.
    """

    first: int
    second: int
    n_first: int
    n_second: int
    n_shared: int
    own: Difference | None
    pooled: Difference | None
    unpaired: Difference | None
    used: str
    estimate: float
    p: float | None
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None
    variance_ratio: float | None
    p_holm: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    claim: str = "undecided"
    difference: float | None = None
    more_seeds: int | None = None


def compare_pairs(
    scores: npt.ArrayLike,
    pairs: Sequence[tuple[int, int]],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    difference: float | None = None,
    family: int | None = None,
) -> tuple[PairComparison, ...]:
    """Compare pairs of configs with the family-wise error rate held by Holm's procedure.

    Each pair is judged by the mean difference over its shared replicates. Its variance is that of its own
    differences from `OWN_PAIRS` shared replicates on (nothing is then assumed about other configs); with fewer,
    the residual variance of `fit_blocks`, pooled over all configs that share a chain of replicates with the pair
    (one variance for all is assumed, and a dozen degrees of freedom won). Which one depends on how many runs
    there are, never on their scores. A pair without a shared replicate, and one whose replicates allow no block
    fit, is compared unpaired (`used` says so): Welch's test when both have `OWN_PAIRS` scores, the pooled
    standard deviation between seeds otherwise.

    Holm (1979), Scand. J. Statist. 6:65-70: the i-th smallest p of m is tested at alpha / (m - i + 1), up to the
    first that fails. Directional claims are covered too when the statistics are independent (Shaffer 1980, Ann.
    Statist. 8:1342-1347), and in simulation when they share configs. The interval beside a claim is the t
    interval at the level at which Holm tested the pair; for those that failed, that of the first failure
    (Serlin 1993, J. Exp. Educ. 61:350-360). So claim and interval always agree. That all the intervals hold
    together is not promised; that all the claims do, is, with probability 1 - alpha.

    Args:
        scores: (n_configs, n_replicates); all configs of the sweep, because they carry the pooled variance.
        pairs: row numbers, named without looking at the scores, or all pairs of a set so named; others need `family`.
        alpha: family-wise error rate.
        power: for `more_seeds`.
        difference: a true difference of interest, in the unit of the metric; None = the one seen.
        family: number of comparisons that Holm counts, at least ``len(pairs)`` (the default). Pairs that were
            picked after a look at k configs need k (k - 1) / 2.

    Returns:
        In the order of `pairs`.

    Raises:
        ValueError: the scores are not a matrix, or a pair is not two different rows of it.
    """
    matrix, mask = as_scores(scores)
    _check(pairs, len(matrix))
    size = max(family or 0, len(pairs))
    noises = _Noises.of(matrix, mask)
    drafts = [_draft(matrix, mask, pair, noises, alpha) for pair in pairs]
    adjusted, left = holm([draft.p for draft in drafts], size)
    shown = adjusted < alpha
    levels = 1 - alpha / np.where(shown, left, size - shown.sum())
    return tuple(
        _judged(draft, (float(p), float(level)), alpha=alpha, power=power, difference=difference, family=size)
        for draft, p, level in zip(drafts, adjusted, levels, strict=True)
    )


def _check(pairs: Sequence[tuple[int, int]], n: int) -> None:
    wrong = [pair for pair in pairs if pair[0] == pair[1] or not all(0 <= i < n for i in pair)]
    if wrong:
        raise ValueError(
            f"a pair must be two different rows of 0 to {n - 1}, not {', '.join(map(str, wrong))}"
        )


@dataclass(frozen=True)
class _Noises:
    """What all configs together say about the noise.

    Attributes:
        chain: (n_configs,) number of the chain of shared replicates that a config belongs to.
        residual: chain -> residual noise of its block fit; absent where replicate effects cannot be fitted.
        within: between seeds of one config, pooled over all.
    """

    chain: npt.NDArray[np.int32]
    residual: Mapping[int, Noise]
    within: Noise

    @classmethod
    def of(cls, matrix: Floats, mask: Mask) -> _Noises:
        counts = mask.astype(np.int64)
        n_chains, chain = csgraph.connected_components(counts @ counts.T, directed=False)
        fits = {i: fit_blocks(matrix[chain == i]) for i in range(n_chains)}
        return cls(chain, {i: fit.noise for i, fit in fits.items() if fit.blocked}, pooled_noise(matrix))


def _draft(
    matrix: Floats, mask: Mask, pair: tuple[int, int], noises: _Noises, alpha: float
) -> PairComparison:
    """Everything about a pair that does not depend on the other pairs."""
    first, second = pair
    shared = mask[first] & mask[second]
    n, counts = int(shared.sum()), [int(mask[i].sum()) for i in pair]
    both = matrix[list(pair)][:, shared]
    delta = float((both[0] - both[1]).mean()) if n else math.nan
    residual = noises.residual.get(int(noises.chain[first])) if n else None
    own = from_noise(delta, fit_blocks(both).noise, 2 / n, alpha=alpha) if n > 1 else None
    pooled = from_noise(delta, residual, 2 / n, alpha=alpha) if residual else None
    unpaired = unpaired_difference(matrix[list(pair)], noises.within, OWN_PAIRS, alpha=alpha)
    used = ("own" if n >= OWN_PAIRS else "pooled") if residual else "unpaired"
    judged = {"own": own, "pooled": pooled, "unpaired": unpaired}[used]
    r, r_low, r_high = correlation(both, alpha=alpha)
    means = config_means(matrix[list(pair)])[0]
    return PairComparison(
        first=first,
        second=second,
        n_first=counts[0],
        n_second=counts[1],
        n_shared=n,
        own=own,
        pooled=pooled,
        unpaired=unpaired,
        used=used if judged else "none",
        estimate=delta if residual else float(means[0] - means[1]),
        p=judged.p if judged else None,
        correlation=r,
        correlation_low=r_low,
        correlation_high=r_high,
        variance_ratio=(unpaired.error / judged.error) ** 2 if residual and judged and unpaired else None,
    )


def _judged(
    draft: PairComparison,
    holm: tuple[float, float],
    *,
    alpha: float,
    power: float,
    difference: float | None,
    family: int,
) -> PairComparison:
    """Add what follows from Holm's procedure: claim, its interval, and the seeds that are wanting."""
    judged = {"own": draft.own, "pooled": draft.pooled, "unpaired": draft.unpaired}.get(draft.used)
    if judged is None:
        return draft
    p_holm, level = holm
    shown = p_holm < alpha
    wide = t_interval(judged.estimate, judged.error, judged.df, alpha=1 - level)
    wanted = abs(judged.estimate if difference is None else difference)
    counts = (draft.n_first, draft.n_second) if draft.used == "unpaired" else (draft.n_shared,) * 2
    sd, n = judged.error / math.sqrt(1 / counts[0] + 1 / counts[1]), min(counts)
    configs = max(2, round(judged.df / (n - 1)) + 1) if n > 1 else 2  # as many as the df come from
    plan = {"configs": configs, "comparisons": family}
    seeds = None if shown else seeds_needed(wanted, sd, alpha=alpha, power=power, **plan)
    return replace(
        draft,
        p_holm=p_holm,
        low=wide.low,
        high=wide.high,
        level=level,
        claim=("better" if judged.estimate > 0 else "worse") if shown else "undecided",
        difference=wanted or None,
        more_seeds=max(seeds - n, 1) if seeds else None,
    )
