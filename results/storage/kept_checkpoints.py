"""What a bucket keeps of the checkpoints of a run directory, so that another machine can go on with a run, or ship it.

One folder of three objects per trial. `last.pt` is stored after the others: whatever a kill leaves, the best files are
those of `last.pt` or of an epoch after it, from where a run goes on. When they are stored is not decided here.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from results.errors import StoreError
from results.storage.atomic import remove_leftovers, replace_bytes
from results.storage.downloads import get_whole
from results.storage.location import RunDir, RunUrl, local_copy, locate
from results.storage.object_store import RunObjects, Stored

BEST, PATCHES, LAST = "best.pt", "best_patches.npz", "last.pt"
#: in the order in which they are stored, and brought here.
NAMES = (BEST, PATCHES, LAST)
#: seconds between attempts to store an object; the client itself has tried twice each time.
PAUSES = (1.0, 4.0)
_EPOCHS = "epochs"
T = TypeVar("T")


class KeptCheckpoint:
    """The objects of one trial. Every method raises `StoreError` when the server does not do what it should.

    Args:
        objects: of the run directory.
        trial_key: of the trial.
    """

    def __init__(self, objects: RunObjects, trial_key: str) -> None:
        self._objects, self._folder = objects, f"checkpoints/{trial_key}"

    def epochs(self, name: str = LAST) -> int:
        """How many epochs the trial had when a file was stored: those that `last.pt` holds; 0 if there is none.

        The content is not read.
        """
        found = _patiently(lambda: self._objects.notes(f"{self._folder}/{name}")).get(_EPOCHS, "0")
        return int(found) if found.isdecimal() else 0

    def listed(self) -> dict[str, Stored]:
        """What there is of it, by name."""
        start = len(self._folder) + 1
        names = _patiently(lambda: self._objects.names(f"{self._folder}/"))
        return {name[start:]: stored for name, stored in names.items() if name[start:] in NAMES}

    def read(self, name: str, stored: Stored) -> bytes:
        """The content of a file, as it was listed."""
        return get_whole(self._objects, f"{self._folder}/{name}", stored)

    def store(self, files: Mapping[str, bytes], *, epochs: int) -> None:
        """Store files, each all or nothing and checked for having arrived whole; again for some seconds if it is not.

        Args:
            files: content by name, of `NAMES`.
            epochs: how many the trial has.
        """
        notes = {_EPOCHS: str(epochs)}
        for name in (name for name in NAMES if name in files):
            _patiently(partial(self._objects.put, f"{self._folder}/{name}", files[name], notes=notes))

    def fetch(self, folder: Path, names: Sequence[str] = NAMES) -> None:
        """Bring what there is of these into a folder, in the order of `NAMES`.

        Raises:
            OSError: the disk does not take it.
        """
        listed = self.listed()
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, NAMES)
        for name in (name for name in NAMES if name in names and name in listed):
            path = folder / name
            if not (path.is_file() and listed[name].is_surely(path.read_bytes())):
                replace_bytes(path, self.read(name, listed[name]))


def _patiently(ask: Callable[[], T]) -> T:
    for pause in PAUSES:
        try:
            return ask()
        except StoreError:
            time.sleep(pause)
    return ask()


def best_checkpoint(run_dir: RunDir, trial_key: str) -> Path:
    """The best.pt of a trial on this machine, brought here first where a bucket has that of a later epoch.

    It may not exist: then the trial has left none.

    Raises:
        StoreError: the server does not answer as it should, or the disk does not take it.
    """
    place, folder = locate(run_dir), local_copy(run_dir) / "checkpoints" / trial_key
    if isinstance(place, RunUrl):
        try:
            bring_best(KeptCheckpoint(RunObjects(place), trial_key), folder)
        except OSError as error:
            raise StoreError(f"{folder} cannot take a checkpoint of {place} ({error})") from error
    return folder / BEST


def has_last(run_dir: RunDir, trial_key: str) -> bool:
    """Whether a run can go on: its last.pt is on this machine or in the bucket.

    Raises:
        StoreError: the server does not answer as it should.
    """
    place = locate(run_dir)
    if (local_copy(place) / "checkpoints" / trial_key / LAST).is_file():
        return True
    return isinstance(place, RunUrl) and KeptCheckpoint(RunObjects(place), trial_key).epochs() > 0


def bring_best(kept: KeptCheckpoint, folder: Path) -> None:
    """Bring the best files of a trial here, unless those here are of the same epoch or a later one.

    The counts here may be the bucket's, brought alone for the rows of a run that ended on another node, beside weights
    that an earlier part of the run left here.

    Raises:
        StoreError: the server does not answer as it should.
        OSError: the disk does not take them.
    """
    listed = kept.listed()
    if BEST not in listed or PATCHES not in listed:
        return
    best, patches = folder / BEST, folder / PATCHES
    here = epoch_of(patches) if best.is_file() else 0
    counts = kept.read(PATCHES, listed[PATCHES])
    epoch = epoch_of(io.BytesIO(counts))
    alone = (
        epoch == here > 0 and patches.read_bytes() == counts and not listed[BEST].is_surely(best.read_bytes())
    )
    if epoch > here or (alone and kept.epochs(BEST) >= epoch):  # its weights may be older than its counts
        kept.fetch(folder, (BEST, PATCHES))


def epoch_of(patches: Path | BinaryIO) -> int:
    """The epoch of a `best_patches.npz`; 0 where there is none, or a torn one."""
    try:
        with np.load(patches) as arrays:
            return int(arrays["epoch"])
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return 0
