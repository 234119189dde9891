"""The seed noise of each config: moderated standard deviations, and whether all configs share one.

Pure functions of a matrix of scores as in `blocks.py`. Three seeds say very little about one config's sd, and
all configs together say nothing about the one that is special; the hierarchical estimate stands between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from results.statistics.blocks import (
    Floats,
    Noise,
    as_scores,
    config_sds,
    fit_blocks,
    noise_from,
    pooled_noise,
)

#: variances below this share of the pooled one are raised to it before logarithms are taken (limma: 1e-5 too).
_SMALLEST = 1e-5
#: from this many scores per config on, Brown and Forsythe's test can find something.
_ENOUGH_FOR_MEDIANS = 10


@dataclass(frozen=True)
class ModeratedNoise:
    """Standard deviation between seeds, config by config.

    Everything is NaN when the pooled noise is unknown or zero, single values for configs without a score.

    Attributes:
        sd: (n_configs,) shrunken towards `prior_sd`; with a single score it is `prior_sd`.
        low, high: (n_configs,) interval of it.
        df: (n_configs,) degrees of freedom behind `sd`.
        own_sd: (n_configs,) sample standard deviation of the config alone; NaN with fewer than two scores.
        prior_sd: what configs have in common.
        prior_df: how much: as many scores' worth as this; infinite when the sds differ no more than by chance.
    """

    sd: Floats
    low: Floats
    high: Floats
    df: Floats
    own_sd: Floats
    prior_sd: float
    prior_df: float


def moderated_noise(scores: npt.ArrayLike, *, alpha: float = 0.05) -> ModeratedNoise:
    """Shrink each config's variance towards the common one, by as much as chance explains of their spread.

    Smyth (2004), Linear models and empirical Bayes methods, Stat. Appl. Genet. Mol. Biol. 3:3: the variances
    are scaled inverse chi-square with (d0, s0^2), so the posterior of config i has d0 + d_i degrees of freedom and
    variance ``(d0 s0^2 + d_i s_i^2) / (d0 + d_i)`` (section 3). d0 and s0^2 follow from mean and variance of the
    log variances (section 6.2), d0 infinite when these vary less than chance would make them; s0^2 is then the
    pooled variance. As in its implementation (limma), df never exceed those of the pooled variance, here
    `noise_of_means`.

    Args:
        scores: (n_configs, n_replicates); higher or lower is better makes no difference.
        alpha: one minus the coverage of the intervals, one config at a time.
    """
    matrix, mask = as_scores(scores)
    counts, own = mask.sum(axis=1), config_sds(matrix)
    pooled = noise_of_means(matrix, alpha=alpha)
    unknown = np.full(len(matrix), np.nan)
    if not pooled.known:
        return ModeratedNoise(unknown, unknown, unknown, unknown, own, float("nan"), float("nan"))
    d = np.maximum(counts - 1, 0).astype(np.float64)
    repeated = d > 0
    prior_df, prior_variance = _hyperparameters(own[repeated] ** 2, d[repeated], pooled.sd**2)
    own_part = np.where(repeated, d * np.where(repeated, own, 0.0) ** 2, 0.0)
    if np.isinf(prior_df):
        variance = np.full(len(matrix), prior_variance)
    else:
        variance = (prior_df * prior_variance + own_part) / (prior_df + d)
    there = counts > 0
    df = np.where(there, np.minimum(prior_df + d, pooled.df), np.nan)
    sd = np.where(there, np.sqrt(variance), np.nan)
    low, high = (sd * np.sqrt(df / stats.chi2.ppf(p, df)) for p in (1 - alpha / 2, alpha / 2))
    return ModeratedNoise(sd, low, high, df, own, float(np.sqrt(prior_variance)), prior_df)


def _hyperparameters(variances: Floats, d: Floats, pooled: float) -> tuple[float, float]:
    """(d0, s0^2) by the moments of the log variances."""
    logs = np.log(np.maximum(variances, _SMALLEST * pooled))
    centred = logs - special.digamma(d / 2) + np.log(d / 2)
    if len(d) < 2:
        return float("inf"), pooled
    excess = float(np.var(centred, ddof=1) - np.mean(special.polygamma(1, d / 2)))
    # Beyond a million degrees of freedom no digit changes any more.
    if excess <= special.polygamma(1, 5e5):
        return float("inf"), pooled
    half = float(np.exp(optimize.brentq(lambda x: special.polygamma(1, np.exp(x)) - excess, -20.0, 14.0)))
    return 2 * half, float(np.exp(np.mean(centred) + special.digamma(half) - np.log(half)))


def noise_of_means(scores: npt.ArrayLike, *, alpha: float = 0.05) -> Noise:
    """The pooled sd between seeds, with degrees of freedom that allow for shared seeds.

    The value is that of `pooled_noise`. On shared seeds the deviations of different configs go up and down
    together, so that they tell less about the sd than as many independent ones: with MS_r the mean square of the
    replicates (f_r degrees of freedom) and MS_e that of the residual (f_e), the within-config variance is
    ``(f_r MS_r + f_e MS_e) / (f_r + f_e)``, and Satterthwaite (1946, Biometrics 2:110-114) gives its df, rounded down
    here. For an interval of one config's mean; comparisons on shared seeds use `fit_blocks(...).noise`.
    """
    within, fit = pooled_noise(scores, alpha=alpha), fit_blocks(scores, alpha=alpha)
    if not (fit.blocked and within.known):
        return within
    residual = fit.noise.sd**2 * fit.noise.df
    replicates = max(within.sd**2 * within.df - residual, 0.0)
    squares = replicates**2 / (within.df - fit.noise.df) + residual**2 / fit.noise.df
    df = max(int((replicates + residual) ** 2 / squares + 1e-9), 1)
    return noise_from(within.sd**2 * df, df, alpha)


def noise_of_config(scores: npt.ArrayLike, config: int, *, alpha: float = 0.05) -> Noise:
    """The noise to go by for one config: `noise_of_means`, unless the config is clearly noisier than the others.

    It is when its moderated sd lies above the upper end of the pooled one's interval; then that sd counts, with its
    degrees of freedom rounded down. Simulated with sds that vary by a factor of e^0.4, an interval of the chosen
    config's fresh seeds covers 0.90 to 0.92 instead of 0.84 to 0.91; with equal noise nothing changes.

    Args:
        scores: (n_configs, n_replicates).
        config: a row of it.
        alpha: one minus the coverage of the interval.
    """
    pooled, own = noise_of_means(scores, alpha=alpha), moderated_noise(scores, alpha=alpha)
    if not (pooled.known and own.sd[config] > pooled.high):
        return pooled
    df = max(int(own.df[config]), 1)
    return noise_from(float(own.sd[config]) ** 2 * df, df, alpha)


@dataclass(frozen=True)
class VarianceTest:
    """Whether the configs' noise could be one and the same.

    Attributes:
        method: ``Bartlett`` or ``Brown-Forsythe``.
        statistic, p: of the test; None when it cannot be computed.
        n_configs: configs with at least two scores.
        n_least: fewest scores of one of them; 0 without any.
        remark: what the p-value does not say, in a sentence.
    """

    method: str
    statistic: float | None
    p: float | None
    n_configs: int
    n_least: int
    remark: str


def equal_variances(scores: npt.ArrayLike) -> VarianceTest:
    """Test that all configs have the same seed variance.

    Brown and Forsythe (1974, JASA 69:364-367; Levene's test with medians) from ten scores per config on. With
    fewer, Bartlett (1937, Proc. R. Soc. A 160:268-282): at three scores one of the three deviations from the
    median is always zero and Brown-Forsythe finds nothing (simulated, 8 configs whose sds vary by a factor of e^0.4:
    power 0.00 with 3 scores, 0.08 with 5; Bartlett 0.20 and 0.46). Levene's test with means is wrong there: it
    rejects 0.20 of 8 and 0.68 of 32 configs that are equal. The price is that Bartlett's test takes skewed noise for
    unequal noise. Which test is used depends on the counts alone. Shared seeds make both more careful.

    Configs with fewer than two scores take no part.
    """
    matrix, mask = as_scores(scores)
    groups = [row[there] for row, there in zip(matrix, mask, strict=True) if there.sum() > 1]
    least = min((len(group) for group in groups), default=0)
    by_median = least >= _ENOUGH_FOR_MEDIANS
    method = "Brown-Forsythe" if by_median else "Bartlett"
    sds = config_sds(matrix)
    floor = np.sqrt(_SMALLEST) * pooled_noise(matrix).sd
    if len(groups) < 2 or not floor > 0 or bool(np.any(sds < floor)):
        reason = (
            "It takes two configs with two scores each."
            if len(groups) < 2
            else "The repeats of a config gave the same score, so its noise was not measured."
        )
        return VarianceTest(method, None, None, len(groups), least, reason)
    result = stats.levene(*groups, center="median") if by_median else stats.bartlett(*groups)
    return VarianceTest(
        method, float(result.statistic), float(result.pvalue), len(groups), least, _remark(least, by_median)
    )


def _remark(least: int, by_median: bool) -> str:
    if by_median:
        return "A large p does not show that the noise is equal, only that these scores cannot tell."
    return (
        f"With as few as {least} scores per config only gross differences are found, so a large p shows nothing; "
        "a small p can also come from noise that is skewed or has long tails."
    )
