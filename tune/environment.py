"""What a sweep ran on: versions, revision, machine. Plain values for sweep.json; nothing is decided by them."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "landslide-tune",
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "timm",
    "ray",
    "numpy",
    "pyarrow",
)


def environment() -> dict[str, object]:
    """Versions of what decides the numbers, the git revision of this code, and the machine."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "packages": package_versions(),
        "git_revision": git_revision(),
    }


def package_versions() -> dict[str, str | None]:
    """Versions by name of what decides the numbers; None = not installed."""
    return {name: _version(name) for name in _PACKAGES}


def git_revision() -> str | None:
    """The revision of the checkout that this code runs from, with `+changes`; None when it is not a checkout."""
    here = Path(__file__).resolve().parent
    try:
        _git(
            here, "ls-files", "--error-unmatch", Path(__file__).name
        )  # not somebody else's checkout around us
        head = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changed else "")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
