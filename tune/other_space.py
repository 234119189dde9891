"""Why recorded configs do not lie in another space, told once per reason. Knows no store and decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search_spaces import Config, SearchSpace
from search_spaces.config import same
from search_spaces.domains import show

#: Most configs, and most values, that are named for a reason.
_MOST = 3


def outside(space: SearchSpace, configs: Sequence[Config]) -> Iterator[str]:
    """Every reason why recorded configs do not lie in a space, with how many they are and which for example.

    Args:
        space: the one that is given now ("here").
        configs: those on record ("there").
    """
    found: dict[tuple[str, str], list[Config]] = {}
    for config in configs:
        for named in _reasons(space, config):
            found.setdefault(named, []).append(config)
    for (name, reason), held in found.items():
        values = list(dict.fromkeys(show(config[name]) for config in held if name in config))
        told = f"{name}: {_some(values)} there, {reason}" if values else reason
        if len(values) == 1 and len(held) == len(configs) and name not in space.names:
            told += f"; --set {name}={values[0]} sets it"
        names = _some([config.config_id[:8] + (f" ({config.label})" * bool(config.label)) for config in held])
        yield f"space {space.name}: {told} ({len(held)} of {len(configs)} recorded configs: {names})"


def _reasons(space: SearchSpace, config: Config) -> Iterator[tuple[str, str]]:
    """Name and what is wrong with it, in words that are the same for every config; no name where it has no value."""
    listed = bool(space.configs) and not space.parameters
    problems = space.problems_with(config)
    for name, here in space.constants.items():
        if problems and not (name in config and same(config[name], here)):
            told = f"{show(here)} here"
            yield (name, told) if name in config else ("", f"{name}: not set there, {told}")
    for problem in problems:
        name = problem.partition(":")[0]
        if listed:
            yield "", problem
        elif name not in config:
            if name not in space.constants:
                yield "", problem
        elif name not in space.names:
            yield name, "not set here"
        elif name not in space.constants:
            yield name, problem.removeprefix(f"{name}: ").removeprefix(f"{config[name]!r} ")


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_MOST]) + (", ..." if texts[_MOST:] else "")
