"""How probable it is that a config is the best one, or close to it, and what choosing it is expected to cost.

Probabilities given the data and the model of `hierarchy.py`, not error rates: whether a difference may be
called real is decided by the intervals of `blocks.py` alone. Pure; higher is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from results.statistics.blocks import BlockFit, Floats
from results.statistics.hierarchy import draw_means


@dataclass(frozen=True)
class BestProbabilities:
    """What the data say about which config is the best.

    Everything is NaN with fewer than two configs, or when the noise is unknown or zero; single values are NaN for
    configs without a score.

    Attributes:
        best: (n_configs,) probability that the config has the highest true mean; they sum to 1.
        near: (n_configs,) probability that its true mean is within `tolerance` of the highest.
        regret: (n_configs,) expected simple regret of choosing it: how far its true mean is below the highest,
            in the unit of the metric, at least 0.
        tolerance: in the unit of the metric.
        draws: posterior draws behind each number.
        error: largest possible Monte Carlo standard error of a probability, ``1 / (2 sqrt(draws))``.
        regret_error: (n_configs,) Monte Carlo standard error of `regret`.
    """

    best: Floats
    near: Floats
    regret: Floats
    tolerance: float
    draws: int
    error: float
    regret_error: Floats


def probability_best(
    fit: BlockFit, *, rng: np.random.Generator, draws: int = 10_000, tolerance: float = 0.005
) -> BestProbabilities:
    """Probabilities of being the best, of being close to it, and expected regret.

    Counts over posterior draws of all true means (`hierarchy.draw_means`). Simulated with normal true means whose
    spread is anywhere between a quarter of the seed sd and one and a half times it, the stated probabilities are the
    observed frequencies within 0.05. For a single spread they can be off by 0.09. Where true means crowd below a
    ceiling, as those of good configs do, or hardly differ at all, a stated `best` above one half is too sure, by 0.1
    to 0.3: near ties decide it, and they do not matter. `near` and `regret` then err on the careful side: say those.

    Two configs with equal effects and equal numbers of scores have the same probabilities, up to chance.

    Args:
        fit: from `fit_blocks`; incomplete data are fine.
        rng: the only source of chance.
        draws: posterior draws.
        tolerance: a difference of the metric that does not matter, at least 0.

    Raises:
        ValueError: a negative or NaN tolerance, or fewer than one draw.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be 0 or more, in the unit of the metric, not {tolerance}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    known = np.isfinite(fit.effects)
    unknown = np.full(len(known), np.nan)
    drawn = draw_means(fit, rng=rng, draws=draws) if known.sum() > 1 else None
    if drawn is None:
        return BestProbabilities(unknown, unknown, unknown, tolerance, 0, float("nan"), unknown)
    highest = drawn.means.max(axis=1, keepdims=True)
    behind = highest - drawn.means

    def everywhere(values: Floats) -> Floats:
        out = unknown.copy()
        out[known] = values
        return out

    return BestProbabilities(
        best=everywhere(np.bincount(drawn.means.argmax(axis=1), minlength=known.sum()) / draws),
        near=everywhere((behind <= tolerance).mean(axis=0)),
        regret=everywhere(behind.mean(axis=0)),
        tolerance=tolerance,
        draws=draws,
        error=0.5 / float(np.sqrt(draws)),
        regret_error=everywhere(behind.std(axis=0) / np.sqrt(draws)),
    )
