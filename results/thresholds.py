"""Precision, recall and IoU of a config against the probability threshold, with the spread between its seeds.

Pure functions of the table `thresholds` and a ranking. Every run keeps its own curve, and a config's curve is the
mean over its runs at each threshold ("threshold averaging": T. Fawcett, An introduction to ROC analysis, Pattern
Recognition Letters 27, 2006, section 8.2). The counts of runs are never added up: that would hide the seeds.
Draws nothing, and ranks nothing: the ranking rests on the threshold 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from results.statistics.blocks import Floats

if TYPE_CHECKING:
    from results.ranking import RankedConfig, Ranking

Counts = npt.NDArray[np.int64]

#: The threshold of every recorded metric.
REPORTING_THRESHOLD = 0.5
#: To be said wherever a held-out figure is shown.
HELD_OUT_CAVEAT = (
    "Held out: each run is judged at the threshold that its config's other runs choose. That removes the optimism "
    "towards seeds, not the one towards patches: every run is validated on the same patches, on which its best epoch "
    "was chosen too."
)


@dataclass(frozen=True)
class OperatingPoint:
    """How good a config is at one threshold: means over its runs, each in [0, 1], higher is better.

    Attributes:
        threshold: a pixel is landslide where its probability is at least this.
        iou, precision, recall: 0 counts for a run whose denominator is 0 (nothing predicted, nothing to find).
        iou_sd: between the runs; None with a single run.
    """

    threshold: float
    iou: float
    iou_sd: float | None
    precision: float
    recall: float


@dataclass(frozen=True)
class HeldOut:
    """What choosing the threshold is worth on a run that took no part in the choice (leave one run out).

    Attributes:
        thresholds: chosen without each run, in the order of `ThresholdCurve.trial_keys`.
        iou: mean over the runs of the IoU at the threshold chosen without them, in [0, 1]; never above the mean IoU
            at the threshold that all runs choose together.
        iou_sd: between the runs.
        precision, recall: means over the runs at the same thresholds.
        gain: mean over the runs of that IoU minus the same run's IoU at 0.5; below 0 = choosing did harm.
        gain_sd: between the runs. No interval is made of it: the choices share runs, so the gains are not
            independent (Y. Bengio, Y. Grandvalet, JMLR 5, 2004: no unbiased estimate of such a variance exists).
    """

    thresholds: tuple[float, ...]
    iou: float
    iou_sd: float
    precision: float
    recall: float
    gain: float
    gain_sd: float


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """One config at every threshold: R runs, T thresholds.

    The runs are those that the ranking gives a score: finished, not stopped, not failed, no confirmation. The counts
    are of the epoch whose weights the run's checkpoint holds.

    Attributes:
        config_id: the config.
        name: as in the ranking.
        trial_keys: of the runs, by replicate, length R.
        replicates: of the runs, length R.
        n_without: scored runs of the config that have no counts (recorded by an older version, or unreadable) and are
            in no number here.
        thresholds: rising, in (0, 1), shape (T,); 0.5 is one of them.
        tp, fp, fn: pixels of the validation split, pooled over its patches, shape (R, T).
    """

    config_id: str
    name: str
    trial_keys: tuple[str, ...]
    replicates: tuple[int, ...]
    n_without: int
    thresholds: Floats
    tp: Counts
    fp: Counts
    fn: Counts

    @property
    def iou(self) -> Floats:
        """Each run's tp / (tp + fp + fn), shape (R, T); 0 where nothing is predicted and nothing to find."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def precision(self) -> Floats:
        """Each run's tp / (tp + fp), shape (R, T); 0 where nothing is predicted, see `drawable`."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Floats:
        """Each run's tp / (tp + fn), shape (R, T); 0 where there is nothing to find."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def drawable(self) -> npt.NDArray[np.bool_]:
        """Where a run predicts something, shape (R, T).

        Elsewhere its precision is 0 by convention and not by measurement: a line drawn through it falls to the
        corner. The config's mean belongs into a picture where all of its runs are drawable.
        """
        return self.tp + self.fp > 0

    @property
    def best_threshold(self) -> float:
        """The threshold with the highest mean IoU; optimistic, as it was chosen on the same runs and patches.

        Among equals the one nearest to 0.5, of two equally near the larger.
        """
        return float(self.thresholds[_choice(self.iou.mean(axis=0), self.thresholds)])

    def at(self, threshold: float) -> OperatingPoint:
        """The config at one of `thresholds`.

        Raises:
            ValueError: it is none of them.
        """
        i = int(np.abs(self.thresholds - threshold).argmin())
        if not np.isclose(self.thresholds[i], threshold, rtol=0, atol=1e-9):
            raise ValueError(
                f"the counts at threshold {threshold} were not kept; "
                f"choose one of {', '.join(f'{t:g}' for t in self.thresholds)}"
            )
        iou = self.iou[:, i]
        return OperatingPoint(
            threshold=float(self.thresholds[i]),
            iou=float(iou.mean()),
            iou_sd=float(iou.std(ddof=1)) if len(iou) > 1 else None,
            precision=float(self.precision[:, i].mean()),
            recall=float(self.recall[:, i].mean()),
        )

    def at_half(self) -> OperatingPoint:
        """The config at 0.5, where it was ranked."""
        return self.at(REPORTING_THRESHOLD)

    def at_best(self) -> OperatingPoint:
        """The config at `best_threshold`: its IoU and the gain over `at_half` are optimistic, see `held_out`."""
        return self.at(self.best_threshold)

    def held_out(self) -> HeldOut | None:
        """The IoU and the gain over 0.5 of a threshold chosen on other runs; None with a single run.

        For each run the threshold with the highest mean IoU of the other runs, and this run's IoU there (leave one
        out: M. Stone, Cross-validatory choice and assessment of statistical predictions, JRSS B 36, 1974). Where all
        thresholds are equally good but for the seeds, the expected gain is 0, while the one of `at_best` is above.
        It judges a choice that rests on R - 1 runs, so it is slightly pessimistic about one that rests on all R.
        See `HELD_OUT_CAVEAT` for what it does not remove.
        """
        iou, runs = self.iou, np.arange(len(self.replicates))
        if len(runs) < 2:
            return None
        chosen = [_choice(np.delete(iou, r, axis=0).mean(axis=0), self.thresholds) for r in runs]
        held = iou[runs, chosen]
        gain = held - iou[:, int(np.abs(self.thresholds - REPORTING_THRESHOLD).argmin())]
        return HeldOut(
            thresholds=tuple(float(t) for t in self.thresholds[chosen]),
            iou=float(held.mean()),
            iou_sd=float(held.std(ddof=1)),
            precision=float(self.precision[runs, chosen].mean()),
            recall=float(self.recall[runs, chosen].mean()),
            gain=float(gain.mean()),
            gain_sd=float(gain.std(ddof=1)),
        )


