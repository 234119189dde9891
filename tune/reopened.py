"""Runs that go on because their sweep was given more epochs, as rows that a replay understands. Trains nothing.

A run that had all its epochs goes on from its `last.pt`. One that ended by its patience is complete, however many
epochs there are; and what was stopped or has failed stays as it is. Which runs go on follows from the rows and from the
number of epochs, so a crash while they are put on record costs nothing.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from results import DecisionRecord, ResultsStore
from results.curves import read_curves
from results.extended import ended_runs
from results.records import EXTENSION, RunStatus
from results.storage.kept_checkpoints import KeptCheckpoint
from results.storage.location import RunUrl
from results.storage.object_store import RunObjects
from search_spaces import Config
from tune.event_log import told_event
from tune.schedulers import CONFIRM, Action
from tune.sweep import Sweep

#: Most trials that a message names.
_MOST = 8


def reopen(sweep: Sweep, store: ResultsStore) -> int:
    """Put on record which runs go on, those that are not yet; says how many.

    Args:
        sweep: as it was extended.
        store: open for writing; nobody has taken up the sweep yet.
    """
    if not any("max_epochs" in entry["changed"] for entry in store.sweep.get("extensions", ())):
        return 0
    found = _cut_off(sweep, store)
    for event, end in enumerate(found, last_event(store) + 1):
        reason = f"it had all of its {end['epochs']} epochs, and the sweep was given {sweep.max_epochs}"
        store.add_decision(
            DecisionRecord(
                sweep_id=str(store.sweep["sweep_id"]),
                trial_key=end["trial_key"],
                config_id=end["config_id"],
                replicate=end["replicate"],
                epoch=end["epochs"],
                rung=None,
                statistic=end["best_value"],
                n=0,
                threshold=None,
                action=Action.RESUME.value,
                reason=reason,
                policy=EXTENSION,
                timestamp=time.time(),
                stage=end["stage"],
                event=event,
            )
        )
    store.flush()
    return len(found)


def needed_epochs(sweep: Sweep, store: ResultsStore) -> int:
    """Epochs that the search's runs which would go on need at most to come to the sweep's `max_epochs`."""
    return sum(sweep.max_epochs - end["epochs"] for end in _cut_off(sweep, store) if end["stage"] != CONFIRM)


def last_event(store: ResultsStore) -> int:
    """The number of the last event on record, or that `sweep.json` tells of; 0 without one."""
    tables = (store.epochs(), store.decisions(), store.runs())
    return max(told_event(store.sweep), *(pc.max(table.column("event")).as_py() or 0 for table in tables))


def lost_epochs(store: ResultsStore, url: RunUrl | None) -> dict[str, int]:
    """Of each trial under way, the epochs on record that its last.pt does not have: they are trained again.

    Args:
        store: of the sweep.
        url: of the run directory, if it is in a bucket: there are checkpoints too.
    """
    from landslide.resume import saved_epochs

    ended = {*ended_runs(store.runs(), store.decisions()).column("trial_key").to_pylist()}
    epochs = store.epochs().group_by("trial_key").aggregate([("epoch", "max")]).to_pylist()
    recorded = {row["trial_key"]: row["epoch_max"] for row in epochs if row["trial_key"] not in ended}
    folder = store.run_dir / "checkpoints"
    lost = {key: n - saved_epochs(folder / key) for key, n in recorded.items()}
    lost = {key: n for key, n in lost.items() if n > 0}
    if lost and url is not None:
        objects = RunObjects(url)
        lost = {key: min(n, recorded[key] - KeptCheckpoint(objects, key).epochs()) for key, n in lost.items()}
    return {key: n for key, n in lost.items() if n > 0}


def told_lost(lost: Mapping[str, int], folder: Path) -> str:
    """What to do about `lost_epochs`, in a sentence."""
    named = ", ".join(sorted(lost)[:_MOST]) + (" and others" if len(lost) > _MOST else "")
    return (
        f"{len(lost)} run(s) that go on have no last.pt in {folder}, a torn one or an older one, and train "
        f"{sum(lost.values())} epochs again that are on record: {named}. To spare that, stop now with Ctrl-C, bring "
        "their folders from where they were trained, and resume"
    )


def _cut_off(sweep: Sweep, store: ResultsStore) -> list[dict[str, Any]]:
    """The ends of runs that ended because there were no more epochs, in the order in which they ended."""
    ends = ended_runs(store.runs(), store.decisions())
    short = (pc.field("status") == RunStatus.FINISHED.value) & (pc.field("epochs") < sweep.max_epochs)
    rows = ends.filter(short).to_pylist()
    patience = {
        row["config_id"]: sweep.settings(Config(json.loads(row["values_json"]))).patience
        for row in store.configs().select(["config_id", "values_json"]).to_pylist()
    }
    curves = read_curves(store.epochs(), "val_iou")

    def cut_off(row: Mapping[str, Any]) -> bool:
        i = curves.position[row["trial_key"]]
        values = curves.values[curves.starts[i] : curves.starts[i + 1]]
        return not patience_was_over(values.tolist(), patience[row["config_id"]])

    return sorted(filter(cut_off, rows), key=lambda row: (row["event"] or 0, row["trial_key"]))


def patience_was_over(val_iou: Sequence[float], patience: int) -> bool:
    """Whether a run with these validation IoUs ended by its patience, as `landslide.train` decides it.

    Args:
        val_iou: of each epoch, from the first; NaN where it is not known, which is never the best.
        patience: epochs without a better one.
    """
    best = max((value for value in val_iou if not math.isnan(value)), default=None)
    return best is not None and len(val_iou) - (val_iou.index(best) + 1) >= patience
