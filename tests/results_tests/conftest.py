"""Fixtures of the results tests: recorded sweeps, and the module that builds them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `recorded_sweeps` lies beside us

from recorded_sweeps import record_scores

from results import RunStatus
from results.storage.location import CACHE_VARIABLE

if TYPE_CHECKING:
    from faulty_s3 import FaultyS3

_buckets = count()


@pytest.fixture
def make_run_dir(tmp_path: Path) -> Callable[..., Path]:
    """`record_scores` into a fresh folder of this test."""
    counter = iter(range(1000))
    return lambda scores, **options: record_scores(tmp_path / f"run{next(counter)}", scores, **options)


@pytest.fixture
def recorded_run(make_run_dir: Callable[..., Path]) -> Path:
    """Six configs x three replicates: four complete (one with a failed run), one stopped, one that failed."""
    rng = np.random.default_rng(5)
    means = np.array([0.47, 0.465, 0.43, 0.40, 0.46, 0.32])
    shared = rng.normal(0, 0.008, 3)
    scores = means[:, None] + shared[None, :] + rng.normal(0, 0.006, (6, 3))
    endings = {(3, 1): RunStatus.STOPPED, (3, 2): RunStatus.STOPPED, (2, 2): RunStatus.OUT_OF_MEMORY}
    endings |= {(5, j): RunStatus.DIVERGED for j in range(3)}
    return make_run_dir(scores, endings=endings, counts=True)


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
    return lambda machine: monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / f"machine {machine}"))


@pytest.fixture
def run_url(s3_server: FaultyS3, at: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix without objects in a bucket of its own, reached as a user reaches it."""
    import boto3

    s3_server.well()
    s3_server.seen.clear()
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers credentials, also those of other tests
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-value")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    at("a")
    bucket = f"sweeps-{next(_buckets)}"
    boto3.client("s3", endpoint_url=s3_server.endpoint).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/landslides/first"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: neither for a silent server, nor between two attempts."""
    monkeypatch.setattr("results.storage.object_store.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("results.storage.object_store.READ_SECONDS", 0.2)
    monkeypatch.setattr("results.storage.object_store.PAUSES", (0.0, 0.0))
    monkeypatch.setattr("results.storage.bucket_rows.PAUSES", (0.0, 0.0))
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
