"""Export: verified, idempotent, manifest last, and silent about credentials. Run over every destination."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from results import (
    S3,
    Destination,
    ExportError,
    LocalDirectory,
    destination,
    export_model,
)

SECRET = "very-secret-value"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket that exists only in this process."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with moto.mock_aws():
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="ml-models")
        yield client


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    if request.param == "directory":
        return destination(str(tmp_path / "models" / "deep"))
    request.getfixturevalue("aws")
    return destination("s3://ml-models/landslide/v1")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "best.pt"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


def content(place: Destination, name: str) -> bytes | None:
    chunks = place.read(name)
    return None if chunks is None else b"".join(chunks)


def test_destination_gives_back_what_was_put(place: Destination) -> None:
    assert place.read("a.bin") is None
    place.put("a.bin", io.BytesIO(b"one"))
    place.put("a.bin", io.BytesIO(b"two" * 10**6))
    assert content(place, "a.bin") == b"two" * 10**6
    assert place.location("a.bin").endswith("a.bin")


def test_model_arrives_with_a_manifest_that_describes_it(place: Destination, model: Path) -> None:
    shipped = export_model(model, place, {"config": {"lr": 1e-4}})
    manifest = json.loads(content(place, "manifest.json") or b"")
    assert content(place, "landslide_model.pth") == model.read_bytes()
    assert manifest["model"] == {"name": "landslide_model.pth", "sha256": shipped.sha256, "size": 1280000}
    assert manifest["config"] == {"lr": 1e-4}
    assert not shipped.unchanged


def test_exporting_again_changes_nothing(place: Destination, model: Path) -> None:
    export_model(model, place, {})
    before = content(place, "manifest.json")
    assert export_model(model, place, {"other": 1}).unchanged
    assert content(place, "manifest.json") == before


def test_a_different_model_is_kept_unless_overwrite(place: Destination, model: Path, tmp_path: Path) -> None:
    export_model(model, place, {})
    other = tmp_path / "other.pt"
    other.write_bytes(b"other weights")
    with pytest.raises(ExportError, match=r"another model.*--overwrite"):
        export_model(other, place, {})
    assert content(place, "landslide_model.pth") == model.read_bytes()
    export_model(other, place, {}, overwrite=True)
    assert content(place, "landslide_model.pth") == b"other weights"
    assert json.loads(content(place, "manifest.json") or b"")["model"]["size"] == 13


def test_a_model_without_a_manifest_is_not_overwritten_silently(place: Destination, model: Path) -> None:
    place.put("landslide_model.pth", io.BytesIO(b"deployed by hand"))
    with pytest.raises(ExportError, match="another model"):
        export_model(model, place, {})


def test_an_export_interrupted_before_the_manifest_is_finished_by_the_next(
    place: Destination, model: Path
) -> None:
    place.put("landslide_model.pth", io.BytesIO(model.read_bytes()))
    assert not export_model(model, place, {}).unchanged
    assert content(place, "manifest.json") is not None


def test_foreign_manifest_is_left_alone(place: Destination, model: Path) -> None:
    place.put("manifest.json", io.BytesIO(b"[]"))
    with pytest.raises(ExportError, match="not a manifest of ours"):
        export_model(model, place, {}, overwrite=True)


def test_bytes_that_do_not_read_back_leave_no_manifest(model: Path, tmp_path: Path) -> None:
    class Corrupting(LocalDirectory):
        def put(self, name: str, source: Any) -> None:
            super().put(name, io.BytesIO(source.read()[:-1]))

    place = Corrupting(tmp_path / "bad")
    with pytest.raises(ExportError, match="does not read back"):
        export_model(model, place, {})
    assert place.read("manifest.json") is None


def test_interrupted_upload_leaves_neither_object_nor_manifest(aws: Any, tmp_path: Path) -> None:
    class Dying(io.RawIOBase):
        """Gives 9 MiB (a multipart upload), then the disk dies."""

        left = 9

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError(5, "Input/output error")
            return b"x" * (size if size > 0 else 1 << 20)

    place = destination("s3://ml-models/models")
    with pytest.raises(ExportError):
        place.put("landslide_model.pth", Dying())  # type: ignore[arg-type]
    assert aws.list_objects_v2(Bucket="ml-models")["KeyCount"] == 0


def test_upload_that_fails_midway_writes_no_manifest(
    aws: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = destination("s3://ml-models/models")
    assert isinstance(place, S3)

    def fails(*args: Any, **options: Any) -> None:
        raise OSError(104, f"Connection reset by peer {SECRET}")

    monkeypatch.setattr(place._client, "upload_fileobj", fails)
    with pytest.raises(ExportError, match="cannot be written") as caught:
        export_model(model, place, {})
    assert SECRET not in str(caught.value)
    assert aws.list_objects_v2(Bucket="ml-models")["KeyCount"] == 0


def test_missing_bucket_is_named(aws: Any, model: Path) -> None:
    with pytest.raises(ExportError, match=r"s3://nowhere/.*bucket does not exist"):
        export_model(model, destination("s3://nowhere"), {})


def test_missing_credentials_are_said_at_once(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(ExportError, match="no complete credentials"):
        export_model(model, destination("s3://ml-models", "http://127.0.0.1:9"), {})


def test_unreachable_endpoint_fails_within_seconds_and_names_no_secret(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    started = time.monotonic()
    with pytest.raises(ExportError, match=r"http://127\.0\.0\.1:9.*does not answer") as caught:
        export_model(model, destination("s3://ml-models", f"http://user:{SECRET}@127.0.0.1:9"), {})
    assert time.monotonic() - started < 15
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("to", "endpoint", "message"),
    [
        ("gs://bucket/x", None, "not a destination"),
        ("s3://", None, "not a destination"),
        ("models", "http://host:9000", "is for s3://bucket/prefix"),
        ("s3://bucket", "host:9000", "check --endpoint-url"),
    ],
)
def test_places_that_cannot_be_are_refused(to: str, endpoint: str | None, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        destination(to, endpoint)


def test_unwritable_directory_and_bad_names_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(ExportError, match="cannot be written"):
        export_model(model, destination(str(tmp_path / "file" / "sub")), {})
    for name in ("", "manifest.json", "a/b.pth", "..\\b.pth"):
        with pytest.raises(ExportError, match="not a file name"):
            export_model(model, destination(str(tmp_path)), {}, name=name)
    with pytest.raises(ExportError, match="cannot be read"):
        export_model(tmp_path / "gone.pt", destination(str(tmp_path)), {})
