"""A dataset that is kept elsewhere: brought to this machine once, packed, and removed again but for its packed cache.

Who brings it, and over what, is the caller's affair: this package knows no network. A killed fetch is gone on with;
what nobody goes on with is removed a day later, like what killed builds leave.
"""

from __future__ import annotations

import errno
import hashlib
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from landslide import packing
from landslide.errors import DatasetError
from landslide.layout import find_dataset
from landslide.packed import PackedDataset, open_or_build
from landslide.pairing import SUFFIXES
from landslide.progress import Progress

_SPARE_BYTES = 64 * 2**20  # left free on the disk beside what is fetched


@dataclass(frozen=True)
class RemoteDataset:
    """A dataset elsewhere.

    Attributes:
        place: its URL, for messages and for the list of caches.
        files: name below the URL, with slashes -> (bytes, a checksum or version of the content).
        fetch: brings all `files` into a folder, which may hold some of them already, and reports progress. Raises
            DatasetError when they cannot be had, OSError when the disk does not take them; what it leaves then is gone
            on with by the next call.
    """

    place: str
    files: Mapping[str, tuple[int, str]]
    fetch: Callable[[Path, Progress | None], None]

    @property
    def key(self) -> str:
        """Name of its packed cache, 32 hex digits: the same only for the same URL in the same state."""
        digest = hashlib.sha256(f"packed {packing.FORMAT_VERSION}\n{self.place}".encode())
        for name, (size, checksum) in sorted(self.files.items()):
            digest.update(f"\n{name} {size} {checksum}".encode())
        return digest.hexdigest()[:32]


def is_patch(name: str) -> bool:
    """Whether a name below a dataset's URL is one that a layout may use: HDF5, and nothing hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.parts)


def open_remote(
    remote: RemoteDataset, *, cache_dir: Path | None = None, progress: Progress | None = None
) -> PackedDataset:
    """Open the packed cache of a dataset elsewhere, fetching and packing it first when this machine has none.

    One process of a machine fetches, others wait; see `open_packed`.

    Args:
        remote: what there is, and how it comes here.
        cache_dir: where caches are kept; default `default_cache_dir()`.
        progress: called per fetched file, then per packed patch; not at all when the cache exists.

    Raises:
        DatasetError: everything that is wrong with the layout, or with any file, together; it cannot be fetched; the
            disk is too small; the cache folder cannot be written.
    """
    if not remote.files:
        raise DatasetError(
            f"{remote.place} holds no file that ends in {' or '.join(SUFFIXES)}; give the prefix that holds the "
            "dataset (extract archives before they are uploaded)"
        )
    return open_or_build(remote.key, lambda path: _fetch_and_pack(remote, path, progress), cache_dir)


def _fetch_and_pack(remote: RemoteDataset, path: Path, progress: Progress | None) -> None:
    """Fill `path`; the caller holds its lock."""
    name = re.sub(
        r"[^A-Za-z0-9-]+", "-", platform.node()
    )  # locks do not hold across every network file system
    folder = path.with_name(f"{path.name}{packing.BUILDING}fetched-{name}")
    packing.remove_leftovers(path.parent)
    folder.mkdir(exist_ok=True)
    _check_space(remote, folder)
    try:
        remote.fetch(folder, progress)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        packing.build(find_dataset(folder), path, progress, origin=remote.place)
    except DatasetError as error:  # nobody knows the temporary folder
        told = [problem.replace(str(folder), remote.place) for problem in error.problems]
        raise DatasetError(told, error.heading.replace(str(folder), remote.place)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_space(remote: RemoteDataset, folder: Path) -> None:
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed = sum(size for size, _ in remote.files.values()) - there + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        shutil.rmtree(folder, ignore_errors=True)
        raise DatasetError(
            f"{folder.parent}: fetching {remote.place} needs {needed / 1e9:.2f} GB, free are {free / 1e9:.2f} GB; "
            "free some space, or set LANDSLIDE_TUNE_CACHE to a folder on a larger disk"
        )
