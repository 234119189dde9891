"""Variance components: known ones are recovered, what cannot be known is not claimed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from results import ResultsStore, rank_store
from results.statistics.components import (
    HARDWARE,
    INTERACTIONS,
    SOURCES,
    TOTAL,
    Component,
    SeedComponents,
    seed_components,
    sweep_components,
)
from results.statistics.mean_squares import combined, component_weights, mean_squares
from results.statistics.variances import noise_of_means

Array = npt.NDArray[np.float64]
Seeds = list[tuple[int, int, int]]
STAR: Seeds = [(0, 0, 0), *[tuple(i * (s == k) for s in range(3)) for k in range(3) for i in range(1, 8)]]  # type: ignore[misc]
CROSSED: Seeds = list(product(range(4), range(4), range(4)))


def simulated(
    rng: np.random.Generator, seeds: Seeds, *, sd: tuple[float, float, float], hardware: float = 0.0
) -> Array:
    """Scores as the sum of one effect of each seed, the same wherever the seed occurs, and the hardware's noise."""
    effects = [rng.normal(0, s, 100) for s in sd]
    clean = [sum(effect[i] for effect, i in zip(effects, triple, strict=True)) for triple in seeds]
    return np.array(clean) + rng.normal(0, hardware, len(seeds))


def known(found: SeedComponents, source: str) -> Component:
    component = found.of(source)
    assert component is not None
    assert component.reason is None
    return component


def coverage(
    draw: Callable[[np.random.Generator], SeedComponents], truth: dict[str, float], runs: int
) -> dict[str, float]:
    rng, hits = np.random.default_rng(5), dict.fromkeys(truth, 0)
    for _ in range(runs):
        found = draw(rng)
        for source, sd in truth.items():
            one = known(found, source)
            assert one.low is not None
            assert one.high is not None
            hits[source] += one.low <= sd <= one.high
    return {source: n / runs for source, n in hits.items()}


def test_crossed_seeds_give_intervals_that_cover_each_source() -> None:
    sd, runs = (0.02, 0.01, 0.005), 500
    truth = dict(zip(SOURCES, sd, strict=True)) | {
        INTERACTIONS: 0.004,
        TOTAL: float(np.sqrt(sum(s * s for s in sd) + 0.004**2)),
    }
    found = coverage(
        lambda rng: seed_components(simulated(rng, CROSSED, sd=sd, hardware=0.004), CROSSED), truth, runs
    )
    assert all(0.93 < share < 0.98 for share in found.values()), found


def test_seeds_varied_one_at_a_time_give_intervals_that_cover_each_source() -> None:
    truth = {"initialisation": 0.02, "data order": 0.01, "augmentation": 0.005}
    found = coverage(
        lambda rng: seed_components(simulated(rng, STAR, sd=(0.02, 0.01, 0.005)), STAR), truth, 800
    )
    assert all(0.93 < share < 0.97 for share in found.values()), found


def test_configs_that_share_seeds_hold_less_information() -> None:
    """Six configs that move together on the same seeds: intervals still cover, df say how little is added."""
    seeds: Seeds = [(i, i, i) for i in range(5)]
    configs = [k for k in range(6) for _ in seeds]

    def draw(rng: np.random.Generator) -> SeedComponents:
        shared = rng.normal(0, 0.02, 5)
        scores = (shared + rng.normal(0, 0.008, (6, 5))).ravel()
        return seed_components(scores, seeds * 6, configs=configs)

    truth = {TOTAL: float(np.hypot(0.02, 0.008))}
    assert 0.92 < coverage(draw, truth, 800)[TOTAL] < 0.98
    df = np.mean([known(draw(np.random.default_rng(i)), TOTAL).df for i in range(50)])
    assert 4 < df < 8  # 24 if the configs were independent, 4 if they were the same


@pytest.mark.parametrize("shared", [0.0, 0.02])
@pytest.mark.parametrize("holes", [False, True])
def test_the_total_of_a_plain_sweep_is_the_seed_noise_that_the_verdict_states(
    shared: float, holes: bool
) -> None:
    """One quantity, one interval on the page."""
    rng = np.random.default_rng(7)
    scores = 0.4 + rng.normal(0, 0.01, (5, 4)) + rng.normal(0, shared, 4)
    if holes:
        scores[0, 1], scores[3, 2] = np.nan, np.nan
    noise = noise_of_means(scores)
    seeds: Seeds = [(10 + j, 20 + j, 30 + j) for j in range(4)] * 5
    configs = [i for i in range(5) for _ in range(4)]
    found = seed_components(scores.ravel(), seeds, configs=configs)
    total = known(found, TOTAL)
    assert found.design == "together"
    assert (total.sd, total.df) == (pytest.approx(noise.sd), noise.df)
    assert (total.low, total.high) == (pytest.approx(noise.low), pytest.approx(noise.high))


