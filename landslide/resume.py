"""The state of an unfinished run, `last.pt`: all that is needed to go on as if it had never stopped.

No generator's state is in it, because every random number is a function of seeds and epoch, and neither are
the best value and the patience counter, because they follow from the history.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from landslide.checkpoint import replace_file
from landslide.errors import ModelError
from landslide.metrics import EpochMetrics
from landslide.settings import Seeds, TrainSettings

LAST = "last.pt"
_FORMAT = 1


@dataclass(frozen=True)
class RunIdentity:
    """What makes two runs the same run: equal identities give equal bits on equal hardware.

    Attributes:
        settings: all but `epochs`, because more epochs continue the same run.
        seeds: by name.
        data_id: of the packed dataset.
        threads: CPU threads of torch, which change the order of summation.
        device: type of the device.
    """

    settings: Mapping[str, Any]
    seeds: Mapping[str, int]
    data_id: str
    threads: int
    device: str

    @classmethod
    def of(cls, settings: TrainSettings, seeds: Seeds, *, data_id: str, device: torch.device) -> RunIdentity:
        """The identity of a run that would start now in this process."""
        named = {name: value for name, value in settings.to_dict().items() if name != "epochs"}
        return cls(named, seeds.to_dict(), data_id, torch.get_num_threads(), device.type)

    def to_dict(self) -> dict[str, Any]:
        """One flat level of plain values, in a fixed order."""
        return {
            **self.settings,
            **{f"seed {name}": value for name, value in self.seeds.items()},
            "data_id": self.data_id,
            "threads": self.threads,
            "device": self.device,
        }


def save_state(
    folder: Path, parts: Mapping[str, Any], *, history: Sequence[EpochMetrics], identity: RunIdentity
) -> None:
    """Write `last.pt`; a reader sees the whole file or the one before it.

    Args:
        folder: an existing folder.
        parts: what has a `state_dict` (model, optimizer, scheduler, scaler), by name.
        history: every epoch so far, from 1.
        identity: of the run.
    """
    state = {
        "format": _FORMAT,
        "identity": identity.to_dict(),
        "history": [metrics.to_dict() for metrics in history],
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    replace_file(folder / LAST, lambda file: torch.save(state, file))


def restore_state(
    folder: Path, parts: Mapping[str, Any], *, identity: RunIdentity, device: torch.device
) -> list[EpochMetrics]:
    """Bring `parts` to where `last.pt` left them.

    Args:
        folder: may not exist.
        parts: as in `save_state`, freshly built with the same settings; changed in place.
        identity: of the run that wants to go on.
        device: where the parts live.

    Returns:
        The saved history; empty, with `parts` untouched, where there is no `last.pt` or it cannot be read (a
        `RuntimeWarning` says so: losing epochs is better than losing the run).

    Raises:
        ModelError: `last.pt` belongs to another run.
    """
    path = folder / LAST
    if not path.is_file():
        return []
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        history = [EpochMetrics(**metrics) for metrics in state["history"]]
        saved, states = state["identity"], {name: state["parts"][name] for name in parts}
    except Exception as error:  # zip, pickle and torch each have their own errors for a torn file
        warnings.warn(
            f"{path} cannot be read ({type(error).__name__}); the run starts over",
            RuntimeWarning,
            stacklevel=2,
        )
        return []
    if problems := _differences(path, saved, identity.to_dict()):
        raise ModelError(problems, heading="an unfinished run is in the way")
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return history


def _differences(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
    return [
        f"{path} was trained with {name} = {saved.get(name)!r}, this run wants {wanted.get(name)!r}; "
        f"go on with the same value, or remove {path.parent} to start over"
        for name in names
    ]
