"""Pairs images and masks strictly by the number in their file names, never by position.

Nothing is opened as HDF5 here; files that are no patches at all are counted by reason and left out.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (".h5", ".hdf5")
LISTED = 20  # file names per problem; the rest is counted

IMAGE_WITHOUT_MASK = "image without mask"
MASK_WITHOUT_IMAGE = "mask without image"
LFS_POINTER = "Git LFS pointer"
RESOURCE_FILE = "macOS resource file (._*)"
HIDDEN = "hidden (such as .cache)"
NOT_HDF5 = "not an .h5 file"
NO_NUMBER = "name without a number"
BROKEN_LINK = "broken link"

_LFS_START = b"version https://git-lfs"
_LFS_MAX_BYTES = 1024  # a pointer is about 130 bytes; no HDF5 file with a patch is this small
_NUMBER = re.compile(r"(\d+)(?!.*\d)")


@dataclass(frozen=True, order=True)
class PatchFiles:
    """The files of one patch.

    Attributes:
        patch_id: the last integer in the file name, unique within its split.
        image: the HDF5 file of the image.
        mask: the HDF5 file of the mask; None in a split without labels.
    """

    patch_id: int
    image: Path
    mask: Path | None


@dataclass(frozen=True)
class Pairing:
    """What the folders of one split hold.

    Attributes:
        patches: sorted by id.
        labelled: whether there is a folder of masks.
        skipped: reason -> number of files that were left out.
        problems: why the split cannot be used; empty when it can.
    """

    patches: tuple[PatchFiles, ...]
    labelled: bool
    skipped: Mapping[str, int]
    problems: tuple[str, ...]


@dataclass
class _Folder:
    """The HDF5 files of one folder by id, and what was left out."""

    path: Path
    files: dict[int, Path] = field(default_factory=dict)
    duplicates: dict[int, list[Path]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


def listing(names: Sequence[object], limit: int = LISTED) -> str:
    """At most `limit` names separated by commas, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def pair_split(split: str, images: Path | None, masks: Path | None) -> Pairing:
    """Pair the images and masks of one split by the integer in their names.

    Args:
        split: the split's name, for messages.
        images: the folder of images; None when only masks were found.
        masks: the folder of masks; None for a split without labels.

    Returns:
        The pairs, what was skipped, and the problems: nothing is raised, so that all splits are reported at
        once.
    """
    if images is None:
        return Pairing(
            (), True, {}, (f"split {split}: there are masks in {masks} but no folder of images for them",)
        )
    image_folder = _scan(images)
    mask_folder = None if masks is None else _scan(masks)
    if mask_folder is None:
        patches = tuple(PatchFiles(number, path, None) for number, path in sorted(image_folder.files.items()))
        skipped = image_folder.skipped
    else:
        shared = sorted(image_folder.files.keys() & mask_folder.files.keys())
        patches = tuple(
            PatchFiles(number, image_folder.files[number], mask_folder.files[number]) for number in shared
        )
        skipped = image_folder.skipped + mask_folder.skipped
        skipped[IMAGE_WITHOUT_MASK] += len(image_folder.files) - len(shared)
        skipped[MASK_WITHOUT_IMAGE] += len(mask_folder.files) - len(shared)
    problems = _problems(split, image_folder, mask_folder, n_pairs=len(patches))
    return Pairing(patches, mask_folder is not None, dict(+skipped), tuple(problems))


def _problems(split: str, images: _Folder, masks: _Folder | None, *, n_pairs: int) -> list[str]:
    """Why a split cannot be used."""
    problems = []
    for folder in (images, masks):
        if folder is None:
            continue
        for number, paths in sorted(folder.duplicates.items()):
            names = listing(sorted(path.name for path in paths))
            problems.append(
                f"split {split}: number {number} occurs more than once in {folder.path} ({names}); "
                "numbers are unique within a split: remove or renumber the copies"
            )
    if not images.files:
        problems.append(_empty(split, images, "images"))
    elif masks is not None and not masks.files:
        problems.append(_empty(split, masks, "masks"))
    elif not n_pairs:
        assert masks is not None
        problems.append(
            f"split {split}: none of the {len(images.files)} images in {images.path} has a mask in "
            f"{masks.path} "
            f"({len(masks.files)} files): images and masks are paired by the last number in their names, "
            "such as image_7.h5 and mask_7.h5"
        )
    return problems


def _empty(split: str, folder: _Folder, kind: str) -> str:
    """The problem of a folder without a usable file."""
    problem = (
        f"split {split}: no {kind} in {folder.path}; expected HDF5 files (*.h5) with a number in their names"
    )
    if folder.skipped[LFS_POINTER]:
        pointers = folder.skipped[LFS_POINTER]
        return f"{problem}, but {pointers} files are Git LFS pointers: run `git lfs pull` there"
    if folder.skipped:
        left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(folder.skipped.items()))
        return f"{problem}; left out: {left_out}"
    return problem + "; the folder is empty"


def _scan(path: Path) -> _Folder:
    """The HDF5 files directly in a folder by the number in their names."""
    folder = _Folder(path)
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            reason = _reason_to_skip(entry)
            if reason is not None:
                folder.skipped[reason] += 1
                continue
            found = _NUMBER.search(Path(entry.name).stem)
            assert found is not None
            number, file = int(found.group(1)), Path(entry.path)
            if number in folder.files:
                folder.duplicates.setdefault(number, [folder.files[number]]).append(file)
            else:
                folder.files[number] = file
    return folder


def _reason_to_skip(entry: os.DirEntry[str]) -> str | None:
    """Why an entry of a folder is no patch; None when it is one."""
    if entry.name.startswith("._"):
        return RESOURCE_FILE
    if entry.name.startswith("."):
        return HIDDEN
    if not entry.name.lower().endswith(SUFFIXES) or entry.is_dir():
        return NOT_HDF5
    if not entry.is_file():
        return BROKEN_LINK
    if _is_lfs_pointer(entry):
        return LFS_POINTER
    return None if _NUMBER.search(Path(entry.name).stem) else NO_NUMBER


def _is_lfs_pointer(entry: os.DirEntry[str]) -> bool:
    """Whether a file is the text that Git LFS leaves in the place of the real file."""
    if entry.stat().st_size >= _LFS_MAX_BYTES:
        return False
    with open(entry.path, "rb") as file:
        return file.read(len(_LFS_START)) == _LFS_START
