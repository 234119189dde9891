"""The rows of a run directory in a bucket, read beside a writer and without a local copy. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from results.errors import StoreError
from results.schema import CONFIG_COLUMNS, TABLES
from results.storage.config_file import conformed_configs
from results.storage.migration import conform, upgraded_sweep
from results.storage.object_store import PAUSES, RunObjects
from results.storage.parquet_file import is_whole, parse_parquet, patiently
from results.storage.parts import current, deduplicated, parts_among
from results.storage.run_dir import SWEEP, parse_sweep

CONFIGS = "configs.parquet"


class BucketRows:
    """What a bucket holds of the rows.

    Args:
        objects: of the run directory.
    """

    def __init__(self, objects: RunObjects) -> None:
        self._objects = objects

    def sweep(self) -> dict[str, Any] | None:
        """The content of `sweep.json` as this version would have written it; None if there is none.

        Raises:
            StoreError: it cannot be read, or was written by a newer version.
        """
        try:
            data = self._objects.get(SWEEP)
        except FileNotFoundError:
            return None
        return upgraded_sweep(parse_sweep(data, f"{self._objects.url}/{SWEEP}"))

    def read(self, table: str) -> pa.Table:
        """All rows of a table, the last of each key, in the order of their arrival.

        Raises:
            StoreError: an object is damaged, or the server does not answer.
        """
        return self.rows(table, patiently(partial(self.current_parts, table), f"{self._objects.url}/{table}"))

    def read_configs(self, *, broken_off_is_none: bool = False) -> pa.Table:
        """All configs; see `ConfigFile.read`.

        Args:
            broken_off_is_none: give no configs instead of an error when the object is not a whole file.

        Raises:
            StoreError: the object is damaged, or the server does not answer.
        """
        try:
            data = self._objects.get(CONFIGS)
        except FileNotFoundError:
            return CONFIG_COLUMNS.empty_table()
        if broken_off_is_none and not is_whole(data):
            return CONFIG_COLUMNS.empty_table()
        where = f"{self._objects.url}/{CONFIGS}"
        return conformed_configs(self._parsed(CONFIGS, data), where)

    def current_parts(self, table: str) -> dict[str, bytes]:
        """`parts` of what is listed now."""
        return self.parts(table, self._objects.names(f"{table}/"))

    def parts(self, table: str, listed: Iterable[str]) -> dict[str, bytes]:
        """The parts of a table that count, oldest rows first: name of the part -> content.

        Args:
            table: its name.
            listed: the objects of the table, as they were listed.

        Raises:
            FileNotFoundError: one of them was compacted away meanwhile: list them again.
        """
        parts = current(parts_among(name.rpartition("/")[2] for name in listed))
        found = self._objects.get_all(f"{table}/{part.name}" for part in parts)
        return {part.name: found[f"{table}/{part.name}"] for part in parts}

    def rows(self, table: str, parts: Mapping[str, bytes]) -> pa.Table:
        """The rows of parts, the last of each key.

        Raises:
            StoreError: one of them is damaged, also when it is asked for again.
        """
        declared = TABLES[table]
        tables = [
            conform(self._parsed(f"{table}/{name}", data), declared, f"{self._objects.url}/{table}/{name}")
            for name, data in parts.items()
        ]
        return deduplicated(pa.concat_tables([declared.arrow.empty_table(), *tables]), declared)

    def _parsed(self, name: str, data: bytes) -> pa.Table:
        where = f"{self._objects.url}/{name}"
        for pause in PAUSES:
            try:
                return parse_parquet(pa.BufferReader(data), where)
            except StoreError:
                time.sleep(pause)
                data = self._objects.get(name)
        return parse_parquet(pa.BufferReader(data), where)
