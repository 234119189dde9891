"""Fixtures of the tune tests: a bucket on this machine, reached as a user reaches it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parent.parent / "results_tests"))  # `faulty_s3` lies there

if TYPE_CHECKING:
    from faulty_s3 import FaultyS3

_buckets = count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[FaultyS3]:
    """An S3 server on this machine whose answers can be spoiled."""
    pytest.importorskip("moto")
    from faulty_s3 import faulty_s3

    with faulty_s3() as server:
        yield server


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go on at another machine: one with caches of its own. Every test begins at `a`."""
    return lambda machine: monkeypatch.setenv("LANDSLIDE_TUNE_CACHE", str(tmp_path / f"machine {machine}"))


@pytest.fixture
def bucket(s3_server: FaultyS3, at: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket without objects. Nobody waits: neither for a silent server, nor between two attempts."""
    import boto3

    s3_server.well()
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers credentials, also those of other tests
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-value")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("results.storage.object_store.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("results.storage.object_store.READ_SECONDS", 0.5)
    for module in ("object_store", "bucket_rows", "downloads", "kept_checkpoints"):
        monkeypatch.setattr(f"results.storage.{module}.PAUSES", (0.0, 0.0))
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    at("a")
    name = f"tune-{next(_buckets)}"
    boto3.client("s3", endpoint_url=s3_server.endpoint).create_bucket(Bucket=name)
    s3_server.seen.clear()
    return f"s3://{name}"
