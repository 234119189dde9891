"""Where a sweep's dataset is, and how it gets onto this node: a folder, or objects of a bucket that are fetched once.

Joins what `landslide` does with files and what `results` does with buckets; neither knows the other.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from landslide.errors import DatasetError
from results.errors import StoreError
from results.storage.location import CACHE_VARIABLE, RunUrl, locate, spelled
from tune.errors import SweepError

if TYPE_CHECKING:
    from landslide import PackedDataset
    from landslide.remote import RemoteDataset
    from tune.trial import TrialJob

Progress = Callable[[int, int], None]
#: how a dataset is named: a folder, or ``s3://bucket/prefix``, also after it went through `Path`.
DataDir = Path | str | RunUrl


def data_place(data_dir: DataDir) -> Path | RunUrl:
    """The place that is meant.

    Raises:
        SweepError: a URL of another kind, or one without bucket or prefix.
    """
    try:
        return locate(data_dir)
    except StoreError:
        raise SweepError(
            f"data: {spelled(str(data_dir))} is not a dataset: give a folder or s3://bucket/prefix"
        ) from None


def data_source(data_dir: DataDir) -> str:
    """A name of the place that means the same in every process: an absolute path, or a URL."""
    place = data_place(data_dir)
    return str(place.resolve() if isinstance(place, Path) else place)


def open_dataset(data_dir: DataDir, *, progress: Progress | None = None) -> PackedDataset:
    """Open the packed copy of a dataset on this machine; where there is none, fetch (from a bucket) and pack it first.

    One process of a machine does so, others wait.

    Args:
        data_dir: where the dataset is.
        progress: told how many of how many files are fetched, then how many patches are packed.

    Raises:
        DatasetError: it cannot be reached or used, or the disk does not take it; every problem.
    """
    from landslide import open_packed
    from landslide.remote import open_remote

    place = data_place(data_dir)
    if isinstance(place, RunUrl):
        return open_remote(in_bucket(place), progress=progress)
    return open_packed(place, progress=progress)


def in_bucket(place: RunUrl) -> RemoteDataset:
    """What a bucket holds of a dataset now.

    Raises:
        DatasetError: it cannot be listed.
    """
    from landslide.remote import RemoteDataset, is_patch
    from results.storage.downloads import download, listed_files
    from results.storage.object_store import RunObjects

    try:
        objects = RunObjects(place)
        listed = listed_files(objects, is_patch)
    except StoreError as error:
        raise DatasetError(error.problems) from error

    def fetch(folder: Path, progress: Progress | None) -> None:
        try:
            download(objects, listed, folder, progress)
        except StoreError as error:
            raise DatasetError(error.problems) from error

    files = {name: (stored.size, stored.etag) for name, stored in listed.items()}
    return RemoteDataset(str(place), files, fetch)


@dataclass(frozen=True)
class Wanted:
    """A dataset that a node is to have; the fields of a `TrialJob` that say which."""

    cache_path: str
    data_source: str
    data_id: str


def dataset_here(job: TrialJob | Wanted) -> PackedDataset:
    """The dataset of a trial on this node: the packed copy that the sweep was started with, where this node sees it.

    Otherwise, or where this node has a folder of caches of its own (LANDSLIDE_TUNE_CACHE), a packed copy there with the
    same content, which takes milliseconds to find; where there is none, it is made.

    Raises:
        DatasetError: it cannot be had here, or has another content than the sweep was started with.
    """
    from landslide import load_packed

    if (data := packed_here(job)) is not None:
        return data
    if not job.data_source:
        return load_packed(Path(job.cache_path))  # says what is wrong
    return _made_here(job)


def packed_here(job: TrialJob | Wanted) -> PackedDataset | None:
    """The packed copy that `dataset_here` opens; None if it would have to make one."""
    from landslide import load_packed
    from landslide.caches import find_cache
    from landslide.packed import default_cache_dir

    theirs = Path(job.cache_path)
    own = os.environ.get(CACHE_VARIABLE)
    elsewhere = bool(own) and not theirs.is_relative_to(default_cache_dir().resolve())
    if not (job.data_source and elsewhere) and (data := _same(theirs, job.data_id)) is not None:
        return data
    path = find_cache(default_cache_dir(), job.data_id) if job.data_source else None
    return None if path is None else load_packed(path)


def source_problem(source: str) -> str | None:
    """Why a packed copy cannot be made here; None as far as can be told without reading the files."""
    place = data_place(source)
    if isinstance(place, Path):
        return (
            None
            if place.is_dir()
            else f"{place} is not a folder there: give all nodes the dataset under this path"
        )
    from results.storage.object_store import RunObjects

    try:
        return None if RunObjects(place).names(at_most=1) else f"{place} has no objects as seen from there"
    except StoreError as error:
        return f"{error.problems[0]} (asked from there)"


def _same(path: Path, data_id: str) -> PackedDataset | None:
    from landslide import load_packed

    try:
        data = load_packed(path)
    except DatasetError:
        return None
    return data if data_id in ("", data.data_id) else None


def _made_here(job: TrialJob | Wanted) -> PackedDataset:
    where = f"node {platform.node()}: {job.data_source}"
    try:
        data = open_dataset(job.data_source)
    except DatasetError as error:
        if (data_there := _same(Path(job.cache_path), job.data_id)) is not None:
            return data_there
        raise DatasetError([f"{where}: {problem}" for problem in error.problems], error.heading) from error
    if data.data_id != job.data_id:
        raise DatasetError(
            f"{where} holds other data than the sweep was started with (data id {data.data_id}, not {job.data_id}); "
            "give this node the same files, or name the dataset as s3://bucket/prefix"
        )
    return data
