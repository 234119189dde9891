"""Declared spaces to `SearchSpace`: the only place where a space is still nested dicts.

Every error names the file, the line where one is known, the key path, the value and what is allowed; all
problems of a file are reported together. What makes a domain or a condition valid is decided in `domains`
and `parameters`, not here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from search_spaces.config import Config, Values
from search_spaces.domains import DOMAINS, Domain
from search_spaces.errors import SpaceError, allowed
from search_spaces.parameters import Condition, Parameter, declaration_problems
from search_spaces.read_yaml import read_yaml
from search_spaces.space import SearchSpace

TOP_KEYS = ("space", "description", "constants", "parameters", "configs")
DOMAIN_KEYS = {"float": ("low", "high", "log"), "int": ("low", "high", "log"), "choice": ("values",)}
OPTIONAL = "log"

Made = TypeVar("Made")


def shipped_spaces() -> tuple[str, ...]:
    """The names of the spaces that come with the package, sorted."""
    entries = (entry.name for entry in files("search_spaces").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml")))


def load_space(name_or_path: str | os.PathLike[str]) -> SearchSpace:
    """Load a shipped space by its name, or any space by the path of its YAML file.

    Args:
        name_or_path: a name without suffix and folder means a shipped space; anything else is a path.

    Raises:
        SpaceError: if there is no such name or file, or the file is not a valid space.
    """
    text = os.fspath(name_or_path)
    if text in shipped_spaces():
        return _load_file(Path(str(files("search_spaces") / f"{text}.yaml")), source=f"{text}.yaml")
    path = Path(text)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is no such file"
        names = allowed(path.stem, shipped_spaces()).replace("allowed:", "shipped spaces:")
        problem = f"{text}: {what} (looked at {path.absolute()}), nor is it a shipped space; {names}"
        raise SpaceError(problem, f"no search space {text!r}")
    return _load_file(path, source=text)


def space_from_mapping(mapping: Mapping[str, object], source: str) -> SearchSpace:
    """Make a space from the nested form that `SearchSpace.to_dict` gives.

    Args:
        mapping: keys ``space``, and optionally ``description``, ``constants``, ``parameters``, ``configs``.
        source: where it comes from, for the error messages.

    Raises:
        SpaceError: with every problem.
    """
    return _Loading(source).space(mapping)


def _load_file(path: Path, source: str) -> SearchSpace:
    document = read_yaml(path)
    return _Loading(source, document.lines, list(document.problems)).space(document.content)


@dataclass
class _Loading:
    """One pass over a declared space: builds what it can, and notes every problem under its key path."""

    source: str
    lines: Mapping[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def space(self, mapping: Mapping[str, object]) -> SearchSpace:
        if not isinstance(mapping, Mapping):
            raise SpaceError(f"{self.source}: {mapping!r} is not a mapping", f"{self.source} is not valid")
        self._check_keys(mapping, "", TOP_KEYS)
        name = self._text(mapping, "space", required=True)
        description = self._text(mapping, "description", required=False)
        fixed, declared = self._mapping(mapping, "constants"), self._mapping(mapping, "parameters")
        constants = self._values(fixed, "constants")
        read = [self._parameter(key, content) for key, content in declared.items()]
        parameters = [parameter for parameter in read if parameter is not None]
        unread = {*declared, *fixed} - {*constants, *(parameter.name for parameter in parameters)}
        configs = self._configs(mapping.get("configs"))
        self.problems += declaration_problems(parameters, constants, unread)
        space = None
        readable = parameters or constants or configs or not self.problems  # else "empty" would be misleading
        if readable and not unread:
            space = self._attempt("", lambda: SearchSpace(name, parameters, constants, configs, description))
        if self.problems or space is None:
            unique = dict.fromkeys(self.problems)
            raise SpaceError(
                [self._located(problem) for problem in unique], f"{self.source} is not a valid search space"
            )
        return space

    def _parameter(self, name: str, content: object) -> Parameter | None:
        where = f"parameters.{name}"
        if not isinstance(content, Mapping):
            example = "{type: choice, values: [a, b]}"
            self.problems.append(f"{where}: {content!r} is not a mapping; write for example {example}")
            return None
        domain = self._domain(content, where)
        conditions = []
        for parent, values in self._mapping(content, "when", where).items():
            condition = self._attempt(f"{where}.when", partial(Condition, parent, values))
            conditions.append(condition)
        if domain is None or None in conditions:
            return None
        when = tuple(condition for condition in conditions if condition is not None)
        return self._attempt("parameters", lambda: Parameter(name, domain, when))

    def _domain(self, content: Mapping[str, object], where: str) -> Domain | None:
        kind = content.get("type")
        if not isinstance(kind, str) or kind not in DOMAINS:
            found = f"{kind!r} is not a type" if "type" in content else "is missing"
            self.problems.append(f"{where}.type: {found}; {allowed(kind, DOMAINS)}")
            return None
        keys = DOMAIN_KEYS[kind]
        self._check_keys(content, where, ("type", *keys, "when"))
        needed = [key for key in keys if key != OPTIONAL]
        missing = [key for key in needed if key not in content]
        needs = f"a {kind} needs {' and '.join(needed)}"
        self.problems += [f"{where}.{key}: is missing; {needs}" for key in missing]
        if missing:
            return None
        arguments: dict[str, Any] = {key: content[key] for key in keys if key in content}
        return self._attempt(where, lambda: DOMAINS[kind](**arguments))

    def _configs(self, content: object) -> list[Config]:
        if content is None:
            return []
        if not isinstance(content, list):
            self.problems.append(f"configs: {content!r} is not a list; write `- label: ...` entries")
            return []
        configs = []
        for index, entry in enumerate(content):
            where = f"configs[{index}]"
            if not isinstance(entry, Mapping):
                self.problems.append(f"{where}: {entry!r} is not a mapping; allowed keys: label, values")
                continue
            self._check_keys(entry, where, ("label", "values"))
            label = self._text(entry, "label", required=False, where=where)
            values = self._mapping(entry, "values", where)
            if not values:
                self.problems.append(f"{where}.values: is missing or empty; list the values of this config")
            configs.append(Config(self._values(values, f"{where}.values"), label or None))
        return configs

    def _values(self, content: Mapping[str, object], where: str) -> Values:
        return self._attempt(where, lambda: Values(content)) or Values({})

    def _mapping(self, content: Mapping[str, object], key: str, where: str = "") -> Mapping[str, Any]:
        """The mapping under `key`; absent and null are empty."""
        value = content.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.problems.append(
                f"{_join(where, key)}: {value!r} is not a mapping; write `name: value` lines"
            )
            return {}
        return {str(name): item for name, item in value.items()}

    def _text(self, content: Mapping[str, object], key: str, *, required: bool, where: str = "") -> str:
        value = content.get(key)
        if value is None and not required:
            return ""
        if isinstance(value, str) and (value.strip() or not required):
            return value.strip()
        found = "is missing" if key not in content else f"{value!r} is not a text"
        self.problems.append(f"{_join(where, key)}: {found}; give a text (in quotes if it reads as a number)")
        return ""

    def _check_keys(self, content: Mapping[str, object], where: str, keys: tuple[str, ...]) -> None:
        for key in content:
            if key not in keys:
                self.problems.append(f"{_join(where, str(key))}: is not a key here; {allowed(key, keys)}")

    def _attempt(self, where: str, make: Callable[[], Made]) -> Made | None:
        """Make a value; its problems are noted under the key path `where`."""
        try:
            return make()
        except SpaceError as error:
            self.problems += [_join(where, problem) for problem in error.problems]
            return None

    def _located(self, problem: str) -> str:
        """Put the file, and the line of the deepest key that has one, before a problem."""
        path = problem.split(": ", 1)[0]
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return f"{self.source}, line {self.lines[path]}: {problem}" if path else f"{self.source}: {problem}"


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
