"""Fixtures of this folder: small HDF5 datasets, and one in memory that a tiny U-Net can train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import h5py
import numpy as np
import numpy.typing as npt
import pytest

if TYPE_CHECKING:
    from landslide import PackedDataset, TrainSettings


@pytest.fixture
def write_h5() -> Callable[..., Path]:
    """A function of (path, name=array, ...) that writes one HDF5 file and returns its path."""

    def write(path: Path, **arrays: npt.ArrayLike) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name, data=values)
        return path

    return write


@pytest.fixture
def write_split(write_h5: Callable[..., Path]) -> Callable[..., None]:
    """A function of (folder of images, folder of masks or None, count, bands, size) that writes one split.

    Files are numbered from 1; the first patch has no landslide; values depend on the names of the folders.
    """

    def write(images: Path, masks: Path | None, count: int = 3, *, bands: int = 4, size: int = 32) -> None:
        rng = np.random.default_rng(crc32(f"{images.parent.name}/{images.name}".encode()))
        for number in range(1, count + 1):
            write_h5(images / f"image_{number}.h5", img=rng.normal(1.0, 0.5, size=(size, size, bands)))
            if masks is not None:
                mask = np.zeros((size, size), dtype=np.uint8)
                mask[: size // 4, : size // 3] = number > 1
                write_h5(masks / f"mask_{number}.h5", mask=mask)

    return write


@pytest.fixture
def dataset(tmp_path: Path, write_split: Callable[..., None]) -> Path:
    """A dataset in the simple layout: train, val and test of 3 patches of 32 pixels and 4 bands each."""
    root = tmp_path / "dataset"
    for split in ("train", "val", "test"):
        write_split(root / split / "img", root / split / "mask")
    return root


@pytest.fixture
def one_thread() -> None:
    """The number of torch threads changes bits, so every test that compares bits has one."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def make_data(one_thread: None) -> Callable[..., PackedDataset]:
    """A function of (train patches, validation patches, bands, seed): squares that stand out in band 0."""
    from landslide import ChannelStatistics, PackedDataset, PackedSplit

    def split(count: int, bands: int, rng: np.random.Generator) -> PackedSplit:
        images = rng.normal(1.0, 0.5, size=(count, bands, 32, 32)).astype(np.float32)
        masks = np.zeros((count, 32, 32), dtype=np.uint8)
        for i in range(0, count, 2):
            row, column = rng.integers(0, 20, size=2)
            masks[i, row : row + 9, column : column + 8] = 1
        images[:, 0] += 2.0 * masks
        return PackedSplit(images, masks, np.arange(1, count + 1, dtype=np.int64), masks.any(axis=(1, 2)))

    def make(train: int = 8, val: int = 4, bands: int = 4, seed: int = 0) -> PackedDataset:
        rng = np.random.default_rng(seed)
        splits = {"train": split(train, bands, rng), "val": split(val, bands, rng)}
        images = splits["train"].images.astype(np.float64)
        means, stds = images.mean(axis=(0, 2, 3)), images.std(axis=(0, 2, 3))
        return PackedDataset(
            path=Path("in memory"),
            data_id=f"{seed:016x}",
            bands=bands,
            patch_size=32,
            statistics=ChannelStatistics(tuple(means.tolist()), tuple(stds.tolist())),
            positive_ratio=float(splits["train"].masks.mean()),
            splits=splits,
        )

    return make


@pytest.fixture
def small_data(make_data: Callable[..., PackedDataset]) -> PackedDataset:
    """8 train and 4 validation patches of 32 pixels and 4 bands, half of them with a landslide."""
    return make_data()


@pytest.fixture
def small_settings() -> Callable[..., TrainSettings]:
    """Settings of the smallest encoder that keeps the checkpoint contract; any can be replaced."""
    from landslide import TrainSettings

    def make(**values: object) -> TrainSettings:
        small = {
            "backbone": "tu-mobilenetv3_small_050",
            "batch_size": 4,
            "epochs": 2,
            "lr": 1e-3,
            "patience": 100,
        }
        return TrainSettings.from_mapping({**small, **values})

    return make
