"""The caches of a machine are listed and pruned; one in use is never taken away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from landslide import DatasetError, caches, load_packed, open_packed, packing
from landslide.caches import list_caches, prune_caches

DAY = 24 * 3600.0


def age(path: Path, days: float) -> None:
    """Make a cache look as if it was last opened so many days ago, by a process that has ended."""
    lock = caches._held.pop(path.resolve(), None)
    if lock is not None:
        lock.release(force=True)
    then = time.time() - days * DAY
    for entry in (*path.iterdir(), path):
        os.utime(entry, (then, then))


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_listed_cache_says_what_it_was_packed_from_and_when_it_was_opened(
    dataset: Path, cache_dir: Path
) -> None:
    packed = open_packed(dataset, cache_dir=cache_dir)
    age(packed.path, 3)
    (entry,) = list_caches(cache_dir)
    assert (entry.path, entry.data_id, entry.complete) == (packed.path, packed.data_id, True)
    assert entry.root == str(dataset.resolve())
    assert not entry.in_use
    assert abs(time.time() - 3 * DAY - entry.last_used) < 60
    assert entry.size >= sum(split.images.nbytes for split in packed.splits.values())


def test_opening_a_cache_makes_it_recent_and_in_use(dataset: Path, cache_dir: Path) -> None:
    path = open_packed(dataset, cache_dir=cache_dir).path
    age(path, 100)
    load_packed(path)
    (entry,) = list_caches(cache_dir)
    assert entry.in_use
    assert time.time() - entry.last_used < 60


def test_only_what_nobody_opened_for_so_long_is_pruned(dataset: Path, cache_dir: Path) -> None:
    path = open_packed(dataset, cache_dir=cache_dir).path
    age(path, 5)
    kept = prune_caches(cache_dir, unused_days=6)
    assert ([entry.path for entry in kept.kept], kept.removed, kept.freed) == ([path], (), 0)
    assert load_packed(path).path == path
    age(path, 5)
    size = list_caches(cache_dir)[0].size
    gone = prune_caches(cache_dir, unused_days=4)
    assert ([entry.path for entry in gone.removed], gone.kept, gone.freed) == ([path], (), size)
    assert [entry for entry in cache_dir.iterdir() if entry.is_dir()] == []


def test_a_pruned_cache_is_built_again(dataset: Path, cache_dir: Path) -> None:
    before = open_packed(dataset, cache_dir=cache_dir)
    age(before.path, 1)
    prune_caches(cache_dir, unused_days=0)
    with pytest.raises(DatasetError, match="no complete packed cache"):
        load_packed(before.path)
    assert open_packed(dataset, cache_dir=cache_dir).data_id == before.data_id
    assert list_caches(cache_dir)[0].in_use


def test_a_cache_that_another_process_has_open_is_kept_until_it_ends(dataset: Path, cache_dir: Path) -> None:
    path = open_packed(dataset, cache_dir=cache_dir).path
    code = (
        "import sys, pathlib; from landslide import load_packed; data = load_packed(pathlib.Path(sys.argv[1]));"
        "print('open', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(path)], text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "open\n"
        age(path, 100)
        assert [entry.path for entry in prune_caches(cache_dir, unused_days=0).kept] == [path]
        assert packing.is_complete(path)
        process.stdin.close()
    assert [entry.path for entry in prune_caches(cache_dir, unused_days=0).removed] == [path]


def test_a_cache_that_is_being_built_is_kept(dataset: Path, cache_dir: Path) -> None:
    path = open_packed(dataset, cache_dir=cache_dir).path
    age(path, 100)
    with filelock.FileLock(packing.lock_of(path)):
        assert [entry.in_use for entry in list_caches(cache_dir)] == [True]
        assert prune_caches(cache_dir, unused_days=0).removed == ()
    assert packing.is_complete(path)


def test_remains_of_killed_builds_go_after_a_day_and_running_builds_stay(cache_dir: Path) -> None:
    for name, days in (("aa.building-1", 2.0), ("bb.building-2", 0.1)):
        (cache_dir / name).mkdir(parents=True)
        (cache_dir / name / "train_images.npy").write_bytes(b"x" * 1000)
        age(cache_dir / name, days)
    done = prune_caches(cache_dir, unused_days=30)
    assert [entry.path.name for entry in done.removed] == ["aa.building-1"]
    assert [(entry.path.name, entry.in_use) for entry in done.kept] == [("bb.building-2", True)]
    assert done.freed == 1000


def test_folders_that_are_no_caches_are_neither_listed_nor_removed(cache_dir: Path) -> None:
    (cache_dir / "photos").mkdir(parents=True)
    (cache_dir / "photos" / "a.jpg").write_bytes(b"x")
    age(cache_dir / "photos", 1000)
    assert list_caches(cache_dir) == []
    prune_caches(cache_dir, unused_days=0)
    assert (cache_dir / "photos" / "a.jpg").exists()


def test_a_damaged_cache_is_listed_as_incomplete_and_can_be_pruned(dataset: Path, cache_dir: Path) -> None:
    path = open_packed(dataset, cache_dir=cache_dir).path
    (path / packing.MANIFEST).write_text("[]", encoding="utf-8")
    age(path, 40)
    assert [(entry.complete, entry.data_id) for entry in list_caches(cache_dir)] == [(False, None)]
    assert len(prune_caches(cache_dir, unused_days=30).removed) == 1


def test_a_folder_that_does_not_exist_holds_no_caches(tmp_path: Path) -> None:
    assert list_caches(tmp_path / "nowhere") == []
    assert prune_caches(tmp_path / "nowhere", unused_days=0).freed == 0
