"""Rows in memory: each is checked when it comes, and all are converted to Arrow together when they go to disk.

Arrow takes about as long for one row as for a hundred, so rows are not converted one by one; but a row that does not
fit the declared schema must be refused when it comes, before it can keep others from the disk. Values of exactly the
types that Arrow takes without a question pass at once; any other row is converted by itself, and Arrow decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from results.errors import StoreError
from results.schema import TableSchema

_Row = tuple[Any, ...]
_UNFIT = "a row does not fit the declared schema"
_INT64 = range(-(2**63), 2**63)
#: column type -> the Python type that needs no conversion; a column of another type is always converted.
_EXACT: dict[pa.DataType, type] = {pa.string(): str, pa.int64(): int, pa.float64(): float}


class Rows:
    """The rows of one table that are not on disk yet.

    Args:
        table: its name and columns.
    """

    def __init__(self, table: TableSchema) -> None:
        self._table = table
        self._values = attrgetter(*table.arrow.names)
        exact = [_EXACT.get(field.type, object) for field in table.arrow]
        self._types = [
            frozenset({kind, type(None)} if field.nullable else {kind})
            for kind, field in zip(exact, table.arrow, strict=True)
        ]
        self._rows: list[_Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, records: Sequence[Any]) -> None:
        """Keep records, which have the columns as attributes.

        Raises:
            StoreError: a value has the wrong type, or a required one is missing; none of them was taken.
        """
        rows = [self._values(record) for record in records]
        if strange := [i for i, row in enumerate(rows) if not self._is_exact(row)]:
            for i, row in zip(strange, self._converted([rows[i] for i in strange]), strict=True):
                rows[i] = row
        self._rows.extend(rows)

    def batch(self) -> pa.RecordBatch:
        """All of them as one record batch of the declared schema."""
        return _batch(self._rows, self._table)

    def clear(self) -> None:
        """Forget them: they are on disk."""
        self._rows.clear()

    def _is_exact(self, row: _Row) -> bool:
        """Whether Arrow is certain to take the row as it is."""
        for value, types in zip(row, self._types, strict=True):
            kind = type(value)
            if (
                kind not in types
                or (kind is int and value not in _INT64)
                or (kind is str and not value.isascii())  # a lone surrogate has no UTF-8
            ):
                return False
        return True

    def _converted(self, rows: Sequence[_Row]) -> list[_Row]:
        """Rows as they will be read back.

        Raises:
            StoreError: with every null where none may be, with what Arrow refuses, or with every value that it would
                change (1.5 for an integer).
        """
        if problems := [
            f"{self._table.name}: column {field.name!r} must not be null (trial {record['trial_key']!r})"
            for record in (dict(zip(self._table.arrow.names, row, strict=True)) for row in rows)
            for field in self._table.arrow
            if record[field.name] is None and not field.nullable
        ]:
            raise StoreError(problems, _UNFIT)
        try:
            columns = _batch(rows, self._table).columns
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise StoreError(f"{self._table.name}: {error}", _UNFIT) from error
        converted = list(zip(*(column.to_pylist() for column in columns), strict=True))
        if problems := [
            f"{self._table.name}: column {name!r} holds {there!r}, which would become {here!r}"
            for row, back in zip(rows, converted, strict=True)
            for name, there, here in zip(self._table.arrow.names, row, back, strict=True)
            if here != there and there == there  # NaN is not itself
        ]:
            raise StoreError(problems, _UNFIT)
        return converted


def _batch(rows: Sequence[_Row], table: TableSchema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ((),) * len(table.arrow)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, table.arrow, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=table.arrow)
