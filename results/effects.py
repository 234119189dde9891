"""What each searched parameter did to the score, beside the seed noise: modest about few configs.

Every parameter is looked at alone (marginal effect), so in a random search the other parameters are part of
the scatter, and in a hand-picked list of configs they may be the real cause. Pure functions of a ranking.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from results.ranking import RankedConfig, Ranking
from results.statistics.blocks import Floats, critical_value, pooled_noise

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
            and holds for all parameters together (Bonferroni; choices with several levels: Tukey). None
            = too few configs.
        seed_error: standard error of `effect` from the seeds alone; None = noise unknown.
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


def parameter_effects(ranking: Ranking) -> tuple[ParameterEffect, ...]:
    """The effect of every parameter that has at least two values among the scored configs.

    Uses config means over all scored replicates; configs weigh equally. A parameter that only some configs
    have (a conditional one) is judged on those; null is a value like any other.
    """
    rows = ranking.scored
    seed_sd = pooled_noise(ranking.matrix()).sd if rows else math.nan
    names = sorted({name for row in rows for name in row.values})
    groups = {name: [row for row in rows if name in row.values] for name in names}
    varied = [name for name in names if len({level_key(row.values[name]) for row in groups[name]}) > 1]
    alpha = ranking.alpha / max(len(varied), 1)
    effects = (_effect(name, groups[name], seed_sd, alpha, ranking.sign) for name in varied)
    return tuple(sorted(effects, key=lambda effect: (-abs(effect.effect), effect.parameter)))


def _effect(
    name: str, rows: Sequence[RankedConfig], seed_sd: float, alpha: float, sign: int
) -> ParameterEffect:
    means = np.array([row.mean for row in rows], dtype=np.float64)
    errors = seed_sd**2 / np.array([row.n for row in rows], dtype=np.float64)
    values = [row.values[name] for row in rows]
    if all(is_number(value) for value in values):
        numbers = np.array(values, dtype=np.float64)
        return _number(name, numbers, means, errors, alpha)
    return _choice(name, values, means, errors, alpha, sign)


def _number(name: str, values: Floats, means: Floats, errors: Floats, alpha: float) -> ParameterEffect:
    """Least-squares line over the range seen, scaled to 0..1, so that the slope is the effect."""
    log = on_log_scale(values)
    x = np.log(values) if log else values
    x = (x - x.min()) / (x.max() - x.min())
    centred = x - x.mean()
    weights = centred / (centred**2).sum()
    slope, df = float(weights @ means), len(x) - 2
    residual = means - means.mean() - slope * centred
    half = (
        float(stats.t.ppf(1 - alpha / 2, df) * np.sqrt((residual**2).sum() / df / (centred**2).sum()))
        if df > 0
        else math.nan
    )
    levels = tuple(Level(float(v), 1, float(m)) for v, m in sorted(zip(values, means, strict=True)))
    scale = "log" if log else "linear"
    return _finished(name, ("number", scale), levels, slope, half, float(np.sqrt(weights**2 @ errors)))


def _choice(
    name: str, values: Sequence[object], means: Floats, errors: Floats, alpha: float, sign: int
) -> ParameterEffect:
    """Best level minus worst level, with one variance for all configs within their level."""
    members: Mapping[str, list[int]] = defaultdict(list)
    for i, value in enumerate(values):
        members[level_key(value)].append(i)
    groups = sorted(members.values(), key=lambda group: -sign * float(means[group].mean()))
    levels = tuple(Level(values[group[0]], len(group), float(means[group].mean())) for group in groups)
    best, worst = groups[0], groups[-1]
    df = len(means) - len(groups)
    half = math.nan
    if df > 0:
        within = sum(float(((means[group] - means[group].mean()) ** 2).sum()) for group in groups) / df
        half = critical_value(len(groups), df, alpha) * math.sqrt(within * (1 / len(best) + 1 / len(worst)))
    seed_error = math.sqrt(errors[best].sum() / len(best) ** 2 + errors[worst].sum() / len(worst) ** 2)
    return _finished(name, ("choice", "groups"), levels, levels[0].mean - levels[-1].mean, half, seed_error)


def _finished(
    name: str,
    kind: tuple[str, str],
    levels: tuple[Level, ...],
    effect: float,
    half: float,
    seed_error: float,
) -> ParameterEffect:
    known = math.isfinite(half)
    finding = "too few configs"
    if known:
        finding = "effect shown" if abs(effect) > half else "no effect shown"
    return ParameterEffect(
        parameter=name,
        kind=kind[0],
        scale=kind[1],
        levels=levels,
        effect=effect,
        low=effect - half if known else None,
        high=effect + half if known else None,
        seed_error=seed_error if math.isfinite(seed_error) else None,
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
