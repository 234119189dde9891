"""How much of a GPU's memory a training takes: measured by training for a few steps. No dataset is read.

To be run in a process of its own: what a process has once reserved, and its context, would be in the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landslide.batches import EVALUATION_BATCH
from landslide.card import CONTEXT_BYTES, Card
from landslide.packed import ChannelStatistics, PackedDataset, PackedSplit
from landslide.settings import Seeds, TrainSettings
from landslide.train import train

#: Steps of the optimizer: the second has the optimizer's state from the start, the third the freed blocks of both.
STEPS = 3
#: On top of what was reserved: other steps of a run may choose other algorithms, and fragments add up.
HEADROOM = 1.15


@dataclass(frozen=True)
class Footprint:
    """What one process that trains takes of a card.

    Args:
        card: the card's name.
        total_bytes: the card's memory.
        reserved_bytes: most that torch had reserved for tensors.
        context_bytes: what the process took beside that.
    """

    card: str
    total_bytes: int
    reserved_bytes: int
    context_bytes: int

    @property
    def part(self) -> float:
        """The part of the card that is needed, headroom included; above 1 it may still fit, without the headroom."""
        context = max(self.context_bytes, CONTEXT_BYTES)  # what `share_of_card` sets aside
        return (self.reserved_bytes * HEADROOM + context) / self.total_bytes


def measure_footprint(settings: TrainSettings, card: Card, *, bands: int, patch_size: int) -> Footprint:
    """Train for `STEPS` steps and validate one batch of made-up patches, and see what that took.

    It is `landslide.train` that trains, with the settings' model, batch size, precision and average. Pretrained
    weights take as much memory as random ones, and are not fetched.

    Args:
        settings: whose `epochs`, `encoder_weights`, `lr` and `scheduler` do not count.
        card: of this process, on which nothing was computed yet.
        bands: of the patches.
        patch_size: their side in pixels.

    Raises:
        OutOfMemory: the whole card is not enough.
        ModelError: no such model, or it cannot take patches of this size.
    """
    tame = {"epochs": 1, "encoder_weights": None, "lr": 1e-5, "scheduler": "constant", "oversample": 1.0}
    settings = TrainSettings.from_mapping({**settings.to_dict(), **tame})
    data = _made_up(STEPS * settings.batch_size, bands, patch_size)
    card.start_measuring()
    for _ in train(settings, Seeds.of(0), data=data, device=card.device):
        pass
    reserved, context = card.measured()
    return Footprint(card.name, card.total_bytes, reserved, context)


def _made_up(patches: int, bands: int, size: int) -> PackedDataset:
    """A dataset that is one random patch, over and over, without taking the memory of many."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, bands, size, size), dtype=np.float32)
    mask = np.zeros((1, size, size), dtype=np.uint8)
    mask[:, : size // 2] = 1

    def split(count: int) -> PackedSplit:
        return PackedSplit(
            images=np.broadcast_to(image, (count, bands, size, size)),
            masks=np.broadcast_to(mask, (count, size, size)),
            ids=np.arange(count, dtype=np.int64),
            has_positive=np.ones(count, dtype=np.bool_),
        )

    return PackedDataset(
        path=Path("made-up"),
        data_id="made-up",
        bands=bands,
        patch_size=size,
        statistics=ChannelStatistics((0.0,) * bands, (1.0,) * bands),
        positive_ratio=0.5,
        splits={"train": split(patches), "val": split(EVALUATION_BATCH)},
    )
