"""Parameter importance: sums of squares as statsmodels has them, honest with few configs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from results import ResultsStore, rank_store
from results.importance import Importance, ParameterShare, parameter_importance
from results.ranking import Ranking

Array = npt.NDArray[np.float64]
MakeRun = Callable[..., Path]


@pytest.fixture
def ranked(make_run_dir: MakeRun) -> Callable[[Array, Sequence[Mapping[str, Any]]], Ranking]:
    return lambda scores, configs: rank_store(ResultsStore.read(make_run_dir(scores, configs=configs)))


Ranked = Callable[[Array, Sequence[Mapping[str, Any]]], Ranking]


def random_configs(rng: np.random.Generator, n: int) -> list[dict[str, Any]]:
    return [
        {
            "loss": str(rng.choice(["bce", "focal", "lovasz"])),
            "lr": float(10 ** rng.uniform(-5, -2)),
            "decay": float(rng.uniform(1, 2)),
        }
        for _ in range(n)
    ]


def judged(ranking: Ranking) -> Importance:
    found = parameter_importance(ranking)
    assert found is not None
    return found


def of(found: Importance, name: str) -> ParameterShare:
    return next(one for one in found.parameters if one.parameter == name)


def test_shares_are_the_type_two_sums_of_squares_of_statsmodels(ranked: Ranked) -> None:
    """Unequal numbers of runs, a choice of three and two numbers; residual between configs, seeds apart."""
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(1)
    configs = random_configs(rng, 11)
    scores = rng.normal(0.4, 0.03, (11, 3))
    scores[2, 1] = scores[5, 2] = np.nan
    found = judged(ranked(scores, configs))
    table = pd.DataFrame(configs).assign(lr=lambda t: np.log(t["lr"]))
    table = table.loc[np.repeat(np.arange(11), 3)].assign(y=scores.ravel()).dropna()
    expected = anova_lm(ols("y ~ C(loss) + lr + decay", table).fit(), typ=2)["sum_sq"]
    total = ((table["y"] - table["y"].mean()) ** 2).sum()
    within = table.groupby(level=0)["y"].transform(lambda y: (y - y.mean()) ** 2).sum()
    for name, term in (("loss", "C(loss)"), ("lr", "lr"), ("decay", "decay")):
        assert of(found, name).share == pytest.approx(expected[term] / total)
    assert found.seeds == pytest.approx(within / total)
    assert found.beyond == pytest.approx((expected["Residual"] - within) / total)
    square = expected["lr"] / ((expected["Residual"] - within) / found.beyond_df)
    from scipy import stats

    assert of(found, "lr").p == pytest.approx(stats.f.sf(square, 1, found.beyond_df))
    assert (found.beyond_df, found.seeds_df) == (6, 20)


def test_the_parts_add_up(ranked: Ranked) -> None:
    rng = np.random.default_rng(2)
    found = judged(ranked(rng.normal(0.4, 0.03, (9, 2)), random_configs(rng, 9)))
    assert found.together + found.beyond + found.seeds == pytest.approx(1)
    assert sum(one.share for one in found.parameters) + found.overlap == pytest.approx(found.together)
    shares = [one.share for one in found.parameters]
    assert shares == sorted(shares, reverse=True)


def test_an_effect_is_found_beside_the_seeds_and_a_bystander_is_not(ranked: Ranked) -> None:
    rng = np.random.default_rng(3)
    configs = random_configs(rng, 24)
    means = np.array([0.02 * np.log10(c["lr"]) + 0.05 * (c["loss"] == "focal") for c in configs])
    found = judged(ranked(0.5 + means[:, None] + rng.normal(0, 0.01, (24, 3)), configs))
    assert (of(found, "lr").finding, of(found, "loss").finding) == ("effect shown", "effect shown")
    assert of(found, "decay").finding == "no effect shown"
    assert of(found, "decay").share < 0.05
    assert found.seeds < 0.4
    assert found.remark is None


def test_a_parameter_of_no_effect_is_rarely_shown(ranked: Ranked) -> None:
    """Over all parameters together, at most 5 %, + 4 standard errors; configs differ by more than the seeds."""
    from dataclasses import replace

    rng, wrong, runs = np.random.default_rng(4), 0, 300
    ranking = ranked(np.full((12, 2), 0.4), random_configs(rng, 12))
    for _ in range(runs):
        scores = rng.normal(0.4, 0.02, (12, 1)) + rng.normal(0, 0.01, (12, 2))
        rows = tuple(
            replace(
                row, runs=tuple(replace(run, score=float(s)) for run, s in zip(row.runs, line, strict=True))
            )
            for row, line in zip(ranking.rows, scores, strict=True)
        )
        found = judged(replace(ranking, rows=rows))
        wrong += any(one.finding == "effect shown" for one in found.parameters)
    assert 0 < wrong / runs < 0.05 + 4 * np.sqrt(0.05 * 0.95 / runs)


def test_an_optimum_inside_the_range_is_seen_with_enough_configs(ranked: Ranked) -> None:
    rng = np.random.default_rng(5)
    configs = random_configs(rng, 25)
    means = np.array([-0.05 * (np.log10(c["lr"]) + 3.5) ** 2 for c in configs])
    found = judged(ranked(0.5 + means[:, None] + rng.normal(0, 0.01, (25, 2)), configs))
    lr = of(found, "lr")
    assert (lr.form, lr.df, lr.finding) == ("log, curved", 2, "effect shown")
    assert lr.share > 0.5
    few = judged(ranked(0.5 + means[:8, None] + rng.normal(0, 0.01, (8, 2)), configs[:8]))
    assert of(few, "lr").form == "log"
    assert few.remark is not None
    assert "straight line" in few.remark


def test_a_conditional_parameter_does_not_take_its_parents_effect(ranked: Ranked) -> None:
    rng = np.random.default_rng(6)
    configs = [
        {"loss": "bce", "cap": float(rng.uniform(1, 10))} if i % 2 else {"loss": "focal"} for i in range(16)
    ]
    means = np.array([0.1 * (c["loss"] == "focal") for c in configs])
    found = judged(ranked(0.4 + means[:, None] + rng.normal(0, 0.01, (16, 2)), configs))
    assert of(found, "loss").share > 0.8
    assert of(found, "loss").finding == "effect shown"
    assert of(found, "cap").share < 0.05


def test_null_beside_numbers_is_a_level_of_its_own(ranked: Ranked) -> None:
    rng = np.random.default_rng(7)
    configs: list[dict[str, Any]] = [{"clip": None if i % 3 == 0 else 0.5 + i} for i in range(15)]
    means = np.array([0.1 * (c["clip"] is None) for c in configs])
    found = judged(ranked(0.4 + means[:, None] + rng.normal(0, 0.01, (15, 2)), configs))
    assert of(found, "clip").df == 3  # line, square, null
    assert of(found, "clip").share > 0.8


def test_parameters_that_go_together_are_not_told_apart(ranked: Ranked) -> None:
    configs = [{"loss": "bce" if i % 2 else "focal", "amp": bool(i % 2), "lr": 1.0 + i / 8} for i in range(8)]
    found = judged(ranked(np.random.default_rng(8).normal(0.4, 0.02, (8, 2)), configs))
    assert {of(found, name).finding for name in ("loss", "amp")} == {"not separable"}
    assert {of(found, name).p for name in ("loss", "amp")} == {None}


def test_too_few_configs_are_said_to_be_too_few(ranked: Ranked) -> None:
    rng = np.random.default_rng(9)
    found = judged(ranked(rng.normal(0.4, 0.02, (3, 1)), random_configs(rng, 3)))
    assert {one.finding for one in found.parameters} <= {"too few configs", "not separable"}
    assert found.remark is not None
    assert "too few configs" in found.remark
    assert "No config was repeated" in found.remark


def test_configs_that_differ_in_nothing_or_score_alike(ranked: Ranked) -> None:
    rng = np.random.default_rng(10)
    same = judged(ranked(rng.normal(0.4, 0.02, (2, 2)), [{"lr": 0.1}, {"lr": 0.1}]))
    assert (same.parameters, same.together) == ((), 0)
    assert same.remark is not None
    assert "the same values" in same.remark
    assert parameter_importance(ranked(np.full((2, 2), 0.4), random_configs(rng, 2))) is None
    assert parameter_importance(ranked(np.array([[0.4, 0.5]]), random_configs(rng, 1))) is None
