"""One training run, epoch by epoch: the loop that everything else in this package serves.

`train` is a generator, so whoever consumes it decides after every epoch whether to go on; it knows nothing
about tuning. On the CPU equal settings, seeds, data and number of threads give equal bits, whatever the
global generators hold, and whether or not the run was interrupted between two epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landslide.augment import Augmentation, build_augmentation
from landslide.batches import Normalisation, load_batch
from landslide.checkpoint import ModelInfo, library_versions, save_model, save_patches
from landslide.device import out_of_memory_named, peak_memory_bytes, start_counting_memory
from landslide.errors import DatasetError, Diverged
from landslide.evaluate import Assessment, assess
from landslide.losses import Loss, build_loss, pos_weight
from landslide.metrics import EpochMetrics, PatchCounts, f1, iou, precision, recall
from landslide.model import build_model, check_patch_size
from landslide.packed import PackedDataset
from landslide.randomness import epoch_order, layer_seed, patch_generator, torch_generators_set_to
from landslide.resume import RunIdentity, restore_state, save_state
from landslide.schedules import build_schedule, step_schedule
from landslide.settings import Seeds, TrainSettings

BEST = "best.pt"
BEST_PATCHES = "best_patches.npz"


def train(
    settings: TrainSettings,
    seeds: Seeds,
    *,
    data: PackedDataset,
    device: str,
    checkpoint_dir: Path | None = None,
    known_epochs: int = 0,
) -> Iterator[EpochMetrics]:
    """Train one model and measure it on the validation split after every epoch.

    The iterator ends after `settings.epochs`, or earlier when `settings.patience` epochs have passed
    without a better validation IoU. With a `checkpoint_dir` each epoch leaves, before it is yielded,
    `best.pt` (a checkpoint that `load_model` reads) and `best_patches.npz` (arrays patch_id, tp, fp, fn of
    the validation patches at threshold 0.5 and the number `epoch`, all int64) if its validation IoU is the
    best so far, and `last.pt`. A run that finds its `last.pt` goes on after it as if it had never stopped.

    An epoch draws as many patches as the training split has. An incomplete last batch is used, unless it is a
    single patch: batch normalisation cannot learn from one.

    Args:
        settings: what to train.
        seeds: where the randomness comes from.
        data: "train" and "val" splits.
        device: "cpu", "cuda" or "cuda:" and an index. Set the number of CPU threads before (`set_threads`).
        checkpoint_dir: created if missing; None keeps nothing on disk.
        known_epochs: epochs up to this number are not yielded, because the caller has their metrics already;
            saved ones after it are yielded first, as they were.

    Yields:
        The metrics of each epoch after `known_epochs`, in order.

    Raises:
        DatasetError: the data cannot be trained on, for example for want of landslides.
        ModelError: no such model, or `checkpoint_dir` holds another run.
        Diverged: the loss or the model's answers stopped being finite.
        OutOfMemory: a batch did not fit the device.
    """
    _check_data(data)
    what = f"{settings.architecture} with {settings.backbone} and batches of {settings.batch_size}"
    with out_of_memory_named(what, device):
        run = _prepare(settings, seeds, data, torch.device(device))
    identity = RunIdentity.of(settings, seeds, data_id=data.data_id, device=run.device)
    history: list[EpochMetrics] = []
    if checkpoint_dir is not None:
        checkpoint_dir.mkdir(parents=True, exist_ok=True)
        history = restore_state(checkpoint_dir, run.parts(), identity=identity, device=run.device)
    yield from (metrics for metrics in history if metrics.epoch > known_epochs)
    while len(history) < settings.epochs and not patience_is_over(history, settings.patience):
        with out_of_memory_named(what, device):
            metrics, patches = _epoch(run, epoch=len(history) + 1)
        is_best = not history or metrics.val_iou > max(past.val_iou for past in history)
        history.append(metrics)
        if checkpoint_dir is not None:
            if is_best:
                save_model(checkpoint_dir / BEST, run.model, _describe(run, metrics))
                save_patches(checkpoint_dir / BEST_PATCHES, patches, epoch=metrics.epoch)
            save_state(checkpoint_dir, run.parts(), history=history, identity=identity)
        if metrics.epoch > known_epochs:
            yield metrics


def patience_is_over(history: Sequence[EpochMetrics], patience: int) -> bool:
    """Whether `patience` epochs have passed since the first of the epochs with the best validation IoU."""
    if not history:
        return False
    best = max(history, key=lambda metrics: metrics.val_iou)  # max keeps the first among equals
    return history[-1].epoch - best.epoch >= patience


@dataclass(frozen=True)
class _Run:
    """The moving parts of a run and what they need; frozen, but the parts learn."""

    settings: TrainSettings
    seeds: Seeds
    data: PackedDataset
    device: torch.device
    normalisation: Normalisation
    augment: Augmentation
    model: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: Any  # a torch scheduler, or None for a constant learning rate
    scaler: torch.amp.GradScaler
    precision: torch.dtype  # of the forward pass; float32 means no mixed precision

    def parts(self) -> Mapping[str, Any]:
        """What has a state to save."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        return parts if self.schedule is None else {**parts, "schedule": self.schedule}


def _check_data(data: PackedDataset) -> None:
    problems = [f"the dataset has no {name!r} split" for name in ("train", "val") if name not in data.splits]
    if not problems:
        if len(data.splits["train"].ids) < 2:
            problems.append("the training split has fewer than 2 patches; batch normalisation needs 2")
        for name in ("train", "val"):
            if not data.splits[name].has_positive.any():
                problems.append(f"no patch of the {name!r} split has a landslide, so IoU would mean nothing")
    if problems:
        raise DatasetError([f"{data.path}: {problem}" for problem in problems])


