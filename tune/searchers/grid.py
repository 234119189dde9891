"""Grid search: the space's fixed configs, then every combination of its parameters, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from search_spaces import Config, SearchSpace
from tune.searchers.base import Observation


class GridSearcher:
    """Goes through `SearchSpace.grid` once; the seed plays no part.

    Args:
        points: values per float or integer parameter, at least 1; choices always give all their values.
    """

    def __init__(self, points: int) -> None:
        self.points = points

    def suggest(
        self,
        index: int,
        history: Sequence[Config],
        *,
        space: SearchSpace,
        seed: int,
        observed: Sequence[Observation] = (),
    ) -> Config | None:
        """Propose point `index` of the grid; None past its end."""
        return next(islice(space.grid(self.points), index, None), None)
