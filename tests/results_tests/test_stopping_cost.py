"""What an audit may claim: each stopped run against the scores on its own seeds, shares with limits, noise named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded_sweeps import record_audit

from results import ResultsStore, RunStatus
from results.stopping_cost import StoppingCost, default_top, stopping_cost
from results.stopping_words import cost_sentences, cost_table

MakeRun = Callable[..., Path]
STOPPED = RunStatus.STOPPED
#: four configs on three seeds: c0 best, c1 complete, c2 and c3 stopped on two seeds each.
SCORES = [[0.50, 0.52, 0.51], [0.44, 0.46, 0.48], [0.40, 0.41, 0.42], [0.30, 0.31, 0.32]]
STOPS = {(2, 1): STOPPED, (2, 2): STOPPED, (3, 0): STOPPED, (3, 1): STOPPED}


def cost_of(run_dir: Path, top: int | None = None) -> StoppingCost:
    return stopping_cost(ResultsStore.read(run_dir), top=top)


@pytest.fixture
def run_dir(make_run_dir: MakeRun) -> Path:
    return make_run_dir(SCORES, endings=STOPS)


def test_before_an_audit_everything_is_open(run_dir: Path) -> None:
    cost = cost_of(run_dir)
    assert [run.trial_key for run in cost.runs] == ["c2-r1", "c2-r2", "c3-r0", "c3-r1"]
    assert not cost.audited
    assert cost.among_top is not None
    assert (cost.among_top.low, cost.among_top.high) == (0.0, 1.0)
    assert cost.excess is None
    assert (cost.runs[0].stopped_epoch, cost.runs[0].stopped_value) == (3, pytest.approx(0.38))
    assert "none of them run to its end" in cost_sentences(cost)[0]


@pytest.mark.parametrize(
    ("score", "top", "rank", "among"),
    [
        (0.53, 1, 1, True),
        (0.52, 1, 2, False),  # a tie with a rival is behind it
        (0.50, 2, 2, True),
        (0.46, 2, 3, False),
        (0.45, 3, 3, False),  # only two runs of that seed have scores: it must beat one of them
        (0.47, 3, 2, True),
    ],
)
def test_a_run_is_ranked_among_the_scores_of_its_own_seeds(
    run_dir: Path, score: float, top: int, rank: int, among: bool
) -> None:
    record_audit(run_dir, (2, 1), score)
    (run,) = cost_of(run_dir, top).audited
    assert (run.rivals, run.rank, run.among_top) == (2, rank, among)
    assert run.winner_score == 0.52


def test_one_audited_run_does_not_push_another_out(run_dir: Path) -> None:
    record_audit(run_dir, (2, 1), 0.60)
    record_audit(run_dir, (3, 1), 0.55)
    assert [run.among_top for run in cost_of(run_dir, 1).audited] == [True, True]


def test_shares_and_sentences(run_dir: Path) -> None:
    record_audit(run_dir, (2, 1), 0.53)
    record_audit(run_dir, (3, 0), 0.47)
    cost = cost_of(run_dir, 1)
    assert cost.among_top is not None
    assert (cost.among_top.hits, cost.among_top.sampled, cost.among_top.population) == (1, 2, 4)
    assert (cost.among_top.low, cost.among_top.high) == (0.25, 0.75)
    first, second, third = cost_sentences(cost)
    assert first == (
        "Of 4 stopped runs 2 were run to their end; 1 would have been among the best 1 of its seed: "
        "50 % (95 % interval 25 % to 75 %)."
    )
    assert second.startswith("1 of 2 ended above the run of the best config c0")
    assert "0.0100 IoU worse than the mean of that config on average" in third
    assert "gained 0.0100, seed noise included" in third
    assert "no proof" in third
    table = cost_table(cost)
    assert table.rows[0] == ("c2-r1", "epoch 3", "0.3800", "0.5300", "1 of 3", "+0.0200")


def test_one_run_far_above_the_noise_is_called_so(run_dir: Path) -> None:
    record_audit(run_dir, (2, 1), 0.9)
    cost = cost_of(run_dir)
    assert cost.excess is not None
    assert cost.excess.proof is not None
    assert cost.excess.best == pytest.approx(0.39)
    assert "more than seed noise explains" in cost_sentences(cost)[2]


def test_the_proof_asked_for_holds_its_level_by_simulation() -> None:
    """If all configs are equal, the best of n audited runs passes in at most 5 % of sweeps."""
    from scipy import stats

    rng, n, m, df = np.random.default_rng(3), 8, 3, 12
    sd = np.sqrt(rng.chisquare(df, 4000) / df)
    winner = rng.normal(size=(4000, m)).mean(axis=1)
    best = rng.normal(size=(4000, n)).max(axis=1)
    proof = stats.t.ppf(1 - 0.05 / n, df) * sd * np.sqrt(1 + 1 / m)
    assert 0.02 < (best - winner > proof).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_a_failed_audit_counts_as_not_among_the_best_and_is_said(run_dir: Path) -> None:
    record_audit(run_dir, (2, 1), 0.53, ending=RunStatus.DIVERGED)
    record_audit(run_dir, (3, 1), 0.53, ending=None)
    cost = cost_of(run_dir)
    assert cost.among_top is not None
    assert (cost.among_top.hits, cost.among_top.sampled) == (0, 1)
    text = " ".join(cost_sentences(cost))
    assert "1 run failed on the way" in text
    assert "1 run drawn earlier has not ended yet" in text
    assert cost_table(cost).rows[0][3] == "diverged"


def test_a_run_without_rivals_is_in_no_share(make_run_dir: MakeRun) -> None:
    scores = [[0.50, np.nan], [0.40, 0.41]]
    run_dir = make_run_dir(scores, endings={(1, 0): STOPPED, (1, 1): STOPPED})
    record_audit(run_dir, (1, 1), 0.6)
    cost = cost_of(run_dir)
    assert [run.trial_key for run in cost.judgeable] == ["c1-r0"]
    assert cost.among_top is not None
    assert (cost.among_top.sampled, cost.among_top.population) == (0, 1)
    assert "1 run cannot be judged" in " ".join(cost_sentences(cost))


def test_lower_is_better_turns_everything_round(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir(
        [[0.2, 0.22], [0.3, 0.32], [0.4, 0.42]], endings={(2, 0): STOPPED}, sweep={"mode": "min"}
    )
    record_audit(run_dir, (2, 0), 0.05)
    cost = cost_of(run_dir, 1)
    (run,) = cost.audited
    assert (run.rank, run.among_top) == (1, True)
    assert run.winner_gap is not None
    assert run.winner_gap > 0
    assert cost_table(cost).rows[0][-1].startswith("-")


def test_without_stopped_runs_there_is_nothing_to_say(make_run_dir: MakeRun) -> None:
    cost = cost_of(make_run_dir(SCORES))
    assert (cost.runs, cost.among_top) == ((), None)
    assert cost_sentences(cost) == ("No run was stopped, so there is nothing to run to its end.",)


@pytest.mark.parametrize(
    ("configs", "top"), [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (16, 4), (17, 5), (64, 8)]
)
def test_the_best_are_as_many_as_the_root_of_the_configs(configs: int, top: int) -> None:
    assert default_top(configs) == top


def test_a_top_of_nothing_is_refused(run_dir: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        cost_of(run_dir, 0)
