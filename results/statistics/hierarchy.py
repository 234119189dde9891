"""The hierarchical normal model of config means, as draws from its posterior.

True means of configs are themselves taken for a sample, so each one borrows from the others: that is what
makes a statement about the *best* of many configs honest. Pure: a fit and a generator in, draws out. What is
done with the draws is in `probability.py` and `shrinkage.py`.

Model, with y the effects of a `BlockFit`, sigma^2 C their covariance and higher = better::

    y | mu ~ N(mu, sigma^2 C)      mu_i ~ N(m, tau^2)      rho = tau / sigma

- sigma^2: scaled inverse chi-square with the fit's degrees of freedom (Gelman et al., Bayesian Data Analysis,
  3rd ed., section 3.2), updated by what the effects say about it.
- m: flat.
- rho: ``1 / (1 + rho^2) ~ U(0, 1)``, uniform shrinkage of a single score (Daniels 1999, Canad. J. Statist.
  27:567-578), so that tau is as likely below as above sigma. Its density is 0 at 0, because two different configs
  never have exactly the same true mean, and its tail is proper, so that two configs are enough. Flat and
  half-Cauchy priors were tried: they leave too much at 0 and overstate how many configs are close to the best.
- m and rho are learned from the upper half of the configs; of the others only that they lie below it is used
  (type II censoring; Cohen 1959, Technometrics 1:217-237). A few configs that fail to learn say nothing about how
  far the good ones differ, and without this they would stop all shrinkage of the good ones. Where a config lies
  more than `FAR_BELOW` standard deviations of the model below m, the model does not hold for it and it is not
  shrunken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from results.statistics.blocks import BlockFit, Floats, Noise

Indices = npt.NDArray[np.int64]

#: all configs are used uncensored up to this many: half of fewer says nothing about a spread.
LEAST_UPPER = 4
FAR_BELOW = 3.0
_SIGMAS, _RATIOS = 16, 96
_NEWTON_STEPS = 30


@dataclass(frozen=True)
class MeanDraws:
    """Draws from the posterior of the config means.

    Attributes:
        means: (n_draws, n_known) true means, in the unit of the metric, for the configs with an effect; up to a
            shift that all configs share, the effect of the seeds that were used.
        spread: (n_draws,) tau, standard deviation of the true means.
        sd: (n_draws,) sigma, residual standard deviation of one score.
    """

    means: Floats
    spread: Floats
    sd: Floats


def draw_means(fit: BlockFit, *, rng: np.random.Generator, draws: int = 10_000) -> MeanDraws | None:
    """Draw the true means of all configs that have an effect.

    sigma and rho are integrated on a grid, m by Laplace's method, which is exact as long as nothing is censored;
    given these the means are normal. Time and memory are linear in draws x configs, for incomplete blocks too.
    The errors that incomplete blocks have in common enter the means in full, the weights of the grid only by
    their variances.

    Args:
        fit: from `fit_blocks`, higher is better.
        rng: the only source of chance.
        draws: how many.

    Returns:
        None when the noise is unknown or zero, or no config has a score.
    """
    known = np.isfinite(fit.effects)
    if not fit.noise.known or not known.any():
        return None
    data = _Data(fit.effects[known], fit.own_variance[known], fit.shared[known])
    grid = _grid(data, fit.noise)
    cells = np.searchsorted(np.cumsum(grid.weight), (np.arange(draws) + rng.random()) / draws)
    i, j = np.unravel_index(np.minimum(cells, grid.weight.size - 1), grid.centre.shape)
    # Within its cell sigma is continuous: with few degrees of freedom its tail is what makes intervals wide.
    sd = _sd_at(fit.noise, (i + rng.random(draws)) / _SIGMAS)
    centre = grid.centre[i, j] + grid.error[i, j] * sd / grid.sigma[i] * rng.standard_normal(draws)
    effects = data.effects
    if data.shared.shape[1]:
        common = _common_errors(data, grid.ratio, cells=j, centre=centre, sd=sd, rng=rng)
        effects = effects - common @ data.shared.T
    ratio = grid.ratio[j]
    kept = ratio[:, None] ** 2 / (data.own_variance + ratio[:, None] ** 2)
    reach = FAR_BELOW * sd[:, None] * np.sqrt(data.own_variance + ratio[:, None] ** 2)
    kept = np.where(centre[:, None] - effects > reach, 1.0, kept)
    means = centre[:, None] + kept * (effects - centre[:, None])
    means += sd[:, None] * np.sqrt(data.own_variance * kept) * rng.standard_normal(means.shape)
    return MeanDraws(means, ratio * sd, sd)


@dataclass(frozen=True)
class _Data:
    """The known configs of a `BlockFit`: effects (k,), own_variance (k,), shared (k, r), r = 0 without blocks."""

    effects: Floats
    own_variance: Floats
    shared: Floats


def _sd_at(noise: Noise, probability: Floats) -> Floats:
    """Sigma at these probabilities of its scaled inverse chi-square distribution."""
    return np.asarray(noise.sd * np.sqrt(noise.df / stats.chi2.isf(probability, noise.df)))


def _common_errors(
    data: _Data, ratios: Floats, *, cells: Indices, centre: Floats, sd: Floats, rng: np.random.Generator
) -> Floats:
    """Draw the errors that configs of incomplete blocks have in common, (n_draws, r), given everything else.

    With W = 1 / (own variance + rho^2) their precision is ``(1 + S' W S) / sigma^2`` and their mean
    ``(1 + S' W S)^-1 S' W (y - m)``; both depend on the cell of rho alone, so that the draws are made cell by cell.
    """
    s = data.shared
    errors = rng.standard_normal((len(cells), s.shape[1]))
    for cell in np.unique(cells):
        here = cells == cell
        weighted = s.T / (data.own_variance + ratios[cell] ** 2)
        precision = np.eye(s.shape[1]) + weighted @ s
        means = np.linalg.solve(precision, np.column_stack([weighted @ data.effects, weighted.sum(axis=1)]))
        chance = errors[here] @ np.linalg.inv(np.linalg.cholesky(precision))
        errors[here] = means[:, 0] - centre[here, None] * means[:, 1] + sd[here, None] * chance
    return errors


@dataclass(frozen=True)
class _Grid:
    """Posterior on a grid: sigma (S,), rho (G,), and for each pair the mode of m, its error and the weight."""

    sigma: Floats
    ratio: Floats
    centre: Floats
    error: Floats
    weight: Floats


def _grid(data: _Data, noise: Noise) -> _Grid:
    """Weigh every (sigma, rho) by the likelihood of the effects."""
    d = data.own_variance + (data.shared**2).sum(axis=1)
    groups = _grouped(data.effects, d)
    sigma = _sd_at(noise, (np.arange(_SIGMAS) + 0.5) / _SIGMAS)
    widest = max(30.0, 10 * float(np.ptp(data.effects)) / noise.sd)
    ratio = np.geomspace(0.03 * np.sqrt(d.mean()), widest, _RATIOS)
    variance = sigma[:, None, None] ** 2 * (groups.d + ratio[:, None] ** 2)
    centre, curvature = _mode(groups, variance)
    # The second rho is the width of a cell of the geometric grid.
    prior = np.log(ratio / (1 + ratio**2) ** 2) + np.log(ratio)
    log_weight = _log_likelihood(groups, variance, centre) - np.log(curvature) / 2 + prior
    weight = np.exp(log_weight - log_weight.max())
    return _Grid(sigma, ratio, centre + groups.cut, 1 / np.sqrt(curvature), (weight / weight.sum()).ravel())


@dataclass(frozen=True)
class _Groups:
    """Sufficient statistics by distinct value of d, each (n_groups,): effects are measured from the cut.

    `n`, `total` and `squares` belong to the upper configs, `below` counts the censored ones.
    """

    d: Floats
    n: Floats
    total: Floats
    squares: Floats
    below: Floats
    cut: float


def _grouped(effects: Floats, d: Floats) -> _Groups:
    upper = max(-(-len(effects) // 2), min(LEAST_UPPER, len(effects)))
    order = np.argsort(-effects, kind="stable")
    cut = float(effects[order[upper - 1]])
    above = np.zeros(len(effects), dtype=bool)
    above[order[:upper]] = True
    values, group = np.unique(d, return_inverse=True)

    def per_group(weights: Floats) -> Floats:
        return np.asarray(np.bincount(group, weights=weights, minlength=len(values)), dtype=np.float64)

    shifted = np.where(above, effects - cut, 0.0)
    return _Groups(
        values,
        per_group(above.astype(np.float64)),
        per_group(shifted),
        per_group(shifted**2),
        per_group((~above).astype(np.float64)),
        cut,
    )


def _log_likelihood(groups: _Groups, variance: Floats, centre: Floats) -> Floats:
    """(S, G) log likelihood of the effects at m = centre, up to a constant."""
    m = centre[..., None]
    squares = groups.squares - 2 * m * groups.total + groups.n * m**2
    terms = -groups.n * np.log(variance) / 2 - squares / variance / 2
    terms += groups.below * special.log_ndtr(-m / np.sqrt(variance))
    return np.asarray(terms.sum(axis=-1))


def _mode(groups: _Groups, variance: Floats) -> tuple[Floats, Floats]:
    """Most likely m for each (sigma, rho), and the curvature there: the likelihood is log-concave in m."""
    root = np.sqrt(variance)
    m = np.full(variance.shape[:2], groups.total.sum() / groups.n.sum())
    longest = 2 * root.max(axis=-1)
    for _ in range(_NEWTON_STEPS):
        x = -m[..., None] / root
        mills = np.exp(-(x**2) / 2 - special.log_ndtr(x)) / np.sqrt(2 * np.pi)
        slope = (groups.total - groups.n * m[..., None]) / variance - groups.below * mills / root
        bend = (groups.n + groups.below * np.clip(mills * (mills + x), 0.0, 1.0)) / variance
        curvature = bend.sum(axis=-1)
        step = np.clip(slope.sum(axis=-1) / curvature, -longest, longest)
        m = m + step
        if np.all(np.abs(step) < 1e-9 * longest):
            break
    return m, curvature
