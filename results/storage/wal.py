"""The write-ahead file: rows of one table that are on disk but not yet in a parquet part.

An Arrow IPC stream to which whole record batches are appended and forced to disk. A torn tail (kill -9,
full disk, power loss) costs the last, unacknowledged batch and nothing else. No schema is decided here.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pyarrow as pa


class WriteAheadFile:
    """An append-only Arrow IPC stream, forced to disk at every append.

    Args:
        path: a file that does not exist yet.
        schema: the schema of every batch.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self._file = path.open("xb", buffering=0)
        self._good = 0
        try:
            self._write(schema.serialize())
        except OSError:
            self._file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def append(self, batch: pa.RecordBatch) -> None:
        """Write one batch and force it to disk; when this returns, the rows survive kill -9 and power loss.

        Raises:
            OSError: nothing of the batch counts as written; the file ends with the batch before it.
        """
        self._write(batch.serialize())

    def close(self) -> None:
        """Close the file; it stays until the caller has folded its rows into a part."""
        self._file.close()

    def _write(self, data: pa.Buffer) -> None:
        view = memoryview(data)
        try:
            while len(view):
                view = view[self._file.write(view) or 0 :]
            os.fsync(self._file.fileno())
        except OSError:
            # Cut the torn batch off, so that later batches stay readable. Shrinking needs no space.
            with contextlib.suppress(OSError):
                self._file.truncate(self._good)
                self._file.seek(self._good)
            raise
        self._good += len(data)


def read_wal(path: Path, schema: pa.Schema) -> pa.Table:
    """All complete batches of a write-ahead file, also while another process appends to it.

    Returns:
        A table with the schema found in the file; empty with `schema` when not even that is complete.

    Raises:
        FileNotFoundError: the file has meanwhile been folded into a part and removed.
    """
    data = path.read_bytes()
    batches: list[pa.RecordBatch] = []
    try:
        reader = pa.ipc.open_stream(pa.BufferReader(data))
    except (pa.ArrowException, OSError):
        return schema.empty_table()
    while True:
        try:
            batch = reader.read_next_batch()
            batch.validate(full=True)
        except (StopIteration, pa.ArrowException, OSError):
            return pa.Table.from_batches(batches, schema=reader.schema)
        batches.append(batch)
