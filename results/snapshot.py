"""All rows of a run directory as of one moment, also while a sweep writes. Reads; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from results.audited import Audits, Rows, audits_in, without_audits
from results.extended import going_on, without_ends
from results.store import ResultsStore


@dataclass(frozen=True)
class Snapshot:
    """What a store held, without what audits added (`audited.py`); the attributes are methods of `ResultsStore`.

    Every ended run is there with all its epochs. A run that is under way may have epochs, and no end. The counts
    of the best epochs, `patches` and `thresholds`, are read when they are first asked for: a ranking needs neither,
    and a large sweep has hundreds of thousands of them. `audits` counts what was left out. `going_on` are the runs that
    get more epochs because the sweep was extended: their old ends are not in `runs` (`extended.py`).
    """

    sweep: Mapping[str, Any]
    runs: pa.Table
    decisions: pa.Table
    epochs: pa.Table
    configs: pa.Table
    store: ResultsStore = field(repr=False, compare=False)
    audits: Audits = field(default_factory=Audits)
    going_on: frozenset[str] = frozenset()

    @cached_property
    def patches(self) -> pa.Table:
        """Those of the runs in `runs`, all of them; StoreError if a file cannot be read."""
        return self._of_ended_runs(self.store.patches())

    @cached_property
    def thresholds(self) -> pa.Table:
        """Those of the runs in `runs`, all of them; StoreError if a file cannot be read."""
        return self._of_ended_runs(self.store.thresholds())

    def _of_ended_runs(self, rows: pa.Table) -> pa.Table:
        """Without the rows of runs that ended after the snapshot, or have not: they come to disk before the end."""
        return rows.filter(pc.is_in(rows.column("trial_key"), value_set=self.runs.column("trial_key")))


def snapshot(store: ResultsStore) -> Snapshot:
    """Read a store in the reverse of the order in which it is written.

    An end is written after the epochs before it, and a config before its rows. So what is read first never
    refers to something that is read later and was not there yet. What is read on demand may hold more than that
    moment did, and is cut back to the runs that had ended.

    Raises:
        StoreError: a file cannot be read.
    """
    stored = Rows(store.runs(), store.decisions(), store.epochs())
    rows = without_audits(stored, store.sweep)
    again = going_on(rows.runs, rows.decisions)
    return Snapshot(
        sweep=store.sweep,
        runs=without_ends(rows.runs, again),
        decisions=rows.decisions,
        epochs=rows.epochs,
        configs=store.configs(),
        store=store,
        audits=audits_in(stored),
        going_on=again,
    )
