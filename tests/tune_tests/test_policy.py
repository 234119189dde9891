"""ASHA as plain Python: rungs, ties, first arrivals, replicates apart, undefined values."""

from __future__ import annotations

import math

import pytest

from tune.schedulers import Action, Asha, RunAll, make_policy, milestones


@pytest.mark.parametrize(
    ("grace", "eta", "max_epochs", "expected"),
    [
        (1, 3, 27, (1, 3, 9)),
        (3, 3, 30, (3, 9, 27)),
        (5, 4, 100, (5, 20, 80)),
        (3, 3, 3, ()),
        (4, 2, 4, ()),
        (1, 2, 2, (1,)),
    ],
)
def test_milestones_rise_by_eta_and_stay_below_the_end(
    grace: int, eta: int, max_epochs: int, expected: tuple[int, ...]
) -> None:
    assert milestones(grace=grace, eta=eta, max_epochs=max_epochs) == expected


def test_the_first_arrival_goes_on_and_a_run_strictly_below_the_percentile_stops() -> None:
    policy = Asha(grace=2, eta=2, max_epochs=8)
    first = policy.decide("a-r00", replicate=0, epoch=2, value=0.5)
    assert (first.action, first.rung, first.threshold, first.n) == (Action.CONTINUE, 2, None, 0)
    worse = policy.decide("b-r00", replicate=0, epoch=2, value=0.4)
    assert (worse.action, worse.threshold, worse.statistic, worse.n) == (Action.STOP, 0.5, 0.4, 1)
    tie = policy.decide("c-r00", replicate=0, epoch=2, value=0.45)
    assert (tie.action, tie.threshold) == (Action.CONTINUE, pytest.approx(0.45))


def test_between_milestones_nothing_is_judged() -> None:
    policy = Asha(grace=2, eta=2, max_epochs=8)
    assert policy.decide("a-r00", replicate=0, epoch=1, value=0.1).rung is None
    policy.decide("a-r00", replicate=0, epoch=2, value=0.1)
    assert policy.decide("a-r00", replicate=0, epoch=3, value=0.1).rung is None


def test_runs_of_another_replicate_are_not_compared() -> None:
    policy = Asha(grace=1, eta=2, max_epochs=4)
    policy.decide("a-r00", replicate=0, epoch=1, value=0.9)
    other_seed = policy.decide("a-r01", replicate=1, epoch=1, value=0.1)
    assert other_seed.action is Action.CONTINUE
    assert other_seed.n == 0


def test_an_undefined_value_is_neither_judged_nor_recorded() -> None:
    policy = Asha(grace=1, eta=2, max_epochs=4)
    assert policy.decide("a-r00", replicate=0, epoch=1, value=math.nan).rung is None
    assert policy.decide("b-r00", replicate=0, epoch=1, value=0.0).n == 0


def test_the_same_reports_give_the_same_decisions() -> None:
    reports = [
        (f"{c}-r{r:02d}", r, e, (c * 7 + r * 3 + e) % 5 / 5)
        for e in (1, 2, 3)
        for r in (0, 1)
        for c in range(6)
    ]

    def decisions() -> list[object]:
        policy = Asha(grace=1, eta=3, max_epochs=9)
        return [policy.decide(key, replicate=r, epoch=e, value=v) for key, r, e, v in reports]

    assert decisions() == decisions()


def test_the_policy_none_never_stops() -> None:
    policy = RunAll()
    assert all(
        policy.decide("a", replicate=0, epoch=e, value=-1e9).action is Action.CONTINUE for e in range(1, 50)
    )


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="asha, none"):
        make_policy("ashaa", grace=1, eta=2, max_epochs=2)


@pytest.mark.parametrize("wrong", [{"grace": 0}, {"eta": 1}, {"max_epochs": 0}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="ASHA needs"):
        Asha(**{"grace": 1, "eta": 2, "max_epochs": 4, **wrong})
