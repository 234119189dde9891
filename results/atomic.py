"""Write a file so that a reader sees all of it or nothing.

A temporary name in the same folder, forced to disk, then `os.replace`. Knows nothing about what is written.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

#: Seconds between attempts on Windows, where a reader of the old file keeps it from being replaced.
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file, force it to disk, and move it to `path`.

    Raises:
        OSError: the disk is full, the folder is missing or not writable; `path` is as it was.
    """
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
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


def replace_text(path: Path, text: str) -> None:
    """`replace_file` for a text in UTF-8."""
    replace_file(path, lambda file: file.write(text.encode("utf-8")))


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
