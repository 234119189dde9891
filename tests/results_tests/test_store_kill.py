"""kill -9 of the writing process: what was acknowledged is there, once, and nobody has to repair anything."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import store_writer
from store_writer import Key, expected

from results import ResultsStore
from results.schema import TABLES, config_values

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL"),
]
#: The column that numbers the rows of a trial, in the order of the keys in `store_writer`.
NUMBER = {
    "epochs": lambda row: row["epoch"],
    "decisions": lambda row: row["epoch"],
    "patches": lambda row: row["patch_id"],
    "thresholds": lambda row: round(8 * row["threshold"]),
    "runs": lambda row: ("first end", "second end").index(row["reason"]),
}


@dataclass
class Tally:
    """What the kills hit and what was checked, so that the test can say that it tested something."""

    kills: int = 0
    by_flush: int = 0
    by_the_clock: int = 0
    unfinished_files: int = 0
    doubled: int = 0


class Writers:
    """Forks writers and kills them."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        self._ask, self._answers = server.stdin, server.stdout

    def start(
        self, run_dir: Path, life: int, *, most: int | None = None, operation: int | None = None
    ) -> int:
        """A new writer; its pid."""
        self._ask.write(json.dumps([str(run_dir), life, most, operation]) + "\n")
        self._ask.flush()
        return int(self._answers.readline())

    def ended(self) -> int:
        """Wait for the end of the last one; its exit code."""
        return int(self._answers.readline())


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    command = [sys.executable, store_writer.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield Writers(server)
        assert server.stdin is not None
        server.stdin.close()


def test_rows_survive_kill_9_at_50_random_moments(writers: Writers, tmp_path: Path) -> None:
    """Five run directories, each written by ten processes one after the other, all of them killed."""
    rng, tally, promised = random.Random(0), Tally(), dict[Path, set[Key]]()
    while tally.kills < 50:
        run_dir = tmp_path / f"run{tally.kills // 10}"
        pid = writers.start(run_dir, tally.kills)
        # One in five dies while it opens or creates the store; the others well into their work.
        time.sleep(rng.uniform(0, 0.15) if rng.random() < 0.2 else rng.uniform(0.1, 1.8))
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert writers.ended() == -signal.SIGKILL, "a writer needed help"
        promised.setdefault(run_dir, set()).update(acknowledged(run_dir, tally.kills, killed, tally))
        tally.kills += 1
        check(run_dir, promised[run_dir], tally, fold=tally.kills % 2 == 0)
    assert tally.by_flush > 1000
    assert tally.by_the_clock > 100
    assert tally.unfinished_files + tally.doubled > 0, "some kills came in the middle of writing a part"


def test_a_kill_before_any_operation_on_a_file_loses_and_doubles_nothing(
    writers: Writers, tmp_path: Path
) -> None:
    """A small sweep from its creation to its compaction, killed before its first step, its second, and so on."""
    tally = Tally()
    for operation in range(1000):
        run_dir = tmp_path / f"run{operation}"
        writers.start(run_dir, 0, most=2, operation=operation)
        ending = writers.ended()
        check(run_dir, acknowledged(run_dir, 0, -1.0, tally), tally, fold=True)
        if ending == 0:
            break
        assert ending == -signal.SIGKILL, "a writer needed help"
        if not (run_dir / "sweep.json").exists():
            writers.start(run_dir, 0, most=1)
            assert writers.ended() == 0, "the sweep could not be begun again"
    assert operation > 50
    assert tally.doubled >= 1, "some kill came between a compacted part and the removal of the parts in it"


def acknowledged(run_dir: Path, life: int, killed: float, tally: Tally) -> set[Key]:
    """The rows of one writer that must be there: forced to disk, or added a second before the kill."""
    journal = store_writer.journal_of(run_dir, life)
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()] if journal.exists() else []
    flushed = max((i for i, (what, _) in enumerate(lines) if what == "flushed"), default=0)
    by_flush = {tuple(key) for what, _ in lines[:flushed] if what != "flushed" for key in what}
    by_the_clock = {
        tuple(key) for what, at in lines if what != "flushed" and at <= killed - 1.0 for key in what
    }
    tally.by_flush += len(by_flush)
    tally.by_the_clock += len(by_the_clock - by_flush)
    return by_flush | by_the_clock


