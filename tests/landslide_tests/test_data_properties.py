"""Properties of the data side, over generated datasets: pairing by number, and the round trip of packing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide import open_packed
from landslide.pairing import pair_split

NUMBERS = st.integers(min_value=0, max_value=10**12)
PREFIXES = st.sampled_from(["image_", "mask_", "img", "p7_", "2021-05-", "", "Ä b.", "x_-"])


@st.composite
def file_names(draw: st.DrawFn, numbers: list[int]) -> list[str]:
    """One name for each number: any prefix, zeros in front, any case of the suffix."""
    names = []
    for number in numbers:
        digits = str(number).zfill(draw(st.integers(0, 15)))
        names.append(f"{draw(PREFIXES)}{digits}{draw(st.sampled_from(['.h5', '.H5', '.hdf5', '_mask.h5']))}")
    return draw(st.permutations(names))


@st.composite
def splits(draw: st.DrawFn) -> tuple[set[int], set[int], list[str], list[str]]:
    images = draw(st.sets(NUMBERS, min_size=1, max_size=8))
    masks = draw(st.sets(st.one_of(st.sampled_from(sorted(images)), NUMBERS), min_size=1, max_size=8))
    return images, masks, draw(file_names(sorted(images))), draw(file_names(sorted(masks)))


@settings(max_examples=60, deadline=None)
@given(splits())
def test_whatever_the_files_are_called_an_image_meets_the_mask_of_its_number(
    split: tuple[set[int], set[int], list[str], list[str]],
) -> None:
    images, masks, image_names, mask_names = split
    with tempfile.TemporaryDirectory() as folder:
        for part, names in (("img", image_names), ("mask", mask_names)):
            (Path(folder) / part).mkdir()
            for name in names:
                (Path(folder) / part / name).write_bytes(b"\x89HDF" * 300)
        pairing = pair_split("train", Path(folder) / "img", Path(folder) / "mask")
    shared = sorted(images & masks)
    assert [patch.patch_id for patch in pairing.patches] == shared
    for patch in pairing.patches:
        assert patch.mask is not None
        for path in (patch.image, patch.mask):
            assert path.stem.removesuffix("_mask").endswith(str(patch.patch_id))
    assert pairing.skipped.get("image without mask", 0) == len(images) - len(shared)
    assert pairing.skipped.get("mask without image", 0) == len(masks) - len(shared)
    assert bool(pairing.problems) == (not shared)


@st.composite
def contents(draw: st.DrawFn) -> dict[str, dict[int, tuple[np.ndarray, np.ndarray]]]:
    """Split -> number -> image (size, size, bands) float64 and mask (size, size) uint8."""
    size, bands = draw(st.sampled_from([2, 5, 8])), draw(st.sampled_from([1, 3, 4]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1e-6, 1.0, 1e4]))
    found = {}
    for split in ("train", "val", *draw(st.sampled_from([(), ("test",)]))):
        numbers = draw(st.sets(st.integers(0, 10**6), min_size=1, max_size=5))
        found[split] = {
            number: (scale * rng.normal(size=(size, size, bands)), rng.integers(0, 2, (size, size), np.uint8))
            for number in numbers
        }
    return found


def write(
    root: Path, splits_: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]], order: st.DataObject
) -> None:
    """Write the files in any order, with bands first or last, masks of 0 and 1 or of 0 and 255."""
    jobs = [(split, number) for split, patches in splits_.items() for number in patches]
    for split, number in order.draw(st.permutations(jobs)):
        image, mask = splits_[split][number]
        first, white = order.draw(st.booleans()), order.draw(st.sampled_from([1, 255]))
        for part, key, values in (
            ("img", "img", np.moveaxis(image, -1, 0) if first else image),
            ("mask", "mask", mask * np.uint8(white)),
        ):
            (root / split / part).mkdir(parents=True, exist_ok=True)
            with h5py.File(root / split / part / f"{part}_{number}.h5", "w") as file:
                file[key] = values


@settings(max_examples=12, deadline=None)
@given(contents(), st.data())
def test_what_was_written_is_what_is_unpacked_and_its_id_is_of_the_content_alone(
    content: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]], order: st.DataObject
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        for name in ("one", "two"):
            write(folder / name, content, order)
        packed = open_packed(folder / "one", cache_dir=folder / "cache")
        assert open_packed(folder / "two", cache_dir=folder / "cache").data_id == packed.data_id
        assert list(packed.splits) == list(content)
        for name, split in packed.splits.items():
            assert split.ids.tolist() == sorted(content[name])
            for index, number in enumerate(split.ids.tolist()):
                image, mask = content[name][number]
                np.testing.assert_array_equal(
                    split.images[index], np.moveaxis(image.astype(np.float32), -1, 0)
                )
                np.testing.assert_array_equal(split.masks[index], mask)
                assert split.has_positive[index] == mask.any()
        split_name = order.draw(st.sampled_from(sorted(content)))
        number = order.draw(st.sampled_from(sorted(content[split_name])))
        content[split_name][number][1][0, 0] ^= 1
        write(folder / "three", content, order)
        assert open_packed(folder / "three", cache_dir=folder / "cache").data_id != packed.data_id
    finally:
        shutil.rmtree(folder, ignore_errors=True)
