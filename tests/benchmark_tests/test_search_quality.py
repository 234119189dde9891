"""The numbers of the search benchmark add up, and its command prints, writes and draws them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import search_quality
from recorded_sweeps import record_scores
from search_bench.cell import FIELDS, Cell, Results, run_cell, solve
from search_bench.learning_curves import CurveModel
from search_bench.metrics import (
    Estimate,
    calibration,
    covered,
    epochs_to_level,
    epochs_to_match,
    epochs_to_reach,
    regret_ratio,
)
from search_bench.strategies import STRATEGIES
from search_bench.tables import report, summary


def test_estimates_leave_out_what_is_not_defined() -> None:
    found = Estimate.of(np.array([1.0, math.nan, 3.0]))
    assert (found.mean, found.error, found.n) == (2.0, pytest.approx(1.0), 2)
    assert Estimate.of(np.array([math.nan])).n == 0
    truth = np.array([0.5, 0.5, 0.5])
    inside = covered(np.array([0.4, 0.6, math.nan]), np.array([0.6, 0.7, math.nan]), truth)
    np.testing.assert_array_equal(inside, [1.0, 0.0, math.nan])


def test_calibration_compares_within_each_tenth() -> None:
    stated = np.array([0.05, 0.05, 0.31, 0.39, 1.0, math.nan])
    right = np.array([False, True, True, True, True, True])
    bins = calibration(stated, right)
    assert [found.n for found in bins] == [2, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    assert (bins[0].stated, bins[0].observed) == (pytest.approx(0.05), 0.5)
    assert (bins[3].stated, bins[3].observed) == (pytest.approx(0.35), 1.0)
    assert bins[3].error > 0  # two of two are no proof


@pytest.mark.parametrize(
    ("regret", "level", "epochs"),
    [
        ([4, 2, 1], 4, 100),  # at once, or before
        ([4, 2, 1], 2, 200),
        ([4, 2, 1], 3, 100 * math.sqrt(2)),  # half way on the logarithm
        ([4, 2, 3], 3, 100 * math.sqrt(2)),  # once reached, kept
        ([4, 2, 1], 0.5, math.inf),
    ],
)
def test_epochs_to_a_regret_are_read_off_between_budgets(
    regret: list[float], level: float, epochs: float
) -> None:
    assert epochs_to_reach(regret, np.array([100.0, 200.0, 400.0]), level) == pytest.approx(epochs)


def test_ratios_are_paired_by_problem() -> None:
    rng = np.random.default_rng(0)
    hard = rng.gamma(1.0, 1.0, (50, 1))  # problems differ much more than strategies
    theirs = hard * np.array([4.0, 2.0, 1.0])
    found = regret_ratio(0.5 * theirs, theirs)
    assert [(r.value, r.low, r.high) for r in found] == [(pytest.approx(0.5),) * 3] * 3
    epochs = np.array([100.0, 200.0, 400.0])
    matched = epochs_to_match(0.5 * theirs, theirs, epochs)
    assert [r.value for r in matched] == pytest.approx([1.0, 0.5, 0.5])
    assert matched[1].low == pytest.approx(0.5)
    never = epochs_to_match(2 * theirs, theirs, epochs)
    assert math.isinf(never[2].value)
    level = float(hard.mean()) * 1.5
    assert epochs_to_level(0.5 * theirs, theirs, epochs, level).value < 1
    assert math.isnan(epochs_to_level(theirs, theirs, epochs, 0.0).value)


TINY = Cell("tiny", CurveModel(configs=8), list(STRATEGIES), (0.5, 1.0), 3)


@pytest.fixture(scope="module")
def tiny_results() -> Results:
    values = np.stack([solve(TINY, number) for number in range(3)])
    return Results(TINY, values, np.array([200, 400]), 1.0)


def test_a_cell_is_the_same_on_all_cores(tiny_results: Results) -> None:
    found = run_cell(TINY, processes=2)
    np.testing.assert_array_equal(found.values, tiny_results.values)
    assert found.epochs.tolist() == [200, 400]
    assert (found.of("regret", "asha-best-run") >= 0).all()
    assert np.isnan(found.of("near", "repeats-3")).all()
    assert not np.isnan(found.of("near", "noise-aware")).any()


def test_a_report_has_a_row_for_every_strategy(tiny_results: Results) -> None:
    text = report(tiny_results)
    for name in STRATEGIES:
        assert text.count(f"| {name} |") >= 3
    assert "P(within 0.005) → observed" in text
    assert "epochs to match repeats-3" in text
    widths = {line.count("|") for line in summary([tiny_results]).splitlines()}
    assert len(widths) == 1


def test_the_command_prints_writes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--problems 2 --configs 4 --budgets 0.5,1 --strategies noise-aware,repeats-3 --workers 2"
    files = ["--json", str(tmp_path / "out.json"), "--plot", str(tmp_path / "out.svg")]
    search_quality.main(["simulated", *options.split(), *files])
    assert "## 4 configs, seed sd 0.018" in capsys.readouterr().out
    (cell,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert np.array(cell["values"], dtype=float).shape == (2, 2, 2, len(FIELDS))
    assert (tmp_path / "out.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_command_reads_a_run_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = record_scores(tmp_path / "run", [[0.30, 0.32], [0.40, 0.41], [0.20, 0.21]])
    search_quality.main(["--from", str(run_dir), "--problems", "2", "--budgets", "2"])
    out = capsys.readouterr().out
    assert "3 configs x 2 seeds" in out
    assert "| noise-aware |" in out
    assert "confirm" not in out  # there are no seeds left for it


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ([], "name one source"),
        (["simulated", "--from", "x"], "name one source"),
        (["simulated", "--strategies", "magic"], "no strategy magic; known: random-best-run"),
    ],
)
def test_the_command_says_what_is_wrong(
    argv: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        search_quality.main(argv)
    assert why in capsys.readouterr().err


def test_missing_recorded_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is no file; name algoperf_repeated_seeds"):
        search_quality.main(["algoperf", "--data", str(tmp_path)])
