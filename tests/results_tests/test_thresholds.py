"""Curves over thresholds keep the seeds apart, and a chosen threshold is judged by runs that did not choose it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from recorded_sweeps import record_scores, threshold_record

from results import ResultsStore, RunStatus
from results.ranking import Ranking, rank_store
from results.report.threshold_views import threshold_table
from results.schema import THRESHOLDS
from results.thresholds import ThresholdCurve, threshold_curves

GRID = np.arange(1, 40) / 40


def rows(trial_key: str, counts: npt.ArrayLike, grid: npt.ArrayLike = GRID) -> list[dict[str, Any]]:
    """The rows of one run; counts are (T, 3)."""
    record = threshold_record(trial_key=trial_key, config_id=trial_key[:2], replicate=int(trial_key[-1]))
    triples = zip(np.asarray(grid).tolist(), np.asarray(counts).tolist(), strict=True)
    return [{**vars(record), "threshold": t, "tp": c[0], "fp": c[1], "fn": c[2]} for t, c in triples]


def table(runs: Mapping[str, npt.ArrayLike]) -> pa.Table:
    content = [row for key, counts in runs.items() for row in rows(key, counts)]
    return pa.Table.from_pylist(content, schema=THRESHOLDS)


def predicted(seed: int) -> npt.NDArray[np.int64]:
    """Counts of a model on 4000 pixels, as thresholding makes them: (T, 3), falling tp and fp."""
    rng = np.random.default_rng(seed)
    truth = rng.random(4000) < 0.1
    probability = np.clip(rng.beta(1, 5, 4000) + 0.35 * truth, 0, 1)
    found = [(probability >= t) for t in GRID]
    return np.array([[(f & truth).sum(), (f & ~truth).sum(), (~f & truth).sum()] for f in found])


def unlike(rng: np.random.Generator, runs: int, mean: npt.ArrayLike, sd: float) -> npt.NDArray[np.int64]:
    """Counts (R, T, 3) whose IoU is `mean` (T,) plus independent noise, on a million pixels to find."""
    iou = np.clip(np.asarray(mean) + sd * rng.standard_normal((runs, len(GRID))), 0.01, 0.99)
    tp = np.round(1e6 * iou).astype(np.int64)
    return np.stack([tp, np.zeros_like(tp), 10**6 - tp], axis=-1)


def a_curve(counts: npt.NDArray[np.int64]) -> ThresholdCurve:
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    runs = range(len(counts))
    return ThresholdCurve("c0", "c0", tuple(f"c0-r{r}" for r in runs), tuple(runs), 0, GRID, tp, fp, fn)


@pytest.fixture
def ranking(tmp_path: Path) -> Ranking:
    """c1 before c0 before c2 (all three runs each); c3 has a stopped run, c4 one failed and one missing."""
    scores = [[0.4, 0.5, 0.45], [0.5, 0.6, 0.55], [0.3, 0.2, 0.25], [0.7, 0.7, 0.7], [0.1, 0.1, np.nan]]
    endings = {(3, 1): RunStatus.STOPPED, (4, 0): RunStatus.OUT_OF_MEMORY}
    return rank_store(ResultsStore.read(record_scores(tmp_path / "run", scores, endings=endings)))


ALL = {f"c{i}-r{j}": predicted(10 * i + j) for i in range(5) for j in range(3)}


def test_each_run_keeps_its_curve_and_the_mean_is_over_runs(ranking: Ranking) -> None:
    shuffled = table(ALL).take(np.random.default_rng(3).permutation(15 * 39))
    curve = threshold_curves(shuffled, ranking, config_ids=["c0"])[0]
    assert (curve.config_id, curve.trial_keys, curve.replicates) == (
        "c0",
        ("c0-r0", "c0-r1", "c0-r2"),
        (0, 1, 2),
    )
    assert curve.thresholds.tolist() == GRID.tolist()
    for i, threshold in enumerate(GRID):
        each = [tuple(int(n) for n in ALL[key][i]) for key in curve.trial_keys]
        iou = [tp / (tp + fp + fn) for tp, fp, fn in each]
        point = curve.at(float(threshold))
        assert curve.iou[:, i].tolist() == iou
        assert point.iou == pytest.approx(sum(iou) / 3, abs=1e-15)
        assert point.iou_sd == pytest.approx(np.std(iou, ddof=1), abs=1e-15)
        assert point.recall == pytest.approx(sum(tp / (tp + fn) for tp, _, fn in each) / 3, abs=1e-15)
        precision = [tp / (tp + fp) if tp + fp else 0.0 for tp, fp, _ in each]
        assert point.precision == pytest.approx(sum(precision) / 3, abs=1e-15)


def test_only_runs_with_a_score_enter_and_the_rest_is_counted(ranking: Ranking) -> None:
    """A stopped or failed run leaves counts of its best epoch so far; they are not those of a finished model."""
    counts = {key: value for key, value in ALL.items() if key != "c1-r1"}
    curves = {curve.config_id: curve for curve in threshold_curves(table(counts), ranking)}
    assert list(curves) == ["c1", "c0", "c2", "c4"]  # as ranked; c3 was stopped and has no final score
    assert (curves["c1"].trial_keys, curves["c1"].n_without) == (("c1-r0", "c1-r2"), 1)
    assert (curves["c4"].trial_keys, curves["c4"].n_without) == (("c4-r1",), 0)
    assert (curves["c4"].at_half().iou_sd, curves["c4"].held_out()) == (None, None)
    assert threshold_table(tuple(curves.values())).note.endswith(" 1 run has no counts by threshold.")


def test_a_sweep_without_counts_has_no_curves(ranking: Ranking) -> None:
    assert threshold_curves(THRESHOLDS.empty_table(), ranking) == ()
    assert threshold_curves(table({"c9-r0": predicted(1)}), ranking) == ()
    assert threshold_curves(table(ALL), ranking, config_ids=["c3", "unknown"]) == ()


def test_a_run_with_fewer_thresholds_is_left_out_and_counted(ranking: Ranking) -> None:
    content = [*rows("c0-r0", ALL["c0-r0"]), *rows("c0-r1", ALL["c0-r1"][::2], GRID[::2])]
    curve = threshold_curves(pa.Table.from_pylist(content, schema=THRESHOLDS), ranking)[0]
    assert (curve.trial_keys, curve.n_without) == (("c0-r0",), 2)
    only_low = pa.Table.from_pylist(rows("c0-r0", ALL["c0-r0"][:5], GRID[:5]), schema=THRESHOLDS)
    with pytest.raises(ValueError, match=r"no rows at 0\.5"):
        threshold_curves(only_low, ranking)


def test_what_has_no_denominator_is_0_and_is_not_drawn() -> None:
    counts = np.zeros((1, 39, 3), dtype=np.int64)
    counts[0, 0] = (5, 5, 0)
    counts[0, 1:, 2] = 5  # from the second threshold on nothing is predicted
    curve = a_curve(counts)
    assert (curve.precision[0, 0], curve.precision[0, 1], curve.recall[0, 1], curve.iou[0, 1]) == (
        0.5,
        0,
        0,
        0,
    )
    assert curve.drawable.tolist() == [[True] + [False] * 38]
    assert a_curve(np.zeros((2, 39, 3), dtype=np.int64)).iou.tolist() == [[0.0] * 39] * 2


def test_a_threshold_that_was_not_kept_is_refused_with_those_that_were() -> None:
    with pytest.raises(ValueError, match=r"at threshold 0\.51 were not kept; choose one of 0\.025, 0\.05"):
        a_curve(predicted(1)[None]).at(0.51)


def test_among_equal_thresholds_the_nearest_to_one_half_is_best() -> None:
    flat = np.full((2, 39, 3), 7)
    assert a_curve(flat).best_threshold == 0.5
    flat[:, [15, 23], 0] = 8  # 0.4 and 0.6
    assert a_curve(flat).best_threshold == 0.6
    flat[:, 23, 0] = 7
    assert a_curve(flat).best_threshold == 0.4


def test_the_threshold_is_chosen_by_the_other_runs() -> None:
    counts = np.full((3, 39, 3), 10)
    for run, best in enumerate((9, 9, 29)):  # two runs are best at 0.25, one at 0.75
        counts[run, best, 0] = 40
    held = a_curve(counts).held_out()
    assert held is not None
    # without run 0 or 1, 0.25 and 0.75 are equally good and equally far from 0.5: the larger one
    assert held.thresholds == (0.75, 0.75, 0.25)
    assert (held.iou, held.gain, held.gain_sd) == pytest.approx((1 / 3, 0, 0))
    assert (held.precision, held.recall) == pytest.approx((0.5, 0.5))
    assert a_curve(counts).at_best().iou == pytest.approx((40 / 60 * 2 + 1 / 3) / 3)


def test_held_out_is_never_above_the_choice_of_all_runs() -> None:
    rng = np.random.default_rng(11)
    for _ in range(200):
        curve = a_curve(rng.integers(1, 50, (int(rng.integers(2, 7)), 39, 3)))
        held = curve.held_out()
        assert held is not None
        assert held.iou <= curve.at_best().iou + 1e-12
        assert curve.at_best().iou >= curve.at_half().iou


def test_where_no_threshold_is_better_the_held_out_gain_is_0_on_average_and_the_apparent_one_is_not() -> None:
    rng = np.random.default_rng(5)
    apparent, honest = [], []
    for _ in range(400):
        curve = a_curve(unlike(rng, 3, np.full(39, 0.4), 0.02))
        held = curve.held_out()
        assert held is not None
        apparent.append(curve.at_best().iou - curve.at_half().iou)
        honest.append(held.gain)
    error = np.std(honest) / np.sqrt(len(honest))
    assert abs(np.mean(honest)) < 4 * error
    assert np.mean(apparent) > 0.02


def test_a_real_gain_is_found() -> None:
    """IoU 0.45 at 0.3 and 0.35 at 0.5 in truth: the held-out gain is 0.10, whatever the seeds add."""
    truth = 0.45 - 0.1 * np.abs(GRID - 0.3) / 0.2
    rng = np.random.default_rng(6)
    gains = []
    for _ in range(100):
        held = a_curve(unlike(rng, 4, truth, 0.005)).held_out()
        assert held is not None
        gains.append(held.gain)
    assert 0.095 < np.mean(gains) < 0.1
