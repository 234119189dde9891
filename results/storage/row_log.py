"""All rows of a run directory on this machine's disk, written in the order that the store promises.

Knows the tables and the configs; not who may write, and not what a sweep is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from results.errors import StoreError
from results.schema import TABLES
from results.storage.config_file import ConfigFile
from results.storage.parts import current
from results.storage.run_dir import not_written
from results.storage.segments import Segments

#: a table with so many rows in its write-ahead file is due for a part.
ROTATE_ROWS = 20_000


class RowLog:
    """The tables and the configs.

    Args:
        run_dir: a folder of this machine.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self.tables = {name: Segments(run_dir, table) for name, table in TABLES.items()}
        self.configs = ConfigFile(run_dir)

    @property
    def full(self) -> bool:
        """Whether some write-ahead file is long enough to become a part."""
        return any(segments.durable_rows >= ROTATE_ROWS for segments in self.tables.values())

    def fold_leftovers(self) -> None:
        """For a writer: take over the configs, and turn every write-ahead file that a crash left into a part.

        Raises:
            OSError: the disk does not take it; nothing is lost.
            StoreError: configs.parquet cannot be read.
        """
        (self._run_dir / "wal").mkdir(exist_ok=True)
        self.configs.fold_leftovers()
        for segments in self.tables.values():
            segments.fold_leftovers()

    def flush(self) -> None:
        """Force every row to disk.

        Raises:
            StoreError: the disk did not take them; they are kept.
        """
        try:
            # In this order, and no further after a failure: a crash must leave neither rows of a config that
            # nobody knows nor an ended run without its last epochs.
            self.configs.flush()
            for segments in self.tables.values():
                segments.flush()
        except OSError as error:
            raise self._refused(error) from error

    def rotate(self) -> None:
        """Turn every write-ahead file into a part, and bring configs.parquet up to date before that.

        Raises:
            StoreError: the disk did not take it; every row is kept.
        """
        try:
            self.configs.rotate()  # no part without it: who reads parquet alone must find the config of every row
        except OSError as error:
            raise self._refused(error) from error
        self._on_disk(lambda segments: segments.rotate())

    def compact(self) -> None:
        """Turn all parts of each table into one.

        Raises:
            StoreError: the disk did not take it; every row is kept.
        """
        self._on_disk(lambda segments: segments.compact())

    def read(self, table: str) -> pa.Table:
        """All rows of a table, the last of each key; see `Segments.read`."""
        return self.tables[table].read()

    def read_configs(self) -> pa.Table:
        """All configs; see `ConfigFile.read`."""
        return self.configs.read()

    def files(self) -> list[str]:
        """What a reader elsewhere needs, in the order in which it must appear there: names below the run directory."""
        parts = [
            f"{name}/{part.name}"
            for name, segments in self.tables.items()
            for part in current(segments.parts())
        ]
        return [*(["configs.parquet"] if self.configs.exists else []), *parts, "sweep.json"]

    def close(self) -> None:
        """Let go of the write-ahead files as they are; the next writer folds them."""
        self.configs.close()
        for segments in self.tables.values():
            segments.close()

    def _on_disk(self, action: Callable[[Segments], None]) -> None:
        """Do `action` to every table, also after one failed, then report."""
        errors = []
        for segments in self.tables.values():
            try:
                action(segments)
            except OSError as error:
                errors.append(error)
        if errors:
            raise self._refused(errors[0]) from errors[0]

    def _refused(self, error: OSError) -> StoreError:
        waiting = [f"{name} ({n})" for name, s in self.tables.items() if (n := s.pending_rows)]
        return not_written(self._run_dir, error, ["configs"] * self.configs.changed + waiting)
