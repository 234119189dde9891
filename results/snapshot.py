"""All rows of a run directory as of one moment, also while a sweep writes. Reads; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from results.store import ResultsStore


@dataclass(frozen=True)
class Snapshot:
    """What a store held; the attributes are described at the methods of `ResultsStore`.

    Every ended run is there with all its epochs. A run that is under way may have epochs, and no end.
    """

    sweep: Mapping[str, Any]
    runs: pa.Table
    decisions: pa.Table
    epochs: pa.Table
    configs: pa.Table


def snapshot(store: ResultsStore) -> Snapshot:
    """Read a store in the reverse of the order in which it is written.

    An end is written after the epochs before it, and a config before its rows. So what is read first never
    refers to something that is read later and was not there yet.

    Raises:
        StoreError: a file cannot be read.
    """
    return Snapshot(
        sweep=store.sweep,
        runs=store.runs(),
        decisions=store.decisions(),
        epochs=store.epochs(),
        configs=store.configs(),
    )