def check(run_dir: Path, promised: set[Key], tally: Tally, *, fold: bool) -> None:
    """What any reader sees of a store whose writer was killed, and with `fold` also what the next writer sees."""
    tally.unfinished_files += sum(path.name.endswith(".tmp") for path in run_dir.rglob("*"))
    if not (run_dir / "sweep.json").exists():
        assert not promised
        return
    on_disk = read_by_all(run_dir, tally)
    seen = read_store(ResultsStore.read(run_dir), promised)
    assert all(on_disk[table] <= seen[table] | replaced(seen[table]) for table in TABLES)
    if fold:
        with ResultsStore.open(run_dir) as store:
            assert read_store(store, promised) == seen
            folded = read_by_all(run_dir, tally, doubles=False)
            assert all(folded[table] >= seen[table] for table in TABLES)
        assert not list(run_dir.rglob("*.tmp")), "leftovers are cleared away"


@cache
def expected_row(key: Key) -> dict[str, Any]:
    """What a reader must find."""
    return asdict(expected(key))


def replaced(keys: set[Key]) -> set[Key]:
    """First ends of runs that have ended again: in the parts until they are compacted, no more in the store."""
    return {(table, trial, 0) for table, trial, number in keys if table == "runs" and number}


def read_store(store: ResultsStore, promised: set[Key]) -> dict[str, set[Key]]:
    """Every row once, unchanged, with its config, and a run's end with its epochs; all that was promised."""
    seen: dict[str, set[Key]] = {}
    for table in TABLES:
        rows = getattr(store, table)().to_pylist()
        seen[table] = set(keys_of(table, rows))
        assert len(seen[table]) == len(rows), f"a row of {table} is there twice"
        for key, row in zip(keys_of(table, rows), rows, strict=True):
            assert row == expected_row(key)
    configs = config_values(store.configs())
    assert configs == {config_id: dict(expected(("configs", config_id, 0)).values) for config_id in configs}
    everything = set().union(*seen.values(), {("configs", config_id, 0) for config_id in configs})
    assert {trial.partition("-")[0] for _, trial, _ in everything} <= configs.keys()
    for _, trial, _ in seen["runs"]:
        assert {("epochs", trial, n) for n in range(1, store_writer.EPOCHS + 1)} <= seen["epochs"]
    assert promised <= everything | replaced(seen["runs"])
    return seen


def keys_of(table: str, rows: list[dict[str, Any]]) -> list[Key]:
    """The keys of rows, each of which may be there only once except where `replaced` says."""
    return [(table, row["trial_key"], NUMBER[table](row)) for row in rows]


def read_by_all(run_dir: Path, tally: Tally, *, doubles: bool = True) -> dict[str, set[Key]]:
    """The rows in the parquet parts as pandas, polars and DuckDB read them: the same, and unchanged."""
    found = {}
    for table in TABLES:
        parts = [path.name for path in (run_dir / table).glob("*.parquet")]
        if not parts:
            found[table] = set[Key]()
            continue
        readings = [read(run_dir / table) for read in READERS.values()]
        assert readings[0].equals(readings[1])
        assert readings[0].equals(readings[2])
        rows = readings[0].to_pylist()
        found[table] = set(keys_of(table, rows))
        for row, key in zip(rows, keys_of(table, rows), strict=True):
            assert row == expected_row(key)
        if len(rows) > len(found[table]):
            # Only between a compacted part and the removal of the parts in it; the rows are equal in all columns.
            assert doubles
            assert any(name.count("-") == 2 for name in parts)
            assert len(parts) > 1
            tally.doubled += 1
    return found


def declared(table: pa.Table, folder: Path) -> pa.Table:
    """In the declared types and an order that does not depend on the reader."""
    schema = TABLES[folder.name].arrow.remove_metadata()
    rows = table.select(schema.names).cast(schema)
    return rows.sort_by([(name, "ascending") for name in schema.names]).combine_chunks()


def by_pandas(folder: Path) -> pa.Table:
    frame = pd.read_parquet(folder, dtype_backend="pyarrow")
    return declared(pa.Table.from_pandas(frame, preserve_index=False), folder)


def by_polars(folder: Path) -> pa.Table:
    return declared(pl.read_parquet(folder / "*.parquet").to_arrow(), folder)


def by_duckdb(folder: Path) -> pa.Table:
    return declared(duckdb.sql(f"from '{folder.as_posix()}/*.parquet'").to_arrow_table(), folder)


READERS: Mapping[str, Callable[[Path], pa.Table]] = {
    "pandas": by_pandas,
    "polars": by_polars,
    "DuckDB": by_duckdb,
}
