"""Fixing one name of a space, as ``--set name=value`` does; the space itself is never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from search_spaces.config import Config, Value, plain
from search_spaces.domains import Choice
from search_spaces.parameters import Condition, Parameter, parents_first
from search_spaces.space import SearchSpace


def pin(space: SearchSpace, name: str, value: Value) -> SearchSpace:
    """Fix a parameter, replace a constant, or add one.

    The value may lie outside the searched range: it is the user's explicit word. A parameter with
    conditions keeps them (it is then a choice of one value), and parameters that can no longer be active
    are dropped. The fixed configs get the value wherever the name applies; those that become the same are
    joined, with their labels.

    Args:
        space: the space to start from.
        name: a parameter, a constant, or a new name.
        value: its only value from now on.

    Raises:
        SpaceError: if a fixed config would then lack a parameter that becomes active.
    """
    value = plain(value)
    constants = dict(space.constants)
    parameters = list(space.parameters)
    conditional = any(p.name == name and p.when for p in parameters)
    if conditional:
        parameters = [replace(p, domain=Choice((value,))) if p.name == name else p for p in parameters]
    else:
        parameters = [p for p in parameters if p.name != name]
        constants[name] = value
    kept = _reachable(parameters, constants)
    configs = [_pinned(config, name, value, parameters) for config in space.configs]
    return replace(space, parameters=kept, constants=constants, configs=_joined(configs))


def _reachable(parameters: Sequence[Parameter], constants: Mapping[str, Value]) -> tuple[Parameter, ...]:
    """Drop what can no longer be active, and condition values that can no longer happen."""
    kept: dict[str, Parameter] = {}
    for parameter in parents_first(parameters):
        narrowed = [_narrowed(condition, kept, constants) for condition in parameter.when]
        if all(condition is not None for condition in narrowed):
            kept[parameter.name] = replace(parameter, when=tuple(c for c in narrowed if c is not None))
    return tuple(kept[parameter.name] for parameter in parameters if parameter.name in kept)


def _narrowed(
    condition: Condition, kept: Mapping[str, Parameter], constants: Mapping[str, Value]
) -> Condition | None:
    if condition.parameter in constants:
        return condition if condition.holds(constants) else None
    if condition.parameter not in kept:
        return None
    domain = kept[condition.parameter].domain
    values = tuple(value for value in condition.values if domain.contains(value))
    return replace(condition, values=values) if values else None


def _pinned(config: Config, name: str, value: Value, parameters: Sequence[Parameter]) -> Config:
    """The fixed config with the value set where the name applies, without what is inactive because of it."""
    values = {**config, name: value}
    for parameter in parents_first(parameters):
        if parameter.name in values and not parameter.active(values):
            del values[parameter.name]
    return Config(values, config.label)


def _joined(configs: Sequence[Config]) -> tuple[Config, ...]:
    joined: dict[str, Config] = {}
    for config in configs:
        twin = joined.get(config.config_id)
        labels = [c.label for c in (twin, config) if c is not None and c.label is not None]
        joined[config.config_id] = Config(config.values, "; ".join(labels) or None)
    return tuple(joined.values())
