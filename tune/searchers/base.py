"""The contract of a searcher: `Searcher`. It proposes configs; it neither runs nor judges them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from search_spaces import Config, SearchSpace


class Searcher(Protocol):
    """Proposes the configs of a sweep, one after the other.

    Suggestion `index` is a pure function of the arguments of `suggest`: a searcher keeps no state between
    calls and touches no global generator. So a resumed sweep that passes what was suggested before is given
    what an uninterrupted one would have been given.
    """

    def suggest(
        self, index: int, history: Sequence[Config], *, space: SearchSpace, seed: int
    ) -> Config | None:
        """Propose one config that was not proposed before.

        Args:
            index: which suggestion this is, counted from 0.
            history: suggestions 0 to ``index - 1``, in order.
            space: what may be tried; the suggestion lies within it.
            seed: the sweep's seed, in [0, 2^63).

        Returns:
            The config, or None once there is nothing left to propose.

        Raises:
            SweepError: if the searcher cannot search this space at all.
        """
        ...
