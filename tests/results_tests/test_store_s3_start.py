"""Before a sweep starts in a bucket: what is wrong with the place is said at once, and nothing is left there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bucket_sweeps import objects
from faulty_s3 import FaultyS3
from recorded_sweeps import SWEEP

from results import ResultsStore, StoreError
from results.storage.admission import refuse_taken, refuse_unwritable, stored_sweep
from results.storage.location import CACHE_VARIABLE, RunUrl

SECRET = "very-secret-value"
pytestmark = pytest.mark.usefixtures("impatient")


@pytest.mark.parametrize("fault", ["500", "reset", "silence"])
def test_a_sweep_does_not_start_on_a_server_that_fails(
    run_url: str, s3_server: FaultyS3, fault: str, tmp_path: Path
) -> None:
    s3_server.ill(fault)
    for attempt in (stored_sweep, refuse_unwritable, ResultsStore.read, ResultsStore.open):
        with pytest.raises(StoreError, match=run_url):
            attempt(run_url)
    with pytest.raises(StoreError, match=run_url):
        ResultsStore.create(run_url, SWEEP)
    s3_server.ill(fault, method="PUT")
    with pytest.raises(StoreError, match=run_url):
        ResultsStore.create(run_url, SWEEP)
    s3_server.well()
    ResultsStore.create(run_url, SWEEP).close()  # the attempts left nothing in the way


def test_what_is_wrong_with_the_place_is_said_within_seconds_and_without_secrets(
    run_url: str, s3_server: FaultyS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = run_url.split("/")[2]
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))

    def said(place: RunUrl) -> str:
        started = time.monotonic()
        with pytest.raises(StoreError) as caught:
            refuse_taken(place, "")
        assert time.monotonic() - started < 15
        assert SECRET not in str(caught.value)
        return str(caught.value)

    assert "the bucket does not exist" in said(RunUrl("no-such-bucket", "run"))
    assert "http://127.0.0.1:9: the server does not answer" in said(
        RunUrl(bucket, "run", f"http://user:{SECRET}@127.0.0.1:9")
    )
    assert "an endpoint starts with http" in said(RunUrl(bucket, "run", "127.0.0.1:9000"))
    s3_server.fault = lambda method, path: "500" if method == "GET" else None
    assert "the server answered" in said(RunUrl(bucket, "run"))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers them
    assert "no complete credentials were found" in said(RunUrl(bucket, "run"))


def test_a_prefix_is_tried_out_and_left_as_it_was(run_url: str, s3_server: FaultyS3) -> None:
    refuse_taken(run_url, "")
    refuse_unwritable(run_url)
    assert not objects(run_url).names()
    assert stored_sweep(run_url) is None
    for method in ("PUT", "DELETE"):
        s3_server.ill("503", method=method)
        with pytest.raises(StoreError, match="probe cannot be"):
            refuse_unwritable(run_url)


def test_a_local_copy_that_cannot_be_made_is_told(
    run_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: Callable[[str], None]
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(StoreError, match=f"{CACHE_VARIABLE}"):
        refuse_unwritable(run_url)
    with pytest.raises(StoreError, match="cannot be written"):
        ResultsStore.create(run_url, SWEEP)
    at("a")
    ResultsStore.create(run_url, SWEEP).close()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(StoreError, match=f"{CACHE_VARIABLE}"):
        ResultsStore.open(run_url)
