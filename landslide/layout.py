"""Where the patches of a dataset are: recognises every layout in which Landslide4Sense is distributed.

========================  =====================================================================
layout                    folders
========================  =====================================================================
huggingface               `images/{train,validation,test}` and `annotations/{train,validation,test}`
competition               `TrainData/{img,mask}`, `ValidData/{img,mask}`, `TestData/{img,mask}` or
                          `TestData/{img,test}`
simple                    `train/{img,mask}`, `val` or `validation` or `valid`, `test`
========================  =====================================================================

Names are compared without case, the usual synonyms are accepted, and one or two wrapper folders may be around
it. No file is opened as HDF5 here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landslide.errors import DatasetError
from landslide.pairing import HIDDEN, Pairing, PatchFiles, listing, pair_split

__all__ = ["DatasetFiles", "PatchFiles", "find_dataset"]

SPLITS = ("train", "val", "test")
WRAPPERS = 2  # folders that may lie between the given folder and the layout

_SPLIT_NAMES = {
    "train": ("train", "traindata", "training", "trainingdata"),
    "val": ("val", "valid", "validation", "validdata", "validationdata", "valdata"),
    "test": ("test", "testdata", "testing"),
}
_IMAGE_NAMES = ("img", "imgs", "image", "images")
_MASK_NAMES = ("mask", "masks", "annotation", "annotations", "label", "labels")
_COMPETITION_TEST_MASKS = "test"  # one distribution keeps the test masks in TestData/test

_LOOKED_FOR = (
    "looked for images/train + annotations/train (Hugging Face), TrainData/img + TrainData/mask "
    "(competition), train/img + train/mask (simple), also inside one or two wrapper folders"
)


@dataclass(frozen=True)
class DatasetFiles:
    """The files of a dataset, paired by the number in their names.

    Attributes:
        root: the folder that holds the layout (below the given folder when there are wrapper folders).
        layout: "huggingface", "competition" or "simple".
        splits: "train", "val", "test" -> pairs sorted by number; labelled splits only.
        unlabelled: the same for splits that have no folder of masks; their `mask` is None.
        skipped_by_split: split -> reason -> number of files left out.
    """

    root: Path
    layout: str
    splits: Mapping[str, tuple[PatchFiles, ...]]
    unlabelled: Mapping[str, tuple[PatchFiles, ...]]
    skipped_by_split: Mapping[str, Mapping[str, int]]

    @property
    def skipped(self) -> dict[str, int]:
        """Reason -> number of files left out, over the whole dataset."""
        total: Counter[str] = Counter()
        for counts in self.skipped_by_split.values():
            total.update(counts)
        return dict(total)


@dataclass(frozen=True)
class _SplitFolders:
    """The folders of one split; at least one of the two exists."""

    images: Path | None
    masks: Path | None


@dataclass
class _Layout:
    """A layout found in one folder."""

    name: str
    root: Path
    splits: dict[str, _SplitFolders]


def find_dataset(root: Path, *, required: Sequence[str] = ("train", "val")) -> DatasetFiles:
    """Find and pair the patches of a dataset.

    Args:
        root: the dataset's folder, or one that wraps it once or twice.
        required: the splits that must be there with masks; training needs train and val.

    Returns:
        The labelled splits, the unlabelled ones, and what was skipped.

    Raises:
        DatasetError: the folder is missing, holds no known layout, or a split is empty, has only unpaired
            files or uses a number twice; a required split is missing or has no masks. All problems together.
    """
    files, problems = inspect_dataset(root, required=required)
    if problems:
        raise DatasetError(problems, f"the dataset in {files.root} cannot be used")
    return files


def inspect_dataset(
    root: Path, *, required: Sequence[str] = ("train", "val")
) -> tuple[DatasetFiles, tuple[str, ...]]:
    """The same as `find_dataset`, but what is wrong with the splits is returned beside what could be paired.

    Raises:
        DatasetError: the folder is missing, cannot be read, or holds no known layout.
    """
    try:
        layout = _find_layout(Path(root))
        pairings = {
            split: pair_split(split, folders.images, folders.masks)
            for split, folders in layout.splits.items()
        }
    except PermissionError as error:
        raise DatasetError(f"{root}: cannot be read ({error}); ask for permission to read it") from error
    pairings = {split: pairings[split] for split in SPLITS if split in pairings}
    problems = [problem for pairing in pairings.values() for problem in pairing.problems]
    problems += _missing(required, pairings, layout.root)
    skipped = {split: dict(pairing.skipped) for split, pairing in pairings.items()}
    if (layout.root / ".cache").is_dir():
        skipped["(top folder)"] = {HIDDEN: 1}
    files = DatasetFiles(
        root=layout.root,
        layout=layout.name,
        splits={split: pairing.patches for split, pairing in pairings.items() if pairing.labelled},
        unlabelled={split: pairing.patches for split, pairing in pairings.items() if not pairing.labelled},
        skipped_by_split=skipped,
    )
    return files, tuple(problems)


def _missing(required: Sequence[str], pairings: Mapping[str, Pairing], root: Path) -> list[str]:
    """The required splits that are not there or have no masks."""
    problems = []
    for split in required:
        if split not in pairings:
            found = ", ".join(pairings)
            problems.append(
                f"split {split}: not found in {root} (found: {found}); training needs train and val"
            )
        elif not pairings[split].labelled:
            problems.append(
                f"split {split}: {len(pairings[split].patches)} images in {root} but no folder of masks "
                f"({', '.join(_MASK_NAMES)}); training needs masks for train and val: "
                "the Hugging Face distribution has them for every split"
            )
    return problems


def _find_layout(root: Path) -> _Layout:
    """The layout in `root` or in the nearest wrapper folders below it."""
    if not root.exists():
        raise DatasetError(f"{root} does not exist; give the folder that holds the dataset")
    if not root.is_dir():
        raise DatasetError(
            f"{root} is a file; give the folder that holds the dataset (extract archives first)"
        )
    folders = [root]
    for _ in range(WRAPPERS + 1):
        found = [layout for folder in folders for layout in _layouts_in(folder)]
        if found:
            return _merge(found)
        folders = [child for folder in folders for child in _children(folder)]
    raise DatasetError(f"{root} holds no known layout: {_LOOKED_FOR}; found {_what_is_in(root)}")


def _merge(found: Sequence[_Layout]) -> _Layout:
    """One layout from several wrapper folders (one per split, as archives are extracted), or an error."""
    merged = _Layout(found[0].name, found[0].root, dict(found[0].splits))
    for other in found[1:]:
        both = sorted(merged.splits.keys() & other.splits.keys())
        if both or other.name != merged.name:
            raise DatasetError(
                f"more than one dataset: {merged.root} ({merged.name}) and {other.root} ({other.name}); "
                "give the folder of the one that is meant"
            )
        merged.splits.update(other.splits)
        merged.root = Path(os.path.commonpath([merged.root, other.root]))
    return merged


def _layouts_in(folder: Path) -> Iterator[_Layout]:
    """The layouts whose folders lie directly in `folder`; more than one makes it ambiguous."""
    by_kind = _by_kind(folder)
    if by_kind:
        yield _Layout("huggingface", folder, by_kind)
    by_split = _by_split(folder)
    if by_split:
        parents = [found.images.parent.name for found in by_split.values() if found.images is not None]
        competition = any(name.lower().endswith("data") for name in parents)
        yield _Layout("competition" if competition else "simple", folder, by_split)


def _by_kind(folder: Path) -> dict[str, _SplitFolders]:
    """`images/<split>` and `annotations/<split>`."""
    images, masks = _child(folder, _IMAGE_NAMES), _child(folder, _MASK_NAMES)
    splits = {}
    for split, names in _SPLIT_NAMES.items():
        pair = _SplitFolders(
            None if images is None else _child(images, names), None if masks is None else _child(masks, names)
        )
        if pair.images is not None or pair.masks is not None:
            splits[split] = pair
    return splits


def _by_split(folder: Path) -> dict[str, _SplitFolders]:
    """`<split>/img` and `<split>/mask`."""
    splits = {}
    for split, names in _SPLIT_NAMES.items():
        parent = _child(folder, names)
        if parent is None:
            continue
        images, masks = _child(parent, _IMAGE_NAMES), _child(parent, _MASK_NAMES)
        if images is not None and masks is None:
            masks = _child(parent, (_COMPETITION_TEST_MASKS,))
        if images is not None or masks is not None:
            splits[split] = _SplitFolders(images, masks)
    return splits


def _child(folder: Path, names: Sequence[str]) -> Path | None:
    """The one sub-folder whose name is among `names`, compared without case.

    Raises:
        DatasetError: several match, such as `val` beside `validation`.
    """
    matches = [child for child in _children(folder) if child.name.lower() in names]
    if len(matches) > 1:
        shown = ", ".join(match.name for match in matches)
        raise DatasetError(
            f"{folder} holds several folders with the same meaning ({shown}); keep one of them"
        )
    return matches[0] if matches else None


def _children(folder: Path) -> list[Path]:
    """The visible sub-folders, sorted by name."""
    return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.is_dir())


def _what_is_in(root: Path) -> str:
    """What a person needs to see to know why nothing was recognised."""
    names = sorted(child.name + ("/" if child.is_dir() else "") for child in root.iterdir())
    if not names:
        return "an empty folder"
    archives = [name for name in names if name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz"))]
    hint = f"; extract {listing(archives)} first" if archives else ""
    return listing(names) + hint
