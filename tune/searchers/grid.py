"""Grid search: the space's fixed configs, then every combination of its parameters, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from search_spaces import Config, SearchSpace
from tune.searchers.base import Observation


class GridSearcher:
    """Goes through `SearchSpace.grid` once; seed and results play no part.

    What was passed of the grid is remembered, so that a sweep walks it once and not once for each suggestion.

    Args:
        points: values per float or integer parameter, at least 1; choices always give all their values.
    """

    learns: ClassVar[bool] = False

    def __init__(self, points: int) -> None:
        self.points = points
        self._space: SearchSpace | None = None
        self._passed: list[Config] = []
        self._ahead: Iterator[Config] = iter(())

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
        if space is not self._space:
            self._space, self._passed, self._ahead = space, [], space.grid(self.points)
        while len(self._passed) <= index:
            config = next(self._ahead, None)
            if config is None:
                return None
            self._passed.append(config)
        return self._passed[index]
