"""What each config would score on average over all seeds, from finished and from stopped runs of a search.

This is the one place where the evidence of a search is weighed: the search itself asks it what to run next, and the
verdict asks it which config the search has chosen, so that both name the same one. Pure numpy, no draws except where a
generator is passed in; it decides nothing and claims nothing. Whether a difference is real is said by `blocks.py`.

Model, with y a score (the best value of a run that ended by itself), higher is better::

    y_cs ~ N(mu_c, sigma^2)      mu_c ~ N(m, tau^2)

A run that was stopped has no score, but it is not silent: over the finished runs, the score is regressed on the
best-so-far at the epoch of the stop, and the predicted score enters with the variance of that prediction. Whether a run
was stopped depends on that value alone, so that the regression is not biased by it (missing at random; Rubin 1976,
Biometrika 63:581-592).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: weight of the prior guess of sigma^2, in degrees of freedom.
_SIGMA_DF = 4.0
#: weight of the prior guess of tau, in configs.
_TAU_CONFIGS = 16.0
#: weight of the prior slope of a rung regression, in configs, and that slope.
_SLOPE_CONFIGS, _SLOPE = 5.0, 0.5


@dataclass(frozen=True)
class Evidence:
    """What the runs of a search have shown; runs on held-out replicates do not belong here.

    Args:
        n_configs: configs are numbered from 0 to ``n_configs - 1``.
        config: (n,) config of each finished run.
        curves: (n, E) best value so far after each epoch, constant after the run's end; the last column is its score.
        stopped_config: (k,) config of each run that was stopped and has not been resumed.
        stopped_epoch: (k,) epochs that it had reported, 1 to E.
        stopped_value: (k,) its best value so far.
    """

    n_configs: int
    config: Indices
    curves: Floats
    stopped_config: Indices
    stopped_epoch: Indices
    stopped_value: Floats


@dataclass(frozen=True)
class Posterior:
    """Beliefs about the true means of the configs.

    Attributes:
        mean: (n_configs,) posterior mean, in the unit of the metric; NaN where nothing is known.
        variance: (n_configs,) posterior variance; NaN likewise.
        n: (n_configs,) finished runs.
        seed_sd: standard deviation of a score between seeds of one config.
        known: (n_configs,) whether there is any evidence.
    """

    mean: Floats
    variance: Floats
    n: Indices
    seed_sd: float
    known: Mask

    @property
    def choice(self) -> int | None:
        """The config with the highest posterior mean among those with a finished run; None without one."""
        if not self.n.any():
            return None
        return int(np.where(self.n > 0, self.mean, -np.inf).argmax())


def posterior(evidence: Evidence) -> Posterior:
    """Weigh all evidence.

    Time is linear in runs x epochs. Renumbering the configs renumbers the answer.
    """
    n, mean, within, df = _means(evidence)
    spread = _spread(mean[n > 0], evidence.stopped_value)
    sigma2 = (_SIGMA_DF * spread**2 / 2 + within) / (_SIGMA_DF + df)
    precision, weighted = n / sigma2, np.where(n > 0, n * mean, 0.0) / sigma2
    if len(evidence.config):
        value, variance = _predicted(evidence, n, spread)
        np.add.at(precision, evidence.stopped_config, 1 / (sigma2 + variance))
        np.add.at(weighted, evidence.stopped_config, value / (sigma2 + variance))
    known = precision > 0
    if not known.any():
        unknown = np.full(evidence.n_configs, np.nan)
        return Posterior(unknown, unknown.copy(), n, float(np.sqrt(sigma2)), known)
    estimate = weighted[known] / precision[known]
    centre = float(np.median(estimate))
    upper = np.median(estimate[estimate >= centre] - centre)
    excess = max((1.4826 * upper) ** 2 - np.median(1 / precision[known]), 0.0)
    tau2 = (_TAU_CONFIGS * sigma2 + len(estimate) * excess) / (_TAU_CONFIGS + len(estimate))
    out_mean, out_variance = np.full((2, evidence.n_configs), np.nan)
    out_variance[known] = 1 / (1 / tau2 + precision[known])
    out_mean[known] = out_variance[known] * (centre / tau2 + weighted[known])
    return Posterior(out_mean, out_variance, n, float(np.sqrt(sigma2)), known)


def _means(evidence: Evidence) -> tuple[Indices, Floats, float, int]:
    """Finished runs and mean score per config, pooled sum of squares within configs and its degrees of freedom."""
    n = np.bincount(evidence.config, minlength=evidence.n_configs)
    scores = evidence.curves[:, -1]
    total = np.bincount(evidence.config, weights=scores, minlength=evidence.n_configs)
    mean = np.divide(total, n, out=np.full(evidence.n_configs, np.nan), where=n > 0)
    within = float(((scores - mean[evidence.config]) ** 2).sum())
    return n, mean, within, int((n - 1).clip(0).sum())


def _spread(means: Floats, values: Floats) -> float:
    """A robust standard deviation of what was seen of different configs, never 0."""
    seen = means if len(means) > 3 else np.concatenate([means, values])
    if not len(seen):
        return 1.0
    upper = np.sort(seen)[len(seen) // 2 :] - np.median(seen)
    floor = 1e-6 * max(float(np.abs(seen).max()), 1e-6)
    return max(1.4826 * float(np.median(upper)), floor)


def _predicted(evidence: Evidence, n: Indices, spread: float) -> tuple[Floats, Floats]:
    """Predicted score of each stopped run, and the variance of that prediction beyond sigma^2, each (k,)."""
    epochs, of = np.unique(evidence.stopped_epoch, return_inverse=True)
    weight = 1.0 / n[evidence.config]
    configs = float(weight.sum())
    weight = weight / configs
    x, y = evidence.curves[:, epochs - 1], evidence.curves[:, -1]
    x_mean, y_mean = weight @ x, float(weight @ y)
    dx, dy = x - x_mean, y - y_mean
    prior = _SLOPE_CONFIGS * spread**2
    sxx = configs * (weight @ dx**2) + prior
    slope = np.clip((configs * ((weight * dy) @ dx) + _SLOPE * prior) / sxx, 0.0, 1.0)
    residual = (configs * (weight @ (dy[:, None] - slope * dx) ** 2) + prior) / (configs + _SLOPE_CONFIGS - 1)
    away = evidence.stopped_value - x_mean[of]
    value = y_mean + slope[of] * away
    return value, residual[of] * (1 + 1 / configs + away**2 / sxx[of])


def expected_regret(
    posterior: Posterior, config: int, *, rng: np.random.Generator, draws: int = 1000
) -> float:
    """Expected simple regret of choosing a config: how far its true mean is below the highest one.

    Args:
        posterior: beliefs.
        config: number of a known config.
        rng: the only source of chance.
        draws: joint draws of all true means.

    Returns:
        In the unit of the metric, at least 0; configs without any evidence are left out.
    """
    return float(_behind(posterior, config, rng, draws).mean())


def chance_near(
    posterior: Posterior, config: int, *, tolerance: float, rng: np.random.Generator, draws: int = 1000
) -> float:
    """Probability that a config's true mean is within `tolerance` of the highest one.

    Args:
        posterior: beliefs.
        config: number of a known config.
        tolerance: a difference of the metric that does not matter, at least 0.
        rng: the only source of chance.
        draws: joint draws of all true means.

    Raises:
        ValueError: a negative or NaN tolerance.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be 0 or more, in the unit of the metric, not {tolerance}")
    return float((_behind(posterior, config, rng, draws) <= tolerance).mean())


#: configs that are drawn: no other one can matter to the maximum.
_DRAWN = 64


def _behind(posterior: Posterior, config: int, rng: np.random.Generator, draws: int) -> Floats:
    """(draws,) how far the config is below the highest."""
    if not (0 <= config < len(posterior.known) and posterior.known[config]):
        raise ValueError(
            f"config {config} has no evidence; the known ones are {np.flatnonzero(posterior.known)}"
        )
    known = np.flatnonzero(posterior.known)
    reach = posterior.mean[known] + 3 * np.sqrt(posterior.variance[known])
    others = known[np.argsort(-reach, kind="stable")]
    others = others[others != config][: _DRAWN - 1]
    at = np.concatenate([[config], others])
    drawn = posterior.mean[at] + np.sqrt(posterior.variance[at]) * rng.standard_normal((draws, len(at)))
    return np.asarray(drawn.max(axis=1) - drawn[:, 0])
