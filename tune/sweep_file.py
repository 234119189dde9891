"""From what a user gives (a space or a sweep file, options, pinned values) to a `Sweep`. All problems at once.

The only place where a declared sweep is still a nested dict. A sweep file is YAML with the key `sweep`::

    sweep: first-try
    space: unet            # a shipped name, a path relative to this file, or the space itself
    data: ../data          # optional, relative to this file
    configs: 12            # any option of `Sweep`; `auto` is a word for seeds and for gpus_per_trial
    set: {patience: 10}    # values fixed for every config
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search_spaces import (
    SearchSpace,
    SpaceError,
    load_space,
    read_scalar,
    read_yaml,
    shipped_spaces,
    space_from_mapping,
)
from search_spaces.errors import allowed
from tune.dataset import DataDir, data_place
from tune.errors import SweepError
from tune.recorded_sweep import recorded_sweep
from tune.sweep import OPTIONS, USED_BY, Sweep, usual_options

_OWN_KEYS = {"sweep", "space", "data", "set"}

#: an option's declared type -> what a value must be (never a bool), and that in words.
_KINDS: dict[str, tuple[Any, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
    "int | None": (int | None, "a whole number"),
    "float | str": (int | float | str, "a number or auto"),
}


@dataclass(frozen=True)
class Declaration:
    """A sweep as given, before it is checked as a whole.

    Args:
        space: the space, with the pinned values in place.
        data_dir: where the dataset is, if a place was named.
        options: options of `Sweep` by name.
    """

    space: SearchSpace
    data_dir: DataDir | None
    options: Mapping[str, Any]


def declare(
    target: str, *, data_dir: DataDir | None = None, options: Mapping[str, Any], pins: Mapping[str, Any]
) -> Sweep:
    """The sweep that `target` and the options describe, checked by itself.

    Args:
        target: a shipped space, a space file or a sweep file.
        data_dir: the dataset's folder or URL; wins over the file's.
        options: options of `Sweep`; they win over the file's. None means not given.
        pins: values fixed for every config (`--set`); they win over the file's.

    Raises:
        SpaceError: the space or the file cannot be read as one.
        SweepError: with every problem of the declaration.
    """
    declared = _read(target)
    given = {**declared.options, **{name: value for name, value in options.items() if value is not None}}
    if given.get("seeds") == "auto":
        del given["seeds"]
    space = declared.space
    for name, value in pins.items():
        space = space.pin(name, value)
    folder = data_dir or declared.data_dir
    problems = [] if folder else ["data: no dataset is named; give --data DIR, or `data:` in the sweep file"]
    if folder:
        try:
            data_place(folder)
        except SweepError as error:
            problems += error.problems
    problems += [*_searched_epochs(space), *_wrong_types(given)]
    if problems:
        raise SweepError(problems)
    if "configs" not in given and space.configs and not space.parameters:
        given["configs"] = len(space.configs)
    sweep = Sweep(space=space, data_dir=data_place(folder or "."), **given)
    if problems := [*sweep.problems(), *_late_grace(sweep, given)]:
        raise SweepError(problems)
    return sweep


def declare_again(
    stored: Mapping[str, Any],
    *,
    target: str | None = None,
    data_dir: DataDir | None = None,
    options: Mapping[str, Any],
    pins: Mapping[str, Any],
) -> Sweep:
    """The sweep that goes on in a run directory: what is recorded there, with what is given now.

    Args:
        stored: content of its `sweep.json`.
        target: a shipped space, a space file or a sweep file, in place of the recorded space; None = that.
        data_dir: the dataset's folder or URL; wins over the file's, and that over the recorded one.
        options: options of `Sweep`; they win over the file's, and those over the recorded ones. None = not given.
        pins: values fixed for every config; they win over the file's.

    Raises:
        StoreError: what is recorded cannot be declared again.
        SpaceError, SweepError: as `declare`.
    """
    recorded = recorded_sweep(stored)
    declared = _read(target) if target is not None else Declaration(recorded.space, None, {})
    given = {**declared.options, **{name: value for name, value in options.items() if value is not None}}
    if given.get("seeds") == "auto":
        given["seeds"] = None
    space = declared.space
    for name, value in pins.items():
        space = space.pin(name, value)
    if problems := [*_searched_epochs(space), *_wrong_types(given)]:
        raise SweepError(problems)
    if "configs" not in given and space.configs and not space.parameters:
        given["configs"] = max(recorded.configs, len(space.configs))
    place = data_place(data_dir or declared.data_dir or recorded.data_dir)
    if (policy := given.get("policy", recorded.policy)) != recorded.policy:
        given = {**usual_options(policy), **given}
    sweep = replace(recorded, space=space, data_dir=place, **given)
    if problems := [*sweep.problems(), *_late_grace(sweep, given)]:
        raise SweepError(problems)
    return sweep


def parse_pins(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` pairs with YAML values (`patience=5`, `lr=1e-3`, `encoder_weights=null`).

    Raises:
        SweepError: with every pair that is not one.
    """
    wrong = [pair for pair in pairs if "=" not in pair or not pair.split("=")[0].strip()]
    if wrong:
        raise SweepError(
            [f"--set {pair}: not a pair; write name=value, for example patience=5" for pair in wrong]
        )
    return {name.strip(): read_scalar(text) for name, text in (pair.split("=", 1) for pair in pairs)}