def threshold_curves(
    thresholds: pa.Table, ranking: Ranking, *, config_ids: Iterable[str] | None = None
) -> tuple[ThresholdCurve, ...]:
    """The curves of some configs, in the order of the ranking.

    A config without a final score, or none of whose scored runs has counts, has no curve and is left out.

    Args:
        thresholds: `ResultsStore.thresholds()`, one row per (trial_key, threshold), in any order.
        ranking: says which runs have a score.
        config_ids: None = every config with a final score. Only the rows of these are turned into numbers, so a few
            configs of a large sweep cost little.

    Raises:
        ValueError: the counts at 0.5 were not kept, so there is nothing to compare with.
    """
    wanted = None if config_ids is None else set(config_ids)
    rows = [row for row in ranking.scored if wanted is None or row.config_id in wanted]
    keys = [run.trial_key for row in rows for run in row.runs if run.score is not None]
    grid, position, counts = _pivot(thresholds, keys)
    if not position:
        return ()
    if REPORTING_THRESHOLD not in grid:
        raise ValueError(
            f"the table of thresholds has no rows at {REPORTING_THRESHOLD}, where configs are ranked: "
            f"they are needed to say what another threshold gains (it has {', '.join(f'{x:g}' for x in grid)})"
        )
    curves = (_curve(row, grid, position, counts) for row in rows)
    return tuple(curve for curve in curves if curve is not None)


def _curve(
    row: RankedConfig, grid: Floats, position: dict[str, int], counts: Counts
) -> ThresholdCurve | None:
    scored = [run for run in row.runs if run.score is not None]
    runs = [run for run in scored if run.trial_key in position]
    if not runs:
        return None
    tp, fp, fn = counts[:, [position[run.trial_key] for run in runs]]
    return ThresholdCurve(
        config_id=row.config_id,
        name=row.name,
        trial_keys=tuple(run.trial_key for run in runs),
        replicates=tuple(run.replicate for run in runs),
        n_without=len(scored) - len(runs),
        thresholds=grid,
        tp=tp,
        fp=fp,
        fn=fn,
    )


def _pivot(thresholds: pa.Table, keys: Sequence[str]) -> tuple[Floats, dict[str, int], Counts]:
    """The counts of these runs side by side.

    Returns:
        The thresholds that occur, rising, (T,); trial_key -> position of each run that has all of them; and tp, fp
        and fn, (3, n_runs, T).
    """
    mine = thresholds.filter(pc.is_in(thresholds.column("trial_key"), value_set=pa.array(keys, pa.string())))
    encoded = mine.column("trial_key").combine_chunks().dictionary_encode()
    run = encoded.indices.to_numpy(zero_copy_only=False)
    grid, at = np.unique(mine.column("threshold").to_numpy(), return_inverse=True)
    counts = np.zeros((3, len(encoded.dictionary), len(grid)), dtype=np.int64)
    for name, table in zip(("tp", "fp", "fn"), counts, strict=True):
        table[run, at] = mine.column(name).to_numpy()
    # A run recorded with fewer thresholds than others has no place on their common axis.
    whole = np.bincount(run, minlength=len(encoded.dictionary)) == len(grid)
    position = {key: i for i, key in enumerate(encoded.dictionary.to_pylist()) if whole[i]}
    return grid, position, counts


def _choice(iou: Floats, thresholds: Floats) -> int:
    """Index of the highest value, shape (T,); among equals the nearest to 0.5, of two the larger threshold."""
    return int(np.lexsort((thresholds, -np.abs(thresholds - REPORTING_THRESHOLD), iou))[-1])


def _ratio(part: Counts, whole: Counts) -> Floats:
    """0 where the whole is 0: the unflattering reading, as in training."""
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
