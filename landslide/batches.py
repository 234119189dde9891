"""From packed patches to normalised tensors on a device. No augmentation and no model in here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from landslide.packed import ChannelStatistics, PackedSplit

#: Patches per step of every evaluation, in training as well as afterwards. One number for both, because the
#: batch size moves logits by some 1e-5, and an evaluated IoU must be the recorded one.
EVALUATION_BATCH = 32

#: A band that varies less than this over the training split is treated as constant.
STD_FLOOR = 1e-6


@dataclass(frozen=True)
class Normalisation:
    """Raw band values to band mean 0 and standard deviation 1, with the training split's statistics.

    Attributes:
        means: subtracted, one per band, in the units of the files.
        stds: divided by, one per band, in the units of the files, above 0.
    """

    means: tuple[float, ...]
    stds: tuple[float, ...]

    @classmethod
    def of(cls, statistics: ChannelStatistics) -> Self:
        """That of a training split; a constant band is divided by 1, not by 0."""
        stds = tuple(float(std) if std > STD_FLOOR else 1.0 for std in statistics.stds)
        return cls(tuple(float(mean) for mean in statistics.means), stds)

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised copy of images of shape (..., C, H, W), float32, on their device."""
        return self.apply_(images.clone())

    def apply_(self, images: torch.Tensor) -> torch.Tensor:
        """The same in place: no second copy of a batch that nobody else holds."""
        means = torch.tensor(self.means, dtype=torch.float32, device=images.device)[:, None, None]
        stds = torch.tensor(self.stds, dtype=torch.float32, device=images.device)[:, None, None]
        return images.sub_(means).div_(stds)


def load_batch(
    split: PackedSplit, indices: npt.NDArray[np.int64], *, normalisation: Normalisation, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches of a split on a device.

    Args:
        split: where they are read from.
        indices: positions in the split, shape (N,), int64; repeats are allowed.
        normalisation: applied to the images.
        device: where the tensors go.

    Returns:
        Images (N,C,H,W) float32, normalised, and targets (N,1,H,W) float32 in {0,1}; 1 is landslide.
    """
    images, masks = torch.from_numpy(split.images[indices]), torch.from_numpy(split.masks[indices])
    if device.type == "cuda":  # from pinned memory the copy runs while the device still computes
        images, masks = images.pin_memory(), masks.pin_memory()
    images = images.to(device, non_blocking=True)
    targets = masks.to(device, non_blocking=True)[:, None].float()
    return normalisation.apply_(images), targets


def in_order(split: PackedSplit) -> Iterator[npt.NDArray[np.int64]]:
    """The positions of a split in batches of `EVALUATION_BATCH`, each once and in order."""
    for first in range(0, len(split.ids), EVALUATION_BATCH):
        yield np.arange(first, min(first + EVALUATION_BATCH, len(split.ids)), dtype=np.int64)
