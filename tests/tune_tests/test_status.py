"""How far a sweep is: counts that add up, also when runs died before their first epoch."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

sys.path.append(str(Path(__file__).parent.parent / "results_tests"))  # importlib mode does not

from recorded_sweeps import decision_record, epoch_record, record_scores, run_record

from results import ResultsStore, RunRecord, RunStatus
from tune.cli import main
from tune.execution import Execution
from tune.recorder import Recorder
from tune.status import SweepStatus, follow, sweep_status
from tune.sweep_file import declare
from tune.trial import RunEnd

TWO = {"replicates": 2}
OPTIONS = {"configs": 3, "seeds": 1, "policy": "none"}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """3 configs, one seed: one finished, one died before its first epoch, one is running."""
    sweep = declare("smoke", data_dir=Path("d"), options=OPTIONS, pins={})
    about = {"sweep_id": "s", "metric": "val_iou", "mode": "max", "max_epochs": 30}
    with ResultsStore.create(
        tmp_path / "run", {**about, "name": "toy", "replicates": 1, "configs": 3}
    ) as store:
        recorder = Recorder(store, sweep_id="s", checkpoints=tmp_path, warn=pytest.fail)
        execution = Execution(sweep, store, recorder=recorder, node="here")
        first, second, third = (execution.next_trial() for _ in range(3))
        assert first is not None
        assert second is not None
        assert third is not None
        execution.on_epoch(first, epoch(1, 0.4))
        execution.on_end(first, RunEnd("finished", "ran all epochs"))
        execution.on_end(second, RunEnd("failed", "no"))
        execution.on_epoch(third, epoch(1, 0.3))
        execution.on_epoch(third, epoch(2, None))
    return tmp_path / "run"


def epoch(number: int, value: float | None) -> Mapping[str, Any]:
    return {"epoch": number, "val_iou": value, "device": "cpu", "epoch_seconds": 1.0}


def test_the_counts_add_up(run_dir: Path) -> None:
    status = sweep_status(run_dir)
    assert (status.planned, status.ended, status.epochs) == (3, 2, 3)
    assert status.by_status == {"finished": 1, "failed": 1, "unfinished": 1}
    assert (status.best, status.best_trial is not None) == (0.4, True)
    assert status.last_row is not None
    assert not status.over


def test_the_command_prints_them_as_text_and_as_json(run_dir: Path) -> None:
    text = CliRunner().invoke(main, ["status", str(run_dir)])
    assert "2 of 3 runs ended" in text.stdout
    assert "not a verdict" in text.stdout
    assert json.loads(CliRunner().invoke(main, ["status", str(run_dir), "--json"]).stdout)["ended"] == 2


def test_a_sweep_that_nobody_runs_says_how_to_go_on(run_dir: Path) -> None:
    def said(*flags: str) -> str:
        return CliRunner().invoke(main, ["status", str(run_dir), *flags]).stdout

    hint = f"not running: go on with landslide-tune sweep --resume --out {run_dir}"
    with ResultsStore.open(run_dir):
        assert sweep_status(run_dir).running
        assert "not running" not in said()
    assert sweep_status(run_dir).running is False
    assert said().splitlines()[-1] == hint
    with ResultsStore.open(run_dir) as store:  # looking has not taken the lock
        store.add_run(missing_end(store))
        store.note({"ended": "every run has ended"})
    assert "not running" not in said()


def test_watching_ends_with_the_sweep(run_dir: Path) -> None:
    """Each pause lets the sweep go on a little: one more epoch, then the last end."""
    shown: list[SweepStatus] = []

    def pause() -> None:
        sweep = declare("smoke", data_dir=Path("d"), options=OPTIONS, pins={})
        with ResultsStore.open(run_dir) as store:
            recorder = Recorder(store, sweep_id="s", checkpoints=run_dir, warn=pytest.fail)
            execution = Execution(sweep, store, recorder=recorder, node="here")
            third = execution.next_trial()
            assert third is not None
            if len(shown) == 1:
                execution.on_epoch(third, epoch(3, 0.5))
            else:
                execution.on_end(third, RunEnd("finished", "ran all epochs"))
                assert execution.next_trial() is None
                store.note({"planned_runs": execution.planned, "ended": execution.ended})

    last = follow(lambda: sweep_status(run_dir), shown.append, pause)
    assert [(s.ended, s.epochs, s.over) for s in shown] == [(2, 3, False), (2, 4, False), (3, 4, True)]
    assert last.best == 0.5


def test_the_command_watches_into_a_pipe_line_by_line(run_dir: Path) -> None:
    with ResultsStore.open(run_dir) as store:
        store.add_run(missing_end(store))
        store.note({"ended": "every run has ended"})
    result = CliRunner().invoke(main, ["status", str(run_dir), "--watch", "--json"])
    assert [json.loads(line)["over"] for line in result.stdout.splitlines()] == [True]
    assert "3 of 3 runs ended" in CliRunner().invoke(main, ["status", str(run_dir), "--watch"]).stdout
    wrong = CliRunner().invoke(main, ["status", str(run_dir), "--watch", "--every", "0"])
    assert wrong.exit_code == 2
    assert "--every" in wrong.stderr


def test_a_sweep_whose_finalists_are_being_trained_is_not_over(tmp_path: Path) -> None:
    """Neither when the finalists were chosen, nor when one is under way; a store need not say how many configs."""
    run_dir = record_scores(
        tmp_path / "run", [[0.4, 0.5], [0.6, 0.3]], endings={(0, 0): RunStatus.STOPPED}, sweep=TWO
    )
    with ResultsStore.open(run_dir) as store:

        def now() -> tuple[object, ...]:
            store.flush()
            found = sweep_status(run_dir)
            return found.planned, found.ended, dict(found.by_status), found.over

        assert now() == (4, 4, {"finished": 3, "stopped": 1}, True)
        store.add_decision(decision_record(action="complete"))
        assert now() == (4, 4, {"finished": 3, "stopped": 1}, False)
        store.add_epoch(epoch_record(epoch=4, stage="allocate"))
        assert now() == (4, 3, {"finished": 3, "unfinished": 1}, False)
        store.add_run(run_record(epochs=4, stage="allocate"))
        assert now() == (4, 4, {"finished": 4}, True)
        store.compact()
        assert now() == (4, 4, {"finished": 4}, True)


def test_a_search_that_notes_its_end_is_over_when_it_has_noted_it(tmp_path: Path) -> None:
    """Every run has ended between the last one of a stage and the first one of the next: that is not the end."""
    sweep = {"replicates": 0, "configs": 2, "budget_epochs": 30}
    run_dir = record_scores(tmp_path / "run", [[0.4], [0.6]], sweep=sweep)
    with ResultsStore.open(run_dir) as store:
        store.add_decision(decision_record(action="start", epoch=0, rung=None, event=1))
        store.add_epoch(epoch_record(trial_key="c0-r1000", epoch=1, stage="confirm", replicate=1000, event=2))
        store.add_run(run_record(trial_key="c0-r1000", stage="confirm", replicate=1000, event=3))
        store.flush()
        found = sweep_status(run_dir)
        assert (found.planned, found.ended, found.confirmations, found.over) == (None, 2, 1, False)
        assert (found.epochs - found.search_epochs, found.budget_epochs) == (1, 30)
        store.note({"planned_runs": 2, "ended": "the budget is spent"})
        found = sweep_status(run_dir)
        assert (found.planned, found.over, found.reason) == (2, True, "the budget is spent")
    text = CliRunner().invoke(main, ["status", str(run_dir)]).stdout
    assert "by stage       2 screen, 1 confirm" in text
    assert f"2 of 2 runs ended, {found.epochs} epochs (the search {found.search_epochs} of 30)" in text
    assert "ended: the budget is spent" in text


def test_a_paused_run_is_neither_ended_nor_under_way(tmp_path: Path) -> None:
    run_dir = record_scores(tmp_path / "run", [[0.4]], sweep={"replicates": 1})
    with ResultsStore.open(run_dir) as store:
        key = {"trial_key": "c1-r0", "config_id": "c1"}
        store.add_epoch(epoch_record(**key, epoch=1, event=2))
        store.add_decision(decision_record(**key, action="start", epoch=0, rung=None, event=1))
        store.add_decision(decision_record(**key, action="pause", epoch=1, rung=1, event=2))
    found = sweep_status(run_dir)
    assert (found.ended, dict(found.by_status), found.over) == (1, {"finished": 1, "paused": 1}, False)


def test_a_resumed_run_is_under_way_before_it_reports_an_epoch(tmp_path: Path) -> None:
    run_dir = record_scores(tmp_path / "run", [[0.4]], sweep={"replicates": 1})
    key = {"trial_key": "c1-r0", "config_id": "c1"}
    with ResultsStore.open(run_dir) as store:
        store.add_epoch(epoch_record(**key, epoch=1, event=2))
        store.add_decision(decision_record(**key, action="stop", epoch=1, rung=1, event=2))
        store.add_run(run_record(**key, status=RunStatus.STOPPED, epochs=1, event=2))
        store.flush()
        assert sweep_status(run_dir).by_status == {"finished": 1, "stopped": 1}
        store.add_decision(decision_record(**key, action="resume", epoch=1, rung=None, event=3))
        store.flush()
        found = sweep_status(run_dir)
        assert (found.ended, found.by_status) == (1, {"finished": 1, "unfinished": 1})
        store.add_run(run_record(**key, status=RunStatus.FINISHED, epochs=1, stage="allocate", event=4))
        store.flush()
        assert sweep_status(run_dir).by_status == {"finished": 2}


def test_confirmations_are_extra_and_the_best_run_is_the_lowest_when_lower_is_better(tmp_path: Path) -> None:
    run_dir = record_scores(
        tmp_path / "run", [[0.4, 0.1], [0.6, np.nan]], confirm_from=1, sweep={"mode": "min", "configs": 3}
    )
    found = sweep_status(run_dir)
    assert (found.planned, found.ended, found.confirmations, found.over) == (3, 2, 1, False)
    assert (found.best, found.best_trial) == (pytest.approx(0.3), "c0-r0")
    text = CliRunner().invoke(main, ["status", str(run_dir)]).stdout
    assert "confirmations  1 (extra" in text


def missing_end(store: ResultsStore) -> RunRecord:
    """The end of the run that has none."""
    ended = store.runs().to_pylist()
    going_on = next(
        row for row in store.epochs().to_pylist() if row["trial_key"] not in {e["trial_key"] for e in ended}
    )
    who = {name: going_on[name] for name in ("trial_key", "config_id", "replicate")}
    return RunRecord(**{**ended[0], **who, "status": RunStatus.FINISHED})


def test_a_folder_that_is_no_run_directory(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["status", str(tmp_path)])
    assert result.exit_code == 2
    assert "sweep.json" in result.stderr
