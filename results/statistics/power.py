"""How many seeds a difference, or the noise itself, needs: planning by the same rules that the verdict uses.

Pure functions. Everything here is about a *true* difference or a *true* standard deviation; an observed gap
is noisy itself, and so is the sd that one plans with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import integrate, optimize, special, stats

from results.statistics.blocks import critical_value

#: beyond this nobody runs seeds: the answer is then None.
MOST_SEEDS = 10_000
#: so many that t and the studentized range are those of a known sd; scipy takes a short cut from here on.
_MANY_DF = 200_000


def paired_sd(sd: float, correlation: float) -> float:
    """Residual standard deviation of one score after pairing: what `power_of` and `seeds_needed` ask for.

    Args:
        sd: between seeds of one config, in the unit of the metric.
        correlation: of two configs' scores on the same seeds, below 1 (`fit_blocks(...).pair_correlation`,
            itself a noisy figure); 0 = pairing removes nothing.

    Raises:
        ValueError: the correlation is outside [-1, 1).
    """
    if not -1 <= correlation < 1:
        raise ValueError(f"the correlation of pairs must be in [-1, 1), not {correlation}")
    return sd * math.sqrt(1 - correlation)


def power_of(
    n: int,
    difference: float,
    sd: float,
    *,
    configs: int = 2,
    alpha: float = 0.05,
    comparisons: int | None = None,
) -> float:
    """Probability that two given configs are told apart with n seeds each.

    Complete blocks: df = (configs - 1)(n - 1), standard error sd * sqrt(2 / n), two-sided, exact by the
    noncentral t distribution for the stated critical value.

    Args:
        n: seeds per config, at least 2.
        difference: the true difference, in the unit of the metric.
        sd: residual standard deviation of one score after pairing (`paired_sd`).
        configs: how many share the residual variance, at least 2.
        alpha: family-wise error rate.
        comparisons: None = all pairs of the configs, by Tukey (`critical_value`; t for two configs), as the
            verdict does. A number = that many pairs named before looking, by Bonferroni, the first step of
            Holm's procedure: a lower bound of the power of `pairs.compare_pairs`.
    """
    df = (configs - 1) * (n - 1)
    shift = abs(difference) / (sd * np.sqrt(2 / n))
    critical = _critical(configs, df, alpha, comparisons)
    return 1 - _below(critical, df, shift) + _below(-critical, df, shift)


def _below(value: float, df: float, shift: float) -> float:
    """P(T < value) of the noncentral t; scipy's series gives NaN where that is under 1e-15."""
    below = float(special.nctdtr(df, shift, value))
    return below if math.isfinite(below) else 0.0


def _critical(configs: int, df: int, alpha: float, comparisons: int | None) -> float:
    if comparisons is None:
        return critical_value(configs, df, alpha)
    return float(special.stdtrit(df, 1 - alpha / (2 * comparisons)))


def seeds_needed(
    difference: float,
    sd: float,
    *,
    configs: int = 2,
    alpha: float = 0.05,
    power: float = 0.8,
    comparisons: int | None = None,
) -> int | None:
    """Fewest seeds per config with which a true difference is shown with the wanted power.

    Args:
        difference: in the unit of the metric; its sign does not matter.
        sd: residual standard deviation of one score after pairing (`fit_blocks(...).noise.sd`, `paired_sd`).
        configs: size of the family, at least 2.
        alpha: family-wise error rate.
        power: wanted probability of showing it, below 1.
        comparisons: as in `power_of`.

    Returns:
        At least 2; None when the difference is zero, the sd unknown, or more than `MOST_SEEDS` are needed.
    """
    if not (np.isfinite(difference) and np.isfinite(sd)) or difference == 0 or configs < 2:
        return None
    if sd == 0:
        return 2

    def enough(n: int) -> bool:
        own = power_of(n, difference, sd, configs=configs, alpha=alpha, comparisons=comparisons)
        return own >= power

    # Near the answer for infinite degrees of freedom; each look at fewer costs a tenth of a second.
    reach = _critical(configs, _MANY_DF, alpha, comparisons) + float(stats.norm.ppf(power))
    return _fewest(enough, round(2 * (max(reach, 0.0) * sd / difference) ** 2))


