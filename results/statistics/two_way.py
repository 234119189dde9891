"""Seeds and validation patches together: the interval of a score, or of a difference, over both.

Pure functions. The seed part comes from the scores (`blocks.py`, `pairs.py`), the patch part from the
bootstrap over patches (`patch_noise.py`). Nothing is claimed here: claims are about the validation set at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from results.statistics.blocks import Floats, Noise
from results.statistics.differences import t_interval
from results.statistics.pairs import PairComparison
from results.statistics.patch_noise import PatchBootstrap, Units, patch_noise


@dataclass(frozen=True)
class TwoWay:
    """A mean or a difference with its two sources of uncertainty, in the unit of the metric.

    Attributes:
        estimate: the mean over runs, or the first config minus the second.
        seed_error, seed_df: standard error from the seeds, on these validation patches.
        patch_error, patch_df: standard error from the patches, for these trained runs.
        common: what both of them contain, the seed-by-patch interaction, as a standard error; taken off once. 0
            when it cannot be told apart (one run) or none was found.
        error, df: of both sources together.
        low, high: t interval over new seeds and new validation patches.
        n_runs, n_patches: what it rests on.
    """

    estimate: float
    seed_error: float
    seed_df: float
    patch_error: float
    patch_df: float
    common: float
    error: float
    df: float
    low: float
    high: float
    n_runs: int
    n_patches: int


def two_way_mean(
    bootstrap: PatchBootstrap, config: int, noise: Noise, *, alpha: float = 0.05
) -> TwoWay | None:
    """The mean of a config over new seeds and new validation patches.

    Model: score of run j on a validation set = mu + seed_j + patches + interaction_j, the last one being how that
    seed's model does on just these patches; variances S, P and I for the whole set. The variance of the
    mean of n runs is ``(S + I) / n + P``. The scores' spread over seeds estimates S + I, so that its part
    is ``(S + I) / n``. The bootstrap over patches of the mean gives ``P + I / n``: the interaction is in both, and
    their sum would count it twice (as in Owen 2007, Ann. Appl. Statist. 1:386-411, where resampling both ways counts
    it three times). The covariance of different runs over resampled patches is P alone, which takes ``I / n`` off
    once. Degrees of freedom by Satterthwaite (1946), Biometrics Bull. 2:110-114. With one run I / n cannot
    be told apart and stays in twice: too wide, never too narrow.

    Args:
        bootstrap: from `bootstrap_patches`.
        config: its row.
        noise: between seeds of one config, e.g. `pooled_noise` over all configs.
        alpha: one minus the coverage.

    Returns:
        None when the config has no run or the noise is unknown.
    """
    units = bootstrap.mean_of(config)
    if not noise.known or not len(units.point):
        return None
    return _combined([(1, units)], noise.sd / math.sqrt(len(units.point)), noise.df, alpha)


def two_way_difference(
    bootstrap: PatchBootstrap, pair: PairComparison, *, alpha: float = 0.05
) -> TwoWay | None:
    """The difference of two configs over new seeds and new validation patches; see `two_way_mean`.

    Paired comparisons are taken on the shared replicates: with both the seed and the patches in common, P is what
    remains of the patches when two configs are compared on the same ones, often little, and the interaction much.

    Args:
        bootstrap: its rows are those of the scores that `pair` was judged from.
        pair: from `pairs.compare_pairs`; its seed part is the one judged there.
        alpha: one minus the coverage of this one interval; several are not corrected for.

    Returns:
        None when the seed noise is unknown.
    """
    judged = {"own": pair.own, "pooled": pair.pooled, "unpaired": pair.unpaired}.get(pair.used)
    if judged is None:
        return None
    if pair.used == "unpaired":
        parts = [(1, bootstrap.mean_of(pair.first)), (-1, bootstrap.mean_of(pair.second))]
    else:
        parts = [(1, bootstrap.difference_of(pair.first, pair.second))]
    if not all(len(units.point) for _, units in parts):
        return None
    return _combined(parts, judged.error, judged.df, alpha)


def _combined(
    parts: list[tuple[int, Units]], seed_error: float, seed_df: float, alpha: float
) -> TwoWay | None:
    """Signed sum of means over runs: variances add, less what is in both."""
    whole = Units(*(_total(parts, name) for name in ("point", "resampled", "left_out")))
    patches = patch_noise(whole, alpha=alpha)
    assert patches is not None, "every part has a run"
    # It is in both parts, so it cannot be larger than the smaller one, whatever its own estimate says.
    common = min(sum(_interaction(units) for _, units in parts), patches.sd**2, seed_error**2)
    variances = np.array([seed_error**2, patches.sd**2 - common])
    df = float(variances.sum() ** 2 / (variances**2 / [seed_df, patches.df]).sum())
    error = float(np.sqrt(variances.sum()))
    interval = t_interval(patches.estimate, error, df, alpha=alpha)
    return TwoWay(
        estimate=patches.estimate,
        seed_error=seed_error,
        seed_df=seed_df,
        patch_error=patches.sd,
        patch_df=patches.df,
        common=math.sqrt(common),
        error=error,
        df=df,
        low=interval.low,
        high=interval.high,
        n_runs=sum(len(units.point) for _, units in parts),
        n_patches=patches.n_patches,
    )


def _total(parts: list[tuple[int, Units]], name: str) -> Floats:
    """(..., 1): the parts' means over runs, added with their signs."""
    return np.asarray(sum(sign * getattr(units, name).mean(axis=-1, keepdims=True) for sign, units in parts))


def _interaction(units: Units) -> float:
    """I / n: the variance of the mean over runs less the covariance of different runs, over resampled patches."""
    n = len(units.point)
    if n < 2:
        return 0.0
    covariance = np.cov(units.resampled, rowvar=False)
    own = float(np.trace(covariance)) / n
    between = (float(covariance.sum()) - own * n) / (n * (n - 1))
    patches = len(units.left_out)
    return max(own - between, 0.0) / n * patches / (patches - 1)
