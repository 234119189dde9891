"""Where the seed noise comes from: initialisation, order of the patches, augmentation, and the hardware.

Pure functions of scores and of the three seeds of each run. What the runs at hand cannot tell is said to be not
identifiable, with the reason, and never guessed: a sweep changes all three seeds at once, so that it knows only
the total; `study --vary` changes one at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from results.statistics.blocks import Floats
from results.statistics.mean_squares import (
    Effect,
    MeanSquare,
    VarianceInterval,
    combined,
    component_weights,
)
from results.statistics.seed_designs import (
    TRIPLE,
    Key,
    Run,
    crossed_tables,
    fixed,
    groups_of,
    pooled_square,
    pooled_squares,
    whole_square,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from results.ranking import Ranking

#: in the order of the seeds' columns.
SOURCES = ("initialisation", "data order", "augmentation")
INTERACTIONS, HARDWARE, TOTAL = "interactions", "hardware", "total"


@dataclass(frozen=True)
class Component:
    """One source of the seed noise, as a standard deviation in the unit of the metric.

    Attributes:
        source: one of `SOURCES`, two of them joined by " and ", `INTERACTIONS`, `HARDWARE` or `TOTAL`.
        sd: None = not identifiable; 0 when the estimated variance is 0 or below.
        df: degrees of freedom, by Satterthwaite where several mean squares are in it.
        low, high: ends of its interval.
        share: of the total variance; None when one of the two is not identifiable. Shares of sources varied
            alone need not add up to 1, since each holds its interactions with the others.
        method: how it was estimated; empty when it was not.
        reason: why it is not identifiable; None when it is.
    """

    source: str
    sd: float | None
    df: float
    low: float | None
    high: float | None
    share: float | None
    method: str
    reason: str | None


@dataclass(frozen=True)
class SeedComponents:
    """The components found, and what they rest on.

    Attributes:
        components: the three sources, what else was found, and the total last.
        design: ``crossed``, ``one at a time``, ``together`` or ``no repeats``.
        n_runs, n_configs: runs with a score, and their configs.
        n_left_out: runs without a finite score.
    """

    components: tuple[Component, ...]
    design: str
    n_runs: int
    n_configs: int
    n_left_out: int

    def of(self, source: str) -> Component | None:
        """The component of a source."""
        return next((one for one in self.components if one.source == source), None)


def seed_components(
    scores: npt.ArrayLike,
    seeds: npt.ArrayLike,
    *,
    configs: Sequence[Hashable] | None = None,
    alpha: float = 0.05,
) -> SeedComponents:
    """Split the seed noise into its sources, as far as the runs allow.

    Crossed runs (every combination of the levels of two or three seeds, the same in all configs): unbiased
    analysis-of-variance estimates with all effects random; a source's own variance is apart from interactions.
    One at a time (runs that agree in two seeds and differ in the third): the variance among them, with a
    chi-square interval; it is what changing this seed alone does, interactions with the seeds held fixed and
    the hardware's noise included (as Bouthillier et al. 2021, Accounting for variance in machine learning
    benchmarks, MLSys 3, do it). Together (all three differ): the total only. Equal seeds: the hardware. Variances are
    pooled over groups and configs, with one variance for all; groups that share seeds and move together count for
    fewer degrees of freedom (`seed_designs.pooled_square`; `seed_designs.whole_square` when all three seeds differ).
    Normal noise is assumed throughout.

    Args:
        scores: (n_runs,) final scores, in the unit of the metric; not finite = left out.
        seeds: (n_runs, 3) seeds of initialisation, data order and augmentation.
        configs: (n_runs,) whose run it is; None = all of one config.
        alpha: one minus the coverage of each interval.

    Raises:
        ValueError: the shapes do not fit.
    """
    y, s = np.asarray(scores, dtype=np.float64), np.asarray(seeds)
    names = [0] * len(y) if configs is None else list(configs)
    if y.ndim != 1 or s.shape != (len(y), 3) or len(names) != len(y):
        raise ValueError(
            f"scores, seeds and configs must have shapes (n,), (n, 3) and (n,), not {y.shape}, {s.shape} "
            f"and ({len(names)},)"
        )
    runs = [
        Run(float(score), tuple(int(v) for v in triple), name)
        for score, triple, name in zip(y, s, names, strict=True)
        if np.isfinite(score)
    ]
    tables = crossed_tables(runs)
    if tables is None:
        found, design = _one_at_a_time(runs, alpha)
    else:
        found, design = _from_crossed(*tables, alpha), "crossed"
    n_configs = len({run.config for run in runs})
    return SeedComponents(_with_shares(found), design, len(runs), n_configs, len(y) - len(runs))


def sweep_components(ranking: Ranking, runs: pa.Table) -> SeedComponents:
    """`seed_components` of the scored runs of a sweep or a study.

    Args:
        ranking: from `rank`.
        runs: `ResultsStore.runs()`, where the seeds are.
    """
    columns = ("trial_key", "seed_init", "seed_order", "seed_augment")
    seeds = {key: triple for key, *triple in zip(*(runs[name].to_pylist() for name in columns), strict=True)}
    used = [(run, row.config_id) for row in ranking.scored for run in row.runs if run.score is not None]
    return seed_components(
        np.array([run.score for run, _ in used], dtype=np.float64),
        np.array([seeds[run.trial_key] for run, _ in used], dtype=np.int64).reshape(-1, 3),
        configs=[config_id for _, config_id in used],
        alpha=ranking.alpha,
    )


def _with_shares(found: Sequence[Component]) -> tuple[Component, ...]:
    total = found[-1].sd
    return tuple(
        replace(one, share=(one.sd / total) ** 2) if total and one.sd is not None else one for one in found
    )


def _known(source: str, interval: VarianceInterval, method: str) -> Component:
    sd, low, high = (float(np.sqrt(max(v, 0))) for v in (interval.estimate, interval.low, interval.high))
    return Component(source, sd, interval.df, low, high, None, method, None)


def _unknown(source: str, reason: str) -> Component:
    return Component(source, None, 0, None, None, None, "", reason)


def _named(effect: Effect) -> str:
    return TOTAL if effect == TRIPLE else " and ".join(SOURCES[i] for i in effect)


# ----- crossed


def _from_crossed(varied: Effect, tables: Floats, alpha: float) -> list[Component]:
    squares = pooled_squares(tables)
    levels, repeats = tables.shape[1:-1], tables.shape[-1]
    effects = [e for size in range(1, len(varied) + 1) for e in combinations(range(len(varied)), size)]
    weights = {effect: component_weights(effect, levels, repeats) for effect in effects}
    method = f"analysis of variance of {' x '.join(map(str, levels))} crossed seeds"
    found = [
        _known(source, combined(squares, weights[(varied.index(i),)], alpha=alpha), method)
        if i in varied
        else _unknown(source, "this seed is the same in all runs")
        for i, source in enumerate(SOURCES)
    ]
    mixed = [weights[effect] for effect in effects if len(effect) > 1]
    with_hardware = "" if repeats > 1 else ", the hardware's noise included"
    found.append(_known(INTERACTIONS, combined(squares, _sum(mixed), alpha=alpha), method + with_hardware))
    hardware: dict[Effect, float] = {(): 1.0} if repeats > 1 else {}
    if hardware:
        found.append(_known(HARDWARE, combined(squares, hardware, alpha=alpha), _REPEATS))
    else:
        found.append(_unknown(HARDWARE, _NO_REPEATS))
    if len(varied) < len(SOURCES):
        return [*found, _unknown(TOTAL, "not all three seeds were varied")]
    whole = _sum([*weights.values(), hardware])
    return [*found, _known(TOTAL, combined(squares, whole, alpha=alpha), method)]


def _sum(parts: Sequence[dict[Effect, float]]) -> dict[Effect, float]:
    total: dict[Effect, float] = defaultdict(float)
    for part in parts:
        for effect, weight in part.items():
            total[effect] += weight
    return dict(total)


# ----- one at a time, and together

_REPEATS = "runs with all three seeds equal"
_NO_REPEATS = "no run was repeated with all three seeds equal"


def _one_at_a_time(runs: Sequence[Run], alpha: float) -> tuple[list[Component], str]:
    """Sources from runs that differ in one seed, pairs of sources and the total from the runs left over."""
    left: dict[Key, float] = {}
    repeated: dict[Key, dict[Hashable, float]] = defaultdict(dict)
    for i, run in enumerate(runs):
        left.setdefault((run.config, run.seeds), run.score)  # one run for each: a mean of repeats varies less
        repeated[run.config, run.seeds][i] = run.score
    squares: dict[Effect, MeanSquare] = {}
    for size in (1, 2, 3):
        used: set[Key] = set()
        for effect in combinations(TRIPLE, size):
            groups = groups_of(left, effect)
            pooled = whole_square if effect == TRIPLE else pooled_square
            square = pooled(list(groups.values()))
            if square:
                squares[effect] = square
            used |= {key for key in left if fixed(key, effect) in groups}
        left = {key: score for key, score in left.items() if key not in used}
    hardware = pooled_square([group for group in repeated.values() if len(group) > 1])
    found = [
        _simple(effect, squares[effect], alpha) if effect in squares else _unknown(source, _why(i, runs))
        for i, (effect, source) in enumerate(zip([(0,), (1,), (2,)], SOURCES, strict=True))
    ]
    found += [
        _simple(effect, squares[effect], alpha) for effect in combinations(TRIPLE, 2) if effect in squares
    ]
    if hardware:
        found.append(_known(HARDWARE, combined({(): hardware}, {(): 1.0}, alpha=alpha), _REPEATS))
    else:
        found.append(_unknown(HARDWARE, _NO_REPEATS))
    design = "one at a time" if any(len(e) == 1 for e in squares) else "together" if squares else "no repeats"
    return [*found, _total(squares, alpha)], design


def _simple(effect: Effect, square: MeanSquare, alpha: float) -> Component:
    method = (
        "runs that differ in nothing else" if len(effect) < len(SOURCES) else "runs that differ in all seeds"
    )
    return _known(_named(effect), combined({effect: square}, {effect: 1.0}, alpha=alpha), method)


def _total(squares: Mapping[Effect, MeanSquare], alpha: float) -> Component:
    if TRIPLE in squares:
        return _simple(TRIPLE, squares[TRIPLE], alpha)
    alone: dict[Effect, float] = {(i,): 1.0 for i in TRIPLE}
    if not set(alone) <= set(squares):
        return _unknown(TOTAL, "not all three seeds were varied")
    return _known(TOTAL, combined(squares, alone, alpha=alpha), "sum of the three, if they do not interact")


def _why(source: int, runs: Sequence[Run]) -> str:
    """Why no group of runs differs in this seed alone."""
    seeds: dict[Hashable, set[tuple[int, ...]]] = defaultdict(set)
    for run in runs:
        seeds[run.config].add(run.seeds)
    if all(len({triple[source] for triple in triples}) < 2 for triples in seeds.values()):
        return "this seed is the same in all runs of a config"
    others = [
        SOURCES[i]
        for i in TRIPLE
        if i != source and any(len({triple[i] for triple in triples}) > 1 for triples in seeds.values())
    ]
    return f"this seed never changes alone, but together with that of {' and '.join(others)}"
