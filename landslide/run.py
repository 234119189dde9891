"""The moving parts of one training run, put together from its settings; the loop is `landslide.train`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from landslide import official
from landslide.augment import Augmentation, build_augmentation
from landslide.batches import Normalisation
from landslide.checkpoint import METRIC_NAMES, UNNAMED, ModelInfo, library_versions
from landslide.device import forward_precision
from landslide.ema import WeightAverage
from landslide.losses import Loss, build_loss, pos_weight
from landslide.metrics import EpochMetrics
from landslide.model import build_model, check_patch_size
from landslide.packed import PackedDataset
from landslide.schedules import build_schedule
from landslide.settings import Seeds, TrainSettings


@dataclass(frozen=True)
class Run:
    """The moving parts of a run and what they need; frozen, but the parts learn.

    Attributes:
        schedule: a torch scheduler, or None for a constant learning rate.
        average: of the model's weights, or None where the settings want none.
        precision: of the forward pass in training; float32 means no mixed precision.
    """

    settings: TrainSettings
    seeds: Seeds
    data: PackedDataset
    device: torch.device
    normalisation: Normalisation
    augment: Augmentation
    model: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: Any
    average: WeightAverage | None
    scaler: torch.amp.GradScaler
    precision: torch.dtype

    def parts(self) -> Mapping[str, Any]:
        """What has a state to save, by name."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        some = {"schedule": self.schedule, "average": self.average}
        return {**parts, **{name: part for name, part in some.items() if part is not None}}

    def judged(self) -> nn.Module:
        """The model that is validated and saved: the average where there is one."""
        return self.model if self.average is None else self.average.model

    def describe(self, metrics: EpochMetrics) -> ModelInfo:
        """What a checkpoint says about the weights that these metrics were measured with."""
        return ModelInfo(
            encoder_name=self.settings.backbone,
            in_channels=self.data.bands,
            patch_size=self.data.patch_size,
            normalisation=self.normalisation,
            metrics={name: getattr(metrics, name) for name in METRIC_NAMES},
            training_epochs=metrics.epoch,
            architecture=self.settings.architecture,
            threshold=metrics.best_threshold,
            dataset=dataset_name(self.data),
            data_id=self.data.data_id,
            settings=self.settings.to_dict(),
            seeds=self.seeds.to_dict(),
            versions=library_versions(),
        )


def data_problems(data: PackedDataset) -> list[str]:
    """Everything that makes a dataset useless for training, although it can be read."""
    problems = [f"the dataset has no {name!r} split" for name in ("train", "val") if name not in data.splits]
    if not problems:
        if len(data.splits["train"].ids) < 2:
            problems.append("the training split has fewer than 2 patches; batch normalisation needs 2")
        for name in ("train", "val"):
            if not data.splits[name].has_positive.any():
                problems.append(f"no patch of the {name!r} split has a landslide, so IoU would mean nothing")
    return problems


def prepare_run(settings: TrainSettings, seeds: Seeds, *, data: PackedDataset, device: torch.device) -> Run:
    """Build everything that a run needs, before its first epoch.

    Raises:
        ModelError: no such model, or it cannot take patches of this size.
    """
    normalisation = Normalisation.of(data.statistics)
    model = build_model(settings, data.bands, seed=seeds.init)
    check_patch_size(model, data.bands, data.patch_size)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    precision = forward_precision(device, amp=settings.amp)
    weight = pos_weight(data.positive_ratio, settings.max_pos_weight)
    return Run(
        settings=settings,
        seeds=seeds,
        data=data,
        device=device,
        normalisation=normalisation,
        augment=build_augmentation(
            settings.augmentation,
            means=normalisation.means,
            stds=normalisation.stds,
            strength=settings.augmentation_strength,
        ),
        model=model,
        loss=build_loss(settings.loss, positive_weight=weight, device=device),
        optimizer=optimizer,
        average=None if settings.ema_decay is None else WeightAverage(model, settings.ema_decay),
        schedule=build_schedule(settings.scheduler, optimizer, epochs=settings.epochs),
        # bfloat16 has the range of float32, so only float16 gradients need scaling
        scaler=torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
        precision=precision,
    )


def dataset_name(data: PackedDataset) -> str:
    """What a checkpoint calls its training data.

    "Landslide4Sense" where numbers of patches and bands and the size are those of the published dataset (its
    test split may be missing, as it has no labels in some copies), otherwise "unnamed" with the content's id.
    """
    counts = {name: len(split.ids) for name, split in data.splits.items()}
    shape = (data.bands, data.patch_size)
    if shape == (official.BANDS, official.PATCH_SIZE) and counts.items() <= official.PATCHES.items():
        return "Landslide4Sense"
    return f"{UNNAMED} (data id {data.data_id})"
