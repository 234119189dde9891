"""Seconds per training epoch: ours against the notes' recipe on the same patches, same model, same augmentation.

The recipe opens one HDF5 file per patch in a DataLoader, keeps the ordinary memory format and uses torch's default
AdamW; on CUDA it has automatic mixed precision with a loss scaler, as the notes' train.py. Augmentation is our own on
both sides (the notes used albumentations, which is no dependency here), so the ratio is about everything else.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from landslide import (
    PackedDataset,
    PatchFiles,
    Seeds,
    TrainSettings,
    find_dataset,
    open_packed,
    synthesize,
    train,
)
from landslide.augment import build_augmentation
from landslide.batches import Normalisation
from landslide.losses import build_loss, pos_weight
from landslide.model import build_model


class OneFilePerPatch(Dataset[Any]):
    """The notes' dataset: opens two HDF5 files per item."""

    def __init__(self, files: tuple[PatchFiles, ...], data: PackedDataset, augmentation: str) -> None:
        self.files, self.normalisation = files, Normalisation.of(data.statistics)
        self.augment = build_augmentation(
            augmentation, means=self.normalisation.means, stds=self.normalisation.stds
        )
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        with h5py.File(self.files[index].image) as file:
            image = torch.from_numpy(
                np.ascontiguousarray(np.transpose(file["img"][:], (2, 0, 1)), dtype=np.float32)
            )
        with h5py.File(self.files[index].mask) as file:
            mask = torch.from_numpy((file["mask"][:] > 0).astype(np.float32))
        image, mask = self.augment(self.normalisation.apply(image), mask, self.rng)
        return image, mask[None]


def recipe_epochs(settings: TrainSettings, data: PackedDataset, root: Path, device: str) -> list[float]:
    """Training seconds of each epoch of the notes' recipe."""
    files = find_dataset(root).splits["train"]
    weights = np.where(data.splits["train"].has_positive, 2.0, 1.0).tolist()
    loader = DataLoader(
        OneFilePerPatch(files, data, settings.augmentation),
        batch_size=settings.batch_size,
        sampler=WeightedRandomSampler(weights, len(files)),
        pin_memory=device == "cuda",
    )
    model = build_model(settings, data.bands, seed=1).to(device)
    weight = pos_weight(data.positive_ratio, settings.max_pos_weight)
    loss_of = build_loss(settings.loss, positive_weight=weight, device=torch.device(device))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    scaler = torch.amp.GradScaler(device, enabled=device == "cuda")
    seconds = []
    for _ in range(settings.epochs):
        begun = time.perf_counter()
        model.train()
        for images, masks in loader:
            with torch.autocast(device, enabled=device == "cuda"):
                loss = loss_of(model(images.to(device)).float(), masks.to(device))
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            loss.item()
        seconds.append(time.perf_counter() - begun)
    return seconds


def main() -> None:
    """Measure both, epoch by epoch in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", default="resnet34")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    settings = TrainSettings(backbone=chosen.backbone, epochs=1, max_pos_weight=10.0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        synthesize(root, patches=chosen.patches, seed=0)
        data = open_packed(root, cache_dir=Path(folder) / "cache")
        ours, theirs, data_share = [], [], []
        for _ in range(chosen.rounds):
            theirs += recipe_epochs(settings, data, root, chosen.device)
            (metrics,) = train(settings, Seeds(1, 2, 3), data=data, device=chosen.device)
            train_seconds = chosen.patches / metrics.patches_per_second
            ours.append(train_seconds)
            data_share.append(metrics.data_seconds / metrics.epoch_seconds)
    first, second = statistics.median(theirs), statistics.median(ours)
    print(
        f"the notes' recipe   {first:8.2f} s per {chosen.patches} patches ({min(theirs):.2f} to {max(theirs):.2f})"
    )
    print(
        f"ours                {second:8.2f} s per {chosen.patches} patches ({min(ours):.2f} to {max(ours):.2f})"
    )
    print(
        f"ratio {first / second:.2f}x; our data_seconds are {100 * statistics.median(data_share):.1f} % of an epoch"
    )


if __name__ == "__main__":
    main()
