"""What makes a directory a run directory: `sweep.json`, the schema version, and one writer at a time.

Refuses what is not ours before a row is written. Holds no rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from results.atomic import replace_text
from results.errors import StoreError
from results.migration import upgraded_sweep
from results.parquet_file import patiently
from results.schema import SCHEMA_VERSION, TABLES, check_version

_REQUIRED = ("sweep_id", "name", "metric", "mode", "max_epochs", "replicates")
_LOCK = ".writer.lock"
_OWN_NAMES = {_LOCK, "wal", "checkpoints", *TABLES}


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
    path = run_dir / "sweep.json"
    if not run_dir.is_dir():
        raise StoreError(f"{run_dir} does not exist or is not a directory: give the --out folder of a sweep")
    if not path.is_file():
        raise StoreError(
            f"{run_dir} has no sweep.json, so it is not a run directory: give the --out folder of a sweep"
        )
    try:
        sweep = json.loads(patiently(lambda: path.read_text(encoding="utf-8"), path))
        version = int(sweep["schema_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} cannot be read ({error!r}): it must be the JSON object written by a sweep"
        ) from error
    check_version(version, str(path))
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
    replace_text(run_dir / "sweep.json", text)
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
    if (run_dir / "sweep.json").is_file():
        other = read_sweep(run_dir)
        if str(other.get("sweep_id")) == sweep_id:
            raise StoreError(
                f"{run_dir} already holds this sweep ({sweep_id}): use --resume to go on with it"
            )
        raise StoreError(
            f"{run_dir} holds another sweep ({other.get('sweep_id')}, named {other.get('name')!r}): "
            "choose another --out, or remove the directory if it is not needed"
        )
    # Our own empty folders without a sweep.json are what a crash during creation leaves.
    if run_dir.is_dir() and {path.name for path in run_dir.iterdir()} - _OWN_NAMES:
        raise StoreError(f"{run_dir} is not empty and not a run directory: choose another --out")


def local(run_dir: Path) -> Path:
    """The directory as a path; a URL is a `StoreError`."""
    if str(run_dir).startswith(("s3:", "gs:", "http:", "https:")):
        raise StoreError(
            f"{run_dir} is not a local path: record locally, then ship the model with `export --to s3://...`"
        )
    return Path(run_dir)


def lock_writer(run_dir: Path) -> FileLock:
    """Become the only writer of the directory; the operating system lets go of it when the process dies.

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
    return lock


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
