"""Mean squares and what they say about variances: balanced random-effects analysis of variance, and its intervals.

Pure functions of arrays; no seed and no config is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import stats

from results.statistics.blocks import Floats

#: the factors of an effect: () = repeats within a cell, (0,) = main effect, (0, 1) = interaction.
Effect = tuple[int, ...]


@dataclass(frozen=True)
class MeanSquare:
    """A mean square and its degrees of freedom (a fraction when several that go together were pooled)."""

    value: float
    df: float


def mean_squares(cells: npt.ArrayLike) -> dict[Effect, MeanSquare]:
    """Mean squares of a complete balanced layout.

    Args:
        cells: (n_levels of factor 0, ..., n_levels of the last factor, n_repeats), each factor with at least
            two levels; no NaN.

    Returns:
        One entry for every set of factors, and ``()`` for the repeats when there are two or more.
    """
    y = np.asarray(cells, dtype=np.float64)
    factors, means = range(y.ndim - 1), y.mean(axis=-1)
    found: dict[Effect, MeanSquare] = {}
    for size in range(1, y.ndim):
        for effect in combinations(factors, size):
            part = means
            for axis in factors:
                mean = part.mean(axis=axis, keepdims=True)
                part = part - mean if axis in effect else mean
            df = float(np.prod([y.shape[axis] - 1 for axis in effect]))
            found[effect] = MeanSquare(float((part**2).sum()) * (y.size / part.size) / df, df)
    if y.shape[-1] > 1:
        df = float(means.size * (y.shape[-1] - 1))
        found[()] = MeanSquare(float(((y - means[..., None]) ** 2).sum()) / df, df)
    return found


def component_weights(effect: Effect, levels: Sequence[int], repeats: int) -> dict[Effect, float]:
    """The variance of an effect as a linear combination of mean squares.

    All effects random: ``E MS_U = sum over V containing U of r prod_{f not in V} n_f sigma_V^2 + sigma_e^2`` (Scheffe
    1959, The Analysis of Variance, section 7.6), inverted: ``sigma_U^2 = sum over V containing U of
    (-1)^(|V| - |U|) MS_V / (r prod_{f not in U} n_f)``; the last interaction has the repeats taken off it.

    Args:
        effect: the factors of the effect; () = the repeats.
        levels: number of levels of each factor.
        repeats: per cell; with one, the repeats cannot be told from the last interaction and stay in it.
    """
    if not effect:
        return {(): 1.0}
    factors = range(len(levels))
    share = repeats * float(np.prod([n for f, n in enumerate(levels) if f not in effect]))
    rest = [f for f in factors if f not in effect]
    weights = {
        tuple(sorted((*effect, *extra))): (-1.0) ** size / share
        for size in range(len(rest) + 1)
        for extra in combinations(rest, size)
    }
    if not rest and repeats > 1:
        weights[()] = -1.0 / share
    return weights


@dataclass(frozen=True)
class VarianceInterval:
    """A variance estimated from mean squares: unbiased, so it may be negative; `low` is at least 0."""

    estimate: float
    df: float
    low: float
    high: float


def combined(
    squares: Mapping[Effect, MeanSquare], weights: Mapping[Effect, float], *, alpha: float
) -> VarianceInterval:
    """Estimate and interval of a linear combination of independent mean squares.

    One mean square: the exact chi-square interval. Several: the modified large-sample method of Graybill and
    Wang (1980, JASA 75:869-873) when all weights are positive, and of Ting, Burdick, Graybill, Jeyaratnam and Lu
    (1990, J. Stat. Comput. Simul. 35:135-143; Burdick and Graybill 1992, Confidence Intervals on Variance
    Components, section 3.3) otherwise. Degrees of freedom by Satterthwaite, for orientation.

    Args:
        squares: independent mean squares.
        weights: their weights, not all 0; those that cancelled out are left out.
        alpha: one minus the coverage, two-sided.
    """
    largest = max(map(abs, weights.values()))
    used = [(w, squares[effect]) for effect, w in weights.items() if abs(w) > 1e-9 * largest]
    terms = np.array([w * ms.value for w, ms in used])
    df = np.array([ms.df for _, ms in used])
    estimate, noise = float(terms.sum()), float((terms**2 / df).sum())
    satterthwaite = estimate**2 / noise if noise > 0 else float(df.min())
    low = estimate - np.sqrt(_lower_variance(terms, df, alpha / 2))
    high = estimate + np.sqrt(_upper_variance(terms, df, alpha / 2))
    return VarianceInterval(estimate, satterthwaite, max(float(low), 0.0), max(float(high), 0.0))


def _lower_variance(terms: Floats, df: Floats, a: float) -> float:
    """V_L of Ting et al.: the squared distance from the estimate to its lower (1 - a) bound."""
    plus, minus = terms > 0, terms < 0
    g = 1 - 1 / _f(a, df)
    h = 1 / _f(1 - a, df) - 1
    total = ((g * terms)[plus] ** 2).sum() + ((h * terms)[minus] ** 2).sum()
    for q in np.flatnonzero(plus):
        for r in np.flatnonzero(minus):
            f = stats.f.ppf(1 - a, df[q], df[r])
            total += ((f - 1) ** 2 - (g[q] * f) ** 2 - h[r] ** 2) / f * terms[q] * -terms[r]
    return max(float(total + (_same_sign(terms, df, plus, g, a) if minus.any() else 0.0)), 0.0)


def _upper_variance(terms: Floats, df: Floats, a: float) -> float:
    """V_U of Ting et al.: the squared distance from the estimate to its upper (1 - a) bound."""
    plus, minus = terms > 0, terms < 0
    h = 1 / _f(1 - a, df) - 1
    g = 1 - 1 / _f(a, df)
    total = ((h * terms)[plus] ** 2).sum() + ((g * terms)[minus] ** 2).sum()
    for q in np.flatnonzero(plus):
        for r in np.flatnonzero(minus):
            f = stats.f.ppf(a, df[q], df[r])
            total += ((1 - f) ** 2 - (h[q] * f) ** 2 - g[r] ** 2) / f * terms[q] * -terms[r]
    return max(float(total + _same_sign(terms, df, minus, g, a)), 0.0)


def _same_sign(terms: Floats, df: Floats, chosen: npt.NDArray[np.bool_], g: Floats, a: float) -> float:
    """The cross terms G* (or H*) of mean squares with weights of the same sign."""
    members = np.flatnonzero(chosen)
    total = 0.0
    for i, t in combinations(members, 2):
        n, m = df[i], df[t]
        star = (1 - 1 / _f(a, n + m)) ** 2 * (n + m) ** 2 / (n * m) - g[i] ** 2 * n / m - g[t] ** 2 * m / n
        total += star / (len(members) - 1) * abs(terms[i] * terms[t])
    return total


def _f(a: float, df: Floats | float) -> Floats:
    """The upper a point of F with `df` and infinitely many degrees of freedom."""
    return np.asarray(stats.chi2.ppf(1 - a, df) / df)
