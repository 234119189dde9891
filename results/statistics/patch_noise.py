"""What the finite validation set is worth: the uncertainty from its patches, apart from that from the seeds.

Pure functions of pixel counts per patch, ``counts[i, j, p]`` = (TP, FP, FN) of config i on replicate j and
validation patch p at the run's best epoch: float64 of shape (n_configs, n_replicates, n_patches, 3), NaN = that
run is absent. Scores are pooled over patches before anything is divided. Patches are taken as independent draws
from all patches one could have validated on; neighbours cut from one scene are not, so that what is found here
is a lower bound. Decides nothing: claims rest on the seeds (`verdict.py`, `pairs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from results.statistics.blocks import Floats, Mask

#: resamples of the bootstrap: the error of a standard deviation from it is then about 1.6 %.
RESAMPLES = 2000
_CELLS = 4_000_000  # of a block of weights; more patches mean fewer resamples at once


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """0 where nothing is predicted and nothing is to find, as in training; NaN stays NaN."""
    return np.where(bottom == 0, 0.0, top / np.where(bottom == 0, 1.0, bottom))


#: metric -> its value from pixel counts (TP, FP, FN), summed over patches.
PATCH_METRICS: Mapping[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "val_iou": lambda tp, fp, fn: _ratio(tp, tp + fp + fn),
    "val_f1": lambda tp, fp, fn: _ratio(2 * tp, 2 * tp + fp + fn),
    "val_precision": lambda tp, fp, fn: _ratio(tp, tp + fp),
    "val_recall": lambda tp, fp, fn: _ratio(tp, tp + fn),
}


def pooled_scores(counts: npt.ArrayLike, *, metric: str = "val_iou") -> Floats:
    """The metric pooled over patches.

    Args:
        counts: (..., n_patches, 3) TP, FP, FN in pixels; NaN = absent.
        metric: a key of `PATCH_METRICS`.

    Returns:
        (...,) in 0..1, higher is better; NaN where the run is absent. Equal to what training recorded.
    """
    return _score(np.asarray(counts, dtype=np.float64).sum(axis=-2), metric)


def _score(sums: Floats, metric: str) -> Floats:
    if metric not in PATCH_METRICS:
        raise ValueError(f"metric must be one of {', '.join(PATCH_METRICS)}, not {metric!r}")
    return PATCH_METRICS[metric](sums[..., 0], sums[..., 1], sums[..., 2])


@dataclass(frozen=True)
class Units:
    """What is averaged over replicates: scores of one config, or differences of two on shared seeds.

    Attributes:
        point: (n_runs,) on the validation patches.
        resampled: (n_resamples, n_runs) on resampled patches.
        left_out: (n_patches, n_runs) without one patch each.
    """

    point: Floats
    resampled: Floats
    left_out: Floats


@dataclass(frozen=True)
class PatchBootstrap:
    """The scores of all runs on other validation sets of the same size.

    Attributes:
        point: (n_configs, n_replicates) on the patches themselves; NaN = absent.
        resampled: (n_resamples, n_configs, n_replicates) on resampled patches, the same ones for all runs.
        left_out: (n_patches, n_configs, n_replicates) without one patch each (jackknife).
    """

    point: Floats
    resampled: Floats
    left_out: Floats

    def mean_of(self, config: int) -> Units:
        """The scores of one config's runs."""
        return self._units(np.isfinite(self.point[config]), lambda a, there: a[..., config, there])

    def difference_of(self, first: int, second: int) -> Units:
        """The differences of two configs' scores on the replicates that both have."""
        there = np.isfinite(self.point[first]) & np.isfinite(self.point[second])
        return self._units(there, lambda a, there: a[..., first, there] - a[..., second, there])

    def _units(self, there: Mask, pick: Callable[[Floats, Mask], Floats]) -> Units:
        return Units(*(pick(a, there) for a in (self.point, self.resampled, self.left_out)))