def _prepare(settings: TrainSettings, seeds: Seeds, data: PackedDataset, device: torch.device) -> _Run:
    normalisation = Normalisation.of(data.statistics)
    model = build_model(settings, data.bands, seed=seeds.init)
    check_patch_size(model, data.bands, data.patch_size)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    mixed = settings.amp and device.type == "cuda"
    half = torch.bfloat16 if mixed and torch.cuda.is_bf16_supported() else torch.float16
    return _Run(
        settings=settings,
        seeds=seeds,
        data=data,
        device=device,
        normalisation=normalisation,
        augment=build_augmentation(settings.augmentation, means=normalisation.means, stds=normalisation.stds),
        model=model,
        loss=build_loss(
            settings.loss,
            positive_weight=pos_weight(data.positive_ratio, settings.max_pos_weight),
            device=device,
        ),
        optimizer=optimizer,
        schedule=build_schedule(settings.scheduler, optimizer),
        # bfloat16 has the range of float32, so only float16 gradients need scaling
        scaler=torch.amp.GradScaler(device.type, enabled=mixed and half is torch.float16),
        precision=half if mixed else torch.float32,
    )


def _epoch(run: _Run, *, epoch: int) -> tuple[EpochMetrics, PatchCounts]:
    """Train for one epoch, measure, and move the schedule."""
    started, lr = time.perf_counter(), float(run.optimizer.param_groups[0]["lr"])
    start_counting_memory(run.device)
    train_loss, data_seconds = _train_epoch(run, epoch)
    trained = time.perf_counter()
    if not math.isfinite(train_loss):
        raise Diverged(f"the training loss of epoch {epoch} is {train_loss}; a lower lr may help")
    try:
        seen = assess(
            run.model,
            run.data.splits["val"],
            normalisation=run.normalisation,
            device=run.device,
            loss=run.loss,
        )
    except Diverged as error:
        raise Diverged(f"after epoch {epoch} {error}; a lower lr may help") from error
    step_schedule(run.schedule, val_iou=iou(seen.counts))
    ended = time.perf_counter()
    metrics = _metrics(
        seen,
        epoch=epoch,
        train_loss=train_loss,
        lr=lr,
        epoch_seconds=ended - started,
        data_seconds=data_seconds,
        patches_per_second=len(run.data.splits["train"].ids) / (trained - started),
        peak_memory_bytes=peak_memory_bytes(run.device),
        device=str(run.device),
    )
    return metrics, seen.patches


def _train_epoch(run: _Run, epoch: int) -> tuple[float, float]:
    """One pass of steps; returns the mean loss over the drawn patches and the seconds spent reading."""
    split, size = run.data.splits["train"], run.settings.batch_size
    order = epoch_order(
        run.seeds.order, epoch, has_positive=split.has_positive, oversample=run.settings.oversample
    )
    # Summed on the device: asking for the loss of every step would make a GPU wait for Python.
    total, seen, data_seconds = torch.zeros((), dtype=torch.float64, device=run.device), 0, 0.0
    run.model.train()
    with torch_generators_set_to(layer_seed(run.seeds.init, epoch), run.device):
        for first in range(0, len(order), size):
            indices = order[first : first + size]
            if len(indices) == 1:
                break
            asked = time.perf_counter()
            images, targets = load_batch(split, indices, normalisation=run.normalisation, device=run.device)
            images, targets = _augmented(run, images, targets, epoch=epoch, first=first)
            data_seconds += time.perf_counter() - asked
            with torch.autocast(run.device.type, dtype=run.precision, enabled=run.precision != torch.float32):
                logits = run.model(images)
            loss = run.loss(logits.float(), targets)
            run.optimizer.zero_grad(set_to_none=True)
            run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            run.scaler.step(run.optimizer)
            run.scaler.update()
            total += loss.detach().double() * len(indices)
            seen += len(indices)
    return float(total) / seen, data_seconds


def _augmented(
    run: _Run, images: torch.Tensor, targets: torch.Tensor, *, epoch: int, first: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch with each patch augmented by its own generator; `first` is the position of its first patch."""
    pairs = [
        run.augment(image, target[0], patch_generator(run.seeds.augment, epoch, first + i))
        for i, (image, target) in enumerate(zip(images, targets, strict=True))
    ]
    stacked = torch.stack([image for image, _ in pairs]).contiguous(memory_format=torch.channels_last)
    return stacked, torch.stack([target for _, target in pairs])[:, None]


def _metrics(seen: Assessment, **measured: Any) -> EpochMetrics:
    assert seen.loss is not None
    best_threshold, best_iou = seen.sweep.best()
    return EpochMetrics(
        val_loss=seen.loss,
        val_iou=iou(seen.counts),
        val_f1=f1(seen.counts),
        val_precision=precision(seen.counts),
        val_recall=recall(seen.counts),
        best_threshold=best_threshold,
        best_threshold_iou=best_iou,
        **measured,
    )


def _describe(run: _Run, metrics: EpochMetrics) -> ModelInfo:
    return ModelInfo(
        encoder_name=run.settings.backbone,
        in_channels=run.data.bands,
        patch_size=run.data.patch_size,
        normalisation=run.normalisation,
        metrics={
            "val_iou": metrics.val_iou,
            "val_f1": metrics.val_f1,
            "val_precision": metrics.val_precision,
            "val_recall": metrics.val_recall,
        },
        training_epochs=metrics.epoch,
        architecture=run.settings.architecture,
        threshold=metrics.best_threshold,
        data_id=run.data.data_id,
        settings=run.settings.to_dict(),
        seeds=run.seeds.to_dict(),
        versions=library_versions(),
    )
