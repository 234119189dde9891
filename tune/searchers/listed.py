"""Runs a space's fixed configs and nothing else, even where the space has parameters too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from search_spaces import Config, SearchSpace
from tune.errors import SweepError
from tune.searchers.base import Observation


class ListedSearcher:
    """Goes through the fixed configs in their order and skips those proposed before; seed and results play no part."""

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
        """Propose the first fixed config that is new; None once there is none.

        Raises:
            SweepError: if the space has no fixed configs.
        """
        if not space.configs:
            raise SweepError(
                f"searcher: 'listed' runs fixed configs, but space {space.name!r} has none; "
                "add `configs` to the space or use --searcher random"
            )
        seen = {config.config_id for config in history}
        return next((config for config in space.configs if config.config_id not in seen), None)
