"""What holds for the counts and metrics of any pixels: adding, permuting, splitting, all empty, all full."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from landslide.metrics import Counts, ThresholdSweep, f1, iou, precision, recall

METRICS = (iou, f1, precision, recall)
pixel_counts = st.integers(min_value=0, max_value=2**40)
some_counts = st.builds(Counts, tp=pixel_counts, fp=pixel_counts, fn=pixel_counts, tn=pixel_counts)
pixels = st.integers(min_value=1, max_value=60).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float32, n, elements=st.floats(0, 1, width=32)), arrays.arrays(np.bool_, n)
    )
)


def sweep(probability: np.ndarray, truth: np.ndarray) -> ThresholdSweep:
    return ThresholdSweep.of(torch.from_numpy(probability.copy()), torch.from_numpy(truth.astype(np.float32)))


@given(some_counts)
def test_every_metric_is_in_0_to_1_and_ignores_true_negatives(counts: Counts) -> None:
    for metric in METRICS:
        assert 0.0 <= metric(counts) <= 1.0
        assert metric(counts) == metric(Counts(counts.tp, counts.fp, counts.fn, 0))


@given(some_counts)
def test_f1_follows_from_iou(counts: Counts) -> None:
    """F1 = 2 IoU / (1 + IoU), so that both choose the same epoch and the same threshold."""
    assert f1(counts) == pytest.approx(2 * iou(counts) / (1 + iou(counts)))
    assert iou(counts) <= min(precision(counts), recall(counts)) + 1e-12


@given(some_counts, some_counts, some_counts)
def test_adding_counts_knows_no_order(a: Counts, b: Counts, c: Counts) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Counts(0, 0, 0, 0) == a


@given(some_counts, some_counts)
def test_the_pooled_iou_lies_between_those_of_its_parts(a: Counts, b: Counts) -> None:
    parts = [part for part in (a, b) if part.tp + part.fp + part.fn]
    if parts:
        assert min(map(iou, parts)) - 1e-12 <= iou(a + b) <= max(map(iou, parts)) + 1e-12


@given(pixels, st.randoms(use_true_random=False))
def test_the_order_of_the_pixels_does_not_matter(
    values: tuple[np.ndarray, np.ndarray], random: object
) -> None:
    probability, truth = values
    order = np.arange(len(truth))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert np.array_equal(
        sweep(probability, truth).histogram, sweep(probability[order], truth[order]).histogram
    )


@given(pixels, st.integers(min_value=0, max_value=60))
def test_a_split_anywhere_adds_up(values: tuple[np.ndarray, np.ndarray], cut: int) -> None:
    probability, truth = values
    parts = sweep(probability[:cut], truth[:cut]) + sweep(probability[cut:], truth[cut:])
    assert np.array_equal(parts.histogram, sweep(probability, truth).histogram)
    assert sum(vars(parts.counts()).values()) == len(truth)


@given(pixels)
def test_a_higher_threshold_finds_no_more(values: tuple[np.ndarray, np.ndarray]) -> None:
    seen = sweep(*values)
    found = [seen.counts(k / 200) for k in range(1, 200)]
    assert all(a.tp >= b.tp and a.fp >= b.fp for a, b in pairwise(found))
    threshold, best = seen.best()
    assert best == max(map(iou, found))
    assert iou(seen.counts(threshold)) == best


@given(st.integers(min_value=1, max_value=50), st.booleans(), st.booleans())
def test_all_empty_and_all_full(n: int, predicted: bool, actual: bool) -> None:
    counts = sweep(np.full(n, float(predicted), np.float32), np.full(n, actual)).counts()
    expected = float(predicted and actual)
    assert [metric(counts) for metric in METRICS] == [expected] * 4
