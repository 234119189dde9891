"""A search with unequal seeds, fresh seeds from 1000 on, and audits: told by the page, borne by all that reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_searches import ENOUGH, SEARCH, Search, record_search

from results import (
    ResultsStore,
    compare,
    judge,
    parameter_effects,
    parameter_importance,
    pick_model,
    rank_store,
    sweep_components,
    threshold_curves,
    write_report,
)
from results.claims import not_judged
from results.naming import NONE
from results.planning import KnownNoise, recorded_cost
from results.ranking import Ranking
from results.report.noise_views import patch_half_width, seed_noise
from results.report.ranking_table import ranking_table
from results.report.record_tables import budget_table
from results.report.search_views import decisions_by_stage, search_sentences, seeds_caption, seeds_figure
from results.report.tiles import key_figures
from results.snapshot import Snapshot, snapshot

Recorded = Callable[..., tuple[Path, Snapshot, Ranking]]
FRESH = {cell for cell in SEARCH.scores if cell[1] >= 1000}


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    made = iter(range(100))

    def record(search: Search = SEARCH, **options: bool) -> tuple[Path, Snapshot, Ranking]:
        run_dir = record_search(tmp_path / f"search{next(made)}", search, **options)
        store = ResultsStore.read(run_dir)
        return run_dir, snapshot(store), rank_store(store)

    return record


def fresh(
    own: tuple[float, ...], rival: tuple[float, ...] = (), failed: frozenset[int] = frozenset()
) -> Search:
    """The search with these scores on fresh seeds; `failed` are those of c0 that failed."""
    scores = {cell: score for cell, score in ENOUGH.scores.items() if cell not in FRESH}
    scores |= {(0, 1000 + j): score for j, score in enumerate(own)}
    scores |= {(1, 1000 + j): score for j, score in enumerate(rival)}
    lost = (SEARCH.failed - FRESH) | {(0, 1000 + j) for j in failed}
    return replace(SEARCH, scores=scores, failed=lost)


# ---- fresh seeds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "rival", "said"),
    [
        ((0.470,), (0.460,), "Quote 0.4700 ["),
        (
            (0.470, 0.460),
            (0.460, 0.470),
            "Quote 0.4650 [",
        ),
        (
            (0.470, 0.460, 0.462),
            (0.480, 0.470, 0.471),
            "On these seeds it was 0.0097 behind c1 (difference -0.0097 [",
        ),
    ],
)
def test_fresh_seeds_are_told_with_their_interval(
    recorded: Recorded, own: tuple[float, ...], rival: tuple[float, ...], said: str
) -> None:
    run_dir, _, ranking = recorded(fresh(own, rival))
    verdict = judge(ranking)
    assert said in verdict.sentence
    assert verdict.confirmed is not None
    assert (verdict.confirmed.n, verdict.confirmed.n_pairs, verdict.confirmed.rival) == (
        len(own),
        len(rival),
        "c1",
    )
    assert verdict.confirmed.low is not None
    assert verdict.confirmed.difference_low is not None
    assert verdict.n_confirmations == len(own) + len(rival)
    html = write_report(run_dir).html.read_text("utf-8")
    assert said in html
    seeds = "1 fresh seed" if len(own) == 1 else f"{len(own)} fresh seeds"
    assert (
        f"the mean of c0 on {seeds} that took no part in the choice, on these validation" in verdict.sentence
    )
    assert f"the number to quote: mean on {seeds} that took" in html


def test_a_difference_on_too_few_fresh_seeds_has_no_interval(recorded: Recorded) -> None:
    scores = {cell: score for cell, score in SEARCH.scores.items() if cell[1] < 1002}
    found = judge(recorded(replace(SEARCH, scores=scores))[2]).confirmed
    assert found is not None
    assert (found.n_pairs, found.difference_low, found.difference_high) == (2, None, None)
    assert found.low is not None
    enough = judge(recorded(replace(ENOUGH, scores={**ENOUGH.scores, **scores}))[2]).confirmed
    assert enough is not None
    assert enough.difference_low is not None


def test_the_number_to_quote_comes_first_and_says_what_it_rests_on(recorded: Recorded) -> None:
    search = replace(ENOUGH, sweep={"data": {"patches": {"train": 99, "val": 31}}})
    _, seen, ranking = recorded(search, counts=True)
    verdict = judge(ranking)
    assert "on these 31 validation patches, on which each run's best epoch was chosen too" in verdict.sentence
    width = patch_half_width(seed_noise(seen, ranking, verdict))
    assert width is not None
    figures = key_figures(verdict, ranking, patch_half_width=width)
    assert figures[0][0] == "confirmed IoU"
    assert figures[0][2].endswith(f"other patches would move it by about ±{width:.2g}")
    assert figures[1][2].startswith("what the search alone expected")
    single = next(meaning for name, _, meaning in figures if name == "best single run")
    assert single == "quoted alone, 0.0117 better than the number to quote"
    plain = key_figures(judge(recorded(fresh(()))[2]), ranking)
    assert not any("the search alone" in meaning or "to quote" in meaning for _, _, meaning in plain)


def test_tiles_say_what_cannot_be_told(recorded: Recorded) -> None:
    ranking = recorded()[2]
    tiles = {name: (value, meaning) for name, value, meaning in key_figures(judge(ranking), ranking)}
    assert tiles["correlation of pairs"][0] == NONE
    assert "cannot be estimated (1 degree of freedom" in tiles["correlation of pairs"][1]
    value, meaning = tiles["runs with a final score"]
    assert value == "11 of 16"
    assert meaning.endswith("; 2 configs have a single one and are not judged")
    worse = replace(judge(ranking), pair_correlation=-0.87)
    pairing = next(tile for tile in key_figures(worse, ranking) if tile[0] == "correlation of pairs")
    assert pairing[1] == "-0.87"
    assert "did not help" in pairing[2]
    # With that many degrees of freedom the share is unknown because no seeds are in common.
    noise = replace(worse.residual_noise, df=9)
    apart = replace(worse, pair_correlation=None, residual_noise=noise)
    assert "correlation of pairs" not in [name for name, _, _ in key_figures(apart, ranking)]


def test_failed_confirmations_are_counted(recorded: Recorded) -> None:
    some = judge(recorded(fresh((0.47, 0.3, 0.46), (0.46, 0.45, 0.44), frozenset({1})))[2])
    assert "on 3 fresh seeds (1 of them failed)" in some.sentence
    assert "ahead of c1 (difference +0.0150" in some.sentence
    rival_failed = judge(recorded()[2])
    assert "ahead of c1 on the 2 that both finished (difference" in rival_failed.sentence
    none = judge(recorded(fresh((0.3, 0.3), (0.46, 0.45), frozenset({0, 1})))[2])
    assert "All runs of c0 on 2 fresh seeds failed, so nothing is confirmed." in none.sentence
    assert judge(recorded(fresh(()))[2]).confirmed is None


def test_fresh_seeds_that_disagree_with_the_expectation_are_noted(recorded: Recorded) -> None:
    far = judge(recorded(fresh((0.40, 0.41, 0.39)))[2])
    assert any("do not agree with the expected score" in note for note in far.notes)
    assert not any("do not agree" in note for note in judge(recorded()[2]).notes)


def test_fresh_seeds_change_nothing_else(recorded: Recorded) -> None:
    without, beside = judge(recorded(fresh(()))[2]), judge(recorded(ENOUGH)[2])
    for name in (
        "best",
        "expected",
        "comparisons",
        "chances",
        "seed_noise",
        "residual_noise",
        "runs_used",
        "n_runs",
    ):
        assert getattr(without, name) == getattr(beside, name)


# ---- whatever reads replicates by their number ----------------------------------------------------------------------


def test_everything_that_reads_scores_copes_with_unequal_seeds(recorded: Recorded) -> None:
    _, seen, ranking = recorded(counts=True)
    verdict = judge(ranking)
    assert ranking.matrix().shape == (5, 4)  # fresh seeds add no columns
    noise = seed_noise(seen, ranking, verdict)
    assert noise is not None
    assert noise.problem is None
    assert noise.patches is not None
    assert (noise.patches.best, noise.patches.n_common) == (
        0,
        (4, 3, 2, 1, 1),
    )
    curves = threshold_curves(seen.thresholds, ranking)
    assert [curve.replicates for curve in curves] == [(0, 1, 2, 3), (0, 1, 2), (0, 1), (1,), (0,)]
    assert sweep_components(ranking, seen.runs).n_runs == 11
    assert len(compare(ranking).pairs) == 10
    assert parameter_effects(ranking)
    importance = parameter_importance(ranking)
    assert importance is not None
    assert (importance.n_runs, importance.n_configs) == (11, 5)
    known = KnownNoise.of(verdict, "there")
    assert known is not None
    assert known.sd > 0
    assert recorded_cost(seen.store).epochs == 6


def test_the_model_that_is_shipped_is_one_of_the_search(recorded: Recorded) -> None:
    run_dir, _, ranking = recorded()
    for cell in SEARCH.scores:
        folder = run_dir / "checkpoints" / f"c{cell[0]}-r{cell[1]}"
        folder.mkdir(parents=True)
        (folder / "best.pt").write_bytes(b"")
    assert pick_model(run_dir, ranking, pick="median").trial_key == "c0-r2"
    assert pick_model(run_dir, ranking, pick="best").trial_key == "c0-r0"
    assert pick_model(run_dir, ranking, "c3").why.startswith("the only finished run")


# ---- audits ---------------------------------------------------------------------------------------------------------


def test_an_audit_is_counted_and_changes_nothing(recorded: Recorded) -> None:
    run_dir, seen, ranking = recorded(replace(SEARCH, audited={(4, 0)}))
    plain = recorded()[2]
    assert ranking.rows == plain.rows
    before, after = judge(plain).to_dict(), judge(ranking).to_dict()
    assert (before.pop("n_audits"), after.pop("n_audits")) == (0, 1)
    (note,) = set(after.pop("notes")) - set(before.pop("notes"))
    assert "1 stopped run was brought to the end afterwards" in note
    assert before == after
    table = budget_table(seen.runs, seen.epochs, seen.audits)
    assert ("audit", "1 finished", "1", "3", "36.0 s") in table.rows
    assert table.rows[-1][2:4] == ("22", "113")
    assert "1 stopped run audited" in re.sub(r"\s+", " ", write_report(run_dir).html.read_text("utf-8"))


# ---- the page -------------------------------------------------------------------------------------------------------


def test_the_ranking_shows_seeds_states_and_both_scores(recorded: Recorded) -> None:
    _, _, ranking = recorded()
    assert not_judged(judge(ranking), "c1")  # with one degree of freedom nothing is
    _, _, ranking = recorded(ENOUGH)
    verdict = judge(ranking)
    table = ranking_table(ranking, verdict)
    cells = {row[1]: dict(zip(table.headings, row, strict=True)) for row in table.rows}
    wanted = ("seeds", "fresh", "mean IoU", "vs best", "state", "failed")
    assert [cells["c0"][name] for name in wanted] == ["4", "3", "0.4727", "first", "complete", NONE]
    assert [cells["c1"][name] for name in wanted] == ["4", "2", "0.4660", "tied", "complete", NONE]
    assert [cells["c3"][name] for name in wanted] == ["1", NONE, "0.4300", "not judged", "complete", NONE]
    assert [cells["c4"][name] for name in wanted] == ["0", NONE, NONE, NONE, "stopped", NONE]
    assert [cells["c7"][name] for name in wanted] == ["0", NONE, NONE, NONE, "failed", "2"]
    first = ranking.rows[0].expected
    assert first is not None
    assert cells["c0"]["expected IoU"] == f"{first.mean:.4f}"
    assert cells["c0"]["±"] == f"{(first.high - first.low) / 2:.4f}"
    assert cells["c4"]["expected IoU"] != NONE
    assert "ranks nothing" in table.note
    assert "of the other columns only epochs counts them" in table.note
    going_on = recorded(replace(SEARCH, under_way={(2, 0)}))[2]
    states = {row[1]: row[-1] for row in ranking_table(going_on, judge(going_on)).rows}
    assert states["c2"] == "resumed"


def test_the_page_tells_how_the_search_went(recorded: Recorded) -> None:
    run_dir, seen, ranking = recorded()
    verdict = judge(ranking)
    assert search_sentences(verdict, ranking) == (
        "The search ended because expected regret 0.0017 is below 0.002.",
        "Of 8 configs that were started, 2 were stopped early, 2 finished one run, and 3 were repeated, with 4 seeds "
        "at most.",
        "6 more runs on fresh seeds confirm the choice; they took no part in it.",
    )
    stages = decisions_by_stage(seen.decisions, seen.configs, {})
    assert [(part.stage, part.summary, len(part.table.rows)) for part in stages] == [
        ("screen", "10 started, 3 stopped", 3),
        ("allocate", "6 started, 1 resumed", 7),
        ("confirm", "6 started", 0),
        ("choice", "1 chosen", 1),
    ]
    paths = write_report(run_dir)
    html, markdown = paths.html.read_text("utf-8"), paths.markdown.read_text("utf-8")
    for text in (html, markdown):
        for heading in ("How the search went", "Budget spent", "What the policy decided", "Stopped early"):
            assert heading in text
        assert "screen: 10 started, 3 stopped" in text
    assert html.index("expected score with its interval") < html.index("How the search went")
    assert json.loads(paths.verdict_json.read_text("utf-8"))["ended"] == verdict.ended


def test_an_audit_of_this_sweep_is_told_on_the_page(recorded: Recorded) -> None:
    run_dir = recorded()[0]
    audit = run_dir / "audit.json"
    for content, there in (
        ({"sweep_id": "another", "sentences": ["Of 2 stopped <runs> 1."]}, False),
        (
            {
                "sweep_id": ResultsStore.read(run_dir).sweep["sweep_id"],
                "sentences": ["Of 2 stopped <runs> 1."],
            },
            True,
        ),
        ([], False),
    ):
        audit.write_text(json.dumps(content), "utf-8")
        paths = write_report(run_dir)
        for path in (paths.html, paths.markdown):
            text = path.read_text("utf-8")
            assert ("What stopping early has cost" in text) == there
            assert ("Of 2 stopped &lt;runs&gt; 1." in text) == there
    audit.write_text("torn", "utf-8")
    assert "has cost" not in write_report(run_dir).html.read_text("utf-8")


def test_deviations_in_reasons_are_explained(recorded: Recorded) -> None:
    _, seen, _ = recorded(replace(SEARCH, ended="config 0 leads (0.78 +- 0.01)"))
    notes = {part.stage: part.table.note for part in decisions_by_stage(seen.decisions, seen.configs, {})}
    assert "+-: the standard deviation" in notes["choice"]
    assert "+-" not in notes["screen"]


def test_the_seeds_are_drawn_for_a_search_only(recorded: Recorded, recorded_run: Path) -> None:
    _, _, ranking = recorded()
    assert seeds_figure(ranking) is not None
    assert "Not drawn: 2 configs with a single run that was stopped." in seeds_caption(ranking)
    plain = rank_store(ResultsStore.read(recorded_run))
    assert seeds_figure(plain) is None
    assert "expected" not in " ".join(ranking_table(plain, judge(plain)).headings)


def test_a_search_that_has_just_begun_is_reported(recorded: Recorded) -> None:
    begun = Search({(0, 0): 0.4}, stopped={(0, 0)}, chosen=None, ended=None)
    text = write_report(recorded(begun)[0]).html.read_text("utf-8")
    assert "No config has a final score" in text
    assert "The search has not ended" in text


def test_the_ranking_is_a_wide_table_that_breaks_long_names_where_they_may_be(recorded: Recorded) -> None:
    html = write_report(recorded()[0]).html.read_text("utf-8")
    assert html.count('<table class="wide">') == 1
    assert "expected IoU</th>" in html
    assert "<h1>Sweep " in html
