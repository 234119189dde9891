"""Where a model can be shipped: a directory, or a bucket of S3 or MinIO.

A destination moves bytes and says where they are. What is written in which order, and whether it arrived, is
decided in `export.py`. Credentials come from the standard chain of boto3 and appear in no message.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from results.errors import ExportError
from results.storage.atomic import replace_file
from results.storage.s3_client import (
    EndpointError,
    chosen_endpoint,
    code_of,
    explained,
    s3_client,
    server_name,
)

_CHUNK = 1 << 20


class Destination(Protocol):
    """A flat place for named files. Every method raises `ExportError` when the place does not work."""

    def put(self, name: str, source: BinaryIO) -> None:
        """Store the rest of `source` under the name, replacing what is there, all or nothing."""

    def read(self, name: str) -> Iterator[bytes] | None:
        """What is stored under the name, in chunks; None if there is nothing."""

    def location(self, name: str) -> str:
        """For people: the path or URL of the name."""


def destination(to: str, endpoint: str | None = None) -> Destination:
    """The destination that a user names.

    Args:
        to: a directory, or ``s3://bucket[/prefix]``.
        endpoint: URL of an S3-compatible server; otherwise ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``,
            otherwise Amazon's.

    Raises:
        ExportError: another kind of URL, no bucket, or an endpoint for a directory.
    """
    scheme, separator, rest = to.partition("://")
    if not separator:
        if endpoint:
            raise ExportError(f"--endpoint-url is for s3://bucket/prefix, not for the directory {to}")
        return LocalDirectory(Path(to))
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ExportError(f"{to} is not a destination: give a directory or s3://bucket/prefix")
    return S3(bucket, prefix, endpoint)


class LocalDirectory:
    """A directory, made when it is first written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, source: BinaryIO) -> None:
        """Copy to a temporary name in the directory and rename."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._folder / name, lambda file: shutil.copyfileobj(source, file, _CHUNK))
        except OSError as error:
            raise ExportError(
                f"{self.location(name)} cannot be written ({error}): choose another --to"
            ) from error

    def read(self, name: str) -> Iterator[bytes] | None:
        """The file, if there is one."""
        try:
            file = (self._folder / name).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ExportError(f"{self.location(name)} cannot be read ({error})") from error
        return _chunks(file)

    def location(self, name: str) -> str:
        """The path."""
        return str(self._folder / name)


def _chunks(file: Any) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


class S3:
    """A prefix in a bucket of S3 or a compatible server.

    Fails within seconds rather than minutes: short timeouts, one retry.

    Raises:
        ExportError: the endpoint is not an http(s) URL, or no client can be made.
    """

    def __init__(self, bucket: str, prefix: str = "", endpoint: str | None = None) -> None:
        endpoint = chosen_endpoint(endpoint)
        self._bucket, self._prefix = bucket, prefix.strip("/")
        self._server = server_name(endpoint)
        try:
            self._client = s3_client(endpoint, connect_seconds=4, read_seconds=30)
        except EndpointError as error:
            raise ExportError(
                f"no S3 client for {self._server} ({error}): check --endpoint-url and the AWS_* settings"
            ) from None

    def put(self, name: str, source: BinaryIO) -> None:
        """Upload, in parts when it is large; an interrupted upload leaves no object."""
        with self._explained(name, "written"):
            self._client.upload_fileobj(source, self._bucket, self._key(name))

    def read(self, name: str) -> Iterator[bytes] | None:
        """The object, if there is one."""
        from botocore.exceptions import ClientError

        with self._explained(name, "read"):
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"]
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise
        return self._stream(name, body)

    def location(self, name: str) -> str:
        """The s3:// URL."""
        return f"s3://{self._bucket}/{self._key(name)}"

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _stream(self, name: str, body: Any) -> Iterator[bytes]:
        with self._explained(name, "read"):
            yield from body.iter_chunks(_CHUNK)

    def _explained(self, name: str, verb: str) -> AbstractContextManager[None]:
        return explained(f"{self.location(name)} cannot be {verb} on {self._server}", ExportError)
