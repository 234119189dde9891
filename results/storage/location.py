"""Where a run directory is: a folder of this machine, or a prefix in a bucket with a local copy here.

Names places; opens none of them.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from results.errors import StoreError

#: the folder of caches, as `landslide` has it (a test holds the two together): neither package may import the other.
CACHE_VARIABLE = "LANDSLIDE_TUNE_CACHE"
_NAME_LENGTH = 60


@dataclass(frozen=True)
class RunUrl:
    """A run directory in object storage.

    Attributes:
        bucket: its name.
        prefix: of all keys, without slashes around it.
        endpoint: URL of an S3-compatible server; None leaves it to ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL`` or
            the AWS configuration, otherwise Amazon's.
    """

    bucket: str
    prefix: str
    endpoint: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


#: how callers name a run directory.
RunDir = Path | str | RunUrl


def locate(run_dir: RunDir) -> Path | RunUrl:
    """The place that is meant.

    Args:
        run_dir: a path, ``s3://bucket/prefix``, or such a URL that went through `Path` and lost a slash there.

    Raises:
        StoreError: a URL of another kind, or one without bucket or prefix.
    """
    if isinstance(run_dir, RunUrl):
        return run_dir
    text = spelled(run_dir)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(run_dir)
    parts = rest.split("/")
    if scheme.lower() != "s3" or len(parts) < 2 or not all(parts) or {".", ".."} & set(parts):
        raise StoreError(f"{text} is not a run directory: give a folder or s3://bucket/prefix")
    return RunUrl(parts[0], "/".join(parts[1:]))


def spelled(place: Path | str) -> str:
    """A path as it is; a URL with one slash between its parts and the two that `Path` joins into one."""
    text = str(place)
    scheme = re.match(r"([a-z][a-z0-9+.-]+):[\\/]", text, re.IGNORECASE)  # a drive of Windows has one letter
    if scheme is None:
        return text
    parts = re.split(r"[\\/]+", text[scheme.end() :].strip("\\/"))
    return f"{scheme[1]}://{'/'.join(parts)}"


def below(run_dir: RunDir, name: str) -> str:
    """For people: the path or URL of a name in a run directory."""
    place = locate(run_dir)
    return str(place / name) if isinstance(place, Path) else f"{place}/{name}"


def local_copy(run_dir: RunDir) -> Path:
    """Where this machine has, or would have, the files of a run directory: a folder is its own copy.

    The copy of a URL holds what a bucket does not, write-ahead files. It belongs to the URL alone,
    whatever the endpoint, so that a server that is spelled in another way still finds the rows that wait for it.
    """
    place = locate(run_dir)
    if isinstance(place, Path):
        return place
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{place.bucket}-{place.prefix}")[:_NAME_LENGTH]
    digest = hashlib.sha256(str(place).encode("utf-8")).hexdigest()[:8]
    return cache_dir() / "runs" / f"{readable}-{digest}"


def cache_dir() -> Path:
    """This machine's folder of caches: LANDSLIDE_TUNE_CACHE, otherwise where the platform has them."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "landslide-tune"
