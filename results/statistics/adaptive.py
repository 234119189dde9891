"""Comparisons when the seeds were given out by looking at the scores: which differences may be judged, by which noise.

A search that repeats what looks good leaves every other config with the one run that made it look worse. `blocks.py`
asks for scores that are missing for reasons unrelated to their value; here they are not. Two things go wrong with its
intervals then, and both are mended here. Pure functions of a matrix of scores as in `blocks.py`.

- A config with a single run is judged by the very run for which it was left. Where runs fail low now and then, that
  run is often its bad one: 16 equal configs with left-skewed noise, and some config is called better than another
  one in 17 % of the searches at a nominal 5 %. So claims are made between configs that were repeated, on both sides.
- The first score of a repeated config was high, or it would not have been repeated. Among the selected, first scores
  differ too little, and the replicate that all of them had in common takes up the rest: the residual standard
  deviation comes out 5 to 16 % too small. So the noise is that of the later runs.

With both, the family-wise error of Tukey-Kramer intervals over all started configs is at most 0.023 in every case that
was simulated (``tests/benchmarks/sim_statistics.py adaptive``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from results.statistics.blocks import BlockFit, Comparisons, Floats, Mask, as_scores, fit_blocks

#: scores that both configs of a claim need.
LEAST_SCORES = 2
#: degrees of freedom of the noise from which on there is an interval: below, it is as wide as the metric's whole range.
LEAST_DF = 3


def later_scores(scores: npt.ArrayLike) -> Floats:
    """The scores without the first one of each config, in the order of the replicates."""
    matrix, mask = as_scores(scores)
    first = mask & (np.cumsum(mask, axis=1) == 1)
    return np.where(mask & ~first, matrix, np.nan)


def fit_selected(scores: npt.ArrayLike, *, alpha: float = 0.05) -> BlockFit:
    """`fit_blocks`, with the noise and the correlation of pairs from the later runs of each config.

    With too few of these for any degree of freedom the noise is that of all runs: then hardly anything was repeated,
    and nothing is claimed of what was not.
    """
    fit, later = fit_blocks(scores, alpha=alpha), fit_blocks(later_scores(scores), alpha=alpha)
    if not later.noise.known:
        return fit
    return replace(fit, noise=later.noise, pair_correlation=later.pair_correlation)


def repeated(scores: npt.ArrayLike) -> Mask:
    """(n_configs,) which of them have enough scores to be claimed better or worse than another one."""
    _, mask = as_scores(scores)
    return np.asarray(mask.sum(axis=1) >= LEAST_SCORES)


def between_repeated(comparisons: Comparisons, scores: npt.ArrayLike, best: int) -> Comparisons:
    """Comparisons against `best` without intervals where one of the two configs was not repeated.

    Args:
        comparisons: against `best`, from `tukey_against`.
        scores: the matrix that they were made from.
        best: a row of it.
    """
    may = repeated(scores)
    may = may & may[best]
    low, high = (np.where(may, ends, np.nan) for ends in (comparisons.low, comparisons.high))
    return replace(comparisons, low=low, high=high)
