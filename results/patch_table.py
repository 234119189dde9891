"""From the store's `patches` table to counts by config, replicate and patch, checked against what was recorded.

Reads tables and rankings; the statistics are in `statistics.patch_noise` and `statistics.two_way`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from results.errors import ResultsError
from results.statistics.blocks import Floats
from results.statistics.pairs import compare_pairs
from results.statistics.patch_noise import (
    PATCH_METRICS,
    RESAMPLES,
    PatchNoise,
    bootstrap_patches,
    patch_noise,
    pooled_scores,
)
from results.statistics.two_way import TwoWay, two_way_difference, two_way_mean
from results.statistics.variances import noise_of_means

if TYPE_CHECKING:
    from results.ranking import Ranking

_HEADING = "the counts per validation patch cannot be used"
#: more wrong runs than this are only counted.
_MOST_PROBLEMS = 5


@dataclass(frozen=True)
class PatchCounts:
    """Pixel counts of every validation patch at each run's best epoch.

    Attributes:
        config_ids: as asked for.
        patch_ids: (n_patches,) int64, ascending.
        counts: (n_configs, n_replicates, n_patches, 3) float64, TP, FP, FN in pixels at threshold 0.5; NaN = that
            run has no counts. `n_replicates` is one more than the largest replicate with counts.
    """

    config_ids: tuple[str, ...]
    patch_ids: npt.NDArray[np.int64]
    counts: Floats


def read_patch_counts(
    patches: pa.Table, config_ids: Sequence[str], *, trial_keys: Collection[str] | None = None
) -> PatchCounts:
    """Arrange the counts of some configs.

    Args:
        patches: `ResultsStore.patches()`.
        config_ids: the rows of the answer, in this order; one without counts is all NaN.
        trial_keys: the runs to take, e.g. those that have a score; None = all. Runs that the policy stopped
            have counts too.

    Raises:
        ResultsError: two runs of one config on one replicate, or runs that were not validated on the same patches.
    """
    rows = patches.filter(pc.is_in(patches["config_id"], pa.array(list(config_ids), pa.string())))
    if trial_keys is not None:
        rows = rows.filter(pc.is_in(rows["trial_key"], pa.array(sorted(trial_keys), pa.string())))
    config = np.asarray(
        pc.index_in(rows["config_id"], pa.array(list(config_ids), pa.string())), dtype=np.int64
    )
    replicate = np.asarray(rows["replicate"], dtype=np.int64)
    patch_ids, patch = np.unique(np.asarray(rows["patch_id"], dtype=np.int64), return_inverse=True)
    width = int(replicate.max(initial=-1)) + 1
    run = config * width + replicate
    _check_same_patches(rows, run, patch, len(patch_ids))
    counts = np.full((len(config_ids) * width, len(patch_ids), 3), np.nan)
    for i, name in enumerate(("tp", "fp", "fn")):
        counts[run, patch, i] = np.asarray(rows[name], dtype=np.float64)
    shape = (len(config_ids), width, len(patch_ids), 3)
    return PatchCounts(tuple(config_ids), patch_ids, counts.reshape(shape))


def _check_same_patches(
    rows: pa.Table, run: npt.NDArray[np.int64], patch: npt.NDArray[np.int64], n_patches: int
) -> None:
    """Every run has every patch exactly once."""
    runs, first, index = np.unique(run, return_index=True, return_inverse=True)
    seen = np.bincount(index * n_patches + patch, minlength=len(runs) * n_patches).reshape(
        len(runs), n_patches
    )
    wrong = np.flatnonzero((seen != 1).any(axis=1))
    keys = rows["trial_key"]
    problems = [
        f"run {keys[int(first[i])].as_py()} has {int((seen[i] > 0).sum())} of {n_patches} validation patches"
        + (", some of them twice (two runs of one config on one replicate)" if (seen[i] > 1).any() else "")
        for i in wrong[:_MOST_PROBLEMS]
    ]
    if problems:
        more = f" ({len(wrong)} runs are wrong)" if len(wrong) > len(problems) else ""
        problems.append(
            f"all runs of a sweep must be validated on the same patches: was the data changed?{more}"
        )
        raise ResultsError(problems, _HEADING)


def scored_counts(ranking: Ranking, patches: pa.Table) -> PatchCounts:
    """The counts of the runs that the ranking scored, after recomputing every one of these scores from them.

    Args:
        ranking: its `scored` configs are the rows of the answer.
        patches: `ResultsStore.patches()`, read after the runs.

    Raises:
        ResultsError: the metric is not one that counts give, the patches differ between runs, or a score
            recomputed from the counts is not the recorded one.
    """
    if ranking.metric not in PATCH_METRICS:
        raise ResultsError(
            f"the sweep's metric {ranking.metric} does not follow from pixel counts: only "
            f"{', '.join(PATCH_METRICS)} do",
            _HEADING,
        )
    rows = ranking.scored
    keys = {run.trial_key for row in rows for run in row.runs if run.score is not None}
    found = read_patch_counts(patches, [row.config_id for row in rows], trial_keys=keys)
    again = pooled_scores(found.counts, metric=ranking.metric)
    recorded = np.full(again.shape, np.nan)
    names: dict[tuple[int, int], str] = {}
    for i, row in enumerate(rows):
        for run in row.runs:
            if run.score is not None and run.replicate < found.counts.shape[1]:
                recorded[i, run.replicate], names[i, run.replicate] = run.score, run.trial_key
    wrong = np.argwhere(np.abs(again - recorded) > 1e-9)
    problems = [
        f"run {names[i, j]}: {ranking.metric} is recorded as {recorded[i, j]:.6f}, its counts give {again[i, j]:.6f}"
        for i, j in map(tuple, wrong[:_MOST_PROBLEMS].tolist())
    ]
    if problems:
        problems.append(f"{len(wrong)} runs disagree: the counts are not those of the best epoch")
        raise ResultsError(problems, _HEADING)
    return found


@dataclass(frozen=True)
class PatchReport:
    """What the validation patches are worth in a sweep; rows as in `Ranking.scored`.

    Attributes:
        metric: a column of `epochs`.
        alpha: one minus the coverage of each interval.
        n_patches: validation patches.
        best: row of the config that the others are compared with.
        means: for every config, the patches alone; None without counts.
        best_two_way: the mean of `best`, patches and seeds; None when it has no counts or the seed noise is unknown.
        differences: `best` minus every other config, the patches alone; None for itself, or without common runs.
        differences_two_way: the same with the seeds; positive = `best` has the larger value of the metric. Each
            interval holds for itself.
        n_common: for every config, replicates on which it and `best` have counts.
        n_without: scored runs that have no counts and take no part in any of these.
    """

    metric: str
    alpha: float
    n_patches: int
    best: int
    means: tuple[PatchNoise | None, ...]
    best_two_way: TwoWay | None
    differences: tuple[PatchNoise | None, ...]
    differences_two_way: tuple[TwoWay | None, ...]
    n_common: tuple[int, ...]
    n_without: int


def patch_report(
    ranking: Ranking,
    patches: pa.Table,
    rng: np.random.Generator,
    *,
    best: str | None = None,
    resamples: int = RESAMPLES,
) -> PatchReport | None:
    """The uncertainty from the validation patches, alone and together with the seeds.

    Args:
        ranking: from `rank`.
        patches: `ResultsStore.patches()`.
        rng: for the bootstrap; the same state gives the same numbers.
        best: config to compare the others with (`Verdict.best`); the first of the ranking otherwise.
        resamples: of the bootstrap.

    Returns:
        None when there are no scored runs, no counts, or fewer than two patches.

    Raises:
        ResultsError: see `scored_counts`.
    """
    found = scored_counts(ranking, patches)
    if found.counts.size == 0 or len(found.patch_ids) < 2:
        return None
    drawn = bootstrap_patches(found.counts, rng, metric=ranking.metric, resamples=resamples)
    n, alpha = len(found.config_ids), ranking.alpha
    reference = found.config_ids.index(best) if best else 0
    noise = noise_of_means(drawn.point, alpha=alpha)
    others = [i for i in range(n) if i != reference]
    pairs = compare_pairs(drawn.point, [(reference, i) for i in others], alpha=alpha)
    both = dict(zip(others, pairs, strict=True))
    counted = np.isfinite(drawn.point)
    return PatchReport(
        metric=ranking.metric,
        alpha=alpha,
        n_patches=len(found.patch_ids),
        best=reference,
        means=tuple(patch_noise(drawn.mean_of(i), alpha=alpha) for i in range(n)),
        best_two_way=two_way_mean(drawn, reference, noise, alpha=alpha),
        differences=tuple(
            patch_noise(drawn.difference_of(reference, i), alpha=alpha) if i in both else None
            for i in range(n)
        ),
        differences_two_way=tuple(
            two_way_difference(drawn, both[i], alpha=alpha) if i in both else None for i in range(n)
        ),
        n_common=tuple((counted & counted[reference]).sum(axis=1).tolist()),
        n_without=int(sum(row.n for row in ranking.scored) - counted.sum()),
    )
