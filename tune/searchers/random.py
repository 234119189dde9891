"""Random search without repetition: the space's fixed configs first, then draws from its parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from numpy.random import PCG64, Generator, SeedSequence

from search_spaces import Config, SearchSpace
from tune.searchers.base import Observation

DOMAIN = 0x5EA7C4  # keeps these streams apart from the replicates', which start from the same sweep seed

#: Draws after which a finite space is taken to be nearly exhausted and its rest is enumerated instead.
FINITE_ATTEMPTS = 100
#: Draws after which a space with a float is given up: its range then holds next to no further double.
INFINITE_ATTEMPTS = 10_000


class RandomSearcher:
    """Draws configs independently (Bergstra and Bengio 2012, JMLR 13), never the same one twice.

    Attempt k of suggestion i has a generator of its own, derived from (sweep seed, i, k).
    """

    learns: ClassVar[bool] = False

    def suggest(
        self,
        index: int,
        history: Sequence[Config],
        *,
        space: SearchSpace,
        seed: int,
        observed: Sequence[Observation] = (),
    ) -> Config | None:
        """Propose the next fixed config, then a random one; None once a finite space is exhausted."""
        seen = {config.config_id for config in history}
        for config in space.configs:
            if config.config_id not in seen:
                return config
        if len(seen) >= space.cardinality:
            return None
        finite = math.isfinite(space.cardinality)
        attempts = FINITE_ATTEMPTS if finite else INFINITE_ATTEMPTS
        for attempt in range(attempts):
            config = space.sample(_generator(seed, index, attempt))
            if config.config_id not in seen:
                return config
        if not finite:
            return None
        every = space.grid(points=int(space.cardinality))
        left = [config for config in every if config.config_id not in seen]
        return left[int(_generator(seed, index, attempts).random() * len(left))]


def _generator(seed: int, index: int, attempt: int) -> Generator:
    return Generator(PCG64(SeedSequence(seed, spawn_key=(DOMAIN, index, attempt))))
