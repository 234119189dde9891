"""The seeds of a replicate: a function of the sweep's seed and the replicate's index, and of nothing else.

In particular not of the config: replicate r of every config meets the same initial weights, the same order of
patches and the same augmentation draws, so that differences between configs can be taken pair by pair.
"""

from __future__ import annotations

from dataclasses import dataclass

from numpy import uint64
from numpy.random import SeedSequence

from tune.errors import SweepError

#: Replicates from here on confirm the choice. The search uses those below, and never one of these.
FIRST_FRESH = 1000

DOMAIN = 0x5EED  # keeps these streams apart from the searchers', which start from the same sweep seed


@dataclass(frozen=True)
class Replicate:
    """One repetition of every config.

    Args:
        index: r, counted from 0.
        seed_init: seed of the initial weights, in [0, 2^63).
        seed_order: seed of the order in which patches are drawn, in [0, 2^63).
        seed_augment: seed of the augmentation, in [0, 2^63).
    """

    index: int
    seed_init: int
    seed_order: int
    seed_augment: int


def replicate(sweep_seed: int, index: int) -> Replicate:
    """Derive a replicate's seeds.

    The three seeds are the first three 64-bit words of numpy's ``SeedSequence(sweep_seed,
    spawn_key=(DOMAIN, index))``, each without its lowest bit so that it fits the signed 64-bit columns that
    the results are kept in.

    Args:
        sweep_seed: the seed of the sweep, in [0, 2^63).
        index: the replicate, in [0, 2^32).

    Raises:
        SweepError: if one of the two is out of its range.
    """
    problems = []
    if not 0 <= sweep_seed < 2**63:
        problems.append(
            f"seed: {sweep_seed} is out of range; allowed: 0 to 2^63 - 1; give another sweep seed"
        )
    if not 0 <= index < 2**32:
        problems.append(f"replicate index: {index} is out of range; allowed: 0 to 2^32 - 1; count from 0")
    if problems:
        raise SweepError(problems, "the seeds of a replicate cannot be derived")
    state = SeedSequence(sweep_seed, spawn_key=(DOMAIN, index)).generate_state(3, uint64)
    init, order, augment = (int(word) >> 1 for word in state)
    return Replicate(index, seed_init=init, seed_order=order, seed_augment=augment)