def bootstrap_patches(
    counts: npt.ArrayLike, rng: np.random.Generator, *, metric: str = "val_iou", resamples: int = RESAMPLES
) -> PatchBootstrap:
    """Draw the validation patches again and again, with replacement, and score all runs on each draw.

    A draw is a vector of multinomial weights, so that all runs are scored by one matrix product. The draws
    are common to all runs: differences between runs keep what they share. Efron (1979), Ann. Statist. 7:1-26.

    Args:
        counts: (n_configs, n_replicates, n_patches, 3), see the module.
        rng: the same state gives the same draws.
        metric: a key of `PATCH_METRICS`.
        resamples: number of draws.

    Raises:
        ValueError: unknown metric, wrong shape, or fewer than two patches.
    """
    c = np.asarray(counts, dtype=np.float64)
    if c.ndim != 4 or c.shape[-1] != 3 or c.shape[2] < 2:
        raise ValueError(
            f"counts must have shape (n_configs, n_replicates, 2 or more patches, 3), not {c.shape}"
        )
    n = c.shape[2]
    by_patch = np.moveaxis(c, 2, 0)  # (n_patches, n_configs, n_replicates, 3)
    flat, total = by_patch.reshape(n, -1), c.sum(axis=2)
    step = max(_CELLS // n, 1)
    drawn = []
    for start in range(0, resamples, step):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(step, resamples - start))
        sums = weights.astype(np.float64) @ flat
        drawn.append(_score(sums.reshape(-1, *total.shape), metric))
    return PatchBootstrap(_score(total, metric), np.concatenate(drawn), _score(total - by_patch, metric))


@dataclass(frozen=True)
class PatchNoise:
    """Uncertainty of a mean over given runs from the validation patches alone: the seeds are held fixed.

    Attributes:
        estimate: the mean, in the unit of the metric.
        sd: standard deviation over validation sets of this size.
        df: degrees of freedom that `sd` is worth; few patches with most of the landslides make it small.
        low, high: bias-corrected and accelerated interval: Efron (1987), JASA 82:171-185.
        percentile_low, percentile_high: percentile interval.
        n_patches, n_runs: what it rests on.
    """

    estimate: float
    sd: float
    df: float
    low: float
    high: float
    percentile_low: float
    percentile_high: float
    n_patches: int
    n_runs: int

    @property
    def half_width(self) -> float:
        """Half of the BCa interval: what the patches are worth, as plus or minus."""
        return (self.high - self.low) / 2


def patch_noise(units: Units, *, alpha: float = 0.05) -> PatchNoise | None:
    """What the finite validation set does to the mean of given runs; None without a run.

    The bootstrap's variance is enlarged by P / (P - 1) for P patches. Its degrees of freedom follow from the
    kurtosis k of the influence of single patches, by the exact variance of a sample variance of n values,
    ``sigma^4 (k - (n - 3) / (n - 1)) / n`` (O'Neill 2014, Amer. Statist. 68:282-296).
    """
    if not len(units.point):
        return None
    drawn, estimate = units.resampled.mean(axis=1), float(units.point.mean())
    n = len(units.left_out)
    sd = float(drawn.std(ddof=1)) * np.sqrt(n / (n - 1))
    influence = units.left_out.mean() - units.left_out.mean(axis=1)
    low, high = _bca(drawn, estimate, influence, alpha)
    percentile = np.quantile(drawn, (alpha / 2, 1 - alpha / 2))
    return PatchNoise(
        estimate=estimate,
        sd=float(sd),
        df=_degrees(influence),
        low=low,
        high=high,
        percentile_low=float(percentile[0]),
        percentile_high=float(percentile[1]),
        n_patches=n,
        n_runs=len(units.point),
    )


def _degrees(influence: Floats) -> float:
    """Degrees of freedom of a variance over these values: n - 1 for normal ones, fewer with heavy tails."""
    n, square = len(influence), float((influence**2).mean())
    if n < 4 or square == 0:
        return float(n - 1)
    kurtosis = float((influence**4).mean()) / square**2
    # lighter tails than the normal's are luck in a sample: never more than n - 1
    return min(2 * n / max(kurtosis - (n - 3) / (n - 1), 1.0), float(n - 1))


def _bca(drawn: Floats, estimate: float, influence: Floats, alpha: float) -> tuple[float, float]:
    """Bias-corrected and accelerated percentiles."""
    if not drawn.std() > 0:
        return estimate, estimate
    below = float((drawn < estimate).mean() + (drawn == estimate).mean() / 2)
    bias = special.ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    z = bias + special.ndtri(np.array([alpha / 2, 1 - alpha / 2]))
    low, high = np.quantile(drawn, special.ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)
