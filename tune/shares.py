"""Shares of a GPU: a short ladder of them, so that trials pack well and Ray can reuse their processes."""

from __future__ import annotations

#: Trials on one GPU -> their share, rounded down to what Ray can count (1/10,000).
_PARTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
SHARES = tuple(int(10_000 / parts) / 10_000 for parts in _PARTS)


def smallest_share(part: float) -> float:
    """The smallest share of the ladder that holds a part of a GPU; 1 when none does.

    Args:
        part: of its memory, above 0.
    """
    return min((share for share in SHARES if share >= part), default=1.0)


def larger_share(share: float) -> float:
    """The smallest share of the ladder that is at least a third larger; 1 at the end of the ladder.

    Args:
        share: above 0 and below 1.
    """
    return min((larger for larger in SHARES if larger >= share * 4 / 3 - 1e-3), default=1.0)
