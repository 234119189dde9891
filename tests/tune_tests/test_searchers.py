"""What single searchers promise beyond the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from results import RunStatus
from search_spaces import Choice, Config, Float, Int, Parameter, SearchSpace, load_space
from tune.errors import SweepError
from tune.schedulers.history import ALLOCATE, CONFIRM, History, Run
from tune.searchers import Observation, make_searcher, observe, searcher_problems
from tune.sweep import Sweep

UNET = load_space("unet")


def run(
    name: str, space: SearchSpace, *, seed: int = 0, count: int = 20, grid_points: int = 3
) -> list[Config]:
    history: list[Config] = []
    searcher = make_searcher(name, grid_points=grid_points)
    while len(history) < count and (
        config := searcher.suggest(len(history), history, space=space, seed=seed)
    ):
        history.append(config)
    return history


def test_random_search_depends_on_the_seed() -> None:
    assert not {c.config_id for c in run("random", UNET, seed=1)} & {
        c.config_id for c in run("random", UNET, seed=2)
    }


def test_random_search_does_not_share_draws_between_suggestions() -> None:
    rates = [config["lr"] for config in run("random", UNET, count=40)]
    assert len(set(rates)) == 40


@pytest.mark.parametrize("seed", range(5))
def test_random_search_visits_all_of_a_finite_space(seed: int) -> None:
    space = SearchSpace(
        "finite", (Parameter("a", Choice(tuple(range(40)))), Parameter("b", Int(1, 5, log=True)))
    )
    found = run("random", space, seed=seed, count=1000)
    assert {c.config_id for c in found} == {c.config_id for c in space.grid(5)}


def test_the_end_of_a_finite_space_depends_on_the_seed_too() -> None:
    space = SearchSpace("finite", (Parameter("a", Choice(tuple(range(300)))),))
    assert run("random", space, seed=1, count=300)[-20:] != run("random", space, seed=2, count=300)[-20:]


def test_random_search_ends_when_a_float_has_no_further_double() -> None:
    two = SearchSpace("two", (Parameter("a", Float(1.0, 1.0000000000000002)),))
    assert len(run("random", two, count=10)) == 2


def test_a_space_of_constants_is_one_config() -> None:
    for name in ("random", "grid"):
        assert [dict(config) for config in run(name, SearchSpace("one", constants={"lr": 1}))] == [{"lr": 1}]


def test_grid_search_is_the_grid_whatever_the_seed() -> None:
    assert (
        run("grid", UNET, count=1000, grid_points=2)
        == list(UNET.grid(2))
        == run("grid", UNET, seed=9, count=1000, grid_points=2)
    )


def test_a_grid_is_walked_once_however_many_suggestions_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    walk = SearchSpace.grid

    def counted(space: SearchSpace, points: int) -> Iterator[Config]:
        for config in walk(space, points):
            made.append(config)
            yield config

    monkeypatch.setattr(SearchSpace, "grid", counted)
    found = run("grid", UNET, count=40)
    assert found == made
    assert len(found) == 40


def test_a_point_of_the_grid_is_found_from_any_other() -> None:
    grid, searcher = list(UNET.grid(2)), make_searcher("grid", grid_points=2)
    for index in (5, 0, 7, 7, len(grid), 3, len(grid) - 1):
        expected = grid[index] if index < len(grid) else None
        assert searcher.suggest(index, grid[:index], space=UNET, seed=0) == expected


def test_listed_search_needs_a_list() -> None:
    with pytest.raises(SweepError, match="add `configs` to the space or use --searcher random"):
        run("listed", UNET)


def test_listed_search_ignores_the_parameters() -> None:
    space = SearchSpace("mixed", (Parameter("lr", Float(0, 1)),), configs=(Config({"lr": 0.5}),))
    assert run("listed", space) == list(space.configs)


def test_an_unknown_searcher_is_told_the_sorted_names_and_the_close_one() -> None:
    with pytest.raises(
        SweepError, match=r"'randon'; did you mean 'random'\? \(allowed: grid, listed, optuna, random\)"
    ):
        make_searcher("randon")


def test_a_grid_without_points_is_refused() -> None:
    with pytest.raises(SweepError, match=r"grid_points: 0 .* 1 or more"):
        make_searcher("grid", grid_points=0)


def test_a_searcher_that_is_not_installed_is_refused_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert searcher_problems("optuna", UNET) == []
    monkeypatch.setattr("tune.searchers.find_spec", lambda name: None)
    (problem,) = searcher_problems("optuna", UNET)
    assert "pip install 'landslide-tune[optuna]'" in problem
    assert problem in Sweep(UNET, Path("data"), searcher="optuna").problems()
    with pytest.raises(SweepError, match=r"landslide-tune\[optuna\]"):
        make_searcher("optuna")
    assert searcher_problems("random", UNET) == []


# ---- what a searcher is told -------------------------------------------------------------------------------------


def ended(values: list[float], status: RunStatus | None, *, stage: str = "screen", replicate: int = 0) -> Run:
    history = History()
    run = history.start(Run(history.add_config(), replicate))
    for value in values:
        history.report(run, value)
    if status is not None:
        history.end(run, status)
    run.stage = stage
    return run


NAN = float("nan")
FINISHED, STOPPED, DIVERGED = RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.DIVERGED


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], Observation()),
        ([ended([0.3], None)], Observation()),
        ([ended([0.3, 0.5, 0.4], FINISHED)], Observation(0.5, n=1)),
        (
            [ended([0.5], FINISHED), ended([0.25], FINISHED, stage=ALLOCATE)],
            Observation(0.375, n=2),
        ),
        ([ended([0.5], FINISHED), ended([0.9], FINISHED, stage=CONFIRM)], Observation(0.5, n=1)),
        ([ended([0.5], FINISHED), ended([0.4], DIVERGED)], Observation(0.5, n=1, n_failed=1)),
        ([ended([NAN, NAN], FINISHED)], Observation(n_failed=1)),
        (
            [ended([0.3, 0.2], STOPPED)],
            Observation(n_stopped=1, stopped_epoch=2, stopped_value=0.3),
        ),
        (
            [ended([0.9], STOPPED), ended([0.25, 0.3], STOPPED), ended([0.5, 0.4], STOPPED)],
            Observation(n_stopped=3, stopped_epoch=2, stopped_value=0.4),
        ),
        (
            [ended([NAN, NAN, NAN], STOPPED), ended([0.3], STOPPED)],
            Observation(n_stopped=2, stopped_epoch=1, stopped_value=0.3),
        ),
        ([ended([NAN], STOPPED)], Observation(n_stopped=1)),
    ],
)
def test_only_what_can_be_compared_is_averaged(runs: list[Run], expected: Observation) -> None:
    assert observe(runs) == expected
