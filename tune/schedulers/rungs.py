"""Rungs: the epochs at which runs are compared, and the values recorded there. Decides nothing."""

from __future__ import annotations

import math
from bisect import insort


def milestones(*, grace: int, eta: float, max_epochs: int) -> tuple[int, ...]:
    """The epochs of the rungs, rising: the first whole epoch at or after grace * eta^k, below `max_epochs`.

    A run ends at `max_epochs` anyway, so there is no rung. Rungs that fall on one epoch (eta near 1) are one rung.

    Raises:
        ValueError: for a grace below 1, an eta not above 1, or max_epochs below 1.
    """
    if grace < 1 or not eta > 1 or max_epochs < 1:
        raise ValueError(
            f"rungs need grace >= 1, eta > 1 and max_epochs >= 1, not {grace}, {eta}, {max_epochs}"
        )
    found: list[int] = []
    k = 0
    while (epoch := math.ceil(grace * eta**k)) < max_epochs:
        if not found or epoch > found[-1]:
            found.append(epoch)
        k += 1
    return tuple(found)


def percentile(ordered: list[float], q: float) -> float:
    """The q-th percentile of rising values, by linear interpolation: bit for bit that of `numpy.percentile`.

    Args:
        ordered: at least one value, rising, none of them NaN.
        q: 0 to 100.
    """
    position = (len(ordered) - 1) * (q / 100)
    below = math.floor(position)
    if below >= len(ordered) - 1:
        return ordered[-1]
    low, high, part = ordered[below], ordered[below + 1], position - below
    # numpy starts from the nearer end, which decides the last bit
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part


class Rung:
    """The values recorded at one milestone, kept in order, so that a threshold costs no pass over all of them.

    Args:
        milestone: the epoch.
    """

    def __init__(self, milestone: int) -> None:
        self.milestone = milestone
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._ordered)

    def record(self, value: float) -> None:
        """A run arrived with this value, higher is better; NaN is not a value."""
        assert not math.isnan(value), "an undefined value is not recorded"
        insort(self._ordered, value)

    def percentile(self, q: float) -> float | None:
        """The q-th percentile of the recorded values; None while there are none."""
        return percentile(self._ordered, q) if self._ordered else None

    def threshold(self, eta: float) -> float | None:
        """The (1 - 1/eta) percentile: about one in `eta` values is not below it; None while there are none."""
        return self.percentile((1 - 1 / eta) * 100)
