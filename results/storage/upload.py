"""Makes a bucket hold what a run directory of this machine holds: one pass, in the order that readers rely on.

First the configs, then the parts in the order of the tables, then `sweep.json`; compacted-away parts go last. So a
reader of the bucket never sees a row before its config, nor the end of a run before its epochs.

Two machines never replace each other's rows: a part is only stored under a name that is free, a part that is not
ours is never hidden by a compacted one, and whoever opened the run directory last owns it, which the other finds
out before each upload.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from results.errors import StoreError
from results.storage.object_store import RunObjects, Stored, md5
from results.storage.parquet_file import is_whole
from results.storage.parts import Part, parts_among

#: name of the object that says who writes.
OWNER = ".writer.json"


def take_over(objects: RunObjects, owner: str) -> None:
    """Become the one that writes to the bucket; whoever was it before stops at its next upload.

    Args:
        objects: of the run directory.
        owner: a name that nobody else has.
    """
    content = {"owner": owner, "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S%z")}
    objects.put(OWNER, json.dumps(content, indent=2).encode("utf-8"))


def owner_of(objects: RunObjects) -> Mapping[str, str]:
    """Who writes: owner, host and since; empty if nobody ever did."""
    try:
        content = json.loads(objects.get(OWNER))
    except FileNotFoundError:
        return {}
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {"owner": "", "host": "an unknown machine", "since": "?"}


class Upload:
    """What is known to be in the bucket, and the passes that add the rest. For one thread at a time.

    Args:
        run_dir: the folder.
        objects: where to.
        owner: the name under which `take_over` was called.
        known: names in the bucket of what the folder has; only parts count, other files are compared.
    """

    def __init__(self, run_dir: Path, objects: RunObjects, *, owner: str, known: Iterable[str] = ()) -> None:
        self._run_dir, self._objects, self._owner = run_dir, objects, owner
        self._parts = {name for name in known if _part(name) is not None}
        self._others: dict[str, bytes] = {}  # checksums of the files that are replaced now and then

    def __call__(self, names: Sequence[str], go_on: Callable[[], bool] = lambda: True) -> None:
        """Upload what is missing or has changed, remove what has been compacted away. No request if that is nothing.

        Args:
            names: all files that count, below the folder, in the order in which they must appear.
            go_on: called before each object; False ends the pass.

        Raises:
            StoreError: the server does not take it, or another machine writes there; call again.
            OSError: a file cannot be read; it was compacted away meanwhile, for example.
        """
        missing = [name for name in names if name not in self._parts and not self._is_there(name)]
        if not missing and not self._superseded(names):
            return
        listed = self._objects.names()
        for name in missing:
            if not go_on():
                return
            self._refuse_stranger()
            self._put(name, (self._run_dir / name).read_bytes(), listed)
        old = self._superseded(names)
        if old and go_on():
            self._refuse_stranger()
            self._objects.delete(old)
            self._parts -= set(old)

    def _is_there(self, name: str) -> bool:
        return name in self._others and self._others[name] == md5((self._run_dir / name).read_bytes())

    def _put(self, name: str, data: bytes, listed: Mapping[str, Stored]) -> None:
        stored = listed.get(name)
        if _part(name) is None:
            if stored is None or name in self._others or not stored.is_surely(data):
                self._objects.put(name, data)
            self._others[name] = md5(data)
            return
        if strange := {other for other in listed if _covers(name, other)} - self._parts:
            raise self._met_stranger(min(strange))
        try:
            if stored is None:
                self._objects.put(name, data, new=True)
            elif not stored.is_surely(data):
                self._replace(name, data)
        except FileExistsError:
            raise self._met_stranger(name) from None
        self._parts.add(name)

    def _replace(self, name: str, data: bytes) -> None:
        """Store a part in the place of what broke off when it was uploaded before, and of nothing else."""
        found = self._objects.get(name)
        if is_whole(found) and found != data:
            raise FileExistsError(name)
        if found != data:
            self._objects.put(name, data)

    def _superseded(self, names: Sequence[str]) -> list[str]:
        """The parts of ours in the bucket that a compacted one there has replaced."""
        current = self._parts.intersection(names)
        return [old for old in self._parts.difference(names) if any(_covers(new, old) for new in current)]

    def _refuse_stranger(self) -> None:
        found = owner_of(self._objects)
        if found.get("owner") != self._owner:
            who = f"{found['host']} has written there since {found['since']}" if found else "it was emptied"
            raise StoreError(
                f"this process does not own {self._objects.url} any more: {who}; what was recorded here "
                "since then joins the rest when the sweep is resumed on this machine"
            )

    def _met_stranger(self, name: str) -> StoreError:
        return StoreError(
            f"{self._objects.url}/{name} was written by another machine and is left alone; "
            "both come together when the sweep is resumed on this machine"
        )


def _part(name: str) -> Part | None:
    found = parts_among([name.rpartition("/")[2]])
    return found[0] if found else None


def _covers(name: str, other: str) -> bool:
    """Whether a part was compacted from another one, which is in the same table."""
    part, old = _part(name), _part(other)
    same = name.rpartition("/")[0] == other.rpartition("/")[0]
    return same and part is not None and old is not None and part.covers(old)
