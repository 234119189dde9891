"""A search that gave out its seeds by looking is ranked by its own posterior, and says no more than that allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recorded_searches import ENDED, ENOUGH, SEARCH, Search, record_search

from results import (
    Claim,
    ConfigState,
    ResultsStore,
    Verdict,
    compare,
    judge,
    rank_store,
)
from results.curves import read_curves
from results.evidence import chances_of, search_evidence
from results.plan import Plan
from results.planning import KnownNoise
from results.ranking import Ranking
from results.report.answers import compare_plain, compare_sentence, compare_table
from results.report.search_views import search_sentences
from results.report.tables import comparison_table
from results.scores import CONFIRM, read_runs
from results.snapshot import snapshot
from results.statistics.posterior import Evidence, Posterior, posterior

Recorded = Callable[[Search], Ranking]


@pytest.fixture
def ranked(tmp_path: Path) -> Recorded:
    made = iter(range(100))
    return lambda search: rank_store(ResultsStore.read(record_search(tmp_path / f"run{next(made)}", search)))


def expected_means(ranking: Ranking) -> list[float]:
    return [row.expected.mean for row in ranking.rows if row.expected]


def test_the_evidence_is_what_was_recorded(tmp_path: Path) -> None:
    seen = snapshot(ResultsStore.read(record_search(tmp_path / "run")))
    curves = read_curves(seen.epochs, "val_iou")
    runs = {
        key: tuple(run for run in group if run.stage != CONFIRM)
        for key, group in sorted(read_runs(seen.runs, curves, 1).items())
    }
    found = search_evidence(runs, curves, sign=1)
    assert found.config.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 6]  # no fresh seed, no failed run
    assert found.curves.shape == (11, 6)
    assert found.curves[0] == pytest.approx([0.381, 0.431, 0.451, 0.471, 0.481, 0.481])
    assert (found.n_configs, found.stopped_config.tolist(), found.stopped_epoch.tolist()) == (
        8,
        [4, 5],
        [3, 3],
    )
    assert found.stopped_value == pytest.approx([0.39, 0.37])


def test_configs_are_ranked_by_what_they_are_expected_to_score(ranked: Recorded) -> None:
    ranking = ranked(SEARCH)
    assert [row.config_id for row in ranking.rows] == ["c0", "c1", "c2", "c6", "c3", "c4", "c5", "c7"]
    assert [row.n for row in ranking.scored] == [4, 3, 2, 1, 1]
    assert expected_means(ranking)[:5] == sorted(expected_means(ranking)[:5], reverse=True)
    stopped = [row for row in ranking.rows if row.state is ConfigState.STOPPED]
    assert [row.config_id for row in stopped] == ["c4", "c5"]
    assert all(row.expected and row.mean is None for row in stopped)
    failed = ranking.row("c7")
    assert failed is not None
    assert (failed.expected, failed.state) == (None, ConfigState.FAILED)
    assert ranking.n_missing == 0
    assert ranking.chosen == "c0"


def test_one_lucky_run_is_not_ranked_before_many(ranked: Recorded) -> None:
    scores = {
        **{(0, j): 0.47 + 0.004 * (-1) ** j for j in range(8)},
        (1, 0): 0.474,
        (2, 0): 0.44,
        (3, 0): 0.43,
    }
    ranking = ranked(Search(scores))
    assert ranking.rows[1].mean is not None
    assert ranking.rows[0].mean is not None
    assert ranking.rows[1].mean > ranking.rows[0].mean
    assert ranking.rows[0].config_id == "c0"
    assert judge(ranking).best == "c0"


def test_the_verdict_names_the_config_that_the_posterior_chooses(ranked: Recorded) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        seeds = [1 + int(rng.integers(1, 5)) * int(rng.integers(0, 2)) for _ in range(6)]
        scores = {(i, j): 0.45 + float(rng.normal(0, 0.02)) for i, n in enumerate(seeds) for j in range(n)}
        ranking = ranked(Search(scores, chosen=None, ended=None))
        cells = sorted(scores)
        curve = np.array([-0.1, -0.05, -0.03, -0.01, 0.0, 0.0])
        nothing = np.array([], dtype=np.int64)
        evidence = Evidence(
            n_configs=6,
            config=np.array([i for i, _ in cells]),
            curves=np.array([scores[cell] for cell in cells])[:, None] + curve,
            stopped_config=nothing,
            stopped_epoch=nothing,
            stopped_value=nothing.astype(np.float64),
        )
        verdict = judge(ranking)
        choice = posterior(evidence).choice
        assert verdict.best == f"c{choice}" == ranking.rows[0].config_id
        assert choice is not None
        assert verdict.expected is not None
        assert verdict.expected.expected == pytest.approx(posterior(evidence).mean[choice])


def test_expected_score_and_chances_are_the_posteriors(ranked: Recorded) -> None:
    ranking = ranked(SEARCH)
    verdict = judge(ranking)
    first = ranking.rows[0]
    assert verdict.expected is not None
    assert first.expected is not None
    assert (verdict.expected.expected, verdict.expected.low, verdict.expected.high) == (
        first.expected.mean,
        first.expected.low,
        first.expected.high,
    )
    assert verdict.expected.mean == pytest.approx(0.47275)
    assert verdict.expected.best_single_run == pytest.approx(0.481)
    assert [chance.config_id for chance in verdict.chances] == ["c0", "c1", "c2", "c6", "c3", "c4", "c5"]
    assert sum(chance.best for chance in verdict.chances) == pytest.approx(1)
    assert all(0 <= chance.best <= chance.near <= 1 and chance.regret >= 0 for chance in verdict.chances)


def test_chances_leave_out_what_is_not_known() -> None:
    belief = Posterior(
        mean=np.array([0.5, np.nan, 0.4]),
        variance=np.array([1e-6, np.nan, 1e-6]),
        n=np.array([2, 0, 1]),
        seed_sd=0.01,
        known=np.array([True, False, True]),
    )
    found = chances_of(belief, tolerance=0.005, rng=np.random.default_rng(0))
    assert found.near[[0, 2]].tolist() == [1.0, 0.0]
    assert found.regret[[0, 2]] == pytest.approx([0.0, 0.1], abs=1e-3)
    assert np.isnan([found.near[1], found.best[1], found.regret[1]]).all()


def test_lower_is_better_gives_the_mirrored_ranking(ranked: Recorded) -> None:
    """Mirrored curves: a run of these has its best value, the lowest, in the first epoch."""
    scores = {(i, j): 0.5 + 0.01 * i + 0.002 * (-1) ** j for i in range(4) for j in range(3 - i % 2)}
    low = ranked(Search(scores, sweep={"mode": "min"}))
    assert [row.config_id for row in low.rows] == ["c0", "c1", "c2", "c3"]
    first = low.rows[0].expected
    assert first is not None
    assert first.low < first.mean < first.high
    assert expected_means(low) == sorted(expected_means(low))
    assert judge(low).best == "c0"


# ---- what is claimed ------------------------------------------------------------------------------------------------


def many(scores: dict[int, tuple[float, ...]]) -> Search:
    return Search({(i, j): s for i, values in scores.items() for j, s in enumerate(values)})


def test_nothing_is_claimed_of_a_config_that_was_run_once(ranked: Recorded) -> None:
    close = (0.500, 0.501, 0.499, 0.5005, 0.4995)
    verdict = judge(
        ranked(many({0: close, 1: (0.47, 0.4693, 0.471, 0.4702), 2: (0.45,), 3: (0.3, 0.301, 0.3004, 0.3)}))
    )
    judged = {one.config_id: one for one in verdict.comparisons}
    assert (judged["c3"].claim, judged["c1"].claim) == ("better", "better")
    assert (judged["c2"].claim, judged["c2"].low, judged["c2"].high) == ("undecided", None, None)
    assert verdict.indistinguishable == ("c0", "c2")
    assert verdict.claim is Claim.TIED
    assert verdict.headline == (
        f"{verdict.best_name} has the best expected score, val_iou {verdict.expected.expected:.4f}; "  # type: ignore[union-attr]
        "2 other configs are worse, and no further one was repeated."
    )
    assert "1 config with a single finished run is not judged" in verdict.sentence
    assert "between configs with two or more runs" in verdict.correction
    assert (verdict.seeds, verdict.more_seeds) == (None, None)


def test_what_cannot_be_told_apart_is_named_with_its_seeds(ranked: Recorded) -> None:
    verdict = judge(ranked(ENOUGH))
    assert "but cannot be told apart from c1 (resnet34, dice-focal, lr 1e-4) and c2 (" in verdict.headline
    assert verdict.headline.endswith("with 3 to 4 seeds each.")
    assert "better" not in verdict.sentence


def test_too_few_repeats_give_no_interval_anywhere(ranked: Recorded) -> None:
    ranking = ranked(SEARCH)
    verdict = judge(ranking)
    assert verdict.residual_noise.df == 1
    assert verdict.headline.endswith(
        "but nothing can be said of a difference: there are too few repeats for an interval."
    )
    assert all((one.low, one.high, one.claim) == (None, None, "undecided") for one in verdict.comparisons)
    assert "No intervals: too few repeats for one" in comparison_table(verdict).note
    (pair,) = compare(ranking, ["c0", "c1"]).pairs
    assert (pair.pair.used, pair.pair.low, pair.pair.p_holm) == ("few", None, None)
    assert compare_sentence(pair, "IoU").endswith("and there are too few repeats for an interval.")
    enough = judge(ranked(ENOUGH))
    assert enough.residual_noise.df == 3
    assert [one.low is not None for one in enough.comparisons] == [True, True, False, False]


def test_pairing_is_told_and_counted_on_only_if_it_could_be_measured(ranked: Recorded) -> None:
    few = judge(ranked(ENOUGH))
    assert few.pair_correlation is None
    known = KnownNoise.of(few, "there")
    assert known is not None
    assert known.residual == known.sd == few.seed_noise.sd
    up, down = (0.02, -0.02, 0.01, -0.01), (-0.02, 0.02, -0.01, 0.01)
    scores = {0: up, 1: down, 2: (0.0, 0.001, -0.001, 0.0)}
    against = judge(ranked(many({i: tuple(0.5 + 0.01 * s for s in scores[i]) for i in scores})))
    assert against.residual_noise.df == 4
    assert against.pair_correlation is not None
    assert against.pair_correlation < 0
    other = KnownNoise.of(against, "there")
    assert other is not None
    assert other.residual == against.seed_noise.sd


def test_without_repeats_nothing_is_measured(ranked: Recorded) -> None:
    verdict = judge(ranked(many({0: (0.5,), 1: (0.4,), 2: (0.45,)})))
    assert (verdict.claim, verdict.best) == (Claim.TOO_LITTLE, "c0")
    assert "No config was repeated" in verdict.sentence
    alone = judge(ranked(many({0: (0.5,)})))
    assert "Only c0 has final scores" in alone.sentence
    none = judge(ranked(Search({(0, 0): 0.5}, stopped={(0, 0)}, chosen=None, ended=None)))
    assert none.claim is Claim.NO_RESULT


def test_one_repeated_config_has_nothing_to_be_compared_with(ranked: Recorded) -> None:
    verdict = judge(ranked(many({0: (0.50, 0.49, 0.51), 1: (0.4,), 2: (0.45,)})))
    assert verdict.claim is Claim.TIED
    assert "no two configs were repeated" in verdict.headline
    assert all(one.low is None for one in verdict.comparisons)


def test_compare_says_what_the_verdict_says(ranked: Recorded) -> None:
    ranking = ranked(ENOUGH)
    (pair,) = compare(ranking, ["c0", "c3"], named_before=True).pairs
    assert (pair.pair.used, pair.pair.claim, pair.pair.low, pair.pair.p) == (
        "single",
        "undecided",
        None,
        None,
    )
    assert "the search ran c3" in compare_sentence(pair, "IoU")
    (repeated,) = compare(ranking, ["c0", "c1"], named_before=True).pairs
    (judged,) = [one for one in judge(ranking).comparisons if one.config_id == "c1"]
    assert (repeated.pair.estimate, repeated.pair.low, repeated.pair.high) == pytest.approx(
        (judged.estimate, judged.low, judged.high)
    )
    asked = compare(ranking, ["c0", "c1"], named_before=True)
    assert not asked.named_before
    assert "has no effect here" in asked.note
    assert compare_table(asked).note.startswith(asked.note)
    assert compare_plain(asked)["note"] == asked.note
    assert not compare(ranking, ["c0", "c1"]).note


# ---- what ended it --------------------------------------------------------------------------------------------------


def verdict_with(ranked: Recorded, **changes: object) -> Verdict:
    return judge(ranked(replace(SEARCH, **changes)))


def test_the_verdict_says_what_ended_the_search(ranked: Recorded) -> None:
    verdict = verdict_with(ranked)
    assert (verdict.ended, verdict.chosen, verdict.adaptive) == (ENDED, "c0", True)
    assert "The search ended because expected regret 0.0017 is below 0.002." in verdict.sentence
    assert "--budget-epochs" not in verdict.sentence
    budget = verdict_with(ranked, ended="The budget of 3200 epochs is spent.")
    assert "The search ended because the budget of 3200 epochs is spent." in budget.sentence


@pytest.mark.parametrize(
    "ended",
    [
        "the budget of 100 epochs is spent (96 used)",
        "the budget of 100 epochs is spent (96 used); expected regret is still 0.0069, 0.000001 was asked for",
    ],
)
def test_a_budget_that_was_too_small_is_told_once_with_what_to_do(ranked: Recorded, ended: str) -> None:
    ranking = ranked(replace(SEARCH, ended=ended, sweep={"stop_regret": 1e-6}))
    verdict = judge(ranking)
    (said,) = [text for text in search_sentences(verdict, ranking) if text.startswith("The search ended")]
    assert said in verdict.sentence
    assert said.count("expected regret is still") == 1
    extend = "landslide-tune sweep --resume --out RUN_DIR --budget-epochs MORE"
    assert said.endswith(f"To come nearer, extend the sweep: {extend}.")
    if "still" not in ended:
        assert f"still {verdict.chances[0].regret:.2g}, 1e-06 was asked for" in said


def test_a_budget_that_was_enough_asks_for_no_more(ranked: Recorded) -> None:
    ended = "the budget of 100 epochs is spent (96 used)"
    verdict = judge(ranked(replace(SEARCH, ended=ended, sweep={"stop_regret": 0.5})))
    assert f"The search ended because {ended}." in verdict.sentence
    assert "--budget-epochs" not in verdict.sentence


def test_a_search_that_goes_on_says_so(ranked: Recorded) -> None:
    verdict = verdict_with(ranked, ended=None, chosen=None)
    assert (verdict.ended, verdict.chosen) == (None, None)
    assert "The search ended" not in verdict.sentence
    assert any("The search has not ended" in note for note in verdict.notes)
    assert "missing" not in verdict.sentence


def test_a_choice_that_later_runs_have_overturned_is_noted(ranked: Recorded) -> None:
    verdict = verdict_with(ranked, chosen=1)
    assert (verdict.best, verdict.chosen) == ("c0", "c1")
    (note,) = [note for note in verdict.notes if "The search chose" in note]
    assert note.startswith("The search chose c1 (")
    assert not any("The search chose" in note for note in verdict_with(ranked).notes)


def test_a_resumed_run_under_way_counts_as_stopped_where_it_is_and_is_missing(ranked: Recorded) -> None:
    ranking = ranked(replace(SEARCH, under_way={(2, 0)}))
    row = ranking.row("c2")
    assert row is not None
    assert (row.state, row.n_missing, row.mean) == (ConfigState.STOPPED, 1, None)
    assert row.expected is not None
    assert "1 missing" in judge(ranking).sentence
    assert "up to" not in judge(ranking).sentence


def test_a_plan_of_zero_replicates_is_adaptive_only_when_a_sweep_says_so() -> None:
    assert not Plan("val_iou", "max", 0).adaptive
    asked = {"metric": "val_iou", "mode": "max", "configs": 64}
    plan = Plan.of({**asked, "replicates": 0, "planned_runs": 90, "ended": ENDED})
    assert (plan.adaptive, plan.runs, plan.final, plan.ended) == (True, 90, True, ENDED)
    assert not Plan.of({**asked, "replicates": 3}).adaptive
