"""How a config and its settings are written for people: short ids, and the few values that tell it apart."""

from __future__ import annotations

import json
from collections.abc import Mapping

#: what is shown where there is nothing.
NONE = "–"
#: named first, when they vary; then the others in the order of the space.
_FIRST = ("architecture", "backbone", "loss", "lr")
_MOST_VALUES = 3
_ABSENT = object()


def setting(value: object, digits: int = 4) -> str:
    """A parameter's value, floats to `digits` significant digits; "none" for a null."""
    if value is None:
        return "none"
    if isinstance(value, float):
        if 0 < abs(value) < 0.01:
            mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
            return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
        return f"{value:.{digits}g}"
    return value if isinstance(value, str) else json.dumps(value)


def varied(configs: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
    """Parameters that differ between the configs; to be absent differs from every value, null included."""
    names = dict.fromkeys(name for values in configs.values() for name in values)
    return tuple(
        name for name in names if len({_text(values.get(name, _ABSENT)) for values in configs.values()}) > 1
    )


def descriptions(configs: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """config_id -> at most three of its values that differ between the configs; empty if none does."""
    names = varied(configs)
    names = tuple(sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)))
    return {
        config_id: ", ".join(
            _named(name, values[name]) for name in [n for n in names if n in values][:_MOST_VALUES]
        )
        for config_id, values in configs.items()
    }


def _named(name: str, value: object) -> str:
    """A word speaks for itself, a number needs its name."""
    return value if isinstance(value, str) else f"{name} {setting(value, 3)}"


def _text(value: object) -> str:
    return "" if value is _ABSENT else json.dumps(value)
