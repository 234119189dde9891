"""Validation patches: counts as recorded, the bootstrap against scipy's, and coverage of a known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from recorded_sweeps import SWEEP, epoch_record, patch_record, run_record
from scipy import stats

from results import ConfigRecord, ResultsError, ResultsStore, RunStatus, rank_store
from results.patch_table import patch_report, read_patch_counts, scored_counts
from results.statistics.blocks import pooled_noise
from results.statistics.pairs import compare_pairs
from results.statistics.patch_noise import Units, bootstrap_patches, patch_noise, pooled_scores
from results.statistics.two_way import two_way_difference, two_way_mean

Counts = npt.NDArray[np.float64]


def landslides(rng: np.random.Generator, configs: int = 3, replicates: int = 3, patches: int = 40) -> Counts:
    """TP, FP, FN: patches of very different size, half of them without landslide; configs ever better."""
    size = np.where(rng.random(patches) < 0.5, rng.lognormal(5, 1, patches), 0).round()
    hit = np.clip(
        0.5 + 0.1 * np.arange(configs)[:, None, None] + rng.normal(0, 0.05, (configs, replicates, patches)),
        0,
        1,
    )
    tp = (size * hit).round()
    return np.stack([tp, rng.integers(0, 20, tp.shape).astype(float), size - tp], axis=-1)


def linear(rng: np.random.Generator, truth: npt.NDArray[np.float64], **sd: float) -> Counts:
    """Counts whose pooled IoU is the plain mean of ``truth + seed + patch + config x patch + run x patch``."""
    k, n, p = len(truth), 3, 60
    share = truth[:, None, None] + rng.normal(0, sd["seed"], (k, n, 1)) + rng.normal(0, sd["patch"], p)
    share = share + rng.normal(0, sd["config_patch"], (k, 1, p)) + rng.normal(0, sd["run_patch"], (k, n, p))
    return np.stack([share, np.zeros_like(share), 1 - share], axis=-1)


def record(run_dir: Path, counts: Counts, *, shift: float = 0.0, **endings: RunStatus) -> ResultsStore:
    """A sweep with these counts; runs with NaN were never started."""
    store = ResultsStore.create(run_dir, {**SWEEP, "replicates": counts.shape[1]})
    for i, j in np.ndindex(counts.shape[:2]):
        store.add_config(ConfigRecord(f"c{i}", {"lr": 0.1 * (i + 1)}, "random", None))
        if np.isnan(counts[i, j]).any():
            continue
        who: dict[str, Any] = {"trial_key": f"c{i}-r{j}", "config_id": f"c{i}", "replicate": j}
        value = float(pooled_scores(counts[i, j])) + shift
        store.add_epoch(epoch_record(epoch=4, val_iou=value, **who))
        rows = [
            patch_record(patch_id=10 + p, tp=int(a), fp=int(b), fn=int(c), **who)
            for p, (a, b, c) in enumerate(counts[i, j])
        ]
        store.add_patches(rows[::-1])
        status = endings.get(f"c{i}_r{j}", RunStatus.FINISHED)
        store.add_run(run_record(status=status, epochs=4, best_epoch=4, best_value=value, **who))
    store.flush()
    return store


def test_counts_come_back_as_recorded_and_give_the_recorded_scores(tmp_path: Path) -> None:
    counts = landslides(np.random.default_rng(1))
    counts[2, 1] = np.nan
    with record(tmp_path / "run", counts) as store:
        found = read_patch_counts(store.patches(), ["c2", "c0"])
        np.testing.assert_array_equal(found.counts, counts[[2, 0]])
        assert found.patch_ids.tolist() == list(range(10, 50))
        ranking = rank_store(store)
        again = scored_counts(ranking, store.patches())
        np.testing.assert_allclose(pooled_scores(again.counts), ranking.matrix(), rtol=1e-12)


def test_runs_that_the_policy_stopped_do_not_count(tmp_path: Path) -> None:
    counts = landslides(np.random.default_rng(1))
    with record(tmp_path / "run", counts, c0_r1=RunStatus.STOPPED, c1_r1=RunStatus.FAILED) as store:
        found = scored_counts(rank_store(store), store.patches())
    assert "c0" not in found.config_ids
    absent = np.isnan(found.counts).all(axis=(2, 3))
    assert absent[found.config_ids.index("c1")].tolist() == [False, True, False]


def test_scores_that_the_counts_do_not_give_are_named(tmp_path: Path) -> None:
    counts = landslides(np.random.default_rng(1))
    with record(tmp_path / "run", counts, shift=0.01) as store, pytest.raises(ResultsError) as caught:
        scored_counts(rank_store(store), store.patches())
    assert "val_iou is recorded as" in str(caught.value)
    assert "9 runs disagree" in str(caught.value)


def test_runs_on_different_patches_are_an_error_that_names_them(tmp_path: Path) -> None:
    with record(tmp_path / "run", landslides(np.random.default_rng(1))) as store:
        rows = store.patches()
    lost = np.array(rows["trial_key"].to_pylist()) == "c1-r0"
    lost &= np.array(rows["patch_id"].to_pylist()) < 15
    with pytest.raises(ResultsError, match="run c1-r0 has 35 of 40 validation patches"):
        read_patch_counts(rows.filter(pa.array(~lost)), ["c0", "c1", "c2"])
    twice = rows.set_column(
        1, "trial_key", pa.array([f"{key}-again" for key in rows["trial_key"].to_pylist()])
    )
    with pytest.raises(ResultsError, match="two runs of one config on one replicate"):
        read_patch_counts(pa.concat_tables([rows, twice], promote_options="default"), ["c0"])


def test_a_metric_that_counts_do_not_give_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    with record(tmp_path / "run", landslides(np.random.default_rng(1))) as store:
        ranking = rank_store(store)
        other = replace(ranking, plan=replace(ranking.plan, metric="val_loss"))
        with pytest.raises(
            ResultsError, match="val_loss does not follow from pixel counts: only val_iou, val_f1"
        ):
            scored_counts(other, store.patches())


@pytest.mark.parametrize("metric", ["val_iou", "val_f1", "val_precision", "val_recall"])
def test_pooled_scores_are_those_of_the_training(metric: str) -> None:
    """The same four functions, also where there is nothing to find and nothing found."""
    from landslide import metrics

    function = getattr(metrics, metric.removeprefix("val_"))
    for tp, fp, fn in ([5, 3, 2], [0, 0, 0], [0, 4, 0], [0, 0, 4]):
        counts = np.array([[tp, 0, 0], [0, fp, fn]])
        assert pooled_scores(counts, metric=metric) == function(metrics.Counts(tp, fp, fn, 0))


def test_bad_counts_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="metric must be one of val_iou"):
        pooled_scores(np.ones((2, 3)), metric="val_loss")
    with pytest.raises(ValueError, match=r"2 or more patches, 3\), not \(1, 1, 1, 3\)"):
        bootstrap_patches(np.ones((1, 1, 1, 3)), rng)


def test_same_generator_same_answer_whatever_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = landslides(np.random.default_rng(1))
    whole = bootstrap_patches(counts, np.random.default_rng(3), resamples=50)
    monkeypatch.setattr("results.statistics.patch_noise._CELLS", 40 * 7)
    blocks = bootstrap_patches(counts, np.random.default_rng(3), resamples=50)
    other = bootstrap_patches(counts, np.random.default_rng(4), resamples=50)
    np.testing.assert_allclose(blocks.resampled, whole.resampled)
    assert not np.allclose(other.resampled, whole.resampled)


def test_all_runs_see_the_same_resampled_patches() -> None:
    """Two equal runs differ by nothing on any draw, so that what they share cancels."""
    counts = landslides(np.random.default_rng(1))
    counts[1] = counts[0]
    noise = patch_noise(
        bootstrap_patches(counts, np.random.default_rng(2), resamples=100).difference_of(0, 1)
    )
    assert noise is not None
    assert (noise.estimate, noise.sd, noise.low, noise.high) == (0, 0, 0, 0)


def test_absent_runs_are_left_out_not_filled_in() -> None:
    counts = landslides(np.random.default_rng(1))
    counts[0, 1] = counts[1, 2] = counts[2] = np.nan
    bootstrap = bootstrap_patches(counts, np.random.default_rng(2), resamples=60)
    assert bootstrap.mean_of(0).point.shape == (2,)
    assert bootstrap.difference_of(0, 1).point.shape == (1,)
    assert patch_noise(bootstrap.mean_of(2)) is None
    assert two_way_mean(bootstrap, 2, pooled_noise(bootstrap.point)) is None


def test_bootstrap_agrees_with_scipys() -> None:
    """Standard error and BCa interval of a pooled ratio; Monte Carlo error is what may differ."""
    counts = landslides(np.random.default_rng(6), configs=1, replicates=1, patches=80)
    ours = patch_noise(bootstrap_patches(counts, np.random.default_rng(2), resamples=20_000).mean_of(0))
    theirs = stats.bootstrap(
        tuple(counts[0, 0].T),
        lambda tp, fp, fn, axis: tp.sum(axis) / (tp + fp + fn).sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="BCa",
        rng=np.random.default_rng(5),
    )
    assert ours is not None
    assert ours.sd == pytest.approx(theirs.standard_error * np.sqrt(80 / 79), rel=0.05)
    interval = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=0.1 * ours.sd)
    assert ours.percentile_low != ours.low


def test_sd_of_a_plain_mean_is_the_textbook_one() -> None:
    counts = linear(
        np.random.default_rng(8), np.array([0.5]), seed=0, patch=0.2, config_patch=0, run_patch=0.1
    )
    noise = patch_noise(bootstrap_patches(counts, np.random.default_rng(2), resamples=6000).mean_of(0))
    assert noise is not None
    assert noise.sd == pytest.approx(stats.sem(counts[0, :, :, 0].mean(axis=0)), rel=0.04)


def test_few_patches_that_hold_most_of_the_landslide_are_few_degrees_of_freedom() -> None:
    rng = np.random.default_rng(9)
    even, uneven = landslides(rng, 1, 1, 200), landslides(rng, 1, 1, 200)
    even[..., :] = rng.normal(100, 10, even.shape)
    uneven[0, 0, :2] *= 1000
    found = [
        patch_noise(bootstrap_patches(c, np.random.default_rng(2), resamples=100).mean_of(0))
        for c in (even, uneven)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].df > 120
    assert found[1].df < 8


def test_interaction_of_seeds_and_patches_is_counted_once() -> None:
    """The seed part holds (S + I) / n and the patch part P + I / n: 'common' is the I / n taken off."""
    counts = np.concatenate(
        [
            linear(
                np.random.default_rng(i), np.array([0.5]), seed=0.0, patch=0.4, config_patch=0, run_patch=0.4
            )
            for i in range(40)
        ]
    )
    bootstrap = bootstrap_patches(counts, np.random.default_rng(2), resamples=1000)
    noise = pooled_noise(bootstrap.point)
    found = [two_way_mean(bootstrap, i, noise) for i in range(40)]
    squares = [one.common**2 for one in found if one is not None]
    assert np.mean(squares) == pytest.approx(0.4**2 / 60 / 3, rel=0.1)
    assert all(
        one is not None
        and one.error**2 == pytest.approx(one.seed_error**2 + one.patch_error**2 - one.common**2)
        for one in found
    )


@pytest.mark.parametrize("run_patch", [0.05, 0.4])
def test_intervals_over_seeds_and_patches_cover_the_truth(run_patch: float) -> None:
    """Known mean and known difference, new seeds and new patches each time: 95 % of the time."""
    rng, runs, truth = np.random.default_rng(10), 350, np.array([0.5, 0.52, 0.5, 0.45])
    covered = np.zeros(2)
    for i in range(runs):
        counts = linear(rng, truth, seed=0.02, patch=0.2, config_patch=0.05, run_patch=run_patch)
        bootstrap = bootstrap_patches(counts, np.random.default_rng(i), resamples=400)
        (pair,) = compare_pairs(bootstrap.point, [(1, 0)], difference=1.0)
        mean = two_way_mean(bootstrap, 0, pooled_noise(bootstrap.point))
        difference = two_way_difference(bootstrap, pair)
        assert mean is not None
        assert difference is not None
        covered += [mean.low <= 0.5 <= mean.high, difference.low <= 0.02 <= difference.high]
    assert (covered / runs > 0.915).all()
    assert (covered / runs < 0.985).all()


def test_unpaired_configs_get_both_parts_too() -> None:
    counts = landslides(np.random.default_rng(1), replicates=4)
    counts[0, 2:] = counts[1, :2] = np.nan
    bootstrap = bootstrap_patches(counts, np.random.default_rng(2), resamples=200)
    (pair,) = compare_pairs(bootstrap.point[:2], [(1, 0)])
    found = two_way_difference(bootstrap, pair)
    assert pair.used == "unpaired"
    assert found is not None
    assert (found.estimate, found.n_runs) == (pytest.approx(pair.estimate), 4)


def test_unknown_seed_noise_has_no_interval_over_seeds() -> None:
    bootstrap = bootstrap_patches(
        landslides(np.random.default_rng(1), replicates=1), np.random.default_rng(2)
    )
    (pair,) = compare_pairs(bootstrap.point, [(0, 1)])
    assert two_way_difference(bootstrap, pair) is None
    assert two_way_mean(bootstrap, 0, pooled_noise(bootstrap.point)) is None


def test_report_says_what_the_patches_alone_are_worth(tmp_path: Path) -> None:
    with record(tmp_path / "run", landslides(np.random.default_rng(1))) as store:
        ranking, rows = rank_store(store), store.patches()
    report = patch_report(ranking, rows, np.random.default_rng(0), best="c2", resamples=300)
    assert report is not None
    mean, difference = report.means[report.best], report.differences[1]
    assert mean is not None
    assert difference is not None
    assert ranking.scored[report.best].config_id == "c2"
    assert (report.n_patches, report.n_without, report.differences[report.best]) == (40, 0, None)
    assert mean.estimate == pytest.approx(ranking.scored[report.best].mean)
    assert difference.half_width < mean.half_width
    assert patch_report(ranking, rows, np.random.default_rng(0), best="c2", resamples=300) == report


def test_a_sweep_without_counts_has_no_report(tmp_path: Path) -> None:
    with record(tmp_path / "run", landslides(np.random.default_rng(1))) as store:
        assert patch_report(rank_store(store), store.patches()[:0], np.random.default_rng(0)) is None


def test_units_are_what_is_averaged() -> None:
    units = Units(np.array([0.4, 0.5]), np.full((10, 2), 0.45), np.full((5, 2), 0.45))
    noise = patch_noise(units)
    assert noise is not None
    assert (noise.estimate, noise.n_runs, noise.n_patches) == (pytest.approx(0.45), 2, 5)
