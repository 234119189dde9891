"""One pass over all labelled patches that never stops at the first bad file: it collects every problem.

Shared by the check of a dataset and by the packing of its cache, so that both refuse exactly the same
datasets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from landslide.errors import DatasetError
from landslide.layout import DatasetFiles
from landslide.pairing import LISTED, PatchFiles, listing
from landslide.patches import Image, Patch, read_image, read_patch
from landslide.progress import Progress


@dataclass
class Survey:
    """Reads all labelled patches of a dataset once and remembers what is wrong with them.

    Attributes:
        files: the dataset.
        problems: what was wrong with single files, so far.
    """

    files: DatasetFiles
    problems: list[str] = field(default_factory=list)
    _shapes: dict[tuple[int, int], list[Path]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of labelled patches."""
        return sum(len(patches) for patches in self.files.splits.values())

    @property
    def clean(self) -> bool:
        """Whether every file read so far was good and all have the same bands and size."""
        return not self.problems and len(self._shapes) <= 1

    def read(self, progress: Progress | None = None) -> Iterator[tuple[str, PatchFiles, Patch | None]]:
        """Read the patches split by split, sorted by number.

        Args:
            progress: called after each patch.

        Yields:
            The split, the files, and the patch; None in its place when the files cannot be used.
        """
        done = 0
        for split, patches in self.files.splits.items():
            for files in patches:
                yield split, files, self._read_one(files)
                done += 1
                if progress is not None:
                    progress(done, self.total)

    def read_unlabelled(self, progress: Progress | None = None) -> Iterator[tuple[str, Image | None]]:
        """Read the images of the splits that have no masks.

        Args:
            progress: called after each image.

        Yields:
            The split and the image; None in its place when the file cannot be used.
        """
        jobs = [(split, files) for split, patches in self.files.unlabelled.items() for files in patches]
        for done, (split, files) in enumerate(jobs, start=1):
            image: Image | None = None
            try:
                image = read_image(files.image)
            except DatasetError as error:
                self.problems += error.problems
            else:
                self._remember(image, files)
            yield split, image
            if progress is not None:
                progress(done, len(jobs))

    def _remember(self, image: Image, files: PatchFiles) -> None:
        self._shapes.setdefault((image.shape[0], image.shape[1]), []).append(files.image)

    def _read_one(self, files: PatchFiles) -> Patch | None:
        try:
            patch = read_patch(files)
        except DatasetError as error:
            self.problems += error.problems
            return None
        self._remember(patch.image, files)
        return patch

    def conclude(self) -> list[str]:
        """All problems: of single files (the first in full, the rest as a number), then of the whole."""
        rest = len(self.problems) - LISTED
        shown = self.problems[:LISTED] + ([f"and {rest} more problems of single files"] if rest > 0 else [])
        return shown + self._differing(0, "bands") + self._differing(1, "pixels along a side")

    def _differing(self, axis: int, what: str) -> list[str]:
        """The problem that files disagree about the number of bands (axis 0) or the size (axis 1)."""
        groups: dict[int, list[Path]] = {}
        for shape, images in self._shapes.items():
            groups.setdefault(shape[axis], []).extend(images)
        if len(groups) <= 1:
            return []
        common = max(groups, key=lambda value: len(groups[value]))
        others = [
            f"{value} in {len(images)} files ({listing([self._short(image) for image in images])})"
            for value, images in sorted(groups.items())
            if value != common
        ]
        return [
            f"{self.files.root}: the number of {what} differs between files: {common} in "
            f"{len(groups[common])} files, "
            f"but {'; '.join(others)}; all files of a dataset have the same: convert or remove the others"
        ]

    def _short(self, image: Path) -> str:
        return image.relative_to(self.files.root).as_posix()
