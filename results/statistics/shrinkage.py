"""What a config chosen for its high score will really score: shrunken, posterior and confirmed means.

The largest of many noisy means is too high on average (the winner's curse). Shrinking every mean towards
their common centre, by as much as the noise explains of their spread, removes most of it - not all: fresh
seeds for the chosen config do. Pure functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from results.statistics.blocks import (
    BlockFit,
    Floats,
    Noise,
    fit_blocks,
    mean_intervals,
    pooled_noise,
)
from results.statistics.hierarchy import draw_means


@dataclass(frozen=True)
class Shrunken:
    """Means drawn towards each other.

    Attributes:
        means: (n_configs,) shrunken means, in the unit of the metric; NaN where the input is.
        low, high: (n_configs,) interval ends; NaN when the noise is unknown.
        spread: estimated standard deviation of the true config means.
        shrunk: False when there are fewer than two configs or the noise is unknown: then `means` are the plain ones.
    """

    means: Floats
    low: Floats
    high: Floats
    spread: float
    shrunk: bool


def expected_scores(
    scores: npt.ArrayLike, *, rng: np.random.Generator, alpha: float = 0.05, draws: int = 10_000
) -> Shrunken:
    """What each config will score with new seeds: posterior mean and interval, shared seeds allowed for.

    Draws of `hierarchy.draw_means` say how far the configs differ; means and intervals are theirs. What the seeds at
    hand did to all configs alike shrinks nothing but widens the intervals (`_luck`). Works from two configs on; a
    single one keeps its mean and gets its t interval.

    Args:
        scores: (n_configs, n_replicates) as in `blocks.py`, higher is better.
        rng: the only source of chance; it moves the end of an interval by about a hundredth of the width.
        alpha: one minus the probability of each interval, one config at a time.
        draws: posterior draws.
    """
    fit = fit_blocks(scores, alpha=alpha)
    known = np.isfinite(fit.effects)
    if known.sum() < 2:
        low, high = mean_intervals(scores, alpha=alpha).T
        return Shrunken(fit.effects.copy(), low, high, float("nan"), False)
    unknown = np.full(len(known), np.nan)
    drawn = draw_means(fit, rng=rng, draws=draws)
    if drawn is None:
        return Shrunken(fit.effects.copy(), unknown, unknown.copy(), float("nan"), False)
    means, low, high = unknown.copy(), unknown.copy(), unknown.copy()
    means[known] = drawn.means.mean(axis=0)
    ends = np.quantile(drawn.means, [alpha / 2, 1 - alpha / 2], axis=0)
    wider = _luck(pooled_noise(scores, alpha=alpha), fit, (ends[1] - ends[0]) / 2, alpha)
    low[known], high[known] = means[known] + wider * (ends - means[known])
    return Shrunken(means, low, high, float(np.median(drawn.spread)), True)


def _luck(within: Noise, fit: BlockFit, half: Floats, alpha: float) -> Floats:
    """By how much intervals of this half width grow when the luck of the shared seeds is added, (n_known,).

    With MS_r and MS_e the mean squares of replicates and residual, the replicates' mean effect has variance
    ``(MS_r - MS_e) / n`` over n scores in all (incomplete data: the balanced number with the same df). It joins the
    variance behind `half`, and Satterthwaite (1946, Biometrics 2:110-114) gives the sum its df. Nothing when MS_r
    is not the larger one.
    """
    if not fit.blocked:
        return np.ones(len(half))
    df, df_replicates = fit.noise.df, within.df - fit.noise.df
    n = within.df * (df_replicates + 1) / df_replicates
    residual = fit.noise.sd**2 / n
    replicates = (within.sd**2 * within.df - fit.noise.sd**2 * df) / df_replicates / n
    if replicates <= residual:
        return np.ones(len(half))
    own = np.maximum((half / stats.t.ppf(1 - alpha / 2, df)) ** 2 - residual, 0.0)
    total = own + replicates
    joint = total**2 / (own**2 / df + replicates**2 / df_replicates)
    return np.asarray(stats.t.ppf(1 - alpha / 2, joint) * np.sqrt(total) / half)


@dataclass(frozen=True)
class ConfirmedMean:
    """Mean of fresh replicates of one config, with its t interval.

    Attributes:
        mean: in the unit of the metric; NaN without a score.
        low, high: interval ends; NaN when the noise is unknown.
        n, n_failed: replicates with and without a score.
        sd, df: what the interval rests on.
    """

    mean: float
    low: float
    high: float
    n: int
    n_failed: int
    sd: float
    df: int


def confirmed_mean(values: npt.ArrayLike, noise: Noise, *, alpha: float = 0.05) -> ConfirmedMean:
    """Estimate a chosen config's score from replicates that took no part in choosing it.

    Unbiased, whatever the choice was based on, as long as the number of fresh replicates was not decided by their
    scores. The variance pools their sum of squares with that of the screening, the degrees of freedom add up, so
    that one replicate is enough for an interval. It assumes that this noise is the chosen config's.

    Args:
        values: (n,) scores of the fresh replicates; NaN = failed, counted and left out.
        noise: between seeds of one config, from the screening: `variances.noise_of_config`; unknown is allowed.
        alpha: one minus the coverage.

    Raises:
        ValueError: values are not one-dimensional.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"values must have shape (n_replicates,), not {scores.shape}")
    fresh = scores[np.isfinite(scores)]
    n, failed = len(fresh), len(scores) - len(fresh)
    own = pooled_noise(fresh[None, :], alpha=alpha)
    squares = sum(part.sd**2 * part.df for part in (own, noise) if part.known)
    df = sum(part.df for part in (own, noise) if part.known)
    mean = float(fresh.mean()) if n else float("nan")
    if not (n and df):
        return ConfirmedMean(mean, float("nan"), float("nan"), n, failed, float("nan"), 0)
    sd = float(np.sqrt(squares / df))
    half = float(stats.t.ppf(1 - alpha / 2, df)) * sd / float(np.sqrt(n))
    return ConfirmedMean(mean, mean - half, mean + half, n, failed, sd, df)
