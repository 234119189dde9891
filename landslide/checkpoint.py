"""The model file: what the downstream inference pipeline loads, and what every part of this project loads.

The file holds plain Python values and tensors only, so `torch.load(..., weights_only=True)` reads it, and a
U-Net is rebuilt from it as `smp.Unet(encoder_name, encoder_weights=None, in_channels=in_channels,
classes=1)`. Keys may be added; none of the contract's may be renamed or dropped. The state of an unfinished
run is the affair of `landslide.resume`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from landslide.batches import Normalisation
from landslide.contract import read_checkpoint
from landslide.errors import ModelError
from landslide.metrics import PatchCounts, ThresholdCounts
from landslide.model import rebuild_model
from landslide.moving import move
from landslide.settings import REPORTING_THRESHOLD

#: What a checkpoint says about the model's quality, each by its name in `EpochMetrics`.
METRIC_NAMES = ("val_iou", "val_f1", "val_precision", "val_recall")
#: What a checkpoint says about training data whose name nobody told.
UNNAMED = "unnamed"


@dataclass(frozen=True)
class ModelInfo:
    """What a checkpoint says about its model.

    Attributes:
        encoder_name: encoder of segmentation_models_pytorch.
        in_channels: number of bands.
        patch_size: side of the training patches in pixels.
        normalisation: to be applied to raw band values.
        metrics: those of `METRIC_NAMES`, at threshold 0.5, higher is better.
        training_epochs: epochs trained when these weights were the best so far.
        architecture: key of `landslide.model.ARCHITECTURES`; "unet" where the file does not say.
        threshold: the probability threshold with the highest validation IoU; 0.5 where the file does not say.
        dataset: name of the training data; see `landslide.run.dataset_name`.
        data_id: `PackedDataset.data_id` of the training data, or None where the file does not say.
        settings: the training settings by name; empty where the file does not say.
        seeds: the seeds by name; empty where the file does not say.
        versions: library versions by name; empty where the file does not say.
        model_version: the name that the pipeline knows the model by. Made of architecture and encoder where
            it is not given; it always has "ls4s" in it, whatever the training data were.
    """

    encoder_name: str
    in_channels: int
    patch_size: int
    normalisation: Normalisation
    metrics: Mapping[str, float]
    training_epochs: int
    architecture: str = "unet"
    threshold: float = REPORTING_THRESHOLD
    dataset: str = UNNAMED
    data_id: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    model_version: str = ""

    def __post_init__(self) -> None:
        if not self.model_version:
            version = f"landslide-{self.architecture}-{self.encoder_name}-ls4s-v1"
            object.__setattr__(self, "model_version", version)

    def check_bands(self, bands: int, where: str) -> None:
        """Raise `ModelError` unless `where` (as in "the dataset") has as many bands as the training data."""
        if bands != self.in_channels:
            raise ModelError(
                f"{where} has {bands} bands, but {self.model_version} was trained on {self.in_channels}; "
                f"give it the bands of its training data, in their order"
            )


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode on the CPU, and what its file says about it."""

    model: nn.Module
    info: ModelInfo


def save_model(path: Path, model: nn.Module, info: ModelInfo) -> None:
    """Write a checkpoint; a reader sees the whole file or the one before it.

    Args:
        path: in an existing folder.
        model: of `info.architecture` and `info.encoder_name`, built with the defaults.
        info: what to say about it.

    Raises:
        OSError: the file cannot be written.
    """
    # Contiguous copies on the CPU: a reader need not have our device nor our memory format.
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    checkpoint = {
        "model_state_dict": weights,
        "encoder_name": info.encoder_name,
        "in_channels": info.in_channels,
        "model_version": info.model_version,
        "patch_size": info.patch_size,
        "normalization": {"means": list(info.normalisation.means), "stds": list(info.normalisation.stds)},
        "metrics": {name: float(value) for name, value in info.metrics.items()},
        "dataset": info.dataset,
        "training_epochs": info.training_epochs,
        "arch": info.architecture,
        "threshold": float(info.threshold),
        "data_id": info.data_id,
        "config": dict(info.settings),
        "seeds": dict(info.seeds),
        "versions": dict(info.versions),
    }
    replace_file(path, lambda file: torch.save(checkpoint, file))


