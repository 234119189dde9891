"""The results of one sweep in one local directory: durable while it runs, readable while it is written.

`ResultsStore` owns identity (`sweep.json`), the schema version, durability and completeness. It does not
know what is good: ranking and statistics are elsewhere. One process writes, from one thread; any number read.

::

    RUN_DIR/sweep.json  configs.parquet  {epochs,runs,decisions,patches,thresholds}/part-*.parquet  wal/  checkpoints/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import pyarrow as pa
from filelock import FileLock

from results.config_file import ConfigFile
from results.errors import StoreError
from results.records import ConfigRecord, DecisionRecord, EpochRecord, PatchRecord, RunRecord, ThresholdRecord
from results.run_dir import (
    local,
    lock_writer,
    not_noted,
    not_writable,
    not_written,
    noted,
    read_sweep,
    refuse_occupied,
    sweep_text,
    upgrade_on_disk,
    write_sweep,
)
from results.schema import TABLES
from results.segments import Segments

#: a row goes to disk at the first call after it is this old (seconds): half of what we promise.
FLUSH_SECONDS = 0.5
#: a write-ahead file becomes a parquet part after this many seconds or rows, whichever is first.
ROTATE_SECONDS = 30.0
ROTATE_ROWS = 20_000


class ResultsStore:
    """A run directory. Make one with `create`, `open` (to write) or `read` (to look).

    A row handed to an ``add_*`` method is never lost by an error of the disk: it stays in memory, the
    `StoreError` (with ``rows_kept``) says what happened, and the next `flush` tries again. A row never comes
    to disk before its config, the end of a run never before its epochs.
    """

    def __init__(
        self, run_dir: Path, sweep: Mapping[str, Any], lock: FileLock | None, *, clock: Callable[[], float]
    ) -> None:
        self.run_dir = run_dir
        self.sweep: Mapping[str, Any] = MappingProxyType(dict(sweep))
        self._lock = lock
        self._clock = clock
        self._segments = {name: Segments(run_dir, table) for name, table in TABLES.items()}
        self._configs = ConfigFile(run_dir)
        self._oldest_pending: float | None = None
        self._last_rotation = clock()

    # ----- making one

    @classmethod
    def create(
        cls, run_dir: Path, sweep: Mapping[str, Any], *, clock: Callable[[], float] = time.monotonic
    ) -> Self:
        """Start a run directory and write `sweep.json`.

        Args:
            run_dir: a directory that does not exist, or is empty.
            sweep: the resolved sweep, JSON-able, with at least sweep_id, name, metric, mode, max_epochs
                and replicates.
            clock: seconds that only go forward; for tests.

        Raises:
            StoreError: the directory holds a sweep or other files, cannot be written, or `sweep` lacks a key.
        """
        run_dir = local(run_dir)
        sweep_text(sweep)  # refuses before anything is made
        refuse_occupied(run_dir, str(sweep["sweep_id"]))
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            lock = lock_writer(run_dir)
            for name in ("wal", "checkpoints", *TABLES):
                (run_dir / name).mkdir(exist_ok=True)
            written = write_sweep(run_dir, sweep)
        except OSError as error:
            raise not_writable(run_dir, error) from error
        return cls(run_dir, written, lock, clock=clock)

    @classmethod
    def open(cls, run_dir: Path, *, clock: Callable[[], float] = time.monotonic) -> Self:
        """Open a run directory to write on, folding in what a crash left behind.

        Raises:
            StoreError: not a run directory, written by a newer version, being written by another process,
                or not writable.
        """
        run_dir = local(run_dir)
        read_sweep(run_dir)  # refuses before a lock file is made
        try:
            lock = lock_writer(run_dir)
            store = cls(run_dir, upgrade_on_disk(run_dir), lock, clock=clock)
            (run_dir / "wal").mkdir(exist_ok=True)
            for segments in store._segments.values():
                segments.fold_leftovers()
        except OSError as error:
            raise not_writable(run_dir, error) from error
        store._configs.load()
        return store

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """Open a run directory to look at, also while a sweep writes; nothing on disk is changed.

        Raises:
            StoreError: not a run directory, or written by a newer version.
        """
        run_dir = local(run_dir)
        return cls(run_dir, read_sweep(run_dir), None, clock=time.monotonic)

    # ----- adding rows

    def add_config(self, config: ConfigRecord) -> None:
        """Record a suggested config; a later one with the same id replaces it."""
        self._writable()
        if self._configs.add(config):
            self._received()

    def add_epoch(self, epoch: EpochRecord) -> None:
        """Record an epoch; a later row for the same trial and epoch replaces it."""
        self._add("epochs", [epoch])

    def add_run(self, run: RunRecord) -> None:
        """Record the end of a run; a later row for the same trial replaces it."""
        self._add("runs", [run])

    def add_decision(self, decision: DecisionRecord) -> None:
        """Record a decision of the policy."""
        self._add("decisions", [decision])

    def add_patches(self, patches: Sequence[PatchRecord]) -> None:
        """Record the pixel counts of a run's best epoch; later counts of the same patch replace them."""
        if patches:
            self._add("patches", patches)

    def add_thresholds(self, thresholds: Sequence[ThresholdRecord]) -> None:
        """Record the pixel counts of a run's best epoch by threshold; later ones of the same threshold replace them."""
        if thresholds:
            self._add("thresholds", thresholds)

    def tick(self) -> None:
        """Do what is due: flush rows older than half a second, rotate an old write-ahead file.

        Raises:
            StoreError: the disk did not take it; every row is kept.
        """
        now = self._clock()
        if self._oldest_pending is not None and now - self._oldest_pending >= FLUSH_SECONDS:
            self.flush()
        full = any(segments.durable_rows >= ROTATE_ROWS for segments in self._segments.values())
        if full or now - self._last_rotation >= ROTATE_SECONDS:
            self._last_rotation = now
            self._on_disk(lambda segments: segments.rotate())

    def note(self, facts: Mapping[str, Any]) -> None:
        """Add facts about the sweep to `sweep.json`, e.g. ``planned_runs`` once it is known.

        Args:
            facts: JSON-able; a key that is there already gets the new value.

        Raises:
            StoreError: a fact would change what the sweep is, is not JSON-able, or the disk did not take it;
                `sweep.json` is as it was.
        """
        self._writable()
        sweep = noted(self.sweep, facts)
        if sweep == self.sweep:
            return
        try:
            self.sweep = MappingProxyType(write_sweep(self.run_dir, sweep))
        except OSError as error:
            raise not_noted(self.run_dir, error, facts) from error

    def flush(self) -> None:
        """Force every row received so far to disk; when this returns they survive kill -9 and power loss.

        Raises:
            StoreError: the disk did not take them; they are kept, and the next call tries again.
        """
        self._writable()
        try:
            # In this order, and no further after a failure: a crash must leave neither rows of a config that
            # nobody knows nor an ended run without its last epochs.
            self._configs.flush()
            for segments in self._segments.values():
                segments.flush()
        except OSError as error:
            raise self._refused(error) from error
        self._oldest_pending = None

    def compact(self) -> None:
        """At the end of a sweep: one parquet file per table, without replaced rows, and no write-ahead file.

        Raises:
            StoreError: the disk did not take it; every row is kept.
        """
        self.flush()
        self._on_disk(lambda segments: segments.rotate())
        self._on_disk(lambda segments: segments.compact())

    def close(self) -> None:
        """Flush, turn the write-ahead files into parts, and let the next writer in. May be called twice.

        Raises:
            StoreError: the disk did not take it; the store stays open.
        """
        if self._lock is None:
            return
        self.flush()
        self._on_disk(lambda segments: segments.rotate())
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ----- reading rows

    def configs(self) -> pa.Table:
        """configs.parquet: config_id, label, origin, values_json, then one column per parameter."""
        return self._configs.read()

    def epochs(self) -> pa.Table:
        """One row per (trial_key, epoch), the last one received."""
        return self._segments["epochs"].read()

    def runs(self) -> pa.Table:
        """One row per trial_key that has ended, the last one received."""
        return self._segments["runs"].read()

    def decisions(self) -> pa.Table:
        """One row per (trial_key, epoch, rung, action), the last one received."""
        return self._segments["decisions"].read()

    def patches(self) -> pa.Table:
        """One row per (trial_key, patch_id), the last one received."""
        return self._segments["patches"].read()

    def thresholds(self) -> pa.Table:
        """One row per (trial_key, threshold), the last one received."""
        return self._segments["thresholds"].read()

    def missing(self, trial_keys: Iterable[str]) -> list[str]:
        """Those of the planned trials that have not ended in any way, in the given order."""
        ended = set(self.runs().column("trial_key").to_pylist())
        return [key for key in trial_keys if key not in ended]

    # ----- inside

    def _add(self, name: str, records: Sequence[Any]) -> None:
        self._writable()
        self._segments[name].add(records)
        self._received()

    def _received(self) -> None:
        if self._oldest_pending is None:
            self._oldest_pending = self._clock()
        self.tick()

    def _on_disk(self, action: Callable[[Segments], None]) -> None:
        """Do `action` to every table, also after one failed, then report."""
        errors = []
        for segments in self._segments.values():
            try:
                action(segments)
            except OSError as error:
                errors.append(error)
        if errors:
            raise self._refused(errors[0]) from errors[0]

    def _refused(self, error: OSError) -> StoreError:
        waiting = [f"{name} ({n})" for name, s in self._segments.items() if (n := s.pending_rows)]
        return not_written(self.run_dir, error, ["configs"] * self._configs.changed + waiting)

    def _writable(self) -> None:
        if self._lock is None:
            raise StoreError(f"{self.run_dir} is not open for writing: use ResultsStore.open")

    def _release(self) -> None:
        assert self._lock is not None
        for segments in self._segments.values():
            segments.close()
        self._lock.release()
        self._lock = None
