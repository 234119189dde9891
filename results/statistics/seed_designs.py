"""How the seeds of some runs are laid out: crossed, one at a time, or all together; and their mean squares.

Pure functions. What the mean squares mean is said in `components.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from results.statistics.blocks import Floats
from results.statistics.mean_squares import Effect, MeanSquare, mean_squares
from results.statistics.variances import noise_of_means

#: the positions of the seeds of initialisation, data order and augmentation.
TRIPLE = (0, 1, 2)

#: runs that agree in everything but some seeds: these seeds -> score.
Group = Mapping[Hashable, float]
#: a config and the seed triple of one of its runs.
Key = tuple[Hashable, tuple[int, ...]]


@dataclass(frozen=True)
class Run:
    """The finite score of one run, its three seeds, and whose run it is."""

    score: float
    seeds: tuple[int, ...]
    config: Hashable


def crossed_tables(runs: Sequence[Run]) -> tuple[Effect, Floats] | None:
    """The seeds that vary and (n_configs, levels..., repeats), if the runs are a complete balanced crossing."""
    by_config: dict[Hashable, dict[tuple[int, ...], list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        by_config[run.config][run.seeds].append(run.score)
    levels = [sorted({run.seeds[i] for run in runs}) for i in TRIPLE]
    varied = tuple(i for i in TRIPLE if len(levels[i]) > 1)
    repeats = {len(cell) for cells in by_config.values() for cell in cells.values()}
    size = int(np.prod([len(levels[i]) for i in TRIPLE]))
    if len(varied) < 2 or len(repeats) != 1 or any(len(cells) != size for cells in by_config.values()):
        return None
    shape = [len(levels[i]) for i in varied]
    tables = [
        np.array([cells[key] for key in sorted(cells)]).reshape(*shape, -1) for cells in by_config.values()
    ]
    return varied, np.stack(tables)


def pooled_squares(tables: Floats) -> dict[Effect, MeanSquare]:
    """Mean squares averaged over k configs; df as in `pooled_square`, with the correlation of their effects."""
    k = len(tables)
    own, common = [mean_squares(table) for table in tables], mean_squares(tables.mean(axis=0))
    found = {}
    for effect, square in common.items():
        value = float(np.mean([squares[effect].value for squares in own]))
        # the mean of k independent tables has a k-th of the mean square; of k equal ones, all of it
        rho = (k * square.value / value - 1) / (k - 1) if k > 1 and value > 0 and effect else 0.0
        found[effect] = MeanSquare(value, square.df * k / (1 + (k - 1) * float(np.clip(rho, 0, 1)) ** 2))
    return found


def fixed(key: Key, effect: Effect) -> Key:
    """The config and the seeds that are not in `effect`."""
    return key[0], tuple(seed for i, seed in enumerate(key[1]) if i not in effect)


def groups_of(runs: Mapping[Key, float], effect: Effect) -> dict[Key, Group]:
    """Two or more runs of one config that agree in the seeds not in `effect`."""
    groups: dict[Key, dict[Hashable, float]] = defaultdict(dict)
    for key, score in runs.items():
        groups[fixed(key, effect)][tuple(key[1][i] for i in effect)] = score
    return {key: group for key, group in groups.items() if len(group) > 1}


def pooled_square(groups: Sequence[Group]) -> MeanSquare | None:
    """Variance within groups. Groups that share seeds, and go up and down together, hold less information.

    With correlation rho between two groups of n on the same seeds their sums of squares correlate by rho^2, so
    that k of them are worth ``k (n - 1) / (1 + (k - 1) rho^2)`` degrees of freedom. rho is estimated from all pairs
    of groups, and taken as 0 when negative.
    """
    if not groups:
        return None
    matrix = _matrix(groups)
    mask = np.isfinite(matrix)
    deviations = np.where(mask, matrix - np.nanmean(matrix, axis=1, keepdims=True), 0.0)
    df = float(mask.sum() - len(groups))
    value = float((deviations**2).sum()) / df
    shared = np.maximum(mask.astype(float) @ mask.T - 1, 0.0)
    np.fill_diagonal(shared, 0.0)
    together = float(((deviations @ deviations.T) * (shared > 0)).sum())
    rho = together / (value * shared.sum()) if value > 0 and shared.any() else 0.0
    return MeanSquare(value, df**2 / (df + float(np.clip(rho, 0, 1)) ** 2 * float(shared.sum())))


def whole_square(groups: Sequence[Group]) -> MeanSquare | None:
    """Variance within groups that are all runs of a config, each with seeds of its own.

    The variance and the degrees of freedom of `variances.noise_of_means`: it is the seed noise that the verdict
    states, and one quantity gets one interval.
    """
    if not groups:
        return None
    noise = noise_of_means(_matrix(groups))
    return MeanSquare(noise.sd**2, float(noise.df))


def _matrix(groups: Sequence[Group]) -> Floats:
    """(n_groups, n_seeds) their scores, in a column for each of the seeds; NaN = no run."""
    columns = {name: i for i, name in enumerate(dict.fromkeys(name for group in groups for name in group))}
    matrix = np.full((len(groups), len(columns)), np.nan)
    for i, group in enumerate(groups):
        matrix[i, [columns[name] for name in group]] = list(group.values())
    return matrix
