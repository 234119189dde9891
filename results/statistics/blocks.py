"""Seed noise and comparisons: pure functions of a matrix of scores.

Everywhere ``scores[i, j]`` is the score of config i on replicate j: float64 of shape (n_configs,
n_replicates), in the unit of the metric, higher is better; NaN or infinite = that cell has no score (failed,
stopped, or not run) and is left out, never filled in. No I/O, no plots, no opinion about what to run next.

Model: ``score_ij = mu_i + b_j + e_ij`` with mu_i the config's mean over all seeds, b_j the effect of the
shared seeds of replicate j, e_ij independent normal with one variance for all configs. Scores that are
missing must be missing for reasons unrelated to their value; whoever breaks this (a policy that looks at
scores before it adds seeds) must say so beside the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_EPSILON = float(np.finfo(np.float64).eps)
#: an eigenvalue of the replicates' normal equations below this share of the largest one is a rounding error: adding
#: up a hundred configs leaves more than the usual few epsilon, real ones are at least about 1 / configs.
_NO_LINK = 1e-9


@dataclass(frozen=True)
class Noise:
    """A standard deviation estimated with `df` degrees of freedom, and its chi-square interval.

    All values are NaN when `df` is 0: nothing was repeated, so the noise is unknown, not zero. An `sd` of
    exactly 0 means that the repeats were identical: then nothing was measured about the noise either.
    """

    sd: float
    df: int
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether an interval may be built on it."""
        return self.df > 0 and self.sd > 0


def as_scores(scores: npt.ArrayLike) -> tuple[Floats, Mask]:
    """The matrix as float64 and the mask of its finite cells.

    Raises:
        ValueError: not two-dimensional.
    """
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"scores must have shape (n_configs, n_replicates), not {matrix.shape}")
    return matrix, np.isfinite(matrix)


