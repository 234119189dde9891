"""The errors of the `landslide` package; importing them costs nothing (no torch, no h5py).

::

    LandslideError (ValueError)      input that cannot be used; all problems found, together
        DatasetError                 a folder or file of patches
        SettingsError                the settings of a training run
        ModelError                   a checkpoint, an architecture or pretrained weights
    Diverged (RuntimeError)          a training run left the finite numbers: a result, not a mistake
    OutOfMemory (RuntimeError)       a training run did not fit the device: a result as well
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class LandslideError(ValueError):
    """Input that cannot be used.

    Args:
        problems: one sentence each, saying what is wrong, where, what is allowed and what to do.
        heading: the line above the list; each subclass has its own default.
    """

    default_heading = "the input cannot be used"

    def __init__(self, problems: Sequence[str] | str, heading: str | None = None) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        self.heading = heading or self.default_heading
        super().__init__(self.heading + ":\n" + "\n".join(f"  - {problem}" for problem in self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling (worker processes) with the list of problems intact."""
        return type(self), (self.problems, self.heading)


class DatasetError(LandslideError):
    """A folder or a file of patches that cannot be used; `problems` names every file concerned."""

    default_heading = "the dataset cannot be used"


class SettingsError(LandslideError):
    """Settings of a training run that cannot be used; `problems` names every setting concerned."""

    default_heading = "the training settings cannot be used"


class ModelError(LandslideError):
    """A checkpoint, an architecture or pretrained weights that cannot be used."""

    default_heading = "the model cannot be used"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, for a sentence of our own."""
    return (str(error).strip().splitlines() or ["no further message"])[0]


class Diverged(RuntimeError):
    """The loss or the weights of a training run stopped being finite numbers."""


class OutOfMemory(RuntimeError):
    """A training run did not fit into the memory of its device."""
