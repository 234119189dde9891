"""Interleaved rounds of two ways to do the same thing, and the ratio of their medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def compare(
    ways: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    amount: int,
    unit: str,
    before: Callable[[str], None] = lambda name: None,
) -> None:
    """Time each way `rounds` times, one after the other in turn, and print medians and ratios to the first.

    Args:
        ways: name -> what is timed; the first one is the alternative that ours is compared with.
        rounds: how often each is timed.
        amount: how many `unit`s one call handles.
        unit: what is counted, for the text.
        before: called with a way's name before each timing, untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            before(name)
            begun = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    first = next(iter(ways))
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        print(
            f"{name:42s} {amount / median:10.1f} {unit}/s   {1e3 * median / amount:9.3f} ms each "
            f"({1e3 * low / amount:.3f} to {1e3 * high / amount:.3f}, {rounds} rounds)   "
            f"ratio to the first {medians[first] / median:6.2f}x"
        )
