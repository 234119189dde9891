"""The difference of two configs seen in one way: its t interval, paired or not, and how far the two go together.

And Holm's adjustment for several. Pure functions; which way is right, and what may be claimed, is decided in
`pairs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from results.statistics.blocks import Floats, Noise, config_means, pooled_noise

#: Fisher's interval of a correlation needs this many points.
_LEAST_FOR_INTERVAL = 4


@dataclass(frozen=True)
class Difference:
    """An estimate with its standard error and a plain t interval, for one look at one pair.

    `low`, `high` and `p` (two-sided) are not corrected for looking at several.
    """

    estimate: float
    error: float
    df: float
    low: float
    high: float
    p: float


def t_interval(estimate: float, error: float, df: float, *, alpha: float) -> Difference:
    """The two-sided (1 - alpha) t interval; `error` is the standard error, above 0, and `df` may be a fraction."""
    half = float(special.stdtrit(df, 1 - alpha / 2)) * error
    p = 2 * float(special.stdtr(df, -abs(estimate) / error))
    return Difference(estimate, error, df, estimate - half, estimate + half, p)


def from_noise(estimate: float, noise: Noise, unit_variance: float, *, alpha: float) -> Difference | None:
    """A difference whose variance is `unit_variance` times that of one score; None when the noise is unknown."""
    if not noise.known:
        return None
    return t_interval(estimate, noise.sd * math.sqrt(unit_variance), noise.df, alpha=alpha)


def unpaired_difference(both: Floats, within: Noise, many: int, *, alpha: float) -> Difference | None:
    """Difference of the means of two configs, no matter which seeds they share.

    Args:
        both: (2, n_replicates) scores, NaN = none.
        within: noise between seeds, pooled over all configs.
        many: from this many scores of each config on, their own two variances are used instead: Welch (1947),
            Biometrika 34:28-35.
        alpha: one minus the coverage.

    Returns:
        None when a config has no score, or the noise is unknown.
    """
    means, counts = config_means(both)
    if not counts.all():
        return None
    estimate = float(means[0] - means[1])
    if counts.min() < many:
        return from_noise(estimate, within, float((1 / counts).sum()), alpha=alpha)
    noises = [pooled_noise(row[None]) for row in both]
    parts = np.array([noise.sd**2 for noise in noises]) / counts
    if not any(noise.known for noise in noises):
        return None
    df = float(parts.sum() ** 2 / (parts**2 / (counts - 1)).sum())
    return t_interval(estimate, math.sqrt(parts.sum()), df, alpha=alpha)


def correlation(both: Floats, *, alpha: float) -> tuple[float | None, float | None, float | None]:
    """Pearson's correlation of two configs over the replicates, and Fisher's (1921, Metron 1:3-32) interval.

    Args:
        both: (2, n_replicates), no NaN.
        alpha: one minus the coverage.

    Returns:
        Correlation (None with fewer than three replicates, or when a config always scores the same), and both
        ends of the interval (None with fewer than four).
    """
    n = both.shape[1]
    if n < 3 or not all(pooled_noise(row[None]).known for row in both):
        return None, None, None
    r = float(np.asarray(np.corrcoef(both))[0, 1])
    if n < _LEAST_FOR_INTERVAL:
        return r, None, None
    z = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
    half = special.ndtri(1 - alpha / 2) / math.sqrt(n - 3)
    return r, float(np.tanh(z - half)), float(np.tanh(z + half))


def holm(p_values: Sequence[float | None], family: int) -> tuple[Floats, Floats]:
    """Adjusted p values of Holm (1979), Scand. J. Statist. 6:65-70, and how many tests are left at each.

    Args:
        p_values: (n,); None = unknown, which counts as 1.
        family: tests that are counted, at least n; those not given count as 1.

    Returns:
        (n,) the smallest family-wise error rate at which each test succeeds; (n,) by how much alpha is divided
        when it is this test's turn: `family` for the smallest p.
    """
    p = np.array([1.0 if value is None else value for value in p_values])
    order = np.argsort(p, kind="stable")
    left, adjusted = np.empty(len(p)), np.empty(len(p))
    left[order] = family - np.arange(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate((p * left)[order]), 1.0)
    return adjusted, left
