"""Reading parquet beside a writer, and saying which file or object it is that cannot be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from results.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

_Read = TypeVar("_Read")
#: seconds between attempts: a file may vanish or, on Windows, be locked for a moment while it is replaced.
PAUSES = (0.0, 0.01, 0.05, 0.1, 0.3)


def patiently(read: Callable[[], _Read], where: Path | str) -> _Read:
    """Read again when a file was compacted away or is being replaced.

    Args:
        read: lists the files and reads them; starts from nothing at every call.
        where: for the message.

    Raises:
        StoreError: it did not work for half a second.
    """
    for pause in PAUSES:
        try:
            return read()
        except (FileNotFoundError, PermissionError):
            time.sleep(pause)
    try:
        return read()
    except (FileNotFoundError, PermissionError) as error:
        raise StoreError(f"{where} cannot be read ({error}): check its permissions") from error


def read_parquet(path: Path) -> pa.Table:
    """All rows of a file; see `parse_parquet`."""
    return parse_parquet(path, path)


def is_whole(data: bytes) -> bool:
    """Whether bytes are a parquet file, and not a part or a ruin of one."""
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            file.read()
    except (pa.ArrowException, OSError):
        return False
    return True


def parse_parquet(source: Path | pa.BufferReader, where: Path | str) -> pa.Table:
    """All rows of a file or of bytes.

    Args:
        source: what is read.
        where: for the message.

    Raises:
        StoreError: it is not a whole parquet file.
        FileNotFoundError, PermissionError: see `patiently`.
    """
    try:
        with pq.ParquetFile(source) as file:
            return file.read()
    except (FileNotFoundError, PermissionError):
        raise
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{where} is damaged ({error}): restore it from a copy; if there is none, move it away, "
            "and the rows in it are lost"
        ) from error
