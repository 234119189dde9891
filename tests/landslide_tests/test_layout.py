"""Every layout of the real distributions is recognised, and images meet their own masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from landslide import DatasetError, check_dataset, find_dataset, open_packed
from landslide.layout import inspect_dataset

WriteSplit = Callable[..., None]

LAYOUTS = {
    "huggingface": ("images/train", "annotations/train", "images/validation", "annotations/validation"),
    "competition": ("TrainData/img", "TrainData/mask", "ValidData/img", "ValidData/mask"),
    "simple": ("train/img", "train/mask", "val/img", "val/mask"),
}


def problems_of(root: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        find_dataset(root)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wrapper", ["", "data", "data/landslide4sense"])
def test_each_layout_is_found_also_inside_wrapper_folders(
    tmp_path: Path, write_split: WriteSplit, layout: str, wrapper: str
) -> None:
    root = tmp_path / wrapper
    names = LAYOUTS[layout]
    write_split(root / names[0], root / names[1], 3)
    write_split(root / names[2], root / names[3], 2)
    files = find_dataset(tmp_path)
    assert (files.layout, files.root) == (layout, root)
    assert {split: len(patches) for split, patches in files.splits.items()} == {"train": 3, "val": 2}


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train/images", "validation/images"),
        ("Train/IMG", "VALID/Img"),
        ("training/image", "valid/image"),
        ("TrainData/img", "ValidationData/img"),
    ],
)
def test_folder_names_have_synonyms_and_no_case(
    tmp_path: Path, write_split: WriteSplit, train: str, val: str
) -> None:
    for images in (train, val):
        write_split(tmp_path / images, (tmp_path / images).parent / "Masks")
    assert set(find_dataset(tmp_path).splits) == {"train", "val"}


def test_three_wrapper_folders_are_too_many(tmp_path: Path, write_split: WriteSplit) -> None:
    write_split(tmp_path / "a/b/c/train/img", tmp_path / "a/b/c/train/mask")
    assert "holds no known layout" in problems_of(tmp_path)


def test_test_masks_may_be_in_a_folder_called_test(tmp_path: Path, write_split: WriteSplit) -> None:
    for split in ("TrainData", "ValidData"):
        write_split(tmp_path / split / "img", tmp_path / split / "mask")
    write_split(tmp_path / "TestData/img", tmp_path / "TestData/test")
    assert len(find_dataset(tmp_path).splits["test"]) == 3


def test_archives_extracted_each_into_its_own_folder_are_one_dataset(
    tmp_path: Path, write_split: WriteSplit
) -> None:
    for split in ("TrainData", "ValidData"):
        inner = tmp_path / f"{split}_extracted" / split
        write_split(inner / "img", inner / "mask")
    files = find_dataset(tmp_path)
    assert set(files.splits) == {"train", "val"}
    assert files.root == tmp_path


def test_splits_in_folders_of_different_parents_are_one_dataset_below_their_common_folder(
    tmp_path: Path, write_split: WriteSplit
) -> None:
    for place in ("a/data/TrainData", "b/data/ValidData"):
        write_split(tmp_path / "w" / place / "img", tmp_path / "w" / place / "mask")
    files = find_dataset(tmp_path / "w")
    assert files.root == tmp_path / "w"
    assert check_dataset(tmp_path / "w").ok
    assert {name: len(split) for name, split in open_packed(tmp_path / "w").splits.items()} == {
        "train": 3,
        "val": 3,
    }


def test_images_meet_the_mask_of_the_same_number_not_of_the_same_position(dataset: Path) -> None:
    for number in (10, 2000):
        (dataset / f"train/img/image_{number}.h5").write_bytes(b"x" * 2000)
        (dataset / f"train/mask/mask_{number:06}.h5").write_bytes(b"x" * 2000)
    (dataset / "train/mask/mask_1.h5").unlink()
    files = find_dataset(dataset)
    pairs = {
        patch.patch_id: (patch.image.name, patch.mask and patch.mask.name) for patch in files.splits["train"]
    }
    assert list(pairs) == [2, 3, 10, 2000]
    assert pairs[10] == ("image_10.h5", "mask_000010.h5")
    assert pairs[2000] == ("image_2000.h5", "mask_002000.h5")
    assert files.skipped == {"image without mask": 1}


def test_what_is_no_patch_is_skipped_with_a_count(dataset: Path) -> None:
    images, masks = dataset / "train/img", dataset / "train/mask"
    (images / "._image_1.h5").write_bytes(b"\0")
    (images / "README.md").write_text("hello", encoding="utf-8")
    (images / "image.h5").write_bytes(b"no number")
    (images / ".cache").mkdir()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0"
    (images / "image_9.h5").write_text(pointer, encoding="utf-8")
    (masks / "mask_77.h5").write_bytes(b"x" * 2000)
    (masks / "mask_78.h5").write_bytes(b"x" * 2000)
    files = find_dataset(dataset)
    assert len(files.splits["train"]) == 3
    assert files.skipped == {
        "macOS resource file (._*)": 1,
        "not an .h5 file": 1,
        "name without a number": 1,
        "hidden (such as .cache)": 1,
        "Git LFS pointer": 1,
        "mask without image": 2,
    }
    assert set(files.skipped_by_split["val"]) == set()


def test_a_split_without_a_folder_of_masks_is_unlabelled(tmp_path: Path, write_split: WriteSplit) -> None:
    for split in ("train", "val"):
        write_split(tmp_path / split / "img", tmp_path / split / "mask")
    write_split(tmp_path / "test/img", None, 5)
    files = find_dataset(tmp_path)
    assert set(files.splits) == {"train", "val"}
    assert [patch.mask for patch in files.unlabelled["test"]] == [None] * 5


def test_training_without_validation_masks_is_refused(tmp_path: Path, write_split: WriteSplit) -> None:
    write_split(tmp_path / "TrainData/img", tmp_path / "TrainData/mask")
    write_split(tmp_path / "ValidData/img", None)
    assert "split val: 3 images" in problems_of(tmp_path)
    assert set(find_dataset(tmp_path, required=["train"]).unlabelled) == {"val"}


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'} does not exist" in problems_of(tmp_path / "nowhere")


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "TrainData.zip"
    archive.write_bytes(b"PK")
    assert "is a file" in problems_of(archive)


def test_an_unknown_layout_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "TrainData.zip").write_bytes(b"PK")
    (tmp_path / "pictures").mkdir()
    text = problems_of(tmp_path)
    assert "images/train + annotations/train" in text
    assert "TrainData/img + TrainData/mask" in text
    assert "TrainData.zip, pictures/" in text
    assert "extract TrainData.zip first" in text


def test_an_empty_split_is_refused(dataset: Path) -> None:
    for file in (dataset / "val/img").iterdir():
        file.unlink()
    text = problems_of(dataset)
    assert f"split val: no images in {dataset / 'val' / 'img'}" in text
    assert "the folder is empty" in text


def test_a_split_of_lfs_pointers_says_so(dataset: Path) -> None:
    for file in (dataset / "val/img").iterdir():
        file.write_text("version https://git-lfs.github.com/spec/v1", encoding="utf-8")
    assert "3 files are Git LFS pointers: run `git lfs pull`" in problems_of(dataset)


def test_a_split_of_unpaired_files_only_is_refused(dataset: Path) -> None:
    for file in list((dataset / "val/mask").iterdir()):
        file.rename(file.with_name(file.name.replace("mask_", "mask_9")))
    assert "split val: none of the 3 images" in problems_of(dataset)


def test_a_number_that_occurs_twice_is_refused(dataset: Path) -> None:
    (dataset / "train/img/image_01.h5").write_bytes(b"x" * 2000)
    text = problems_of(dataset)
    assert "number 1 occurs more than once" in text
    assert "image_01.h5, image_1.h5" in text


def test_problems_of_all_splits_are_reported_together(dataset: Path) -> None:
    (dataset / "train/img/image_01.h5").write_bytes(b"x" * 2000)
    for file in (dataset / "val/img").iterdir():
        file.unlink()
    (dataset / "test/img").rename(dataset / "test/elsewhere")
    files, problems = inspect_dataset(dataset)
    assert len(problems) == 3
    assert len(files.splits["train"]) == 3


def test_two_folders_with_the_same_meaning_are_ambiguous(dataset: Path, write_split: WriteSplit) -> None:
    write_split(dataset / "validation/img", dataset / "validation/mask")
    assert "several folders with the same meaning (val, validation)" in problems_of(dataset)


def test_two_datasets_below_one_folder_are_ambiguous(tmp_path: Path, write_split: WriteSplit) -> None:
    for name in ("first", "second"):
        write_split(tmp_path / name / "train/img", tmp_path / name / "train/mask")
    assert "more than one dataset" in problems_of(tmp_path)


@pytest.mark.real_data
def test_the_real_martian_patches_are_found(real_data: Path) -> None:
    files = find_dataset(real_data / "mars_landslides")
    assert files.layout == "competition"
    assert {split: len(patches) for split, patches in files.splits.items()} == {"train": 275, "val": 31}
