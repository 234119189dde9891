"""Is what a disturbed sweep has recorded what the calm one has recorded? Every row, every bit, and the final table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from results import ResultsStore
from results.storage.location import RunDir
from results.storage.working_copy import working_copy

#: Table -> what names its rows; and what depends on the clock, the place, or the order of arrival.
KEYS = {
    "epochs": ("trial_key", "epoch"),
    "runs": ("trial_key",),
    "patches": ("trial_key", "patch_id"),
    "thresholds": ("trial_key", "threshold"),
}
_PASSING = {
    *("timestamp", "event", "node", "wall_seconds", "epoch_seconds", "data_seconds", "patches_per_second"),
    "peak_memory_bytes",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """What a sweep has left.

    Attributes:
        rows: table -> key -> row, of all that must not depend on faults.
        doubled: rows whose key was there before, in the files as any reader of parquet finds them.
        retries: why trials were run again -> how often.
        ended: what ended the search; None while it is not over.
    """

    rows: dict[str, dict[tuple[Any, ...], Row]]
    doubled: int
    retries: Counter[str]
    ended: str | None


def record_of(run_dir: RunDir) -> Record:
    """Read a run directory, a folder or a bucket, as another machine would."""
    with working_copy(run_dir) as folder:
        store = ResultsStore.read(folder)
        tables = {name: getattr(store, name)().to_pylist() for name in KEYS}
        doubled = sum(_doubled(folder / name, keys) for name, keys in KEYS.items())
        configs, decisions = store.configs().to_pylist(), store.decisions().to_pylist()
    rows = {
        name: {tuple(row[key] for key in KEYS[name]): _lasting(row) for row in table}
        for name, table in tables.items()
    }
    rows["configs"] = {(row["config_id"],): row for row in configs}
    retries = Counter(row["reason"].partition(":")[0] for row in decisions if row["action"] == "retry")
    return Record(rows, doubled, retries, store.sweep.get("ended"))


def differences(calm: Record, disturbed: Record) -> dict[str, list[str]]:
    """The rows that are lost, that should not be there, and that are different: table and key of each."""
    found: dict[str, list[str]] = {"lost": [], "unexpected": [], "different": []}
    for table, expected in calm.rows.items():
        there = disturbed.rows[table]
        found["lost"] += _named(table, expected.keys() - there.keys())
        found["unexpected"] += _named(table, there.keys() - expected.keys())
        common = expected.keys() & there.keys()
        found["different"] += [
            f"{name} ({', '.join(unequal)})"
            for key in sorted(common)
            if (unequal := _unequal(expected[key], there[key]))
            for name in _named(table, {key})
        ]
    return found


def _unequal(row: Row, other: Row) -> list[str]:
    """The columns in which two rows are not the same to the last bit."""
    return [name for name in {**row, **other} if repr(row.get(name)) != repr(other.get(name))]


def _named(table: str, keys: set[tuple[Any, ...]]) -> Iterator[str]:
    return (f"{table} {' '.join(map(str, key))}" for key in sorted(keys))


def _lasting(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in _PASSING}


def _doubled(folder: Path, keys: tuple[str, ...]) -> int:
    """Rows too many in the parquet files of a table."""
    found: Counter[tuple[Any, ...]] = Counter()
    for path in folder.glob("*.parquet"):
        found.update(zip(*(pq.read_table(path).column(key).to_pylist() for key in keys), strict=True))
    return found.total() - len(found)
