"""No trial is asked for that cannot start, and no card stays idle that could take one."""

from __future__ import annotations

import random

import pytest

from tune.shares import SHARES, larger_share, smallest_share
from tune.slots import Seats

ONE_NODE = {"a": {"CPU": 16.0, "GPU": 2.0}}


def seats(
    nodes: dict[str, dict[str, float]], *, cpus: float = 1.0, smallest: float = 0.25, most: int | None = None
) -> Seats:
    made = Seats(cpus, smallest, most)
    made.refresh(nodes)
    return made


def test_mixed_shares_are_taken_until_not_even_the_smallest_is_free() -> None:
    here = seats(ONE_NODE)
    for number, share in enumerate((1.0, 0.5, 0.25)):
        assert here.room()
        here.take(f"t{number}", share)
    assert here.room()
    here.take("t3", 0.25)
    assert not here.room()
    assert here.held == 2.0
    here.leave("t1")
    assert here.room()


def test_the_fullest_card_is_filled_first_so_that_a_whole_one_stays_free() -> None:
    here = seats(ONE_NODE)
    here.take("half", 0.5)
    here.take("quarter", 0.25)
    here.take("whole", 1.0)
    assert here.held == 1.75


def test_a_trial_that_is_larger_than_what_is_free_waits_alone_and_sits_down_first() -> None:
    here = seats({"a": {"CPU": 16.0, "GPU": 1.0}})
    here.take("small", 0.25)
    assert here.room()
    here.take("large", 1.0)  # three quarters are free
    assert (here.held, here.room()) == (0.25, False)
    here.leave("small")
    assert (here.held, here.room()) == (1.0, False)
    here.leave("large")
    assert here.room()


def test_thirds_fill_a_card_although_they_are_rounded() -> None:
    here = seats({"a": {"CPU": 16.0, "GPU": 1.0}}, smallest=smallest_share(1 / 3 - 0.01))
    for number in range(3):
        assert here.room()
        here.take(str(number), 0.3333)
    assert not here.room()
    for number in range(3):
        here.leave(str(number))
    here.take("whole", 1.0)
    assert here.held == 1.0


def test_cpus_and_the_given_limit_count_too() -> None:
    few = seats({"a": {"CPU": 2.0, "GPU": 4.0}})
    limited = seats(ONE_NODE, most=2)
    for here in (few, limited):
        here.take("1", 0.25)
        assert here.room()
        here.take("2", 0.25)
        assert not here.room()


def test_trials_without_a_gpu_fit_by_their_cpus() -> None:
    here = seats({"a": {"CPU": 1.0}, "b": {"CPU": 0.5}}, cpus=0.5, smallest=0.0)
    for number in range(3):
        assert here.room()
        here.take(str(number), 0.0)
    assert not here.room()


def test_whole_cards_are_of_one_node() -> None:
    here = seats({"a": {"CPU": 4.0, "GPU": 1.0}, "b": {"CPU": 4.0, "GPU": 3.0}}, smallest=2.0)
    here.take("1", 2.0)
    assert not here.room()
    assert here.held == 2.0


def test_a_new_node_takes_who_waits_and_a_lost_one_keeps_nobody_from_starting() -> None:
    here = seats({"a": {"CPU": 4.0, "GPU": 1.0}})
    here.take("1", 1.0)
    here.take("2", 1.0)
    assert here.held == 1.0
    here.refresh({"a": {"CPU": 4.0, "GPU": 1.0}, "b": {"CPU": 4.0, "GPU": 2.0}})
    assert (here.held, here.room()) == (2.0, True)
    here.refresh({"b": {"CPU": 4.0, "GPU": 2.0}})  # its trial will end with an error
    assert here.room()
    here.leave("1")
    here.leave("never came")
    here.take("3", 1.0)
    assert (here.held, here.room()) == (2.0, False)


def test_without_a_node_one_trial_is_asked_for_so_that_an_autoscaler_brings_one() -> None:
    here = seats({})
    assert here.room()
    here.take("1", 0.5)
    assert not here.room()
    here.refresh(ONE_NODE)
    assert (here.held, here.room()) == (0.5, True)


@pytest.mark.parametrize("seed", range(20))
def test_never_more_than_there_is_and_nothing_idle(seed: int) -> None:
    rng = random.Random(seed)
    cards = rng.randint(1, 4)
    here = seats({"a": {"CPU": 100.0, "GPU": float(cards)}}, smallest=0.1)
    shares: dict[str, float] = {}
    for number in range(300):
        if here.room():
            shares[str(number)] = rng.choice([share for share in SHARES if share >= 0.1])
            here.take(str(number), shares[str(number)])
        elif shares:
            gone = rng.choice(list(shares))
            here.leave(gone)
            del shares[gone]
        assert here.held <= cards + 1e-6
        waiting = sum(shares.values()) - here.held
        assert waiting <= 1 + 1e-6  # one trial at most, and it is at most a card
        if not here.room() and waiting < 1e-6:
            assert cards - here.held < cards * 0.1  # less than the smallest share is free of each card


def test_the_smallest_share_that_holds_a_part() -> None:
    assert [smallest_share(part) for part in (0.001, 0.05, 0.051, 0.3, 0.34, 0.51, 1.0, 1.7)] == [
        0.05, 0.05, 0.0625, 0.3333, 0.5, 1.0, 1.0, 1.0
    ]  # fmt: skip


def test_a_larger_share_is_a_step_that_matters() -> None:
    share, steps = SHARES[-1], 0
    while share < 1:
        grown = larger_share(share)
        assert grown >= share * 1.3
        share, steps = grown, steps + 1
    assert steps <= 10
