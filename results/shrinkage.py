"""What a config chosen for its high score will really score: empirical-Bayes means.

The largest of many noisy means is too high on average (the winner's curse). Shrinking every mean towards
their common centre, by as much as the noise explains of their spread, removes most of it - not all: fresh
seeds for the chosen config do. Pure functions; higher is better or worse makes no difference here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from results.statistics import Floats

#: below this many configs a James-Stein estimate does not exist: the centre is itself estimated.
LEAST_CONFIGS = 4


@dataclass(frozen=True)
class Shrunken:
    """Empirical-Bayes means.

    Attributes:
        means: (n_configs,) shrunken means, in the unit of the metric; NaN where the input is.
        low, high: (n_configs,) interval ends; NaN when the noise is unknown.
        spread: estimated standard deviation of the true config means.
        shrunk: False when there are fewer than four configs or the noise is unknown: then `means` are the
            plain ones.
    """

    means: Floats
    low: Floats
    high: Floats
    spread: float
    shrunk: bool


def shrink(means: npt.ArrayLike, variances: npt.ArrayLike, df: int, *, alpha: float = 0.05) -> Shrunken:
    """Shrink config means towards their centre.

    Morris (1983), Parametric Empirical Bayes Inference, JASA 78:47-55, section 5 (unequal variances):
    ``B_i = (k-3)/(k-1) * V_i / (V_i + A)``, mean ``(1 - B_i) y_i + B_i centre``, and a variance that
    includes the uncertainty of B_i. The variance A of the true means solves the moment equation of Paule and
    Mandel (1982), ``sum (y_i - centre)^2 / (V_i + A) = k - 1``, or is 0. Assumes roughly normal true means:
    a few very bad configs widen the spread and so weaken the shrinkage.

    Args:
        means: (n_configs,) plain means; NaN = no score.
        variances: (n_configs,) squared standard errors of the means; NaN = unknown noise.
        df: degrees of freedom behind the variances; the interval uses t with this many.
        alpha: one minus the coverage of the interval.
    """
    y, v = np.asarray(means, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    known = np.isfinite(y) & np.isfinite(v)
    k = int(known.sum())
    quantile = float(stats.t.ppf(1 - alpha / 2, df)) if df > 0 else np.nan
    if k < LEAST_CONFIGS or df < 1 or not np.all(v[known] > 0):
        half = quantile * np.sqrt(np.where(known, v, np.nan))
        return Shrunken(y.copy(), y - half, y + half, float("nan"), False)
    a = _paule_mandel(y[known], v[known])
    centre = float(np.average(y[known], weights=1 / (v[known] + a)))
    b = (k - 3) / (k - 1) * v / (v + a)
    extra = 2 / (k - 3) * b**2 * (np.mean(v[known]) + a) / (v + a)
    posterior = v * (1 - (k - 1) / k * b) + extra * (y - centre) ** 2
    estimate, half = y - b * (y - centre), quantile * np.sqrt(posterior)
    return Shrunken(estimate, estimate - half, estimate + half, float(np.sqrt(a)), True)


def _paule_mandel(y: Floats, v: Floats) -> float:
    """Variance of the true means; 0 when the noise explains all of the spread."""

    def excess(a: float) -> float:
        weights = 1 / (v + a)
        return float((weights * (y - np.average(y, weights=weights)) ** 2).sum() - (len(y) - 1))

    if excess(0.0) <= 0:
        return 0.0
    upper = float(np.ptp(y)) ** 2 * len(y)
    return float(optimize.brentq(excess, 0.0, upper))
