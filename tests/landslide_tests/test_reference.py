"""The training loop against the notes' recipe, written down once more from their text, step by step.

The second writing shares no code with the first: plain float32 in the ordinary memory format, losses and
metrics by their formulas, AdamW without fusion. Both start from the same weights and see the same batches
(without augmentation, which has its own tests), so their losses and metrics have to agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F

from landslide import PackedDataset, PackedSplit, Seeds, TrainSettings, train
from landslide.model import build_model
from landslide.randomness import epoch_order

SEEDS = Seeds(init=5, order=6, augment=7)
CAP = 3.0  # of pos_weight; the notes say 10, but these data are less imbalanced
LOSS_TOLERANCE = 1e-4
#: pixels with a probability this near to one half may fall on either side: processors round differently.
UNSURE = 1e-4


@dataclasses.dataclass
class Recipe:
    """Notes: AdamW, weight decay 1e-4; Dice + BCE with capped pos_weight or Dice + Focal (gamma 2)."""

    loss: str
    scheduler: str
    lr: float
    data: PackedDataset
    batch_size: int

    def tensors(self, split: str, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        images = self.data.splits["train"].images.astype(np.float64)
        means, stds = images.mean(axis=(0, 2, 3), keepdims=True), images.std(axis=(0, 2, 3), keepdims=True)
        part = self.data.splits[split]
        scaled = ((part.images[chosen] - means) / stds).astype(np.float32)
        return torch.from_numpy(scaled), torch.from_numpy(part.masks[chosen].astype(np.float32))[:, None]

    def criterion(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        p = torch.sigmoid(logits)
        has_landslide = float(truth.sum() > 0)
        dice = (1 - 2 * (p * truth).sum() / (p.sum() + truth.sum())) * has_landslide
        if self.loss == "dice-bce":
            masks = self.data.splits["train"].masks
            weight = torch.tensor(min((masks == 0).sum() / (masks == 1).sum(), CAP))
            return dice + F.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight)
        right = torch.where(truth == 1, p, 1 - p)
        return (
            dice
            + ((1 - right) ** 2 * F.binary_cross_entropy_with_logits(logits, truth, reduction="none")).mean()
        )

    def run(self, model: torch.nn.Module, epochs: int) -> list[dict[str, float]]:
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=self.lr, weight_decay=1e-4, fused=False, foreach=False
        )
        cosine = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=20, T_mult=2)
        best, bad, history = -1.0, 0, []
        for epoch in range(1, epochs + 1):
            row = {
                "lr": optimizer.param_groups[0]["lr"],
                "train_loss": self.train_epoch(model, optimizer, epoch),
            }
            row |= self.validate(model)
            if self.scheduler == "cosine":
                cosine.step()
            else:  # ReduceLROnPlateau(factor=0.5, patience=5), on val IoU, with torch's relative threshold 1e-4
                better = row["val_iou"] > best * (1 + 1e-4)
                best, bad = (row["val_iou"], 0) if better else (best, bad + 1)
                if bad > 5:
                    optimizer.param_groups[0]["lr"], bad = max(optimizer.param_groups[0]["lr"] * 0.5, 1e-6), 0
            history.append(row)
        return history

    def train_epoch(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> float:
        positive = self.data.splits["train"].masks.any(axis=(1, 2))
        order = epoch_order(SEEDS.order, epoch, has_positive=positive, oversample=2.0)
        losses = []
        model.train()
        for first in range(0, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            loss = self.criterion(model(self.tensors("train", chosen)[0]), self.tensors("train", chosen)[1])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append((loss.item(), len(chosen)))
        return sum(value * count for value, count in losses) / len(order)

    def validate(self, model: torch.nn.Module) -> dict[str, float]:
        model.eval()
        images, truth = self.tensors("val", np.arange(len(self.data.splits["val"].ids)))
        with torch.no_grad():
            logits = model(images)
            loss = self.criterion(logits, truth).item()
        probability, actual = torch.sigmoid(logits).numpy(), truth.numpy() == 1
        unsure = np.abs(probability - 0.5) <= UNSURE
        assert unsure.mean() < 0.01
        row = {"val_loss": loss, **metrics_of(probability > 0.5, actual)}
        # A pixel more on the right side lowers none of the four.
        for name, predicted in (("most", actual), ("least", ~actual)):
            bound = metrics_of(np.where(unsure, predicted, probability > 0.5), actual)
            row |= {f"{name} {key}": value for key, value in bound.items()}
        return row


def metrics_of(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    tp, fp, fn = (predicted & actual).sum(), (predicted & ~actual).sum(), (~predicted & actual).sum()
    precision, recall = tp / max(tp + fp, 1), tp / max(tp + fn, 1)
    return {
        "val_iou": tp / (tp + fp + fn),
        "val_f1": 2 * precision * recall / max(precision + recall, 1e-12),
        "val_precision": precision,
        "val_recall": recall,
    }


def doubled(split: PackedSplit) -> PackedSplit:
    """Every pixel as four: the deepest layer of a 32-pixel patch is one pixel, too little to normalise over.

    The statistics of two or four numbers amplify the rounding of the last bit, in which the two writings differ.
    """
    images, masks = (values.repeat(2, -2).repeat(2, -1) for values in (split.images, split.masks))
    return dataclasses.replace(split, images=images, masks=masks)


@pytest.mark.slow
@pytest.mark.parametrize(("scheduler", "lr", "epochs"), [("cosine", 2e-5, 6), ("plateau", 2e-6, 12)])
@pytest.mark.parametrize("loss", ["dice-bce", "dice-focal"])
def test_training_is_the_notes_recipe(
    make_data: Callable[..., PackedDataset],
    small_settings: Callable[..., TrainSettings],
    loss: str,
    scheduler: str,
    lr: float,
    epochs: int,
) -> None:
    small = make_data(train=16, val=6)
    splits = {name: doubled(split) for name, split in small.splits.items()}
    data = dataclasses.replace(small, patch_size=64, splits=splits)
    options: dict[str, Any] = {
        "loss": loss,
        "scheduler": scheduler,
        "lr": lr,
        "epochs": epochs,
        "batch_size": 8,
    }
    settings = small_settings(**options, max_pos_weight=CAP, augmentation="none")
    ours = [metrics.to_dict() for metrics in train(settings, SEEDS, data=data, device="cpu")]
    model = smp.Unet(settings.backbone, encoder_weights=None, in_channels=data.bands, classes=1)
    model.load_state_dict(build_model(settings, data.bands, seed=SEEDS.init).state_dict())
    recipe = Recipe(loss=loss, scheduler=scheduler, lr=lr, data=data, batch_size=8).run(model, epochs)
    assert min(row["lr"] for row in recipe) < 0.9 * lr, "the schedule acts within the test"
    losses = [row["val_loss"] for row in recipe]
    assert max(losses) - min(losses) > 100 * LOSS_TOLERANCE, "and training moves the losses"
    for mine, theirs in zip(ours, recipe, strict=True):
        assert mine["lr"] == pytest.approx(theirs["lr"], rel=1e-12)
        for name in ("train_loss", "val_loss"):
            assert mine[name] == pytest.approx(theirs[name], abs=LOSS_TOLERANCE)
        for name in ("val_iou", "val_f1", "val_precision", "val_recall"):
            assert theirs[f"least {name}"] - 1e-9 <= mine[name] <= theirs[f"most {name}"] + 1e-9
