"""What each searched parameter did to the score, beside the seed noise: modest about few configs.

Every parameter is looked at alone (marginal effect), so in a random search the other parameters are part of
the scatter, and in a hand-picked list of configs they may be the real cause. Pure functions of a ranking.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from results.ranking import Ranking
from results.statistics.adaptive import LEAST_SCORES
from results.statistics.blocks import Floats, as_scores, critical_value, fit_blocks, pooled_noise

#: degrees of freedom from which on an effect has an interval: from one alone it is wider than any effect.
_LEAST_DF = 2
#: a positive parameter whose largest value is at least this many times its smallest is read on a log scale.
_LOG_RATIO = 8.0


@dataclass(frozen=True)
class Level:
    """One value of a parameter, how many configs had it, and the mean of their means."""

    value: object
    n_configs: int
    mean: float


@dataclass(frozen=True)
class ParameterEffect:
    """Marginal effect of one parameter on the config means.

    Attributes:
        parameter: its name.
        kind: ``number`` or ``choice``.
        scale: ``log`` or ``linear`` for numbers, ``groups`` for choices.
        levels: for choices, from the best to the worst mean; for numbers the configs' own (value, 1, mean).
        effect: numbers: change of the metric from the smallest to the largest value seen, along the
            least-squares line. Choices: mean of the best level minus mean of the worst one.
        low, high: interval of `effect`. It covers everything that differs between configs, seeds included,
            and holds for all parameters together (Bonferroni; choices with several levels: Tukey). It is never
            narrower than the seeds alone would make it. None = too few configs.
        seed_error: standard error of `effect` from the seeds alone (see `SeedErrors`); None = noise unknown.
        n_configs: configs with this parameter and a score.
        finding: ``effect shown``, ``no effect shown`` or ``too few configs``.
    """

    parameter: str
    kind: str
    scale: str
    levels: tuple[Level, ...]
    effect: float
    low: float | None
    high: float | None
    seed_error: float | None
    n_configs: int
    finding: str


@dataclass(frozen=True)
class SeedErrors:
    """What the seeds alone make of means of configs, and of differences between them.

    Attributes:
        residual: sd of one score once the effect that a replicate has on all configs is taken out, because that
            cancels between configs on the same seeds; without shared seeds the sd between seeds. NaN = unknown.
        replicate: sd of that effect, 0 without shared seeds.
        shares: (n_configs, n_replicates) the share of each run in the mean of its config; rows add up to 1.
        df: degrees of freedom of `residual`; 0 = unknown.
    """

    residual: float
    replicate: float
    shares: Floats
    df: int

    def of_means(self) -> Floats:
        """(n_configs,) standard errors of the means, for comparing configs on the same seeds."""
        return np.asarray(self.residual * np.sqrt((self.shares**2).sum(axis=1)))

    def of_contrast(self, rows: Sequence[int], weights: Floats) -> float:
        """Standard error of a weighted sum of means.

        The effect of a replicate cancels only as far as the configs were scored on the same ones.

        Args:
            rows: whose means.
            weights: (len(rows),) their weights, which add up to 0.
        """
        shares = self.shares[list(rows)]
        own = float(weights**2 @ (shares**2).sum(axis=1))
        common = float(((weights @ shares) ** 2).sum())
        return math.sqrt(self.residual**2 * own + self.replicate**2 * common)


def seed_errors(ranking: Ranking) -> SeedErrors:
    """The seeds' part in the means of `Ranking.scored`, in this order; from the residual noise of `fit_blocks`."""
    matrix, mask = as_scores(ranking.matrix())
    shares = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    if not len(matrix):
        return SeedErrors(math.nan, 0.0, shares, 0)
    fit, within = fit_blocks(matrix), pooled_noise(matrix)
    replicate = math.sqrt(max(within.sd**2 - fit.noise.sd**2, 0.0)) if fit.blocked else 0.0
    return SeedErrors(fit.noise.sd, replicate, shares, fit.noise.df)


def for_effects(ranking: Ranking) -> Ranking:
    """The configs whose means show effects: where the search gave out the seeds by the scores, the repeated ones."""
    if not ranking.plan.adaptive:
        return ranking
    return replace(ranking, rows=tuple(row for row in ranking.scored if row.n >= LEAST_SCORES))


