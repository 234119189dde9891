"""What a single parameter may be: `Float`, `Int` and `Choice`, immutable and checked when they are made.

A domain knows bounds and scale, not the parameter's name, its conditions or the other parameters.

A draw uses one number of the generator it is given (``rng.random()``) and maps it here, so that a draw does
not depend on which numpy release samples integers or uniform floats in which way. Drawn and spaced floats
are rounded to six significant digits (more where the range is narrow): that is readable, and it hides the
last bits in which the logarithms of two platforms differ, so that a sweep resumed elsewhere meets the same
config ids.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from search_spaces.config import Value, canonical_json, plain
from search_spaces.errors import SpaceError

if TYPE_CHECKING:
    import numpy as np

SIGNIFICANT_DIGITS = 6


def show(value: Value) -> str:
    """A value as it would be written in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


@dataclass(frozen=True)
class Float:
    """Real numbers between two bounds, both included.

    Args:
        low: the smallest value.
        high: the largest value, above `low`.
        log: draw and space the values evenly in their logarithm; `low` must then be positive.

    Raises:
        SpaceError: with every problem, each starting with the argument's name.
    """

    low: float
    high: float
    log: bool = False
    type: ClassVar[str] = "float"

    def __post_init__(self) -> None:
        problems = _bound_problems(self.low, self.high, self.log, whole=False)
        if not problems and not math.isfinite(float(self.high) - float(self.low)):
            problems = [f"high: the range {self.low!r} to {self.high!r} overflows a float; narrow it"]
        if problems:
            raise SpaceError(problems, "the float domain is not valid")
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))

    @property
    def cardinality(self) -> float:
        """How many values there are: infinity."""
        return math.inf

    def contains(self, value: object) -> bool:
        """Whether `value` is a number within the bounds."""
        number = _number(value)
        return number is not None and self.low <= number <= self.high

    def sample(self, rng: np.random.Generator) -> float:
        """Draw one value, evenly on the domain's scale."""
        return self.tidy(self._at(float(rng.random())))

    def tidy(self, value: float) -> float:
        """A value within the bounds with as many digits as a drawn one has, still within the bounds."""
        narrowness = max(abs(self.low), abs(self.high)) / (self.high - self.low)
        digits = min(SIGNIFICANT_DIGITS + max(0, int(math.log10(narrowness))), 17)
        return min(max(float(f"{value:.{digits}g}"), self.low), self.high)

    def grid(self, points: int) -> tuple[float, ...]:
        """`points` values spaced evenly on the domain's scale, ends included; one point is the middle."""
        ends = {0.0: self.low, 1.0: self.high}
        spaced = (ends[share] if share in ends else self.tidy(self._at(share)) for share in _shares(points))
        return tuple(dict.fromkeys(spaced))

    def describe(self) -> str:
        """The domain in words."""
        return f"{show(self.low)} to {show(self.high)}" + (", log scale" if self.log else "")

    def to_dict(self) -> dict[str, object]:
        """The YAML form."""
        return {"type": self.type, "low": self.low, "high": self.high, "log": self.log}

    def _at(self, share: float) -> float:
        if self.log:
            return math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True)
