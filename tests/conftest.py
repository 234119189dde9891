"""Fixtures shared by all tests: private cache, tiny dataset, disturbed generators, real imagery."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

REAL_DATA_VARIABLE = "LANDSLIDE_REAL_DATA"


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Packed caches of this test session go to a temporary folder, those of child processes too."""
    folder = tmp_path_factory.mktemp("packed_cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDSLIDE_TUNE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 train, 8 val and 8 test synthetic patches of 64 pixels and 14 bands. Do not change its files."""
    from landslide.synthetic import synthesize

    out = tmp_path_factory.mktemp("tiny") / "dataset"
    synthesize(out, patches=24, seed=7, size=64, difficulty=0.25)
    return out


@pytest.fixture
def disturb_global_generators() -> Callable[[], None]:
    """A function that reseeds Python's, numpy's and torch's global generators differently on each call."""
    calls = iter(range(1000, 2000))

    def disturb() -> None:
        import torch

        seed = next(calls)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global generator is what is disturbed
        torch.manual_seed(seed)
        for _ in range(seed % 7 + 1):
            random.random()
            np.random.random()  # noqa: NPY002 - as above
            torch.rand(1)

    return disturb


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that contains `mars_landslides`; skipped when unset, failed when set but missing."""
    chosen = os.environ.get(REAL_DATA_VARIABLE)
    if not chosen:
        pytest.skip(f"{REAL_DATA_VARIABLE} is not set")
    folder = Path(chosen)
    if not (folder / "mars_landslides").is_dir():
        pytest.fail(f"{REAL_DATA_VARIABLE} is {folder}, but there is no mars_landslides in it")
    return folder
