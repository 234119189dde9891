"""The ranking's rules: no unequal budgets, no silent failures, no numbers from nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_sweeps import SWEEP, epoch_record, run_record

from results import ConfigRecord, ConfigState, ResultsStore, RunStatus, judge, rank_store
from results.naming import varied
from results.plan import Plan
from results.ranking import Ranking, rank

MakeRun = Callable[..., Path]
TWO_BY_TWO = {"replicates": 2, "configs": 2}


def ranking_of(run_dir: Path) -> Ranking:
    return rank_store(ResultsStore.read(run_dir))


def test_configs_are_ranked_by_the_mean_of_their_best_epochs(make_run_dir: MakeRun) -> None:
    ranking = ranking_of(make_run_dir([[0.40, 0.42], [0.50, 0.48], [0.45, 0.45]]))
    assert [row.config_id for row in ranking.rows] == ["c1", "c2", "c0"]
    first = ranking.rows[0]
    assert first.mean == pytest.approx(0.49)
    assert first.sd == pytest.approx(np.std([0.50, 0.48], ddof=1))
    assert first.low is not None
    assert first.high is not None
    assert first.low < 0.49 < first.high
    assert [run.best_epoch for run in first.runs] == [5, 5]
    assert first.runs[0].at_best["val_recall"] == 0.55
    assert first.epochs == 12


def test_lower_is_better_when_the_sweep_says_so(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir([[0.4, 0.4], [0.5, 0.5]], sweep={"metric": "val_loss", "mode": "min"})
    with ResultsStore.open(run_dir) as store:
        for config, value in (("c0", 0.9), ("c1", 0.2)):
            for j in range(2):
                store.add_epoch(
                    epoch_record(
                        trial_key=f"{config}-r{j}",
                        config_id=config,
                        replicate=j,
                        epoch=7,
                        val_loss=value + j / 10,
                    )
                )
    ranking = ranking_of(run_dir)
    assert [row.config_id for row in ranking.rows] == ["c1", "c0"]
    assert ranking.rows[0].mean == pytest.approx(0.25)
    low, high = ranking.rows[0].low, ranking.rows[0].high
    assert low is not None
    assert high is not None
    assert low < high
    verdict = judge(ranking)
    assert verdict.best == "c1"
    assert verdict.comparisons[0].estimate > 0
    assert verdict.expected is not None
    assert verdict.expected.best_single_run == pytest.approx(0.2)


def test_stopped_runs_have_no_final_score_and_their_config_stands_apart(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir(
        [[0.40, 0.40], [0.60, 0.60]], endings={(1, 1): RunStatus.STOPPED}
    )  # the better config was stopped once
    ranking = ranking_of(run_dir)
    assert [(row.config_id, row.state) for row in ranking.rows] == [
        ("c0", ConfigState.COMPLETE),
        ("c1", ConfigState.STOPPED),
    ]
    stopped = ranking.rows[1]
    assert (stopped.mean, stopped.low, stopped.n_stopped, stopped.n) == (None, None, 1, 1)
    assert stopped.common_epoch == 3
    assert stopped.common_value == pytest.approx(0.57)  # best so far at epoch 3, both runs
    assert [row.config_id for row in ranking.scored] == ["c0"]


def test_failed_runs_are_counted_and_never_averaged(make_run_dir: MakeRun) -> None:
    endings = {(0, 1): RunStatus.DIVERGED, (1, 0): RunStatus.FAILED, (1, 1): RunStatus.OUT_OF_MEMORY}
    ranking = ranking_of(make_run_dir([[0.4, 0.9, 0.42], [0.9, 0.9, np.nan]], endings=endings))
    first, second = ranking.rows
    assert (first.state, first.n, first.n_failed) == (ConfigState.COMPLETE, 2, 1)
    assert first.mean == pytest.approx(0.41)
    assert (second.state, second.n_failed, second.n_missing, second.mean) == (
        ConfigState.INCOMPLETE,
        2,
        1,
        None,
    )
    assert np.isnan(ranking.matrix()[0, 1])


def test_a_config_whose_runs_all_failed_is_last_but_listed(make_run_dir: MakeRun) -> None:
    endings = {(0, j): RunStatus.DIVERGED for j in range(2)} | {(1, 0): RunStatus.STOPPED}
    ranking = ranking_of(make_run_dir([[0.9, 0.9], [0.5, 0.5], [0.4, 0.4]], endings=endings))
    assert [row.state for row in ranking.rows] == [
        ConfigState.COMPLETE,
        ConfigState.STOPPED,
        ConfigState.FAILED,
    ]
    assert ranking.rows[-1].n_failed == 2


def test_missing_and_running_runs_are_counted(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir([[0.4, 0.41, 0.42], [0.5, np.nan, np.nan]])
    with ResultsStore.open(run_dir) as store:
        store.add_config(ConfigRecord("c9", {"lr": 1.0}, "random"))
        store.add_epoch(epoch_record(trial_key="c1-r1", config_id="c1", replicate=1, val_iou=0.99))
    ranking = ranking_of(run_dir)
    assert [row.config_id for row in ranking.rows] == ["c1", "c0", "c9"]
    running = ranking.rows[0]
    assert (running.state, running.n, running.n_missing, running.epochs) == (ConfigState.INCOMPLETE, 1, 2, 7)
    assert running.mean == pytest.approx(0.5)  # the running one has no score yet
    assert ranking.rows[2].n_missing == 3


def test_a_run_that_was_stopped_and_resumed_is_missing_until_it_ends_again(make_run_dir: MakeRun) -> None:
    """Its config's other runs are its lucky ones: no final score for it meanwhile."""
    run_dir = make_run_dir([[0.4, 0.41], [0.5, 0.6]], endings={(1, 0): RunStatus.STOPPED}, sweep=TWO_BY_TWO)
    with ResultsStore.open(run_dir) as store:
        who = {"trial_key": "c1-r0", "config_id": "c1"}
        store.add_epoch(epoch_record(epoch=4, stage="allocate", val_iou=0.49, **who))
        store.flush()
        ranking = ranking_of(run_dir)
        row, verdict = ranking.row("c1"), judge(ranking)
        assert row is not None
        assert (row.state, row.mean, row.n_stopped, row.n_missing) == (ConfigState.STOPPED, None, 0, 1)
        assert (verdict.n_stopped, verdict.n_missing, verdict.n_runs, verdict.best) == (0, 1, 4, "c0")
        store.add_run(run_record(epochs=4, stage="allocate", **who))
        store.flush()
        for _ in range(2):
            row = ranking_of(run_dir).row("c1")
            assert row is not None
            assert (row.state, row.n_missing) == (ConfigState.COMPLETE, 0)
            assert row.mean == pytest.approx((0.49 + 0.6) / 2)
            store.compact()


