"""The packed cache: exact content and statistics, built once, never half built."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import filelock
import h5py
import numpy as np
import pytest

import landslide.packed as packed_module
from landslide import (
    DatasetError,
    PackedDataset,
    find_dataset,
    load_packed,
    open_packed,
    packing,
    read_image,
    read_mask,
    synthesize,
)
from landslide.packed import default_cache_dir, fingerprint
from landslide.packing import RunningMoments

WriteSplit = Callable[..., None]


def patches_read(calls: list[int]) -> Callable[[int, int], None]:
    return lambda done, total: calls.append(done)


def problems_of(root: Path, cache: Path) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        open_packed(root, cache_dir=cache)
    assert not [entry for entry in cache.glob("*") if entry.is_dir()], "something was left behind"
    return list(caught.value.problems)


def test_the_arrays_hold_exactly_what_the_files_hold(dataset: Path, tmp_path: Path) -> None:
    packed = open_packed(dataset, cache_dir=tmp_path / "cache")
    assert (packed.bands, packed.patch_size, list(packed.splits)) == (4, 32, ["train", "val", "test"])
    for name, split in packed.splits.items():
        assert split.ids.tolist() == [1, 2, 3]
        assert len(split) == 3
        assert (split.images.dtype, split.masks.dtype) == (np.float32, np.uint8)
        for index, number in enumerate(split.ids):
            np.testing.assert_array_equal(
                split.images[index], read_image(dataset / f"{name}/img/image_{number}.h5")
            )
            np.testing.assert_array_equal(
                split.masks[index], read_mask(dataset / f"{name}/mask/mask_{number}.h5")
            )
        assert split.has_positive.tolist() == [False, True, True]


def test_the_arrays_are_memory_maps_and_cannot_be_changed(dataset: Path, tmp_path: Path) -> None:
    split = open_packed(dataset, cache_dir=tmp_path / "cache").splits["train"]
    assert isinstance(split.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        split.images[0, 0, 0, 0] = 1.0


def test_statistics_are_those_of_numpy_over_the_train_split_only(dataset: Path, tmp_path: Path) -> None:
    packed = open_packed(dataset, cache_dir=tmp_path / "cache")
    train = packed.splits["train"]
    values = np.asarray(train.images, np.float64)
    np.testing.assert_allclose(packed.statistics.means, values.mean(axis=(0, 2, 3)), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(packed.statistics.stds, values.std(axis=(0, 2, 3)), rtol=1e-12)
    assert packed.positive_ratio == train.masks.mean()
    assert all(type(value) is float for value in packed.statistics.means + packed.statistics.stds)


def test_a_large_offset_costs_no_digits() -> None:
    rng = np.random.default_rng(3)
    images = (1e4 + rng.standard_normal((50, 2, 16, 16))).astype(np.float32)
    moments = RunningMoments()
    for image in images:
        moments.add(image)
    exact = images.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=(0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(moments.std, exact.std(axis=(0, 2, 3)), rtol=1e-10)


def test_a_constant_band_has_a_spread_of_zero(tmp_path: Path) -> None:
    moments = RunningMoments()
    for _ in range(3):
        moments.add(np.full((1, 4, 4), 7.25, np.float32))
    assert (moments.mean.tolist(), moments.std.tolist()) == ([7.25], [0.0])


def test_the_second_opening_reads_no_patch(dataset: Path, tmp_path: Path) -> None:
    first: list[int] = []
    second: list[int] = []
    built = open_packed(dataset, cache_dir=tmp_path / "cache", progress=patches_read(first))
    opened = open_packed(dataset, cache_dir=tmp_path / "cache", progress=patches_read(second))
    assert (first, second) == (list(range(1, 10)), [])
    assert (opened.path, opened.data_id, opened.statistics) == (built.path, built.data_id, built.statistics)


def test_a_built_cache_is_loaded_by_its_folder_without_the_files(dataset: Path, tmp_path: Path) -> None:
    built = open_packed(dataset, cache_dir=tmp_path / "cache")
    shutil.rmtree(dataset)
    loaded = load_packed(built.path)
    assert loaded.data_id == built.data_id
    np.testing.assert_array_equal(loaded.splits["val"].images, built.splits["val"].images)


def test_a_changed_file_is_packed_anew_with_another_data_id(dataset: Path, tmp_path: Path) -> None:
    before = open_packed(dataset, cache_dir=tmp_path / "cache")
    with h5py.File(dataset / "val/mask/mask_1.h5", "r+") as file:
        file["mask"][0, 0] = 1
    os.utime(dataset / "val/mask/mask_1.h5", ns=(10**18, 10**18))
    after = open_packed(dataset, cache_dir=tmp_path / "cache")
    assert after.path != before.path
    assert after.data_id != before.data_id


def test_two_datasets_with_the_same_names_sizes_and_times_do_not_share_a_cache(tmp_path: Path) -> None:
    packed = []
    for seed in (1, 2):
        root = tmp_path / f"seed {seed}"
        synthesize(root, patches=4, seed=seed, size=32, bands=3)
        for file in root.rglob("*.h5"):
            os.utime(file, ns=(10**18, 10**18))
        packed.append(open_packed(root, cache_dir=tmp_path / "cache"))
    assert packed[0].path != packed[1].path
    assert packed[0].data_id != packed[1].data_id


def test_a_dataset_put_in_the_place_of_another_does_not_get_its_cache(tmp_path: Path) -> None:
    root, ids = tmp_path / "dataset", []
    for seed in (1, 2):
        shutil.rmtree(root, ignore_errors=True)
        synthesize(root, patches=4, seed=seed, size=32, bands=3)
        for file in root.rglob("*.h5"):
            os.utime(file, ns=(10**18, 10**18))
        ids.append(open_packed(root, cache_dir=tmp_path / "cache").data_id)
    assert ids[0] != ids[1]


def test_the_fingerprint_is_the_same_however_the_dataset_is_named(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = fingerprint(find_dataset(dataset))
    assert fingerprint(find_dataset(Path(dataset.name))) == wanted
    assert fingerprint(find_dataset(dataset / ".." / dataset.name)) == wanted


def test_the_data_id_is_of_the_content_not_of_place_layout_or_time(
    tmp_path: Path, write_split: WriteSplit
) -> None:
    write_split(tmp_path / "same" / "img", tmp_path / "same" / "mask")

    def data_id(root: Path, names: tuple[str, ...]) -> str:
        for images, masks in zip(names[::2], names[1::2], strict=True):
            for source, target in (("img", images), ("mask", masks)):
                shutil.copytree(tmp_path / "same" / source, root / target, copy_function=shutil.copyfile)
        return open_packed(root, cache_dir=tmp_path / "cache").data_id

    simple = data_id(tmp_path / "one", ("train/img", "train/mask", "val/img", "val/mask"))
    hugging_face = data_id(
        tmp_path / "two",
        ("images/train", "annotations/train", "images/validation", "annotations/validation"),
    )
    assert simple == hugging_face
    assert len(simple) == 16
    assert int(simple, 16) >= 0


def test_every_bad_file_is_reported_at_once_and_nothing_is_cached(dataset: Path, tmp_path: Path) -> None:
    with h5py.File(dataset / "train/img/image_1.h5", "r+") as file:
        file["img"][0, 0, 2] = np.nan
    broken = dataset / "val/img/image_2.h5"
    broken.write_bytes(broken.read_bytes()[:3000])
    with h5py.File(dataset / "test/mask/mask_3.h5", "w") as file:
        file.create_dataset("a", data=np.zeros((32, 32)))
        file.create_dataset("b", data=np.zeros((32, 32)))
    problems = problems_of(dataset, tmp_path / "cache")
    assert len(problems) == 3
    assert "image_1.h5: 1 of 4096 values are NaN" in problems[0]
    assert "image_2.h5: cannot be read as HDF5" in problems[1]
    assert "mask_3.h5: no mask in it; its keys are: a, b" in problems[2]


@pytest.mark.parametrize(("bands", "size", "what"), [(5, 32, "bands"), (4, 64, "pixels along a side")])
def test_files_that_differ_from_the_rest_are_listed(
    dataset: Path, tmp_path: Path, write_split: WriteSplit, bands: int, size: int, what: str
) -> None:
    write_split(dataset / "val/img", dataset / "val/mask", 2, bands=bands, size=size)
    problems = problems_of(dataset, tmp_path / "cache")
    assert len(problems) == 1
    assert f"the number of {what} differs between files" in problems[0]
    assert "2 files (val/img/image_1.h5, val/img/image_2.h5)" in problems[0]


def test_a_long_list_of_problems_is_cut_with_the_number_of_the_rest(
    tmp_path: Path, write_split: WriteSplit
) -> None:
    write_split(tmp_path / "d/train/img", tmp_path / "d/train/mask", 40)
    write_split(tmp_path / "d/val/img", tmp_path / "d/val/mask", 3)
    for number in range(1, 36):
        (tmp_path / f"d/train/img/image_{number}.h5").write_bytes(b"\0" * 2000)
    problems = problems_of(tmp_path / "d", tmp_path / "cache")
    assert len(problems) == 21
    assert problems[-1] == "and 15 more problems of single files"


def test_too_small_a_disk_is_refused_before_the_arrays_are_written(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    problems = problems_of(dataset, tmp_path / "cache")
    assert "free are 0.00 GB" in problems[0]
    assert "LANDSLIDE_TUNE_CACHE" in problems[0]


def test_a_cache_folder_that_cannot_be_written_is_named(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(DatasetError, match="cannot be written"):
        open_packed(dataset, cache_dir=tmp_path / "file" / "cache")


def test_a_killed_build_is_no_cache_and_is_cleaned_by_the_next(dataset: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = open_packed(dataset, cache_dir=cache).path
    leftover = path.with_name(path.name + ".building-0123abcd")
    path.rename(leftover)
    other = cache / "ffff.building-0123abcd"
    shutil.copytree(leftover, other)
    for entry in (leftover, other, *leftover.iterdir(), *other.iterdir()):
        os.utime(entry, (time.time() - 2 * 24 * 3600,) * 2)
    calls: list[int] = []
    assert open_packed(dataset, cache_dir=cache, progress=patches_read(calls)).path == path
    assert len(calls) == 9
    assert [entry.name for entry in cache.iterdir() if entry.is_dir()] == [path.name]


def test_what_another_machine_is_building_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = open_packed(dataset, cache_dir=cache).path
    theirs = path.with_name(path.name + ".building-0123abcd")
    path.rename(theirs)  # as if on a network file system whose locks do not reach us
    assert open_packed(dataset, cache_dir=cache).path == path
    assert theirs.is_dir()


def test_a_cache_that_another_machine_finished_first_is_used(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = open_packed(dataset, cache_dir=tmp_path / "their cache")
    path = tmp_path / "cache" / theirs.path.name

    def finished_by_them(done: int, total: int) -> None:
        if done == total:
            shutil.copytree(theirs.path, path, ignore=shutil.ignore_patterns("*.lock"))

    packed = open_packed(dataset, cache_dir=tmp_path / "cache", progress=finished_by_them)
    assert packed.data_id == theirs.data_id
    assert [entry.name for entry in (tmp_path / "cache").iterdir() if entry.is_dir()] == [path.name]
    # between our last look and our rename
    shutil.rmtree(path)

    def too_late(source: Path, target: Path) -> None:
        shutil.copytree(theirs.path, target)
        raise OSError("directory not empty")

    monkeypatch.setattr(packing, "move", too_late)
    assert open_packed(dataset, cache_dir=tmp_path / "cache").data_id == theirs.data_id


def test_who_waits_for_another_process_says_so(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache" / fingerprint(find_dataset(dataset))
    path.parent.mkdir()
    monkeypatch.setattr(packed_module, "QUIET_SECONDS", 0.05)
    held, done = threading.Event(), threading.Event()

    def build() -> None:
        with filelock.FileLock(packing.lock_of(path)):
            held.set()
            done.wait(10)

    def said(*words: object) -> None:
        log(*words)
        done.set()

    log = packed_module._log.warning
    monkeypatch.setattr(packed_module._log, "warning", said)
    builder = threading.Thread(target=build)
    builder.start()
    assert held.wait(10)
    assert open_packed(dataset, cache_dir=tmp_path / "cache").path == path
    builder.join()
    assert "another process is packing this dataset" in caplog.text
    caplog.clear()
    open_packed(dataset, cache_dir=tmp_path / "cache")
    assert caplog.text == ""


@pytest.mark.parametrize(
    "damage", ["no manifest", "cut manifest", "other json", "other version", "cut array", "no array"]
)
def test_a_damaged_cache_is_refused_and_built_again(dataset: Path, tmp_path: Path, damage: str) -> None:
    path = open_packed(dataset, cache_dir=tmp_path / "cache").path
    manifest, array = path / "manifest.json", path / "val_images.npy"
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "cut manifest":
        manifest.write_text(manifest.read_text(encoding="utf-8")[:40], encoding="utf-8")
    elif damage == "other json":
        manifest.write_text("[1]", encoding="utf-8")
    elif damage == "other version":
        content = json.loads(manifest.read_text(encoding="utf-8"))
        manifest.write_text(json.dumps(content | {"format": packing.FORMAT_VERSION + 1}), encoding="utf-8")
    elif damage == "cut array":
        os.truncate(array, 200)
    else:
        array.unlink()
    with pytest.raises(DatasetError, match="no complete packed cache"):
        load_packed(path)
    assert open_packed(dataset, cache_dir=tmp_path / "cache").splits["val"].images.shape == (3, 4, 32, 32)


def test_an_interrupted_build_leaves_nothing(dataset: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_packed(dataset, cache_dir=tmp_path / "cache", progress=interrupt)
    assert [entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir()] == []


def test_the_cache_goes_where_the_variable_says(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDSLIDE_TUNE_CACHE", str(tmp_path / "chosen"))
    assert open_packed(dataset).path.parent == tmp_path / "chosen"


@pytest.mark.parametrize(
    ("platform", "variable", "tail"),
    [("linux", "XDG_CACHE_HOME", "landslide-tune"), ("win32", "LOCALAPPDATA", "landslide-tune")],
)
def test_without_the_variable_the_cache_goes_where_the_platform_keeps_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, tail: str
) -> None:
    monkeypatch.delenv("LANDSLIDE_TUNE_CACHE")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert default_cache_dir() == tmp_path / tail
    monkeypatch.delenv(variable)
    assert default_cache_dir().is_relative_to(Path.home())


def _open_and_count(
    root: Path, cache: Path, barrier: object, counts: multiprocessing.Queue[tuple[int, str]]
) -> None:
    calls: list[int] = []
    barrier.wait()  # type: ignore[attr-defined]
    packed = open_packed(root, cache_dir=cache, progress=patches_read(calls))
    counts.put((len(calls), packed.data_id))


@pytest.mark.slow
def test_processes_that_open_at_once_build_once(tiny_dataset: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    counts, barrier = context.Queue(), context.Barrier(3)
    workers = [
        context.Process(target=_open_and_count, args=(tiny_dataset, tmp_path / "cache", barrier, counts))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    results = [counts.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(count for count, _ in results) == [0, 0, 40]
    assert len({data_id for _, data_id in results}) == 1


def test_a_dataset_is_opened_through_the_private_cache_of_the_tests(
    tiny_dataset: Path, private_cache: Path
) -> None:
    packed: PackedDataset = open_packed(tiny_dataset)
    assert packed.path.parent == private_cache
    assert all(split.has_positive.any() for split in packed.splits.values())


@pytest.mark.real_data
def test_real_patches_of_7_bands_are_packed(real_data: Path, tmp_path: Path) -> None:
    packed = open_packed(real_data / "mars_landslides", cache_dir=tmp_path / "cache")
    assert (packed.bands, packed.patch_size) == (7, 128)
    assert {name: len(split) for name, split in packed.splits.items()} == {"train": 275, "val": 31}
    assert 0.40 < packed.positive_ratio < 0.50
