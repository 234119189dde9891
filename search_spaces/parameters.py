"""A named domain and when it applies: `Condition`, `Parameter`, and whether a set of them fits.

Problems are returned as sentences that start with a key path; the caller knows the file. Nothing is drawn
here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from search_spaces.config import Value, same
from search_spaces.domains import Choice, Domain, distinct_values, show
from search_spaces.errors import SpaceError, allowed

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NAME_RULE = "allowed: letters, digits, underscores, no digit first"


@dataclass(frozen=True)
class Condition:
    """Holds where another parameter is active and has one of the given values.

    Args:
        parameter: the other parameter, or a constant of the space.
        values: the values under which the condition holds.
    """

    parameter: str
    values: Sequence[Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", distinct_values(self.values, self.parameter))

    def describe(self) -> str:
        """The condition in words."""
        return f"{self.parameter} is {' or '.join(show(value) for value in self.values)}"

    def holds(self, chosen: Mapping[str, Value]) -> bool:
        """Whether the condition holds given the chosen values; an absent (inactive) parent means no."""
        return self.parameter in chosen and any(same(chosen[self.parameter], value) for value in self.values)


@dataclass(frozen=True)
class Parameter:
    """A named domain, searched where all its conditions hold.

    Args:
        name: letters, digits and underscores.
        domain: what the parameter may be.
        when: conditions that must *all* hold; without any, the parameter is always active.
    """

    name: str
    domain: Domain
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SpaceError(f"{self.name}: is not a name; {NAME_RULE}")

    def describe_when(self) -> str:
        """The conditions in words; empty without any."""
        return " and ".join(condition.describe() for condition in self.when)

    def active(self, chosen: Mapping[str, Value]) -> bool:
        """Whether the parameter is searched, given the values chosen for its parents."""
        return all(condition.holds(chosen) for condition in self.when)


def parents_first(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Order parameters so that each follows those its conditions name; otherwise the declared order is kept.

    Raises:
        SpaceError: naming each parameter that waits for itself in the end.
    """
    waiting = list(parameters)
    ordered: list[Parameter] = []
    while waiting:
        unplaced = {parameter.name for parameter in waiting}
        ready = next((p for p in waiting if not unplaced & {c.parameter for c in p.when}), None)
        if ready is None:
            raise SpaceError(_cycles(waiting))
        ordered.append(ready)
        waiting.remove(ready)
    return tuple(ordered)


def _cycles(waiting: Sequence[Parameter]) -> list[str]:
    unplaced = {parameter.name: parameter for parameter in waiting}
    reported: set[str] = set()
    problems = []
    for start in unplaced:
        path = [start]
        while path[-1] not in path[:-1]:
            path.append(next(c.parameter for c in unplaced[path[-1]].when if c.parameter in unplaced))
        circle = path[path.index(path[-1]) :]
        if not reported & set(circle):
            reported |= set(circle)
            chain = " waits for ".join(circle)
            problems.append(f"parameters.{circle[0]}.when: {chain}; remove one of these conditions")
    return problems


def declaration_problems(
    parameters: Sequence[Parameter], constants: Mapping[str, Value], unread: Collection[str] = ()
) -> list[str]:
    """Everything that is wrong between parameters, their conditions and the constants.

    Args:
        parameters: all that could be read.
        constants: name to fixed value.
        unread: names that were declared but could not be read; conditions on them are not judged.

    Returns:
        Sentences that start with a key path such as ``parameters.max_pos_weight.when.loss``.
    """
    domains = {parameter.name: parameter.domain for parameter in parameters}
    problems = []
    if len(domains) < len(parameters):
        names = [parameter.name for parameter in parameters]
        problems += [f"parameters.{n}: is declared twice; remove one" for n in domains if names.count(n) > 1]
    for name in domains:
        if name in constants:
            problems.append(f"parameters.{name}: is a constant too; keep one of the two")
    for name in constants:
        if not NAME.fullmatch(name):
            problems.append(f"constants.{name}: is not a name; {NAME_RULE}")
    for parameter in parameters:
        for condition in parameter.when:
            if condition.parameter not in unread:
                where = f"parameters.{parameter.name}.when.{condition.parameter}"
                problems += [
                    f"{where}: {text}" for text in _condition_problems(condition, domains, constants)
                ]
    if not problems:
        try:
            parents_first(parameters)
        except SpaceError as error:
            problems += error.problems
    return problems


def _condition_problems(
    condition: Condition, domains: Mapping[str, Domain], constants: Mapping[str, Value]
) -> list[str]:
    parent = condition.parameter
    listed = ", ".join(show(value) for value in condition.values)
    if parent in constants:
        # A constant may be compared with more values than its own: the same condition then survives a pin.
        if any(same(constants[parent], value) for value in condition.values):
            return []
        held = show(constants[parent])
        return [f"{listed} never happens, because {parent} is the constant {held}; remove this parameter"]
    if parent not in domains:
        return [f"there is no parameter {parent!r}; {allowed(parent, [*domains, *constants])}"]
    domain = domains[parent]
    if not isinstance(domain, Choice):
        return [f"{parent} is not a choice; allowed: a condition on a choice or a constant"]
    return [
        f"{show(value)} is not a value of {parent}; {allowed(show(value), [show(v) for v in domain.values])}"
        for value in condition.values
        if not domain.contains(value)
    ]
