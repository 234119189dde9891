"""Counts and what is made of them, held against an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from landslide.metrics import KEPT_THRESHOLDS, Counts, ThresholdSweep, f1, iou, precision, recall


def pixels(seed: int, shape: tuple[int, ...] = (6, 1, 20, 20)) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    target = rng.random(shape) < 0.1
    probability = np.clip(rng.beta(1, 4, shape) + 0.4 * target, 0, 1).astype(np.float32)
    return torch.from_numpy(probability), torch.from_numpy(target.astype(np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_the_four_metrics_equal_those_of_smp(seed: int) -> None:
    probability, target = pixels(seed)
    counts = ThresholdSweep.of(probability, target).counts(0.5)
    stats = smp.metrics.get_stats(probability, target.long(), mode="binary", threshold=0.5)
    tp, fp, fn, tn = (int(value.sum()) for value in stats)
    assert counts == Counts(tp=tp, fp=fp, fn=fn, tn=tn)
    assert iou(counts) == pytest.approx(smp.metrics.iou_score(*stats, reduction="micro").item(), abs=1e-6)
    assert f1(counts) == pytest.approx(smp.metrics.f1_score(*stats, reduction="micro").item(), abs=1e-6)
    assert precision(counts) == pytest.approx(
        smp.metrics.precision(*stats, reduction="micro").item(), abs=1e-6
    )
    assert recall(counts) == pytest.approx(smp.metrics.recall(*stats, reduction="micro").item(), abs=1e-6)


def test_counts_and_sweeps_of_parts_add_up_to_the_whole() -> None:
    probability, target = pixels(1)
    whole = ThresholdSweep.of(probability, target)
    parts = [ThresholdSweep.of(probability[i], target[i]) for i in range(len(target))]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    assert np.array_equal(total.histogram, whole.histogram)
    halves = parts[0].counts() + (parts[1] + parts[2]).counts()
    assert halves == (parts[0] + parts[1] + parts[2]).counts()


def test_the_sweep_equals_thresholds_tried_one_by_one() -> None:
    probability, target = pixels(2)
    sweep, truth = ThresholdSweep.of(probability, target), target > 0
    for k in range(1, 200):
        predicted = probability >= k / 200
        counts = sweep.counts(k / 200)
        assert (
            abs(counts.tp - int((predicted & truth).sum())) <= 1
        )  # one pixel may sit within rounding of an edge
        assert abs(counts.fp - int((predicted & ~truth).sum())) <= 1


def test_the_sweep_is_exact_at_one_half() -> None:
    half = np.float32(0.5)
    values = [np.nextafter(half, np.float32(0)), half, np.nextafter(half, np.float32(1)), 0.0, 1.0]
    probability = torch.tensor(np.array(values, dtype=np.float32))
    counts = ThresholdSweep.of(probability, torch.ones(5)).counts(0.5)
    assert counts == Counts(tp=3, fp=0, fn=2, tn=0)


def test_the_best_threshold_has_the_highest_iou_of_all() -> None:
    sweep = ThresholdSweep.of(*pixels(3))
    threshold, best = sweep.best()
    assert best == iou(sweep.counts(threshold))
    assert best == max(iou(sweep.counts(k / 200)) for k in range(1, 200))
    assert best > iou(sweep.counts(0.5))


def test_among_equal_thresholds_the_one_nearest_to_one_half_wins() -> None:
    separated = ThresholdSweep.of(torch.tensor([0.1, 0.9]), torch.tensor([0.0, 1.0]))
    assert separated.best() == (0.5, 1.0)
    low = ThresholdSweep.of(torch.tensor([0.1, 0.3]), torch.tensor([0.0, 1.0]))
    assert low.best() == (0.3, 1.0)


def test_the_kept_counts_are_those_of_the_39_thresholds_one_by_one() -> None:
    sweep = ThresholdSweep.of(*pixels(4))
    kept = sweep.kept()
    assert kept.threshold.tolist() == list(KEPT_THRESHOLDS) == [round(0.025 * k, 3) for k in range(1, 40)]
    found = zip(kept.tp.tolist(), kept.fp.tolist(), kept.fn.tolist(), strict=True)
    expected = [sweep.counts(0.025 * k) for k in range(1, 40)]
    assert list(found) == [(counts.tp, counts.fp, counts.fn) for counts in expected]
    assert {a.dtype for a in (kept.tp, kept.fp, kept.fn)} == {np.dtype(np.int64)}


def test_what_has_no_denominator_is_0_and_not_perfect() -> None:
    nothing = Counts(tp=0, fp=0, fn=0, tn=100)
    assert [metric(nothing) for metric in (iou, f1, precision, recall)] == [0.0] * 4
    assert precision(Counts(tp=0, fp=0, fn=5, tn=95)) == 0.0
    assert recall(Counts(tp=0, fp=5, fn=0, tn=95)) == 0.0


def test_counts_are_exact_beyond_the_whole_numbers_of_float32() -> None:
    sweep = ThresholdSweep(np.zeros((2, 200), dtype=np.int64))
    sweep.histogram[1, 150] = 2**24
    one = ThresholdSweep.of(torch.tensor([0.9]), torch.tensor([1.0]))
    assert (sweep + one).counts().tp == 2**24 + 1