def save_patches(path: Path, patches: PatchCounts, *, thresholds: ThresholdCounts, epoch: int) -> None:
    """Write the validation counts that belong to a checkpoint: per patch, and pooled at several thresholds.

    Both are in one file, so that no kill can leave those of two epochs beside each other.

    Args:
        path: an .npz file in an existing folder; gets the arrays patch_id, tp, fp and fn, shape (N,), int64, the
            array threshold, shape (T,), float64, the arrays threshold_tp, threshold_fp and threshold_fn, shape
            (T,), int64, and the number `epoch`, int64.
        patches: at threshold 0.5.
        thresholds: of the same predictions.
        epoch: of the checkpoint, from 1.
    """
    arrays: dict[str, Any] = {
        "patch_id": patches.patch_id,
        "tp": patches.tp,
        "fp": patches.fp,
        "fn": patches.fn,
        "threshold": thresholds.threshold,
        "threshold_tp": thresholds.tp,
        "threshold_fp": thresholds.fp,
        "threshold_fn": thresholds.fn,
        "epoch": np.int64(epoch),
    }
    replace_file(path, lambda file: np.savez(file, **arrays))


def saved_patches_epoch(path: Path) -> int | None:
    """The epoch that a file of `save_patches` belongs to; None where there is no such file or it is torn."""
    try:
        with np.load(path) as arrays:
            return int(arrays["epoch"])
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def load_model(path: Path) -> LoadedModel:
    """Load a checkpoint, ours or any other that keeps the contract.

    Raises:
        ModelError: the file is missing, unreadable, breaks the contract, or holds weights that do not fit
            its own description.
    """
    checkpoint = read_checkpoint(Path(path))
    info = _info(checkpoint)
    try:
        model = rebuild_model(info.architecture, info.encoder_name, info.in_channels)
    except ModelError as error:
        raise ModelError([f"{path}: {problem}" for problem in error.problems]) from error
    try:
        model.load_state_dict(checkpoint["model_state_dict"])
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise ModelError(
            f"{path}: the weights do not fit {info.model_version} with {info.in_channels} bands "
            f"({'; '.join(line[:200] for line in lines[:3])}); it was saved from another model than it says"
        ) from error
    return LoadedModel(model.eval(), info)


def library_versions() -> dict[str, str]:
    """Versions of what decides the bits of a training run, by name; what is not installed is absent."""
    found = {}
    for name in ("landslide-tune", "torch", "segmentation-models-pytorch", "timm", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file next to `path`, force it to disk, and move it to `path`.

    Raises:
        OSError: the disk is full, the folder is missing or not writable; `path` is then as it was.
    """
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        move(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _info(checkpoint: Mapping[str, Any]) -> ModelInfo:
    scale = checkpoint["normalization"]
    return ModelInfo(
        encoder_name=checkpoint["encoder_name"],
        in_channels=checkpoint["in_channels"],
        patch_size=checkpoint["patch_size"],
        normalisation=Normalisation(tuple(map(float, scale["means"])), tuple(map(float, scale["stds"]))),
        metrics={str(name): float(value) for name, value in checkpoint["metrics"].items()},
        training_epochs=checkpoint["training_epochs"],
        architecture=checkpoint.get("arch", "unet"),
        threshold=float(checkpoint.get("threshold", REPORTING_THRESHOLD)),
        dataset=checkpoint["dataset"],
        data_id=checkpoint.get("data_id"),
        settings=checkpoint.get("config", {}),
        seeds=checkpoint.get("seeds", {}),
        versions=checkpoint.get("versions", {}),
        model_version=checkpoint["model_version"],
    )
