"""One way to reach S3 and compatible servers, and plain words for what goes wrong there.

Credentials come from the standard chain of boto3 and appear in no message. Knows nothing about what is stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from results.errors import ResultsError


class EndpointError(ValueError):
    """No client can be made for an endpoint; says why, without quoting it."""


def chosen_endpoint(endpoint: str | None) -> str | None:
    """The server's URL: the given one, otherwise what the environment says; None leaves it to boto3."""
    return endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def server_name(endpoint: str | None) -> str:
    """The server for messages: scheme, host and port only."""
    if not endpoint:
        return "Amazon S3"
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def s3_client(endpoint: str | None, *, connect_seconds: float, read_seconds: float) -> Any:
    """A client that fails within seconds rather than minutes: short timeouts, one retry.

    Raises:
        EndpointError: the endpoint is not an http(s) URL, or the AWS settings do not make a client.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise EndpointError("an endpoint starts with http:// or https://")
    # Checksums that older MinIO releases do not know are left out: we verify what arrived ourselves.
    # Servers that are not Amazon's are rarely reachable as bucket.host, hence the path style for them.
    config = Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"total_max_attempts": 2, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    try:
        return boto3.client("s3", endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise EndpointError(type(error).__name__) from None


#: error code of the server -> what it means and what to do.
_ADVICE = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct its name",
    "InvalidBucketName": "no bucket can have this name: correct it",
    "AccessDenied": "access is denied: these credentials may not do this in the bucket",
    "403": "access is denied: these credentials may not do this in the bucket",
    "InvalidAccessKeyId": "the server does not know the access key: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the server rejects the signature: check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have expired: renew them",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
}


@contextmanager
def explained(what: str, kind: type[ResultsError]) -> Iterator[None]:
    """Turn errors of boto3 into one of ours that quotes no request, header or key.

    Args:
        what: the beginning of the sentence, e.g. ``s3://bucket/key cannot be read on Amazon S3``.
        kind: the class of the error to raise.

    Raises:
        ResultsError: of the given kind.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        NoCredentialsError,
        PartialCredentialsError,
        ReadTimeoutError,
    )

    try:
        yield
    except ClientError as error:
        raise kind(
            f"{what}: {_ADVICE.get(code_of(error), f'the server answered {code_of(error)}')}"
        ) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise kind(
            f"{what}: no complete credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE"
        ) from None
    except (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError):
        raise kind(
            f"{what}: the server does not answer; check the endpoint (AWS_ENDPOINT_URL) and the network"
        ) from None
    except (BotoCoreError, Boto3Error, OSError) as error:
        raise kind(f"{what}: {type(error).__name__}") from None


def code_of(error: Any) -> str:
    """The error code in an answer of the server."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))
