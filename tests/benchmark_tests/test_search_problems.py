"""The curves that searches are compared on have the noise and the truth that is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import search_quality
from recorded_sweeps import record_scores
from search_bench.learning_curves import MAX_EPOCHS, CurveModel, SimulatedProblem
from search_bench.recorded import Recorded, read_algoperf, read_run_dir

from results import RunStatus

SMALL = CurveModel(configs=8)


def scores(problem: SimulatedProblem, replicates: int) -> np.ndarray:
    """Best value of each run, NaN where it diverges, (configs, replicates)."""
    return np.array([[problem.curve(c, r).max() for r in range(replicates)] for c in range(problem.configs)])


def test_a_curve_is_a_function_of_seed_config_and_replicate() -> None:
    """Whatever was asked for before, in whatever order, and whatever global generators do."""
    asked = [(3, 0), (0, 50), (7, 9), (0, 1000), (0, 8)]
    forward, backward = SimulatedProblem(4, SMALL), SimulatedProblem(4, SMALL)
    first = [forward.curve(*key) for key in asked]
    assert backward.truth.shape == (8,)
    second = [backward.curve(*key) for key in reversed(asked)][::-1]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(forward.truth, backward.truth)
    assert not np.array_equal(SimulatedProblem(5, SMALL).curve(3, 0)[:5], first[0][:5])
    assert not np.array_equal(first[1][:5], first[4][:5])


def test_runs_end_by_patience_or_after_all_epochs() -> None:
    problem = SimulatedProblem(1, CurveModel(configs=32))
    for config in range(32):
        for replicate in range(4):
            values = problem.curve(config, replicate)
            last_best = int(values.argmax()) + 1
            assert len(values) == min(last_best + 15, MAX_EPOCHS)
            assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("model", [CurveModel(configs=16, seed_sd=0.05), CurveModel(configs=16, tail_df=3.0)])
def test_the_truth_is_the_mean_score(model: CurveModel) -> None:
    """Of many runs, within what their number allows: the z values of 16 x 3 configs look standard normal."""
    z = []
    for seed in range(3):
        problem = SimulatedProblem(seed, model)
        found = scores(problem, 72)
        z.append((found.mean(axis=1) - problem.truth) / (found.std(axis=1, ddof=1) / math.sqrt(72)))
    values = np.concatenate(z)
    assert abs(values.mean()) < 3 / math.sqrt(len(values))
    assert 0.7 < values.std() < 1.3  # more if the truth were as uncertain as a few runs


@pytest.mark.parametrize("sd", [0.018, 0.05])
def test_the_seed_sd_is_what_was_asked_for(sd: float) -> None:
    found = [scores(SimulatedProblem(seed, CurveModel(seed_sd=sd, duds=0.0)), 8) for seed in range(6)]
    pooled = math.sqrt(float(np.mean([of.var(axis=1, ddof=1).mean() for of in found])))
    assert pooled == pytest.approx(sd, rel=0.15)  # the epoch noise adds to it, taking the best takes from it


def test_the_share_of_diverging_runs_is_what_was_asked_for() -> None:
    problem = SimulatedProblem(0, CurveModel(configs=64, diverging=0.2))
    bad = np.isnan(scores(problem, 40)).mean()
    assert bad == pytest.approx(0.2, abs=3 * math.sqrt(0.2 * 0.8 / (64 * 40)))
    first = [
        int(np.isnan(problem.curve(c, 0)).argmax()) for c in range(64) if np.isnan(problem.curve(c, 0)).any()
    ]
    assert min(first) >= 1
    clean = SimulatedProblem(0, CurveModel(configs=64))
    np.testing.assert_array_equal(problem.truth, clean.truth)  # of the runs that do not diverge


def test_with_shared_seeds_replicates_are_correlated_over_configs() -> None:
    def correlation(shared: float) -> float:
        model = CurveModel(configs=12, shared=shared, duds=0.0, seed_sd=0.05)
        found = np.corrcoef(scores(SimulatedProblem(0, model), 40))
        return float(found[np.triu_indices(12, 1)].mean())

    assert abs(correlation(0.0)) < 0.1
    assert correlation(0.8) > 0.5


def test_crossing_makes_good_configs_slow() -> None:
    def rank_correlation(crossing: float) -> float:
        problem = SimulatedProblem(0, CurveModel(configs=200, crossing=crossing, late=0.0))
        ranks = [np.argsort(np.argsort(of)) for of in (problem.tau, problem.asymptote)]
        return float(np.corrcoef(*ranks)[0, 1])

    assert abs(rank_correlation(0.0)) < 0.25
    assert rank_correlation(0.7) == pytest.approx(0.7, abs=0.12)


def recorded(*configs: Sequence[Sequence[float]]) -> Recorded:
    return Recorded("made up", [[np.array(curve, dtype=float) for curve in of] for of in configs])


def test_a_recorded_problem_is_the_same_runs_in_another_order() -> None:
    source = recorded([[0.1, 0.2], [0.1, 0.4]], [[0.5], [0.5, math.nan]], [[0.6, 0.3], [0.2, 0.1]])
    orders = set()
    for seed in range(20):
        problem = source.problem(seed)
        assert (problem.configs, problem.replicates, problem.max_epochs) == (3, 2, 2)
        assert sorted(problem.truth.tolist()) == pytest.approx(
            [0.3, 0.4, 0.5]
        )  # the failed run does not count
        seen = [tuple(problem.curve(c, r).tolist()) for c in range(3) for r in range(2)]
        orders.add(str(seen))
        assert len(seen) == 6
        best = int(problem.truth.argmax())
        assert {len(problem.curve(best, r)) for r in range(2)} == {1, 2}
    assert len(orders) > 10
    np.testing.assert_array_equal(source.problem(3).truth, source.problem(3).truth)


def test_a_run_directory_gives_the_runs_with_a_known_end(tmp_path: Path) -> None:
    run_dir = record_scores(
        tmp_path / "run",
        [[0.30, 0.32, 0.34], [0.40, 0.41, 0.42], [0.20, 0.21, math.nan], [0.1, math.nan, math.nan]],
        endings={(0, 1): RunStatus.DIVERGED, (1, 2): RunStatus.STOPPED},
    )
    found = read_run_dir(run_dir)
    assert len(found.curves) == 3  # three configs x 2 seeds are more runs than one config x 3
    assert [len(of) for of in found.curves] == [2, 2, 2]
    assert np.isnan(found.curves[0][1][-1])
    assert found.curves[1][0].max() == pytest.approx(0.40)
    assert "3 configs x 2 seeds; 3 of 9 ended runs left out" in found.note
    with pytest.raises(ValueError, match="1 config"):
        read_run_dir(run_dir, seeds=3)


def test_a_metric_to_be_minimised_is_turned_round(tmp_path: Path) -> None:
    run_dir = record_scores(tmp_path / "run", [[0.3, 0.4], [0.5, 0.6]], sweep={"mode": "min"})
    assert read_run_dir(run_dir).curves[0][0].max() == pytest.approx(-0.2)  # the lowest is its first epoch


@pytest.mark.real_data
def test_algoperf_is_read_on_common_steps(real_data: Path) -> None:
    found = {source.name: source for source in read_algoperf(real_data / search_quality.ALGOPERF)}
    assert sorted(found) == ["fastmri_jax", "ogbg_jax", "ogbg_model_size_jax"]
    for source in found.values():
        assert [len(of) for of in source.curves] == [5] * 25
        assert len({len(values) for of in source.curves for values in of}) == 1
        assert all(np.isfinite(values).all() for of in source.curves for values in of)
    assert found["ogbg_jax"].problem(0).truth.max() == pytest.approx(0.297, abs=0.001)
