"""One frozen dataclass per kind of row: what happened, to which trial, when.

Values only: no file is touched here, and no statistic is computed. The columns and their units are
declared once more, for pyarrow, in `schema.py`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: Stages, that is why a run is run. Screen: until the policy stops it, or it ends; every other stage of the same run
#: comes later.
SCREEN = "screen"
#: A further seed, or the rest of a stopped run, of a config that can still be the best.
ALLOCATE = "allocate"
#: Runs on seeds that took no part in choosing: they judge the choice and are never part of it.
CONFIRM = "confirm"
#: The rest of a stopped run after the search: what did stopping it cost? Also the policy of the decisions of an audit.
AUDIT = "audit"
#: The policy of decisions to go on with runs that had all their epochs, because their sweep was given more of them.
EXTENSION = "extension"


class RunStatus(StrEnum):
    """How a run ended. A failure is a status, never a NaN in a mean."""

    FINISHED = "finished"  #: by itself: all its epochs, or its own patience
    STOPPED = "stopped"  #: by the policy, before its end: it has no final score
    FAILED = "failed"  #: by an error that is neither of the two below
    DIVERGED = "diverged"  #: the loss or the metric became NaN or infinite
    OUT_OF_MEMORY = "out_of_memory"  #: the device or the host ran out of memory


#: statuses of runs that ended without a score through no choice of the policy.
FAILURES = frozenset({RunStatus.FAILED, RunStatus.DIVERGED, RunStatus.OUT_OF_MEMORY})


@dataclass(frozen=True)
class ConfigRecord:
    """One configuration that was suggested.

    Attributes:
        config_id: content hash of the values.
        values: parameter name to value (bool, int, float, str or None).
        origin: who suggested it, e.g. ``random`` or ``grid``.
        label: a name for people, or None.
    """

    config_id: str
    values: Mapping[str, object]
    origin: str
    label: str | None = None


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one trial; the columns are described in `schema.EPOCHS`. None = was not measured."""

    sweep_id: str
    trial_key: str
    config_id: str
    replicate: int
    seed_init: int
    seed_order: int
    seed_augment: int
    epoch: int
    stage: str
    train_loss: float | None
    val_loss: float | None
    val_iou: float | None
    val_f1: float | None
    val_precision: float | None
    val_recall: float | None
    best_threshold: float | None
    best_threshold_iou: float | None
    lr: float | None
    epoch_seconds: float | None
    data_seconds: float | None
    patches_per_second: float | None
    peak_memory_bytes: int | None
    node: str
    device: str
    timestamp: float
    event: int | None = None


@dataclass(frozen=True)
class RunRecord:
    """The end of one trial; the columns are described in `schema.RUNS`."""

    sweep_id: str
    trial_key: str
    config_id: str
    replicate: int
    seed_init: int
    seed_order: int
    seed_augment: int
    stage: str
    status: RunStatus
    epochs: int
    best_epoch: int | None
    best_value: float | None
    reason: str
    error: str | None
    wall_seconds: float
    timestamp: float
    event: int | None = None


@dataclass(frozen=True)
class DecisionRecord:
    """One decision of the policy and what it rests on; the columns are described in `schema.DECISIONS`."""

    sweep_id: str
    trial_key: str
    config_id: str
    replicate: int
    epoch: int
    rung: int | None
    statistic: float | None
    n: int | None
    threshold: float | None
    action: str
    reason: str
    policy: str
    timestamp: float
    stage: str | None = None
    event: int | None = None


@dataclass(frozen=True)
class PatchRecord:
    """Pixel counts of one validation patch at a run's best epoch; columns in `schema.PATCHES`."""

    sweep_id: str
    trial_key: str
    config_id: str
    replicate: int
    epoch: int
    patch_id: int
    tp: int
    fp: int
    fn: int


@dataclass(frozen=True)
class ThresholdRecord:
    """Pixel counts of the validation split at one threshold, at a run's best epoch; columns in `schema.THRESHOLDS`."""

    sweep_id: str
    trial_key: str
    config_id: str
    replicate: int
    epoch: int
    threshold: float
    tp: int
    fp: int
    fn: int
