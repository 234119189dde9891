"""What makes a directory a run directory: `sweep.json`, the schema version, and one writer at a time.

Refuses what is not ours before a row is written. Holds no rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from filelock import FileLock, Timeout

from results.errors import StoreError
from results.schema import SCHEMA_VERSION, TABLES, check_version
from results.storage.atomic import leftover_of, remove_leftovers, replace_text
from results.storage.migration import upgraded_sweep
from results.storage.parquet_file import patiently

if TYPE_CHECKING:
    from results.storage.mirror import Mirror

_REQUIRED = ("sweep_id", "name", "metric", "mode", "max_epochs", "replicates")
SWEEP = "sweep.json"
_LOCK = ".writer.lock"
#: how the names of files begin that are made to see who can read and write there, and removed; a kill may leave one.
PROBE = ".landslide-tune-"
#: of what is made before `sweep.json`.
OWN_NAMES = frozenset({_LOCK, "wal", "checkpoints", *TABLES})


@dataclass(frozen=True)
class Locked:
    """A run directory of this machine that nobody else writes to until `lock` is released.

    Attributes:
        run_dir: the folder.
        sweep: content of its `sweep.json`.
        lock: held.
        mirror: keeps a bucket like the folder; None where the folder is all there is.
    """

    run_dir: Path
    sweep: Mapping[str, Any]
    lock: FileLock
    mirror: Mirror | None = None


def create_locked(run_dir: Path, sweep: Mapping[str, Any]) -> Locked:
    """Make a run directory and write `sweep.json`.

    Raises:
        StoreError: the directory holds a sweep or other files, cannot be written, or `sweep` lacks a key.
    """
    sweep_text(sweep)  # refuses before anything is made
    refuse_occupied(run_dir, str(sweep["sweep_id"]))
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = lock_writer(run_dir)
        for name in ("wal", "checkpoints", *TABLES):
            (run_dir / name).mkdir(exist_ok=True)
        return Locked(run_dir, write_sweep(run_dir, sweep), lock)
    except OSError as error:
        raise not_writable(run_dir, error) from error


def open_locked(run_dir: Path) -> Locked:
    """Become the writer of an existing run directory.

    Raises:
        StoreError: not a run directory, written by a newer version, being written by another process, or
            not writable.
    """
    read_sweep(run_dir)  # refuses before a lock file is made
    try:
        lock = lock_writer(run_dir)
        return Locked(run_dir, upgrade_on_disk(run_dir), lock)
    except OSError as error:
        raise not_writable(run_dir, error) from error


def read_sweep(run_dir: Path) -> dict[str, Any]:
    """The content of `sweep.json` as this version would have written it; the file stays as it is.

    Raises:
        StoreError: `run_dir` is not a run directory, or was written by a newer version.
    """
    return upgraded_sweep(_on_disk(run_dir))


def upgrade_on_disk(run_dir: Path) -> dict[str, Any]:
    """`read_sweep` for the writer: an older `sweep.json` is rewritten, so that its program refuses it from now on.

    Raises:
        StoreError: see `read_sweep`.
        OSError: the disk refuses; the file is as it was.
    """
    found = _on_disk(run_dir)
    if int(found["schema_version"]) == SCHEMA_VERSION:
        return found
    return write_sweep(run_dir, upgraded_sweep(found))


def _on_disk(run_dir: Path) -> dict[str, Any]:
    path = run_dir / SWEEP
    if not run_dir.is_dir():
        raise StoreError(f"{run_dir} does not exist or is not a directory: give the --out folder of a sweep")
    if not path.is_file():
        raise StoreError(
            f"{run_dir} has no sweep.json, so it is not a run directory: give the --out folder of a sweep"
        )
    try:
        data = patiently(path.read_bytes, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error})") from error
    return parse_sweep(data, str(path))


def parse_sweep(data: bytes, where: str) -> dict[str, Any]:
    """`sweep.json` as it was written.

    Args:
        data: its content.
        where: for messages.

    Raises:
        StoreError: it is not what a sweep writes, or a newer version wrote it.
    """
    try:
        sweep = json.loads(data.decode("utf-8"))
        version = int(sweep["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{where} cannot be read ({error!r}): it must be the JSON object written by a sweep"
        ) from error
    check_version(version, where)
    return dict(sweep)


def sweep_text(sweep: Mapping[str, Any]) -> str:
    """`sweep.json` as text, with the schema version added.

    Raises:
        StoreError: a required key is missing, or a value cannot be written as JSON.
    """
    missing = [f"sweep.json lacks {name!r}" for name in _REQUIRED if name not in sweep]
    if missing:
        raise StoreError(missing, "the sweep cannot be recorded")
    try:
        return json.dumps({**sweep, "schema_version": SCHEMA_VERSION}, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise StoreError(f"sweep.json: {error}", "the sweep cannot be recorded") from error


def write_sweep(run_dir: Path, sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Write `sweep.json`, all or nothing, and return it as it will be read.

    Raises:
        StoreError: see `sweep_text`.
        OSError: the disk refuses; the file is as it was.
    """
    text = sweep_text(sweep)
    replace_text(run_dir / SWEEP, text)
    return dict(json.loads(text))


