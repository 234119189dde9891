"""The verdict claims what the intervals allow, in words that say what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded_sweeps import SWEEP

from results import (
    Claim,
    ResultsStore,
    RunStatus,
    Verdict,
    judge,
    parameter_effects,
    rank_store,
    write_verdict,
)
from results.statistics.power import seeds_needed

MakeRun = Callable[..., Path]


@pytest.fixture
def verdict_of(make_run_dir: MakeRun) -> Callable[..., Verdict]:
    return lambda scores, **options: judge(rank_store(ResultsStore.read(make_run_dir(scores, **options))))


JudgeScores = Callable[..., Verdict]


def test_one_best_only_when_every_interval_excludes_zero(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.40, 0.41, 0.40], [0.50, 0.51, 0.505], [0.30, 0.31, 0.31]])
    assert (verdict.claim, verdict.best, verdict.indistinguishable) == (Claim.ONE_BEST, "c1", ("c1",))
    assert [c.claim for c in verdict.comparisons] == ["better", "better"]
    assert all(c.low is not None and c.low > 0 and c.n_pairs == 3 for c in verdict.comparisons)
    assert verdict.sentence.startswith(
        "c1 (resnet34, dice-focal, batch_size 32) is better than each of the other 2 configs; over the next one, c0 ("
    )
    assert verdict.more_seeds is None


def test_close_configs_cannot_be_told_apart_and_the_sentence_says_what_it_would_take(
    verdict_of: JudgeScores,
) -> None:
    verdict = verdict_of([[0.46, 0.43, 0.47], [0.45, 0.44, 0.47], [0.30, 0.29, 0.31]])
    assert verdict.claim is Claim.TIED
    assert set(verdict.indistinguishable) == {"c0", "c1"}
    assert "cannot be told apart with 3 seeds each (the other config is worse)" in verdict.sentence
    assert "better than" not in verdict.sentence


def test_seeds_needed_in_the_sentence_follow_the_same_rule(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.46, 0.43, 0.47], [0.44, 0.44, 0.45]])
    assert verdict.claim is Claim.TIED
    assert verdict.gap == pytest.approx(0.01)
    assert verdict.residual_noise.sd is not None
    assert verdict.seeds == seeds_needed(verdict.gap, verdict.residual_noise.sd)
    assert verdict.more_seeds == verdict.seeds - 3
    assert (
        f"about {verdict.more_seeds} more per config would be needed for a difference of 0.0100"
        in verdict.sentence
    )


def test_equal_means_need_no_number_of_seeds(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.4, 0.5], [0.5, 0.4]])
    assert verdict.claim is Claim.TIED
    assert (verdict.seeds, verdict.more_seeds) == (None, None)
    assert "their means are equal" in verdict.sentence


def test_fresh_seeds_judge_the_choice_and_are_no_part_of_it(verdict_of: JudgeScores) -> None:
    """c1 wins on the first three seeds and loses on the fresh ones: it stays the choice, and both numbers are told."""
    chosen_on = [[0.46, 0.43, 0.47], [0.50, 0.48, 0.49], [0.30, 0.29, 0.31]]
    fresh = [[0.46, 0.45], [0.44, 0.43], [np.nan, np.nan]]
    alone = verdict_of(chosen_on)
    verdict = verdict_of(np.hstack([chosen_on, fresh]), confirm_from=3)
    assert (verdict.best, alone.best) == ("c1", "c1")
    assert verdict.comparisons == alone.comparisons
    assert verdict.expected == alone.expected
    assert (verdict.n_runs, len(verdict.runs_used)) == (9, 9)
    confirmed = verdict.confirmed
    assert alone.confirmed is None
    assert confirmed is not None
    assert (confirmed.mean, confirmed.n, confirmed.n_failed) == (pytest.approx(0.435), 2, 0)
    assert confirmed.low is not None
    assert confirmed.high is not None
    assert confirmed.low < 0.435 < confirmed.high
    assert (confirmed.rival, confirmed.n_pairs) == ("c0", 2)
    assert confirmed.difference == pytest.approx(-0.02)
    assert "Quote 0.4350 [" in verdict.sentence
    assert "the mean of c1 on 2 fresh seeds that took no part in the choice, on these val" in verdict.sentence
    assert "On these seeds it was 0.0200 behind c0 (difference -0.0200 [" in verdict.sentence
    assert verdict.n_confirmations == 4
    assert verdict.sentence.startswith(verdict.headline)
    assert "fresh" not in verdict.headline


def test_a_failed_confirmation_is_counted_and_nothing_is_made_of_it(verdict_of: JudgeScores) -> None:
    scores = [[0.50, 0.48, 0.49, 0.44, 0.45], [0.46, 0.43, 0.47, np.nan, np.nan]]
    one = verdict_of(scores, confirm_from=3, endings={(0, 4): RunStatus.FAILED})
    assert one.confirmed is not None
    assert (one.confirmed.mean, one.confirmed.n, one.confirmed.n_failed) == (pytest.approx(0.44), 1, 1)
    assert (one.confirmed.rival, one.confirmed.difference) == (None, None)
    assert "(1 of them failed)" in one.sentence
    none = verdict_of(scores, confirm_from=3, endings={(0, j): RunStatus.DIVERGED for j in (3, 4)})
    assert none.confirmed is not None
    assert (none.confirmed.mean, none.confirmed.n, none.confirmed.n_failed) == (None, 0, 2)
    assert "so nothing is confirmed" in none.sentence
    json.dumps(none.to_dict(), allow_nan=False)


def test_noise_levels_that_seem_to_differ_are_noted(verdict_of: JudgeScores) -> None:
    rng = np.random.default_rng(8)
    scores = 0.4 + rng.normal(0, 0.01, (4, 6)) * np.array([1, 1, 1, 8])[:, None]
    (note,) = [note for note in verdict_of(scores).notes if "noise levels" in note]
    assert "Bartlett, p 0.0" in note
    calm = 0.4 + np.random.default_rng(9).normal(0, 0.01, (4, 6))
    assert not any("noise levels" in note for note in verdict_of(calm).notes)


def test_chances_are_probabilities_in_the_order_of_the_effects(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.46, 0.43, 0.47], [0.45, 0.44, 0.47], [0.30, 0.29, 0.31]])
    assert [chance.config_id for chance in verdict.chances] == ["c0", "c1", "c2"]
    assert sum(chance.best for chance in verdict.chances) == pytest.approx(1)
    assert all(chance.best <= chance.near <= 1 for chance in verdict.chances)
    assert verdict.chances[2].regret > 0.1 > verdict.chances[0].regret >= 0
    assert verdict_of([[0.4], [0.6]]).chances == ()


def test_a_metric_that_is_better_when_lower_gives_the_mirrored_verdict(verdict_of: JudgeScores) -> None:
    scores = np.array([[0.46, 0.43, 0.47, 0.45], [0.50, 0.48, 0.49, 0.52], [0.30, 0.29, 0.31, 0.33]])
    high = verdict_of(scores, confirm_from=3)
    low = verdict_of(
        1 - scores, confirm_from=3, sweep={"mode": "min"}
    )  # a recorded run's lowest value is 0.1 lower
    assert (high.best, low.best) == ("c1", "c1")
    assert [c.estimate for c in low.comparisons] == pytest.approx([c.estimate for c in high.comparisons])
    for mirrored, plain in ((low.expected, high.expected), (low.confirmed, high.confirmed)):
        assert mirrored is not None
        assert plain is not None
        assert (mirrored.mean, mirrored.low, mirrored.high) == pytest.approx(
            (0.9 - plain.mean, 0.9 - plain.high, 0.9 - plain.low)
        )
    assert low.confirmed is not None
    assert high.confirmed is not None
    assert low.confirmed.difference == pytest.approx(high.confirmed.difference)
    assert [chance.near for chance in low.chances] == pytest.approx([c.near for c in high.chances], abs=0.01)


def test_one_seed_per_config_measures_no_noise(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.4], [0.6]])
    assert verdict.claim is Claim.TOO_LITTLE
    assert "One seed per config cannot measure the seed noise" in verdict.sentence
    assert verdict.seed_noise.sd is None
    assert verdict.comparisons[0].low is None
    assert verdict.comparisons[0].claim == "undecided"


def test_a_single_config_is_compared_with_nothing(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.4, 0.5]])
    assert verdict.claim is Claim.TOO_LITTLE
    assert "Only c0 has final scores" in verdict.sentence


def test_no_final_score_is_no_result(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.4, 0.5]], endings={(0, 0): RunStatus.FAILED, (0, 1): RunStatus.FAILED})
    assert (verdict.claim, verdict.best, verdict.expected) == (Claim.NO_RESULT, None, None)
    assert verdict.sentence.endswith("Runs without a score: 2 failed.")


def test_an_empty_run_directory_is_no_result(tmp_path: Path) -> None:
    ResultsStore.create(tmp_path / "run", SWEEP).close()
    assert judge(rank_store(ResultsStore.read(tmp_path / "run"))).claim is Claim.NO_RESULT


def test_failures_and_stops_are_said(recorded_run: Path) -> None:
    verdict = judge(rank_store(ResultsStore.read(recorded_run)))
    assert (verdict.n_failed, verdict.n_stopped, verdict.n_uncompared, verdict.n_missing) == (4, 2, 1, 0)
    assert (verdict.n_runs, len(verdict.runs_used)) == (18, 11)
    assert "Runs without a score: 4 failed, 2 stopped early." in verdict.sentence
    assert verdict.family == 6
    assert len(verdict.comparisons) == 3
    assert "c3-r0" not in verdict.runs_used  # finished, but its config was stopped on other seeds


def test_winner_is_expected_to_score_less_than_it_did(verdict_of: JudgeScores) -> None:
    rng = np.random.default_rng(3)
    expected = verdict_of(0.4 + rng.normal(0, 0.02, (6, 3))).expected
    assert expected is not None
    assert expected.shrunk
    assert expected.expected < expected.mean < expected.best_single_run


@pytest.mark.parametrize(
    "scores",
    [
        [[0.61, 0.61, np.nan], [0.62, 0.62, 0.50]],
        [[0.40, 0.40], [0.50, 0.50]],
        [[0.1, 0.3], [0.2, 0.4]],  # parallel but for the last bit: 0.2 - 0.1 is not 0.4 - 0.3
        [[0.40, 0.40, 0.40], [0.50, 0.50, 0.50], [0.30, 0.30, 0.30], [0.2, 0.2, 0.2]],
    ],
)
def test_without_any_noise_in_the_repeats_nothing_is_claimed(
    verdict_of: JudgeScores, scores: list[list[float]]
) -> None:
    verdict = verdict_of(scores)
    assert verdict.claim is Claim.TOO_LITTLE
    assert "better" not in verdict.sentence
    assert "nothing was measured about the seed noise" in verdict.sentence
    assert {(c.claim, c.low, c.high) for c in verdict.comparisons} == {("undecided", None, None)}
    assert (verdict.seeds, verdict.pair_correlation) == (None, None)


def test_identical_repeats_raise_a_doubt_about_the_seeds(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.4, 0.4], [0.5, 0.5]])
    assert any("seeds reach" in note for note in verdict.notes)
    assert verdict.sentence.startswith("Every repeat gave exactly the same score")
    assert verdict.expected is not None
    assert verdict.expected.low is None


def test_the_best_mean_is_said_only_of_the_best_mean(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.60, 0.59, np.nan], [0.62, 0.63, 0.50], [0.30, 0.31, 0.20]])
    assert verdict.best == "c1"  # on equal seeds; its plain mean is 0.583, that of c0 0.595
    assert "has the best mean" not in verdict.sentence
    assert (
        "c1 (resnet34, dice-focal, batch_size 32) is ahead on equal seeds, but c1 and c0 ("
        in verdict.sentence
    )
    assert any("whose plain mean is better" in note for note in verdict.notes)
    same = verdict_of([[0.60, 0.59, 0.5], [0.62, 0.63, 0.50], [0.30, 0.31, 0.20]])
    assert "c1 (resnet34, dice-focal, batch_size 32) has the best mean, but c1 and c0" in same.sentence


def test_equal_means_are_said_only_of_the_equal_ones(verdict_of: JudgeScores) -> None:
    sentence = verdict_of([[0.40, 0.50], [0.50, 0.40], [0.40, 0.46]]).sentence
    assert "the first two have equal means" in sentence
    assert "their means" not in sentence
    assert "the best mean" not in sentence


def test_an_interrupted_sweep_is_not_blamed_on_its_design(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.4, np.nan, np.nan], [0.6, np.nan, np.nan]])
    assert verdict.claim is Claim.TOO_LITTLE
    assert "the other runs are missing" in verdict.sentence
    assert "--resume" in verdict.sentence
    assert "at least 2 seeds" not in verdict.sentence


def test_failures_are_named_as_the_cause_when_they_are(verdict_of: JudgeScores) -> None:
    endings = {(0, 0): RunStatus.FAILED, (1, 1): RunStatus.DIVERGED}
    verdict = verdict_of([[0.4, 0.4], [0.6, 0.6]], endings=endings)
    assert verdict.claim is Claim.TOO_LITTLE
    assert "the other runs have failed" in verdict.sentence
    assert "--resume" not in verdict.sentence
    assert "at least 2 seeds" not in verdict.sentence


def test_the_best_single_run_is_that_of_the_whole_sweep_and_the_counts_add_up(
    verdict_of: JudgeScores,
) -> None:
    endings = {(1, 1): RunStatus.STOPPED, (1, 2): RunStatus.STOPPED, (2, 2): RunStatus.FAILED}
    scores = [[0.50, 0.51, 0.49], [0.90, 0.40, 0.41], [0.45, 0.46, 0.4], [0.4, np.nan, np.nan]]
    verdict = verdict_of(scores, endings=endings, sweep={"configs": 5, "planned_runs": 15})
    assert verdict.expected is not None
    assert (verdict.expected.best_single_run, verdict.expected.best_single_config) == (0.90, "c1")
    assert verdict.best == "c0"
    parts = (verdict.n_uncompared, verdict.n_failed, verdict.n_stopped, verdict.n_missing)
    assert parts == (1, 1, 2, 5)
    assert verdict.n_runs == 15 == len(verdict.runs_used) + sum(parts)


def test_an_upper_bound_of_the_missing_runs_is_called_one(verdict_of: JudgeScores) -> None:
    verdict = verdict_of([[0.40, 0.41], [0.50, 0.52]], sweep={"configs": 5, "planned_runs": None})
    assert (verdict.n_missing, verdict.n_runs, verdict.plan_final) == (6, 10, False)
    assert "up to 6 missing" in verdict.sentence
    assert any("Up to 6 runs are missing" in note for note in verdict.notes)
    over = verdict_of([[0.40, 0.41], [0.50, 0.52]], sweep={"configs": 5, "planned_runs": 4})
    assert (over.n_missing, over.n_runs, over.plan_final) == (0, 4, True)
    assert "missing" not in over.sentence


def test_the_best_is_judged_on_equal_seeds_and_a_different_plain_mean_is_said(
    verdict_of: JudgeScores,
) -> None:
    scores = [[0.50, 0.50, 0.51], [0.52, 0.30, 0.53], [0.49, 0.27, 0.50]]
    verdict = verdict_of(scores, endings={(0, 1): RunStatus.FAILED})
    assert verdict.best == "c1"  # c0 has no score on the hard seeds of replicate 1
    assert any("not scored on the same seeds" in note for note in verdict.notes)


def test_verdict_json_is_json_and_complete(recorded_run: Path, tmp_path: Path) -> None:
    verdict = judge(rank_store(ResultsStore.read(recorded_run)))
    write_verdict(verdict, tmp_path / "verdict.json")
    content = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert content == verdict.to_dict()
    assert content["claim"] == str(verdict.claim)
    assert "NaN" not in (tmp_path / "verdict.json").read_text(encoding="utf-8")


def test_effect_of_a_choice_is_the_gap_between_its_levels(make_run_dir: MakeRun) -> None:
    configs = [{"loss": loss, "lr": 1e-4} for loss in ("a", "a", "a", "b", "b", "b")]
    scores = [[0.50, 0.51], [0.51, 0.50], [0.50, 0.50], [0.40, 0.41], [0.41, 0.40], [0.40, 0.40]]
    effects = parameter_effects(rank_store(ResultsStore.read(make_run_dir(scores, configs=configs))))
    assert [effect.parameter for effect in effects] == ["loss"]  # lr does not vary
    effect = effects[0]
    assert effect.effect == pytest.approx(0.1, abs=0.005)
    assert effect.finding == "effect shown"
    assert [level.value for level in effect.levels] == ["a", "b"]
    assert effect.seed_error is not None
    assert effect.seed_error < 0.01


def test_effect_of_a_number_is_read_on_the_scale_it_was_spread(make_run_dir: MakeRun) -> None:
    lrs = [1e-5, 1e-4, 1e-3, 1e-2]
    scores = [[0.3 + 0.05 * i, 0.301 + 0.05 * i] for i in range(4)]
    run_dir = make_run_dir(scores, configs=[{"lr": lr} for lr in lrs])
    (effect,) = parameter_effects(rank_store(ResultsStore.read(run_dir)))
    assert (effect.kind, effect.scale, effect.finding) == ("number", "log", "effect shown")
    assert effect.effect == pytest.approx(0.15)


def test_a_null_is_a_value_and_not_the_lack_of_one(make_run_dir: MakeRun) -> None:
    configs = [{"weights": w, **rest} for w, rest in ((None, {"cap": 2.0}), ("imagenet", {}), (None, {}))]
    scores = [[0.40, 0.41], [0.50, 0.52], [0.42, 0.40]]
    effects = parameter_effects(rank_store(ResultsStore.read(make_run_dir(scores, configs=configs))))
    assert [effect.parameter for effect in effects] == ["weights"]  # only one config has a cap
    assert effects[0].n_configs == 3
    assert {level.value for level in effects[0].levels} == {None, "imagenet"}


def test_noise_alone_shows_no_effect_and_few_configs_say_so(make_run_dir: MakeRun) -> None:
    rng = np.random.default_rng(2)
    configs = [{"a": "xy"[i % 2], "b": i} for i in range(6)]
    shown = 0
    for _ in range(20):
        run_dir = make_run_dir(0.4 + rng.normal(0, 0.02, (6, 2)), configs=configs)
        effects = parameter_effects(rank_store(ResultsStore.read(run_dir)))
        shown += any(effect.finding == "effect shown" for effect in effects)
    assert shown <= 4
    two = make_run_dir([[0.4, 0.4], [0.5, 0.6]], configs=[{"a": "x"}, {"a": "y"}])
    (effect,) = parameter_effects(rank_store(ResultsStore.read(two)))
    assert (effect.finding, effect.low) == ("too few configs", None)
