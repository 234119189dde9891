"""Landslide4Sense as it was published: counts to recognise it by. No file is read here."""

from __future__ import annotations

PATCHES = {"train": 3799, "val": 245, "test": 800}
#: Patches without any landslide pixel.
EMPTY = {"train": 1568, "val": 99, "test": 264}
TRAIN_POSITIVE_PIXELS = 1_442_790
BANDS = 14
PATCH_SIZE = 128
