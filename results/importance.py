"""How much of the scores' variance each searched parameter explains, beside what the seeds make of it.

Answers another question than `effects.py`: not "what does it change" but "what share of the differences between
runs comes from it", with the other parameters' linear effects taken out. Pure functions of a ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from results.effects import is_number, level_key, on_log_scale
from results.ranking import RankedConfig, Ranking
from results.statistics.blocks import Floats, config_means
from results.statistics.differences import holm

#: numbers get a curve (a square) when that leaves at least this many degrees of freedom between configs.
_LEFT_FOR_CURVES = 10
#: a direction whose singular value is below this share of the largest one is rounding.
_RANK_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ParameterShare:
    """What one parameter explains.

    Attributes:
        parameter: its name.
        form: ``log`` or ``linear``, followed by ``, curved`` when a square was fitted too, or ``groups``.
        df: columns that it adds to those of all other parameters; 0 = it cannot be told from them.
        share: of the variance of all run scores, 0..1: its type II sum of squares over the total.
        by_chance: the share that a parameter of no effect would show on average; None = too few configs.
        p, p_holm: F test against the scatter of the configs beyond all main effects, alone and adjusted by Holm
            over the parameters; None = too few configs, or not to be told apart.
        finding: ``effect shown``, ``no effect shown``, ``too few configs`` or ``not separable``.
    """

    parameter: str
    form: str
    df: int
    share: float
    by_chance: float | None
    p: float | None
    p_holm: float | None
    finding: str


@dataclass(frozen=True)
class Importance:
    """Where the variance of the run scores comes from; `together`, `beyond` and `seeds` add up to 1.

    Attributes:
        parameters: from the largest to the smallest share.
        together: explained by the main effects of all parameters.
        overlap: the part of `together` that no single parameter can be given, because their values go
            together in these configs; negative when they hide each other.
        beyond: between configs, but not by main effects: interactions, curvature, and what the seeds leave in means.
        beyond_df: degrees of freedom of it.
        seeds: between runs of one config.
        seeds_df: degrees of freedom of it; 0 = nothing was repeated, and the seeds' part is in `beyond`.
        n_configs, n_runs: what it rests on.
        remark: what keeps it from saying more; None = nothing.
    """

    parameters: tuple[ParameterShare, ...]
    together: float
    overlap: float
    beyond: float
    beyond_df: int
    seeds: float
    seeds_df: int
    n_configs: int
    n_runs: int
    remark: str | None


def parameter_importance(ranking: Ranking) -> Importance | None:
    """The share of the variance of run scores of each parameter, of the configs beyond that, and of the seeds.

    Least squares of the config means on all parameters at once, each config weighted by its runs, which equals
    the fit to all runs. Numbers enter on their natural scale (log when they span a factor of 8), with
    a square if three or more values are there and enough configs; choices as groups. A parameter that only some
    configs have is zero for the others and varies around its own mean: whether it is there at all is its parent's
    effect. Null beside numbers is a level of its own. Type II sums of squares (each parameter after all the others;
    Langsrud 2003, Stat. Comput. 13:163-167) and F tests against the mean square of the configs beyond main effects,
    not against the seeds, so that a finding holds for other configs of the same space; exact for equal numbers
    of runs and normal noise.

    Returns:
        None with fewer than two scored configs, or when all scores are equal.
    """
    rows = ranking.scored
    if len(rows) < 2:
        return None
    means, counts = config_means(ranking.matrix())
    weights = np.sqrt(counts.astype(np.float64))
    matrix = ranking.matrix()
    grand = float(np.nansum(matrix)) / counts.sum()
    total = float(np.nansum((matrix - grand) ** 2))
    if not total > 0:
        return None
    terms = _terms(rows)
    y = weights * (means - grand)
    base = weights[:, None]
    fit = _Fit(y, base, {name: base * term.columns for name, term in terms.items()})
    whole, rank = fit.residual(terms)
    seeds = total - float((y**2).sum())
    beyond_df = len(rows) - rank
    found = [_share(name, terms[name].form, fit, (whole, beyond_df), total) for name in terms]
    between = float((y**2).sum())
    together = (between - whole) / total
    return Importance(
        parameters=_with_holm(found, ranking.alpha),
        together=together,
        overlap=together - sum(one.share for one in found),
        beyond=whole / total if beyond_df else 0.0,
        beyond_df=beyond_df,
        seeds=max(seeds, 0.0) / total,
        seeds_df=int(counts.sum()) - len(rows),
        n_configs=len(rows),
        n_runs=int(counts.sum()),
        remark=_remark(terms, beyond_df, int(counts.sum()) - len(rows)),
    )


@dataclass(frozen=True)
class _Term:
    """A parameter's columns, (n_configs, n_columns), and how they came about."""

    columns: Floats
    form: str


