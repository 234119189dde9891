"""How the true means of a search's configs are spread, and what a noisy estimate of each then says. Pure numpy.

Good configs crowd below a ceiling: a search space has a best that can be reached, and most of it lies below. A normal
prior promises every config of which little is known a fair chance to be far better than all the others, which none is;
with a ceiling, the chances that are stated are those that are observed (tune/README.md has the figures). Two shapes
with the same first two moments are weighed against each other, and neither their centre m nor their spread tau is
taken as known::

    mu = T - d,   d ~ Gamma(2, scale g),   T = m + sqrt(2) tau,   g = tau / sqrt(2)          (a ceiling at T)
    mu ~ N(m, tau^2)                                                                         (none)

Both are mixed with a small share of configs that have failed to learn and lie anywhere far below. tau is learned in
units of the seed noise sigma: ``1 / (1 + (2 tau / sigma)^2) ~ U(0, 1)`` (uniform shrinkage; Daniels 1999, Canad. J.
Statist. 27:567-578): survivors of a screening differ less than two seeds of one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

Floats = npt.NDArray[np.float64]

#: share of the configs of which an early value says nothing, for example because they start slowly.
SURPRISES = 0.15
#: prior share of configs that failed to learn, and how far below the centre they begin, in tau.
_FAILED, _FAR_BELOW = 0.1, 1.5
#: cells of the grid: centres, spreads; both shapes have all of them.
_CENTRES, _SPREADS = 9, 8
#: the prior median of tau in units of sigma is the inverse of this.
_NOISE_FIRST = 2.0
_ROOT_TAU = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class Population:
    """Posterior of the population's shape on a grid of H cells, and of k true means within each cell.

    Attributes:
        weight: (H,) probability of each cell; they sum to 1.
        centre, ceiling: (H,) m and T of each cell, T also where its own shape has no ceiling.
        bounded: (H,) whether the shape of the cell has the ceiling.
        mean, variance: (H, k) of each true mean, given the cell.
    """

    weight: Floats
    centre: Floats
    ceiling: Floats
    bounded: npt.NDArray[np.bool_]
    mean: Floats
    variance: Floats

    def moments(self) -> tuple[Floats, Floats]:
        """Posterior mean and variance of each true mean, (k,) each."""
        mean = self.weight @ self.mean
        return mean, self.weight @ (self.variance + (self.mean - mean) ** 2)

    # ---- configs without a score, for which only a mean is predicted, (k,) ------------------------------------

    def _gaps(self, predicted: Floats) -> tuple[tuple[float, Floats], tuple[float, Floats]]:
        """(share, expected distance below the ceiling, (H, k)), of those that are as predicted and of surprises.

        The distance is at least half the usual one: no early value takes a config closer to the ceiling.
        """
        usual = (self.ceiling - self.centre)[:, None]
        expected = np.maximum(self.ceiling[:, None] - predicted, usual / 2)
        return (1 - SURPRISES, expected), (SURPRISES, np.broadcast_to(usual, expected.shape))

    def moments_of_unscored(self, predicted: Floats) -> tuple[Floats, Floats]:
        """Posterior mean and variance of each true mean, (k,) each; Gamma(2) has the variance mean^2 / 2."""
        ceiling, parts = self.ceiling[:, None], self._gaps(predicted)
        mean = np.asarray(sum(share * (self.weight @ (ceiling - gap)) for share, gap in parts))
        squares = (share * (gap**2 / 2 + (ceiling - gap - mean) ** 2) for share, gap in parts)
        return mean, np.asarray(self.weight @ sum(squares))

    def draw_unscored(
        self, predicted: Floats, *, cell: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> Floats:
        """One draw of all true means in each of these cells, (n_cells, k)."""
        (_, expected), (_, usual) = self._gaps(predicted)
        surprise = rng.random((len(cell), len(predicted))) < SURPRISES
        gap = np.where(surprise, usual[cell], expected[cell])
        return self.ceiling[cell][:, None] - gap / 2 * rng.standard_gamma(2.0, gap.shape)

    def gains_of_unscored(self, predicted: Floats, *, leader: int, left: float) -> Floats:
        """Expected improvement of each on the `leader`-th of the configs with a score, (k,).

        Exact in the Gamma distribution; for the leader's own uncertainty, of whose variance the share `left` counts,
        three nodes (Gauss-Hermite).
        """
        often = self.weight > 1e-3
        weight = self.weight[often] / self.weight[often].sum()
        sd = np.sqrt(left * self.variance[often, leader])
        gain = np.zeros(len(predicted))
        for node, chance in ((-np.sqrt(3), 1 / 6), (0.0, 2 / 3), (np.sqrt(3), 1 / 6)):
            room = np.maximum(self.ceiling[often] - self.mean[often, leader] - node * sd, 0.0)[:, None]
            for share, gap in self._gaps(predicted):
                g = gap[often] / 2
                gain += chance * share * (weight @ (room - 2 * g + (room + 2 * g) * np.exp(-room / g)))
        return gain


def learn_population(estimate: Floats, variance: Floats, *, sigma: float, scale: float) -> Population:
    """Learn how true means are spread from noisy estimates of some of them.

    Args:
        estimate: (k,) one estimate for each config, k at least 1, higher is better.
        variance: (k,) of its error.
        sigma: standard deviation between seeds.
        scale: rough standard deviation of the estimates, above 0; the grid is laid out by it.
    """
    centre, tau = _grid(estimate, scale)
    ceiling = centre + np.sqrt(2) * tau
    error = np.sqrt(variance)
    below = _below_ceiling(ceiling[:, None] - estimate, error, (tau / np.sqrt(2))[:, None])
    free = _normal(estimate - centre[:, None], variance, (tau**2)[:, None])
    fit = np.concatenate([below[0], free[0]])
    mean = np.concatenate([ceiling[:, None] - below[1], centre[:, None] + free[1]])
    spread = np.concatenate([below[2], free[2]])
    tau, centre = np.tile(tau, 2), np.tile(centre, 2)
    width = max(float(np.ptp(estimate)), 6 * scale)
    failed = np.log(_FAILED / width) + log_ndtr(((centre - _FAR_BELOW * tau)[:, None] - estimate) / error)
    total = np.logaddexp(fit + np.log1p(-_FAILED), failed)
    ratio = (_NOISE_FIRST * tau / sigma) ** 2
    # One power of the ratio is the width of a cell of the geometric grid.
    log_weight = total.sum(axis=1) + np.log(ratio / (1 + ratio) ** 2)
    weight = np.exp(log_weight - log_weight.max())
    share = np.exp(failed - total)
    mixed = (1 - share) * mean + share * estimate
    spread = (1 - share) * (spread + (mean - mixed) ** 2) + share * (variance + (estimate - mixed) ** 2)
    bounded = np.arange(len(weight)) < len(ceiling)
    return Population(weight / weight.sum(), centre, np.tile(ceiling, 2), bounded, mixed, spread)


def _grid(estimate: Floats, scale: float) -> tuple[Floats, Floats]:
    """(H / 2,) centres and spreads, all pairs."""
    centres = float(np.median(estimate)) + scale * np.linspace(-1.5, 1.5, _CENTRES)
    spreads = scale * np.geomspace(0.12, 3.0, _SPREADS)
    return np.repeat(centres, _SPREADS), np.tile(spreads, _CENTRES)


def _normal(away: Floats, variance: Floats, spread: Floats) -> tuple[Floats, Floats, Floats]:
    """Log density of estimates `away` from the centre; posterior mean, from the centre, and variance."""
    total = spread + variance
    kept = spread / total
    return -np.log(2 * np.pi * total) / 2 - away**2 / total / 2, kept * away, variance * kept


def _below_ceiling(gap: Floats, error: Floats, g: Floats) -> tuple[Floats, Floats, Floats]:
    """The same for d = T - mu ~ Gamma(2, g), of which `gap` is an estimate with that standard error.

    The posterior of d is ``d N(d; gap - error^2 / g, error^2)`` for d > 0. With z its location in standard errors and
    r = phi(z) / Phi(z), its normalisation and moments are partial moments of the normal distribution: z + r,
    z^2 + 1 + z r, z^3 + 3 z + (z^2 + 2) r.
    """
    # Beyond this the moments cancel to nothing; such a cell has no weight.
    z = np.maximum((gap - error**2 / g) / error, -40.0)
    log_mass = log_ndtr(z)
    r = np.exp(-(z**2) / 2 - log_mass) / _ROOT_TAU
    first = np.maximum(z + r, 1e-9)
    second = np.maximum(z**2 + 1 + z * r, 1e-9)
    third = np.maximum(z**3 + 3 * z + (z**2 + 2) * r, 1e-9)
    log_density = -2 * np.log(g) - gap / g + (error / g) ** 2 / 2 + log_mass + np.log(error * first)
    mean = error * second / first
    return log_density, mean, np.maximum(error**2 * third / first - mean**2, 1e-3 * error**2)
