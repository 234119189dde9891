"""configs.parquet: what was suggested, written whole whenever it grew. Knows no rows of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from results.errors import StoreError
from results.records import ConfigRecord
from results.schema import CONFIG_COLUMNS, CONFIGS, ConfigEntry, config_table
from results.storage.atomic import replace_file
from results.storage.migration import conform
from results.storage.parquet_file import patiently, read_parquet


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

    @property
    def exists(self) -> bool:
        """Whether there is a file."""
        return self._path.exists()

    def load(self) -> None:
        """Take over what the file holds, to add to it.

        Raises:
            StoreError: the file cannot be read.
        """
        self._entries.update(_entries(self.read()))

    def adopt(self, configs: pa.Table, *, replace: bool) -> None:
        """Take over configs that were recorded elsewhere; they are in memory until `flush`.

        Args:
            configs: as `read` gives them.
            replace: whether they win over ours of the same id.
        """
        for config_id, entry in _entries(configs).items():
            if self._entries.get(config_id) != entry and (replace or config_id not in self._entries):
                self._entries[config_id] = entry
                self._changed = True

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
        if not self.exists:
            return CONFIG_COLUMNS.empty_table()
        return conformed_configs(patiently(lambda: read_parquet(self._path), self._path), str(self._path))


def conformed_configs(table: pa.Table, where: str) -> pa.Table:
    """Configs as read from a file: the declared columns as declared, then those of the parameters as they are.

    Raises:
        StoreError: see `conform`.
    """
    rows = conform(table, CONFIGS, where)
    for name in table.column_names:
        if name not in CONFIG_COLUMNS.names:
            rows = rows.append_column(table.schema.field(name), table.column(name))
    return rows


def _entries(configs: pa.Table) -> dict[str, ConfigEntry]:
    return {
        row["config_id"]: (row["origin"], row["label"], json.loads(row["values_json"]))
        for row in configs.to_pylist()
    }
