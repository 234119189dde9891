"""Tables of runs made by hand: the notes' own numbers come back, and what is no table is refused in one go."""

from __future__ import annotations

from pathlib import Path

import pytest

from results import Claim, judge
from results.errors import TableError
from results.run_table import read_run_table, training_notes


def test_the_notes_are_five_configs_and_three_repeats() -> None:
    ranking = training_notes()
    assert {row.label: row.n for row in ranking.rows} == {
        "run 1": 1,
        "runs 2, 6, 8": 3,
        "run 3": 1,
        "run 4": 1,
        "run 5": 1,
    }
    repeated = next(row for row in ranking.rows if row.n == 3)
    assert repeated.mean == pytest.approx((0.4598 + 0.4344 + 0.4702) / 3)
    assert repeated.values["max_pos_weight"] == 10


def test_three_repeats_say_almost_nothing_about_the_noise_and_no_config_is_shown_to_be_better() -> None:
    verdict = judge(training_notes())
    noise = verdict.seed_noise
    assert (noise.sd, noise.df) == (pytest.approx(0.0184, abs=5e-5), 2)
    assert (noise.low, noise.high) == (pytest.approx(0.0096, abs=5e-5), pytest.approx(0.1157, abs=5e-5))
    assert verdict.claim is Claim.TIED
    assert len(verdict.indistinguishable) == 5
    assert verdict.pair_correlation is None  # nothing says that two configs met the same seeds


def test_the_shipped_space_and_the_shipped_table_tell_the_same_runs() -> None:
    from search_spaces import load_space

    space = {config.label: dict(config) for config in load_space("notes").configs}
    for row in training_notes().rows:
        declared = space[row.label]
        same = {name: declared[name] for name in ("backbone", "loss", "lr", "batch_size", "scheduler")}
        assert {name: row.values[name] for name in same} == same


def test_equal_settings_are_repeats_and_an_empty_cell_is_a_null(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("run,lr,cap,val_f1\na,1e-4,,0.5\nb,0.0001,,0.6\nc,1e-4,3,0.7\n", encoding="utf-8")
    ranking = read_run_table(path, metric="val_f1")
    assert [(row.label, row.n, row.values) for row in ranking.rows] == [
        ("run c", 1, {"lr": 1e-4, "cap": 3}),
        ("runs a, b", 2, {"lr": 1e-4, "cap": None}),
    ]


def test_every_problem_of_a_table_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("run,val_iou,val_f1\na,0.4,x\nb,,0.5\nc,nan,0.5\nd,0.4\n", encoding="utf-8")
    with pytest.raises(TableError) as caught:
        read_run_table(path)
    assert [problem.rpartition("bad.csv, ")[2] for problem in caught.value.problems] == [
        "line 2, column 'val_f1': 'x' is not a finite number",
        "line 3, column 'val_iou': '' is not a finite number",
        "line 4, column 'val_iou': 'nan' is not a finite number",
        "line 5: not as many cells as the heading has",
    ]


def test_no_run_is_lost_to_another_of_the_same_name_and_no_score_is_out_of_range(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "run,lr,lr,val_iou,epochs\na,1,1,0.4,30\n\n,1,1,0.4,30\na,1,1,0.5,30\nb,1,1,45.98,2.5\nc,1,1,-0.1,0\n",
        encoding="utf-8",
    )
    with pytest.raises(TableError) as caught:
        read_run_table(path)
    assert [problem.rpartition("bad.csv")[2] for problem in caught.value.problems] == [
        ": 2 columns are called 'lr': give each its own heading",
        ", line 4, column 'run': is empty; give every run a name",
        ", line 5, column 'run': 'a' is in line 2 already; give every run its own name",
        ", line 6, column 'val_iou': 45.98 is not between 0 and 1; write a share, not per cent",
        ", line 6, column 'epochs': 2.5 is not a whole number from 1 on",
        ", line 7, column 'val_iou': -0.1 is not between 0 and 1; write a share, not per cent",
        ", line 7, column 'epochs': 0 is not a whole number from 1 on",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no runs"), ("name,iou\na,0.4\n", "no column 'run'"), ("run,loss\na,x\n", "no column 'val_iou'")],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TableError, match=message):
        read_run_table(path)
    with pytest.raises(TableError, match="cannot be read"):
        read_run_table(tmp_path / "missing.csv")
