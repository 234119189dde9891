"""How good a prediction is: pixel counts of the landslide class, and the numbers made of them.

Counts are integers and are added up over a whole split before anything is divided: a mean of ratios over
patches rewards predicting nothing, because most patches hold no landslide. No model and no file is known
here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from landslide.settings import REPORTING_THRESHOLD

#: Thresholds tried by the sweep: 1/200, 2/200, ... 199/200. Even, so that 0.5 is one of them.
SWEEP_BINS = 200
#: Thresholds whose counts are kept: 0.025, 0.05 ... 0.975. All are edges of the sweep's bins, 0.5 among them.
KEPT_THRESHOLDS = tuple(k / 40 for k in range(1, 40))


@dataclass(frozen=True)
class Counts:
    """Pixels of the landslide class: true and false positives, false and true negatives.

    Counts of disjoint sets of pixels can be added.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)


# Each of the four is in [0, 1], higher is better, and is 0.0 where its denominator is 0 (nothing predicted,
# nothing to find): the unflattering reading. A run on a validation split without landslides never gets here
# (see train).


def iou(counts: Counts) -> float:
    """Intersection over union, tp / (tp + fp + fn)."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def f1(counts: Counts) -> float:
    """Harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn)."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def precision(counts: Counts) -> float:
    """Share of the predicted pixels that are landslide, tp / (tp + fp)."""
    return _ratio(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> float:
    """Share of the landslide pixels that are predicted, tp / (tp + fn)."""
    return _ratio(counts.tp, counts.tp + counts.fn)


@dataclass(frozen=True)
class ThresholdSweep:
    """How the pixels of each class spread over probability, from which the counts at any threshold follow.

    Attributes:
        histogram: pixels per class and bin, shape (2, 200), int64; row 1 is landslide. Bin b holds the
            probabilities in [b/200, (b+1)/200). The edge 0.5 is exact; at the others a probability within
            float32 rounding (1e-7) of the edge may fall on either side.
    """

    histogram: npt.NDArray[np.int64]

    @classmethod
    def of(cls, probability: torch.Tensor, target: torch.Tensor) -> Self:
        """The sweep of one set of pixels.

        Args:
            probability: of landslide, any shape, float32, finite, in [0, 1].
            target: true class, the same shape, in {0, 1}.
        """
        bins = (probability * SWEEP_BINS).long().clamp_(0, SWEEP_BINS - 1)
        cells = bins + SWEEP_BINS * (target > 0).long()
        pixels = torch.bincount(cells.flatten(), minlength=2 * SWEEP_BINS)
        return cls(pixels.reshape(2, SWEEP_BINS).cpu().numpy().astype(np.int64))

    def __add__(self, other: ThresholdSweep) -> ThresholdSweep:
        return ThresholdSweep(self.histogram + other.histogram)

    def counts(self, threshold: float = REPORTING_THRESHOLD) -> Counts:
        """The counts where a pixel is predicted as landslide when its probability is at least `threshold`.

        Args:
            threshold: rounded to the nearest multiple of 1/200.
        """
        first = round(threshold * SWEEP_BINS)
        fn, tp = int(self.histogram[1, :first].sum()), int(self.histogram[1, first:].sum())
        tn, fp = int(self.histogram[0, :first].sum()), int(self.histogram[0, first:].sum())
        return Counts(tp=tp, fp=fp, fn=fn, tn=tn)

    def kept(self) -> ThresholdCounts:
        """The counts at `KEPT_THRESHOLDS`; those at 0.5 equal `counts()` exactly."""
        counts = [self.counts(threshold) for threshold in KEPT_THRESHOLDS]
        tp, fp, fn = (np.array([getattr(c, name) for c in counts], np.int64) for name in ("tp", "fp", "fn"))
        return ThresholdCounts(threshold=np.array(KEPT_THRESHOLDS), tp=tp, fp=fp, fn=fn)

    def best(self) -> tuple[float, float]:
        """The threshold in (0, 1) with the highest IoU, and that IoU; among equals the one nearest to 0.5."""
        thresholds = [k / SWEEP_BINS for k in range(1, SWEEP_BINS)]
        best = max(
            thresholds, key=lambda t: (iou(self.counts(t)), -abs(t - REPORTING_THRESHOLD), t)
        )  # the last t only decides between two equally far from 0.5
        return best, iou(self.counts(best))


@dataclass(frozen=True)
class ThresholdCounts:
    """Pixel counts of a whole split at several thresholds: what a precision-recall curve needs.

    Attributes:
        threshold: in (0, 1), rising, shape (T,), float64; a pixel is predicted as landslide when its probability
            is at least this.
        tp: true positives, shape (T,), int64.
        fp: false positives, shape (T,), int64.
        fn: false negatives, shape (T,), int64.
    """

    threshold: npt.NDArray[np.float64]
    tp: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]
    fn: npt.NDArray[np.int64]


@dataclass(frozen=True)
class PatchCounts:
    """Pixel counts of every patch of a split at one threshold: what a bootstrap over patches needs.

    Attributes:
        patch_id: the patches' numbers, shape (N,), int64.
        tp: true positives, shape (N,), int64.
        fp: false positives, shape (N,), int64.
        fn: false negatives, shape (N,), int64.
    """

    patch_id: npt.NDArray[np.int64]
    tp: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]
    fn: npt.NDArray[np.int64]


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch measured.

    Attributes:
        epoch: from 1.
        train_loss: mean over the drawn patches, lower is better.
        val_loss: mean over the validation patches, lower is better.
        val_iou, val_f1, val_precision, val_recall: of the landslide class, pooled over all pixels of the
            validation split, at threshold 0.5, in [0, 1], higher is better.
        best_threshold: the threshold with the highest validation IoU, in (0, 1).
        best_threshold_iou: that IoU; optimistic, as it was chosen on the same pixels.
        lr: learning rate of this epoch.
        epoch_seconds: wall-clock seconds of training and validation.
        data_seconds: seconds of it in which training waited for patches.
        patches_per_second: drawn patches per second of training.
        peak_memory_bytes: most memory in use so far, in bytes: of the device on CUDA (this epoch), of the
            whole process on the CPU (since its start), None where the system does not tell.
        device: where the run computed, for example "cpu" or "cuda".
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_iou: float
    val_f1: float
    val_precision: float
    val_recall: float
    best_threshold: float
    best_threshold_iou: float
    lr: float
    epoch_seconds: float
    data_seconds: float
    patches_per_second: float
    peak_memory_bytes: int | None
    device: str

    def to_dict(self) -> dict[str, Any]:
        """Every value by name, as plain Python values."""
        return dataclasses.asdict(self)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
