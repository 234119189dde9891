"""Writes synthetic datasets in the file layouts of the real ones, quirks included."""

from __future__ import annotations

import math
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from landslide.errors import DatasetError
from landslide.moving import move
from landslide.patches import Patch
from landslide.progress import Progress
from landslide.sides import SIDE_MULTIPLE
from landslide.synthetic.scene import BANDS, make_patch

HELD_OUT_SHARE = 4  # val and test have one patch for every four of train
HELD_OUT_MIN = 8
MAX_DIFFICULTY = 2.0

#: layout -> where images and masks of a split go, below the dataset's folder.
LAYOUTS = {
    "huggingface": ("images/{split}", "annotations/{split}"),
    "competition": ("{split}/img", "{split}/mask"),
    "simple": ("{split}/img", "{split}/mask"),
}
_SPLIT_FOLDERS = {
    "huggingface": {"train": "train", "val": "validation", "test": "test"},
    "competition": {"train": "TrainData", "val": "ValidData", "test": "TestData"},
    "simple": {"train": "train", "val": "val", "test": "test"},
}


def synthesize(
    out: Path,
    *,
    patches: int,
    seed: int,
    bands: int = BANDS,
    size: int = 128,
    difficulty: float = 1.0,
    layout: str = "huggingface",
    progress: Progress | None = None,
) -> None:
    """Write a synthetic dataset that looks like Landslide4Sense on disk and, statistically, in its content.

    Files are `image_N.h5` (key `img`, (size, size, bands) float64) and `mask_N.h5` (key `mask`, (size, size)
    uint8) with N from 1, not padded. Val and test have a quarter as many patches as train, at least 8 each.
    As in the original, the train split has masks too many (5 for 3799 patches; here in proportion, at least
    1): a loader that pairs by position instead of by number mixes them up.

    Args:
        out: a folder that is empty or does not exist.
        patches: number of train patches.
        seed: at least 0; the same arguments write the same values.
        bands: the first so many of B1..B8, B9, B10, B11, B12, slope, elevation; at most 14.
        size: pixels along a side, a multiple of 32.
        difficulty: from 0 (hardly any look-alikes) over 1 (default) to 2.
        layout: "huggingface", "competition" or "simple".
        progress: called after each patch.

    Raises:
        DatasetError: every argument out of range, or a folder that is not empty; nothing is written then.
    """
    out = Path(out)
    problems = _argument_problems(
        patches=patches, seed=seed, bands=bands, size=size, difficulty=difficulty, layout=layout
    )
    problems += _folder_problems(out)
    if problems:
        raise DatasetError(problems, "the synthetic dataset cannot be written")
    # Written beside the target and renamed: a killed run leaves nothing that looks like a dataset.
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        jobs = list(_jobs(patches))
        for done, (split, number, with_image) in enumerate(jobs, start=1):
            patch = make_patch(seed, split, number, size=size, difficulty=difficulty)
            _write_patch(temporary, layout, (split, number), patch, bands=bands if with_image else 0)
            if progress is not None:
                progress(done, len(jobs))
        if out.exists():
            out.rmdir()
        move(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _jobs(patches: int) -> Iterator[tuple[str, int, bool]]:
    """Split, number, and whether the image is written as well as the mask."""
    held_out = max(HELD_OUT_MIN, math.ceil(patches / HELD_OUT_SHARE))
    surplus = max(1, round(patches * 5 / 3799))
    for number in range(1, patches + surplus + 1):
        yield "train", number, number <= patches
    for split in ("val", "test"):
        for number in range(1, held_out + 1):
            yield split, number, True


def _write_patch(root: Path, layout: str, key: tuple[str, int], patch: Patch, *, bands: int) -> None:
    """Write the mask and, unless `bands` is 0, the image of patch (split, number)."""
    split, number = key
    images, masks = (root / part.format(split=_SPLIT_FOLDERS[layout][split]) for part in LAYOUTS[layout])
    masks.mkdir(parents=True, exist_ok=True)
    with h5py.File(masks / f"mask_{number}.h5", "w") as file:
        file.create_dataset("mask", data=patch.mask)
    if bands:
        images.mkdir(parents=True, exist_ok=True)
        values = np.moveaxis(patch.image[:bands], 0, -1).astype(np.float64)
        with h5py.File(images / f"image_{number}.h5", "w") as file:
            file.create_dataset("img", data=values)


def _argument_problems(
    *, patches: int, seed: int, bands: int, size: int, difficulty: float, layout: str
) -> list[str]:
    """What is wrong with the arguments of `synthesize`."""
    problems = []
    if patches < 1:
        problems.append(f"patches is {patches}; allowed is 1 or more")
    if seed < 0:
        problems.append(f"seed is {seed}; allowed is 0 or more")
    if not 1 <= bands <= BANDS:
        problems.append(
            f"bands is {bands}; allowed is 1 to {BANDS}, the first so many of B1..B12, slope, elevation"
        )
    if size < SIDE_MULTIPLE or size % SIDE_MULTIPLE:
        problems.append(f"size is {size}; allowed are multiples of {SIDE_MULTIPLE} such as 64 or 128")
    if not 0 <= difficulty <= MAX_DIFFICULTY:
        problems.append(f"difficulty is {difficulty}; allowed is 0 to {MAX_DIFFICULTY:g}, 1 is the default")
    if layout not in LAYOUTS:
        problems.append(f"layout is {layout!r}; allowed is one of {', '.join(LAYOUTS)}")
    return problems


def _folder_problems(out: Path) -> list[str]:
    """Why nothing may be written to `out`."""
    if out.is_dir() and any(out.iterdir()):
        return [f"{out} is not empty; give a new folder, or remove its content first"]
    if out.exists() and not out.is_dir():
        return [f"{out} is a file; give a folder"]
    return []
