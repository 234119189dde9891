"""How the configs of a ranking are compared so that picking the best one after looking costs nothing.

The one place that knows over which configs an error rate holds and which differences may be judged at all; the verdict
and the comparison of named configs both go through it. Words and claims are theirs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from results.ranking import Ranking
from results.statistics.adaptive import LEAST_DF, between_repeated, fit_selected
from results.statistics.blocks import BlockFit, Comparisons, fit_blocks, tukey_against


def fit_ranking(ranking: Ranking) -> BlockFit:
    """Effects of `Ranking.scored` and the noise to compare them by; NaN and unknown noise without scores."""
    fitted = fit_selected if ranking.plan.adaptive else fit_blocks
    return fitted(ranking.matrix(), alpha=ranking.alpha)


def against(ranking: Ranking, fit: BlockFit, config: int) -> Comparisons:
    """One config against each other one, by Tukey-Kramer over all configs that were started.

    Args:
        ranking: from `rank`; its alpha is the family-wise error rate.
        fit: from `fit_ranking`.
        config: a row of `Ranking.scored`.

    Returns:
        (n_scored,) estimates with intervals; an interval of NaN = the difference may not be judged.
    """
    found = tukey_against(fit, config, alpha=ranking.alpha, family=ranking.n_started)
    if not ranking.plan.adaptive:
        return found
    if fit.noise.known and fit.noise.df < LEAST_DF:
        nothing = np.full(len(found.low), np.nan)
        return replace(found, low=nothing, high=nothing)
    return between_repeated(found, ranking.matrix(), config)


def correction(ranking: Ranking) -> str:
    """Over what the intervals hold together, in words."""
    text = f"Tukey-Kramer over the {ranking.n_started} configs started"
    if ranking.plan.adaptive:
        text += ", between configs with two or more runs, by the noise of the runs after each config's first"
    return text
