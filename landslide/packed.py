"""The packed dataset: all patches in memory-mapped arrays, built once per machine and shared by all runs.

Reading HDF5 patch by patch takes longer than a training step on a GPU; one memory map costs a fraction of a
millisecond and its pages are shared between processes. Building is the affair of `landslide.packing`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import numpy.typing as npt

from landslide import caches, packing
from landslide.errors import DatasetError
from landslide.layout import DatasetFiles, find_dataset
from landslide.progress import Progress

CACHE_VARIABLE = "LANDSLIDE_TUNE_CACHE"
QUIET_SECONDS = 3.0  # of waiting for another process, before a word is said about it

#: Fingerprints look into so many patches of a split, and at so many bytes in three places of each file.
_SAMPLED_PATCHES = 16
_SAMPLED_BYTES = 4096

_log = logging.getLogger(__name__)


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

    The cache is found by `fingerprint`. One process builds, others wait; after three seconds they say so in
    the log. An interrupted build leaves nothing that could be mistaken for a cache.

    Args:
        root: the dataset's folder, in any layout of `find_dataset`; train and val must have masks.
        cache_dir: where caches are kept; default `default_cache_dir()`.
        progress: called once per patch while building; not at all when the cache exists.

    Raises:
        DatasetError: everything that is wrong with the layout, or with any file, together; the disk is too
            small; the cache folder cannot be written.
    """
    files = find_dataset(Path(root))
    return open_or_build(fingerprint(files), lambda path: packing.build(files, path, progress), cache_dir)


def open_or_build(name: str, build: Callable[[Path], None], cache_dir: Path | None) -> PackedDataset:
    """Open a cache by its name; where there is none, one process builds it and others wait.

    Args:
        name: of its folder.
        build: fills the folder that it is given; called with its lock held.
        cache_dir: where caches are kept; None = `default_cache_dir()`.

    Raises:
        DatasetError: from `build`, or the cache folder cannot be written.
    """
    cache_dir = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    path = cache_dir / name
    if packing.is_complete(path):
        return load_packed(path)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if not packing.is_complete(path):
                build(path)
    except OSError as error:
        if packing.is_complete(path):  # another machine built the same at the same time
            return load_packed(path)
        raise DatasetError(
            f"{cache_dir}: the packed cache cannot be written ({error}); "
            f"set {CACHE_VARIABLE} to a folder that can be written and has space"
        ) from error
    return load_packed(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a cache; waits for whoever holds it."""
    lock = filelock.FileLock(packing.lock_of(path))
    try:
        lock.acquire(timeout=QUIET_SECONDS)
    except filelock.Timeout:
        _log.warning("another process is packing this dataset; waiting for it (%s)", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


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
    caches.mark_in_use(path)
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
    """A key of the state of the files, 32 hex digits; the same only for the same folder in the same state.

    It is made of the place of the dataset, the relative names, sizes and modification times of all files, and
    the content of a sample of them: archives and copies may give all files the same time, and uncompressed
    patches all have the same size.
    """
    digest = hashlib.sha256(f"packed {packing.FORMAT_VERSION}\n{files.root.resolve()}".encode())
    for split, patches in files.splits.items():
        step = -(-len(patches) // _SAMPLED_PATCHES)
        for index, patch in enumerate(patches):
            assert patch.mask is not None
            for path in (patch.image, patch.mask):
                state = path.stat()
                name = path.relative_to(files.root).as_posix()
                digest.update(f"\n{split} {name} {state.st_size} {state.st_mtime_ns}".encode())
                if index % step == 0:
                    digest.update(_sample(path, state.st_size))
    return digest.hexdigest()[:32]


def _sample(path: Path, size: int) -> bytes:
    """A few thousand bytes from the start, the middle and the end of a file."""
    with path.open("rb") as file:
        parts = []
        for start in (0, (size - _SAMPLED_BYTES) // 2, size - _SAMPLED_BYTES):
            file.seek(max(start, 0))
            parts.append(file.read(_SAMPLED_BYTES))
    return b"".join(parts)