def parameter_effects(ranking: Ranking) -> tuple[ParameterEffect, ...]:
    """The effect of every parameter that has at least two values among the scored configs (`for_effects`).

    Uses config means over all scored replicates; configs weigh equally. A parameter that only some configs
    have (a conditional one) is judged on those; null is a value like any other.
    """
    ranking = for_effects(ranking)
    rows, seeds = ranking.scored, seed_errors(ranking)
    names = sorted({name for row in rows for name in row.values})
    groups = {name: [i for i, row in enumerate(rows) if name in row.values] for name in names}
    varied = [name for name in names if len({level_key(rows[i].values[name]) for i in groups[name]}) > 1]
    alpha = ranking.alpha / max(len(varied), 1)
    effects = []
    for name in varied:
        means = np.array([rows[i].mean for i in groups[name]], dtype=np.float64)
        values = [rows[i].values[name] for i in groups[name]]
        if all(is_number(value) for value in values):
            effect, weights = _number(name, np.array(values, dtype=np.float64), means=means, alpha=alpha)
        else:
            effect, weights = _choice(name, values, means=means, alpha=alpha, sign=ranking.sign)
        error = seeds.of_contrast(groups[name], weights)
        if math.isfinite(error):
            effect = _beyond_seeds(effect, error, seeds.df, alpha)
        effects.append(effect)
    return tuple(sorted(effects, key=lambda effect: (-abs(effect.effect), effect.parameter)))


def _enough(df: int) -> int:
    """The degrees of freedom; 0 when they are too few for an interval."""
    return df if df >= _LEAST_DF else 0


def _number(name: str, values: Floats, *, means: Floats, alpha: float) -> tuple[ParameterEffect, Floats]:
    """Least-squares line over the range seen, scaled to 0..1, so that the slope is the effect; and its weights."""
    log = on_log_scale(values)
    x = np.log(values) if log else values
    x = (x - x.min()) / (x.max() - x.min())
    centred = x - x.mean()
    weights = centred / (centred**2).sum()
    slope, df = float(weights @ means), _enough(len(x) - 2)
    residual = means - means.mean() - slope * centred
    half = (
        float(stats.t.ppf(1 - alpha / 2, df) * np.sqrt((residual**2).sum() / df / (centred**2).sum()))
        if df > 0
        else math.nan
    )
    levels = tuple(Level(float(v), 1, float(m)) for v, m in sorted(zip(values, means, strict=True)))
    return _finished(
        name, levels, kind="number", scale="log" if log else "linear", effect=slope, half=half
    ), weights


def _choice(
    name: str, values: Sequence[object], *, means: Floats, alpha: float, sign: int
) -> tuple[ParameterEffect, Floats]:
    """Best level minus worst level, with one variance for all configs within their level; and its weights."""
    members: Mapping[str, list[int]] = defaultdict(list)
    for i, value in enumerate(values):
        members[level_key(value)].append(i)
    groups = sorted(members.values(), key=lambda group: -sign * float(means[group].mean()))
    levels = tuple(Level(values[group[0]], len(group), float(means[group].mean())) for group in groups)
    best, worst = groups[0], groups[-1]
    df = _enough(len(means) - len(groups))
    half = math.nan
    if df > 0:
        within = sum(float(((means[group] - means[group].mean()) ** 2).sum()) for group in groups) / df
        half = critical_value(len(groups), df, alpha) * math.sqrt(within * (1 / len(best) + 1 / len(worst)))
    weights = np.zeros(len(means))
    weights[best], weights[worst] = 1 / len(best), -1 / len(worst)
    difference = levels[0].mean - levels[-1].mean
    return _finished(name, levels, kind="choice", scale="groups", effect=difference, half=half), weights


def _beyond_seeds(effect: ParameterEffect, error: float, df: int, alpha: float) -> ParameterEffect:
    """The effect with its error from the seeds, and an interval no narrower than that error makes it.

    What differs between configs holds the seeds' part too, but a few config means may lie together by chance.
    """
    if effect.low is None or effect.high is None:
        return replace(effect, seed_error=error)
    half = max((effect.high - effect.low) / 2, float(stats.t.ppf(1 - alpha / 2, df)) * error)
    found = _finished(
        effect.parameter,
        effect.levels,
        kind=effect.kind,
        scale=effect.scale,
        effect=effect.effect,
        half=half,
    )
    return replace(found, seed_error=error)


def _finished(
    name: str, levels: tuple[Level, ...], *, kind: str, scale: str, effect: float, half: float
) -> ParameterEffect:
    """An effect with its interval and finding, still without its error from the seeds."""
    known = math.isfinite(half)
    finding = "too few configs"
    if known:
        finding = "effect shown" if abs(effect) > half else "no effect shown"
    return ParameterEffect(
        parameter=name,
        kind=kind,
        scale=scale,
        levels=levels,
        effect=effect,
        low=effect - half if known else None,
        high=effect + half if known else None,
        seed_error=None,
        n_configs=sum(level.n_configs for level in levels),
        finding=finding,
    )


def on_log_scale(values: Floats) -> bool:
    """Whether the values of a number are read on a log scale: all positive, and far apart."""
    return bool(values.min() > 0 and values.max() / values.min() >= _LOG_RATIO)


def is_number(value: object) -> bool:
    """Whether a value is a number; True and False are choices."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def level_key(value: object) -> str:
    """A value as a group: 1 and 1.0 are one number, True and "True" are not one choice."""
    return repr(float(value)) if is_number(value) else repr(value)  # type: ignore[arg-type]
