"""The only translator between what a trial reports and the rows of the store. Single writer, on the driver.

A full disk must not end a sweep: rows that could not be written stay in the store's memory and are tried again, and
the failure is said once. It decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from results import (
    ConfigRecord,
    DecisionRecord,
    EpochRecord,
    PatchRecord,
    ResultsStore,
    RunRecord,
    RunStatus,
    StoreError,
)
from results.records import ThresholdRecord
from results.storage.kept_checkpoints import PATCHES, epoch_of
from search_spaces import Config
from tune.schedulers import Decision
from tune.trial import TrialSpec

#: What a trial measures, by the names that the store has for it.
_METRICS = (
    "train_loss",
    "val_loss",
    "val_iou",
    "val_f1",
    "val_precision",
    "val_recall",
    "best_threshold",
    "best_threshold_iou",
    "lr",
    "epoch_seconds",
    "data_seconds",
    "patches_per_second",
    "peak_memory_bytes",
)

#: The key in sweep.json under which it stands after which event the searcher had no further config.
EXHAUSTED = "configs_exhausted_after"

#: What a run leaves beside its best checkpoint, by the names in that file and in the order of the record's fields.
_PATCHES = ("patch_id", "tp", "fp", "fn")
_THRESHOLDS = ("threshold", "threshold_tp", "threshold_fp", "threshold_fn")


class Recorder:
    """Writes what happens to a store.

    Args:
        store: where the rows go.
        sweep_id: the sweep they belong to.
        checkpoints: the folder with one folder per trial.
        warn: told once about rows that could not be written yet.
        bring: brings the counts of a trial that ran on another node into its folder, and raises OSError when it cannot;
            None where all nodes see that folder.
        clock: seconds since the epoch; an argument so that tests need no waiting.
    """

    def __init__(
        self,
        store: ResultsStore,
        *,
        sweep_id: str,
        checkpoints: Path,
        warn: Callable[[str], None],
        bring: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._sweep_id, self._checkpoints = store, sweep_id, checkpoints
        self._warn, self._bring, self._clock, self._warned = warn, bring, clock, False
        self._owed: dict[
            str, tuple[TrialSpec, int]
        ] = {}  # counts of ended runs that could not be fetched yet

    def config(self, config: Config, *, origin: str) -> None:
        """A config was proposed."""
        self._write(
            self._store.add_config, ConfigRecord(config.config_id, dict(config), origin, config.label)
        )

    def exhausted(self, event: int) -> None:
        """The searcher had no further config when it was asked after this event; what came before is on disk."""
        self.flush()
        self._write(self._store.note, {EXHAUSTED: event})

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, Any], *, node: str, event: int) -> None:
        """A trial reported an epoch; a metric that it did not measure is null, never a number."""
        measured: dict[str, Any] = {name: metrics.get(name) for name in _METRICS}
        who: dict[str, Any] = self._who(spec)
        where = {"node": node, "device": metrics["device"], "timestamp": self._clock(), "event": event}
        self._write(self._store.add_epoch, EpochRecord(epoch=metrics["epoch"], **who, **where, **measured))

    def decision(
        self, spec: TrialSpec, decision: Decision, *, epoch: int, policy: str, event: int | None
    ) -> None:
        """The policy started or judged a run, or chose its config."""
        record = DecisionRecord(
            sweep_id=self._sweep_id,
            trial_key=spec.trial_key,
            config_id=spec.config.config_id,
            replicate=spec.replicate.index,
            epoch=epoch,
            rung=decision.rung,
            statistic=decision.statistic,
            n=decision.n,
            threshold=decision.threshold,
            action=decision.action.value,
            reason=decision.reason,
            policy=policy,
            timestamp=self._clock(),
            stage=spec.stage,
            event=event,
        )
        self._write(self._store.add_decision, record)

    def run(self, spec: TrialSpec, status: RunStatus, **outcome: Any) -> None:
        """A run ended; `outcome` holds epochs, best_epoch, best_value, reason, error, wall_seconds and event."""
        if outcome["best_epoch"] is not None:
            self._owed[spec.trial_key] = (spec, outcome["best_epoch"])
            self.settle()
            self.flush()  # before the end is recorded: a run that has ended is never looked at again
        record = RunRecord(**self._who(spec), status=status, timestamp=self._clock(), **outcome)
        self._write(self._store.add_run, record)
        self.flush()

    def flush(self) -> None:
        """Make everything durable now."""
        self._write(lambda _: self._store.flush(), None)

    def tick(self) -> None:
        """Called often: rows that have waited long enough become durable."""
        self._write(lambda _: self._store.tick(), None)

    def _who(self, spec: TrialSpec) -> dict[str, Any]:
        seeds = {f.name: getattr(spec.replicate, f.name) for f in fields(spec.replicate) if f.name != "index"}
        return {
            "sweep_id": self._sweep_id,
            "trial_key": spec.trial_key,
            "config_id": spec.config.config_id,
            "replicate": spec.replicate.index,
            "stage": spec.stage,
            **seeds,
        }

    def owe(self, ended: Iterable[tuple[TrialSpec, int]]) -> None:
        """Take over what an earlier process could not fetch, of these ended runs, each with its best epoch."""
        if self._bring is not None:
            there = set(self._store.patches().column("trial_key").to_pylist())
            self._owed |= {
                spec.trial_key: (spec, best) for spec, best in ended if spec.trial_key not in there
            }

    def settle(self) -> bool:
        """Record the counts that are owed; False when the bucket or the disk still keeps us from it."""
        for key, (spec, best_epoch) in list(self._owed.items()):
            try:
                self._bring_counts(spec, best_epoch)
            except OSError as error:
                if key == list(self._owed)[-1]:
                    self._warn(f"the counts of {key} could not be fetched yet: {error}")
                return False
            self._best_counts(spec)
            del self._owed[key]
        return True

    def _bring_counts(self, spec: TrialSpec, best_epoch: int) -> None:
        """Fetch the counts where those here are not of the run's best epoch; raises OSError."""
        path = self._checkpoints / spec.trial_key / PATCHES
        if self._bring is not None and epoch_of(path) != best_epoch:
            self._bring(spec.trial_key)

    def _best_counts(self, spec: TrialSpec) -> None:
        """Copy the counts of the best epoch, per patch and by threshold, that the trial leaves beside its checkpoint.

        The epoch is the file's own: that of the weights that the counts belong to, whatever the sweep judges by.
        """
        path = self._checkpoints / spec.trial_key / PATCHES
        who = (self._sweep_id, spec.trial_key, spec.config.config_id, spec.replicate.index)
        try:
            with np.load(path) as counts:
                epoch = counts["epoch"].item()
                patches = [PatchRecord(*who, epoch, *row) for row in _rows(counts, _PATCHES)]
                # A run of an older version has no counts by threshold, and then no such rows.
                found = _rows(counts, _THRESHOLDS) if _THRESHOLDS[0] in counts else ()
                thresholds = [ThresholdRecord(*who, epoch, *row) for row in found]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            self._warn(
                f"{path} cannot be read ({error}): the counts of {spec.trial_key}, per patch and by threshold, "
                "are missing"
            )
            return
        self._write(self._store.add_patches, patches)
        self._write(self._store.add_thresholds, thresholds)

    def _write(self, add: Callable[[Any], None], record: Any) -> None:
        try:
            add(record)
        except StoreError as error:
            if not self._warned:
                self._warn(str(error))  # it says whether its rows are kept, and where
            self._warned = True
        else:
            self._warned = False


def _rows(arrays: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of equally long arrays, as plain Python values."""
    return zip(*(arrays[name].tolist() for name in names), strict=True)
