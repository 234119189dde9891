"""Files of a bucket, brought into a folder of this machine and checked for having arrived whole. Uploads nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath, PureWindowsPath

from results.errors import StoreError
from results.storage.atomic import leftover_of, replace_bytes
from results.storage.object_store import RunObjects, Stored

#: seconds between attempts to get an object; the client itself has tried twice each time.
PAUSES = (0.5, 2.0, 8.0)
_CONNECTIONS = 8


def listed_files(objects: RunObjects, wanted: Callable[[str], bool]) -> dict[str, Stored]:
    """The objects whose names are wanted, by their names below the URL.

    Raises:
        StoreError: the server does not answer as it should, or a wanted name would leave the folder that it is brought
            into, such as ``../x``.
    """
    found = {name: stored for name, stored in objects.names().items() if wanted(name)}
    strange = [name for name in found if not _stays_below(name)]
    if strange:
        shown = ", ".join(sorted(strange)[:5])
        raise StoreError(
            f"{objects.url} holds names that no folder can have ({shown}{', ...' if len(strange) > 5 else ''}): "
            "rename or remove these objects"
        )
    return found


def download(
    objects: RunObjects,
    wanted: Mapping[str, Stored],
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Bring objects into a folder, some at a time. Those that are there already, whole, are left as they are.

    Args:
        objects: under the URL.
        wanted: from `listed_files`.
        folder: an existing one; folders in it are made.
        progress: told how many of how many are there.

    Raises:
        StoreError: the server does not give one of them, also when it is asked again.
        OSError: the disk does not take them.
    """
    for leftover in folder.rglob(".*.tmp"):
        if leftover_of(leftover.name) is not None:
            leftover.unlink(missing_ok=True)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        jobs = [pool.submit(_bring, objects, name, stored, folder) for name, stored in wanted.items()]
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                if progress is not None:
                    progress(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def get_whole(objects: RunObjects, name: str, stored: Stored) -> bytes:
    """The content of an object as it was listed, asked for again for some seconds when it does not come.

    Raises:
        StoreError: it does not come, or is another than was listed.
    """
    seen: bytes | None = None
    for pause in (*PAUSES, None):
        try:
            data = objects.get(name)
        except FileNotFoundError:
            break
        except StoreError:
            if pause is None:
                raise
            time.sleep(pause)
            continue
        # Twice the same of the right size: its ETag is no checksum, as for encrypted objects.
        if stored.is_surely(data) or (len(data) == stored.size and data == seen):
            return data
        seen = data
    raise StoreError(
        f"{objects.url}/{name} is not what was listed a moment ago: is it being changed? Try again when it is not"
    )


def _bring(objects: RunObjects, name: str, stored: Stored, folder: Path) -> None:
    path = folder / name
    if path.is_file() and stored.is_surely(path.read_bytes()):
        return
    data = get_whole(objects, name, stored)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(path, data)


def _stays_below(name: str) -> bool:
    parts = name.split("/")
    plain = all(part and part not in (".", "..") and ":" not in part and "\0" not in part for part in parts)
    # A backslash is a separator on Windows only; a dataset that cannot be fetched there is refused everywhere.
    return (
        plain
        and "\\" not in name
        and not PurePosixPath(name).is_absolute()
        and not PureWindowsPath(name).drive
    )