def _read(target: str) -> Declaration:
    path = Path(target)
    if target in shipped_spaces() or not path.is_file():
        return Declaration(load_space(target), None, {})
    document = read_yaml(path)
    if "sweep" not in document.content:
        return Declaration(load_space(target), None, {})
    problems = [*document.problems, *_unknown_keys(document.content)]
    if "space" not in document.content:
        problems.append("space: missing; a shipped name, a path, or the space itself")
    if problems:
        raise SweepError([f"{path}: {problem}" for problem in problems])
    return _declaration(path, document.content)


def _declaration(path: Path, content: Mapping[str, Any]) -> Declaration:
    space = _space(path, content["space"])
    pins = content.get("set") or {}
    if not isinstance(pins, Mapping):
        raise SweepError(f"{path}: set: {pins!r} is not a mapping; write `set: {{patience: 10}}`")
    for name, value in pins.items():
        space = space.pin(name, value)
    data = content.get("data")
    options = {name: value for name, value in content.items() if name not in _OWN_KEYS}
    options["name"] = str(content["sweep"])
    return Declaration(space, _beside(path, str(data)) if data else None, options)


def _beside(path: Path, data: str) -> DataDir:
    """A URL as it is; a folder as seen from the sweep file."""
    return data if "://" in data else path.parent / data


def _space(path: Path, declared: Any) -> SearchSpace:
    if isinstance(declared, Mapping):
        return space_from_mapping(declared, source=f"{path}, space")
    name = str(declared)
    if name in shipped_spaces():
        return load_space(name)
    try:
        return load_space(path.parent / name)
    except SpaceError as error:
        raise SweepError([f"{path}: space: {problem}" for problem in error.problems]) from error


def _unknown_keys(content: Mapping[str, Any]) -> list[str]:
    known = {*OPTIONS, *_OWN_KEYS} - {"name"}
    return [f"{key}: not an option of a sweep; {allowed(key, known)}" for key in content if key not in known]


def _searched_epochs(space: SearchSpace) -> list[str]:
    if "epochs" in space.names or "epochs" in space.constants:
        return ["epochs: every config trains for the same number of epochs; use --max-epochs"]
    return []


def _late_grace(sweep: Sweep, given: Mapping[str, Any]) -> list[str]:
    """A grace that somebody asked for and that no run outlives; the default one may be as long as short runs."""
    late = 1 <= sweep.max_epochs <= sweep.grace and sweep.policy in USED_BY["grace"]
    if not late or "grace" not in given:
        return []
    return [
        f"grace: {sweep.grace} is not below the {sweep.max_epochs} max epochs, so no run could ever be stopped; lower "
        "--grace, or leave it out and use --policy fixed-repeats"
    ]


def _wrong_types(options: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in options.items():
        kind, what = _KINDS[OPTIONS[name]]
        if isinstance(value, bool) or not isinstance(value, kind):
            found.append(f"{name}: {value!r} is not {what}{' or auto' if name == 'seeds' else ''}")
    return found
