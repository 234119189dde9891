"""Write a file so that a reader sees all of it or nothing.

A temporary name in the same folder, forced to disk, then `os.replace`. Knows nothing about what is written.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import BinaryIO

#: Seconds between attempts on Windows, where a reader of the old file keeps it from being replaced.
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file, force it to disk, and move it to `path`.

    Raises:
        OSError: the disk is full, the folder is missing or not writable; `path` is as it was.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        _move(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def leftover_of(name: str) -> str | None:
    """The name that a temporary file was to get; None for a name that `replace_file` does not give."""
    match = _TEMPORARY.fullmatch(name)
    return match[1] if match else None


def remove_leftovers(folder: Path, targets: Container[str] | None = None) -> None:
    """Remove the temporary files of a process that was killed; only for the one process that writes these files.

    Args:
        folder: where they are; it need not exist.
        targets: names that they were to get; None for all.
    """
    for path in folder.glob(".*.tmp"):
        target = leftover_of(path.name)
        if target is not None and (targets is None or target in targets):
            with contextlib.suppress(OSError):  # it does no harm, and the next writer tries again
                path.unlink()


def remove_together(paths: Iterable[Path]) -> None:
    """Remove files that say the same as another one, in a moment as short as possible.

    Removing a file takes the file system milliseconds, renaming it microseconds: all get temporary names first, which
    no reader takes for data. One that cannot be removed (on Windows while it is read) stays until the next attempt.
    """
    hidden = []
    for path in paths:
        with contextlib.suppress(OSError):
            hidden.append(path.rename(_temporary(path)))
    for path in hidden:
        with contextlib.suppress(OSError):
            path.unlink()


def remove_if_possible(path: Path) -> None:
    """Remove a file whose content is elsewhere; one that is held open (Windows) goes at the next attempt."""
    with contextlib.suppress(OSError):
        path.unlink()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def _move(source: Path, target: Path) -> None:
    """`os.replace`; on Windows tried again for about a second while it is not permitted."""
    for pause in PAUSES if sys.platform == "win32" else ():
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(source, target)


def replace_bytes(path: Path, data: bytes) -> None:
    """`replace_file` for a content that is there already."""
    replace_file(path, lambda file: file.write(data))


def replace_text(path: Path, text: str) -> None:
    """`replace_file` for a text in UTF-8."""
    replace_bytes(path, text.encode("utf-8"))


def sync_folder(folder: Path) -> None:
    """Force a rename to disk where the platform can (not on Windows)."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