class Int:
    """Whole numbers between two bounds, both included.

    Args:
        low: the smallest value.
        high: the largest value, above `low`.
        log: draw and space the values evenly in their logarithm; `low` must then be positive.

    Raises:
        SpaceError: with every problem, each starting with the argument's name.
    """

    low: int
    high: int
    log: bool = False
    type: ClassVar[str] = "int"

    def __post_init__(self) -> None:
        problems = _bound_problems(self.low, self.high, self.log, whole=True)
        if problems:
            raise SpaceError(problems, "the integer domain is not valid")
        object.__setattr__(self, "low", int(self.low))
        object.__setattr__(self, "high", int(self.high))

    @property
    def cardinality(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    def contains(self, value: object) -> bool:
        """Whether `value` is a whole number within the bounds; ``16.0`` and ``True`` are not."""
        number = _number(value)
        return isinstance(number, int) and self.low <= number <= self.high

    def sample(self, rng: np.random.Generator) -> int:
        """Draw one value, evenly on the domain's scale."""
        return self._at(float(rng.random()))

    def grid(self, points: int) -> tuple[int, ...]:
        """All values if there are at most `points`, otherwise about `points` of them, spaced on the scale."""
        if points >= self.cardinality:
            return tuple(range(self.low, self.high + 1))
        float_domain = Float(self.low, self.high, self.log)
        return tuple(dict.fromkeys(round(value) for value in float_domain.grid(points)))

    def describe(self) -> str:
        """The domain in words."""
        return f"{self.low} to {self.high}, whole" + (", log scale" if self.log else "")

    def to_dict(self) -> dict[str, object]:
        """The YAML form."""
        return {"type": self.type, "low": self.low, "high": self.high, "log": self.log}

    def _at(self, share: float) -> int:
        if not self.log:
            return self.low + int(share * self.cardinality)
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        # Each whole number k owns the interval k - 0.5 to k + 0.5; or the ends would be drawn half as often.
        return min(max(math.floor(math.exp(low + share * (high - low)) + 0.5), self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """A list of values without an order.

    Args:
        values: at least one value, no two of them the same.

    Raises:
        SpaceError: with every problem, each starting with ``values``.
    """

    values: Sequence[Value]
    type: ClassVar[str] = "choice"

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", distinct_values(self.values, "values"))

    @property
    def cardinality(self) -> int:
        """How many values there are."""
        return len(self.values)

    def contains(self, value: object) -> bool:
        """Whether `value` is one of the values; ``1`` and ``1.0`` are the same, ``True`` is neither."""
        try:
            text = canonical_json(plain(value))
        except SpaceError:
            return False
        return text in {canonical_json(candidate) for candidate in self.values}

    def sample(self, rng: np.random.Generator) -> Value:
        """Draw one value, each with the same probability."""
        return self.values[int(float(rng.random()) * len(self.values))]

    def grid(self, points: int) -> tuple[Value, ...]:
        """All values, whatever `points` is."""
        return tuple(self.values)

    def describe(self) -> str:
        """The domain in words."""
        return "one of " + ", ".join(show(value) for value in self.values)

    def to_dict(self) -> dict[str, object]:
        """The YAML form."""
        return {"type": self.type, "values": list(self.values)}


Domain = Float | Int | Choice
DOMAINS: dict[str, type[Float] | type[Int] | type[Choice]] = {"float": Float, "int": Int, "choice": Choice}


def distinct_values(values: object, key: str) -> tuple[Value, ...]:
    """Check a list of values: not empty, all plain, no two the same.

    Args:
        values: what was declared.
        key: the name that the problems start with.

    Raises:
        SpaceError: with every problem.
    """
    if not isinstance(values, (list, tuple)):
        raise SpaceError(f"{key}: {values!r} is not a list; write the values in square brackets")
    if not values:
        raise SpaceError(f"{key}: the list is empty; give at least one value")
    problems: list[str] = []
    seen: dict[str, Value] = {}
    for index, value in enumerate(values):
        try:
            value = plain(value)
        except SpaceError as error:
            problems += [f"{key}[{index}]: {problem}" for problem in error.problems]
            continue
        text = canonical_json(value)
        if text in seen:
            problems.append(f"{key}[{index}]: {show(value)} is listed twice; remove one")
        seen[text] = value
    if problems:
        raise SpaceError(problems, "the list of values is not valid")
    return tuple(seen.values())


def _number(value: object) -> int | float | None:
    """The value as a plain finite number that a double can hold, or None where it is something else."""
    try:
        value = plain(value)
    except SpaceError:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) <= sys.float_info.max else None


def _bound_problems(low: object, high: object, log: object, *, whole: bool) -> list[str]:
    wanted = "a whole number" if whole else "a number"
    problems = []
    bounds = {"low": _number(low), "high": _number(high)}
    for (key, number), declared in zip(bounds.items(), (low, high), strict=True):
        if number is None or (whole and isinstance(number, float)):
            hint = "; remove the quotes" if isinstance(declared, str) and _reads_as_number(declared) else ""
            problems.append(f"{key}: {declared!r} is not {wanted}{hint}; allowed: {wanted}, finite")
    if not isinstance(log, bool):
        problems.append(f"log: {log!r} is neither true nor false")
    lowest, highest = bounds["low"], bounds["high"]
    if problems or lowest is None or highest is None:
        return problems
    if lowest >= highest:
        way_out = "swap them" if lowest > highest else "make a single value a constant"
        problems.append(f"low: {low!r} is not below high, which is {high!r}; {way_out}")
    for key, number in bounds.items():
        if log and number is not None and number <= 0:
            problems.append(
                f"{key}: {number!r} on a log scale; allowed: above zero; raise it or set log: false"
            )
    return problems


def _reads_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _shares(points: int) -> list[float]:
    if points < 1:
        raise SpaceError(f"points: {points!r} points make no grid; allowed: 1 or more")
    return [0.5] if points == 1 else [index / (points - 1) for index in range(points)]
