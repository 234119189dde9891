"""A run directory in a bucket and its twin, the complete run directory on the disk of the machine that writes.

Creates, opens and reads them; brings together what another machine has recorded meanwhile. The bucket gets whole
parts, half a minute after their rows; write-ahead files are only in the twin, and checkpoints are the affair of
`kept_checkpoints.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from results.errors import StoreError
from results.storage.atomic import replace_text
from results.storage.bucket_rows import BucketRows
from results.storage.extended_sweep import reconciled
from results.storage.location import CACHE_VARIABLE, RunUrl, local_copy
from results.storage.mirror import Mirror
from results.storage.object_store import RunObjects, Stored
from results.storage.parquet_file import is_whole, patiently
from results.storage.row_log import RowLog
from results.storage.run_dir import (
    PROBE,
    SWEEP,
    Locked,
    create_locked,
    lock_writer,
    read_sweep,
    refuse_foreign,
    refuse_occupied,
    refuse_other,
    sweep_text,
    write_sweep,
)
from results.storage.upload import OWNER, Upload, owner_of, take_over

#: in the twin: the name under which it owns the bucket.
_OWNER_FILE = ".owner"
#: stored and removed again to find out whether that is allowed.
_PROBE = f"{PROBE}probe"


def create_twin(url: RunUrl, sweep: Mapping[str, Any]) -> Locked:
    """Start a run directory in a bucket.

    Raises:
        StoreError: the prefix or its twin holds a sweep or anything else, the bucket or the disk does not take it,
            or `sweep` lacks a key.
    """
    text = sweep_text(sweep)
    objects = RunObjects(url)
    refuse_occupied_prefix(url, str(sweep["sweep_id"]), objects)
    twin = create_locked(local_copy(url), sweep)
    owner = uuid.uuid4().hex
    try:
        # Of two machines that start at the same time, only one can store it.
        objects.put(SWEEP, text.encode("utf-8"), new=True)
        take_over(objects, owner)
        replace_text(twin.run_dir / _OWNER_FILE, owner)
    except FileExistsError as error:
        lost = StoreError(f"another machine has just started a sweep in {url}: choose another --out")
        raise _given_up(url, twin, lost) from error
    except (StoreError, OSError) as error:
        raise _given_up(url, twin, error) from error
    return replace(twin, mirror=_mirror(url, objects, twin.run_dir, owner))


def open_twin(url: RunUrl) -> Locked:
    """Become the writer of a run directory in a bucket, with everything that it and the twin hold.

    The twin's row counts where both have one, unless another machine has written to the bucket since.

    Raises:
        StoreError: not a run directory, another sweep in the twin, written by a newer version, being written by
            another process of this machine, or the bucket or the disk does not work.
    """
    objects = RunObjects(url)
    theirs, ours = _sweeps(url, objects)
    run_dir = local_copy(url)
    try:
        (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
        lock = lock_writer(run_dir)
        try:
            owner, ours_count = _owner(run_dir, objects)
            known = patiently(lambda: _merge(run_dir, objects, theirs_count=not ours_count), str(url))
            sweep = reconciled(theirs, ours, ours_counts=ours_count)
            written = write_sweep(run_dir, sweep)
            # Before any row of this version: it tells older programs to keep out.
            objects.put(SWEEP, sweep_text(written).encode("utf-8"))
            replace_text(run_dir / _OWNER_FILE, owner)  # last: a merge that was cut off is begun again
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        raise _no_local_copy(url, error) from error
    return Locked(run_dir, written, lock, _mirror(url, objects, run_dir, owner, known))


def read_bucket(url: RunUrl) -> tuple[dict[str, Any], BucketRows]:
    """The sweep and the rows in a bucket, for a reader.

    Raises:
        StoreError: not a run directory, written by a newer version, or the server does not answer.
    """
    rows = BucketRows(RunObjects(url))
    found = rows.sweep()
    if found is None:
        raise _no_sweep(url)
    return found, rows


def recorded_sweep(url: RunUrl) -> dict[str, Any] | None:
    """The sweep in a bucket or, before it arrived there, in the twin; None if there is none.

    Raises:
        StoreError: it cannot be read, or the twin holds another one.
    """
    theirs, ours = _sweeps(url, RunObjects(url), must_exist=False)
    return reconciled(theirs, ours, ours_counts=False) or None


def refuse_occupied_prefix(url: RunUrl, sweep_id: str, objects: RunObjects | None = None) -> None:
    """Raise a `StoreError` if the prefix or its twin holds this sweep, another sweep, or anything else."""
    objects = objects or RunObjects(url)
    found = BucketRows(objects).sweep()
    if found is not None:
        refuse_other(str(url), found, sweep_id)
    refuse_foreign(str(url), objects.names(at_most=100).keys() - {OWNER})
    refuse_occupied(local_copy(url), sweep_id)


def refuse_unwritable_prefix(url: RunUrl) -> None:
    """Raise a `StoreError` if nothing can be stored or removed there, or the twin's folder cannot be made."""
    objects = RunObjects(url)
    objects.put(_PROBE, b"may this be stored here?\n")
    objects.delete([_PROBE])
    twin = local_copy(url)
    try:
        twin.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_local_copy(url, error) from error


