"""What was suggested: configs.parquet, and before it a write-ahead file of its own. Knows no rows of runs.

A config is *pending* (memory), then *durable* (write-ahead file), then in configs.parquet, which is written whole at
every rotation: so a new config costs one appended row, and thousands of configs cost no more each than a few. The
parquet file names the last write-ahead file that went into it; one with that number or a lower one is a leftover.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from results.errors import StoreError
from results.records import ConfigRecord
from results.schema import CONFIG_COLUMNS, CONFIGS, ConfigEntry, config_table
from results.storage.atomic import remove_if_possible, replace_file
from results.storage.migration import conform
from results.storage.parquet_file import patiently, read_parquet
from results.storage.wal import WriteAheadFile, read_wal

#: in the metadata of configs.parquet: the number of the last write-ahead file whose configs it holds.
_FOLDED = b"landslide_tune.folded"


class ConfigFile:
    """The configs in memory, and their files. A reader of them uses `read` alone.

    Args:
        run_dir: the run directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path, self._wal_folder = run_dir / "configs.parquet", run_dir / "wal"
        self._entries: dict[str, ConfigEntry] = {}
        self._pending: dict[str, ConfigEntry] = {}
        self._wal: WriteAheadFile | None = None
        self._sealed = self._behind = False
        self._folded = -1

    # ----- writing

    @property
    def changed(self) -> bool:
        """Whether some config is only in memory."""
        return bool(self._pending)

    @property
    def exists(self) -> bool:
        """Whether there is a parquet file."""
        return self._path.exists()

    def fold_leftovers(self) -> None:
        """Take over what the files hold, to add to it; what a crash left in a write-ahead file goes to configs.parquet.

        Raises:
            OSError: the disk does not take it; nothing is lost.
            StoreError: the file cannot be read.
        """
        parquet, leftovers = self._read_files()
        self._entries = _together(parquet, leftovers)
        self._folded = max([_folded(parquet), *self._wal_files()])
        self._behind = bool(leftovers)
        self.rotate()
        for path in self._wal_files().values():
            remove_if_possible(path)

    def adopt(self, configs: pa.Table, *, replace: bool) -> None:
        """Take over configs that were recorded elsewhere; they are in memory until `flush`.

        Args:
            configs: as `read` gives them.
            replace: whether they win over ours of the same id.
        """
        for config_id, entry in _entries(configs).items():
            if self._entries.get(config_id) != entry and (replace or config_id not in self._entries):
                self._keep(config_id, entry)

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
        self._keep(config.config_id, entry)
        return True

    def flush(self) -> None:
        """Append what is pending to the write-ahead file and force it to disk.

        Raises:
            OSError: it is still pending; call again when the cause is gone.
        """
        if not self._pending:
            return
        if self._sealed:
            self.rotate()
            return
        if self._wal is None:
            number = max([self._folded, *self._wal_files()]) + 1
            self._wal = WriteAheadFile(self._wal_folder / f"configs-{number:06d}.arrows", CONFIG_COLUMNS)
        rows = config_table(self._pending).select(CONFIG_COLUMNS.names).cast(CONFIG_COLUMNS)
        try:
            for batch in rows.to_batches():
                self._wal.append(batch)
        except OSError:
            self._sealed = True  # never append after a failure: rotate first, then start a new file
            raise
        self._pending.clear()
        self._behind = True

    def rotate(self) -> None:
        """Write configs.parquet if it lacks anything, also what is pending; the write-ahead file is done with then.

        Raises:
            OSError: the files are as they were; call again when the cause is gone.
        """
        if not (self._behind or self._pending):
            return
        folded = self._folded if self._wal is None else _number(self._wal.path)
        table = config_table(self._entries)
        table = table.replace_schema_metadata({**table.schema.metadata, _FOLDED: str(folded).encode()})
        replace_file(self._path, lambda file: pq.write_table(table, file, compression="zstd"))
        self._pending.clear()
        self._behind, self._folded = False, folded
        if self._wal is not None:
            self._wal.close()
            remove_if_possible(self._wal.path)
        self._wal, self._sealed = None, False

    def close(self) -> None:
        """Let go of the write-ahead file without folding it; the next open does that."""
        if self._wal is not None:
            self._wal.close()

    def _keep(self, config_id: str, entry: ConfigEntry) -> None:
        self._entries[config_id] = self._pending[config_id] = entry

    # ----- reading

    def read(self) -> pa.Table:
        """In the order of proposal: the declared columns, then one per parameter; what is in memory counts.

        Raises:
            StoreError: a file is damaged or cannot be read.
        """
        if self._entries:
            return config_table(self._entries)
        parquet, leftovers = self._read_files()
        return config_table(_together(parquet, leftovers)) if leftovers else parquet

    def _read_files(self) -> tuple[pa.Table, list[dict[str, ConfigEntry]]]:
        """configs.parquet, and the write-ahead files that it lacks; safe beside a writer."""
        return patiently(self._try_files, self._path)

    def _try_files(self) -> tuple[pa.Table, list[dict[str, ConfigEntry]]]:
        # The parquet file last: a write-ahead file that vanished before it could be read is in there by now.
        found: dict[int, dict[str, ConfigEntry]] = {}
        for number, path in self._wal_files().items():
            with contextlib.suppress(FileNotFoundError):
                found[number] = _entries(conform(read_wal(path, CONFIG_COLUMNS), CONFIGS, str(path)))
        parquet = CONFIG_COLUMNS.empty_table()
        if self.exists:
            parquet = conformed_configs(read_parquet(self._path), str(self._path))
        folded = _folded(parquet)
        return parquet, [entries for number, entries in found.items() if number > folded and entries]

    # ----- files

    def _wal_files(self) -> dict[int, Path]:
        """The write-ahead files by number, in order."""
        return dict(sorted((_number(path), path) for path in self._wal_folder.glob("configs-*.arrows")))


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
        for row in configs.select(CONFIG_COLUMNS.names).to_pylist()
    }


def _together(parquet: pa.Table, later: list[dict[str, ConfigEntry]]) -> dict[str, ConfigEntry]:
    """In the order in which they came; a later entry of the same id replaces the earlier one in its place."""
    found = _entries(parquet)
    for entries in later:
        found |= entries
    return found


def _folded(parquet: pa.Table) -> int:
    return int((parquet.schema.metadata or {}).get(_FOLDED, -1))


def _number(wal: Path) -> int:
    return int(wal.stem.rpartition("-")[2])
