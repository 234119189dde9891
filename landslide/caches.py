"""The packed caches of this machine: which there are, who uses them, and how to get rid of them.

A process that opens a cache holds a small lock file in it for as long as it lives, so that nobody removes the
cache under it. What is in a cache is the affair of `landslide.packed`, how it is built that of
`landslide.packing`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from landslide import packing
from landslide.errors import DatasetError
from landslide.moving import move

_USERS = "in_use-"

#: The locks that say which caches this process uses; released by the operating system when it ends.
_held: dict[Path, filelock.BaseFileLock] = {}


@dataclass(frozen=True)
class Cache:
    """A packed cache, or what is left of one.

    Attributes:
        path: its folder.
        complete: whether it can be opened.
        root: the folder of the dataset it was packed from; None where its manifest does not say.
        data_id: of the content, as `PackedDataset.data_id`; None unless complete.
        size: bytes on disk.
        last_used: when it was last opened, in seconds since 1970.
        in_use: whether a process on this machine has it open, or builds it.
    """

    path: Path
    complete: bool
    root: str | None
    data_id: str | None
    size: int
    last_used: float
    in_use: bool


@dataclass(frozen=True)
class Pruned:
    """What `prune_caches` did.

    Attributes:
        removed: the caches that are gone.
        kept: the caches that are not old enough, in use, or could not be removed.
    """

    removed: tuple[Cache, ...]
    kept: tuple[Cache, ...]

    @property
    def freed(self) -> int:
        """Bytes on disk."""
        return sum(cache.size for cache in self.removed)


def mark_in_use(path: Path) -> None:
    """Keep a cache from being pruned while this process lives, and note the time as its last use.

    A cache that may only be read is left as it is: who may not write to it cannot be told apart there.
    """
    path = path.resolve()
    with contextlib.suppress(OSError):
        os.utime(path / packing.MANIFEST)
    if path in _held and _held[path].is_locked and Path(_held[path].lock_file).exists():
        return
    lock = filelock.FileLock(path / f"{_USERS}{os.getpid()}-{uuid.uuid4().hex[:8]}.lock")
    with contextlib.suppress(OSError, NotImplementedError):
        lock.acquire()
        _held[path] = lock


def list_caches(cache_dir: Path) -> list[Cache]:
    """The caches in a folder, the least recently used first, and what killed builds left there.

    Raises:
        DatasetError: the folder cannot be read.
    """
    try:
        folders = [entry for entry in cache_dir.iterdir() if entry.is_dir()] if cache_dir.is_dir() else []
    except OSError as error:
        raise DatasetError(f"{cache_dir}: cannot be read ({error}); ask for permission to read it") from error
    old = set(packing.leftovers(cache_dir))
    found = []
    for folder in folders:
        building = packing.BUILDING in folder.name
        if not building and not (folder / packing.MANIFEST).is_file():
            continue  # a folder of another kind is not ours to remove
        with contextlib.suppress(FileNotFoundError):  # its builder has just renamed or removed it
            found.append(_look(folder, in_use=folder not in old if building else _is_used(folder)))
    return sorted(found, key=lambda cache: (cache.last_used, cache.path))


def find_cache(cache_dir: Path, data_id: str) -> Path | None:
    """The complete cache in a folder with this content, whatever it was packed from; takes milliseconds."""
    for manifest in sorted(cache_dir.glob(f"*/{packing.MANIFEST}")):
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            same = json.loads(manifest.read_text(encoding="utf-8")).get("data_id") == data_id
            if same and packing.BUILDING not in manifest.parent.name and packing.is_complete(manifest.parent):
                return manifest.parent
    return None


def prune_caches(cache_dir: Path, *, unused_days: float) -> Pruned:
    """Remove the caches that nobody has opened for some days, and what killed builds left.

    Nothing that is being built or is open in a process of this machine is removed. A dataset whose cache is
    gone is packed again when it is next opened.

    Args:
        cache_dir: a folder of caches, as `default_cache_dir()`.
        unused_days: remove what was last opened at least so long ago; 0 means everything that is not in use.

    Raises:
        DatasetError: the folder cannot be read.
    """
    newest = time.time() - unused_days * 24 * 3600
    removed: list[Cache] = []
    kept: list[Cache] = []
    for cache in list_caches(cache_dir):
        old = packing.BUILDING in cache.path.name or cache.last_used <= newest
        (removed if old and not cache.in_use and _remove(cache.path) else kept).append(cache)
    return Pruned(tuple(removed), tuple(kept))


def _look(folder: Path, *, in_use: bool) -> Cache:
    complete = packing.is_complete(folder)
    manifest: dict[str, Any] = {}
    with contextlib.suppress(OSError, TypeError, ValueError):
        manifest = dict(json.loads((folder / packing.MANIFEST).read_text(encoding="utf-8")))
    states = []
    for file in folder.iterdir():
        with contextlib.suppress(OSError):  # a temporary file, gone by now
            states.append(file.stat())
    opened = folder / packing.MANIFEST
    return Cache(
        path=folder,
        complete=complete,
        root=manifest.get("root"),
        data_id=manifest.get("data_id") if complete else None,
        size=sum(state.st_size for state in states),
        last_used=(opened if opened.is_file() else folder).stat().st_mtime,
        in_use=in_use,
    )


def _is_used(folder: Path) -> bool:
    """Whether a process has the cache open or holds the lock of its building. Tidies up after dead ones."""
    return any(_is_held(lock) for lock in [packing.lock_of(folder), *folder.glob(f"{_USERS}*.lock")])


def _is_held(file: Path) -> bool:
    try:
        with filelock.FileLock(file, timeout=0):
            pass
    except (filelock.Timeout, OSError, NotImplementedError):
        return True  # what cannot be locked cannot be known to be free
    if file.name.startswith(_USERS):
        file.unlink(missing_ok=True)
    return False


def _remove(folder: Path) -> bool:
    """Remove a cache under its lock; False when it is in use after all, or may not be removed."""
    if packing.BUILDING in folder.name:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    try:
        with filelock.FileLock(packing.lock_of(folder), timeout=0):
            if any(_is_held(lock) for lock in folder.glob(f"{_USERS}*.lock")):
                return False
            # Under another name first: a cache is there as a whole or not at all.
            temporary = packing.temporary_of(folder)
            move(folder, temporary)
            shutil.rmtree(temporary, ignore_errors=True)
    except (filelock.Timeout, OSError):
        return False
    return True
