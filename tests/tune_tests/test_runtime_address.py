"""Where a sweep runs and where its rows go, refused before anything starts; and what Ray prints. No Ray runs."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from results.storage.location import RunUrl, locate
from tune.cli import main
from tune.errors import SweepError
from tune.launch import Place, run
from tune.runtime import RayPrints, address_problems, upload_problems
from tune.sweep_file import declare


def sweep(*words: str, **variables: str) -> Result:
    return CliRunner().invoke(main, ["sweep", "smoke", "--data", "no such folder", *words], env=variables)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "https://head.example.com", "ray://head:10001"])
def test_a_job_servers_address_is_no_runtime(address: str, tmp_path: Path) -> None:
    given = sweep("--address", address, "--out", str(tmp_path / "out"))
    named = sweep("--out", str(tmp_path / "out"), RAY_ADDRESS=address)
    for result in (given, named):
        assert result.exit_code == 2
        assert f"ray job submit --address {address}" in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_in_this_process_no_address_counts() -> None:
    assert Place(in_process=True, address="http://127.0.0.1:8265").problems() == []


@pytest.mark.parametrize("address", [None, "auto", "head:6379", "127.0.0.1:6379", "[::1]:6379"])
def test_an_address_of_a_runtime_is_left_to_ray(address: str | None) -> None:
    assert address_problems(address) == []


def test_a_run_directory_in_an_uploaded_working_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded = tmp_path / "session" / "runtime_resources" / "working_dir_files" / "_ray_pkg_0123"
    uploaded.mkdir(parents=True)
    monkeypatch.chdir(uploaded)
    (problem,) = upload_problems(Path("runs/smoke"))
    assert "lost with the cluster" in problem
    assert upload_problems(tmp_path / "runs") == []
    assert upload_problems(locate("s3://bucket/runs")) == []
    result = sweep("--address", "auto")
    assert (result.exit_code, "lost with the cluster" in " ".join(result.stderr.split())) == (2, True)
    assert list(uploaded.iterdir()) == []


def test_a_server_that_trials_would_not_know_is_refused_without_quoting_it() -> None:
    server = "http://user:very-secret@127.0.0.1:9"
    there = RunUrl("bucket", "data", server)
    with pytest.raises(SweepError) as caught:
        run(declare("smoke", data_dir=there, options={}, pins={}), RunUrl("bucket", "runs", server))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["out", "data"]
    assert all("AWS_ENDPOINT_URL" in problem for problem in caught.value.problems)
    assert "very-secret" not in str(caught.value)


@pytest.mark.ray
def test_the_log_of_a_node_that_was_killed_is_kept_off_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As Ray prints what a node's agents say of its end; what else it has to say stays, and nothing is on stdout."""
    from ray._private.worker import print_to_stdstream

    with redirect_stdout(RayPrints()):
        for said in (
            "Raylet is terminated. Last 20 lines of the Raylet logs:\n    [state-dump] x\n",
            "no disk",
        ):
            print_to_stdstream({"lines": [said], "pid": "raylet", "is_err": False}, ignore_prefix=False)
        sys.stdout.write("a user's own line\n")
    told = capsys.readouterr()
    assert told.out == ""
    assert "state-dump" not in told.err
    assert [line.split()[-2:] for line in told.err.splitlines()] == [["no", "disk"], ["own", "line"]]
