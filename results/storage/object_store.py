"""The objects under a URL, such as a run directory's: list, get, put, delete, each checked for having arrived whole.

Moves bytes. What is stored in which order, and what may be replaced, is decided in `mirror.py` and `twin.py`.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from results.errors import StoreError
from results.storage.location import RunUrl
from results.storage.s3_client import (
    EndpointError,
    chosen_endpoint,
    code_of,
    explained,
    s3_client,
    server_name,
)

#: seconds until a connection, and until the next bytes, before a request counts as failed; it is tried twice.
CONNECT_SECONDS = 4.0
READ_SECONDS = 6.0
#: seconds between attempts to read a body that breaks off.
PAUSES = (0.1, 0.5)
#: requests at a time, for many small objects.
_CONNECTIONS = 8


@dataclass(frozen=True)
class Stored:
    """What a listing says about an object."""

    size: int
    etag: str  #: MD5 of the content in most cases, but not with some kinds of encryption

    def is_surely(self, data: bytes) -> bool:
        """True when size and checksum say that it is this content; False may mean that it cannot be told."""
        return self.size == len(data) and self.etag == md5(data).hex()


class RunObjects:
    """The objects under one URL, by their names below its prefix. Every method may be called from any thread.

    Raises:
        StoreError: the endpoint is not an http(s) URL, or no client can be made. Also raised by every method when
            the server does not do what it should, within seconds.
    """

    def __init__(self, url: RunUrl) -> None:
        self.url = url
        endpoint = chosen_endpoint(url.endpoint)
        self._server = server_name(endpoint)
        try:
            self._client = s3_client(endpoint, connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS)
        except EndpointError as error:
            raise StoreError(
                f"no S3 client for {url} on {self._server} ({error}): check AWS_ENDPOINT_URL and the AWS_* settings"
            ) from None

    def names(self, folder: str = "", *, at_most: int | None = None) -> dict[str, Stored]:
        """Everything there, or in one folder, e.g. ``epochs/``; as many as wanted."""
        start = self._key("")
        with self._explained(folder, "listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.url.bucket, Prefix=self._key(folder), PaginationConfig={"MaxItems": at_most}
            )
            return {
                item["Key"][len(start) :]: Stored(item["Size"], item["ETag"].strip('"'))
                for page in pages
                for item in page.get("Contents", ())
            }

    def get(self, name: str) -> bytes:
        """The content of an object; a body that breaks off is asked for again.

        Raises:
            FileNotFoundError: there is no such object.
        """
        from botocore.exceptions import BotoCoreError

        for pause in PAUSES:
            body = self._body(name)
            try:
                return bytes(body.read())
            except BotoCoreError:  # it broke off: the client repeats requests, but not bodies
                time.sleep(pause)
        with self._explained(name, "read whole"):
            return bytes(self._body(name).read())

    def get_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Several objects, some at a time.

        Raises:
            FileNotFoundError: one of them is gone.
        """
        wanted = list(names)
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            return dict(zip(wanted, pool.map(self.get, wanted), strict=True))

    def notes(self, name: str) -> dict[str, str]:
        """What was noted with an object when it was stored; empty if there is none.

        Its content is not read.
        """
        from botocore.exceptions import ClientError

        with self._explained(name, "read"):
            try:
                answer = self._client.head_object(Bucket=self.url.bucket, Key=self._key(name))
            except ClientError as error:
                if code_of(error) not in ("404", "NoSuchKey"):
                    raise
                return {}
        return dict(answer.get("Metadata", {}))

    def put(
        self, name: str, data: bytes, *, new: bool = False, notes: Mapping[str, str] | None = None
    ) -> None:
        """Store an object, all or nothing, and make sure that it arrived.

        Args:
            name: below the prefix.
            data: the content.
            new: refuse to replace an object. A server that cannot promise that is asked without it.
            notes: short texts by lower-case names that are stored with it.

        Raises:
            FileExistsError: `new`, and another content is there.
        """
        with self._explained(name, "written"):
            sent = self._send_new(name, data) if new else self._send(name, data, {"Metadata": notes or {}})
        if sent is None:
            if self.get(name) == data:
                return  # it was ours: the answer to an earlier attempt got lost
            raise FileExistsError(f"{self._where(name)} holds something else")
        if sent != md5(data).hex():
            stored = self.names(name).get(name)  # encrypted, perhaps: then the size must do
            if stored is None or stored.size != len(data):
                raise StoreError(f"{self._where(name)} did not arrive whole")

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; those that are gone already count as removed."""

        def remove(name: str) -> None:
            with self._explained(name, "removed"):
                self._client.delete_object(Bucket=self.url.bucket, Key=self._key(name))

        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(remove, names))

    def _body(self, name: str) -> Any:
        """The answer's stream."""
        from botocore.exceptions import ClientError

        with self._explained(name, "read"):
            try:
                return self._client.get_object(Bucket=self.url.bucket, Key=self._key(name))["Body"]
            except ClientError as error:
                if code_of(error) != "NoSuchKey":
                    raise
        raise FileNotFoundError(f"{self._where(name)} does not exist")

    def _send_new(self, name: str, data: bytes) -> str | None:
        """The checksum that the server has computed; None when there is an object of this name."""
        from botocore.exceptions import ClientError

        try:
            return self._send(name, data, {"IfNoneMatch": "*"})
        except ClientError as error:
            if code_of(error) == "PreconditionFailed":
                return None
            if code_of(error) != "NotImplemented":
                raise
        return self._send(name, data)

    def _send(self, name: str, data: bytes, further: Mapping[str, Any] | None = None) -> str:
        answer = self._client.put_object(
            Bucket=self.url.bucket,
            Key=self._key(name),
            Body=data,
            ContentMD5=base64.b64encode(md5(data)).decode("ascii"),
            **(further or {}),
        )
        return str(answer["ETag"]).strip('"')

    def _key(self, name: str) -> str:
        return f"{self.url.prefix}/{name}"

    def _where(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _explained(self, name: str, verb: str) -> AbstractContextManager[None]:
        return explained(f"{self._where(name)} cannot be {verb} on {self._server}", StoreError)


def md5(data: bytes) -> bytes:
    """The checksum that S3 knows; it guards against accidents, not against people."""
    return hashlib.md5(data, usedforsecurity=False).digest()