def config_means(scores: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Mean of each config over the cells that have a score (NaN if none), and how many they are."""
    matrix, mask = as_scores(scores)
    counts = mask.sum(axis=1)
    totals = np.where(mask, matrix, 0.0).sum(axis=1)
    return np.divide(totals, counts, out=np.full(len(matrix), np.nan), where=counts > 0), counts


def config_sds(scores: npt.ArrayLike) -> Floats:
    """Sample standard deviation (n - 1) of each config; NaN with fewer than two scores."""
    squares, counts = _within_squares(scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)


def _within_squares(scores: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    matrix, mask = as_scores(scores)
    means, counts = config_means(matrix)
    deviations = np.where(mask, matrix - np.where(counts > 0, means, 0.0)[:, None], 0.0)
    return (deviations**2).sum(axis=1), counts


def noise_from(sum_of_squares: float, df: int, alpha: float) -> Noise:
    """Turn a sum of squares into a standard deviation with its (1 - alpha) chi-square interval."""
    if df < 1:
        return Noise(np.nan, 0, np.nan, np.nan)
    low, high = (float(np.sqrt(sum_of_squares / stats.chi2.ppf(p, df))) for p in (1 - alpha / 2, alpha / 2))
    return Noise(float(np.sqrt(sum_of_squares / df)), df, low, high)


def pooled_noise(scores: npt.ArrayLike, *, alpha: float = 0.05) -> Noise:
    """Standard deviation between seeds of one config, pooled over configs with two or more scores.

    Pooling assumes one variance for all configs. With few seeds that covers better than each config's own
    sd, also under skewed noise. The degrees of freedom are sum(n_i - 1).
    """
    squares, counts = _within_squares(scores)
    total = _beyond_rounding(float(squares.sum()), scores)
    return noise_from(total, int(np.maximum(counts - 1, 0).sum()), alpha)


def _beyond_rounding(sum_of_squares: float, scores: npt.ArrayLike) -> float:
    """The sum of squares, or 0 if differences in the last few bits of the scores are all it holds."""
    matrix, mask = as_scores(scores)
    largest = float(np.abs(matrix[mask]).max(initial=0.0))
    return sum_of_squares if sum_of_squares > mask.sum() * (64 * _EPSILON * largest) ** 2 else 0.0


def mean_intervals(scores: npt.ArrayLike, *, noise: Noise | None = None, alpha: float = 0.05) -> Floats:
    """Two-sided t intervals for each config's mean with one sd for all and its degrees of freedom.

    One at a time: no correction for looking at many.

    Args:
        scores: (n_configs, n_replicates).
        noise: between seeds of one config; `pooled_noise` when None, which is right for configs that share no seeds.
            For shared seeds see `variances.noise_of_means`.
        alpha: one minus the coverage.

    Returns:
        (n_configs, 2) lower and upper ends; NaN where there is no score, or the noise is unknown or zero.
    """
    means, counts = config_means(scores)
    noise = noise or pooled_noise(scores, alpha=alpha)
    if not noise.known:
        return np.full((len(means), 2), np.nan)
    half = float(stats.t.ppf(1 - alpha / 2, noise.df)) * noise.sd / np.sqrt(np.maximum(counts, 1))
    return np.column_stack([means - half, means + half])


@dataclass(frozen=True)
class BlockFit:
    """Least-squares fit of config means, with or without replicate effects.

    Attributes:
        effects: (n_configs,) mean of each config, adjusted to the average replicate; NaN without a score.
        own_variance: (n_configs,) one over the number of scores; NaN without one.
        shared: (n_configs, n_blocks) what two configs' effects have in common through the replicate effects; NaN
            rows for configs without a score; no columns when not `blocked`. See `unit_covariance`.
        noise: residual standard deviation with its degrees of freedom.
        blocked: whether replicate effects were fitted. False when there is one replicate, or when some
            configs share no chain of replicates with others, or when no degree of freedom would be left.
        pair_correlation: correlation of two configs' scores on the same replicate, 1 - residual variance /
            within-config variance: the share of the seed variance that pairing removes. Can be slightly
            negative by chance; NaN when not `blocked`, or one of the two variances is unknown or zero.
    """

    effects: Floats
    own_variance: Floats
    shared: Floats
    noise: Noise
    blocked: bool
    pair_correlation: float

    @property
    def unit_covariance(self) -> Floats:
        """Covariance of `effects` divided by the residual variance, for differences of effects.

        Returns:
            (n_configs, n_configs), ``diag(own_variance) + shared @ shared.T``; NaN rows and columns for configs
            without a score. Quadratic in the number of configs: `tukey_against` does without.
        """
        covariance = np.diag(self.own_variance) + self.shared @ self.shared.T
        unknown = np.isnan(self.own_variance)
        covariance[unknown], covariance[:, unknown] = np.nan, np.nan
        return covariance


def fit_blocks(scores: npt.ArrayLike, *, alpha: float = 0.05) -> BlockFit:
    """Fit ``mu_i + b_j`` to the available cells (randomised block design, intrablock analysis).

    Source: Scheffe, The Analysis of Variance (1959), ch. 4: config means are eliminated first; the
    replicate effects solve the reduced normal equations. Whether blocks are used depends on which cells
    exist, never on their values. Complete data give the ordinary means.
    """
    matrix, mask = as_scores(scores)
    used: Mask = np.asarray(mask.any(axis=1))
    y, m = np.where(mask, matrix, 0.0)[used], mask[used]
    m = m[:, m.any(axis=0)]
    y = y[:, mask[used].any(axis=0)]
    counts = m.sum(axis=1)
    means = y.sum(axis=1) / np.maximum(counts, 1)
    reduced = np.diag(m.sum(axis=0)) - (m / np.maximum(counts, 1)[:, None]).T @ m
    rank = np.linalg.matrix_rank(reduced, rtol=_NO_LINK, hermitian=True)
    connected = m.shape[1] > 1 and bool(rank == m.shape[1] - 1)
    df = int(counts.sum()) - len(counts)
    # Blocks cost degrees of freedom: with none left, an unpaired answer is better than none.
    blocked = connected and df > m.shape[1] - 1
    root = _root_of_inverse(reduced) if blocked else np.zeros((len(reduced), 0))
    blocks = root @ root.T @ (y.sum(axis=0) - m.T @ means)
    weights = m / np.maximum(counts, 1)[:, None]
    effects = means - weights @ blocks
    residual = np.where(m, y - effects[:, None] - blocks[None, :], 0.0)
    df -= m.shape[1] - 1 if blocked else 0
    noise = noise_from(_beyond_rounding(float((residual**2).sum()), scores), df, alpha)
    within = pooled_noise(scores, alpha=alpha)
    correlation = 1 - (noise.sd / within.sd) ** 2 if blocked and within.known and noise.known else np.nan
    return BlockFit(
        effects=_spread(effects, used),
        own_variance=_spread(1 / np.maximum(counts, 1), used),
        shared=_spread(weights @ root, used),
        noise=noise,
        blocked=blocked,
        pair_correlation=float(correlation),
    )


def _root_of_inverse(matrix: Floats) -> Floats:
    """R with ``R @ R.T`` the pseudo-inverse of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > values.max(initial=0.0) * _NO_LINK
    return np.where(kept, vectors / np.sqrt(np.where(kept, values, 1.0)), 0.0)


def _spread(values: Floats, used: Mask) -> Floats:
    """Put the rows of the used configs at their places among all configs, NaN elsewhere."""
    out = np.full((len(used), *values.shape[1:]), np.nan)
    out[used] = values
    return out


@dataclass(frozen=True)
class Comparisons:
    """Simultaneous intervals for differences ``effect_i - effect_j``.

    Attributes:
        estimate, low, high: for all pairs (n_configs, n_configs), antisymmetric; against one config i
            (n_configs,). NaN where a config has no score; `low` and `high` are all NaN when the noise is unknown
            or zero. Positive = i is better.
        family: number of configs over which the error rate is controlled.
    """

    estimate: Floats
    low: Floats
    high: Floats
    family: int


def tukey_kramer(fit: BlockFit, *, alpha: float = 0.05, family: int | None = None) -> Comparisons:
    """All-pairs intervals that hold together with probability at least 1 - alpha.

    Tukey (1953) and Kramer (1956): ``difference +- q(1 - alpha; k, df) / sqrt(2) * standard error`` with q
    the studentized range. Exact for equal replication, conservative for unequal replication (Hayter 1984,
    Ann. Statist. 12:61-75); for incomplete blocks, conservative in practice but not proved. Because every
    pair is covered at once, picking the best config *after* looking at the data and comparing it with the
    others stays within alpha. Looking again after more seeds were added is a new use of alpha and not
    corrected here. Ties have a difference of zero like any other value.

    Args:
        fit: from `fit_blocks`.
        alpha: family-wise error rate.
        family: number of configs in the family, at least those with a score (the default). Larger is
            conservative: use the number of configs that were started when some were stopped early.
    """
    variance = np.diag(fit.unit_covariance)
    variance = variance[:, None] + variance[None, :] - 2 * fit.unit_covariance
    return _simultaneous(fit, fit.effects[:, None] - fit.effects[None, :], variance, alpha, family)


def tukey_against(fit: BlockFit, best: int, *, alpha: float = 0.05, family: int | None = None) -> Comparisons:
    """The row `best` of `tukey_kramer`, in time and memory linear in the number of configs."""
    shared = fit.shared - fit.shared[best]
    variance = fit.own_variance + fit.own_variance[best] + (shared**2).sum(axis=1)
    variance[best] = 0.0
    return _simultaneous(fit, fit.effects[best] - fit.effects, variance, alpha, family)


def _simultaneous(
    fit: BlockFit, estimate: Floats, variance: Floats, alpha: float, family: int | None
) -> Comparisons:
    """Tukey-Kramer intervals around differences with these variances, in units of the residual variance."""
    k = max(int(np.isfinite(fit.effects).sum()), family or 0)
    if k < 2 or not fit.noise.known:
        empty = np.full_like(estimate, np.nan)
        return Comparisons(estimate, empty, empty.copy(), k)
    critical = critical_value(k, fit.noise.df, alpha)
    half = critical * fit.noise.sd * np.sqrt(np.where(np.isfinite(variance), np.maximum(variance, 0), np.nan))
    return Comparisons(estimate, estimate - half, estimate + half, k)


@lru_cache(maxsize=256)  # a tenth of a second each, and asked for again and again
def critical_value(k: int, df: float, alpha: float) -> float:
    """Multiplier of the standard error of a difference: q(1 - alpha; k, df) / sqrt(2). For k = 2 it is t."""
    if k <= 2:
        return float(stats.t.ppf(1 - alpha / 2, df))
    return float(stats.studentized_range.ppf(1 - alpha, k, df)) / float(np.sqrt(2))


def not_distinguishable(comparisons: Comparisons, best: int) -> list[int]:
    """Configs, the best among them, whose difference from the best is not shown to be other than zero.

    Args:
        comparisons: of all pairs, or against `best`.
        best: index of a config.
    """
    pairs = comparisons.low.ndim == 2
    low = comparisons.low[best] if pairs else comparisons.low
    known = np.isfinite(comparisons.estimate[best] if pairs else comparisons.estimate)
    return [i for i in range(len(low)) if i == best or (known[i] and not low[i] > 0)]
