"""Fixtures of the results tests: recorded sweeps, and the module that builds them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # importlib mode does not: `recorded_sweeps` lies beside us

from recorded_sweeps import record_scores

from results import RunStatus


@pytest.fixture
def make_run_dir(tmp_path: Path) -> Callable[..., Path]:
    """`record_scores` into a fresh folder of this test."""
    counter = iter(range(1000))
    return lambda scores, **options: record_scores(tmp_path / f"run{next(counter)}", scores, **options)


@pytest.fixture
def recorded_run(make_run_dir: Callable[..., Path]) -> Path:
    """Six configs x three replicates: four complete (one with a failed run), one stopped, one that failed."""
    rng = np.random.default_rng(5)
    means = np.array([0.47, 0.465, 0.43, 0.40, 0.46, 0.32])
    shared = rng.normal(0, 0.008, 3)
    scores = means[:, None] + shared[None, :] + rng.normal(0, 0.006, (6, 3))
    endings = {(3, 1): RunStatus.STOPPED, (3, 2): RunStatus.STOPPED, (2, 2): RunStatus.OUT_OF_MEMORY}
    endings |= {(5, j): RunStatus.DIVERGED for j in range(3)}
    return make_run_dir(scores, endings=endings)
