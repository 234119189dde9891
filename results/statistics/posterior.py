"""What each config would score on average over all seeds, from finished and from stopped runs of a search.

This is the one place where the evidence of a search is weighed: the search asks it what to run next, and the verdict
asks it which config the search has chosen, so that both name the same one. It decides nothing and claims nothing;
whether a difference is real is said by `blocks.py`. Higher is better.

Model, with y the score of a run that ended by itself::

    y_cs ~ N(mu_c, sigma_c^2)      mu_c: see `ceiling.py`

- sigma_c^2: the config's own sum of squares, drawn towards the pooled variance within configs (weight `_OWN_DF` degrees
  of freedom), and that towards half of the variance between what was seen (`_SIGMA_DF`). The last one matters only
  while hardly anything was repeated, and it is the data's: there is no constant with a unit in here.
- A run that was stopped has no score, but it is not silent: over the configs with a score, the mean score is regressed
  on the best-so-far at the epoch of the stop. Whether a run was stopped depends on that value alone, so that the
  regression is not biased by it (missing at random; Rubin 1976, Biometrika 63:581-592). The prediction is the mean of
  what lies below the ceiling: of such a config, ``mu = T - Gamma(2, scale (T - prediction) / 2)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from results.statistics.ceiling import Floats, Population, learn_population

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: weights, in degrees of freedom, of the prior guess of sigma^2 and of the pooled variance in a config's own one.
_SIGMA_DF, _OWN_DF = 4.0, 8.0
#: weight of the prior correlation of a value at a stop with the true mean, in configs, and that correlation.
_LINE_CONFIGS, _CORRELATION = 5.0, 0.4
#: a config this many standard deviations below the others says nothing about how early and final values go together.
_FAR_BELOW = 4.0


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
        seed_sd: standard deviation of a score between seeds of one config, pooled over the configs.
        known: (n_configs,) whether there is any evidence; without a finished run nothing is known.
        df: degrees of freedom of the intervals.
        own_sd: (n_configs,) standard deviation of a score between seeds of this config.
        population: how the configs with a finished run are spread, in the order of their numbers; None: take every
            true mean for normal with `mean` and `variance`.
        predicted: (n_configs,) what the regression predicts for configs with stopped runs only; NaN for others.
    """

    mean: Floats
    variance: Floats
    n: Indices
    seed_sd: float
    known: Mask
    df: float = np.inf
    own_sd: Floats | None = None
    population: Population | None = None
    predicted: Floats | None = None

    @property
    def choice(self) -> int | None:
        """The config with the highest posterior mean among those with a finished run; None without one."""
        if not self.n.any():
            return None
        return int(np.where(self.n > 0, self.mean, -np.inf).argmax())

    def interval(self, alpha: float = 0.05) -> tuple[Floats, Floats]:
        """Ends of an interval of probability ``1 - alpha`` for each true mean, (n_configs,) each; NaN if unknown."""
        half = float(stdtrit(self.df, 1 - alpha / 2)) * np.sqrt(self.variance)
        return self.mean - half, self.mean + half


def posterior(evidence: Evidence) -> Posterior:
    """Weigh all evidence.

    Time is linear in runs x epochs. Renumbering the configs renumbers the answer; shifting or scaling all values
    shifts or scales it.
    """
    n, mean, squares = _scores(evidence)
    df = float((n - 1).clip(0).sum())
    within = float(squares.sum())
    spread = _spread(mean[n > 0], evidence.stopped_value, within / df if df else 0.0)
    pooled = (_SIGMA_DF * spread**2 / 2 + within) / (_SIGMA_DF + df)
    own = (_OWN_DF * pooled + squares) / (_OWN_DF + (n - 1).clip(0))
    seed_sd, own_sd = float(np.sqrt(pooled)), np.sqrt(own)
    out_mean, out_variance = np.full((2, evidence.n_configs), np.nan)
    known = n > 0
    if not known.any():
        return Posterior(out_mean, out_variance, n, seed_sd, known, own_sd=own_sd)
    runs = n[known]
    between = np.sqrt(max(spread**2 - pooled / np.median(runs), pooled / 4))
    scale = max(spread, seed_sd / float(np.sqrt(np.median(runs))))
    population = learn_population(mean[known], own[known] / runs, sigma=seed_sd, scale=scale)
    out_mean[known], out_variance[known] = population.moments()
    predicted = np.full(evidence.n_configs, np.nan)
    stopped, predicted_there = _predicted(evidence, n, mean, own=own, between=float(between))
    predicted[stopped], known[stopped] = predicted_there, True
    out_mean[stopped], out_variance[stopped] = population.moments_of_unscored(predicted_there)
    degrees = min(_SIGMA_DF + df, max(len(runs) - 1.0, 2.0))
    return Posterior(out_mean, out_variance, n, seed_sd, known, degrees, own_sd, population, predicted)


def _scores(evidence: Evidence) -> tuple[Indices, Floats, Floats]:
    """Finished runs, mean score and sum of squared deviations of each config."""
    scores, size = evidence.curves[:, -1], evidence.n_configs
    n: Indices = np.bincount(evidence.config, minlength=size).astype(np.int64)
    total = np.bincount(evidence.config, weights=scores, minlength=size)
    mean: Floats = np.divide(total, n, out=np.full(size, np.nan), where=n > 0)
    away = scores - mean[evidence.config]
    squares: Floats = np.bincount(evidence.config, weights=away**2, minlength=size).astype(np.float64)
    return n, mean, squares