def noted(sweep: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The sweep with later facts about it.

    Raises:
        StoreError: a fact would change what the sweep is.
    """
    changed = [name for name in (*_REQUIRED, "schema_version") if facts.get(name, sweep[name]) != sweep[name]]
    if changed:
        raise StoreError(
            [f"{name!r} says what the sweep is and cannot be changed afterwards" for name in changed],
            "the note cannot be recorded",
        )
    return {**sweep, **facts}


def refuse_occupied(run_dir: Path, sweep_id: str) -> None:
    """Raise a `StoreError` if the directory holds this sweep, another sweep, or anything else."""
    if (run_dir / SWEEP).is_file():
        refuse_other(run_dir, read_sweep(run_dir), sweep_id)
    folders = [run_dir, *(run_dir / name for name in ("wal", *TABLES))]
    found = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    names = [str(path.relative_to(run_dir)) for path in found if leftover_of(path.name) != SWEEP]
    refuse_foreign(run_dir, names)  # rows without a sweep.json, too: they would be taken for ours


def refuse_other(place: Path | str, found: Mapping[str, Any], sweep_id: str) -> NoReturn:
    """Raise the `StoreError` for a place where a new sweep should begin and one is recorded already."""
    if str(found.get("sweep_id")) == sweep_id:
        raise StoreError(f"{place} already holds this sweep ({sweep_id}): use --resume to go on with it")
    raise StoreError(
        f"{place} holds another sweep ({found.get('sweep_id')}, named {found.get('name')!r}): "
        "choose another --out, or remove the directory if it is not needed"
    )


def refuse_foreign(place: Path | str, names: Iterable[str]) -> None:
    """Raise a `StoreError` if a place without a `sweep.json` holds names that are not ours.

    Our own names without a `sweep.json` are what a crash during creation, or before it, leaves.
    """
    if {name for name in names if not name.startswith(PROBE)} - OWN_NAMES:
        raise StoreError(f"{place} is not empty and not a run directory: choose another --out")


def lock_writer(run_dir: Path) -> FileLock:
    """Become the only writer of the directory; the operating system lets go of it when the process dies.

    What a killed writer left half written beside `sweep.json` is removed.

    Raises:
        StoreError: another process is writing.
        OSError: the lock file cannot be created.
    """
    lock = FileLock(run_dir / _LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"another process is writing to {run_dir}: wait for it or stop it; reading needs no lock"
        ) from error
    remove_leftovers(run_dir, (SWEEP, "configs.parquet"))  # others may be writing a report there
    return lock


def being_written(run_dir: Path) -> bool | None:
    """Whether a process writes to this folder now; None where that cannot be found out."""
    if not (run_dir / _LOCK).exists():
        return False
    try:
        with FileLock(run_dir / _LOCK, timeout=0, thread_local=False):
            return False
    except Timeout:
        return True
    except OSError:
        return None


def not_writable(run_dir: Path, error: OSError) -> StoreError:
    """The error to raise when the operating system refuses to write into the directory."""
    return StoreError(
        f"{run_dir} cannot be written ({error}): choose another --out or change its permissions"
    )


def not_noted(run_dir: Path, error: OSError, facts: Iterable[str]) -> StoreError:
    """The error to raise when `sweep.json` could not be rewritten with these facts."""
    return StoreError(
        f"{run_dir / 'sweep.json'} cannot be written ({error}) and is as it was, without {', '.join(facts)}: "
        "free space or restore the disk",
        "results could not be written",
        rows_kept=True,
    )


def not_written(run_dir: Path, error: OSError, waiting: Sequence[str]) -> StoreError:
    """The error to raise when the disk refuses while rows are recorded.

    Args:
        run_dir: the run directory.
        error: what the operating system says.
        waiting: what is in memory only, with the number of rows, e.g. ``epochs (3)``; empty when every row is on disk.
    """
    if waiting:
        state = (
            f"rows kept in memory only: {', '.join(waiting)}; free space or restore the disk before this process "
            "ends, the next flush tries again"
        )
    else:
        state = (
            "every row is safe on disk, some under wal/; free space or restore the disk, "
            "the next open for writing folds them in"
        )
    return StoreError(
        f"{run_dir} cannot be written ({error}); {state}", "results could not be written", rows_kept=True
    )
