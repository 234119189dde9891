"""What a node says of itself before a sweep begins. Runs on the node; judges nothing, and changes nothing there."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from landslide.packed import default_cache_dir
from results import StoreError
from results.storage.admission import refuse_unwritable
from results.storage.location import RunUrl, locate
from tune.dataset import Wanted, packed_here, source_problem
from tune.environment import package_versions

#: Seconds in which torch must have looked for GPUs; importing it from a network disk takes long.
_GPU_SECONDS = 120.0
_COUNT = "from landslide.card import find_card; card = find_card(); print(0 if card is None else card.count)"
_OURS = ("landslide", "results", "search_spaces", "tune")


@dataclass(frozen=True)
class Question:
    """What a node is asked.

    Args:
        out: the run directory.
        token: a file that the driver has made where the run directory is or will be; empty for a URL.
        wanted: the dataset.
        gpus: whether trials train on GPUs.
    """

    out: str
    token: str
    wanted: Wanted
    gpus: bool


@dataclass(frozen=True)
class NodeFacts:
    """The answer.

    Args:
        python: its version.
        packages: versions by name; None = not installed.
        code: a hash of our own code, and `code_from`, where it lies.
        packed: the dataset is packed there.
        data_problem: why it cannot be packed there; None = it can, or need not.
        out_problem: why a trial could not keep its checkpoints.
        gpus: that torch can use; None = not asked for.
        free_bytes: on the disk of `cache_dir`, the folder of packed datasets.
    """

    python: str
    packages: dict[str, str | None]
    code: str
    code_from: str
    packed: bool = False
    data_problem: str | None = None
    out_problem: str | None = None
    gpus: int | None = None
    free_bytes: int = 0
    cache_dir: str = ""


def software_here() -> NodeFacts:
    """What this machine would run: the part that the driver compares the nodes with."""
    code, place = code_here()
    return NodeFacts(platform.python_version(), package_versions(), code, place)


def facts_here(question: Question) -> NodeFacts:
    """All that is asked."""
    code, place = code_here()
    packed = packed_here(question.wanted) is not None
    cache_dir = default_cache_dir()
    there = next(folder for folder in (cache_dir, *cache_dir.absolute().parents) if folder.exists())
    return NodeFacts(
        python=platform.python_version(),
        packages=package_versions(),
        code=code,
        code_from=place,
        packed=packed,
        data_problem=None if packed else source_problem(question.wanted.data_source),
        out_problem=_out_problem(question),
        gpus=_gpus_seen() if question.gpus else None,
        free_bytes=shutil.disk_usage(there).free,
        cache_dir=str(cache_dir),
    )


@lru_cache(maxsize=1)
def code_here() -> tuple[str, str]:
    """A hash of the four packages as they would be imported here, 12 hexadecimal digits, and the folder of `tune`."""
    digest, place = hashlib.sha256(), ""
    for name in _OURS:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        place = str(Path(spec.origin).parent)
        for path in sorted(Path(place).rglob("*.py")):
            digest.update(f"\n{name}/{path.relative_to(place).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12], place


def _out_problem(question: Question) -> str | None:
    place = locate(question.out)
    if isinstance(place, RunUrl):
        try:
            refuse_unwritable(place)
        except StoreError as error:
            return f"{error.problems[0]} (asked from there)"
        return None
    token = Path(question.token)
    if not token.is_file():
        return (
            f"--out {place} is another disk there than here: put it on a disk that all nodes see under the same path, "
            "or give --out s3://bucket/prefix"
        )
    try:
        probe = token.with_name(f"{token.name}-{uuid.uuid4().hex}")
        probe.touch()
        probe.unlink()
    except OSError as error:
        return f"--out {place} cannot be written there ({error.strerror}): grant the node write access"
    return None


def _gpus_seen() -> int:
    """How many GPUs torch can use, asked in another process: Ray hides them from one that has reserved none."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if hidden:
        environment["CUDA_VISIBLE_DEVICES"] = hidden
    try:
        done = subprocess.run(
            [sys.executable, "-c", _COUNT],
            capture_output=True,
            text=True,
            timeout=_GPU_SECONDS,
            env=environment,
        )
        return int(done.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0
