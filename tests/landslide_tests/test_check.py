"""The check reports what is there, and refuses exactly what packing refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from landslide import DatasetError, check, check_dataset, open_packed

WriteSplit = Callable[..., None]


def test_the_report_counts_what_the_files_hold(dataset: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = check_dataset(dataset, lambda done, total: calls.append((done, total)))
    assert report.ok
    assert report.layout == "simple"
    assert [split.split for split in report.splits] == ["train", "val", "test"]
    train = report.splits[0]
    assert (train.patches, train.bands, train.patch_size, train.empty_patches) == (3, 4, 32, 1)
    masks = open_packed(dataset).splits["train"].masks
    assert train.positive_pixels == masks.sum()
    assert train.positive_ratio == masks.mean()
    assert calls == [(done, 9) for done in range(1, 10)]


def test_bands_that_are_zero_everywhere_are_counted(dataset: Path) -> None:
    for number in (1, 3):
        with h5py.File(dataset / f"train/img/image_{number}.h5", "r+") as file:
            file["img"][..., 2] = 0
    report = check_dataset(dataset)
    assert dict(report.splits[0].zero_bands) == {3: 2}
    assert "split train: band 3 is 0 everywhere in 2 of 3 patches" in report.notes
    assert report.ok


def test_problems_are_those_for_which_packing_refuses(dataset: Path) -> None:
    with h5py.File(dataset / "train/img/image_1.h5", "r+") as file:
        file["img"][0, 0, 0] = np.inf
    (dataset / "val/img/image_2.h5").write_bytes(b"\0" * 2000)
    report = check_dataset(dataset)
    with pytest.raises(DatasetError) as caught:
        open_packed(dataset)
    assert report.problems == caught.value.problems
    assert len(report.problems) == 2
    assert not report.ok
    assert [split.patches for split in report.splits] == [2, 2, 3]


def test_problems_of_folders_and_of_files_are_reported_together(dataset: Path) -> None:
    for file in (dataset / "val/img").iterdir():
        file.unlink()
    (dataset / "train/img/image_2.h5").write_bytes(b"\0" * 2000)
    problems = check_dataset(dataset).problems
    assert len(problems) == 2
    assert problems[0].startswith("split val: no images")
    assert "image_2.h5" in problems[1]


def test_images_without_masks_are_read_too(dataset: Path, write_split: WriteSplit) -> None:
    for mask in (dataset / "test/mask").iterdir():
        mask.unlink()
    (dataset / "test/mask").rmdir()
    (dataset / "test/img/image_2.h5").write_bytes(b"\0" * 2000)
    report = check_dataset(dataset)
    test = report.splits[2]
    assert (test.labelled, test.patches, test.positive_ratio) == (False, 2, None)
    assert "image_2.h5" in report.problems[0]


def test_skipped_files_are_counted_per_split(dataset: Path) -> None:
    (dataset / "val/mask/mask_1.h5").unlink()
    splits = check_dataset(dataset).splits
    assert [dict(split.skipped) for split in splits] == [{}, {"image without mask": 1}, {}]


def test_a_split_without_any_landslide_is_noted(dataset: Path, write_split: WriteSplit) -> None:
    for number in (2, 3):
        with h5py.File(dataset / f"val/mask/mask_{number}.h5", "r+") as file:
            file["mask"][...] = 0
    assert any("split val has no landslide pixel at all" in note for note in check_dataset(dataset).notes)


def test_a_size_that_encoders_cannot_halve_is_noted(tmp_path: Path, write_split: WriteSplit) -> None:
    for split in ("train", "val"):
        write_split(tmp_path / split / "img", tmp_path / split / "mask", size=40)
    assert any("not a multiple of 32" in note for note in check_dataset(tmp_path).notes)


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        check_dataset(tmp_path / "nowhere")


def test_the_report_is_json(dataset: Path) -> None:
    content = json.loads(json.dumps(check_dataset(dataset).to_dict()))
    assert content["ok"] is True
    assert content["splits"][1]["patches"] == 3


def reports(counts: dict[str, int], empty: dict[str, int]) -> list[check.SplitReport]:
    """Reports of Landslide4Sense-like splits with the given counts."""
    return [
        check.SplitReport(split, True, counts[split], 14, 128, 1_442_790, 0.02, empty[split], {}, {})
        for split in counts
    ]


def test_the_published_counts_are_recognised() -> None:
    published = {"train": 3799, "val": 245, "test": 800}, {"train": 1568, "val": 99, "test": 264}
    assert "as published" in check._official_notes(reports(*published))[0]
    fewer = {**published[0], "train": 3798}
    assert "3798 / 245 / 800" in check._official_notes(reports(fewer, published[1]))[0]
    mixed_up = {**published[1], "val": 98}
    note = check._official_notes(reports(published[0], mixed_up))[0]
    assert "val has 98 patches without landslides instead of 99" in note


def test_other_imagery_is_not_compared_with_landslide4sense(dataset: Path) -> None:
    assert check_dataset(dataset).notes == ()


@pytest.mark.real_data
def test_the_real_martian_patches_have_no_problems(real_data: Path) -> None:
    report = check_dataset(real_data / "mars_landslides")
    assert report.ok
    assert [(split.patches, split.bands, split.empty_patches) for split in report.splits] == [
        (275, 7, 0),
        (31, 7, 0),
    ]
