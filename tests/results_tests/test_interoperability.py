"""polars, DuckDB and pandas read a run directory beside its writer; what the README tells of it runs and is right."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from recorded_sweeps import SIX_CONFIGS, SWEEP, epoch_record, run_record

from results import ConfigRecord, ResultsStore, RunStatus
from results.store import ROTATE_SECONDS

README = Path(__file__).parents[2] / "README.md"
HEADING = "## Reading the rows"


class Clock:
    """Seconds that a test moves by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class LiveSweep:
    """Two configs x two replicates, open for writing.

    The first part holds the screening: c0 finished, c1-r0 stopped after one epoch. The second part holds c1-r0
    completed, with its first epoch reported again. The write-ahead file holds the only epoch of c1-r1.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path, self._clock = run_dir, Clock()
        self.store = ResultsStore.create(run_dir, {**SWEEP, "replicates": 2}, clock=self._clock)
        for i in (0, 1):
            self.store.add_config(ConfigRecord(f"c{i}", SIX_CONFIGS[i], "random"))
        for r in (0, 1):
            self._epochs(f"c0-r{r}", [0.3, 0.4 + r / 100], timestamp=10)
            self._end(f"c0-r{r}", 0.4 + r / 100, timestamp=12)
        self._epochs("c1-r0", [0.2], timestamp=11)
        self._end("c1-r0", 0.2, timestamp=12, status=RunStatus.STOPPED)
        self._rotate()
        self._epochs("c1-r0", [0.21, 0.5], timestamp=20, stage="allocate")
        self._end("c1-r0", 0.5, timestamp=22, stage="allocate")
        self._rotate()
        self._epochs("c1-r1", [0.6], timestamp=30)
        self.store.flush()

    def finish(self) -> None:
        """The last run ends, and the parts become one."""
        self._end("c1-r1", 0.6, timestamp=32)
        self.store.compact()

    def _epochs(self, key: str, values: list[float], *, timestamp: float, **more: Any) -> None:
        for epoch, value in enumerate(values, start=1):
            row = {**self._who(key), "epoch": epoch, "val_iou": value, "timestamp": timestamp + epoch, **more}
            self.store.add_epoch(epoch_record(**row))

    def _end(self, key: str, value: float, **more: Any) -> None:
        self.store.add_run(run_record(**self._who(key), best_value=value, **more))

    def _who(self, key: str) -> dict[str, Any]:
        return {"trial_key": key, "config_id": key[:2], "replicate": int(key[-1])}

    def _rotate(self) -> None:
        self._clock.now += ROTATE_SECONDS + 1
        self.store.tick()


@pytest.fixture
def live(tmp_path: Path) -> Any:
    sweep = LiveSweep(tmp_path / "run")
    yield sweep
    sweep.store.close()


def by_polars(run_dir: Path) -> list[tuple[Any, ...]]:
    rows = pl.scan_parquet(run_dir / "epochs" / "*.parquet").sort("timestamp")
    latest = rows.unique(["trial_key", "epoch"], keep="last", maintain_order=True)
    joined = latest.join(pl.scan_parquet(run_dir / "configs.parquet"), on="config_id")
    return (
        joined.select("trial_key", "epoch", "val_iou", "loss", "batch_size").collect().sort(pl.all()).rows()
    )


def by_duckdb(run_dir: Path) -> list[tuple[Any, ...]]:
    query = f"""
        SELECT trial_key, epoch, val_iou, loss, batch_size
        FROM '{run_dir.as_posix()}/epochs/*.parquet' JOIN '{run_dir.as_posix()}/configs.parquet' USING (config_id)
        QUALIFY row_number() OVER (PARTITION BY trial_key, epoch ORDER BY timestamp DESC) = 1
        ORDER BY ALL
    """
    return duckdb.sql(query).fetchall()


def by_pandas(run_dir: Path) -> list[tuple[Any, ...]]:
    rows = pd.read_parquet(run_dir / "epochs").sort_values("timestamp")
    latest = rows.drop_duplicates(["trial_key", "epoch"], keep="last")
    joined = latest.merge(pd.read_parquet(run_dir / "configs.parquet"), on="config_id")
    columns = ["trial_key", "epoch", "val_iou", "loss", "batch_size"]
    return sorted(joined[columns].itertuples(index=False, name=None))


READERS = pytest.mark.parametrize("read", [by_polars, by_duckdb, by_pandas])


def expected(store: ResultsStore) -> list[tuple[Any, ...]]:
    """The same by our own reader, with the configs as they were given."""
    rows = store.epochs().to_pylist()
    told = []
    for row in rows:
        config = SIX_CONFIGS[int(row["config_id"][1:])]
        told.append((row["trial_key"], row["epoch"], row["val_iou"], config["loss"], config["batch_size"]))
    return sorted(told)


@READERS
def test_a_live_sweep_is_read_but_for_the_rows_that_wait_in_the_write_ahead_file(
    read: Callable[[Path], list[tuple[Any, ...]]], live: LiveSweep
) -> None:
    seen = read(live.path)
    assert seen == [row for row in expected(live.store) if row[0] != "c1-r1"]
    assert [row[2] for row in seen if row[0] == "c1-r0"] == [0.21, 0.5]


@READERS
def test_after_the_sweep_every_row_is_read_once(
    read: Callable[[Path], list[tuple[Any, ...]]], live: LiveSweep
) -> None:
    live.finish()
    assert len(list((live.path / "epochs").glob("*.parquet"))) == 1
    assert read(live.path) == expected(live.store)
    assert len(pd.read_parquet(live.path / "epochs")) == 4 + 2 + 1


@READERS
def test_a_reader_that_comes_between_the_joined_part_and_the_removal_of_the_old_ones_sees_no_row_twice(
    read: Callable[[Path], list[tuple[Any, ...]]], live: LiveSweep
) -> None:
    old = {path: path.read_bytes() for path in (live.path / "epochs").glob("*.parquet")}
    live.finish()
    for path, content in old.items():
        path.write_bytes(content)
    assert read(live.path) == expected(live.store)


# ----- the README


def section() -> str:
    """The README's section, up to the next heading of its level."""
    text = README.read_text(encoding="utf-8")
    assert f"\n{HEADING}\n" in text, f"README.md has no section {HEADING!r}, whose examples are tested here"
    return text.split(f"\n{HEADING}\n")[1].split("\n## ")[0]