def test_a_run_that_finished_without_a_finite_value_counts_as_failed(tmp_path: Path) -> None:
    with ResultsStore.create(tmp_path / "run", {**SWEEP, "replicates": 1}) as store:
        store.add_config(ConfigRecord("c0", {"lr": 1.0}, "random"))
        store.add_epoch(epoch_record(val_iou=float("nan")))
        store.add_run(run_record(best_epoch=None, best_value=None))
    row = ranking_of(tmp_path / "run").rows[0]
    assert (row.state, row.n, row.n_failed, row.mean) == (ConfigState.FAILED, 0, 1, None)


def test_replicates_beyond_the_plan_are_not_missing_elsewhere(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir([[0.4, 0.41, 0.42], [0.5, 0.5, np.nan]], sweep={"replicates": 2})
    assert {row.config_id: row.n_missing for row in ranking_of(run_dir).rows} == {"c0": 0, "c1": 0}


def test_ties_keep_the_order_of_the_ids_whatever_order_they_came_in(make_run_dir: MakeRun) -> None:
    ranking = ranking_of(make_run_dir([[0.4, 0.5], [0.5, 0.4], [0.4, 0.5]]))
    assert [row.config_id for row in ranking.rows] == ["c0", "c1", "c2"]


def test_unknown_metric_and_mode_are_errors(make_run_dir: MakeRun) -> None:
    store = ResultsStore.read(make_run_dir([[0.4]]))
    tables = store.epochs(), store.runs(), store.configs()
    with pytest.raises(ValueError, match="'val_iuo' is not a column"):
        rank(*tables, Plan("val_iuo", "max", 1))
    with pytest.raises(ValueError, match="'maximum'"):
        Plan("val_iou", "maximum", 1)


def test_a_gap_does_not_put_a_config_below_worse_ones(make_run_dir: MakeRun) -> None:
    scores = [[0.60, 0.59, np.nan], [0.62, 0.63, 0.50], [0.30, 0.31, 0.20]]
    ranking = ranking_of(make_run_dir(scores))
    assert [row.config_id for row in ranking.rows] == ["c0", "c1", "c2"]
    assert ranking.rows[0].state is ConfigState.INCOMPLETE


def test_a_run_that_ends_while_its_rows_are_read_is_never_scored_by_half(
    make_run_dir: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run_dir([[np.nan]])
    writer = ResultsStore.open(run_dir)
    writer.add_epoch(epoch_record(epoch=1, val_iou=0.2))
    writer.flush()
    reads = []

    def ends_after_the_first_read(method: Any) -> Any:
        def read(store: ResultsStore) -> Any:
            table = method(store)
            if not reads and store is not writer:
                writer.add_epoch(epoch_record(epoch=2, val_iou=0.9))
                writer.add_run(run_record(epochs=2, best_epoch=2, best_value=0.9))
                writer.flush()
            reads.append(method)
            return table

        return read

    for name in ("runs", "epochs"):
        monkeypatch.setattr(ResultsStore, name, ends_after_the_first_read(getattr(ResultsStore, name)))
    assert ranking_of(run_dir).rows[0].runs[0].score in (None, 0.9)
    assert ranking_of(run_dir).rows[0].runs[0].score == 0.9
    writer.close()


@pytest.mark.parametrize(
    ("noted", "missing", "final"),
    [
        ({}, 0, True),  # nothing is known but the configs themselves
        ({"configs": 4}, 6, False),
        ({"configs": 4, "planned_runs": None}, 6, False),
        ({"configs": 4, "planned_runs": 9}, 3, True),
        ({"configs": 4, "planned_runs": 6}, 0, True),
        ({"configs": 4, "planned_runs": 2}, 0, True),  # more are welcome
    ],
)
def test_runs_of_configs_not_proposed_yet_are_missing_too(
    make_run_dir: MakeRun, noted: dict[str, Any], missing: int, final: bool
) -> None:
    ranking = ranking_of(make_run_dir([[0.4, 0.41, 0.42], [0.5, 0.5, 0.5]], sweep=noted))
    assert (ranking.n_missing, ranking.plan.final) == (missing, final)
    assert [row.n_missing for row in ranking.rows] == [0, 0]


def test_to_be_absent_differs_from_every_value() -> None:
    assert varied({"a": {"cap": None, "lr": 1}, "b": {"lr": 1}}) == ("cap",)
    assert varied({"a": {"cap": None}, "b": {"cap": None}}) == ()


def test_names_say_what_tells_a_config_apart(make_run_dir: MakeRun) -> None:
    configs = [
        {"batch_size": 16, "loss": "dice-focal", "lr": 0.0034123, "amp": True, "weight_decay": 0.0},
        {"batch_size": 32, "loss": "dice-bce", "lr": 0.00012, "amp": True, "weight_decay": None},
        {"batch_size": 32, "loss": "dice-bce", "lr": 0.00012, "amp": True},
    ]
    rows = ranking_of(make_run_dir([[0.5], [0.4], [0.3]], configs=configs)).rows
    assert [row.name for row in rows] == [
        "c0 (dice-focal, lr 3.41e-3, batch_size 16)",
        "c1 (dice-bce, lr 1.2e-4, batch_size 32)",
        "c2 (dice-bce, lr 1.2e-4, batch_size 32)",
    ]
    labelled = replace(rows[0], config_id="2e70b9b5aa", label="run 2")
    assert (labelled.name, labelled.short) == ("run 2", "run 2")
    assert replace(rows[0], config_id="2e70b9b5aa").short == "2e70b9b5"
    assert ranking_of(make_run_dir([[0.5]])).rows[0].name == "c0"  # nothing varies
