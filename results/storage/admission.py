"""May a sweep be recorded at a place? Asked before anything expensive is done; nothing is left behind there."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from results.errors import StoreError
from results.storage.location import RunDir, RunUrl, locate
from results.storage.run_dir import PROBE, SWEEP, read_sweep, refuse_occupied
from results.storage.twin import recorded_sweep, refuse_occupied_prefix, refuse_unwritable_prefix


def stored_sweep(run_dir: RunDir) -> dict[str, Any] | None:
    """The sweep that is recorded there; None if there is none.

    Raises:
        StoreError: it cannot be read, or was written by a newer version.
    """
    place = locate(run_dir)
    if isinstance(place, RunUrl):
        return recorded_sweep(place)
    return read_sweep(place) if (place / SWEEP).is_file() else None


def refuse_taken(run_dir: RunDir, sweep_id: str) -> None:
    """Raise a `StoreError` if this sweep, another sweep or anything else is there."""
    place = locate(run_dir)
    if isinstance(place, RunUrl):
        refuse_occupied_prefix(place, sweep_id)
    else:
        refuse_occupied(place, sweep_id)


def refuse_unwritable(run_dir: RunDir) -> None:
    """Raise a `StoreError` if nothing can be written there: a disk, a bucket or its server does not let us."""
    place = locate(run_dir)
    if isinstance(place, RunUrl):
        refuse_unwritable_prefix(place)
        return
    probe = _nearest_folder(place) / f"{PROBE}{uuid.uuid4().hex}-probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StoreError(f"{place} cannot be written ({error}); choose another --out") from error


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())