def _terms(rows: Sequence[RankedConfig]) -> dict[str, _Term]:
    """The columns of all parameters with two or more values; curves only if enough configs are left."""
    names = sorted({name for row in rows for name in row.values})
    varied = [
        name for name in names if len({level_key(row.values[name]) for row in rows if name in row.values}) > 1
    ]
    curved = {name: _term(rows, name, curved=True) for name in varied}
    left = len(rows) - 1 - sum(term.columns.shape[1] for term in curved.values())
    return curved if left >= _LEFT_FOR_CURVES else {name: _term(rows, name, curved=False) for name in varied}


def _term(rows: Sequence[RankedConfig], name: str, *, curved: bool) -> _Term:
    has = np.array([name in row.values for row in rows])
    values = [row.values.get(name) for row in rows]
    numeric = np.array([is_number(value) for value in values])
    null = has & np.array([value is None for value in values])
    distinct = {level_key(value) for value, there in zip(values, numeric, strict=True) if there}
    if (numeric | null)[has].all() and len(distinct) > 1:
        x = np.array(
            [value if there else 1.0 for value, there in zip(values, numeric, strict=True)], dtype=float
        )
        log = on_log_scale(x[numeric])
        x = np.log(x) if log else x
        x = np.where(numeric, (x - x[numeric].mean()) / np.ptp(x[numeric]), 0.0)
        bent = curved and len(distinct) > 2
        columns = [x, *([np.where(numeric, x**2 - (x[numeric] ** 2).mean(), 0.0)] if bent else [])]
        columns += [null.astype(float)] if null.any() else []
        return _Term(np.column_stack(columns), ("log" if log else "linear") + (", curved" if bent else ""))
    keys = [level_key(value) if there else None for value, there in zip(values, has, strict=True)]
    levels = sorted({key for key in keys if key is not None})
    groups = np.array([[float(key == level) for level in levels] for key in keys])
    groups = np.where(has[:, None], groups - groups[has].mean(axis=0), 0.0)
    return _Term(groups[:, 1:], "groups")


@dataclass(frozen=True)
class _Fit:
    """Weighted least squares of the config means on sets of parameters."""

    y: Floats
    base: Floats
    columns: Mapping[str, Floats]

    def residual(self, names: Iterable[str]) -> tuple[float, int]:
        """Residual sum of squares with these parameters, and the rank of their columns with the constant."""
        design = np.column_stack([self.base, *(self.columns[name] for name in names)])
        u, values, _ = np.linalg.svd(design, full_matrices=False)
        kept = u[:, values > _RANK_TOLERANCE * values.max()]
        return float(((self.y - kept @ (kept.T @ self.y)) ** 2).sum()), kept.shape[1]


def _share(name: str, form: str, fit: _Fit, whole: tuple[float, int], total: float) -> ParameterShare:
    """Type II sum of squares of one parameter: what the residual grows by without it."""
    residual, beyond_df = whole
    without, rank = fit.residual(other for other in fit.columns if other != name)
    df = len(fit.y) - beyond_df - rank
    square = max(without - residual, 0.0) if df else 0.0
    chance = df * residual / beyond_df / total if beyond_df else None
    p = None
    if df and beyond_df and residual > 0:
        p = float(stats.f.sf(square / df / (residual / beyond_df), df, beyond_df))
    finding = "not separable" if not df else "too few configs"
    return ParameterShare(name, form, df, square / total, chance, p, None, finding)


def _with_holm(found: Sequence[ParameterShare], alpha: float) -> tuple[ParameterShare, ...]:
    tested = [one for one in found if one.p is not None]
    adjusted, _ = holm([one.p for one in tested], len(tested))
    out = [one for one in found if one.p is None]
    for one, p in zip(tested, adjusted.tolist(), strict=True):
        out.append(replace(one, p_holm=p, finding="effect shown" if p < alpha else "no effect shown"))
    return tuple(sorted(out, key=lambda one: (-one.share, one.parameter)))


def _remark(terms: Mapping[str, _Term], beyond_df: int, seeds_df: int) -> str | None:
    """What keeps the shares from saying more."""
    notes = []
    columns = sum(term.columns.shape[1] for term in terms.values())
    if not terms:
        notes.append("All configs have the same values.")
    elif not beyond_df:
        notes.append(f"There are too few configs to test {columns} effects: any values would fit them.")
    elif beyond_df < _LEFT_FOR_CURVES:
        notes.append(
            f"Few configs: {beyond_df} degrees of freedom are left to judge the effects by, so that only large ones "
            "can be shown, and each number is taken as a straight line."
        )
    if not seeds_df:
        notes.append("No config was repeated, so that the seeds' part is not known and lies in the configs'.")
    return " ".join(notes) or None
