"""How large a sweep that is disturbed is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How much is trained.

    Args:
        configs: of the smoke space.
        seeds: each on so many.
        epochs: of a run.
        patches: of the synthetic dataset.
    """

    configs: int
    seeds: int
    epochs: int
    patches: int

    @property
    def trials(self) -> int:
        """Runs of the sweep."""
        return self.configs * self.seeds
