"""One table of the store on disk: parquet parts, the write-ahead file before them, and the rows before that.

A row is *pending* (memory), then *durable* (write-ahead file), then in a *part* (immutable parquet).
Write-ahead file N becomes part N and nothing else does, so a crash between the two loses and doubles nothing.
One writer at a time; that is the store's business, not this module's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from results.schema import TableSchema
from results.storage.atomic import (
    remove_if_possible,
    remove_leftovers,
    remove_together,
    replace_bytes,
    replace_file,
)
from results.storage.migration import conform
from results.storage.parquet_file import patiently, read_parquet
from results.storage.parts import Part, current, deduplicated, parts_among
from results.storage.rows import Rows
from results.storage.wal import WriteAheadFile, read_wal


class Segments:
    """The files and buffers of one table.

    Args:
        run_dir: the run directory.
        table: name, columns and key.
    """

    def __init__(self, run_dir: Path, table: TableSchema) -> None:
        self.table = table
        self._folder = run_dir / table.name
        self._wal_folder = run_dir / "wal"
        self._pending = Rows(table)
        self._durable: list[pa.RecordBatch] = []
        #: rows in the current write-ahead file
        self.durable_rows = 0
        self._wal: WriteAheadFile | None = None
        self._sealed = False

    # ----- writing

    def add(self, records: Sequence[Any]) -> None:
        """Keep records in memory until `flush`.

        Raises:
            StoreError: one of them does not fit the declared columns; none was taken.
        """
        self._pending.add(records)

    @property
    def pending_rows(self) -> int:
        """Number of rows that are only in memory."""
        return len(self._pending)

    def flush(self) -> None:
        """Append the pending rows to the write-ahead file and force them to disk.

        Raises:
            OSError: the rows are still pending; call again when the cause is gone.
        """
        if not self._pending:
            return
        if self._sealed:
            self.rotate()
        batch = self._pending.batch()
        if self._wal is None:
            number = self._next_number()
            path = self._wal_folder / f"{self.table.name}-{number:06d}.arrows"
            self._wal = WriteAheadFile(path, self.table.arrow)
        try:
            self._wal.append(batch)
        except OSError:
            self._sealed = True  # never append after a failure: rotate first, then start a new file
            raise
        self._durable.append(batch)
        self.durable_rows += batch.num_rows
        self._pending.clear()

    def rotate(self) -> None:
        """Turn the write-ahead file into a parquet part.

        Raises:
            OSError: the rows are still in the write-ahead file; call again when the cause is gone.
        """
        if self._wal is None:
            return
        if self._durable:
            rows = pa.Table.from_batches(self._durable, schema=self.table.arrow)
            self._write_part(rows, _part_of(self._wal.path))
        self._wal.close()
        remove_if_possible(self._wal.path)
        self._wal, self._sealed = None, False
        self._durable.clear()
        self.durable_rows = 0

    def close(self) -> None:
        """Let go of the write-ahead file without folding it; the next open does that."""
        if self._wal is not None:
            self._wal.close()

    def fold_leftovers(self) -> None:
        """After a crash: fold every leftover write-ahead file into its part, drop compacted and half written parts.

        Raises:
            OSError: the disk does not take it; nothing is lost.
        """
        self._folder.mkdir(exist_ok=True)
        remove_leftovers(self._folder)
        done = self.parts()
        for path in self._wal_files():
            if not any(part.first <= _wal_number(path) <= part.last for part in done):
                rows = self._conform(read_wal(path, self.table.arrow), path)
                if rows.num_rows:
                    self._write_part(rows, _part_of(path))
            remove_if_possible(path)
        done = self.parts()
        remove_together(self._folder / part.name for part in set(done) - set(current(done)))

    def compact(self) -> None:
        """Rewrite all parts as one, without the rows that later ones replaced.

        Raises:
            OSError: the disk does not take it; the parts are as they were.
        """
        parts = current(self.parts())
        if len(parts) < 2:
            return
        rows = deduplicated(pa.concat_tables([self._read_part(part) for part in parts]), self.table)
        self._write_part(rows, Part(parts[-1].last, min(part.first for part in parts)))
        remove_together(self._folder / part.name for part in parts)

    def adopt(self, parts: Mapping[str, bytes], rows: pa.Table, *, replace: bool) -> None:
        """Take over the parts that count elsewhere, and keep the rows that are only here. After `fold_leftovers`.

        Killed in the middle, it loses nothing, and a second call does the rest.

        Args:
            parts: name -> content.
            rows: what they hold, the last of each key.
            replace: whether their row counts when ours has the same key.

        Raises:
            OSError: the disk does not take it; nothing is lost.
        """
        theirs, ours = parts_among(parts), self.parts()
        if all(part in ours and self._holds(part, parts[part.name]) for part in theirs):
            return
        kept = self.read()
        if replace:
            both = deduplicated(pa.concat_tables([kept, rows]), self.table)
            kept = both.slice(0, both.num_rows - rows.num_rows)
        number = max(part.last for part in (*theirs, *ours)) + 1
        if kept.num_rows:  # first, because the rest takes the place of these rows
            self._write_part(kept, Part(number, number))
        for part in theirs:
            replace_bytes(self._folder / part.name, parts[part.name])
        remove_together(self._folder / part.name for part in set(ours) - set(theirs))

    # ----- reading

    def read(self) -> pa.Table:
        """All rows, the last of each key, in the order of their arrival; safe beside a writer.

        Raises:
            StoreError: a file is damaged or cannot be read.
        """
        return patiently(self._read, self._folder)

    def _read(self) -> pa.Table:
        own = self._wal.path if self._wal else None
        leftovers: dict[int, pa.Table] = {}
        for path in self._wal_files():
            if path != own:
                with contextlib.suppress(FileNotFoundError):
                    leftovers[_wal_number(path)] = self._conform(read_wal(path, self.table.arrow), path)
        # Parts are listed after the write-ahead files: a file that vanished in between is a part by now.
        parts = current(self.parts())
        folded = {number for part in parts for number in leftovers if part.first <= number <= part.last}
        tables = [self._read_part(part) for part in parts]
        tables += [rows for number, rows in sorted(leftovers.items()) if number not in folded]
        tables.append(pa.Table.from_batches([*self._durable, self._pending.batch()], schema=self.table.arrow))
        return deduplicated(pa.concat_tables(tables), self.table)

    # ----- files

    def parts(self) -> list[Part]:
        """Every parquet part on disk, oldest rows first."""
        return parts_among(path.name for path in self._folder.glob("part-*.parquet"))

    def has(self, name: str) -> bool:
        """Whether there is a part of this name, or one that was compacted from it."""
        return any(
            part == other or part.covers(other) for part in self.parts() for other in parts_among([name])
        )

    def _holds(self, part: Part, data: bytes) -> bool:
        return (self._folder / part.name).read_bytes() == data

    def _conform(self, rows: pa.Table, path: Path) -> pa.Table:
        return conform(rows, self.table, str(path))

    def _read_part(self, part: Part) -> pa.Table:
        path = self._folder / part.name
        return self._conform(read_parquet(path), path)

    def _write_part(self, rows: pa.Table, part: Part) -> None:
        self._folder.mkdir(exist_ok=True)
        replace_file(self._folder / part.name, lambda file: pq.write_table(rows, file, compression="zstd"))

    def _wal_files(self) -> list[Path]:
        return sorted(self._wal_folder.glob(f"{self.table.name}-*.arrows"))

    def _next_number(self) -> int:
        used = [part.last for part in self.parts()] + [_wal_number(path) for path in self._wal_files()]
        return max(used, default=-1) + 1


def _wal_number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _part_of(wal: Path) -> Part:
    return Part(_wal_number(wal), _wal_number(wal))
