"""What one trial is given: `Config`, a frozen mapping of chosen values with a content hash.

Seeds, epochs and scores are no part of it, and nothing here knows how values are chosen.

The hash is taken of canonical JSON, so that it is the same in every process and on every platform: keys
sorted, no white space, non-ASCII characters escaped, floats written as Python's shortest representation
that reads back to the same double. Numbers are compared *by value*: ``10`` and ``10.0`` are one config,
because they train the same model and because a typed parquet column or another JSON writer may turn one
into the other. ``true`` is not ``1``, ``"1"`` is not ``1``, and an absent name differs from one that is
``null``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import ItemsView, Iterator, KeysView, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.errors import SpaceError

Value = bool | int | float | str | None
"""What a parameter can be set to."""


def plain(value: object) -> Value:
    """Reduce a value to plain Python: numpy scalars and enum members lose their type, never their value.

    Raises:
        SpaceError: for anything but text, a finite number, true, false or null.
    """
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()  # type: ignore[attr-defined]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise SpaceError(f"{value!r} cannot be a value; allowed: text, a finite number, true, false or null")


def canonical_json(content: object) -> str:
    """Write nested dicts, lists and values as the one JSON text that the hashes are taken of."""
    return json.dumps(_by_value(content), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """The first 10 hexadecimal digits (40 bits) of the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:10]


def same(one: object, other: object) -> bool:
    """Whether two values are the same value: ``1`` and ``1.0`` are, ``1`` and ``True`` are not."""
    return canonical_json(one) == canonical_json(other)


def _by_value(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _by_value(item) for key, item in content.items()}
    if isinstance(content, (list, tuple)):
        return [_by_value(item) for item in content]
    if isinstance(content, float) and content.is_integer():
        return int(content)
    return content


class Values(Mapping[str, Value]):
    """An immutable mapping of names to plain values; equal when the canonical JSON is equal.

    Args:
        items: name to value; the order is kept for display and is no part of the identity.

    Raises:
        SpaceError: naming every value that is not plain and every name that is not text.
    """

    def __init__(self, items: Mapping[Any, object]) -> None:
        self._items: dict[str, Value] = {}
        problems = []
        for name, value in items.items():
            if not isinstance(name, str):
                problems.append(f"{name!r}: a parameter's name is text")
                continue
            try:
                self._items[name] = plain(value)
            except SpaceError as error:
                problems.extend(f"{name}: {problem}" for problem in error.problems)
        if problems:
            raise SpaceError(problems, "these values cannot be used")

    def __getitem__(self, name: str) -> Value:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @cached_property
    def canonical(self) -> str:
        """The canonical JSON of the mapping."""
        return canonical_json(self._items)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Values):
            return self.canonical == other.canonical
        return isinstance(other, Mapping) and self.canonical == canonical_json(other)

    def __hash__(self) -> int:
        return hash(self.canonical)  # for sets within one process; identities use `digest`

    def __repr__(self) -> str:
        return repr(self._items)


@dataclass(frozen=True)
class Config:
    """The values that one trial trains with.

    It reads like a mapping (``config["lr"]``, ``dict(config)``, ``**config``), but ``config.values`` is the
    mapping itself.

    Args:
        values: parameter name to value; names that are inactive under the space's conditions are absent.
        label: what a person calls this config; no part of `config_id`.
    """

    values: Mapping[str, Value]
    label: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.values, Values):
            object.__setattr__(self, "values", Values(self.values))

    @cached_property
    def config_id(self) -> str:
        """First 10 hexadecimal digits of the SHA-256 of the canonical JSON of the values."""
        assert isinstance(self.values, Values)
        return digest(self.values.canonical)

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def get(self, name: str, default: Value = None) -> Value:
        """The value of `name`, or `default` where the config does not have it."""
        return self.values.get(name, default)

    def keys(self) -> KeysView[str]:
        """The names, in the order in which they were given."""
        return self.values.keys()

    def items(self) -> ItemsView[str, Value]:
        """Pairs of name and value."""
        return self.values.items()
