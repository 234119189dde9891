"""Which run is shipped for a config, and what the manifest admits about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_sweeps import SWEEP

from results import (
    ExportError,
    LocalDirectory,
    ResultsStore,
    RunStatus,
    export_model,
    judge,
    manifest_facts,
    pick_model,
    rank_store,
)

MakeRun = Callable[..., Path]


def with_checkpoints(run_dir: Path) -> Path:
    for row in ResultsStore.read(run_dir).runs().to_pylist():
        folder = run_dir / "checkpoints" / row["trial_key"]
        folder.mkdir(parents=True)
        (folder / "best.pt").write_bytes(row["trial_key"].encode())
    return run_dir


def test_median_pick_is_the_run_nearest_the_mean_and_best_the_highest(make_run_dir: MakeRun) -> None:
    run_dir = with_checkpoints(make_run_dir([[0.40, 0.50, 0.43], [0.1, 0.1, 0.1]]))
    ranking = rank_store(ResultsStore.read(run_dir))
    assert pick_model(run_dir, ranking).trial_key == "c0-r2"
    best = pick_model(run_dir, ranking, pick="best")
    assert (best.trial_key, best.score) == ("c0-r1", 0.50)
    assert "flatters" in best.why
    assert pick_model(run_dir, ranking, "c1").config_id == "c1"


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (RunStatus.STOPPED, "of its 3 replicates 2 stopped early, so the finished ones flatter it"),
        (RunStatus.FAILED, "of its 3 replicates 2 failed, so the finished ones flatter it"),
        (None, "of its 3 replicates 2 missing"),
    ],
)
def test_the_lucky_run_of_a_config_is_not_shipped_as_its_mean(
    make_run_dir: MakeRun, ending: RunStatus | None, said: str
) -> None:
    other = 0.3 if ending else float("nan")
    endings = {(1, 1): ending, (1, 2): ending} if ending else {}
    run_dir = with_checkpoints(make_run_dir([[0.4, 0.41, 0.42], [0.9, other, other]], endings=endings))
    store = ResultsStore.read(run_dir)
    ranking = rank_store(store)
    picked = pick_model(run_dir, ranking, "c1")
    assert picked.why.startswith("the only finished run of config c1")
    assert picked.why.endswith(said)
    assert "mean" not in picked.why
    facts = manifest_facts(store, ranking, picked, judge(ranking))
    assert facts["picked"] == picked.why
    row = ranking.row("c1")
    assert row is not None
    scores = facts["config_scores"]
    assert (scores["state"], scores["n"], scores["n_stopped"], scores["n_failed"], scores["n_missing"]) == (
        row.state,
        1,
        row.n_stopped,
        row.n_failed,
        row.n_missing,
    )


def test_pick_takes_the_best_of_the_verdict_it_is_given(make_run_dir: MakeRun) -> None:
    run_dir = with_checkpoints(make_run_dir([[0.40, 0.43], [0.1, 0.1]]))
    ranking = rank_store(ResultsStore.read(run_dir))
    verdict = dataclasses.replace(judge(ranking), best="c1")
    assert pick_model(run_dir, ranking, verdict=verdict).config_id == "c1"


def test_pick_refuses_what_cannot_be_shipped(make_run_dir: MakeRun) -> None:
    run_dir = make_run_dir(
        [[0.4, 0.5], [0.3, 0.3]], endings={(1, 0): RunStatus.FAILED, (1, 1): RunStatus.FAILED}
    )
    ranking = rank_store(ResultsStore.read(run_dir))
    for options, message in (
        ({"config": "zz"}, "no config matches 'zz': choose one of c0, c1"),
        ({"config": "c"}, "more than one config matches"),
        ({"config": "c1"}, "no run that finished"),
        ({"config": "c0"}, "kept no checkpoint"),
        ({"pick": "worst"}, "choose one of median, best"),
    ):
        with pytest.raises(ExportError, match=message):
            pick_model(run_dir, ranking, **options)  # type: ignore[arg-type]


def test_without_a_result_there_is_no_default_config(tmp_path: Path) -> None:
    ResultsStore.create(tmp_path / "run", SWEEP).close()
    ranking = rank_store(ResultsStore.read(tmp_path / "run"))
    with pytest.raises(ExportError, match="name a --config"):
        pick_model(tmp_path / "run", ranking)


def test_manifest_says_where_the_model_comes_from(recorded_run: Path, tmp_path: Path) -> None:
    store = ResultsStore.read(with_checkpoints(recorded_run))
    ranking = rank_store(store)
    picked = pick_model(recorded_run, ranking)
    facts = manifest_facts(store, ranking, picked, judge(ranking))
    export_model(picked.path, LocalDirectory(tmp_path / "out"), facts)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["config"]["backbone"] == "resnet34"
    assert manifest["run"]["seed_order"] == 2
    assert manifest["run"]["val_iou"] == picked.score
    assert manifest["run"]["epoch"] == 5
    assert manifest["sweep"]["data_id"] == "data0001"
    assert manifest["verdict"]["sentence"]
    assert set(manifest["config_scores"]["by_replicate"]) == {"0", "1", "2"}
