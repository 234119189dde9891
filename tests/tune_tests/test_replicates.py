"""The seeds of a replicate follow from (sweep seed, index) and from nothing else."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.errors import SweepError
from tune.replicates import Replicate, replicate

sweep_seeds, indices = st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1)


def seeds(sweep_seed: int, index: int) -> tuple[int, int, int]:
    one = replicate(sweep_seed, index)
    return one.seed_init, one.seed_order, one.seed_augment


@given(sweep_seeds, indices)
def test_seeds_are_distinct_and_fit_a_signed_64_bit_column(sweep_seed: int, index: int) -> None:
    found = seeds(sweep_seed, index)
    assert len(set(found)) == 3
    assert all(0 <= seed < 2**63 for seed in found)


@given(st.sets(st.tuples(sweep_seeds, indices), min_size=2, max_size=5))
def test_other_sweep_seeds_and_indices_give_other_seeds(pairs: set[tuple[int, int]]) -> None:
    found = [seed for pair in pairs for seed in seeds(*pair)]
    assert len(set(found)) == 3 * len(pairs)


def test_a_large_sweep_seed_does_not_run_into_the_index() -> None:
    # plainly concatenated 32-bit words would make these two the same
    assert seeds(2**32, 5) != seeds(0, 1)
    assert len({seeds(s, i) for s in (0, 1, 2**32, 2**32 + 1) for i in range(20)}) == 80


def test_seeds_do_not_change_between_releases() -> None:
    assert replicate(0, 0) == Replicate(0, 6523446053979669626, 4721783241464220760, 1223675744622837026)


def test_seeds_are_the_same_after_the_global_generators_were_disturbed() -> None:
    before = seeds(3, 1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the disturbance is the point
    assert seeds(3, 1) == before


def test_seeds_are_the_same_in_a_fresh_process() -> None:
    code = "from tune.replicates import replicate; print(replicate(3, 1))"
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert fresh.strip() == str(replicate(3, 1))


@pytest.mark.parametrize(
    ("sweep_seed", "index", "count"), [(-1, 0, 1), (2**63, 0, 1), (0, -1, 1), (-1, 2**32, 2)]
)
def test_seeds_out_of_range_are_refused_together(sweep_seed: int, index: int, count: int) -> None:
    with pytest.raises(SweepError, match="allowed: 0 to") as caught:
        replicate(sweep_seed, index)
    assert len(caught.value.problems) == count