def test_configs_that_do_not_move_together_are_pooled_in_full() -> None:
    seeds: Seeds = [(i, i, i) for i in range(8)]
    scores = np.random.default_rng(1).normal(0, 0.02, 8 * 6)
    other: Seeds = [(100 * k + i, 100 * k + i, 100 * k + i) for k in range(6) for i in range(8)]
    configs = [k for k in range(6) for _ in seeds]
    assert known(seed_components(scores, other, configs=configs), TOTAL).df == 42
    assert known(seed_components(scores, seeds * 6, configs=configs), TOTAL).df > 30


def test_a_sweep_knows_the_total_only_and_says_why() -> None:
    found = seed_components([0.4, 0.42, 0.41, 0.45], [(i, i + 10, i + 20) for i in range(4)])
    assert found.design == "together"
    assert known(found, TOTAL).sd == pytest.approx(np.std([0.4, 0.42, 0.41, 0.45], ddof=1))
    assert known(found, TOTAL).share == 1
    for i, source in enumerate(SOURCES):
        one = found.of(source)
        assert one is not None
        assert (one.sd, one.low, one.high, one.share) == (None, None, None, None)
        others = " and ".join(name for k, name in enumerate(SOURCES) if k != i)
        assert one.reason == f"this seed never changes alone, but together with that of {others}"
    hardware = found.of(HARDWARE)
    assert hardware is not None
    assert hardware.reason == "no run was repeated with all three seeds equal"


def test_two_seeds_that_change_together_are_one_source() -> None:
    found = seed_components([0.4, 0.42, 0.41], [(i, i, 7) for i in range(3)])
    assert known(found, "initialisation and data order").sd == pytest.approx(0.01)
    augmentation, total = found.of("augmentation"), found.of(TOTAL)
    assert augmentation is not None
    assert total is not None
    assert augmentation.reason == "this seed is the same in all runs of a config"
    assert total.reason == "not all three seeds were varied"


def test_one_source_of_two_crossed_ones_is_the_textbook_analysis_of_variance() -> None:
    """Mean squares of a two-way layout with repeats, against statsmodels."""
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(2)
    seeds: Seeds = [(i, j, 0) for i, j, _ in product(range(3), range(4), range(2))]
    scores = simulated(rng, seeds, sd=(0.02, 0.01, 0), hardware=0.005)
    table = pd.DataFrame(seeds, columns=["a", "b", "c"]).assign(y=scores)
    square = anova_lm(ols("y ~ C(a) * C(b)", table).fit())["mean_sq"]
    found = seed_components(scores, seeds)
    assert found.design == "crossed"
    variance = (square["C(a)"] - square["C(a):C(b)"]) / 8
    assert known(found, "initialisation").sd == pytest.approx(np.sqrt(variance))
    assert known(found, HARDWARE).sd == pytest.approx(np.sqrt(square["Residual"]))
    total = found.of(TOTAL)
    assert total is not None
    assert total.reason == "not all three seeds were varied"


def test_components_are_unbiased_with_every_interaction_there() -> None:
    """The inverted expected mean squares: averages over many layouts give the variances back."""
    rng, levels = np.random.default_rng(3), (3, 4, 2)
    sds = {(0,): 3.0, (1,): 2.0, (2,): 1.0, (0, 1): 1.5, (0, 2): 1.0, (1, 2): 0.5, (0, 1, 2): 1.0, (): 0.7}
    sums = dict.fromkeys(sds, 0.0)
    for _ in range(4000):
        cells = np.zeros((*levels, 2))
        for effect, sd in sds.items():
            shape = [n if f in effect else 1 for f, n in enumerate(levels)] + [1]
            cells = cells + rng.normal(0, sd, cells.shape if effect == () else shape)
        squares = mean_squares(cells)
        for effect in sds:
            weights = component_weights(effect, levels, 2)
            sums[effect] += sum(w * squares[e].value for e, w in weights.items()) / 4000
    for effect, sd in sds.items():
        assert sums[effect] == pytest.approx(sd**2, abs=0.06 * 9), effect