def _sweeps(
    url: RunUrl, objects: RunObjects, *, must_exist: bool = True
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """What the bucket and the twin say the sweep is; None and empty where they say nothing."""
    theirs = BucketRows(objects).sweep()
    twin = local_copy(url)
    ours = read_sweep(twin) if (twin / SWEEP).is_file() else {}
    if theirs is None and not ours and must_exist:
        raise _no_sweep(url)
    if theirs and ours and theirs["sweep_id"] != ours["sweep_id"]:
        raise StoreError(
            f"{url} holds the sweep {theirs['sweep_id']}, but its local copy {twin} the sweep {ours['sweep_id']}: "
            "is it another server than before? If not, move the local copy away"
        )
    return theirs, ours


def _owner(run_dir: Path, objects: RunObjects) -> tuple[str, bool]:
    """The name under which we own the bucket from now on, and whether nobody has owned it since we last did."""
    path = run_dir / _OWNER_FILE
    ours = path.read_text(encoding="utf-8") if path.is_file() else ""
    last = owner_of(objects).get("owner")
    if ours and last in (None, ours):
        if last is None:
            take_over(objects, ours)
        return ours, True
    owner = uuid.uuid4().hex
    take_over(objects, owner)  # before anything is read: who wrote until now stops
    return owner, False


def _merge(run_dir: Path, objects: RunObjects, *, theirs_count: bool) -> list[str]:
    """Give the twin all that the bucket has; names what need not be uploaded again."""
    log, theirs = RowLog(run_dir), BucketRows(objects)
    log.fold_leftovers()
    everything = objects.names()
    for name, segments in log.tables.items():
        listed = {key: stored for key, stored in everything.items() if key.startswith(f"{name}/")}
        if not all(_has(run_dir, part, stored) for part, stored in listed.items()):
            parts = theirs.parts(name, listed)
            # What broke off when it was uploaded is whole in the twin, from where it is uploaded again.
            broken = [part for part, data in parts.items() if segments.has(part) and not is_whole(data)]
            objects.delete(f"{name}/{part}" for part in broken)
            parts = {part: data for part, data in parts.items() if part not in broken}
            segments.adopt(parts, theirs.rows(name, parts), replace=theirs_count)
    log.configs.adopt(theirs.read_configs(broken_off_is_none=log.configs.exists), replace=theirs_count)
    log.configs.rotate()
    # Not those that broke off: a file of their name is here, and another one.
    return [
        key for key, there in everything.items() if not (run_dir / key).exists() or _has(run_dir, key, there)
    ]


def _has(run_dir: Path, name: str, stored: Stored) -> bool:
    path = run_dir / name
    return path.is_file() and stored.is_surely(path.read_bytes())


def _mirror(url: RunUrl, objects: RunObjects, run_dir: Path, owner: str, known: Iterable[str] = ()) -> Mirror:
    upload = Upload(run_dir, objects, owner=owner, known=known)
    return Mirror(upload, place=str(url), safe_in=str(run_dir))


def _given_up(url: RunUrl, twin: Locked, error: StoreError | OSError) -> StoreError:
    """Leave nothing that looks like a sweep, and say what went wrong."""
    (twin.run_dir / SWEEP).unlink(missing_ok=True)
    twin.lock.release()
    return error if isinstance(error, StoreError) else _no_local_copy(url, error)


def _no_local_copy(url: RunUrl, error: OSError) -> StoreError:
    return StoreError(
        f"{local_copy(url)}, the local copy of {url}, cannot be written ({error}): free space, or set "
        f"{CACHE_VARIABLE} to a folder on another disk"
    )


def _no_sweep(url: RunUrl) -> StoreError:
    return StoreError(f"{url} has no {SWEEP}, so it is not a run directory: give the --out URL of a sweep")
