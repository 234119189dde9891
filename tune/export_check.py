"""Before a checkpoint is shipped: does it still score on the validation split what was recorded for it?

Catches a checkpoint that was overwritten, damaged or mixed up, and data that changed since. Ships nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.errors import ExportError
from tune.dataset import open_dataset

if TYPE_CHECKING:
    from landslide import Evaluation, PackedDataset

#: largest difference of the IoU: float rounding, far below one pixel of any real split.
TOLERANCE = 1e-6


def recorded_data(sweep: Mapping[str, Any]) -> PackedDataset:
    """The dataset that a sweep was run on: its packed cache if it is still there, else packed again.

    Args:
        sweep: `ResultsStore.sweep`, with data_dir, cache_path and data_id.

    Raises:
        DatasetError: neither the cache nor the dataset can be opened.
        ExportError: the data are not those that the sweep was run on.
    """
    from landslide import DatasetError, load_packed

    try:
        data = load_packed(Path(sweep["cache_path"]))
    except DatasetError:
        data = open_dataset(sweep["data_dir"])
    if data.data_id != sweep["data_id"]:
        raise ExportError(
            f"{sweep['data_dir']} has changed since the sweep (data id {data.data_id}, recorded "
            f"{sweep['data_id']}): the checkpoint cannot be checked; bring the old data back"
        )
    return data


def verify_checkpoint(path: Path, data: PackedDataset, recorded_iou: float, device: str) -> Evaluation:
    """Load a checkpoint, evaluate it on the validation split, and compare.

    Args:
        path: the checkpoint.
        data: from `recorded_data`.
        recorded_iou: validation IoU at threshold 0.5 that the sweep recorded for it.
        device: ``auto``, ``cpu`` or ``cuda``; another device than the training's can differ by some pixels.

    Returns:
        The evaluation, when its IoU is within `TOLERANCE` of the recorded one.

    Raises:
        ModelError: the file is not a checkpoint that can be loaded.
        ExportError: it scores something else.
    """
    from landslide import evaluate, load_model, resolve_device

    used = resolve_device(device)
    evaluation = evaluate(load_model(path), data.splits["val"], device=used)
    difference = abs(evaluation.iou - recorded_iou)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{path} scores a validation IoU of {evaluation.iou:.7f} on {used}, but {recorded_iou:.7f} was "
            "recorded: check on the device that it was trained on (--device), or pick another run (--pick)"
        )
    return evaluation