def _fewest(enough: Callable[[int], bool], guess: int) -> int | None:
    """The smallest n from 2 to `MOST_SEEDS` that is enough, when all larger ones are; looks around a guess first."""
    low, high, step = 1, min(max(guess, 2), MOST_SEEDS), 1
    if enough(high):
        while high - step > low and enough(high - step):
            high, step = high - step, 2 * step
        low = max(high - step, low)
    else:
        while True:
            if high >= MOST_SEEDS:
                return None
            low, high, step = high, min(high + step, MOST_SEEDS), 2 * step
            if enough(high):
                break
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def difference_detectable(
    n: int,
    sd: float,
    *,
    configs: int = 2,
    alpha: float = 0.05,
    power: float = 0.8,
    comparisons: int | None = None,
) -> float | None:
    """Smallest true difference that n seeds per config show with the wanted power: `seeds_needed` inverted.

    Args:
        n: seeds per config.
        sd: residual standard deviation of one score after pairing, in the unit of the metric.
        configs: as in `power_of`.
        alpha: as in `power_of`.
        power: wanted probability of showing it, above alpha and below 1.
        comparisons: as in `power_of`.

    Returns:
        In the unit of the metric; 0 when `sd` is 0; None with fewer than two seeds or configs, or an unknown
        sd: then no difference can be shown at all.
    """
    if n < 2 or configs < 2 or not np.isfinite(sd):
        return None
    if sd == 0:
        return 0.0

    def lacking(difference: float) -> float:
        own = power_of(n, difference, sd, configs=configs, alpha=alpha, comparisons=comparisons)
        return own - power

    high = sd
    while lacking(high) < 0:
        high *= 2
    return float(optimize.brentq(lacking, 0.0, high, xtol=1e-6 * sd))


def seeds_for_sd(within: float, *, probability: float, configs: float = 1) -> int | None:
    """Fewest seeds per config with which the estimated sd of the seed noise is right within a given share.

    ``(n - 1) s^2 / sigma^2`` is chi-square, so P(|s / sigma - 1| <= within) is exact for normal noise. Pooled
    over configs with one common variance the degrees of freedom are configs * (n - 1). Seeds that all
    configs share and that move them together carry less than that.

    Args:
        within: allowed relative error of the sd, above 0 and below 1; 0.1 = 10 %.
        probability: wanted, above 0 and below 1.
        configs: over how many the variance is pooled, at least 1; for shared seeds as many independent ones as tell
            as much, which need not be a whole number (`planning.KnownNoise.independent_configs`).

    Returns:
        At least 2; None when more than `MOST_SEEDS` are needed.

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0 < within < 1 or not 0 < probability < 1 or configs < 1:
        raise ValueError(
            f"within ({within}) and probability ({probability}) must be between 0 and 1, configs ({configs}) "
            "at least 1"
        )
    seeds = np.arange(2, MOST_SEEDS + 1)
    df = configs * (seeds - 1)
    reached = stats.chi2.cdf((1 + within) ** 2 * df, df) - stats.chi2.cdf((1 - within) ** 2 * df, df)
    enough = np.flatnonzero(reached >= probability)
    return int(seeds[enough[0]]) if len(enough) else None


@dataclass(frozen=True)
class ExpectedRange:
    """Best minus worst of n runs of one config that differ by nothing but their seeds.

    Attributes:
        mean: on average, ``d2(n) * sd``.
        high: stays below this with probability 0.95.
    """

    mean: float
    high: float


def expected_range(n: int, sd: float) -> ExpectedRange:
    """How far the best and the worst of n runs of one config lie apart through the seeds alone.

    Tippett (1925), Biometrika 17:364-387: ``d2 = integral of 1 - (1 - F)^n - F^n`` with F the normal
    distribution; the 95 % point is that of the studentized range with a known sd.

    Args:
        n: runs, at least 2.
        sd: between seeds of one config, in the unit of the metric.

    Raises:
        ValueError: fewer than two runs.
    """
    if n < 2:
        raise ValueError(f"a range needs at least 2 runs, not {n}")
    d2, _ = integrate.quad(lambda x: 1 - special.ndtr(-x) ** n - special.ndtr(x) ** n, -np.inf, np.inf)
    return ExpectedRange(float(d2) * sd, float(stats.studentized_range.ppf(0.95, n, np.inf)) * sd)
