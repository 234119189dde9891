"""A dataset elsewhere: fetched once per machine under a lock, packed, and nothing else of it is left."""

from __future__ import annotations

import errno
import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from landslide import DatasetError, open_packed, packing
from landslide.caches import find_cache, list_caches
from landslide.progress import Progress
from landslide.remote import RemoteDataset, is_patch, open_remote

PLACE = "s3://bucket/data"


def elsewhere(root: Path, fetch: Callable[[Path, Progress | None], None] | None = None) -> RemoteDataset:
    """A folder that plays the other machine."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.h5"))
    contents = {name: (root / name).read_bytes() for name in names}
    files = {name: (len(data), hashlib.md5(data).hexdigest()) for name, data in contents.items()}

    def copy(folder: Path, progress: Progress | None) -> None:
        for done, name in enumerate(names, start=1):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(contents[name])
            if progress is not None:
                progress(done, len(names))

    return RemoteDataset(PLACE, files, fetch or copy)


def test_it_is_fetched_and_packed_once_and_only_the_cache_is_left(dataset: Path, tmp_path: Path) -> None:
    cache, calls = tmp_path / "cache", []
    remote = elsewhere(dataset)
    first = open_remote(remote, cache_dir=cache, progress=lambda done, total: calls.append((done, total)))
    assert first.data_id == open_packed(dataset, cache_dir=tmp_path / "other").data_id
    assert calls == [(i, 18) for i in range(1, 19)] + [(i, 9) for i in range(1, 10)]
    assert [folder.name for folder in cache.iterdir() if folder.is_dir()] == [remote.key]
    assert list_caches(cache)[0].root == PLACE
    assert find_cache(cache, first.data_id) == first.path
    assert find_cache(cache, "another") is None
    again = open_remote(elsewhere(dataset, lambda *_: pytest.fail("fetched twice")), cache_dir=cache)
    assert again.path == first.path


def test_another_state_of_the_objects_has_another_key(dataset: Path) -> None:
    remote = elsewhere(dataset)
    (name, (size, checksum)), *_ = remote.files.items()
    for change in (
        {name: (size, "other")},
        {name: (size + 1, checksum)},
        {"train/img/image_99.h5": (1, "x")},
    ):
        assert RemoteDataset(PLACE, {**remote.files, **change}, remote.fetch).key != remote.key
    assert RemoteDataset("s3://bucket/copy", remote.files, remote.fetch).key != remote.key


def test_of_several_threads_one_fetches(dataset: Path, tmp_path: Path) -> None:
    whole, fetched = elsewhere(dataset), []

    def fetch(folder: Path, progress: Progress | None) -> None:
        fetched.append(folder)
        whole.fetch(folder, progress)

    remote = elsewhere(dataset, fetch)
    threads = [
        threading.Thread(target=open_remote, args=(remote,), kwargs={"cache_dir": tmp_path}) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1


def test_a_fetch_that_broke_off_is_gone_on_with(dataset: Path, tmp_path: Path) -> None:
    whole, cache, seen = elsewhere(dataset), tmp_path / "cache", []

    def broken(folder: Path, _: Progress | None) -> None:
        seen.extend(path.name for path in folder.iterdir())
        (folder / "half").write_bytes(b"x")
        raise DatasetError("the server does not answer")

    for _ in range(2):
        with pytest.raises(DatasetError, match="does not answer"):
            open_remote(elsewhere(dataset, broken), cache_dir=cache)
    assert seen == ["half"]
    open_remote(whole, cache_dir=cache)
    assert [folder.name for folder in cache.iterdir() if folder.is_dir()] == [whole.key]


def test_a_full_disk_leaves_nothing(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"

    def full(folder: Path, _: Progress | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DatasetError, match="LANDSLIDE_TUNE_CACHE"):
        open_remote(elsewhere(dataset, full), cache_dir=cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(DatasetError, match=r"fetching s3://bucket/data needs 0\.07 GB, free are 0\.00 GB"):
        open_remote(elsewhere(dataset), cache_dir=cache)
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_what_is_wrong_is_said_of_the_place_and_not_of_the_copy(dataset: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(dataset, damaged)
    (damaged / "train/img/image_2.h5").write_bytes(b"no HDF5")
    with pytest.raises(DatasetError) as caught:
        open_remote(elsewhere(damaged), cache_dir=tmp_path / "cache")
    assert f"{PLACE}/train/img/image_2.h5" in str(caught.value)
    assert packing.BUILDING not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    with pytest.raises(DatasetError, match=r"s3://bucket/data holds no file that ends in \.h5"):
        open_remote(RemoteDataset(PLACE, {}, lambda *_: None), cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("images/train/image_1.h5", True),
        ("TrainData/img/image_1.HDF5", True),
        (".cache/x/image_1.h5", False),
        ("train/img/._image_1.h5", False),
        ("data.zip", False),
    ],
)
def test_only_patches_are_fetched(name: str, counts: bool) -> None:
    assert is_patch(name) is counts
