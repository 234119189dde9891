"""Builds the packed cache of a dataset: one pass, arrays first, manifest last, then one rename.

The caller holds the lock of the cache. Nothing is left behind when a file is bad; what a killed build left
behind is removed a day later. Opening the cache is the affair of `landslide.packed`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from landslide.errors import DatasetError
from landslide.layout import DatasetFiles
from landslide.moving import move
from landslide.patches import Patch
from landslide.progress import Progress
from landslide.survey import Survey

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ARRAYS = ("images", "masks", "ids", "has_positive")
MAPPED = ("images", "masks")  # the large ones; the others are read into memory
BUILDING = ".building-"
LEFTOVER_SECONDS = (
    24 * 3600.0
)  # no build takes a day, so what nobody wrote to for so long is no build any more
_SPARE_BYTES = 64 * 2**20  # left free on the disk beside the arrays


def array_name(split: str, array: str) -> str:
    """The file of one array of one split."""
    return f"{split}_{array}.npy"


def lock_of(path: Path) -> Path:
    """The lock file beside a cache folder."""
    return path.with_name(path.name + ".lock")


def is_complete(path: Path) -> bool:
    """Whether a folder is a complete cache of this version: a manifest, and files of the sizes it says."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        sizes: dict[str, int] = manifest["files"]
        return manifest["format"] == FORMAT_VERSION and all(
            (path / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def temporary_of(path: Path) -> Path:
    """A new name beside a cache folder for what is not yet, or no longer, a cache."""
    return path.with_name(f"{path.name}{BUILDING}{uuid.uuid4().hex[:8]}")


def leftovers(cache_dir: Path) -> list[Path]:
    """What killed builds left in a folder of caches, sorted.

    Another machine may be building in the same folder, and locks do not hold across every network file
    system. So only what nobody has written to for a day counts.
    """
    newest = time.time() - LEFTOVER_SECONDS
    found = []
    for folder in sorted(cache_dir.glob(f"*{BUILDING}*")):
        try:
            times = [entry.stat().st_mtime for entry in (folder, *folder.iterdir())]
        except OSError:  # finished or removed by its owner at this moment
            continue
        if max(times) < newest:
            found.append(folder)
    return found


def remove_leftovers(cache_dir: Path) -> None:
    """Remove what killed builds left in a folder of caches."""
    for leftover in leftovers(cache_dir):
        shutil.rmtree(leftover, ignore_errors=True)


def build(files: DatasetFiles, path: Path, progress: Progress | None, *, origin: str | None = None) -> None:
    """Read every patch once and write the cache to `path`; the caller holds its lock.

    Args:
        files: of the dataset.
        path: of the cache.
        progress: called once per patch.
        origin: where the dataset is kept, if the files are a copy that will be removed.

    Raises:
        DatasetError: all files that cannot be used, together, or too little space; `path` does not exist
            then.
    """
    remove_leftovers(path.parent)
    survey = Survey(files)
    temporary = temporary_of(path)
    try:
        with _Writer(temporary, files) as writer:
            for split, patch_files, patch in survey.read(progress):
                # After the first problem the files are only read, to report all problems at once.
                if patch is not None and survey.clean:
                    writer.add(split, patch_files.patch_id, patch)
        problems = survey.conclude()
        if problems:
            raise DatasetError(problems, f"the dataset in {files.root} cannot be used")
        _write_manifest(temporary, {**writer.manifest(), "root": origin or str(files.root.resolve())})
        _put(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(temporary: Path, path: Path) -> None:
    """Move a finished cache to its place, unless a machine that does not see our lock was faster.

    Raises:
        OSError: it cannot be moved there.
    """
    if is_complete(path):
        return
    if path.exists():
        shutil.rmtree(path)  # incomplete or damaged, otherwise nobody would build
    move(temporary, path)


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, last of all files."""
    sizes = {file.name: file.stat().st_size for file in sorted(folder.glob("*.npy"))}
    text = json.dumps({"format": FORMAT_VERSION, **manifest, "files": sizes}, indent=1)
    with open(folder / MANIFEST, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@dataclass
class RunningMoments:
    """Mean and variance per band of a stream of images, in float64.

    Each image is reduced in two passes and merged with the pooled update of Chan, Golub and LeVeque (1979,
    eq. 2.1), which loses no digits when the mean is large against the spread.
    """

    count: int = 0
    mean: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    squares: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def add(self, image: npt.NDArray[np.float32]) -> None:
        """Merge one image, shape (bands, height, width)."""
        values = image.reshape(len(image), -1).astype(np.float64)
        mean = values.mean(axis=1)
        squares = ((values - mean[:, None]) ** 2).sum(axis=1)
        if not self.count:
            self.count, self.mean, self.squares = values.shape[1], mean, squares
            return
        total = self.count + values.shape[1]
        shift = mean - self.mean
        self.squares = self.squares + squares + shift**2 * (self.count * values.shape[1] / total)
        self.mean = self.mean + shift * (values.shape[1] / total)
        self.count = total

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """The population standard deviation per band."""
        return np.asarray(np.sqrt(self.squares / max(self.count, 1)), dtype=np.float64)


class _Writer:
    """Streams patches into .npy files and gathers what the manifest says about them."""

    def __init__(self, folder: Path, files: DatasetFiles) -> None:
        self._folder = folder
        self._counts = {split: len(patches) for split, patches in files.splits.items()}
        self._open: dict[str, BinaryIO] = {}
        self._hash = hashlib.sha256()
        self._moments = RunningMoments()
        self._positive = 0
        self._shape: tuple[int, ...] | None = None
        folder.mkdir(parents=True)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._open.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()

    def add(self, split: str, patch_id: int, patch: Patch) -> None:
        """Append one patch; patches come split by split, sorted by number."""
        if self._shape is None:
            self._begin(patch.image.shape)
        positive = int(patch.mask.sum())
        image, mask = patch.image.astype("<f4", copy=False).tobytes(), patch.mask.tobytes()
        parts = (image, mask, np.int64(patch_id).astype("<i8").tobytes(), bytes([positive > 0]))
        for array, content in zip(ARRAYS, parts, strict=True):
            self._open[array_name(split, array)].write(content)
        self._hash.update(f"\n{split} {patch_id}\n".encode())
        self._hash.update(image)
        self._hash.update(mask)
        if split == "train":
            self._moments.add(patch.image)
            self._positive += positive

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Check the space and write the heads of all arrays, once the shape of a patch is known."""
        self._shape = shape
        bands, size, _ = shape
        needed = sum(self._counts.values()) * (bands * 4 + 1) * size * size + _SPARE_BYTES
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise DatasetError(
                f"{self._folder.parent}: the packed cache needs {needed / 1e9:.2f} GB, free are "
                f"{free / 1e9:.2f} GB; "
                "free some space, or set LANDSLIDE_TUNE_CACHE to a folder on a larger disk"
            )
        self._hash.update(f"bands {bands} size {size}".encode())
        for split, count in self._counts.items():
            shapes = ((count, *shape), (count, size, size), (count,), (count,))
            for array, dtype, array_shape in zip(ARRAYS, ("<f4", "|u1", "<i8", "|b1"), shapes, strict=True):
                name = array_name(split, array)
                self._open[name] = open(self._folder / name, "wb")  # noqa: SIM115 - closed in __exit__
                np.lib.format.write_array_header_1_0(
                    self._open[name], {"descr": dtype, "fortran_order": False, "shape": array_shape}
                )

    def manifest(self) -> dict[str, Any]:
        """What is known about the content after the last patch."""
        assert self._shape is not None
        return {
            "data_id": self._hash.hexdigest()[:16],
            "bands": self._shape[0],
            "patch_size": self._shape[1],
            "means": self._moments.mean.tolist(),
            "stds": self._moments.std.tolist(),
            "positive_ratio": self._positive / (self._counts["train"] * self._shape[1] ** 2),
            "splits": list(self._counts),
        }
