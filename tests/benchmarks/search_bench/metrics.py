"""What the outcomes of many searches say of a strategy: means with standard errors, and ratios with intervals.

Problems are the units: all strategies met the same ones, so ratios and differences are resampled problem by problem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_bench.problems import Floats

RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean over problems and its standard error; n = how many problems had a value (the others have NaN)."""

    mean: float
    error: float
    n: int

    @classmethod
    def of(cls, values: Floats) -> Estimate:
        """The mean of what is defined."""
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(math.nan, math.nan, 0)
        error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else math.nan
        return cls(float(known.mean()), error, len(known))


@dataclass(frozen=True)
class Ratio:
    """A ratio with the ends of its 95 % bootstrap interval; infinite = out of reach."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bin:
    """Searches whose stated probability fell into one tenth: how many, the mean stated, the share that was right."""

    n: int
    stated: float
    observed: float
    error: float


def covered(low: Floats, high: Floats, truth: Floats) -> Floats:
    """1 where the interval holds the truth, 0 where not, NaN where there is no interval."""
    known = np.isfinite(low) & np.isfinite(high)
    return np.where(known, (low <= truth) & (truth <= high), np.nan)


def calibration(stated: Floats, right: Floats, *, bins: int = 10) -> list[Bin]:
    """Stated probabilities against what happened, in equal bins of what is stated.

    Args:
        stated: (n,) probabilities; NaN are left out.
        right: (n,) whether it was so.
        bins: how many.
    """
    known = np.isfinite(stated)
    stated, right = stated[known], right[known].astype(float)
    place = np.minimum((stated * bins).astype(int), bins - 1)
    out = []
    for number in range(bins):
        here = place == number
        n = int(here.sum())
        if not n:
            out.append(Bin(0, math.nan, math.nan, math.nan))
            continue
        observed = float(right[here].mean())
        spread = math.sqrt(max(observed * (1 - observed), 0.25 / n) / n)  # not 0 where all or none were right
        out.append(Bin(n, float(stated[here].mean()), observed, spread))
    return out


def epochs_to_reach(regret: Sequence[float] | Floats, epochs: Floats, level: float) -> float:
    """Epochs at which mean regret falls to `level`: log-linear between budgets, after the running minimum.

    Args:
        regret: (budgets,) mean regret at rising budgets.
        epochs: (budgets,) these budgets.
        level: what is to be reached.

    Returns:
        at least the first budget, where nothing smaller was tried; infinite when no budget reaches it.
    """
    falling = np.minimum.accumulate(np.asarray(regret, dtype=float))
    reached = falling <= level
    if not reached.any():
        return math.inf
    at = int(reached.argmax())
    if at == 0:
        return float(epochs[0])
    share = (falling[at - 1] - level) / (falling[at - 1] - falling[at])
    return float(np.exp(np.log(epochs[at - 1]) + share * (np.log(epochs[at]) - np.log(epochs[at - 1]))))


def epochs_to_match(ours: Floats, theirs: Floats, epochs: Floats, *, seed: int = 0) -> list[Ratio]:
    """Epochs in which ours reaches the regret that theirs has at each budget, divided by that budget.

    Args:
        ours: (problems, budgets) regrets.
        theirs: the same, of the other strategy on the same problems.
        epochs: (budgets,).
        seed: of the resampling.
    """
    samples = _samples(len(ours), seed)
    our_means, their_means = (_means(values, samples) for values in (ours, theirs))
    found = np.array(
        [
            [epochs_to_reach(mine, epochs, level) / of for level, of in zip(other, epochs, strict=True)]
            for mine, other in zip(our_means, their_means, strict=True)
        ]
    )
    return [_ratio(found[:, at]) for at in range(len(epochs))]


def epochs_to_level(ours: Floats, theirs: Floats, epochs: Floats, level: float, *, seed: int = 0) -> Ratio:
    """Epochs in which ours reaches a mean regret, divided by those in which theirs does; NaN if neither does."""
    samples = _samples(len(ours), seed)
    both = zip(_means(ours, samples), _means(theirs, samples), strict=True)
    pairs = [(epochs_to_reach(a, epochs, level), epochs_to_reach(b, epochs, level)) for a, b in both]
    return _ratio(np.array([_divided(a, b) for a, b in pairs]))


def regret_ratio(ours: Floats, theirs: Floats, *, seed: int = 0) -> list[Ratio]:
    """Mean regret of ours divided by that of theirs at equal budgets, both (problems, budgets)."""
    samples = _samples(len(ours), seed)
    means = (_means(values, samples) for values in (ours, theirs))
    found = np.array(
        [
            [_divided(a, b) for a, b in zip(mine, other, strict=True)]
            for mine, other in zip(*means, strict=True)
        ]
    )
    return [_ratio(found[:, at]) for at in range(ours.shape[1])]


def _divided(ours: float, theirs: float) -> float:
    if math.isinf(ours) and math.isinf(theirs):
        return math.nan
    return ours / theirs if theirs else math.inf if ours else 1.0


def _samples(problems: int, seed: int) -> list[Floats | slice]:
    """All problems as they are, then resampled ones."""
    rng = np.random.default_rng(seed)
    return [slice(None), *rng.integers(0, problems, (RESAMPLES, problems))]


def _means(values: Floats, samples: Sequence[Floats | slice]) -> Floats:
    return np.array([values[sample].mean(axis=0) for sample in samples])


def _ratio(found: Floats) -> Ratio:
    """The first value, and the middle 95 % of the others."""
    others = np.sort(found[1:][~np.isnan(found[1:])])
    if not len(others):
        return Ratio(float(found[0]), math.nan, math.nan)
    cut = int(0.025 * len(others))
    return Ratio(float(found[0]), float(others[cut]), float(others[len(others) - 1 - cut]))
