"""Patches per second: batches from the packed memory map against opening one HDF5 file per patch, as the notes did."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch
from side_by_side import compare

from landslide import find_dataset, open_packed, synthesize
from landslide.batches import Normalisation, load_batch

BATCH = 16


def drop_from_page_cache(folder: Path) -> None:
    """Forget the cached pages of all files below a folder (Linux), so that the next read is cold."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def main() -> None:
    """Measure warm and cold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "data", Path(folder) / "cache"
        synthesize(root, patches=chosen.patches, seed=0)
        data = open_packed(root, cache_dir=cache)
        files, split = find_dataset(root).splits["train"], data.splits["train"]
        normalisation = Normalisation.of(data.statistics)
        order = np.random.default_rng(0).permutation(len(files))

        def one_file_per_patch() -> None:
            for first in range(0, len(order), BATCH):
                images, masks = [], []
                for i in order[first : first + BATCH]:
                    with h5py.File(files[i].image) as file:
                        image = np.transpose(file["img"][:].astype(np.float32), (2, 0, 1))
                    with h5py.File(files[i].mask) as file:
                        mask = file["mask"][:].astype(np.float32)
                    images.append(torch.from_numpy(np.ascontiguousarray(image)))
                    masks.append(torch.from_numpy(mask)[None])
                normalisation.apply(torch.stack(images)), torch.stack(masks)

        def packed() -> None:
            for first in range(0, len(order), BATCH):
                indices = order[first : first + BATCH]
                load_batch(split, indices, normalisation=normalisation, device=torch.device("cpu"))

        print("warm")
        one_file_per_patch()
        packed()
        ways = {"one HDF5 file per patch": one_file_per_patch, "packed memory map": packed}
        compare(ways, rounds=chosen.rounds, amount=len(order), unit="patches")
        if hasattr(os, "posix_fadvise"):
            print("cold: the page cache of the files is dropped before each round")
            before = {"one HDF5 file per patch": root, "packed memory map": cache}
            compare(
                ways,
                rounds=min(3, chosen.rounds),
                amount=len(order),
                unit="patches",
                before=lambda name: drop_from_page_cache(before[name]),
            )


if __name__ == "__main__":
    main()
