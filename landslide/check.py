"""The check of a dataset before it is trained on: what is there, and everything that is wrong.

Nothing is written; the packed cache is the affair of `landslide.packed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landslide import official
from landslide.layout import SPLITS, DatasetFiles, inspect_dataset
from landslide.progress import Progress
from landslide.sides import SIDE_MULTIPLE
from landslide.survey import Survey


@dataclass(frozen=True)
class SplitReport:
    """What one split holds.

    Attributes:
        split: "train", "val" or "test".
        labelled: whether there are masks.
        patches: number of usable patches.
        bands: their number of bands; the most common one where files differ; None when nothing could be read.
        patch_size: pixels along a side; likewise.
        positive_pixels: landslide pixels in all masks.
        positive_ratio: landslide pixels / all pixels, in [0, 1]; None without masks.
        empty_patches: patches without any landslide pixel; 0 without masks.
        zero_bands: band (from 1) -> number of patches in which that band is 0 everywhere.
        skipped: reason -> number of files left out.
    """

    split: str
    labelled: bool
    patches: int
    bands: int | None
    patch_size: int | None
    positive_pixels: int
    positive_ratio: float | None
    empty_patches: int
    zero_bands: Mapping[int, int]
    skipped: Mapping[str, int]


@dataclass(frozen=True)
class DatasetReport:
    """The result of `check_dataset`.

    Attributes:
        root: the folder that holds the layout.
        layout: "huggingface", "competition" or "simple".
        splits: one report per split found, in the order train, val, test.
        problems: why the dataset cannot be used for training; empty when it can.
        notes: remarks that do not stop anybody.
    """

    root: Path
    layout: str
    splits: tuple[SplitReport, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the dataset can be trained on."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The report in plain types, for JSON."""
        return asdict(self) | {"root": str(self.root), "ok": self.ok}


@dataclass
class _Tally:
    """What was seen in one split so far."""

    shapes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: int = 0
    positive: int = 0
    empty: int = 0
    zero_bands: Counter[int] = field(default_factory=Counter)

    def add(self, image: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8] | None) -> None:
        """Count one patch."""
        self.shapes[image.shape[0], image.shape[1]] += 1
        self.zero_bands.update(int(band) + 1 for band in np.flatnonzero(~image.any(axis=(1, 2))))
        if mask is not None:
            positive = int(mask.sum())
            self.positive += positive
            self.pixels += mask.size
            self.empty += not positive

    def report(self, split: str, files: DatasetFiles) -> SplitReport:
        """The finished report of a split."""
        bands, size = self.shapes.most_common(1)[0][0] if self.shapes else (None, None)
        return SplitReport(
            split=split,
            labelled=split in files.splits,
            patches=self.shapes.total(),
            bands=bands,
            patch_size=size,
            positive_pixels=self.positive,
            positive_ratio=self.positive / self.pixels if self.pixels else None,
            empty_patches=self.empty,
            zero_bands=dict(sorted(self.zero_bands.items())),
            skipped=dict(files.skipped_by_split.get(split, {})),
        )


def check_dataset(root: Path, progress: Progress | None = None) -> DatasetReport:
    """Read every file of a dataset and report what is there and everything that is wrong.

    Args:
        root: the dataset's folder, in any layout of `find_dataset`.
        progress: called after each patch.

    Returns:
        The report; its `problems` are those for which `open_packed` would refuse the dataset, and those of
        images without masks.

    Raises:
        DatasetError: there is nothing to report on: the folder is missing or holds no known layout.
    """
    files, layout_problems = inspect_dataset(Path(root))
    survey = Survey(files)
    tallies = {split: _Tally() for split in SPLITS if split in files.splits or split in files.unlabelled}
    total = survey.total + sum(len(patches) for patches in files.unlabelled.values())
    for split, _, patch in survey.read(_part(progress, 0, total)):
        if patch is not None:
            tallies[split].add(patch.image, patch.mask)
    for split, image in survey.read_unlabelled(_part(progress, survey.total, total)):
        if image is not None:
            tallies[split].add(image, None)
    reports = tuple(tally.report(split, files) for split, tally in tallies.items())
    return DatasetReport(
        root=files.root,
        layout=files.layout,
        splits=reports,
        problems=(*layout_problems, *survey.conclude()),
        notes=tuple(_notes(reports)),
    )


def _part(progress: Progress | None, before: int, total: int) -> Progress | None:
    """The progress of a part of the work that starts after `before` of `total` patches."""
    return None if progress is None else lambda done, _: progress(before + done, total)


def _notes(reports: Sequence[SplitReport]) -> list[str]:
    """What a careful person would want to know."""
    notes = []
    for report in reports:
        if report.labelled and report.patches and not report.positive_pixels:
            notes.append(f"split {report.split} has no landslide pixel at all: its IoU is undefined")
        notes += [
            f"split {report.split}: band {band} is 0 everywhere in {count} of {report.patches} patches"
            for band, count in report.zero_bands.items()
        ]
        if report.patch_size is not None and report.patch_size % SIDE_MULTIPLE:
            notes.append(
                f"split {report.split}: patches of {report.patch_size} pixels are not a multiple of "
                f"{SIDE_MULTIPLE}, which most encoders need"
            )
    return notes + _official_notes(reports)


def _official_notes(reports: Sequence[SplitReport]) -> list[str]:
    """How patches that look like Landslide4Sense compare with its published counts."""
    shapes = {(report.bands, report.patch_size) for report in reports if report.patches}
    if shapes != {(official.BANDS, official.PATCH_SIZE)}:
        return []
    counts = {report.split: report.patches for report in reports}
    published = " / ".join(str(count) for count in official.PATCHES.values())
    found = " / ".join(str(counts.get(split, 0)) for split in official.PATCHES)
    if counts != official.PATCHES:
        return [f"{found} train / val / test patches; Landslide4Sense as published has {published}"]
    differing = [
        f"{report.split} has {report.empty_patches} patches without landslides instead of "
        f"{official.EMPTY[report.split]}"
        for report in reports
        if report.labelled and report.empty_patches != official.EMPTY[report.split]
    ]
    differing += [
        f"train has {report.positive_pixels} landslide pixels instead of {official.TRAIN_POSITIVE_PIXELS}"
        for report in reports
        if report.split == "train" and report.positive_pixels != official.TRAIN_POSITIVE_PIXELS
    ]
    if differing:
        return [f"as many patches as Landslide4Sense ({published}), but other labels: {'; '.join(differing)}"]
    return [f"patches ({published}) and labels have the counts of Landslide4Sense as published"]
