"""The commands of `landslide-tune` on a run directory in a bucket, from the machine that wrote it and from others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bucket_sweeps import objects, rows_of
from click.testing import CliRunner, Result
from faulty_s3 import FaultyS3
from recorded_sweeps import record_audit, record_scores

from landslide import synthesize
from results import ResultsStore, RunStatus
from tune.cli import main

SCORES = [[0.40, 0.41, 0.40], [0.50, 0.51, 0.505]]


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def recorded(run_url: str) -> str:
    """Two configs on three seeds."""
    record_scores(run_url, SCORES, sweep={"configs": 2})
    return run_url


def test_status_and_report_say_the_same_as_of_a_folder(
    recorded: str, at: Callable[[str], None], tmp_path: Path
) -> None:
    folder = record_scores(tmp_path / "folder", SCORES, sweep={"configs": 2})
    at("b")
    told, expected = (json.loads(invoke("status", place, "--json").stdout) for place in (recorded, folder))
    assert (told.pop("running"), expected.pop("running")) == (None, False)  # others may write to a bucket
    assert told == expected
    result = invoke("report", recorded)
    assert result.exit_code == 0, result.output
    assert result.stdout == invoke("report", folder).stdout
    assert f"report: {recorded}/report.html" in result.stderr
    verdict = json.loads(objects(recorded).get("verdict.json"))
    assert verdict == json.loads((folder / "verdict.json").read_text("utf-8"))
    assert {"report.html", "report.md"} <= objects(recorded).names().keys()


def test_export_says_where_no_checkpoint_is(recorded: str, at: Callable[[str], None], tmp_path: Path) -> None:
    at("b")
    result = invoke("export", recorded, "--to", tmp_path / "model")
    assert result.exit_code == 2
    assert f"best.pt is missing, and {recorded} has none" in result.stderr


def test_audit_answers_from_the_rows_and_says_where_the_checkpoints_are(
    run_url: str, at: Callable[[str], None], tmp_path: Path
) -> None:
    scores = [*SCORES, [0.30, 0.31, 0.32]]
    places: list[str | Path] = [run_url, tmp_path / "folder"]
    for place in places:
        stopped = {(2, 0): RunStatus.STOPPED, (2, 1): RunStatus.STOPPED}
        record_scores(place, scores, sweep={"configs": 3}, endings=stopped)  # type: ignore[arg-type]
        record_audit(place, (2, 0), 0.45)  # type: ignore[arg-type]
    at("b")
    result, same = (
        invoke("audit", place, "--sample", 0, "--policy", "asha", "--replays", 3) for place in places
    )
    assert result.exit_code == 0, result.output
    assert "Of 2 stopped runs 1 was run to its end" in result.stdout
    assert result.stdout == same.stdout
    assert json.loads(objects(run_url).get("audit.json")) == json.loads(
        (places[1] / "audit.json").read_text("utf-8")
    )  # type: ignore[operator]
    refused = invoke("audit", run_url)
    assert refused.exit_code == 2
    assert "c2-r1" in refused.stderr
    assert "run the audit where the sweep was run" in refused.stderr


def test_a_sweep_is_refused_before_its_data_are_opened(
    recorded: str, s3_server: FaultyS3, tmp_path: Path
) -> None:
    (tmp_path / "no dataset").mkdir()
    start = ("sweep", "smoke", "--data", tmp_path / "no dataset", "--in-process", "--out")
    for place, message in (
        (recorded, "holds another sweep"),
        ("s3://no-such-bucket/run", "the bucket does not exist"),
        ("s3://no-prefix", "give a folder or s3://bucket/prefix"),
        ("gs://bucket/run", "give a folder or s3://bucket/prefix"),
    ):
        result = invoke(*start, place)
        assert result.exit_code == 2
        assert message in result.stderr
    for resume in ([], ["--resume"]):
        s3_server.ill("503", method="PUT")
        result = invoke(*start, f"{recorded}/new", *resume)
        assert result.exit_code == 2
        assert ("cannot be written" if not resume else "has no sweep.json") in result.stderr


@pytest.mark.slow
def test_a_sweep_into_a_bucket_records_what_one_into_a_folder_does(
    run_url: str, at: Callable[[str], None], tmp_path: Path
) -> None:
    synthesize(tmp_path / "data", patches=24, size=64, seed=0)
    sweep = ("sweep", "smoke", "--data", tmp_path / "data", "--in-process", "--policy", "none")
    size = ("--configs", 1, "--seeds", 2, "--max-epochs", 2)
    first = invoke(*sweep, *size, "--out", tmp_path / "folder")
    second = invoke(*sweep, *size, "--out", run_url)
    assert (first.exit_code, second.exit_code) == (0, 0), second.output
    assert second.stdout == first.stdout
    assert f"report:  {run_url}/report.html" in second.stderr
    assert invoke("export", run_url, "--to", tmp_path / "model").exit_code == 0
    again = invoke(*sweep, *size, "--out", run_url, "--resume")
    assert again.exit_code == 0
    at("b")
    here, there = rows_of(ResultsStore.read(tmp_path / "folder")), rows_of(ResultsStore.read(run_url))
    assert [row["val_iou"] for row in there["epochs"]] == [row["val_iou"] for row in here["epochs"]]
    assert there["patches"] == here["patches"]
    assert {"report.html", "report.md", "verdict.json"} <= objects(run_url).names().keys()
