"""Which fault hits when: drawn from a seed before anything runs. Knows no processes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

#: Kind -> how many of 30 faults, and what is done.
KINDS = {
    "worker": (9, "kill -9 of a process that trains"),
    "driver": (5, "kill -9 of the driver; the user types --resume"),
    "node": (4, "kill -9 of a raylet; another node is added a little later"),
    "s3": (5, "the bucket's server answers no request as it should for a while"),
    "driver disk": (3, "the disk of the driver takes nothing for a while"),
    "worker disk": (2, "the disk of a process that trains is full"),
    "pause": (2, "SIGSTOP of a process that trains, SIGCONT a little later"),
}


@dataclass(frozen=True)
class Planned:
    """One fault.

    Args:
        kind: key of `KINDS`.
        epochs: it is due when so many epochs are recorded.
        delay: and so many seconds later.
        lasts: seconds; 0 for what has no end.
        draw: in [0, 1): which of the possible victims, or variants.
    """

    kind: str
    epochs: int
    delay: float
    lasts: float
    draw: float


def plan(seed: int, *, faults: int, kinds: Sequence[str], epochs: int) -> list[Planned]:
    """The faults of a sweep in the order in which they are due.

    Args:
        seed: of all that is drawn.
        faults: how many.
        kinds: of them; each kind as often, in proportion, as `KINDS` says, and at least once if there are enough.
        epochs: that the whole sweep records; the last fault is due before nine tenths of them.
    """
    rng = random.Random(seed)
    deck = _deck(faults, kinds)
    rng.shuffle(deck)
    moments = sorted(rng.randint(1, max(1, int(0.9 * epochs))) for _ in deck)
    return [
        Planned(kind, moment, rng.uniform(0, 1), rng.uniform(1, 4), rng.random())
        for kind, moment in zip(deck, moments, strict=True)
    ]


def _deck(faults: int, kinds: Sequence[str]) -> list[str]:
    """So many faults, as close to the proportions as whole numbers are."""
    deck: list[str] = []
    total = sum(KINDS[kind][0] for kind in kinds)
    while len(deck) < faults:
        short = {kind: faults * KINDS[kind][0] / total - deck.count(kind) for kind in kinds}
        unseen = [kind for kind in kinds if kind not in deck]
        deck.append(unseen[0] if unseen else max(short, key=lambda kind: short[kind]))
    return deck
