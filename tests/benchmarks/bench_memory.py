"""Memory of concurrent trials on one machine: the shared memory map against a copy of the dataset in each process.

PSS (proportional set size) counts a page that n processes share as 1/n in each; their sum is what the machine holds.
Linux only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np


def pss_bytes() -> int:
    """Proportional set size of this process."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def trial(cache: str, copy: bool, pipe: Connection) -> None:
    """Hold the dataset as a trial does, and report the memory when all trials hold it."""
    from landslide import load_packed

    pipe.send(("started", pss_bytes()))
    pipe.recv()
    images = load_packed(Path(cache)).splits["train"].images
    held = np.array(images) if copy else images
    for i in range(len(held)):
        float(held[i].sum())
    pipe.send(("loaded", 0))
    pipe.recv()
    pipe.send(("measured", pss_bytes()))
    pipe.recv()


def added_bytes(cache: Path, *, trials: int, copy: bool) -> int:
    """Memory that `trials` processes add together by holding the dataset."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(trials):
        ours, theirs = context.Pipe()
        context.Process(target=trial, args=(str(cache), copy, theirs), daemon=True).start()
        pipes.append(ours)
    before = sum(pipe.recv()[1] for pipe in pipes)
    for step in ("load", "measure"):
        for pipe in pipes:
            pipe.send(step)
        answers = [pipe.recv()[1] for pipe in pipes]
    for pipe in pipes:
        pipe.send("end")
    return sum(answers) - before


def main() -> None:
    """Measure one and several trials, shared and copied."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=400)
    parser.add_argument("--trials", type=int, default=4)
    chosen = parser.parse_args()
    from landslide import open_packed, synthesize

    with tempfile.TemporaryDirectory() as folder:
        synthesize(Path(folder) / "data", patches=chosen.patches, seed=0)
        data = open_packed(Path(folder) / "data", cache_dir=Path(folder) / "cache")
        size = data.splits["train"].images.nbytes
        print(f"dataset: {size / 2**20:.0f} MiB")
        for copy in (False, True):
            for trials in (1, chosen.trials):
                added = added_bytes(data.path, trials=trials, copy=copy)
                kind = "a copy in each process" if copy else "shared memory map"
                print(
                    f"{kind:24s} {trials} trials add {added / 2**20:7.0f} MiB = {added / size:.2f}x the dataset"
                )


if __name__ == "__main__":
    main()