def blocks(language: str, run_dir: Path) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", section(), flags=re.MULTILINE | re.DOTALL)
    assert found, f"no {language} in the section {HEADING!r}"
    return [block.replace("RUN_DIR", run_dir.as_posix()) for block in found]


def python_results(run_dir: Path) -> dict[str, Any]:
    """The names that all Python blocks leave behind, run one after the other, and what they print."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for block in blocks("python", run_dir):
            exec(compile(block, str(README), "exec"), names)
    return {**names, "printed": printed.getvalue()}


def sql_results(run_dir: Path) -> list[list[tuple[Any, ...]]]:
    return [duckdb.sql(block).fetchall() for block in blocks("sql", run_dir)]


def test_the_readmes_python_runs_on_a_live_sweep(live: LiveSweep) -> None:
    told = python_results(live.path)
    curves = {(row["config_id"], row["epoch"]): row for row in told["curves"].collect().to_dicts()}
    assert set(curves) == {("c0", 1), ("c0", 2), ("c1", 1), ("c1", 2)}
    assert (curves["c0", 2]["runs"], curves["c0", 2]["mean"]) == (2, pytest.approx(0.405))
    assert (curves["c1", 1]["runs"], curves["c1", 1]["mean"], curves["c1", 1]["sd"]) == (1, 0.21, None)
    assert curves["c1", 2]["loss"] == SIX_CONFIGS[1]["loss"]
    assert "c1" in told["printed"]


def test_the_readmes_own_reader_sees_the_write_ahead_file_as_well(live: LiveSweep) -> None:
    names: dict[str, Any] = {}
    exec(blocks("python", live.path)[0], names)
    assert names["epochs"].height == live.store.epochs().num_rows == 7


def test_the_readmes_sql_counts_every_run_once_and_means_only_complete_configs(live: LiveSweep) -> None:
    (rows,) = sql_results(live.path)
    one, two = SIX_CONFIGS[:2]
    assert rows == [
        ("c1", two["loss"], two["lr"], 1, 0, 0, 0.5),
        ("c0", one["loss"], one["lr"], 2, 0, 0, pytest.approx(0.405)),
    ]
    live.store.add_run(run_record(trial_key="c0-r0", status=RunStatus.STOPPED, timestamp=40))
    live.finish()
    (rows,) = sql_results(live.path)
    assert rows == [
        ("c1", two["loss"], two["lr"], 2, 0, 0, pytest.approx(0.55)),
        ("c0", one["loss"], one["lr"], 1, 1, 0, None),
    ]


def test_the_section_says_what_a_reader_of_a_live_sweep_must_know() -> None:
    text = section()
    for word in ("wal/", f"{ROTATE_SECONDS:.0f} seconds", "twice", "read again"):
        assert word in text, word
