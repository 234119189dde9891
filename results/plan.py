"""What a sweep set out to do, as far as the ranking must know it: the metric, and how many runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from results.storage.extended_sweep import EXTENSIONS


@dataclass(frozen=True)
class Plan:
    """The metric and the number of runs.

    Attributes:
        metric: a column of `epochs`.
        mode: ``max`` or ``min``: which direction of the metric is better.
        replicates: runs planned for every config; 0 = not planned. More are welcome.
        runs: runs planned for the whole sweep; None = only the configs that are known.
        final: False when `runs` is only an upper bound, because the search may still end with fewer configs.
        adaptive: the search decided itself, by the scores it saw, how many runs each config gets.
        ended: what ended the search, in words; None while it has not ended, or where nobody wrote it down.
        stop_regret: the expected regret at which an adaptive search ends by itself; None = nobody wrote it down.
        val_patches: validation patches on which every run is scored; None = nobody wrote it down.
        extensions: how often the sweep was given more to do after it had begun.
    """

    metric: str
    mode: str
    replicates: int
    runs: int | None = None
    final: bool = True
    adaptive: bool = False
    ended: str | None = None
    stop_regret: float | None = None
    val_patches: int | None = None
    extensions: int = 0

    def __post_init__(self) -> None:
        """Refuse an unknown mode with a ValueError."""
        if self.mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min', not {self.mode!r}")

    @classmethod
    def of(cls, sweep: Mapping[str, Any]) -> Plan:
        """The plan in `sweep.json`.

        ``planned_runs`` is the number of runs once the search is over. Before that, or in a sweep that never
        said it, ``configs`` times ``replicates`` bounds it from above. ``replicates`` of 0 marks a search that
        decides itself how many seeds each config gets: until it is over only runs that were started can be missing.
        """
        metric, mode, ended = str(sweep["metric"]), str(sweep["mode"]), sweep.get("ended")
        ended = str(ended) if ended else None
        extensions = len(sweep.get(EXTENSIONS) or ())
        patches = _count(((sweep.get("data") or {}).get("patches") or {}).get("val"))
        if sweep.get("replicates") == 0:
            regret, planned = sweep.get("stop_regret"), _count(sweep.get("planned_runs"))
            regret = float(regret) if isinstance(regret, (int, float)) else None
            found = cls(metric, mode, 0, planned, adaptive=True, ended=ended)
            return replace(found, stop_regret=regret, val_patches=patches, extensions=extensions)
        replicates = _count(sweep.get("replicates")) or 0
        runs, asked = _count(sweep.get("planned_runs")), _count(sweep.get("configs"))
        final = runs is not None or not asked
        if runs is None and asked:
            runs = asked * replicates or None
        found = cls(metric, mode, replicates, runs, final, ended=ended, val_patches=patches)
        return replace(found, extensions=extensions)

    @property
    def sign(self) -> int:
        """+1 when higher is better, -1 when lower is."""
        return 1 if self.mode == "max" else -1


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
