"""The names of parquet parts, which of them count, and which of several rows with one key counts.

Part N holds the rows of write-ahead file N; part F-L was compacted from the parts F to L and replaces them. The
same names are used on disk and in a bucket. No file is opened here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from results.schema import TableSchema

_PART = re.compile(r"part-(\d+)(?:-(\d+))?\.parquet")


@dataclass(frozen=True, order=True)
class Part:
    """One parquet file and the numbers of the write-ahead files whose rows it holds (first..last)."""

    last: int
    first: int

    @property
    def name(self) -> str:
        """The file's name."""
        compacted = f"-{self.last:06d}" if self.last != self.first else ""
        return f"part-{self.first:06d}{compacted}.parquet"

    def covers(self, other: Part) -> bool:
        """Whether this part was compacted from the other one."""
        return self != other and self.first <= other.first and other.last <= self.last


def parts_among(names: Iterable[str]) -> list[Part]:
    """The parts among the names of files, oldest rows first; other names are not ours."""
    found = []
    for name in names:
        match = _PART.fullmatch(name)
        if match:
            first = int(match[1])
            found.append(Part(int(match[2] or first), first))
    return sorted(found)


def current(parts: Iterable[Part]) -> list[Part]:
    """The parts that no compacted part has replaced, oldest rows first."""
    found = sorted(parts)
    return [part for part in found if not any(other.covers(part) for other in found)]


def deduplicated(rows: pa.Table, table: TableSchema) -> pa.Table:
    """The last row of each key, in the order of arrival of these last rows."""
    position = pa.array(np.arange(rows.num_rows))
    last = (
        rows.select(list(table.key))
        .append_column("position", position)
        .group_by(list(table.key))
        .aggregate([("position", "max")])
        .column("position_max")
    )
    if len(last) == rows.num_rows:
        return rows
    return rows.take(last.sort())
