"""What an audit adds to a store changes nothing that is said of the sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_sweeps import record_audit

from results import ConfigState, ResultsStore, RunStatus, judge, rank_store
from results.audited import Rows, without_audits
from results.snapshot import snapshot

MakeRun = Callable[..., Path]
SCORES = [[0.50, 0.52], [0.45, 0.47], [0.40, 0.43]]
STOPS = {(2, 0): RunStatus.STOPPED, (1, 1): RunStatus.STOPPED}


def rows_of(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    seen = snapshot(ResultsStore.read(run_dir))
    return {
        name: sorted(
            getattr(seen, name).to_pylist(),
            key=lambda row: (row["trial_key"], row["epochs" if name == "runs" else "epoch"]),
        )
        for name in ("runs", "epochs", "decisions")
    }


def said_of(run_dir: Path) -> dict[str, Any]:
    """Ranking and verdict, without the count of the audited runs and the note that tells it."""
    ranking = rank_store(ResultsStore.read(run_dir))
    verdict = judge(ranking).to_dict()
    return {"rows": ranking.rows} | {k: v for k, v in verdict.items() if k not in ("n_audits", "notes")}


@pytest.mark.parametrize("ending", [RunStatus.FINISHED, RunStatus.DIVERGED, None])
def test_the_ranking_and_the_verdict_are_those_of_the_sweep_without_the_audit(
    make_run_dir: MakeRun, ending: RunStatus | None
) -> None:
    run_dir = make_run_dir(SCORES, endings=STOPS, counts=True)
    before, rows = said_of(run_dir), rows_of(run_dir)
    record_audit(run_dir, (2, 0), 0.8, ending=ending)
    assert said_of(run_dir) == before
    changed = {"reason", "wall_seconds", "timestamp", "seed_init"}  # the builder invents these for ends
    after = rows_of(run_dir)
    assert (after["epochs"], after["decisions"]) == (rows["epochs"], rows["decisions"])
    for old, new in zip(rows["runs"], after["runs"], strict=True):
        assert {k: v for k, v in old.items() if k not in changed} == {
            k: v for k, v in new.items() if k not in changed
        }


def test_a_restored_end_says_what_the_policy_said(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir(SCORES, endings=STOPS)
    record_audit(run_dir, (2, 0), 0.8)
    store = ResultsStore.read(run_dir)
    assert (
        next(row for row in store.runs().to_pylist() if row["trial_key"] == "c2-r0")["status"] == "finished"
    )
    end = next(row for row in snapshot(store).runs.to_pylist() if row["trial_key"] == "c2-r0")
    assert (end["status"], end["stage"], end["epochs"]) == ("stopped", "screen", 3)
    assert (end["best_epoch"], end["best_value"]) == (3, pytest.approx(0.37))
    assert end["reason"] == "below the best third at epoch 3"
    assert end["wall_seconds"] == 36.0
    config = rank_store(store).row("c2")
    assert config is not None
    assert config.state is ConfigState.STOPPED


def test_the_best_of_a_restored_end_goes_by_the_direction_of_the_metric(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir(SCORES, endings=STOPS, sweep={"mode": "min"})
    record_audit(run_dir, (2, 0), 0.8)
    end = next(
        row for row in snapshot(ResultsStore.read(run_dir)).runs.to_pylist() if row["trial_key"] == "c2-r0"
    )
    assert (end["best_epoch"], end["best_value"]) == (1, pytest.approx(0.30))


def test_rows_without_an_audit_are_left_alone(make_run_dir: MakeRun) -> None:
    store = ResultsStore.read(make_run_dir(SCORES, endings=STOPS))
    rows = Rows(store.runs(), store.decisions(), store.epochs())
    assert without_audits(rows, store.sweep) is rows
