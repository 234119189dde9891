"""The declared parquet schemas and their version: what a column means, its unit, whether it may be null.

Files are always written and read with these, never with an inferred schema: a first part that holds only
nulls in a column would otherwise make the whole folder unreadable, and a later column would be dropped in
silence. No file is opened here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from results.errors import StoreError

#: raised by one whenever a table or column is added, removed or changes its meaning; `migration.STEPS` says how.
SCHEMA_VERSION = 4
VERSION_KEY = b"landslide_tune.schema_version"
_METADATA = {VERSION_KEY: str(SCHEMA_VERSION).encode()}

_TEXT, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_TRIAL = (
    _required("sweep_id", _TEXT),  # content hash of the resolved sweep
    _required("trial_key", _TEXT),  # names one config x replicate; also its folder under checkpoints/
    _required("config_id", _TEXT),  # content hash of the values, no seed in it; joins configs.parquet
    _required("replicate", _INT),  # index from 0; the same index has the same seeds in every config
)
_SEEDS = (
    _required("seed_init", _INT),  # seed of the initial weights, 0 .. 2**63 - 1
    _required("seed_order", _INT),  # seed of the order of the patches
    _required("seed_augment", _INT),  # seed of the augmentation
)
_TIMESTAMP = _required("timestamp", _FLOAT)  # Unix seconds (UTC) at which the driver received the row
#: position in the sweep's log, from 1: what happened before what, whatever the clock says. A judgement, and the end of
#: a run that it stops, have the number of the epoch that was judged. null = recorded by a version before 3.
_EVENT = pa.field("event", _INT)

EPOCHS = pa.schema(
    [
        *_TRIAL,
        *_SEEDS,
        _required("epoch", _INT),  # counts from 1
        _required("stage", _TEXT),  # screen, allocate, confirm or study: why the trial was run
        pa.field("train_loss", _FLOAT),  # mean over the epoch's batches; lower is better; null = not measured
        pa.field("val_loss", _FLOAT),  # mean over the validation split; lower is better
        pa.field(
            "val_iou", _FLOAT
        ),  # 0..1, landslide class, pooled over all pixels, threshold 0.5; higher is better
        pa.field("val_f1", _FLOAT),  # as val_iou
        pa.field("val_precision", _FLOAT),  # as val_iou
        pa.field("val_recall", _FLOAT),  # as val_iou
        pa.field(
            "best_threshold", _FLOAT
        ),  # 0..1, the threshold with the highest validation IoU of this epoch
        pa.field("best_threshold_iou", _FLOAT),  # 0..1, the IoU there: optimistic, chosen on the same patches
        pa.field("lr", _FLOAT),  # learning rate at the end of the epoch
        pa.field("epoch_seconds", _FLOAT),  # seconds, training and validation
        pa.field("data_seconds", _FLOAT),  # seconds of it spent waiting for patches
        pa.field("patches_per_second", _FLOAT),  # training patches per second of training time
        pa.field("peak_memory_bytes", _INT),  # bytes, of the device when there is one; null = not measured
        _required("node", _TEXT),  # host name of the machine
        _required("device", _TEXT),  # cpu, cuda or the card's name
        _TIMESTAMP,
        _EVENT,
    ],
    metadata=_METADATA,
)

RUNS = pa.schema(
    [
        *_TRIAL,
        *_SEEDS,
        _required("stage", _TEXT),  # as in EPOCHS
        _required("status", _TEXT),  # a RunStatus: finished, stopped, failed, diverged, out_of_memory
        _required("epochs", _INT),  # epochs trained
        pa.field("best_epoch", _INT),  # epoch of best_value, from 1; null = no epoch had a value
        pa.field("best_value", _FLOAT),  # the sweep's metric there, in its own direction
        _required("reason", _TEXT),  # why it ended, in words
        pa.field("error", _TEXT),  # message of the error; null = none
        _required("wall_seconds", _FLOAT),  # sum of epoch_seconds: no start-up, no waiting
        _TIMESTAMP,
        _EVENT,
    ],
    metadata=_METADATA,
)

DECISIONS = pa.schema(
    [
        *_TRIAL,
        _required(
            "epoch", _INT
        ),  # epoch of the trial at which the decision was taken, from 1; 0 = before it ran
        pa.field("rung", _INT),  # milestone in epochs; null = the policy has no rungs
        pa.field("statistic", _FLOAT),  # what was compared, higher is better; null = nothing was
        pa.field("n", _INT),  # how many values the threshold rests on
        pa.field("threshold", _FLOAT),  # what it was compared with
        _required("action", _TEXT),  # start, resume, continue, pause, stop, choose; complete before version 3
        _required("reason", _TEXT),  # in words
        _required("policy", _TEXT),  # name of the policy
        _TIMESTAMP,
        pa.field("stage", _TEXT),  # of the run then, as in EPOCHS; null = recorded by a version before 3
        _EVENT,
    ],
    metadata=_METADATA,
)

PATCHES = pa.schema(
    [
        *_TRIAL,
        _required("epoch", _INT),  # the run's best epoch when the row was written
        _required("patch_id", _INT),  # number of the validation patch
        _required("tp", _INT),  # true positive pixels at threshold 0.5
        _required("fp", _INT),  # false positive pixels
        _required("fn", _INT),  # false negative pixels
    ],
    metadata=_METADATA,
)

THRESHOLDS = pa.schema(
    [
        *_TRIAL,
        _required("epoch", _INT),  # the run's best epoch when the row was written
        _required("threshold", _FLOAT),  # 0.025, 0.05 ... 0.975: landslide where the probability reaches it
        _required("tp", _INT),  # true positive pixels there, pooled over the validation split
        _required("fp", _INT),  # false positive pixels
        _required("fn", _INT),  # false negative pixels
    ],
    metadata=_METADATA,
)

#: leading columns of configs.parquet; one column per parameter follows.
CONFIG_COLUMNS = pa.schema(
    [
        _required("config_id", _TEXT),  # content hash of the values
        pa.field("label", _TEXT),  # a name for people
        _required("origin", _TEXT),  # who suggested it
        _required("values_json", _TEXT),  # the exact values; the typed columns are for queries
    ],
    metadata=_METADATA,
)


@dataclass(frozen=True)
class TableSchema:
    """A table of the store: folder name, declared columns, and the key of which the last row counts."""

    name: str
    arrow: pa.Schema
    key: tuple[str, ...]


CONFIGS = TableSchema("configs", CONFIG_COLUMNS, ("config_id",))
#: in the order in which they are written: the end of a run comes last, when all that belongs to it is on disk.
TABLES: Mapping[str, TableSchema] = {
    table.name: table
    for table in (
        TableSchema("epochs", EPOCHS, ("trial_key", "epoch")),
        TableSchema("decisions", DECISIONS, ("trial_key", "epoch", "rung", "action", "event")),
        TableSchema("patches", PATCHES, ("trial_key", "patch_id")),
        TableSchema("thresholds", THRESHOLDS, ("trial_key", "threshold")),
        TableSchema("runs", RUNS, ("trial_key",)),
    )
}


def check_version(version: int, where: str) -> None:
    """Refuse what a newer version of the program has written.

    Raises:
        StoreError: the version is above `SCHEMA_VERSION`.
    """
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{where} has schema version {version}, this program reads up to {SCHEMA_VERSION}: "
            "upgrade landslide-tune to read it"
        )


#: origin, label and values of a config.
ConfigEntry = tuple[str, str | None, Mapping[str, object]]


def config_table(configs: Mapping[str, ConfigEntry]) -> pa.Table:
    """configs.parquet as a table: the declared columns, then one typed column per parameter.

    Args:
        configs: config_id -> (origin, label, values). A parameter whose name is taken by a declared
            column gets the prefix ``param.``; a parameter with mixed types becomes text (JSON).
    """
    columns: dict[str, list[object]] = {
        "config_id": list(configs),
        "label": [label for _, label, _ in configs.values()],
        "origin": [origin for origin, _, _ in configs.values()],
        "values_json": [json.dumps(dict(values), sort_keys=True) for _, _, values in configs.values()],
    }
    fields = list(CONFIG_COLUMNS)
    names = dict.fromkeys(name for _, _, values in configs.values() for name in values)
    for name in names:
        column = [values.get(name) for _, _, values in configs.values()]
        kind = _column_type(column)
        if kind == _TEXT:
            column = [v if v is None or isinstance(v, str) else json.dumps(v) for v in column]
        elif kind == _FLOAT:
            column = [None if v is None else float(v) for v in column]  # type: ignore[arg-type]
        title = f"param.{name}" if name in CONFIG_COLUMNS.names else name
        columns[title] = column
        fields.append(pa.field(title, kind))
    return pa.table(columns, schema=pa.schema(fields, metadata=_METADATA))


def _column_type(column: Iterable[object]) -> pa.DataType:
    """The narrowest of bool, int64, float64 and text that holds all values of a parameter."""
    kinds = {type(value) for value in column if value is not None}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return _INT
    if kinds and kinds <= {int, float}:
        return _FLOAT
    return _TEXT


def config_values(configs: pa.Table) -> dict[str, dict[str, object]]:
    """The exact values of each config: config_id -> {parameter: value}."""
    texts = zip(
        configs.column("config_id").to_pylist(), configs.column("values_json").to_pylist(), strict=True
    )
    return {config_id: json.loads(text) for config_id, text in texts}
