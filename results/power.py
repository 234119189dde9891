"""How many seeds a difference needs: planning by the same rule that the verdict uses.

Pure functions. The answer is about a *true* difference of that size; an observed gap is noisy itself.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from results.statistics import critical_value

#: beyond this nobody runs seeds: the answer is then None.
MOST_SEEDS = 10_000


def power_of(n: int, difference: float, sd: float, *, configs: int = 2, alpha: float = 0.05) -> float:
    """Probability that two given configs of the family are told apart with n seeds each.

    Complete blocks: df = (configs - 1)(n - 1), standard error sd * sqrt(2 / n), two-sided, critical value
    of `critical_value` (t for two configs, Tukey's for more), exact by the noncentral t distribution.

    Args:
        n: seeds per config, at least 2.
        difference: the true difference, in the unit of the metric.
        sd: residual standard deviation of one score after pairing.
        configs: size of the family.
        alpha: family-wise error rate.
    """
    df = (configs - 1) * (n - 1)
    shift = abs(difference) / (sd * np.sqrt(2 / n))
    critical = critical_value(configs, df, alpha)
    return float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))


def seeds_needed(
    difference: float, sd: float, *, configs: int = 2, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Fewest seeds per config with which a true difference is shown with the wanted power.

    Args:
        difference: in the unit of the metric; its sign does not matter.
        sd: residual standard deviation of one score after pairing (`fit_blocks(...).noise.sd`).
        configs: size of the family, at least 2.
        alpha: family-wise error rate.
        power: wanted probability of showing it, below 1.

    Returns:
        At least 2; None when the difference is zero, the sd unknown, or more than `MOST_SEEDS` are needed.
    """
    if not (np.isfinite(difference) and np.isfinite(sd)) or difference == 0 or configs < 2:
        return None
    if sd == 0:
        return 2

    def enough(n: int) -> bool:
        return power_of(n, difference, sd, configs=configs, alpha=alpha) >= power

    high = 2
    while not enough(high):
        if high >= MOST_SEEDS:
            return None
        high = min(2 * high, MOST_SEEDS)
    low = high // 2 if high > 2 else 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
