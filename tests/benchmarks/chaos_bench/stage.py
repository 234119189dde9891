"""Where sweeps are disturbed: a synthetic dataset, a bucket behind a server that can be spoilt, and a Ray cluster.

Needs `tests/results_tests` on the path, for the server.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from faulty_s3 import FaultyS3, faulty_s3

from chaos_bench.nodes import Nodes, ray_nodes
from chaos_bench.pipe import Pipe, counting_pipe
from chaos_bench.size import Size
from chaos_bench.user import User

BUCKET = "chaos"


@dataclass(frozen=True)
class Stage:
    """Where both sweeps run.

    Args:
        folder: for data and run directories.
        nodes: of the cluster.
        server: of the bucket.
        pipe: counts epochs.
    """

    folder: Path
    nodes: Nodes
    server: FaultyS3
    pipe: Pipe

    def out(self, name: str, *, bucket: bool) -> str:
        """A run directory."""
        return f"s3://{BUCKET}/{name}" if bucket else str(self.folder / name)

    def words(self, size: Size, out: str, *, data: str = "") -> list[str]:
        """Of the command, but for where it runs. The policy stops nothing: no decision depends on what comes first."""
        words = ["smoke", "--data", data or str(self.folder / "data"), "--out", out, "--policy", "none"]
        numbers = {"--configs": size.configs, "--seeds": size.seeds, "--max-epochs": size.epochs}
        return [*words, *(str(word) for pair in numbers.items() for word in pair)]

    def user(self, words: Sequence[str]) -> User:
        """Who runs this on the cluster, with a cache of their own."""
        cache = {"LANDSLIDE_TUNE_CACHE": str(self.folder / "driver")}
        return User([*words, "--address", self.nodes.address], cache)


@contextmanager
def stage(size: Size, *, nodes: int) -> Iterator[Stage]:
    """A dataset, a bucket behind a server that can be spoilt, and a cluster."""
    import boto3

    from landslide.synthetic import synthesize

    with tempfile.TemporaryDirectory() as name, faulty_s3() as server, counting_pipe(Path(name)) as pipe:
        folder = Path(name)
        synthesize(folder / "data", patches=size.patches, seed=7, size=64, difficulty=0.25)
        environment = {
            "AWS_ENDPOINT_URL_S3": server.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "LANDSLIDE_TUNE_CACHE": str(folder / "driver"),
            **pipe.environment,
        }
        with patch.dict(os.environ, environment), ray_nodes(environment) as cluster:
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            for _ in range(nodes):
                cluster.add()
            yield Stage(folder, cluster, server, pipe)


def upload_data(place: Stage) -> str:
    """Put the dataset into the bucket; its URL."""
    import boto3

    client, folder = boto3.client("s3"), place.folder / "data"
    for path in folder.rglob("*.h5"):
        client.upload_file(str(path), BUCKET, f"data/{path.relative_to(folder).as_posix()}")
    return f"s3://{BUCKET}/data"
