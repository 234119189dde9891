"""configs.parquet: what was suggested, written whole whenever it grew. Knows no rows of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from results.atomic import replace_file
from results.errors import StoreError
from results.migration import conform
from results.parquet_file import patiently, read_parquet
from results.records import ConfigRecord
from results.schema import CONFIG_COLUMNS, CONFIGS, ConfigEntry, config_table


class ConfigFile:
    """The configs in memory, and their file.

    Args:
        run_dir: the run directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "configs.parquet"
        self._entries: dict[str, ConfigEntry] = {}
        self._changed = False

    @property
    def changed(self) -> bool:
        """Whether the file lacks something."""
        return self._changed

    def load(self) -> None:
        """Take over what the file holds, to add to it.

        Raises:
            StoreError: the file cannot be read.
        """
        for row in self.read().to_pylist():
            self._entries[row["config_id"]] = (row["origin"], row["label"], json.loads(row["values_json"]))

    def add(self, config: ConfigRecord) -> bool:
        """Keep a config in memory until `flush`; says whether it is new or another than before.

        Raises:
            StoreError: a value cannot be stored; the config was not taken.
        """
        entry = (config.origin, config.label, dict(config.values))
        try:
            config_table({config.config_id: entry})
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise StoreError(f"config {config.config_id}: {error}", "a config cannot be stored") from error
        if self._entries.get(config.config_id) == entry:
            return False
        self._entries[config.config_id] = entry
        self._changed = True
        return True

    def flush(self) -> None:
        """Write the file if there is anything new.

        Raises:
            OSError: the file is as it was; call again when the cause is gone.
        """
        if self._changed:
            table = config_table(self._entries)
            replace_file(self._path, lambda file: pq.write_table(table, file, compression="zstd"))
            self._changed = False

    def read(self) -> pa.Table:
        """The declared columns, then one column per parameter; what is in memory counts.

        Raises:
            StoreError: the file is damaged or cannot be read.
        """
        if self._entries:
            return config_table(self._entries)
        if not self._path.exists():
            return CONFIG_COLUMNS.empty_table()
        table = patiently(lambda: read_parquet(self._path), self._path)
        rows = conform(table, CONFIGS, str(self._path))
        for name in table.column_names:
            if name not in CONFIG_COLUMNS.names:
                rows = rows.append_column(table.schema.field(name), table.column(name))
        return rows
