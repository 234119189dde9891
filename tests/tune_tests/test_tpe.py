"""What the searcher `optuna` makes of the results: what it proposes more often, less often, and never."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from search_spaces import Choice, Condition, Config, Float, Int, Parameter, SearchSpace
from tune.searchers import Observation, RandomSearcher
from tune.searchers.tpe import STARTUP, TpeSearcher, outcome

LINE = SearchSpace("line", (Parameter("x", Float(0, 1)),))
OPTIMUM, NOISE = 0.3, 0.1


def drawn(space: SearchSpace, seed: int, count: int = 25) -> list[Config]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def noisy(config: Config, rng: np.random.Generator, n: int = 1) -> Observation:
    """The mean of `n` measurements of a parabola."""
    value = -((float(config["x"]) - OPTIMUM) ** 2) + NOISE * float(rng.normal(size=n).mean())
    return Observation(value, n=n)


def proposed(
    told: Callable[[Config, np.random.Generator], Observation],
    *,
    space: SearchSpace = LINE,
    seeds: int = 60,
    name: str = "x",
    before: Callable[[int], Sequence[Config]] | None = None,
) -> np.ndarray:
    """The proposal of each seed after 25 configs at random, (seeds,)."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(1000 + seed)
        history = list(before(seed)) if before else drawn(space, seed)
        observed = [told(config, rng) for config in history]
        config = TpeSearcher().suggest(len(history), history, space=space, seed=seed, observed=observed)
        assert config is not None
        found.append(config[name])
    return np.array(found, dtype=object if name == "flag" else None)


def distance(places: np.ndarray) -> float:
    return float(np.abs(places - OPTIMUM).mean())


AT_RANDOM = (OPTIMUM**2 + (1 - OPTIMUM) ** 2) / 2  # mean distance of a uniform draw: 0.29


def test_proposals_are_near_the_optimum_under_noise() -> None:
    assert distance(proposed(noisy)) < 0.75 * AT_RANDOM


def test_without_a_signal_proposals_are_as_far_as_random_ones() -> None:
    """The control of the test above: what a broken feed would look like."""
    assert distance(proposed(lambda config, rng: Observation(0.5, n=1))) > 0.85 * AT_RANDOM


def test_higher_is_better() -> None:
    def upside_down(config: Config, rng: np.random.Generator) -> Observation:
        return Observation(-float(noisy(config, rng).mean or 0.0), n=1)

    assert distance(proposed(upside_down)) > 1.3 * AT_RANDOM


def test_the_mean_over_more_seeds_leads_closer() -> None:
    assert distance(proposed(lambda config, rng: noisy(config, rng, n=30))) < 0.95 * distance(proposed(noisy))


def test_a_region_of_failures_is_avoided() -> None:
    """The closer to the region, the better: without the failures, everything points into it."""

    def told(config: Config, rng: np.random.Generator) -> Observation:
        x = float(config["x"])
        return Observation(n_failed=1) if x > 0.5 else Observation(x, n=1)

    assert (proposed(told) > 0.5).mean() < 0.5


def test_stopped_configs_teach_as_well() -> None:
    def stopped(config: Config, rng: np.random.Generator) -> Observation:
        value = noisy(config, rng).mean
        return Observation(n_stopped=1, stopped_epoch=5, stopped_value=value)

    assert distance(proposed(stopped)) < 0.75 * AT_RANDOM


def test_suggestions_made_at_the_same_time_spread() -> None:
    """Ten runs under way around the optimum push the next suggestion away from it."""
    crowd = [Config({"x": 0.25 + 0.01 * step}) for step in range(10)]

    def with_crowd(seed: int) -> list[Config]:
        return [*drawn(LINE, seed), *crowd]

    def told(config: Config, rng: np.random.Generator) -> Observation:
        return Observation() if config in crowd else noisy(config, rng, n=30)

    alone = proposed(lambda config, rng: noisy(config, rng, n=30))
    crowded = proposed(told, before=with_crowd)
    near = [float((np.abs(places - OPTIMUM) < 0.06).mean()) for places in (alone, crowded)]
    assert near[1] < 0.5 * near[0]


SCORED = {"mean": 0.4, "n": 2}
STOPPED = {"n_stopped": 2, "stopped_epoch": 9, "stopped_value": 0.3}


@pytest.mark.parametrize(
    ("seen", "state", "value", "curve"),
    [
        (Observation(), TrialState.RUNNING, None, {}),
        (Observation(**SCORED), TrialState.COMPLETE, 0.4, {}),
        (Observation(**SCORED, n_failed=2), TrialState.COMPLETE, 0.4, {}),
        (Observation(**SCORED, n_failed=3), TrialState.PRUNED, None, {}),
        (Observation(**STOPPED), TrialState.PRUNED, None, {9: 0.3}),
        (Observation(**SCORED, **STOPPED), TrialState.COMPLETE, 0.4, {}),
        (Observation(mean=0.4, n=1, **STOPPED), TrialState.PRUNED, None, {9: 0.3}),
        (Observation(**STOPPED, n_failed=3), TrialState.PRUNED, None, {}),
        (Observation(n_stopped=1), TrialState.PRUNED, None, {}),
        (Observation(n_failed=1), TrialState.PRUNED, None, {}),
    ],
)
def test_a_config_is_told_as_what_most_of_its_runs_are(
    seen: Observation, state: TrialState, value: float | None, curve: dict[int, float]
) -> None:
    told = outcome(seen)
    assert told["state"] is state
    assert told.get("value") == value
    assert told.get("intermediate_values", {}) == curve


