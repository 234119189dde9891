"""Every change of the schema, in order: how what an older version wrote is read as this version means it.

The only place that knows older versions. A step changes values in memory; what is on disk changes when a directory
is opened for writing: `sweep.json` at once, so that an older program refuses the directory before it finds a row
that it does not understand, and the parts when they are compacted. No file is opened here.

A new version is one more `Step` at the end of `STEPS`, and `schema.SCHEMA_VERSION` raised by one. A new column
that may be null and a removed column need no function: `conform` reads the first as null and ignores the second.
A new column that must not be null, a renamed one, or one whose meaning changes needs a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from results.errors import StoreError
from results.schema import VERSION_KEY, TableSchema, check_version

SweepChange = Callable[[dict[str, Any]], dict[str, Any]]
TableChange = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class Step:
    """From the version before to `version`.

    Attributes:
        version: that this step leads to.
        reason: what changed and why, in a sentence.
        sweep: content of `sweep.json` to its new content (`schema_version` is not its business); None = as it was.
        tables: name of a table to the change of its rows, which come with the columns found in the file; a table
            that is not named is as it was.
    """

    version: int
    reason: str
    sweep: SweepChange | None = None
    tables: Mapping[str, TableChange] = field(default_factory=dict)


#: in the order of the versions, without a gap.
STEPS: tuple[Step, ...] = (
    Step(
        version=2,
        reason="the table `thresholds` came: the counts of each run's best epoch at 39 thresholds. Version 1 did not "
        "keep them, so runs that it recorded have no rows there.",
    ),
    Step(
        version=3,
        reason="the column `event` came to epochs, decisions and runs: the order in which a sweep is replayed. And "
        "`stage` came to decisions. Older rows have null there and are replayed in the order of their arrival.",
    ),
    Step(
        version=4,
        reason="the newest configs wait in a write-ahead file, where version 3 does not look for them: it would meet "
        "rows of configs that it does not find. Nothing else changed.",
    ),
)


def upgraded_sweep(sweep: Mapping[str, Any], *, steps: Sequence[Step] = STEPS) -> dict[str, Any]:
    """The content of `sweep.json` as the newest version would have written it.

    Args:
        sweep: with `schema_version`, not above the newest.
        steps: those that exist.
    """
    content, version = dict(sweep), int(sweep["schema_version"])
    for step in steps:
        if step.version > version:
            content = step.sweep(content) if step.sweep else content
            content["schema_version"] = step.version
    return content


def upgraded_rows(rows: pa.Table, table: str, version: int, *, steps: Sequence[Step] = STEPS) -> pa.Table:
    """The rows of a file as the newest version would have written them, but for null and removed columns.

    Args:
        rows: with the columns found in the file.
        table: its name, e.g. ``epochs``.
        version: of the file, not above the newest.
        steps: those that exist.
    """
    for step in steps:
        if step.version > version and table in step.tables:
            rows = step.tables[table](rows)
    return rows


def conform(rows: pa.Table, table: TableSchema, where: str, *, steps: Sequence[Step] = STEPS) -> pa.Table:
    """Bring rows read from a file to the declared columns.

    Rows of an older version first go through `STEPS`. Then a missing column that may be null is
    null, and a column that is not declared (removed since, or not ours) goes. A null is never put into a column
    that must not be null: a version that adds one declares in its step what older rows have there.

    Args:
        rows: as found; without a version in their metadata they count as written by this one.
        table: what they should be.
        where: the file, for messages.
        steps: those that exist.

    Raises:
        StoreError: written by a newer schema version, a required column is missing or has nulls, or a column
            cannot be cast; all problems of the file together.
    """
    version = (rows.schema.metadata or {}).get(VERSION_KEY)
    if version is not None:
        check_version(int(version), where)
        rows = upgraded_rows(rows, table.name, int(version), steps=steps)
    columns, problems = [], []
    for column in table.arrow:
        try:
            columns.append(_column(rows, column))
        except (pa.ArrowException, ValueError) as error:
            problems.append(f"{where}: column {column.name!r} cannot be read: {error}")
    if problems:
        raise StoreError(problems, f"a file does not hold the rows of {table.name}")
    return pa.table(columns, schema=table.arrow)


def _column(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    """One declared column of rows that may lack it.

    Raises:
        ValueError: it must not be null, but is.
        pa.ArrowException: it has another type.
    """
    present = field.name in rows.column_names
    column = rows.column(field.name).cast(field.type) if present else pa.nulls(rows.num_rows, field.type)
    if not field.nullable and column.null_count:
        raise ValueError(
            f"{column.null_count} of {rows.num_rows} rows have no value, and each must have one; "
            "restore the file from a copy"
            if present
            else "it is not there, and each row must have one; restore the file from a copy"
        )
    return column
