"""The packed dataset: all patches in memory-mapped arrays, built once per machine and shared by all runs.

Reading HDF5 patch by patch takes longer than a training step on a GPU; one memory map costs a fraction of a
millisecond and its pages are shared between processes. Building is the affair of `landslide.packing`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import numpy.typing as npt

from landslide import packing
from landslide.errors import DatasetError
from landslide.layout import DatasetFiles, find_dataset
from landslide.progress import Progress

CACHE_VARIABLE = "LANDSLIDE_TUNE_CACHE"


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of every band over all pixels of the train split.

    Attributes:
        means: in the units of the files, one per band.
        stds: population standard deviation (divided by n), one per band; 0 for a constant band.
    """

    means: tuple[float, ...]
    stds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class PackedSplit:
    """One split as read-only memory maps. Do not pickle it: send the path of the cache and load it there.

    Attributes:
        images: band values in the files' units, shape (patches, bands, size, size), float32.
        masks: 1 = landslide, 0 = stable, shape (patches, size, size), uint8.
        ids: the number in each patch's file name, ascending, shape (patches,), int64.
        has_positive: whether a patch has any landslide pixel, shape (patches,), bool.
    """

    images: npt.NDArray[np.float32]
    masks: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int64]
    has_positive: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class PackedDataset:
    """A dataset opened from its packed cache.

    Attributes:
        path: the folder of the cache; `load_packed(path)` opens it again in another process.
        data_id: 16 hex digits of a hash of the content (splits, numbers, float32 values, masks): the same on
            every machine and whatever the layout of the files.
        bands: number of bands.
        patch_size: pixels along a side.
        statistics: of the train split.
        positive_ratio: landslide pixels / all pixels of the train split, in [0, 1].
        splits: "train", "val" and, when it has labels, "test".
    """

    path: Path
    data_id: str
    bands: int
    patch_size: int
    statistics: ChannelStatistics
    positive_ratio: float
    splits: Mapping[str, PackedSplit]


def default_cache_dir() -> Path:
    """This machine's folder of caches: LANDSLIDE_TUNE_CACHE, otherwise where the platform has them."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "landslide-tune"


def open_packed(
    root: Path, *, cache_dir: Path | None = None, progress: Progress | None = None
) -> PackedDataset:
    """Open the packed cache of a dataset, building it first when this machine has none.

    The cache is found by the names, sizes and modification times of the files. One process builds, others
    wait. An interrupted build leaves nothing that could be mistaken for a cache.

    Args:
        root: the dataset's folder, in any layout of `find_dataset`; train and val must have masks.
        cache_dir: where caches are kept; default `default_cache_dir()`.
        progress: called once per patch while building; not at all when the cache exists.

    Raises:
        DatasetError: everything that is wrong with the layout, or with any file, together; the disk is too
            small; the cache folder cannot be written.
    """
    files = find_dataset(Path(root))
    cache_dir = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    path = cache_dir / fingerprint(files)
    if packing.is_complete(path):
        return load_packed(path)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(packing.lock_of(path)):
            if not packing.is_complete(path):
                packing.build(files, path, progress)
    except OSError as error:
        raise DatasetError(
            f"{cache_dir}: the packed cache cannot be written ({error}); "
            f"set {CACHE_VARIABLE} to a folder that can be written and has space"
        ) from error
    return load_packed(path)


def load_packed(cache_path: Path) -> PackedDataset:
    """Open a cache that was built before; cheap, and what a training process does.

    Args:
        cache_path: `PackedDataset.path` of the process that built or opened it.

    Raises:
        DatasetError: there is no complete cache of this version.
    """
    path = Path(cache_path)
    if not packing.is_complete(path):
        raise DatasetError(
            f"{path}: no complete packed cache of format {packing.FORMAT_VERSION} there; "
            "build it with `landslide-tune data cache DIR` (or open_packed) on this machine"
        )
    manifest: dict[str, Any] = json.loads((path / packing.MANIFEST).read_text(encoding="utf-8"))
    return PackedDataset(
        path=path,
        data_id=manifest["data_id"],
        bands=manifest["bands"],
        patch_size=manifest["patch_size"],
        statistics=ChannelStatistics(tuple(manifest["means"]), tuple(manifest["stds"])),
        positive_ratio=manifest["positive_ratio"],
        splits={split: _load_split(path, split) for split in manifest["splits"]},
    )


def _load_split(path: Path, split: str) -> PackedSplit:
    arrays = {
        name: np.load(
            path / packing.array_name(split, name), mmap_mode="r" if name in packing.MAPPED else None
        )
        for name in packing.ARRAYS
    }
    return PackedSplit(**arrays)


def fingerprint(files: DatasetFiles) -> str:
    """A key of the state of the files: relative names, sizes, modification times; 32 hex digits."""
    digest = hashlib.sha256(f"packed {packing.FORMAT_VERSION}".encode())
    for split, patches in files.splits.items():
        for patch in patches:
            assert patch.mask is not None
            for path in (patch.image, patch.mask):
                state = path.stat()
                name = path.relative_to(files.root).as_posix()
                digest.update(f"\n{split} {name} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]
