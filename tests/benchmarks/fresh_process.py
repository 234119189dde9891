"""Measuring something in a process of its own, so that neither memory nor settings of another measurement count."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def measured_in_fresh_process(script: str, arguments: Sequence[str], folder: Path) -> Any:
    """Run a script that leaves what it measured, as JSON, in the file that `--answer` names.

    Args:
        script: its path.
        arguments: of its command line.
        folder: for the answer, and for what the script prints, which is shown if there is no answer.
    """
    answer, log = folder / "answer.json", folder / "log.txt"
    answer.unlink(missing_ok=True)
    with log.open("wb") as out:
        subprocess.run(
            [sys.executable, script, *arguments, "--answer", str(answer)], stdout=out, stderr=out, check=False
        )
    if not answer.exists():
        sys.exit(
            f"{' '.join(arguments)} failed:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}"
        )
    return json.loads(answer.read_text(encoding="utf-8"))
