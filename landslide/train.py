"""One training run, epoch by epoch: the loop that everything else in this package serves.

`train` is a generator, so whoever consumes it decides after every epoch whether to go on; it knows nothing
about tuning. On the CPU equal settings, seeds, data and number of threads give equal bits, whatever the
global generators hold, and whether or not the run was interrupted between two epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landslide.batches import load_batch
from landslide.checkpoint import load_model, save_model, save_patches, saved_patches_epoch
from landslide.device import (
    out_of_memory_named,
    peak_memory_bytes,
    reproducible_operations,
    start_counting_memory,
)
from landslide.errors import DatasetError, Diverged, ModelError
from landslide.evaluate import Assessment, assess
from landslide.metrics import EpochMetrics, f1, iou, precision, recall
from landslide.packed import PackedDataset
from landslide.randomness import epoch_order, layer_seed, patch_generator, torch_generators_set_to
from landslide.resume import RunIdentity, restore_state, save_state
from landslide.run import Run, data_problems, prepare_run
from landslide.schedules import step_schedule
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
    on_batch: Callable[[], None] | None = None,
) -> Iterator[EpochMetrics]:
    """Train one model and measure it on the validation split after every epoch.

    The iterator ends after `settings.epochs`, or earlier when `settings.patience` epochs have passed
    without a better validation IoU. With a `checkpoint_dir` each epoch leaves, before it is yielded,
    `last.pt` and, if its validation IoU is the best so far, `best.pt` (a checkpoint that `load_model` reads)
    and `best_patches.npz` (what `save_patches` writes: the counts of that epoch per validation patch, and pooled
    at 39 thresholds). A run that finds its `last.pt` goes on after it as if it had never stopped.

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
        on_batch: called whenever the model has been given a batch, in training as well as in validation; for whoever
            must know that a run which takes hours per epoch still goes on. On a GPU the batch may still be computed.

    Yields:
        The metrics of each epoch after `known_epochs`, in order.

    Raises:
        DatasetError: the data cannot be trained on, for example for want of landslides.
        ModelError: no such model, `checkpoint_dir` holds another run or a longer one, or its best
            checkpoint is missing.
        Diverged: the loss or the model's answers stopped being finite.
        OutOfMemory: a batch did not fit the device.
    """
    if problems := data_problems(data):
        raise DatasetError([f"{data.path}: {problem}" for problem in problems])
    what = f"{settings.architecture} with {settings.backbone} and batches of {settings.batch_size}"
    with out_of_memory_named(what, device):
        run = prepare_run(settings, seeds, data=data, device=torch.device(device))
        identity = RunIdentity.of(settings, seeds, data_id=data.data_id, device=run.device)
        if on_batch is not None:
            _call_with_each_batch(run, on_batch)
        history = [] if checkpoint_dir is None else _restore(run, checkpoint_dir, identity)
    yield from (metrics for metrics in history if metrics.epoch > known_epochs)
    while len(history) < settings.epochs and not patience_is_over(history, settings.patience):
        with out_of_memory_named(what, device), reproducible_operations(settings.deterministic):
            metrics, seen = _epoch(run, epoch=len(history) + 1)
        history.append(metrics)
        if checkpoint_dir is not None:
            # The best epoch's files come last: after a kill in between, `_restore` makes them from last.pt.
            save_state(checkpoint_dir, run.parts(), history=history, identity=identity)
            if _best(history) is metrics:
                _save_best(run, checkpoint_dir, metrics, seen)
        if metrics.epoch > known_epochs:
            yield metrics


def patience_is_over(history: Sequence[EpochMetrics], patience: int) -> bool:
    """Whether `patience` epochs have passed since the first of the epochs with the best validation IoU."""
    if not history:
        return False
    return history[-1].epoch - _best(history).epoch >= patience


def _best(history: Sequence[EpochMetrics]) -> EpochMetrics:
    return max(history, key=lambda metrics: metrics.val_iou)  # max keeps the first among equals


def _save_best(run: Run, folder: Path, metrics: EpochMetrics, seen: Assessment) -> None:
    save_model(folder / BEST, run.judged(), run.describe(metrics))
    _save_counts(folder, metrics, seen)


def _save_counts(folder: Path, metrics: EpochMetrics, seen: Assessment) -> None:
    path = folder / BEST_PATCHES
    save_patches(path, seen.patches, thresholds=seen.sweep.kept(), epoch=metrics.epoch)


def _restore(run: Run, folder: Path, identity: RunIdentity) -> list[EpochMetrics]:
    """Bring a run to where its folder left it, and the folder's best checkpoint to where the run is."""
    folder.mkdir(parents=True, exist_ok=True)
    history = restore_state(folder, run.parts(), identity=identity, epochs=run.settings.epochs)
    if not history:
        return history
    best, saved = _best(history), saved_patches_epoch(folder / BEST_PATCHES)
    if (folder / BEST).is_file() and saved is not None and (saved == best.epoch or saved > len(history)):
        if saved != best.epoch:  # of a later life of this run, of which last.pt was lost
            _count_again(run, folder, best)
        return history
    if best is not history[-1]:
        raise ModelError(
            f"{folder}: {BEST} and {BEST_PATCHES} of epoch {best.epoch}, the best of {len(history)}, are not "
            f"there; put them back, or remove the folder to start over"
        )
    _save_best(run, folder, best, _assess(run, run.judged()))  # killed before they were written
    return history


def _count_again(run: Run, folder: Path, best: EpochMetrics) -> None:
    """Make the counts of the best weights anew, where those there are of an epoch that is to come once more.

    On a GPU that epoch need not be the best again. Weights of that epoch, too, are left as they are.
    """
    kept = load_model(folder / BEST)
    if kept.info.training_epochs == best.epoch:
        model = kept.model.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        _save_counts(folder, best, _assess(run, model))


def _call_with_each_batch(run: Run, on_batch: Callable[[], None]) -> None:
    def hook(*_: Any) -> None:  # torch would take what `on_batch` returns for the model's answer
        on_batch()

    for model in {run.model, run.judged()}:
        model.register_forward_hook(hook)


def _assess(run: Run, model: nn.Module) -> Assessment:
    val = run.data.splits["val"]
    return assess(model, val, normalisation=run.normalisation, device=run.device, loss=run.loss)


def _epoch(run: Run, *, epoch: int) -> tuple[EpochMetrics, Assessment]:
    """Train for one epoch, measure, and move the schedule."""
    started, lr = time.perf_counter(), float(run.optimizer.param_groups[0]["lr"])
    start_counting_memory(run.device)
    train_loss, data_seconds = _train_epoch(run, epoch)
    trained = time.perf_counter()
    if not math.isfinite(train_loss):
        raise Diverged(f"the training loss of epoch {epoch} is {train_loss}; a lower lr may help")
    try:
        seen = _assess(run, run.judged())
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
    return metrics, seen


def _train_epoch(run: Run, epoch: int) -> tuple[float, float]:
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
            _step(run)
            total += loss.detach().double() * len(indices)
            seen += len(indices)
    return float(total) / seen, data_seconds


def _step(run: Run) -> None:
    if run.settings.clip_grad_norm is not None:
        run.scaler.unscale_(run.optimizer)
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), run.settings.clip_grad_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.average is not None:
        run.average.update(run.model)


def _augmented(
    run: Run, images: torch.Tensor, targets: torch.Tensor, *, epoch: int, first: int
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
