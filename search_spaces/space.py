"""What may be tried: `SearchSpace`, with drawing, gridding, counting and judging configs.

Randomness comes in as an explicit generator. Files, metrics and how trials run are unknown here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from search_spaces.config import Config, Value, Values, canonical_json, digest, same
from search_spaces.domains import show
from search_spaces.errors import SpaceError, allowed
from search_spaces.parameters import NAME, NAME_RULE, Parameter, declaration_problems, parents_first

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SearchSpace:
    """Searched parameters, constants and fixed configs, checked when it is made.

    A config of the space holds every constant and every *active* parameter; a parameter whose conditions do
    not hold is absent. Fixed configs get the constants added. Where the space has parameters, the fixed
    configs must lie among what the parameters allow; without parameters they are the whole space.

    Args:
        name: what the space is called.
        parameters: searched parameters, in the order in which they are shown and gridded.
        constants: name to the value that every config has.
        configs: configs to run as they are, before anything is searched.
        description: for the reader of `space show`; no part of the identity.

    Raises:
        SpaceError: with every problem found.
    """

    name: str
    parameters: Sequence[Parameter] = ()
    constants: Mapping[str, Value] = field(default_factory=dict)
    configs: Sequence[Config] = ()
    description: str = ""

    def __post_init__(self) -> None:
        declared = tuple(self.configs)
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "constants", Values(self.constants))
        problems = declaration_problems(self.parameters, self.constants)
        if not problems:
            merged = [Config({**self.constants, **config}, config.label) for config in declared]
            object.__setattr__(self, "configs", tuple(merged))
            problems = self._config_problems(declared)
        if not (self.parameters or self.constants or declared):
            problems.append("parameters: the space is empty; declare parameters, constants or configs")
        if problems:
            raise SpaceError(problems, f"the search space {self.name!r} is not valid")

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a config of this space may have: constants, parameters, names in fixed configs."""
        listed = [name for config in self.configs for name in config]
        return tuple(dict.fromkeys([*self.constants, *(p.name for p in self.parameters), *listed]))

    @cached_property
    def space_id(self) -> str:
        """First 10 hexadecimal digits of the SHA-256 of what is searched, in order; not of the wording."""
        # A reordered space is another one, because a grid runs in the declared order.
        when = [[[c.parameter, c.values] for c in p.when] for p in self.parameters]
        searched = [[p.name, p.domain.to_dict(), w] for p, w in zip(self.parameters, when, strict=True)]
        return digest(canonical_json([searched, dict(self.constants), [dict(c) for c in self.configs]]))

    def sample(self, rng: np.random.Generator) -> Config:
        """Draw one config from the parameters.

        Each parameter has a stream of its own, keyed by one draw from `rng` and the SHA-256 of its name. So
        the value of a parameter does not depend on the order of declaration or on which other parameters
        there are: adding one to a space leaves the others' values at the same seed as they were.

        Args:
            rng: advanced by exactly one draw.

        Raises:
            SpaceError: if the space is a list of fixed configs, without parameters.
        """
        if self.configs and not self.parameters:
            raise SpaceError(
                f"parameters: {self.name!r} has none to draw; its {len(self.configs)} configs are fixed"
            )
        from numpy.random import PCG64, Generator, SeedSequence

        draw = int(rng.integers(0, 2**63))

        def drawn(parameter: Parameter) -> Value:
            key = hashlib.sha256(parameter.name.encode("utf-8")).digest()
            words = [int.from_bytes(key[start : start + 4], "little") for start in (0, 4, 8, 12)]
            return parameter.domain.sample(Generator(PCG64(SeedSequence(draw, spawn_key=words))))

        return self.choose(drawn)

    def choose(self, pick: Callable[[Parameter], Value]) -> Config:
        """The config whose active parameters have the values that `pick` gives, asked parents first."""
        chosen = dict(self.constants)
        for parameter in self._ordered:
            if parameter.active(chosen):
                chosen[parameter.name] = pick(parameter)
        return self._config(chosen)

    def grid(self, points: int) -> Iterator[Config]:
        """The fixed configs, then every combination of the parameters' grids; no config twice.

        Args:
            points: values per float or integer domain; a choice always gives all its values. Parameters go
            from
                slowest to fastest in declared order, parents before those that depend on them.
        """
        yield from self.configs
        if self.configs and not self.parameters:
            return
        listed = {config.config_id for config in self.configs}
        grids = {p.name: tuple(p.domain.grid(points)) for p in self.parameters}
        for chosen in self._combinations(self._ordered, grids, dict(self.constants)):
            config = self._config(chosen)
            if config.config_id not in listed:
                yield config

    def size(self, points: int) -> int:
        """How many configs `grid(points)` gives, counted without making them."""
        if self.configs and not self.parameters:
            return len(self.configs)
        grids = {p.name: tuple(p.domain.grid(points)) for p in self.parameters}
        on_grid = sum(
            all(any(same(config[name], v) for v in grid) for name, grid in grids.items() if name in config)
            for config in self.configs
        )
        return int(self._count(lambda p: len(grids[p.name]))) + len(self.configs) - on_grid

    @cached_property
    def cardinality(self) -> float:
        """How many different configs there are; infinity as soon as a float can be active."""
        if self.configs and not self.parameters:
            return len(self.configs)
        return self._count(lambda parameter: parameter.domain.cardinality)

    def problems_with(self, config: Config | Mapping[str, Value]) -> list[str]:
        """Say everything that keeps a config from lying in this space; nothing when it does."""
        if not isinstance(config, Config):
            config = Config(config)
        if self.configs and not self.parameters:
            listed = any(config.values == other.values for other in self.configs)
            return [] if listed else [f"is not one of the {len(self.configs)} fixed configs of {self.name!r}"]
        problems = [
            f"{name}: is the constant {show(value)} in this space; set it to that or leave the space"
            for name, value in self.constants.items()
            if name not in config or not same(config[name], value)
        ]
        known = {*self.constants, *(parameter.name for parameter in self.parameters)}
        problems += [
            f"{name}: is not a parameter; {allowed(name, known)}" for name in config if name not in known
        ]
        return problems + [text for p in self.parameters if (text := _parameter_problem(p, config))]

    def contains(self, config: Config | Mapping[str, Value]) -> bool:
        """Whether a config lies in this space."""
        return not self.problems_with(config)

    def to_dict(self) -> dict[str, object]:
        """The whole space as nested dicts and lists of plain values; `space_from_mapping` reads it back."""
        parameters = {}
        for parameter in self.parameters:
            when = {condition.parameter: list(condition.values) for condition in parameter.when}
            parameters[parameter.name] = {**parameter.domain.to_dict(), **({"when": when} if when else {})}
        return {
            "space": self.name,
            "description": self.description,
            "constants": dict(self.constants),
            "parameters": parameters,
            "configs": [{"label": config.label, "values": dict(config)} for config in self.configs],
        }

    def pin(self, name: str, value: Value) -> SearchSpace:
        """The same space with one name fixed: see `search_spaces.pin.pin`."""
        from search_spaces.pin import pin

        return pin(self, name, value)

    @cached_property
    def _ordered(self) -> tuple[Parameter, ...]:
        return parents_first(self.parameters)

    def _config(self, chosen: Mapping[str, Value]) -> Config:
        searched = {p.name: chosen[p.name] for p in self.parameters if p.name in chosen}
        return Config({**self.constants, **searched})

    def _combinations(
        self, ordered: Sequence[Parameter], grids: Mapping[str, Sequence[Value]], chosen: dict[str, Value]
    ) -> Iterator[dict[str, Value]]:
        if not ordered:
            yield chosen
            return
        parameter, rest = ordered[0], ordered[1:]
        if not parameter.active(chosen):
            yield from self._combinations(rest, grids, chosen)
            return
        for value in grids[parameter.name]:
            yield from self._combinations(rest, grids, {**chosen, parameter.name: value})

    def _count(self, width: Callable[[Parameter], float]) -> float:
        """Count combinations: parents (all choices) are enumerated, the widths of the others multiplied."""
        parents = {condition.parameter for p in self.parameters for condition in p.when}
        branching = [p for p in self._ordered if p.name in parents]
        leaves = [p for p in self._ordered if p.name not in parents]
        grids = {p.name: tuple(p.domain.grid(1)) for p in branching}
        return sum(
            math.prod(width(leaf) for leaf in leaves if leaf.active(chosen))
            for chosen in self._combinations(branching, grids, dict(self.constants))
        )

    def _config_problems(self, declared: Sequence[Config]) -> list[str]:
        problems: list[str] = []
        first: dict[str, int] = {}
        for index, config in enumerate(self.configs):
            where = f"configs[{index}]"
            for name, value in declared[index].items():
                if not NAME.fullmatch(name):
                    problems.append(f"{where}.values.{name}: is not a name; {NAME_RULE}")
                elif name in self.constants and not same(self.constants[name], value):
                    constant = show(self.constants[name])
                    problems.append(
                        f"{where}.values.{name}: is {show(value)}, but a constant says {constant}"
                    )
            if self.parameters:
                known = Config({**config.values, **self.constants})
                problems += [f"{where}.values.{problem}" for problem in self.problems_with(known)]
            if config.config_id in first:
                twin = first[config.config_id]
                problems.append(f"{where}: the same values as configs[{twin}]; keep one, with a joint label")
            first.setdefault(config.config_id, index)
        return problems


def _parameter_problem(parameter: Parameter, config: Config) -> str | None:
    if not parameter.active(config.values):
        if parameter.name not in config:
            return None
        return f"{parameter.name}: applies only where {parameter.describe_when()}; leave it out"
    if parameter.name not in config:
        return f"{parameter.name}: is missing; allowed: {parameter.domain.describe()}"
    if not parameter.domain.contains(config[parameter.name]):
        value = config[parameter.name]
        return f"{parameter.name}: {value!r} is outside; allowed: {parameter.domain.describe()}"
    return None
