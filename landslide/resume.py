"""The state of an unfinished run, `last.pt`: all that is needed to go on as if it had never stopped.

No generator's state is in it, because every random number is a function of seeds and epoch, and neither are
the best value and the patience counter, because they follow from the history.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from landslide.checkpoint import library_versions, replace_file
from landslide.device import is_lack_of_memory
from landslide.errors import ModelError
from landslide.metrics import EpochMetrics
from landslide.settings import ENDING_SCHEDULERS, Seeds, TrainSettings

LAST = "last.pt"
_FORMAT = 2
#: What torch raises for a file that ends too early or was overwritten in part.
_TORN = (
    pickle.UnpicklingError, EOFError, RuntimeError, KeyError, IndexError, ValueError, TypeError, AttributeError
)  # fmt: skip


@dataclass(frozen=True)
class RunIdentity:
    """What makes two runs the same run: equal identities give equal bits on equal hardware.

    Attributes:
        settings: all but `epochs`, because more epochs continue the same run; with one of
            `ENDING_SCHEDULERS` that too, because the learning rate of each epoch depends on it.
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
        named = settings.to_dict()
        if settings.scheduler not in ENDING_SCHEDULERS:
            del named["epochs"]
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
        "versions": library_versions(),
        "history": [metrics.to_dict() for metrics in history],
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    replace_file(folder / LAST, lambda file: torch.save(state, file))


def restore_state(
    folder: Path, parts: Mapping[str, Any], *, identity: RunIdentity, epochs: int
) -> list[EpochMetrics]:
    """Bring `parts` to where `last.pt` left them.

    Args:
        folder: may not exist.
        parts: as in `save_state`, freshly built with the same settings; changed in place.
        identity: of the run that wants to go on.
        epochs: how many the run may have at most.

    Returns:
        The saved history. It is empty, with `parts` untouched, where there is no `last.pt`, or where it is
        torn: then the file is renamed to `last.pt.unreadable`, and a `RuntimeWarning` says so, because losing
        epochs is better than losing the run.

    Raises:
        ModelError: `last.pt` belongs to another run, has more epochs than this one, or was written by
            another version of this project.
        OSError: the file is there but the disk does not give it; nothing is renamed.
    """
    path = folder / LAST
    state = _read(path)
    if state is None:
        return []
    problems = _differences(path, state.identity, identity.to_dict())
    if len(state.history) > epochs:
        problems.append(
            f"{path} has {len(state.history)} epochs, this run may have {epochs}; "
            f"ask for at least as many, or remove {folder} to start over"
        )
    if problems:
        raise ModelError(problems, heading="an unfinished run is in the way")
    _warn_of_versions(path, state.versions)
    try:
        for name, part in parts.items():
            part.load_state_dict(state.parts[name])
    except (RuntimeError, ValueError, KeyError) as error:
        if is_lack_of_memory(error):
            raise
        first = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"{path} does not fit the run that its settings describe ({type(error).__name__}: {first}), "
            f"perhaps because a library was updated; remove {folder} to start over"
        ) from error
    return state.history


def saved_epochs(folder: Path) -> int:
    """How many epochs the `last.pt` in a folder holds; 0 where there is none, or none that can be read.

    Its weights stay on the disk, so this takes milliseconds.
    """
    return len(_glance(folder).get("history", ()))


def saved_identity(folder: Path) -> Mapping[str, Any]:
    """What makes the run of the `last.pt` in a folder what it is, as `RunIdentity.to_dict`; empty where there is none.

    It takes milliseconds, too.
    """
    return dict(_glance(folder).get("identity", {}))


def _glance(folder: Path) -> Mapping[str, Any]:
    """The content of a `last.pt`; empty where there is none, or none that can be read."""
    try:
        return dict(torch.load(folder / LAST, map_location="cpu", weights_only=True, mmap=True))
    except (OSError, *_TORN):
        return {}


@dataclass(frozen=True)
class _State:
    """The content of a `last.pt`."""

    identity: Mapping[str, Any]
    versions: Mapping[str, str]
    history: list[EpochMetrics]
    parts: Mapping[str, Any]


def _read(path: Path) -> _State | None:
    """The content of a state; None where there is no file, or a torn one, which is renamed."""
    try:
        # The bytes first: what goes wrong here is the disk's or the permissions', not the file's content.
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        # On the CPU first, because the device holds the model already.
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        found = state["format"]
        if found == _FORMAT:
            history = [EpochMetrics(**metrics) for metrics in state["history"]]
            return _State(state["identity"], state["versions"], history, state["parts"])
    except _TORN as error:
        if is_lack_of_memory(error):
            raise
        aside = path.with_name(path.name + ".unreadable")
        os.replace(path, aside)
        warnings.warn(
            f"{path} cannot be read ({type(error).__name__}) and is now {aside.name}; the run starts over",
            RuntimeWarning,
            stacklevel=4,
        )
        return None
    raise ModelError(
        f"{path} has format {found!r}, this version reads {_FORMAT}; go on with the version that "
        f"wrote it, or remove {path.parent} to start over"
    )


def _warn_of_versions(path: Path, saved: Mapping[str, str]) -> None:
    now = library_versions()
    changed = [name for name in {**saved, **now} if saved.get(name) != now.get(name)]
    if changed:
        told = ", ".join(f"{name} {saved.get(name)} -> {now.get(name)}" for name in changed)
        warnings.warn(
            f"{path} was written with other versions ({told}); the rest of the run may have other bits than "
            f"an uninterrupted one",
            RuntimeWarning,
            stacklevel=4,
        )


def _differences(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
    return [
        f"{path} was trained with {name} = {saved.get(name)!r}, this run wants {wanted.get(name)!r}; "
        f"go on with the same value, or remove {path.parent} to start over"
        for name in names
    ]
