"""What an audit may claim: each stopped run against the scores on its own seeds, shares with limits, noise named."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded_sweeps import record_audit

from results import ResultsStore, RunStatus
from results.statistics.proportions import sampled_share
from results.stopping_claims import StoppingCost
from results.stopping_cost import default_top, expected_place, stopping_cost
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
    ("score", "top", "place", "among"),
    [
        (0.53, 1, 1, True),
        (0.52, 1, 2, False),  # a tie with another is behind it
        (0.50, 2, 2, True),
        (0.46, 2, 3, False),
        (0.45, 3, 3, True),
    ],
)
def test_a_run_has_its_place_among_the_runs_on_its_own_seeds(
    run_dir: Path, score: float, top: int, place: int, among: bool
) -> None:
    record_audit(run_dir, (2, 1), score)
    cost = cost_of(run_dir, top)
    (run,) = cost.audited
    assert (run.runs, run.place, run.among(top)) == (4, place, among)
    assert cost.among_top is not None
    assert cost.among_top.hits == among
    assert run.winner_score == 0.52


@pytest.mark.parametrize(
    ("score", "finished", "audited", "stopped", "place"),
    [
        (0.5, [], [], 1, 1),
        (0.5, [0.6, 0.5, 0.4], [], 9, 3),  # nothing is known of the other stopped runs
        (0.5, [0.6], [0.7, 0.4], 3, 3),  # all are known: ranks
        (0.5, [0.6], [0.7, 0.4], 9, 6),  # half of the known are ahead, so half of all eight
        (0.5, [0.6], [0.7, -math.inf], 9, 6),  # one that failed is behind
        (0.5, [0.6], [0.1, 0.2, 0.3], 100, 2),
    ],
)
def test_the_place_counts_unseen_runs_as_the_seen_ones_let_expect(
    score: float, finished: list[float], audited: list[float], stopped: int, place: float
) -> None:
    assert expected_place(score, finished=finished, audited=audited, stopped=stopped) == pytest.approx(place)


def test_when_all_stopped_runs_were_audited_places_are_ranks(run_dir: Path) -> None:
    record_audit(run_dir, (2, 1), 0.60)
    record_audit(run_dir, (3, 1), 0.55)
    assert [run.place for run in cost_of(run_dir, 1).audited] == [1, 2]


@pytest.mark.parametrize(("configs", "seeds", "drawn"), [(16, 1, 8), (12, 2, 4), (64, 3, 8)])
def test_the_share_covers_the_truth_by_simulation(configs: int, seeds: int, drawn: int) -> None:
    """Runs are stopped by an early value that correlates 0.5 with the final score; the truth is known."""
    rng = np.random.default_rng(configs)
    top, covered, ratio = default_top(configs), [], []
    for _ in range(150):
        final = -rng.gamma(2, 0.012, configs)[:, None] + rng.normal(0, 0.018, (configs, seeds))
        early = 0.5 * (final - final.mean()) / final.std() + math.sqrt(0.75) * rng.normal(size=final.shape)
        stopped = early < np.quantile(early, 2 / 3, axis=0)
        place = (-final).argsort(0).argsort(0) + 1
        cells = np.argwhere(stopped)
        truth = (place[stopped] <= top).mean()
        sample = cells[rng.permutation(len(cells))[:drawn]]
        hits = 0
        for i, j in sample:
            audited = [final[a, b] for a, b in sample if b == j and a != i]
            finished = final[~stopped[:, j], j].tolist()
            n = int(stopped[:, j].sum())
            hits += expected_place(final[i, j], finished=finished, audited=audited, stopped=n) <= top
        share = sampled_share(hits, len(sample), len(cells))
        covered.append(share.low - 1e-9 <= truth <= share.high + 1e-9)
        ratio.append((share.estimate, truth))
    assert np.mean(covered) > 0.95
    estimate, truth = np.mean(ratio, axis=0)
    assert 0.85 < estimate / truth < 1.8


def test_shares_and_sentences(run_dir: Path) -> None:
    record_audit(run_dir, (2, 1), 0.53)
    record_audit(run_dir, (3, 0), 0.47)
    cost = cost_of(run_dir, 1)
    assert cost.among_top is not None
    assert (cost.among_top.hits, cost.among_top.sampled, cost.among_top.population) == (1, 2, 4)
    assert (cost.among_top.low, cost.among_top.high) == (0.25, 0.75)
    first, second, third = cost_sentences(cost)
    assert first.startswith(
        "Of 4 stopped runs 2 were run to their end; 1 would have been among the best 1 of its seed: "
        "50 % (95 % interval 25 % to 75 %)."
    )
    assert second.startswith("1 of 2 ended above the run of the best config c0")
    assert third.startswith(
        "On average the audited runs ended 0.0100 worse in IoU than the mean of that config; "
    )
    assert "would have gained 0.0100 over that mean on average" in third
    assert "no proof" in third
    table = cost_table(cost)
    assert table.note.startswith(
        "vs winner: the final score minus 0.5100, the plain mean of the finished runs of "
    )
    assert table.rows[0] == ("c2-r1", "epoch 3", "0.3800", "0.5300", "1 of 4", "+0.0200")


def test_a_count_of_all_stopped_runs_has_no_interval(run_dir: Path) -> None:
    for cell in STOPS:
        record_audit(run_dir, cell, 0.43)
    first, second, third = cost_sentences(cost_of(run_dir, 1))
    assert first == (
        "All 4 stopped runs were run to their end; 0 would have been among the best 1 of their seeds: 0 % "
        "(a count, no estimate)."
    )
    assert second.endswith("on the same seeds: 0 % (a count, no estimate).")
    assert "; none of them ended above it, so nothing was lost." in third


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


def test_a_run_with_few_others_on_its_seeds_is_in_no_share(make_run_dir: MakeRun) -> None:
    scores = [[0.50, np.nan], [0.40, np.nan], [0.30, 0.41]]
    run_dir = make_run_dir(scores, endings={(1, 0): STOPPED, (2, 1): STOPPED})
    record_audit(run_dir, (2, 1), 0.6)
    cost = cost_of(run_dir, 2)
    assert [run.trial_key for run in cost.judgeable] == ["c1-r0"]
    assert cost.among_top is not None
    assert (cost.among_top.sampled, cost.among_top.population) == (0, 1)
    assert "1 run cannot be judged: on the same seeds there are no more than 2 runs" in " ".join(
        cost_sentences(cost)
    )


def test_lower_is_better_turns_everything_round(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir(
        [[0.2, 0.22], [0.3, 0.32], [0.4, 0.42]], endings={(2, 0): STOPPED}, sweep={"mode": "min"}
    )
    record_audit(run_dir, (2, 0), 0.05)
    cost = cost_of(run_dir, 1)
    (run,) = cost.audited
    assert (run.place, run.among(1)) == (1, True)
    assert run.winner_gap is not None
    assert run.winner_gap > 0
    assert cost_table(cost).rows[0][-1].startswith("-")
    assert cost_sentences(cost)[0].startswith("The only stopped run was run to its end; ")


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
