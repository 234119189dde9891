"""The replay of recorded curves: what a policy stops there, in any order of arrival, and what the answer leaves out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tune.audit_replay import Counterfactual, ReplayPlan, counterfactual, replay_sentences
from tune.schedulers import POLICIES, PolicyOptions

EPOCHS = 9
#: nine runs whose order is the same after every epoch.
PARALLEL = [[0.05 * run + 0.02 * epoch for epoch in range(EPOCHS)] for run in range(9)]
#: the same, but the best starts as the worst.
CROSSING = [*PARALLEL[:8], [0.0] * (EPOCHS - 1) + [0.9]]


def plan(policy: str = "asha", **options: int) -> ReplayPlan:
    asked = PolicyOptions(max_epochs=EPOCHS, grace=1, eta=3)
    return replace(ReplayPlan(policy, asked, replays=40), **options)  # type: ignore[arg-type]


def found(*seeds: list[list[float]], how: ReplayPlan, seed: int = 1, unseen: int = 0) -> Counterfactual:
    answer = counterfactual(dict(enumerate(seeds)), how, rng=np.random.default_rng(seed), unseen=unseen)
    assert answer is not None
    return answer


@pytest.mark.parametrize("policy", ["none", "fixed-repeats"])
def test_a_policy_that_stops_nothing_loses_nothing_and_saves_nothing(policy: str) -> None:
    answer = found(CROSSING, PARALLEL, how=plan(policy))
    assert (answer.stopped, answer.best_stopped, answer.spent) == (0, 0, 1)
    assert (answer.seeds, answer.runs, answer.watched) == (2, 18, 6)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_curves_that_do_not_cross_keep_their_best(policy: str) -> None:
    answer = found(PARALLEL, how=plan(policy, top=1))
    assert answer.best_stopped == answer.stopped == 0
    assert answer.spent <= 1


def test_a_best_run_that_starts_slowly_is_stopped_unless_it_comes_first() -> None:
    answer = found(CROSSING, how=plan(workers=1, replays=300, top=1))
    assert 0.8 < answer.stopped < 1  # the first of nine to arrive at a milestone always passes it
    assert answer.best_stopped == answer.stopped
    assert answer.error is not None
    assert 0 < answer.error < 0.05


def test_one_order_has_no_standard_error() -> None:
    answer = found(CROSSING, how=plan(replays=1))
    assert answer.error is None
    assert "+-" not in replay_sentences(answer)[0]


def test_what_a_policy_would_resume_later_is_not_replayed() -> None:
    """ASHA completes its finalists after the screening, and the best is one of them as soon as it has a score."""
    answer = found(PARALLEL[::-1], CROSSING, how=plan(top=4, workers=2))
    assert answer.stopped > 0.3
    assert answer.spent < 0.6


def test_the_same_generator_gives_the_same_answer_whatever_the_global_state() -> None:
    first = found(CROSSING, how=plan(replays=7), seed=3)
    np.random.seed(0)  # noqa: NPY002
    assert found(CROSSING, how=plan(replays=7), seed=3) == first
    assert found(CROSSING, how=plan(replays=7), seed=4) != first


def test_a_run_without_a_value_is_left_out_and_counted() -> None:
    broken = [*PARALLEL, [0.9, float("nan"), 0.95]]
    answer = found(broken, how=plan())
    assert (answer.runs, answer.undefined) == (9, 1)
    assert "1 run without a value" in replay_sentences(answer)[-1]


def test_no_seed_with_two_curves_is_no_answer() -> None:
    alone = {0: [[0.1, 0.2]], 1: [[0.3], [float("nan")]]}
    assert counterfactual(alone, plan(), rng=np.random.default_rng(0)) is None
    assert "no policy can be replayed" in replay_sentences(None)[0]


def test_the_sentence_says_how_and_what_is_missing() -> None:
    text = " ".join(replay_sentences(found(PARALLEL, how=plan(top=1), unseen=4)))
    assert (
        "Replayed in 40 random orders with 4 at a time, the screening of asha (grace 1, eta 3) stops 0.0"
        in text
    )
    assert "of the best 1 of 9 runs on 1 seed" in text
    assert "4 runs of these seeds did not" in text
    assert "standard error over the orders" in text
    gone = replace(found(PARALLEL, how=plan(top=1)), absent=1)
    assert "1 run of these seeds was never started, and the others are" in replay_sentences(gone)[1]
    assert "did not and 2 more were never started" in replay_sentences(replace(gone, unseen=3, absent=2))[1]
    complete = " ".join(replay_sentences(found(PARALLEL, how=plan())))
    assert "nothing is missing" in complete


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (plan(replays=0), "replays: 0"),
        (plan(workers=0), "workers: 0"),
        (plan(top=0), "top: 0"),
        (plan("nothing"), "'nothing' is not known"),
        (replace(plan(), options=PolicyOptions(max_epochs=3, eta=1)), "eta is 1; above 1"),
    ],
)
def test_bad_plans_are_named(how: ReplayPlan, message: str) -> None:
    assert message in " ".join(how.problems())
    assert plan().problems() == []