BRANCHES = SearchSpace(
    "branches",
    (
        Parameter("loss", Choice(("bce", "focal"))),
        Parameter("x", Float(0, 1), (Condition("loss", ("bce",)),)),
        Parameter("y", Int(1, 64, log=True), (Condition("loss", ("focal",)),)),
    ),
    {"lr": 1e-4},
)


def test_a_branch_learns_from_its_own_configs() -> None:
    """In the branch that has x, the best lie around the optimum; the other branch is worse."""

    def told(config: Config, rng: np.random.Generator) -> Observation:
        return noisy(config, rng) if "x" in config else Observation(-0.5, n=1)

    places, branches = [], []
    for seed in range(40):
        history = drawn(BRANCHES, seed, 40)
        rng = np.random.default_rng(seed)
        observed = [told(config, rng) for config in history]
        config = TpeSearcher().suggest(40, history, space=BRANCHES, seed=seed, observed=observed)
        assert config is not None
        assert BRANCHES.problems_with(config) == []
        branches.append(config["loss"])
        if "x" in config:
            places.append(float(config["x"]))
    assert branches.count("bce") > 25
    assert distance(np.array(places)) < 0.75 * AT_RANDOM


DOMAINS = [
    Float(1e-5, 1e-3, log=True),
    Float(-1e300, 7e307),
    Float(1.0, 1.000001),
    Int(0, 1000),
    Int(1, 10**6, log=True),
    Int(-3, 40),
    Choice((True, 1, "1", None, 0.5, False, 0, "", "a", 2, 3, 4, 5, 6)),
]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_values_are_exactly_what_the_domain_allows(
    domain: Float | Int | Choice, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SearchSpace("one", (Parameter("v", domain), Parameter("x", Float(0, 1))))
    history = drawn(space, 0)
    rng = np.random.default_rng(0)
    observed = [noisy(config, rng) for config in history]
    monkeypatch.setattr(RandomSearcher, "suggest", lambda *args, **kwargs: pytest.fail("not the estimator"))
    for seed in range(15):
        config = TpeSearcher().suggest(len(history), history, space=space, seed=seed, observed=observed)
        assert config is not None
        value = config["v"]
        assert domain.contains(value)
        if isinstance(domain, Choice):
            assert any(value is choice or repr(value) == repr(choice) for choice in domain.values)
        elif isinstance(domain, Int):
            assert type(value) is int
        else:
            assert value == domain.tidy(value)


@pytest.mark.parametrize("best", [0, 1, 2, 3])
def test_choices_that_python_takes_for_equal_are_told_apart(best: int) -> None:
    values = (True, 1, "1", None)
    space = SearchSpace("equal", (Parameter("flag", Choice(values)), Parameter("x", Float(0, 1))))

    def told(config: Config, rng: np.random.Generator) -> Observation:
        is_best = repr(config["flag"]) == repr(values[best])
        return Observation(float(is_best) + 0.1 * float(rng.normal()), n=1)

    found = proposed(told, space=space, seeds=20, name="flag")
    assert [repr(value) for value in found].count(repr(values[best])) >= 12


def test_random_search_until_enough_is_known() -> None:
    history = drawn(LINE, 0, 30)
    for known in (0, STARTUP - 1, STARTUP):
        observed = [Observation(0.5, n=1)] * known + [Observation(n_failed=1)] * (30 - known)
        at_random = RandomSearcher().suggest(30, history, space=LINE, seed=3)
        found = TpeSearcher().suggest(30, history, space=LINE, seed=3, observed=observed)
        assert (found == at_random) == (known < STARTUP)


def test_the_seed_and_the_number_of_the_suggestion_matter() -> None:
    history = drawn(LINE, 0)
    observed = [Observation(float(config["x"]), n=1) for config in history]
    found = [
        TpeSearcher().suggest(25, history, space=LINE, seed=seed, observed=observed)
        for seed in (0, 1, 2**32, 2**63 - 1)
    ]
    found.append(
        TpeSearcher().suggest(24, history[:24], space=LINE, seed=0, observed=observed[:24]),
    )
    assert len(set(found)) == 5


def test_optuna_says_nothing_and_stays_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    proposed(noisy, seeds=1)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_one_result_for_each_config_or_none_at_all() -> None:
    history = drawn(LINE, 0)
    with pytest.raises(ValueError, match="shorter"):
        TpeSearcher().suggest(25, history, space=LINE, seed=0, observed=[Observation(0.5, n=1)] * 24)
