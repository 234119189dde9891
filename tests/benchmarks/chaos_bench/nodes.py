"""A Ray cluster on this machine: a head without CPUs, and raylets that come and go, each with caches of its own.

It starts and ends processes; it knows nothing of sweeps.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

#: Private to this cluster, so that no other Ray on this machine is met: its files, and no token of the user's.
_RAY_ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass
class Nodes:
    """The raylets that hold trials.

    Attributes:
        address: of the cluster, host:port.
        folder: where each node has its cache.
        caches: the cache folder of every node that there ever was, by its name.
        ids: Ray's names of them.
    """

    address: str
    folder: Path
    _cluster: Any
    _alive: dict[str, Any] = field(default_factory=dict)
    caches: dict[str, Path] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The nodes that are alive, the oldest first."""
        return list(self._alive)

    def add(self, environment: Mapping[str, str] | None = None) -> str:
        """Start a node with one CPU, which may have variables of its own; its name, once the cluster has it."""
        name = f"node{len(self.caches) + 1}"
        cache = self.folder / name
        cache.mkdir()
        env = {"LANDSLIDE_TUNE_CACHE": str(cache), **(environment or {})}
        node = self._cluster.add_node(num_cpus=1, node_name=name, env_vars=env)
        self._alive[name], self.caches[name], self.ids[name] = node, cache, str(node.node_id)
        return name

    def kill(self, name: str) -> None:
        """Kill -9 of a node's raylet, and of all that belongs to it: nobody says goodbye."""
        self._cluster.remove_node(self._alive.pop(name), allow_graceful=False)

    def trial_workers(self) -> list[int]:
        """The processes that train now, by pid."""
        raylets = {self._raylet(node) for node in self._alive.values()}
        return sorted(pid for pid, parent, title in _processes() if parent in raylets and _trains(title))

    @staticmethod
    def _raylet(node: Any) -> int:
        return int(node.all_processes["raylet"][0].process.pid)


@contextmanager
def ray_nodes(environment: Mapping[str, str]) -> Iterator[Nodes]:
    """A cluster whose processes have these variables; it is gone afterwards, and so is all that it wrote."""
    folder = Path(tempfile.mkdtemp(prefix="lt-"))  # short: a socket's path may have 107 characters
    private = {**_RAY_ENVIRONMENT, "RAY_TMPDIR": str(folder), **environment}
    with patch.dict(os.environ, private):
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        try:
            cluster.add_node(num_cpus=0, node_name="head", include_dashboard=False)
            yield Nodes(str(cluster.address), folder, cluster)
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def _trains(title: str) -> bool:
    """Whether this is a Ray worker in the midst of an epoch."""
    return title.startswith("ray::") and ".train" in title


def _processes() -> Iterator[tuple[int, int, str]]:
    """pid, parent and title of every process."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
                yield int(folder.name), int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]), title
            except OSError:
                continue
