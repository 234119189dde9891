"""The results of one sweep in a directory or bucket: durable while it runs, readable while it is written.

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

from results.errors import StoreError
from results.records import ConfigRecord, DecisionRecord, EpochRecord, PatchRecord, RunRecord, ThresholdRecord
from results.storage.bucket_rows import BucketRows
from results.storage.extended_sweep import extended, in_order
from results.storage.location import RunDir, RunUrl, local_copy, locate
from results.storage.row_log import RowLog
from results.storage.run_dir import (
    Locked,
    create_locked,
    not_noted,
    not_writable,
    noted,
    open_locked,
    read_sweep,
    write_sweep,
)
from results.storage.stored_tables import StoredTables
from results.storage.twin import create_twin, open_twin, read_bucket

#: a row goes to disk at the first call after it is this old (seconds): half of what we promise.
FLUSH_SECONDS = 0.5
#: a write-ahead file becomes a parquet part after this many seconds, if it does not before for its length.
ROTATE_SECONDS = 30.0


class ResultsStore(StoredTables):
    """A run directory. Make one with `create`, `open` (to write) or `read` (to look).

    A row handed to an ``add_*`` method is never lost by an error of the disk: it stays in memory, the
    `StoreError` (with ``rows_kept``) says what happened, and the next `flush` tries again. A row never comes
    to disk before its config, the end of a run never before its epochs.

    A run directory in a bucket is written through a complete one on this machine, `run_dir`, which is uploaded in the
    background: what the bucket does not take stays there. Of several machines the last to open it writes.

    Attributes:
        run_dir: the folder on this machine; for a reader of a bucket it may not exist.
        sweep: content of `sweep.json`.
    """

    def __init__(
        self,
        run_dir: Path,
        sweep: Mapping[str, Any],
        rows: RowLog | BucketRows,
        *,
        held: Locked | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(rows)
        self.run_dir = run_dir
        self.sweep: Mapping[str, Any] = MappingProxyType(dict(sweep))
        self._lock = held.lock if held else None
        self._mirror = held.mirror if held else None
        self._clock = clock
        self._oldest_pending: float | None = None
        self._last_rotation = clock()

    # ----- making one

    @classmethod
    def create(
        cls, run_dir: RunDir, sweep: Mapping[str, Any], *, clock: Callable[[], float] = time.monotonic
    ) -> Self:
        """Start a run directory and write `sweep.json`.

        Args:
            run_dir: a directory that does not exist, or is empty; or ``s3://bucket/prefix`` without objects.
            sweep: the resolved sweep, JSON-able, with at least sweep_id, name, metric, mode, max_epochs
                and replicates.
            clock: seconds that only go forward; for tests.

        Raises:
            StoreError: the directory holds a sweep or other files, cannot be written, or `sweep` lacks a key.
        """
        place = locate(run_dir)
        made = create_twin(place, sweep) if isinstance(place, RunUrl) else create_locked(place, sweep)
        return cls._writer(made, clock)

    @classmethod
    def open(cls, run_dir: RunDir, *, clock: Callable[[], float] = time.monotonic) -> Self:
        """Open a run directory to write on, folding in what a crash left behind or another machine has recorded.

        Raises:
            StoreError: not a run directory, written by a newer version, being written by another process,
                or not writable.
        """
        place = locate(run_dir)
        return cls._writer(open_twin(place) if isinstance(place, RunUrl) else open_locked(place), clock)

    @classmethod
    def read(cls, run_dir: RunDir) -> Self:
        """Open a run directory to look at, also while a sweep writes; nothing is changed.

        Raises:
            StoreError: not a run directory, written by a newer version, or its server does not answer.
        """
        place = locate(run_dir)
        if isinstance(place, RunUrl):
            return cls(local_copy(place), *read_bucket(place))
        return cls(place, read_sweep(place), RowLog(place))

    # ----- adding rows

    def add_config(self, config: ConfigRecord) -> None:
        """Record a suggested config; a later one with the same id replaces it."""
        if self._log().configs.add(config):
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
            StoreError: the disk did not take it, or a bucket lacks it for now, which is said once; every row is kept.
        """
        now = self._clock()
        if self._oldest_pending is not None and now - self._oldest_pending >= FLUSH_SECONDS:
            self.flush()
        if self._log().full or now - self._last_rotation >= ROTATE_SECONDS:
            self._last_rotation = now
            self._log().rotate()
            self._upload()
        if self._mirror is not None and (problem := self._mirror.news()):
            raise problem

    def note(self, facts: Mapping[str, Any]) -> None:
        """Add facts about the sweep to `sweep.json`, e.g. ``planned_runs`` once it is known.

        Args:
            facts: JSON-able; a key that is there already gets the new value.

        Raises:
            StoreError: a fact would change what the sweep is, is not JSON-able, or the disk did not take it;
                `sweep.json` is as it was.
        """
        self._log()
        self._rewrite(noted(self.sweep, facts), told=facts)

    def extend(
        self, facts: Mapping[str, Any], *, entry: Mapping[str, Any], forget: Iterable[str] = ()
    ) -> None:
        """Change what the sweep set out to do: it is to do more. All at once: a crash leaves all of it or nothing.

        Args:
            facts: JSON-able, what `sweep.json` says from now on; the sweep's id, name and metric stay.
            entry: JSON-able, a further one in the list ``extensions``: when, what, from where to where.
            forget: facts that hold no longer, in a bucket too; those that say that the sweep is over always go.

        Raises:
            StoreError: as `note`.
        """
        self._log()
        self._rewrite(extended(self.sweep, facts, entry=entry, forget=forget), told=facts)

    def _rewrite(self, sweep: dict[str, Any], *, told: Iterable[str]) -> None:
        if sweep == self.sweep:
            return
        try:
            self.sweep = MappingProxyType(write_sweep(self.run_dir, sweep))
        except OSError as error:
            raise not_noted(self.run_dir, error, told) from error
        self._upload()

    def flush(self) -> None:
        """Force every row received so far to disk; when this returns they survive kill -9 and power loss.

        Raises:
            StoreError: the disk did not take them; they are kept, and the next call tries again.
        """
        self._log().flush()
        self._oldest_pending = None

    def compact(self) -> None:
        """At the end of a sweep: one parquet file per table, without replaced rows, and no write-ahead file.

        Raises:
            StoreError: the disk did not take it; every row is kept.
        """
        self.flush()
        self._log().rotate()
        self._log().compact()
        self._upload()

    def close(self) -> None:
        """Flush, turn the write-ahead files into parts, and let the next writer in. May be called twice.

        A run directory in a bucket is complete there when this returns.

        Raises:
            StoreError: the disk did not take it; the store stays open. Or the bucket did not; then the store is
                closed, every row is on this machine's disk, and the next `open` and `close` upload them.
        """
        if self._lock is None:
            return
        self.flush()
        self._log().rotate()
        self._upload()
        try:
            if self._mirror is not None:
                self._mirror.finish()
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ----- inside

    @classmethod
    def _writer(cls, made: Locked, clock: Callable[[], float]) -> Self:
        log = RowLog(made.run_dir)
        try:
            log.fold_leftovers()
        except OSError as error:
            raise not_writable(made.run_dir, error) from error
        return cls(made.run_dir, made.sweep, log, held=made, clock=clock)

    def _add(self, name: str, records: Sequence[Any]) -> None:
        self._log().tables[name].add(records)
        self._received()

    def _received(self) -> None:
        if self._oldest_pending is None:
            self._oldest_pending = self._clock()
        self.tick()

    def _upload(self) -> None:
        if self._mirror is not None:
            self._mirror.ask(in_order(self._log().files(), self.sweep))

    def _log(self) -> RowLog:
        if self._lock is None or not isinstance(self._rows, RowLog):
            raise StoreError(f"{self.run_dir} is not open for writing: use ResultsStore.open")
        return self._rows

    def _release(self) -> None:
        self._log().close()
        if self._mirror is not None:
            self._mirror.stop()
        assert self._lock is not None
        self._lock.release()
        self._lock = None
