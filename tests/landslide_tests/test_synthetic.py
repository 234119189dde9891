"""Synthetic patches: pure functions of their key, with the statistics and the difficulty promised."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from landslide import DatasetError, find_dataset, read_image, read_mask, synthesize
from landslide.patches import Patch
from landslide.synthetic import LAYOUTS, make_patch
from landslide.synthetic.calibration import BAND_NAMES, TARGET_MEANS, TARGET_STDS
from landslide.synthetic.shapes import Window, coverage, disc_chain, ellipse, parcel, window_around

SLOPE = BAND_NAMES.index("slope")


def digest(patch: Patch) -> str:
    return hashlib.sha256(patch.image.tobytes() + patch.mask.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def sample() -> list[Patch]:
    """120 train patches."""
    return [make_patch(11, "train", number) for number in range(1, 121)]


def stacked(patches: Sequence[Patch]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    return np.stack([patch.image for patch in patches]), np.stack([patch.mask for patch in patches]) > 0


def test_a_patch_is_the_same_whatever_else_was_drawn(disturb_global_generators: Callable[[], None]) -> None:
    first = digest(make_patch(5, "val", 3, size=64))
    make_patch(5, "val", 2, size=64)
    disturb_global_generators()
    assert digest(make_patch(5, "val", 3, size=64)) == first


@pytest.mark.parametrize("other", [(6, "val", 3), (5, "train", 3), (5, "test", 3), (5, "val", 4)])
def test_another_key_gives_another_patch(other: tuple[int, str, int]) -> None:
    assert digest(make_patch(*other, size=64)) != digest(make_patch(5, "val", 3, size=64))


def test_a_fresh_process_gives_the_same_patch() -> None:
    code = (
        "import hashlib; from landslide.synthetic import make_patch; p = make_patch(5, 'train', 8, size=64); "
        "print(hashlib.sha256(p.image.tobytes() + p.mask.tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(make_patch(5, "train", 8, size=64))


def test_patches_have_the_form_of_real_ones(sample: list[Patch]) -> None:
    for patch in sample[:5]:
        assert (patch.image.shape, patch.image.dtype) == ((14, 128, 128), np.float32)
        assert (patch.mask.shape, patch.mask.dtype) == ((128, 128), np.uint8)
        assert set(np.unique(patch.mask)) <= {0, 1}
        assert np.isfinite(patch.image).all()
        assert patch.image.min() >= 0


def test_bands_have_the_scale_of_landslide4sense(sample: list[Patch]) -> None:
    images, _ = stacked(sample)
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), TARGET_MEANS, rtol=0.15)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), TARGET_STDS, rtol=0.25)


def test_landslides_are_as_rare_as_in_landslide4sense(sample: list[Patch]) -> None:
    _, masks = stacked(sample)
    assert 0.012 < masks.mean() < 0.036
    assert 0.45 < masks.any(axis=(1, 2)).mean() < 0.70


def test_neighbouring_bands_are_correlated(sample: list[Patch]) -> None:
    images, _ = stacked(sample[:40])
    correlation = np.corrcoef(images[:, :12].transpose(1, 0, 2, 3).reshape(12, -1))
    assert correlation[2, 3] > 0.7  # green and red
    assert correlation[6, 7] > 0.9  # B7 and B8


def test_slides_lie_on_steeper_ground_than_the_rest(sample: list[Patch]) -> None:
    images, masks = stacked(sample)
    slope = images[:, SLOPE]
    assert slope[masks].mean() > slope[~masks].mean() + 0.2 * slope.std()


def best_iou(scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> float:
    """The highest IoU of all thresholds on a score."""
    hits = np.cumsum(truth[np.argsort(-scores)])
    return float((hits / (np.arange(1, len(scores) + 1) + truth.sum() - hits)).max())


def test_no_threshold_on_a_single_band_finds_the_slides(sample: list[Patch]) -> None:
    images, masks = stacked(sample)
    truth = masks[:, ::2, ::2].ravel()
    for name, band in zip(BAND_NAMES, images.swapaxes(0, 1), strict=True):
        scores = band[:, ::2, ::2].ravel()
        for direction in (scores, -scores):
            assert best_iou(direction, truth) < 0.25, f"{name} alone finds the slides"


def test_yet_the_bands_tell_about_slides(sample: list[Patch]) -> None:
    images, masks = stacked(sample)
    red, infrared = images[:, 3], images[:, 7]
    greenness = infrared - red
    assert greenness[masks].mean() < greenness[~masks].mean() - 0.3 * greenness.std()


def test_less_difficulty_means_fewer_look_alikes() -> None:
    def separation(difficulty: float) -> float:
        patches = [make_patch(2, "train", number, size=64, difficulty=difficulty) for number in range(1, 121)]
        images, masks = stacked(patches)
        bare = images[:, 3] - images[:, 7]
        return float((bare[masks].mean() - bare[~masks].mean()) / bare[~masks].std())

    assert separation(0.0) > separation(2.0) + 0.1


def test_slides_reach_across_no_edge_of_the_window() -> None:
    window = window_around(np.array([[1.0, 1.0], [30.0, 31.0]]), 5, 32)
    assert (window.top, window.bottom, window.left, window.right) == (0, 32, 0, 32)
    assert window_around(np.array([[40.0, -9.0]]), 2, 32).shape == (1, 1)


def test_a_chain_of_discs_has_exact_distances_outside() -> None:
    distance = disc_chain(Window(0, 20, 0, 20), np.array([[5.0, 5.0], [5.0, 9.0]]), np.array([2.0, 3.0]))
    assert distance[5, 9] == 3
    assert distance[5, 15] == pytest.approx(-3)
    assert distance[5, 0] == pytest.approx(-3)


def test_a_shape_covers_about_its_area() -> None:
    window, centre = Window(0, 64, 0, 64), np.array([31.5, 31.5])
    right_angles = np.arange(4) * np.pi / 2
    covered = coverage(parcel(window, centre, np.array([10.0, 5.0, 10.0, 5.0]), right_angles + 0.4)).sum()
    assert covered == pytest.approx(200, rel=0.03)
    covered = coverage(ellipse(window, centre, np.array([12.0, 6.0]), 0.7)).sum()
    assert covered == pytest.approx(np.pi * 72, rel=0.05)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_is_found_in_its_layout_with_surplus_masks(tmp_path: Path, layout: str) -> None:
    synthesize(tmp_path / "out", patches=12, seed=1, size=32, layout=layout)
    files = find_dataset(tmp_path / "out")
    assert files.layout == layout
    assert {split: len(patches) for split, patches in files.splits.items()} == {
        "train": 12,
        "val": 8,
        "test": 8,
    }
    assert files.skipped == {"mask without image": 1}
    assert [patch.patch_id for patch in files.splits["train"]] == list(range(1, 13))


def test_files_are_like_the_original_ones(tmp_path: Path) -> None:
    synthesize(tmp_path / "out", patches=1, seed=1, size=32)
    with h5py.File(tmp_path / "out/images/train/image_1.h5") as file:
        assert list(file) == ["img"]
        assert (file["img"].shape, file["img"].dtype, file["img"].compression) == (
            (32, 32, 14),
            np.float64,
            None,
        )
    with h5py.File(tmp_path / "out/annotations/train/mask_1.h5") as file:
        assert list(file) == ["mask"]
        assert (file["mask"].shape, file["mask"].dtype) == ((32, 32), np.uint8)


def test_files_hold_the_patches_and_fewer_bands_are_the_first_ones(tmp_path: Path) -> None:
    synthesize(tmp_path / "out", patches=3, seed=9, size=32, bands=5, difficulty=0.5)
    patch = make_patch(9, "train", 2, size=32, difficulty=0.5)
    np.testing.assert_array_equal(read_image(tmp_path / "out/images/train/image_2.h5"), patch.image[:5])
    np.testing.assert_array_equal(read_mask(tmp_path / "out/annotations/train/mask_2.h5"), patch.mask)


def test_a_larger_dataset_begins_with_the_smaller_one(tmp_path: Path) -> None:
    for patches in (2, 4):
        synthesize(tmp_path / str(patches), patches=patches, seed=9, size=32)
    for number in (1, 2):
        name = f"images/train/image_{number}.h5"
        np.testing.assert_array_equal(read_image(tmp_path / "2" / name), read_image(tmp_path / "4" / name))


def test_progress_counts_every_patch(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    synthesize(
        tmp_path / "out", patches=2, seed=0, size=32, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(done, 19) for done in range(1, 20)]


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    synthesize(tmp_path / "out", patches=1, seed=0, size=32)
    with pytest.raises(DatasetError, match="is not empty"):
        synthesize(tmp_path / "out", patches=1, seed=0, size=32)


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "out", patches=1, seed=0, size=32, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_all_bad_arguments_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        synthesize(
            tmp_path / "file",
            patches=0,
            seed=-1,
            bands=15,
            size=100,
            difficulty=float("nan"),
            layout="kaggle",
        )
    assert len(caught.value.problems) == 7
    assert "allowed is 1 to 14" in str(caught.value)
