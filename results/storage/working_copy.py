"""A folder with the files of a run directory, wherever that is, for those who need files: a report, for example."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from results.errors import StoreError
from results.schema import TABLES
from results.storage.atomic import replace_bytes
from results.storage.bucket_rows import CONFIGS, BucketRows
from results.storage.location import RunDir, RunUrl, locate
from results.storage.object_store import RunObjects
from results.storage.parquet_file import patiently
from results.storage.run_dir import SWEEP


@contextmanager
def working_copy(run_dir: RunDir) -> Iterator[Path]:
    """The folder of a run directory; of one in a bucket, a temporary folder with what the bucket holds.

    At the end, files that were put or changed directly in the temporary folder are uploaded.

    Raises:
        StoreError: the bucket is not a run directory, cannot be read or does not take the files; or the disk does not.
    """
    place = locate(run_dir)
    if isinstance(place, Path):
        yield place
        return
    objects = RunObjects(place)
    with tempfile.TemporaryDirectory(prefix="landslide-tune-") as name:
        folder = Path(name)
        try:
            _download(place, objects, folder)
        except OSError as error:
            raise StoreError(f"{folder} cannot take a copy of {place} ({error})") from error
        before = _contents(folder)
        yield folder
        publish(place, [path for path, data in _contents(folder).items() if before.get(path) != data])


def publish(run_dir: RunDir, files: list[Path]) -> None:
    """Store files, e.g. a report, at the top of a run directory in a bucket; a folder has them already.

    Raises:
        StoreError: the bucket does not take them.
    """
    place = locate(run_dir)
    if isinstance(place, RunUrl):
        objects = RunObjects(place)
        for path in files:
            objects.put(path.name, path.read_bytes())


def _download(url: RunUrl, objects: RunObjects, folder: Path) -> None:
    """In the reverse of the order of writing, so that what is there refers to nothing that is not; see `snapshot`."""
    rows = BucketRows(objects)
    if rows.sweep() is None:
        raise StoreError(f"{url} has no {SWEEP}, so it is not a run directory: give the --out URL of a sweep")
    for table in reversed(list(TABLES)):
        (folder / table).mkdir()
        for name, data in patiently(partial(rows.current_parts, table), f"{url}/{table}").items():
            replace_bytes(folder / table / name, data)
    for name in objects.names().keys() & {CONFIGS, SWEEP}:
        replace_bytes(folder / name, objects.get(name))


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
