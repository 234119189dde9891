"""Moves a finished file or folder into its place, also where Windows holds on to one for a moment.

What is moved, and whether it is complete, is the caller's affair.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

#: Seconds between attempts on Windows, where a virus scanner or an indexer opens new files for a moment.
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def move(source: Path, target: Path) -> None:
    """`os.replace`; on Windows tried again for about a second while it is not permitted.

    Raises:
        OSError: it cannot be moved; both are as they were.
    """
    for pause in PAUSES if sys.platform == "win32" else ():
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(source, target)
