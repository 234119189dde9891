"""What a model file must hold, and everything that is wrong with one that does not.

Reads and judges only: no model is built and nothing is written here. What a good file means is the affair of
`landslide.checkpoint`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from landslide.device import is_lack_of_memory
from landslide.errors import ModelError


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """The content of a model file, checked against the contract; its tensors are on the CPU.

    Raises:
        ModelError: the file is missing, unreadable or no dict, or everything that is wrong with its values.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file; give the path of a model that training wrote")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each have their own errors
        if is_lack_of_memory(error):
            raise
        first = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}: {first}); allowed is a file of "
            f"tensors and plain Python values written by torch.save; copy it again, or save it again without "
            f"numpy scalars"
        ) from error
    if not isinstance(checkpoint, Mapping):
        names = ", ".join(_REQUIRED)
        raise ModelError(f"{path}: holds a {type(checkpoint).__name__}; allowed is a dict with {names}")
    if problems := contract_problems(checkpoint):
        raise ModelError([f"{path}: {problem}" for problem in problems])
    return checkpoint


def contract_problems(checkpoint: Mapping[str, Any]) -> list[str]:
    """Every missing key and every value that is not allowed; empty for a file that keeps the contract."""
    missing = [name for name in _REQUIRED if name not in checkpoint]
    problems = [f"lacks the keys {', '.join(missing)}; allowed is a file with all of them"] if missing else []
    for name, (allowed, fits) in {**_REQUIRED, **_OPTIONAL}.items():
        if name in checkpoint and not fits(checkpoint[name]):
            problems.append(f"key {name!r} {_shown(checkpoint[name])}; allowed is {allowed}")
    return problems or list(_normalisation_problems(checkpoint["normalization"], checkpoint["in_channels"]))


def _normalisation_problems(scale: Mapping[str, Any], bands: int) -> Iterator[str]:
    for name in ("means", "stds"):
        values = scale.get(name)
        if isinstance(values, torch.Tensor):
            values = values.tolist()
        if not isinstance(values, list | tuple) or not all(_is_number(value) for value in values):
            yield f"key 'normalization' has {name} {values!r}; allowed is a list of finite numbers"
        elif len(values) != bands:
            yield f"key 'normalization' has {len(values)} {name}; allowed is one for each of {bands} bands"
        elif name == "stds" and min(values) <= 0:
            yield f"key 'normalization' has stds of {min(values)!r}; allowed are numbers above 0"


def _shown(value: Any) -> str:
    short = isinstance(value, bool | int | float | str) and len(repr(value)) < 100
    return f"holds a {type(value).__name__}" + (f", {value!r}" if short else "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_named(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return isinstance(value, Mapping) and all(isinstance(k, str) and fits(v) for k, v in value.items())

    return check


_NAMED_VALUES = ("a dict with texts as keys", _is_named(lambda value: True))
_NAMED_NUMBERS = ("a dict of finite numbers by name", _is_named(_is_number))
_TEXT = ("a text", _is_text)
_COUNT = ("a whole number of at least 1", _is_count)

#: Keys of the contract: what is allowed, in words and as a function of the value.
_REQUIRED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "model_state_dict": ("a dict of tensors by name", _is_named(lambda v: isinstance(v, torch.Tensor))),
    "encoder_name": _TEXT,
    "in_channels": _COUNT,
    "model_version": _TEXT,
    "patch_size": _COUNT,
    "normalization": _NAMED_VALUES,
    "metrics": _NAMED_NUMBERS,
    "dataset": ("a text", lambda value: isinstance(value, str)),
    "training_epochs": ("a whole number", lambda value: value == 0 or _is_count(value)),
}
#: Keys that our own files have beside them.
_OPTIONAL: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "arch": _TEXT,
    "threshold": ("a number between 0 and 1", lambda value: _is_number(value) and 0 < value < 1),
    "data_id": ("a text or None", lambda value: value is None or isinstance(value, str)),
    "config": _NAMED_VALUES,
    "seeds": _NAMED_NUMBERS,
    "versions": ("a dict of texts by name", _is_named(lambda value: isinstance(value, str))),
}