def test_an_incomplete_crossing_is_read_one_at_a_time() -> None:
    scores = simulated(np.random.default_rng(4), CROSSED, sd=(0.02, 0.01, 0.005))
    scores[5] = np.nan
    found = seed_components(scores, CROSSED)
    assert (found.design, found.n_left_out, found.n_runs) == ("one at a time", 1, 63)
    one = known(found, "initialisation")
    assert one.df < 5  # sixteen groups, but the same four seeds in all of them


def test_equal_runs_measure_the_hardware() -> None:
    seeds: Seeds = [(0, 0, 0)] * 3 + [(1, 1, 1)] * 2
    found = seed_components([0.40, 0.42, 0.41, 0.50, 0.50], seeds)
    assert known(found, HARDWARE).df == 3
    assert known(found, HARDWARE).sd == pytest.approx(np.sqrt(0.0002 / 3))
    assert known(found, TOTAL).df == 1  # one run of each triple
    same = known(seed_components([0.4, 0.4], [(0, 0, 0)] * 2), HARDWARE)
    assert (same.sd, same.low, same.high) == (0, 0, 0)


def test_a_source_of_nothing_has_no_negative_variance() -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        found = seed_components(simulated(rng, CROSSED, sd=(0.02, 0.0, 0.0), hardware=0.01), CROSSED)
        one = known(found, "augmentation")
        assert one.sd is not None
        assert one.high is not None
        assert 0 <= one.sd < one.high
        assert one.low == 0 or one.sd > 0


def test_one_mean_square_has_the_exact_chi_square_interval() -> None:
    from scipy import stats

    squares = mean_squares(np.random.default_rng(7).normal(0, 1, (6, 1)))
    found = combined(squares, {(0,): 1.0}, alpha=0.05)
    df, value = squares[(0,)].df, squares[(0,)].value
    assert (found.low, found.high) == pytest.approx(
        (df * value / stats.chi2.ppf(0.975, df), df * value / stats.chi2.ppf(0.025, df))
    )


def test_shapes_must_fit_and_nothing_at_all_is_unknown() -> None:
    with pytest.raises(ValueError, match=r"shapes \(n,\), \(n, 3\) and \(n,\), not \(2,\), \(2, 2\)"):
        seed_components([0.4, 0.5], [(0, 1), (1, 1)])
    found = seed_components([0.4], [(0, 0, 0)])
    assert found.design == "no repeats"
    assert all(one.sd is None and one.reason for one in found.components)
    assert seed_components([], np.empty((0, 3))).n_runs == 0


def test_a_recorded_sweep_is_read_with_its_seeds(make_run_dir: Callable[..., Path]) -> None:
    """The recorded runs differ in the first seed only."""
    run_dir = make_run_dir([[0.40, 0.42, 0.44], [0.50, 0.51, np.nan]])
    store = ResultsStore.read(run_dir)
    found = sweep_components(rank_store(store), store.runs())
    assert (found.n_runs, found.n_configs, found.design) == (5, 2, "one at a time")
    assert known(found, "initialisation").sd == pytest.approx(np.sqrt((0.0008 + 0.00005) / 3))


@pytest.mark.real_data
def test_real_trainings_are_split_into_their_sources(real_data: Path) -> None:
    """Eight runs for each source, varied alone: initialisation 0.022, order 0.013, augmentation 0.013, bits equal."""
    import pandas as pd

    curves = pd.read_parquet(real_data / "synthetic_curves.parquet")
    curves = curves[curves["config_id"].str.startswith("decomp_")]
    keys = ["config", "config_id", "seed", "seed_init", "seed_order", "seed_aug"]
    runs = curves.groupby(keys)["val_iou"].max().reset_index()
    found = seed_components(
        runs["val_iou"], runs[["seed_init", "seed_order", "seed_aug"]], configs=list(runs["config"])
    )
    assert found.n_runs == 30
    sds = {one.source: one.sd for one in found.components}
    assert sds == pytest.approx(
        {SOURCES[0]: 0.0224, SOURCES[1]: 0.0134, SOURCES[2]: 0.0128, HARDWARE: 0.0, TOTAL: 0.0186}, abs=1e-4
    )
    assert [known(found, source).df for source in SOURCES] == [8, 8, 8]
