"""What of a config decides how much of a GPU's memory its training takes, and which of that a sweep can come to.

Values only: nothing is measured here, and torch is not loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Any

from landslide import PackedDataset, TrainSettings
from landslide.errors import SettingsError
from search_spaces import Config
from tune.prepare import foreseen
from tune.searchers import make_searcher
from tune.space_check import projections
from tune.sweep import Sweep

#: The settings that decide it, and of them those of which it only counts whether there is one. The loss, for one,
#: keeps a few numbers per pixel where the model keeps hundreds.
_DECIDING = ("architecture", "backbone", "batch_size", "amp", "deterministic", "ema_decay")
#: Values per numeric parameter, and of their combinations, that are looked at of a space that is not foreseen.
_POINTS, _MOST_COMBINATIONS = 9, 20_000


@dataclass(frozen=True, order=True)
class Demand:
    """A training, as far as its memory goes.

    Args:
        architecture, backbone: of its model.
        batch_size: patches per step, rounded up to 2, 3, 4, 6, 8, 12, 16, 24 and so on, so that few are measured.
        averaged: whether a second copy of the weights is kept.
        amp, deterministic: as in the settings.
        bands, patch_size: of its patches.
    """

    architecture: str
    backbone: str
    batch_size: int
    averaged: bool
    amp: bool
    deterministic: bool
    bands: int
    patch_size: int

    @classmethod
    def of(cls, settings: TrainSettings, data: PackedDataset) -> Demand:
        """That of a training with these settings on these data."""
        return cls(
            architecture=settings.architecture,
            backbone=settings.backbone,
            batch_size=_rounded_up(settings.batch_size),
            averaged=settings.ema_decay is not None,
            amp=settings.amp,
            deterministic=settings.deterministic,
            bands=data.bands,
            patch_size=data.patch_size,
        )

    def settings(self) -> TrainSettings:
        """Settings with this demand."""
        return TrainSettings(
            architecture=self.architecture,
            backbone=self.backbone,
            batch_size=self.batch_size,
            amp=self.amp,
            deterministic=self.deterministic,
            ema_decay=0.9 if self.averaged else None,
        )

    def covers(self, other: Demand) -> bool:
        """Whether this one is the other with a batch that is at least as large."""
        return {**asdict(self), "batch_size": 0} == {
            **asdict(other),
            "batch_size": 0,
        } and self.batch_size >= other.batch_size

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        more = {
            "averaged weights": self.averaged,
            "float32": not self.amp,
            "deterministic": self.deterministic,
        }
        told = ", ".join(name for name, is_so in more.items() if is_so)
        return f"{self.architecture}/{self.backbone}, batches of {self.batch_size}" + (
            f", {told}" if told else ""
        )


def demands_of(sweep: Sweep, data: PackedDataset, recorded: Sequence[Config] = ()) -> list[Demand]:
    """The demands that the sweep's configs can have, each once; those that most configs have come first.

    Where proposals depend on results, those of all that the space can propose.

    Args:
        sweep: that is to be run.
        data: its dataset.
        recorded: the configs that it has proposed already.
    """
    found: Counter[Demand] = Counter()
    for values in _values(sweep, recorded):
        named = {name: values[name] for name in _DECIDING if name in values}
        try:
            found[Demand.of(TrainSettings.from_mapping(named), data)] += 1
        except SettingsError:
            continue  # a corner of the space that no config comes to
    return [demand for demand, _ in found.most_common()]


def _values(sweep: Sweep, recorded: Sequence[Config]) -> Iterator[Any]:
    searcher = make_searcher(sweep.searcher, grid_points=sweep.grid_points)
    if searcher.learns:
        proposable = islice(projections(sweep.space, _DECIDING, points=_POINTS), _MOST_COMBINATIONS)
        return chain((config.values for config in recorded), proposable)
    return (config.values for config in foreseen(sweep, searcher, recorded))


def _rounded_up(batch_size: int) -> int:
    """The next of 2, 3, 4, 6, 8, 12 ... that is not smaller, within what settings allow."""
    rung = 2
    while rung < batch_size:
        # from a power of two to one and a half of it, from there to the next power
        rung = rung * 3 // 2 if rung & (rung - 1) == 0 else rung * 4 // 3
    return min(rung, 4096)
