"""How many of a finite set have a property, from a random sample of it: exact limits. Pure; no I/O, no opinion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Share:
    """The share of a finite set that has a property.

    Attributes:
        hits: members of the sample that have it.
        sampled: size of the sample, drawn without replacement.
        population: size of the set, at least `sampled`.
        low, high: limits of the share in the set, 0 to 1; they meet when the whole set was looked at.
        alpha: one minus the coverage.
    """

    hits: int
    sampled: int
    population: int
    low: float
    high: float
    alpha: float

    @property
    def estimate(self) -> float:
        """The share in the sample, which is unbiased for the set; NaN without a sample."""
        return self.hits / self.sampled if self.sampled else float("nan")


def sampled_share(hits: int, sampled: int, population: int, *, alpha: float = 0.05) -> Share:
    """Exact limits for the share of a finite set, from a simple random sample without replacement.

    The number of hits in the sample is hypergeometric. The limits are the smallest and the largest number of members
    with the property that neither one-sided test at ``alpha / 2`` refuses: what Clopper and Pearson (1934) do for
    the binomial, and for this case Buonaccorsi, The American Statistician 41 (1987), 215-218. They hold at least
    1 - alpha for every true share; for a set much larger than the sample they are Clopper and Pearson's.

    Args:
        hits: members of the sample with the property, 0 to `sampled`.
        sampled: how many were looked at, 0 to `population`; with none the limits are 0 and 1.
        population: size of the set, at least 1.
        alpha: one minus the coverage, above 0 and below 1.

    Raises:
        ValueError: a number is out of its range.
    """
    if not 0 <= hits <= sampled <= population or population < 1 or not 0 < alpha < 1:
        raise ValueError(
            f"{hits} hits in a sample of {sampled} out of {population}, alpha {alpha}: needs "
            "0 <= hits <= sampled <= population, population >= 1 and 0 < alpha < 1"
        )
    possible = np.arange(hits, population - (sampled - hits) + 1)
    at_least = stats.hypergeom.sf(hits - 1, population, possible, sampled)
    at_most = stats.hypergeom.cdf(hits, population, possible, sampled)
    low = possible[at_least > alpha / 2].min()
    high = possible[at_most > alpha / 2].max()
    return Share(hits, sampled, population, float(low) / population, float(high) / population, alpha)
