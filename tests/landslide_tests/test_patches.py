"""One patch file: what is readable comes out in one form, the rest is an error that names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from landslide import DatasetError, PatchFiles, read_image, read_mask
from landslide.patches import read_patch

WriteFile = Callable[..., Path]


@pytest.fixture
def values() -> npt.NDArray[np.float64]:
    """An image of 8 x 8 pixels and 3 bands in which every value is different."""
    return np.arange(8 * 8 * 3, dtype=np.float64).reshape(8, 8, 3)


def problem(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read(path)
    assert len(caught.value.problems) == 1
    assert str(path) in caught.value.problems[0]
    return caught.value.problems[0]


@pytest.mark.parametrize("key", ["img", "image", "data", "anything"])
@pytest.mark.parametrize("bands_first", [False, True])
def test_an_image_comes_out_bands_first_as_float32_whatever_its_key_and_axes(
    tmp_path: Path, write_h5: WriteFile, values: npt.NDArray[np.float64], key: str, bands_first: bool
) -> None:
    stored = np.moveaxis(values, -1, 0) if bands_first else values
    image = read_image(write_h5(tmp_path / "a.h5", **{key: stored}))
    assert image.shape == (3, 8, 8)
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, np.moveaxis(values, -1, 0))


@pytest.mark.parametrize("dtype", ["float16", "int16", "uint8", ">f4"])
def test_any_real_dtype_is_read(tmp_path: Path, write_h5: WriteFile, dtype: str) -> None:
    stored = np.arange(16, dtype=dtype).reshape(1, 4, 4)
    np.testing.assert_array_equal(
        read_image(write_h5(tmp_path / "a.h5", img=stored)), stored.astype(np.float32)
    )


def test_the_known_key_wins_over_others(
    tmp_path: Path, write_h5: WriteFile, values: npt.NDArray[np.float64]
) -> None:
    path = write_h5(tmp_path / "a.h5", aaa=np.zeros(3), img=values, mask=np.ones((8, 8), np.uint8))
    assert read_image(path)[2, 7, 7] == values[7, 7, 2]
    assert read_mask(path).all()


@pytest.mark.parametrize("key", ["mask", "label", "test", "anything"])
@pytest.mark.parametrize("positive", [1, 255])
@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (4, 6, 1)])
def test_a_mask_comes_out_as_zeros_and_ones(
    tmp_path: Path, write_h5: WriteFile, key: str, positive: int, shape: tuple[int, ...]
) -> None:
    expected = np.tri(4, 6, dtype=np.uint8)
    stored = (expected * positive).astype(np.uint8).reshape(shape)
    mask = read_mask(write_h5(tmp_path / "a.h5", **{key: stored}))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected)


def test_a_float_mask_is_positive_above_zero(tmp_path: Path, write_h5: WriteFile) -> None:
    mask = read_mask(write_h5(tmp_path / "a.h5", mask=np.array([[0.0, 0.2], [-1.0, 1.0]])))
    assert mask.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_value_that_is_not_finite_in_float32_is_refused_with_its_band(
    tmp_path: Path, write_h5: WriteFile, values: npt.NDArray[np.float64], bad: float
) -> None:
    values[0, 0, 1] = bad
    text = problem(read_image, write_h5(tmp_path / "a.h5", img=values))
    assert "1 of 192 values are NaN or infinite (bands 2, counting from 1)" in text


def test_a_nan_in_a_mask_is_refused(tmp_path: Path, write_h5: WriteFile) -> None:
    assert "NaN" in problem(read_mask, write_h5(tmp_path / "a.h5", mask=np.full((4, 4), np.nan)))


@pytest.mark.parametrize("keep", [0.5, 0.05, 0.0])
def test_a_truncated_file_is_refused(
    tmp_path: Path, write_h5: WriteFile, values: npt.NDArray[np.float64], keep: float
) -> None:
    path = write_h5(tmp_path / "a.h5", img=np.repeat(values, 100, axis=2))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    assert "cannot be read as HDF5" in problem(read_image, path)


def test_a_damaged_chunk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        stored = file.create_dataset(
            "img", data=np.random.default_rng(0).random((64, 64, 3)), compression="gzip", chunks=(64, 64, 3)
        )
        start = stored.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[start : start + 500] = b"\xff" * 500
    path.write_bytes(content)
    assert "cannot be read as HDF5" in problem(read_image, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "does not exist" in problem(read_image, tmp_path / "a.h5")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("these are not the bytes", encoding="utf-8")
    assert "another format" in problem(read_image, path)


def test_a_wrong_key_shows_the_keys_that_exist(tmp_path: Path, write_h5: WriteFile) -> None:
    path = write_h5(tmp_path / "a.h5", red=np.zeros((4, 4)), green=np.zeros((4, 4)))
    assert "its keys are: green, red" in problem(read_image, path)
    assert "allowed is one of mask, label, test" in problem(read_mask, path)


def test_a_link_to_nowhere_does_not_hide_the_image(
    tmp_path: Path, write_h5: WriteFile, values: npt.NDArray[np.float64]
) -> None:
    path = write_h5(tmp_path / "a.h5", img=values)
    with h5py.File(path, "r+") as file:
        file["aaa"] = h5py.SoftLink("/nowhere")
        file["zzz"] = h5py.ExternalLink("nowhere.h5", "/img")
    assert read_image(path).shape == (3, 8, 8)


def test_an_image_that_is_a_link_to_nowhere_is_refused(tmp_path: Path, write_h5: WriteFile) -> None:
    path = write_h5(tmp_path / "a.h5", red=np.zeros((8, 8, 3)))
    with h5py.File(path, "r+") as file:
        file["img"] = h5py.SoftLink("/nowhere")
    assert "its keys are: img (cannot be opened), red" in problem(read_image, path)


def test_a_key_that_is_no_text_is_shown_in_a_way_that_every_terminal_can_print(
    tmp_path: Path, write_h5: WriteFile
) -> None:
    path = write_h5(tmp_path / "a.h5", one=np.zeros(3), two=np.zeros(3))
    path.write_bytes(path.read_bytes().replace(b"two\0", b"t\xffo\0"))
    assert problem(read_image, path).isprintable()


def test_an_array_that_its_file_cannot_hold_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("img", shape=(2**20, 2**20, 14), dtype="f8", chunks=(64, 64, 14))
    assert "claims shape (1048576, 1048576, 14) and 123145.3 GB" in problem(read_image, path)


@pytest.mark.parametrize("shape", [(3, 8, 9), (8, 9, 3), (9, 3, 3), (3, 3, 9), (8, 8, 3), (3, 8, 8)])
def test_an_image_need_not_be_square_where_the_number_of_bands_is_known(
    tmp_path: Path, write_h5: WriteFile, shape: tuple[int, ...]
) -> None:
    bands = 9 if sorted(shape) == [3, 3, 9] else 3
    stored = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    image = read_image(write_h5(tmp_path / "a.h5", img=stored), bands=bands)
    np.testing.assert_array_equal(image, stored if shape[0] == bands else np.moveaxis(stored, -1, 0))


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((3, 8, 3), "both the first and the last axis could be its 3 bands"),
        ((3, 3, 3), "both the first and the last axis could be its 3 bands"),
        ((8, 9, 4), "neither the first nor the last axis could be its 3 bands"),
        ((8, 3, 9), "neither the first nor the last axis could be its 3 bands"),
    ],
)
def test_an_image_whose_known_bands_have_no_one_axis_is_refused(
    tmp_path: Path, write_h5: WriteFile, shape: tuple[int, ...], told: str
) -> None:
    path = write_h5(tmp_path / "a.h5", img=np.zeros(shape))
    assert told in problem(lambda file: read_image(file, bands=3), path)


def test_a_file_without_any_dataset_is_refused(tmp_path: Path, write_h5: WriteFile) -> None:
    assert "its keys are: none" in problem(read_image, write_h5(tmp_path / "a.h5"))


@pytest.mark.parametrize("stored", [np.array([b"text"] * 4), np.ones((4, 4, 2), np.complex64)])
def test_values_that_are_no_real_numbers_are_refused(
    tmp_path: Path, write_h5: WriteFile, stored: npt.NDArray[np.generic]
) -> None:
    assert "allowed are real numbers" in problem(read_image, write_h5(tmp_path / "a.h5", img=stored))


@pytest.mark.parametrize(
    "shape", [(8, 8), (8, 9, 3), (8, 3, 8), (8, 8, 8), (2, 8, 8, 3), (0, 8, 8), (3, 8, 9)]
)
def test_another_shape_of_an_image_is_refused(
    tmp_path: Path, write_h5: WriteFile, shape: tuple[int, ...]
) -> None:
    assert f"has shape {shape}" in problem(read_image, write_h5(tmp_path / "a.h5", img=np.zeros(shape)))


@pytest.mark.parametrize("shape", [(8,), (8, 8, 2), (0, 8)])
def test_another_shape_of_a_mask_is_refused(
    tmp_path: Path, write_h5: WriteFile, shape: tuple[int, ...]
) -> None:
    assert f"has shape {shape}" in problem(read_mask, write_h5(tmp_path / "a.h5", mask=np.zeros(shape)))


def test_a_mask_of_another_size_than_its_image_is_refused(
    tmp_path: Path, write_h5: WriteFile, values: npt.NDArray[np.float64]
) -> None:
    image = write_h5(tmp_path / "image_1.h5", img=values)
    mask = write_h5(tmp_path / "mask_1.h5", mask=np.zeros((4, 4), np.uint8))
    with pytest.raises(DatasetError, match="the mask is 4 x 4 pixels but its image image_1"):
        read_patch(PatchFiles(1, image, mask))


def test_problems_of_image_and_mask_are_reported_together(tmp_path: Path, write_h5: WriteFile) -> None:
    image = write_h5(tmp_path / "image_1.h5", img=np.full((8, 8, 3), np.nan))
    with pytest.raises(DatasetError) as caught:
        read_patch(PatchFiles(1, image, tmp_path / "mask_1.h5"))
    assert len(caught.value.problems) == 2


@pytest.mark.real_data
def test_real_patches_of_7_and_of_14_bands_are_read(real_data: Path) -> None:
    assert read_image(real_data / "mars_landslides/TrainData/img/image_1.h5").shape == (7, 128, 128)
    assert read_mask(real_data / "mars_landslides/TrainData/mask/mask_1.h5").any()
    for path in (real_data / "l4s_real_images/img").glob("*.h5"):
        assert read_image(path).shape == (14, 128, 128)
