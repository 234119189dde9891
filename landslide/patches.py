"""Reading one patch from HDF5: the right key, the right axis order, one dtype, finite numbers, or an error.

Every message names the file, says what is there and what is allowed. Nothing here knows about folders or
splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from landslide.errors import DatasetError
from landslide.pairing import PatchFiles

IMAGE_KEYS = ("img", "image", "data")
MASK_KEYS = ("mask", "label", "test")

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Patch:
    """One patch in memory.

    Attributes:
        image: band values in the file's units, shape (bands, size, size), float32, finite.
        mask: 1 = landslide, 0 = stable, shape (size, size), uint8.
    """

    image: Image
    mask: Mask


def read_image(path: Path) -> Image:
    """Read the image of one patch.

    The dataset is the key `img`, `image` or `data`, otherwise the only one in the file. Patches are square,
    so the axis of the bands is the one whose size differs from the other two, first (bands, height, width) or
    last (height, width, bands); three equal axes are refused because nothing tells them apart.

    Args:
        path: an HDF5 file.

    Returns:
        Band values in the file's units, shape (bands, height, width), float32, C-contiguous, finite.

    Raises:
        DatasetError: the file cannot be read, has no such key, is not numeric, has another shape, or holds
            values that are not finite in float32.
    """
    values = _read(Path(path), IMAGE_KEYS, "image")
    if values.ndim != 3 or 0 in values.shape:
        raise DatasetError(
            f"{path}: the image has shape {values.shape}; allowed is (height, width, bands) or (bands, "
            "height, width)"
        )
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is reported below
        image = np.ascontiguousarray(_bands_first(Path(path), values), dtype=np.float32)
    finite = np.isfinite(image)
    if not finite.all():
        bands = np.flatnonzero(~finite.all(axis=(1, 2))) + 1
        raise DatasetError(
            f"{path}: {int((~finite).sum())} of {image.size} values are NaN or infinite (bands "
            f"{', '.join(str(band) for band in bands)}, counting from 1); allowed are finite numbers: "
            "repair the image, or remove it together with its mask"
        )
    return image


def read_mask(path: Path) -> Mask:
    """Read the mask of one patch.

    The dataset is the key `mask`, `label` or `test`, otherwise the only one in the file. Any value above 0 is
    a landslide, so masks of {0, 1} and of {0, 255} both work. An axis of length 1 beside two others is
    dropped.

    Args:
        path: an HDF5 file.

    Returns:
        1 = landslide, 0 = stable, shape (height, width), uint8.

    Raises:
        DatasetError: the file cannot be read, has no such key, is not numeric, has another shape or holds
            NaN.
    """
    values = _read(Path(path), MASK_KEYS, "mask")
    shape = values.shape
    if values.ndim == 3 and 1 in (shape[0], shape[2]):
        values = values[0] if shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or 0 in values.shape:
        raise DatasetError(f"{path}: the mask has shape {shape}; allowed is (height, width)")
    if not np.isfinite(values).all():
        raise DatasetError(
            f"{path}: the mask holds NaN or infinite values; allowed are numbers, above 0 = landslide"
        )
    return np.ascontiguousarray(values > 0, dtype=np.uint8)


def read_patch(files: PatchFiles) -> Patch:
    """Read a labelled patch and check that the mask fits the image.

    Raises:
        DatasetError: the problems of the image and of the mask, together; or their sizes differ.
    """
    assert files.mask is not None
    problems: list[str] = []
    image: Image | None = None
    mask: Mask | None = None
    try:
        image = read_image(files.image)
    except DatasetError as error:
        problems += error.problems
    try:
        mask = read_mask(files.mask)
    except DatasetError as error:
        problems += error.problems
    if image is not None and mask is not None and image.shape[1:] != mask.shape:
        problems.append(
            f"{files.mask}: the mask is {_size(mask.shape)} pixels but its image {files.image.name} is "
            f"{_size(image.shape[1:])}; they must be equal"
        )
    if problems or image is None or mask is None:
        raise DatasetError(problems)
    return Patch(image, mask)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape)


def _bands_first(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Move the axis of the bands to the front, by the rule of `read_image`."""
    first, middle, last = values.shape
    if middle == last != first:
        return values
    if first == middle != last:
        return np.moveaxis(values, -1, 0)
    reason = (
        "all axes are equal, so the bands cannot be told from the pixels"
        if first == last
        else "it is not square"
    )
    raise DatasetError(
        f"{path}: the image has shape {values.shape}: {reason}; allowed are square patches, (size, size, "
        "bands) or (bands, size, size) with a number of bands other than the size"
    )


def _read(path: Path, keys: Sequence[str], kind: str) -> npt.NDArray[Any]:
    """The numeric array of an HDF5 file, in the file's own dtype."""
    if not path.is_file():
        raise DatasetError(f"{path}: the file does not exist")
    try:
        # Only read, and network file systems often refuse locks.
        with h5py.File(path, "r", locking=False) as file:
            dataset = file[_key(path, file, keys, kind)]
            if dataset.dtype.kind not in "fiub":
                raise DatasetError(
                    f"{path}: {dataset.name} holds {dataset.dtype} values; allowed are real numbers"
                )
            return np.asarray(dataset[()])
    except (OSError, RuntimeError) as error:  # h5py raises either, depending on where the file is broken
        raise DatasetError(
            f"{path}: cannot be read as HDF5 ({error}); it is damaged, cut off or another format: fetch "
            "it again"
        ) from error


def _key(path: Path, file: Any, keys: Sequence[str], kind: str) -> str:
    """The key of the array to read."""
    datasets = [key for key in file if isinstance(file[key], h5py.Dataset)]
    for key in keys:
        if key in datasets:
            return key
    if len(datasets) == 1:
        return str(datasets[0])
    present = ", ".join(file) or "none"
    raise DatasetError(
        f"{path}: no {kind} in it; its keys are: {present}; allowed is one of {', '.join(keys)}, or any "
        "single dataset"
    )
