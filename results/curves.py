"""The epochs of all runs as columns: sorted once, reduced run by run without a Python object per row.

A sweep of thousands of runs has millions of rows; everything here is an operation on whole columns. Knows no
status and no score: that is `scores.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from results.statistics.blocks import Floats

if TYPE_CHECKING:
    import pyarrow as pa

Indices = npt.NDArray[np.int64]

#: metrics shown beside the one that ranks, at each run's best epoch.
SIDE_METRICS = ("val_iou", "val_f1", "val_precision", "val_recall")


@dataclass(frozen=True)
class Curves:
    """Every epoch of every run, run after run, by epoch within a run.

    Attributes:
        position: trial_key -> index of the run, 0 .. n_runs - 1.
        config_ids, stages: (n_runs,) of each run; the stage is that of its last epoch.
        replicates: (n_runs,) index of the run's seeds.
        starts: (n_runs + 1,) the rows of run i are ``starts[i]`` to ``starts[i + 1]``; a run has at least one.
        epochs: (n_rows,) from 1.
        values: (n_rows,) the metric in its own direction; NaN = not finite or not measured.
        sides: name -> (n_rows,) the other metrics, likewise.
    """

    position: Mapping[str, int]
    config_ids: tuple[str, ...]
    stages: tuple[str, ...]
    replicates: Indices
    starts: Indices
    epochs: Indices
    values: Floats
    sides: Mapping[str, Floats]

    def best_rows(self, sign: int, until: Indices | None = None) -> Indices:
        """The row of each run's best value, the first among equals; -1 without a finite value.

        Args:
            sign: +1 when higher is better, -1 when lower is.
            until: (n_runs,) the last epoch of each run that counts; None = all.

        Returns:
            (n_runs,) indices into `values`.
        """
        rows = np.full(len(self.config_ids), -1, dtype=np.int64)
        if not len(self.values):
            return rows
        height = np.where(np.isfinite(self.values), sign * self.values, -np.inf)
        run = np.repeat(np.arange(len(rows)), np.diff(self.starts))
        if until is not None:
            height = np.where(self.epochs <= until[run], height, -np.inf)
        peak = np.maximum.reduceat(height, self.starts[:-1])
        at_peak = np.flatnonzero((height == peak[run]) & np.isfinite(height))
        runs, first = np.unique(run[at_peak], return_index=True)
        rows[runs] = at_peak[first]
        return rows

    def last_epochs(self) -> Indices:
        """(n_runs,) the largest recorded epoch."""
        return self.epochs[self.starts[1:] - 1]

    def at(self, row: int) -> dict[str, float]:
        """The finite side metrics of a row."""
        found = {name: float(column[row]) for name, column in self.sides.items()}
        return {name: value for name, value in found.items() if np.isfinite(value)}


def read_curves(epochs: pa.Table, metric: str) -> Curves:
    """Sort the table `epochs` by run and epoch.

    Args:
        epochs: `ResultsStore.epochs()`, one row per (trial_key, epoch), in any order.
        metric: a column of it.
    """
    keys = epochs.column("trial_key").combine_chunks().dictionary_encode()
    run = keys.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    epoch = epochs.column("epoch").to_numpy()
    order = np.lexsort((epoch, run))
    starts = np.searchsorted(run[order], np.arange(len(keys.dictionary) + 1))
    last = order[starts[1:] - 1]
    owner = epochs.select(["config_id", "stage", "replicate"]).take(last)
    return Curves(
        position={key: i for i, key in enumerate(keys.dictionary.to_pylist())},
        config_ids=tuple(owner.column("config_id").to_pylist()),
        stages=tuple(owner.column("stage").to_pylist()),
        replicates=owner.column("replicate").to_numpy(),
        starts=starts,
        epochs=epoch[order],
        values=_finite(epochs, metric)[order],
        sides={name: _finite(epochs, name)[order] for name in SIDE_METRICS},
    )


def _finite(epochs: pa.Table, name: str) -> Floats:
    """A column as float64, NaN where it is null or not finite."""
    column = epochs.column(name).to_numpy().astype(np.float64)
    return np.where(np.isfinite(column), column, np.nan)
