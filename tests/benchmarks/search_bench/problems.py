"""What a search problem of the benchmark is, wherever its curves come from. The truth in it is for scoring only."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Problem(Protocol):
    """Configs with learning curves that repeat, and their true scores, which no strategy sees.

    Attributes:
        configs: how many; numbers from 0, in the order in which a searcher proposes them.
        max_epochs: epochs of the longest run.
        usual_epochs: epochs of an unstopped run on average; a budget of b is ``b * configs * usual_epochs`` epochs.
        replicates: how many there are of each config; None = as many as are asked for.
        truth: (configs,) mean score over seeds, higher is better.
    """

    configs: int
    max_epochs: int
    usual_epochs: float
    replicates: int | None

    @property
    def truth(self) -> Floats: ...

    def curve(self, config: int, replicate: int) -> Floats:
        """The metric after each epoch until the run ends by itself; NaN from an epoch on = it diverges there."""
        ...


def budget_epochs(problem: Problem, factor: float) -> int:
    """Epochs of a budget that is given as a multiple of one unstopped run per config."""
    return max(1, round(factor * problem.configs * problem.usual_epochs))