def _spread(means: Floats, values: Floats, within: float) -> float:
    """A robust standard deviation of what was seen of different configs, at least that of seeds, never 0."""
    seen = means if len(means) > 3 else np.concatenate([means, values])
    if not len(seen):
        return 1.0
    upper = np.sort(seen)[len(seen) // 2 :] - np.median(seen)
    floor = 1e-6 * max(float(np.abs(seen).max()), 1e-6)
    return max(1.4826 * float(np.median(upper)), float(np.sqrt(within)), floor)


def _predicted(
    evidence: Evidence, n: Indices, mean: Floats, *, own: Floats, between: float
) -> tuple[Indices, Floats]:
    """Configs with stopped runs only, and the true mean that the regression predicts for each of them."""
    use = n[evidence.stopped_config] == 0
    config, value = evidence.stopped_config[use], evidence.stopped_value[use]
    if not len(config):
        return config, value
    epochs, of = np.unique(evidence.stopped_epoch[use], return_inverse=True)
    known = n > 0
    early = np.zeros((evidence.n_configs, len(epochs)))
    np.add.at(early, evidence.config, evidence.curves[:, epochs - 1])
    x, y, variance = early[known] / n[known, None], mean[known], between**2 + own[known] / n[known]
    usable = y >= np.median(y) - _FAR_BELOW * np.sqrt(variance)
    weight = np.where(usable, 1 / variance, 0.0)
    weight, configs = weight / weight.sum(), int(usable.sum())
    dx, dy = x - weight @ x, y - weight @ y
    square = np.maximum(weight @ dx**2, 1e-12 * between**2)
    prior = _LINE_CONFIGS * _CORRELATION * between * np.sqrt(square)
    slope = (configs * ((weight * dy) @ dx) + prior) / ((configs + _LINE_CONFIGS) * square)
    predicted = float(weight @ y) + np.clip(slope, 0.0, 1.0)[of] * (value - (weight @ x)[of])
    # More than one stopped run of a config: it failed on the first and was screened again.
    found, position, times = np.unique(config, return_inverse=True, return_counts=True)
    return found, np.bincount(position, weights=predicted) / times


def draw_means(belief: Posterior, *, rng: np.random.Generator, draws: int) -> Floats:
    """Joint draws of the true means of the known configs, (draws, n_known), in the order of their numbers.

    Args:
        belief: from `posterior`.
        rng: the only source of chance.
        draws: how many.
    """
    known = np.flatnonzero(belief.known)
    noise = rng.standard_normal((draws, len(known)))
    if np.isfinite(belief.df):
        noise *= np.sqrt(belief.df / rng.chisquare(belief.df, draws))[:, None]
    population = belief.population
    if population is None:
        return np.asarray(belief.mean[known] + np.sqrt(belief.variance[known]) * noise)
    cell = rng.choice(len(population.weight), draws, p=population.weight)
    scored = belief.n[known] > 0
    means = np.empty((draws, len(known)))
    own = population.mean[cell] + np.sqrt(population.variance[cell]) * noise[:, scored]
    highest = np.where(population.bounded, population.ceiling, np.inf)[cell]
    means[:, scored] = np.minimum(own, highest[:, None])
    if belief.predicted is not None:
        means[:, ~scored] = population.draw_unscored(belief.predicted[known][~scored], cell=cell, rng=rng)
    return means


def improvements(belief: Posterior, leader: int, *, variance: Floats) -> Floats:
    """Expected positive part of ``mu_c - mu_leader``, (n_configs,), in the unit of the metric; NaN where unknown.

    Args:
        belief: from `posterior`.
        leader: a config with a finished run; its own entry is 0.
        variance: (n_configs,) of the true means of configs with a finished run, for example with the runs under way
            counted as done.
    """
    ahead = belief.mean - belief.mean[leader]
    sd = np.sqrt(variance + variance[leader])
    z = ahead / sd
    gain = np.asarray(sd * (z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)))
    stopped = np.flatnonzero(belief.known & (belief.n == 0))
    if belief.population is not None and belief.predicted is not None and len(stopped):
        left = float(variance[leader] / belief.variance[leader])
        at = int((belief.n[:leader] > 0).sum())
        gain[stopped] = belief.population.gains_of_unscored(belief.predicted[stopped], leader=at, left=left)
    gain[leader] = 0.0
    return gain


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

    Raises:
        ValueError: nothing is known of the config.
    """
    return float(_behind(posterior, config, rng, draws).mean())


def surely_behind(
    posterior: Posterior, config: int, *, least: float, rng: np.random.Generator, draws: int = 150
) -> bool:
    """Whether the expected regret of a config is above `least`, as far as few draws can tell: by six standard errors.

    Args:
        posterior: beliefs.
        config: number of a known config.
        least: in the unit of the metric.
        rng: the only source of chance.
        draws: joint draws of all true means, at least 2.

    Raises:
        ValueError: nothing is known of the config.
    """
    behind = _behind(posterior, config, rng, draws)
    return bool(behind.mean() - 6 * behind.std(ddof=1) / np.sqrt(draws) > least)


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
        ValueError: a negative or NaN tolerance; nothing is known of the config.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be 0 or more, in the unit of the metric, not {tolerance}")
    return float((_behind(posterior, config, rng, draws) <= tolerance).mean())


def _behind(belief: Posterior, config: int, rng: np.random.Generator, draws: int) -> Floats:
    """(draws,) how far the config is below the highest."""
    if not (0 <= config < len(belief.known) and belief.known[config]):
        raise ValueError(
            f"config {config} has no evidence; the known ones are {np.flatnonzero(belief.known)}"
        )
    means = draw_means(belief, rng=rng, draws=draws)
    return np.asarray(means.max(axis=1) - means[:, int(belief.known[:config].sum())])
