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
from landslide.pairing import PatchFiles, listing

IMAGE_KEYS = ("img", "image", "data")
MASK_KEYS = ("mask", "label", "test")

#: A damaged header can claim any size. Arrays above this many bytes have to be plausible for their file:
#: deflate, the usual filter, packs at most 1032 bytes into one.
_LARGE_BYTES = 2**30
_MOST_PACKED = 2000

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


def read_image(path: Path, *, bands: int | None = None) -> Image:
    """Read the image of one patch, or an image of any size whose number of bands is known.

    The dataset is the key `img`, `image` or `data`, otherwise the only one in the file. The bands are the
    first axis (bands, height, width) or the last (height, width, bands). Patches are square, so it is the one
    whose size differs from the other two; three equal axes are refused because nothing tells them apart.

    Args:
        path: an HDF5 file.
        bands: the number of bands to expect. Where one of the two axes has this size it is the one, and the
            image need not be square; otherwise the rule for patches holds and the caller sees another number.

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
    first = _bands_are_first(Path(path), values.shape, bands)
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is reported below
        image = np.ascontiguousarray(values if first else np.moveaxis(values, -1, 0), dtype=np.float32)
    finite = np.isfinite(image)
    if not finite.all():
        where = np.flatnonzero(~finite.all(axis=(1, 2))) + 1
        raise DatasetError(
            f"{path}: {int((~finite).sum())} of {image.size} values are NaN or infinite (bands "
            f"{', '.join(str(band) for band in where)}, counting from 1); allowed are finite numbers: "
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


def holds_prediction(path: Path) -> bool:
    """Whether a file is a prediction written by this package (and may be written again)."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return set(file) == {"probability", "mask"} and "model_version" in file.attrs
    except Exception:  # as in `_read`
        return False


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape)


def _bands_are_first(path: Path, shape: tuple[int, ...], bands: int | None) -> bool:
    """Whether the bands are the first axis (or else the last), by the rule of `read_image`."""
    first, middle, last = shape
    if bands is not None and (first == bands) != (last == bands):
        return first == bands
    if middle == last != first:
        return True
    if first == middle != last:
        return False
    reason = (
        "all axes are equal, so the bands cannot be told from the pixels"
        if first == middle == last
        else "it is not square"
    )
    allowed = "square patches, (size, size, bands) or (bands, size, size) with a number of bands other than the size"
    if bands is not None:
        axes = "both the first and the last axis" if first == bands else "neither the first nor the last axis"
        reason = f"{axes} could be its {bands} bands"
        allowed = f"images of {bands} bands, ({bands}, height, width) or (height, width, {bands})"
    raise DatasetError(f"{path}: the image has shape {shape}: {reason}; allowed are {allowed}")


def _read(path: Path, keys: Sequence[str], kind: str) -> npt.NDArray[Any]:
    """The numeric array of an HDF5 file, in the file's own dtype."""
    if not path.is_file():
        raise DatasetError(f"{path}: the file does not exist")
    try:
        # Only read, and network file systems often refuse locks.
        with h5py.File(path, "r", locking=False) as file:
            dataset = _dataset(path, file, keys, kind)
            if dataset.dtype.kind not in "fiub":
                raise DatasetError(
                    f"{path}: its {kind} holds {dataset.dtype} values; allowed are real numbers"
                )
            _check_size(path, dataset, kind)
            return np.asarray(dataset[()])
    except DatasetError:
        raise
    # OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError, MemoryError, ...: what h5py
    # raises depends on which byte is wrong.
    except Exception as error:
        raise DatasetError(
            f"{path}: cannot be read as HDF5 ({type(error).__name__}: {_printable(str(error))}); it is damaged, "
            "cut off or another format: fetch it again"
        ) from error


def _dataset(path: Path, file: Any, keys: Sequence[str], kind: str) -> Any:
    """The array to read: the first of `keys` that is there, otherwise the only one in the file."""
    datasets: dict[str, Any] = {}
    unreadable: list[str] = []
    for key in file:
        try:
            member = file[key]
        except Exception:  # a link to nowhere, or a damaged header: each has its own error
            unreadable.append(key)
            continue
        if isinstance(member, h5py.Dataset):
            datasets[key] = member
    for key in keys:
        if key in datasets:
            return datasets[key]
    if len(datasets) == 1 and not unreadable:
        return next(iter(datasets.values()))
    present = [_printable(key) + (" (cannot be opened)" if key in unreadable else "") for key in file]
    raise DatasetError(
        f"{path}: no {kind} in it; its keys are: {listing(present) or 'none'}; allowed is one of "
        f"{', '.join(keys)}, or any single dataset"
    )


def _check_size(path: Path, dataset: Any, kind: str) -> None:
    """Refuse an array that cannot come out of a file of this size, before memory is asked for it."""
    claimed, stored = int(dataset.nbytes), path.stat().st_size
    if claimed > max(_LARGE_BYTES, _MOST_PACKED * stored):
        raise DatasetError(
            f"{path}: its {kind} claims shape {dataset.shape} and {claimed / 1e9:.1f} GB in a file of {stored} "
            "bytes; it is damaged: fetch it again"
        )


def _printable(text: str) -> str:
    """A text from a file as one line that any terminal can show."""
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return "".join(shown)
