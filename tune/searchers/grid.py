"""Grid search: the space's fixed configs, then every combination of its parameters, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from search_spaces import Config, SearchSpace
from tune.searchers.base import Observation


class GridSearcher:
    """Goes through `SearchSpace.grid` and proposes what was not proposed before; seed and results play no part.

    So it goes on in a space that was widened, whose grid has its old points at other places. What was passed of the
    grid is remembered, so that a sweep walks it once and not once for each suggestion.

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
        """Propose the first point of the grid that is new; None once there is none."""
        if space is not self._space:
            self._space, self._passed, self._ahead = space, [], space.grid(self.points)
        seen = {config.config_id for config in history}
        for config in self._passed:
            if config.config_id not in seen:
                return config
        for config in self._ahead:
            self._passed.append(config)
            if config.config_id not in seen:
                return config
        return None
